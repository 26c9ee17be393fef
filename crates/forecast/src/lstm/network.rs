//! One LSTM layer (Hochreiter and Schmidhuber, 1997, with forget gates) and a linear head on its last hidden state.
//!
//! Sequences of a batch lie time-major in one matrix, so that the input projection of all steps is one product and each
//! step adds one recurrent product. Gradients are exact: backpropagation through all steps, no truncation.

use super::real::{Real, sigmoid, tanh};
use crate::rng::Rng;
use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, s};

/// Sizes of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Values per step.
    pub inputs: usize,
    /// Hidden units.
    pub hidden: usize,
    /// Values per forecast.
    pub outputs: usize,
}

/// Weights, or anything of their shape: gradients, moments. The four gates lie side by side in the order input, forget,
/// cell, output, as in PyTorch (whose matrices are the transposes of these).
#[derive(Debug, Clone, PartialEq)]
pub struct Weights<F> {
    /// Inputs by 4 hidden.
    pub input: Array2<F>,
    /// Hidden by 4 hidden.
    pub recurrent: Array2<F>,
    /// 1 by 4 hidden.
    pub bias: Array2<F>,
    /// Hidden by outputs.
    pub head: Array2<F>,
    /// 1 by outputs.
    pub head_bias: Array2<F>,
}

impl<F: Real> Weights<F> {
    /// All zero.
    #[must_use]
    pub fn zeros(shape: Shape) -> Self {
        let Shape { inputs, hidden, outputs } = shape;
        let gates = 4 * hidden;
        Self {
            input: Array2::zeros((inputs, gates)),
            recurrent: Array2::zeros((hidden, gates)),
            bias: Array2::zeros((1, gates)),
            head: Array2::zeros((hidden, outputs)),
            head_bias: Array2::zeros((1, outputs)),
        }
    }

    /// Uniform within `±1/sqrt(hidden)`, as PyTorch initialises.
    #[must_use]
    pub fn random(shape: Shape, rng: &mut Rng) -> Self {
        let bound = 1.0 / (shape.hidden as f64).sqrt();
        let mut weights = Self::zeros(shape);
        for tensor in weights.tensors_mut() {
            tensor.map_inplace(|weight| *weight = F::of((2.0 * rng.uniform() - 1.0) * bound));
        }
        weights
    }

    /// The tensors in a fixed order, with their names.
    pub fn named(&self) -> [(&'static str, &Array2<F>); 5] {
        [
            ("input", &self.input),
            ("recurrent", &self.recurrent),
            ("bias", &self.bias),
            ("head", &self.head),
            ("head_bias", &self.head_bias),
        ]
    }

    /// The tensors in the same order.
    pub fn tensors_mut(&mut self) -> [&mut Array2<F>; 5] {
        [&mut self.input, &mut self.recurrent, &mut self.bias, &mut self.head, &mut self.head_bias]
    }

    /// Sizes.
    #[must_use]
    pub fn shape(&self) -> Shape {
        Shape { inputs: self.input.nrows(), hidden: self.recurrent.nrows(), outputs: self.head.ncols() }
    }
}

/// Buffers of a forward and backward pass, reused between batches of the same size.
#[derive(Debug)]
pub struct Pass<F> {
    batch: usize,
    steps: usize,
    /// Inputs, time-major: row `step * batch + sample`.
    pub inputs: Array2<F>,
    /// Activated gates of each step.
    gates: Array2<F>,
    cells: Array2<F>,
    cell_tanh: Array2<F>,
    hidden: Array2<F>,
    /// Outputs, one row per sample.
    pub outputs: Array2<F>,
    gate_gradients: Array2<F>,
    hidden_gradient: Array2<F>,
    cell_gradient: Array2<F>,
}

impl<F: Real> Pass<F> {
    /// Buffers for `batch` sequences of `steps` steps.
    #[must_use]
    pub fn new(shape: Shape, batch: usize, steps: usize) -> Self {
        let rows = batch * steps;
        let hidden = || Array2::zeros((rows, shape.hidden));
        Self {
            batch,
            steps,
            inputs: Array2::zeros((rows, shape.inputs)),
            gates: Array2::zeros((rows, 4 * shape.hidden)),
            cells: hidden(),
            cell_tanh: hidden(),
            hidden: hidden(),
            outputs: Array2::zeros((batch, shape.outputs)),
            gate_gradients: Array2::zeros((rows, 4 * shape.hidden)),
            hidden_gradient: Array2::zeros((batch, shape.hidden)),
            cell_gradient: Array2::zeros((batch, shape.hidden)),
        }
    }

    /// Computes `outputs` from `inputs`.
    pub fn forward(&mut self, weights: &Weights<F>) {
        let (one, batch) = (F::one(), self.batch);
        self.gates.assign(&weights.bias);
        general_mat_mul(one, &self.inputs, &weights.input, one, &mut self.gates);
        for step in 0..self.steps {
            let rows = step * batch..(step + 1) * batch;
            let mut gates = self.gates.slice_mut(s![rows.clone(), ..]);
            if step > 0 {
                let before = self.hidden.slice(s![rows.start - batch..rows.start, ..]);
                general_mat_mul(one, &before, &weights.recurrent, one, &mut gates);
            }
            for row in rows {
                self.forward_row(row, step);
            }
        }
        self.outputs.assign(&weights.head_bias);
        let last = self.hidden.slice(s![(self.steps - 1) * batch.., ..]);
        general_mat_mul(one, &last, &weights.head, one, &mut self.outputs);
    }

    /// Applies the gates of one sample at one step.
    fn forward_row(&mut self, row: usize, step: usize) {
        let (previous, mut current) = self.cells.view_mut().split_at(Axis(0), row);
        let mut gates = self.gates.row_mut(row);
        let (Some(gates), Some(cell)) = (gates.as_slice_mut(), current.row_mut(0).into_slice()) else {
            return;
        };
        let size = cell.len();
        let (input, rest) = gates.split_at_mut(2 * size);
        let (candidate, output) = rest.split_at_mut(size);
        sigmoid(input);
        tanh(candidate);
        sigmoid(output);
        let (input, forget) = input.split_at(size);
        for ((cell, input), candidate) in cell.iter_mut().zip(input).zip(&*candidate) {
            *cell = *input * *candidate;
        }
        if step > 0 {
            let before = previous.row(row - self.batch);
            let before = before.to_slice().unwrap_or_default();
            for ((cell, forget), before) in cell.iter_mut().zip(forget).zip(before) {
                *cell += *forget * *before;
            }
        }
        let mut cell_tanh = self.cell_tanh.row_mut(row);
        let mut hidden = self.hidden.row_mut(row);
        let (Some(cell_tanh), Some(hidden)) = (cell_tanh.as_slice_mut(), hidden.as_slice_mut()) else {
            return;
        };
        cell_tanh.copy_from_slice(cell);
        tanh(cell_tanh);
        for ((hidden, output), cell) in hidden.iter_mut().zip(&*output).zip(&*cell_tanh) {
            *hidden = *output * *cell;
        }
    }

    /// Computes the gradients of a loss by `weights` from its gradient by `outputs`, into `gradients`.
    pub fn backward(
        &mut self,
        weights: &Weights<F>,
        by_outputs: &ArrayView2<'_, F>,
        gradients: &mut Weights<F>,
    ) {
        let (one, zero, batch) = (F::one(), F::zero(), self.batch);
        let last = self.hidden.slice(s![(self.steps - 1) * batch.., ..]);
        general_mat_mul(one, &last.t(), by_outputs, zero, &mut gradients.head);
        gradients.head_bias.row_mut(0).assign(&by_outputs.sum_axis(Axis(0)));
        general_mat_mul(one, by_outputs, &weights.head.t(), zero, &mut self.hidden_gradient);
        self.cell_gradient.fill(zero);
        for step in (0..self.steps).rev() {
            let first = step * batch;
            for sample in 0..batch {
                self.backward_row(first + sample, sample, step);
            }
            if step > 0 {
                let gates = self.gate_gradients.slice(s![first..first + batch, ..]);
                general_mat_mul(one, &gates, &weights.recurrent.t(), zero, &mut self.hidden_gradient);
            }
        }
        general_mat_mul(one, &self.inputs.t(), &self.gate_gradients, zero, &mut gradients.input);
        let before = self.hidden.slice(s![..(self.steps - 1) * batch, ..]);
        let after = self.gate_gradients.slice(s![batch.., ..]);
        general_mat_mul(one, &before.t(), &after, zero, &mut gradients.recurrent);
        gradients.bias.row_mut(0).assign(&self.gate_gradients.sum_axis(Axis(0)));
    }

    /// Gradients by the pre-activations of one sample at one step; moves the cell gradient one step back.
    #[allow(clippy::needless_range_loop, reason = "indices of several arrays, as in the formulas")]
    fn backward_row(&mut self, row: usize, sample: usize, step: usize) {
        let one = F::one();
        let size = self.cells.ncols();
        let gates = row_of(&self.gates.view(), row);
        let (input, rest) = gates.split_at(size);
        let (forget, rest) = rest.split_at(size);
        let (candidate, output) = rest.split_at(size);
        let cell_tanh = row_of(&self.cell_tanh.view(), row);
        let before = if step > 0 { row_of(&self.cells.view(), row - self.batch) } else { &[] };
        let by_hidden = row_of(&self.hidden_gradient.view(), sample);
        let by_cell = row_of_mut(self.cell_gradient.view_mut(), sample);
        let out = row_of_mut(self.gate_gradients.view_mut(), row);
        let (by_input, out) = out.split_at_mut(size);
        let (by_forget, out) = out.split_at_mut(size);
        let (by_candidate, by_output) = out.split_at_mut(size);
        for j in 0..size {
            let cell = by_cell[j] + by_hidden[j] * output[j] * (one - cell_tanh[j] * cell_tanh[j]);
            by_output[j] = by_hidden[j] * cell_tanh[j] * output[j] * (one - output[j]);
            by_input[j] = cell * candidate[j] * input[j] * (one - input[j]);
            by_candidate[j] = cell * input[j] * (one - candidate[j] * candidate[j]);
            let old = before.get(j).copied().unwrap_or_else(F::zero);
            by_forget[j] = cell * old * forget[j] * (one - forget[j]);
            by_cell[j] = cell * forget[j];
        }
    }
}

/// A row of a matrix in standard layout.
fn row_of<'a, F>(matrix: &ArrayView2<'a, F>, row: usize) -> &'a [F] {
    let width = matrix.ncols();
    matrix.to_slice().map_or(&[], |all| &all[row * width..(row + 1) * width])
}

/// A mutable row of a matrix in standard layout.
fn row_of_mut<F>(matrix: ArrayViewMut2<'_, F>, row: usize) -> &mut [F] {
    let width = matrix.ncols();
    matrix.into_slice().map_or(&mut [], |all| &mut all[row * width..(row + 1) * width])
}
