//! Common scales: features with mean 0 and variance 1, dimensionless targets.

use crate::{Dataset, Task};
use ndarray::Array2;
use std::ops::Range;

/// Means and standard deviations of columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Scaler {
    /// Mean of each column.
    pub means: Vec<f64>,
    /// Standard deviation of each column; 0 marks a constant column, which is scaled to 0.
    pub deviations: Vec<f64>,
}

impl Scaler {
    /// Measures the columns of `rows` of `values`.
    #[must_use]
    pub fn fit(values: &Array2<f64>, rows: Range<usize>) -> Self {
        let count = rows.len().max(1) as f64;
        let mut means = vec![0.0; values.ncols()];
        let mut deviations = vec![0.0; values.ncols()];
        for (column, (mean, deviation)) in means.iter_mut().zip(&mut deviations).enumerate() {
            *mean = rows.clone().map(|row| values[(row, column)]).sum::<f64>() / count;
            let square = |row: usize| (values[(row, column)] - *mean).powi(2);
            let found = (rows.clone().map(square).sum::<f64>() / count).sqrt();
            *deviation = if found > 1e-9 * (1.0 + mean.abs()) { found } else { 0.0 };
        }
        Self { means, deviations }
    }

    /// Scales one value of `column`; clipped at ten standard deviations.
    #[must_use]
    pub fn apply(&self, column: usize, value: f64) -> f64 {
        let deviation = self.deviations[column];
        if deviation > 0.0 { ((value - self.means[column]) / deviation).clamp(-10.0, 10.0) } else { 0.0 }
    }

    /// Undoes [`Scaler::apply`], except for the clipping.
    #[must_use]
    pub fn invert(&self, column: usize, value: f64) -> f64 {
        self.means[column] + value * self.deviations[column]
    }
}

/// A dimensionless value of `task` for the forecast made at `origin`: a return in standard deviations as known then, a
/// variance or range as the logarithm of its ratio to the mean variance over the last 22 bars.
pub(crate) fn encode(data: &Dataset, task: Task, origin: usize, value: f64) -> f64 {
    if task.target.is_positive() {
        (value / reference(data, task, origin)).ln()
    } else {
        value / data.return_scale(origin, task.horizon)
    }
}

/// Undoes [`encode`].
pub(crate) fn decode(data: &Dataset, task: Task, origin: usize, value: f64) -> f64 {
    if task.target.is_positive() {
        value.exp() * reference(data, task, origin)
    } else {
        value * data.return_scale(origin, task.horizon)
    }
}

fn reference(data: &Dataset, task: Task, origin: usize) -> f64 {
    let mean = data.variance_between(origin + 1 - 22, origin + 1) / 22.0 * task.horizon as f64;
    if task.target == crate::Target::Variance { mean } else { mean.sqrt() }
}
