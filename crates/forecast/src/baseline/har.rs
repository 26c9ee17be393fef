//! HAR: heterogeneous autoregression of realised variance (Corsi, 2009). The next value is a linear function of the
//! means of the last 1, 5 and 22 bars, fitted by least squares.

use crate::linear::Linear;
use crate::{Dataset, ForecastError, Target, Task};
use ndarray::Array2;
use std::ops::Range;

/// Windows of the three means, in bars.
pub const LAGS: [usize; 3] = [1, 5, 22];

/// Fitted coefficients for one task.
#[derive(Debug, Clone, PartialEq)]
pub struct Har {
    /// Intercept and the coefficients of the means of the last 1, 5 and 22 bars.
    pub linear: Linear,
    /// Smallest value in the training data: a linear model can go below zero, a variance cannot.
    pub floor: f64,
}

impl Har {
    /// Fits the direct forecast of `task` (variance or range) on `rows`.
    ///
    /// # Errors
    /// As [`Linear::fit`].
    pub fn fit(data: &Dataset, task: Task, rows: Range<usize>) -> Result<Self, ForecastError> {
        let mut inputs = Array2::zeros((rows.len(), LAGS.len()));
        let mut targets = Vec::with_capacity(rows.len());
        for (index, t) in rows.enumerate() {
            for (column, value) in means(data, task.target, t).into_iter().enumerate() {
                inputs[(index, column)] = value;
            }
            targets.extend(data.truth(task, t));
        }
        let floor = targets.iter().copied().fold(f64::INFINITY, f64::min);
        Ok(Self { linear: Linear::fit(&inputs.view(), &targets, 0.0)?, floor })
    }

    /// Forecasts for `rows`.
    #[must_use]
    pub fn forecast(&self, data: &Dataset, task: Task, rows: Range<usize>) -> Vec<f64> {
        rows.map(|t| self.linear.predict(means(data, task.target, t)).max(self.floor)).collect()
    }
}

fn means(data: &Dataset, target: Target, t: usize) -> [f64; 3] {
    LAGS.map(|bars| match target {
        Target::Range => data.measures.ranges[t + 1 - bars..=t].iter().sum::<f64>() / bars as f64,
        Target::Variance | Target::Return => data.variance_between(t + 1 - bars, t + 1) / bars as f64,
    })
}

/// Fits the classic one-step HAR to a plain series: the intercept, then the coefficients of the three means.
///
/// # Errors
/// As [`Linear::fit`].
pub fn fit_series(values: &[f64]) -> Result<Linear, ForecastError> {
    let longest = LAGS[2];
    let rows = values.len().saturating_sub(longest);
    let mean = |end: usize, bars: usize| values[end - bars..end].iter().sum::<f64>() / bars as f64;
    let inputs = Array2::from_shape_fn((rows, 3), |(row, lag)| mean(row + longest, LAGS[lag]));
    Linear::fit(&inputs.view(), values.get(longest..).unwrap_or_default(), 0.0)
}
