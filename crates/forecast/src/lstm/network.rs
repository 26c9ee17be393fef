//! One LSTM layer (Hochreiter and Schmidhuber, 1997, with forget gates) and a linear head on its last hidden state.
//!
//! Sequences of a batch lie time-major in one matrix. Bias, inputs and hidden state of a step stand side by side, so that
//! its gates are one product, and the gradients of all their weights are one product at the end. Gradients are exact:
//! backpropagation through all steps, no truncation.

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
    /// What the gates read, in one row each: 1 (for the bias), the inputs, the hidden state before the step.
    joined: Array2<F>,
    /// The weights of `joined`: bias, input, recurrent.
    joined_weights: Array2<F>,
    joined_gradients: Array2<F>,
    /// Activated gates of each step; after the backward pass, the gradients by what they were activated from.
    gates: Array2<F>,
    /// Cells before each step and after the last.
    cells: Array2<F>,
    cell_tanh: Array2<F>,
    /// Hidden state after the last step.
    last_hidden: Array2<F>,
    /// Outputs, one row per sample.
    pub outputs: Array2<F>,
    hidden_gradient: Array2<F>,
    cell_gradient: Array2<F>,
}

impl<F: Real> Pass<F> {
    /// Buffers for `batch` sequences of `steps` steps.
    #[must_use]
    pub fn new(shape: Shape, batch: usize, steps: usize) -> Self {
        let Shape { inputs, hidden, outputs } = shape;
        let rows = batch * steps;
        let width = 1 + inputs + hidden;
        let mut joined = Array2::zeros((rows, width));
        joined.column_mut(0).fill(F::one());
        Self {
            batch,
            steps,
            inputs: Array2::zeros((rows, inputs)),
            joined,
            joined_weights: Array2::zeros((width, 4 * hidden)),
            joined_gradients: Array2::zeros((width, 4 * hidden)),
            gates: Array2::zeros((rows, 4 * hidden)),
            cells: Array2::zeros((rows + batch, hidden)),
            cell_tanh: Array2::zeros((rows, hidden)),
            last_hidden: Array2::zeros((batch, hidden)),
            outputs: Array2::zeros((batch, outputs)),
            hidden_gradient: Array2::zeros((batch, hidden)),
            cell_gradient: Array2::zeros((batch, hidden)),
        }
    }

    /// Computes `outputs` from `inputs`.
    pub fn forward(&mut self, weights: &Weights<F>) {
        let (one, zero, batch) = (F::one(), F::zero(), self.batch);
        let first_hidden = 1 + self.inputs.ncols();
        self.joined.slice_mut(s![.., 1..first_hidden]).assign(&self.inputs);
        self.joined_weights.slice_mut(s![..1, ..]).assign(&weights.bias);
        self.joined_weights.slice_mut(s![1..first_hidden, ..]).assign(&weights.input);
        self.joined_weights.slice_mut(s![first_hidden.., ..]).assign(&weights.recurrent);
        for step in 0..self.steps {
            let rows = step * batch..(step + 1) * batch;
            let joined = self.joined.slice(s![rows.clone(), ..]);
            let mut gates = self.gates.slice_mut(s![rows.clone(), ..]);
            general_mat_mul(one, &joined, &self.joined_weights, zero, &mut gates);
            for row in rows {
                self.forward_row(row, step);
            }
        }
        self.outputs.assign(&weights.head_bias);
        general_mat_mul(one, &self.last_hidden, &weights.head, one, &mut self.outputs);
    }

    /// Applies the gates of one sample at one step.
    fn forward_row(&mut self, row: usize, step: usize) {
        let size = self.cells.ncols();
        let hidden = if step + 1 == self.steps {
            row_of_mut(self.last_hidden.view_mut(), row - step * self.batch)
        } else {
            // The next step reads it.
            let first_hidden = self.joined.ncols() - size;
            &mut row_of_mut(self.joined.view_mut(), row + self.batch)[first_hidden..]
        };
        let gates = row_of_mut(self.gates.view_mut(), row);
        let (input, rest) = gates.split_at_mut(2 * size);
        let (candidate, output) = rest.split_at_mut(size);
        sigmoid(input);
        tanh(candidate);
        sigmoid(output);
        let (input, forget) = input.split_at(size);
        let (before, after) = self.cells.view_mut().split_at(Axis(0), row + self.batch);
        let before = row_of(&before.view(), row);
        let cell = row_of_mut(after, 0);
        for ((cell, input), candidate) in cell.iter_mut().zip(input).zip(&*candidate) {
            *cell = *input * *candidate;
        }
        for ((cell, forget), before) in cell.iter_mut().zip(forget).zip(before) {
            *cell += *forget * *before;
        }
        let cell_tanh = row_of_mut(self.cell_tanh.view_mut(), row);
        cell_tanh.copy_from_slice(cell);
        tanh(cell_tanh);
        for ((hidden, output), cell) in hidden.iter_mut().zip(&*output).zip(&*cell_tanh) {
            *hidden = *output * *cell;
        }
    }

    /// Computes the gradients of a loss by `weights` from its gradient by `outputs`, into `gradients`. Once per forward
    /// pass: it replaces the gates.
    pub fn backward(
        &mut self,
        weights: &Weights<F>,
        by_outputs: &ArrayView2<'_, F>,
        gradients: &mut Weights<F>,
    ) {
        let (one, zero, batch) = (F::one(), F::zero(), self.batch);
        general_mat_mul(one, &self.last_hidden.t(), by_outputs, zero, &mut gradients.head);
        gradients.head_bias.row_mut(0).assign(&by_outputs.sum_axis(Axis(0)));
        general_mat_mul(one, by_outputs, &weights.head.t(), zero, &mut self.hidden_gradient);
        self.cell_gradient.fill(zero);
        for step in (0..self.steps).rev() {
            let first = step * batch;
            for sample in 0..batch {
                self.backward_row(first + sample, sample);
            }
            if step > 0 {
                let gates = self.gates.slice(s![first..first + batch, ..]);
                general_mat_mul(one, &gates, &weights.recurrent.t(), zero, &mut self.hidden_gradient);
            }
        }
        general_mat_mul(one, &self.joined.t(), &self.gates, zero, &mut self.joined_gradients);
        let first_hidden = 1 + self.inputs.ncols();
        gradients.bias.assign(&self.joined_gradients.slice(s![..1, ..]));
        gradients.input.assign(&self.joined_gradients.slice(s![1..first_hidden, ..]));
        gradients.recurrent.assign(&self.joined_gradients.slice(s![first_hidden.., ..]));
    }

    /// Replaces the gates of one sample at one step by the gradients by their pre-activations; moves the cell gradient
    /// one step back.
    #[allow(clippy::needless_range_loop, reason = "indices of several arrays, as in the formulas")]
    fn backward_row(&mut self, row: usize, sample: usize) {
        let one = F::one();
        let size = self.cells.ncols();
        let (input, rest) = row_of_mut(self.gates.view_mut(), row).split_at_mut(size);
        let (forget, rest) = rest.split_at_mut(size);
        let (candidate, output) = rest.split_at_mut(size);
        // Slices of one known length: their loop needs no bounds checks and becomes vector instructions.
        let output = &mut output[..size];
        let cell_tanh = &row_of(&self.cell_tanh.view(), row)[..size];
        let by_hidden = &row_of(&self.hidden_gradient.view(), sample)[..size];
        let by_cell = &mut row_of_mut(self.cell_gradient.view_mut(), sample)[..size];
        let before = &row_of(&self.cells.view(), row)[..size];
        for j in 0..size {
            let (i, f, g, o, tanh) = (input[j], forget[j], candidate[j], output[j], cell_tanh[j]);
            let cell = by_cell[j] + by_hidden[j] * o * (one - tanh * tanh);
            by_cell[j] = cell * f;
            input[j] = cell * g * i * (one - i);
            forget[j] = cell * before[j] * f * (one - f);
            candidate[j] = cell * i * (one - g * g);
            output[j] = by_hidden[j] * tanh * o * (one - o);
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
