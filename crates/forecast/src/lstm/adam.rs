//! Adam (Kingma and Ba, 2015) with gradient clipping and decoupled weight decay (Loshchilov and Hutter, 2019).

use super::network::{Shape, Weights};
use super::real::Real;

/// State of the optimiser.
#[derive(Debug)]
pub struct Adam<F> {
    first: Weights<F>,
    second: Weights<F>,
    step: i32,
    /// Learning rate.
    pub learning_rate: f64,
    /// Share of each weight removed per step, times the learning rate.
    pub weight_decay: f64,
    /// Largest norm of the gradient; infinite for no clipping.
    pub clip: f64,
}

impl<F: Real> Adam<F> {
    /// A fresh optimiser without decay or clipping.
    #[must_use]
    pub fn new(shape: Shape, learning_rate: f64) -> Self {
        let zeros = Weights::zeros(shape);
        let second = zeros.clone();
        Self { first: zeros, second, step: 0, learning_rate, weight_decay: 0.0, clip: f64::INFINITY }
    }

    /// Moves `weights` against `gradients`.
    pub fn update(&mut self, weights: &mut Weights<F>, gradients: &Weights<F>) {
        self.step = self.step.saturating_add(1);
        let norm = gradients
            .named()
            .iter()
            .flat_map(|(_, tensor)| tensor.iter())
            .map(|g| g.get() * g.get())
            .sum::<f64>()
            .sqrt();
        let scale = F::of(if norm > self.clip { self.clip / norm } else { 1.0 });
        let (keep_first, keep_second) = (F::of(0.9), F::of(0.999));
        let (take_first, take_second) = (F::one() - keep_first, F::one() - keep_second);
        let rate = F::of(self.learning_rate / (1.0 - 0.9f64.powi(self.step)));
        let correction = F::of(1.0 / (1.0 - 0.999f64.powi(self.step)));
        let decay = F::of(1.0 - self.learning_rate * self.weight_decay);
        let epsilon = F::of(1e-8);
        let moments = self.first.tensors_mut().into_iter().zip(self.second.tensors_mut());
        let tensors = weights.tensors_mut().into_iter().zip(gradients.named());
        for ((weight, (_, gradient)), (first, second)) in tensors.zip(moments) {
            ndarray::Zip::from(weight).and(gradient).and(first).and(second).for_each(|w, g, m, v| {
                let g = *g * scale;
                *m = keep_first * *m + take_first * g;
                *v = keep_second * *v + take_second * g * g;
                *w = *w * decay - rate * *m / ((*v * correction).sqrt() + epsilon);
            });
        }
    }
}
