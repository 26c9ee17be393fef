//! Baselines without parameters. Definitions: Hyndman and Athanasopoulos, *Forecasting: Principles and Practice* (3rd
//! edition), section 5.2; RiskMetrics technical document (1996), section 5.2.

use crate::dataset::Dataset;
use crate::measures::{EWMA_DECAY, smoothed};
use crate::{Target, Task};
use std::ops::Range;

/// Nothing changes: a return of 0; the variance or range of the last `horizon` bars.
#[must_use]
pub fn random_walk(data: &Dataset, task: Task, rows: Range<usize>) -> Vec<f64> {
    let value = |t| if task.target == Target::Return { 0.0 } else { data.realised(task, t) };
    rows.map(value).collect()
}

/// Mean return of the bars up to `known`, per bar.
#[must_use]
pub fn mean_return(data: &Dataset, known: usize) -> f64 {
    (data.bars()[known].close / data.bars()[0].close).ln() / known.max(1) as f64
}

/// The value one season earlier (as many seasons as needed for it to be known).
#[must_use]
pub fn seasonal(data: &Dataset, task: Task, rows: Range<usize>) -> Vec<f64> {
    let back = task.horizon.div_ceil(data.measures.season) * data.measures.season;
    rows.map(|t| data.realised(task, (t + task.horizon).saturating_sub(back).max(task.horizon))).collect()
}

/// Exponentially weighted mean of squared returns times the horizon: RiskMetrics, decay 0.94.
#[must_use]
pub fn ewma(data: &Dataset, task: Task, rows: Range<usize>) -> Vec<f64> {
    rows.map(|t| data.measures.ewma[t] * task.horizon as f64).collect()
}

/// Exponentially weighted mean, decay 0.94, of what the task is scored by: the bars' variances, or the ranges of
/// `horizon` bars.
#[must_use]
pub fn ewma_of_target(data: &Dataset, task: Task, rows: Range<usize>) -> Vec<f64> {
    if task.target == Target::Variance {
        return rows.map(|t| data.measures.ewma_variance[t] * task.horizon as f64).collect();
    }
    let realised: Vec<f64> = (task.horizon..rows.end).map(|t| data.realised(task, t)).collect();
    let means = smoothed(&realised, EWMA_DECAY);
    rows.map(|t| means[t.saturating_sub(task.horizon)]).collect()
}
