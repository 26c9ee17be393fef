//! Epochs over windows in batches, and inference.

use super::adam::Adam;
use super::network::{Pass, Weights};
use super::real::Real;
use crate::rng::Rng;

/// Windows of one pass of an inference.
const INFERRED: usize = 64;

/// Windows and their targets.
pub trait Samples<F> {
    /// Steps of each window.
    fn steps(&self) -> usize;
    /// Inputs of one step of one window.
    fn input(&self, sample: usize, step: usize) -> &[F];
    /// Targets of one window.
    fn target(&self, sample: usize) -> &[F];
}

/// Trains on the samples in `order` (shuffled first) in batches, one update each. Returns the mean squared error over
/// all samples and outputs, each taken before its update.
pub fn epoch<F: Real>(
    weights: &mut Weights<F>,
    optimiser: &mut Adam<F>,
    samples: &impl Samples<F>,
    order: &mut [usize],
    batch: usize,
    rng: &mut Rng,
) -> f64 {
    rng.shuffle(order);
    let shape = weights.shape();
    let mut gradients = Weights::zeros(shape);
    let mut pass = Pass::new(shape, batch.min(order.len()), samples.steps());
    let mut total = 0.0;
    for chunk in order.chunks(batch) {
        if chunk.len() != pass.outputs.nrows() {
            pass = Pass::new(shape, chunk.len(), samples.steps());
        }
        load(&mut pass, samples, chunk);
        pass.forward(weights);
        let mut errors = pass.outputs.clone();
        for (mut row, sample) in errors.rows_mut().into_iter().zip(chunk) {
            for (error, target) in row.iter_mut().zip(samples.target(*sample)) {
                *error -= *target;
            }
        }
        total += errors.iter().map(|e| e.get() * e.get()).sum::<f64>();
        errors *= F::of(2.0 / errors.len() as f64);
        pass.backward(weights, &errors.view(), &mut gradients);
        optimiser.update(weights, &gradients);
    }
    total / (order.len() * shape.outputs) as f64
}

/// Outputs for the samples in `order`, one after the other.
pub fn infer<F: Real>(weights: &Weights<F>, samples: &impl Samples<F>, order: &[usize]) -> Vec<F> {
    let shape = weights.shape();
    let mut out = Vec::with_capacity(order.len() * shape.outputs);
    let mut pass = Pass::new(shape, order.len().min(INFERRED), samples.steps());
    for chunk in order.chunks(INFERRED) {
        if chunk.len() != pass.outputs.nrows() {
            pass = Pass::new(shape, chunk.len(), samples.steps());
        }
        load(&mut pass, samples, chunk);
        pass.forward(weights);
        out.extend(pass.outputs.iter().copied());
    }
    out
}

/// Mean squared error over `order`.
pub fn loss<F: Real>(weights: &Weights<F>, samples: &impl Samples<F>, order: &[usize]) -> f64 {
    let outputs = infer(weights, samples, order);
    let width = weights.shape().outputs;
    let squared = |(index, sample): (usize, &usize)| -> f64 {
        let found = &outputs[index * width..(index + 1) * width];
        found.iter().zip(samples.target(*sample)).map(|(a, b)| (a.get() - b.get()).powi(2)).sum()
    };
    order.iter().enumerate().map(squared).sum::<f64>() / outputs.len().max(1) as f64
}

fn load<F: Real>(pass: &mut Pass<F>, samples: &impl Samples<F>, chunk: &[usize]) {
    for step in 0..samples.steps() {
        for (at, sample) in chunk.iter().enumerate() {
            let mut row = pass.inputs.row_mut(step * chunk.len() + at);
            for (slot, value) in row.iter_mut().zip(samples.input(*sample, step)) {
                *slot = *value;
            }
        }
    }
}
