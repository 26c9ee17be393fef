//! Corrects the level of a model's forecasts by its latest known errors.
//!
//! A model of a logarithm forecasts the median; the mean of a variance lies higher (Duan's smearing estimate, 1983), and
//! by how much drifts with the regime. A model of returns is usually too bold: its forecasts are shrunk towards 0.

use crate::{Dataset, Target, Task};
use std::ops::Range;

/// Number of rows before the first forecast whose errors are used.
pub(crate) const HISTORY: usize = 300;

/// Weight of an error relative to that of the next one.
const DECAY: f64 = 0.99;

/// Weight of "no correction", in errors.
const PRIOR: f64 = 20.0;

/// Largest ratio of actual to forecast that counts in full.
const MAX_RATIO: f64 = 10.0;

/// Factor that corrects `forecasts`: for a variance the mean of actual over forecast, for a range their geometric mean
/// (its loss is that of the logarithm), for a return the least-squares slope within 0 to 1.
#[must_use]
pub fn level(task: Task, truths: &[f64], forecasts: &[f64]) -> f64 {
    let count = truths.len().min(forecasts.len());
    if count == 0 {
        return 1.0;
    }
    let pairs = || truths.iter().zip(forecasts);
    match task.target {
        Target::Variance => pairs().map(|(y, f)| (y / f).min(MAX_RATIO)).sum::<f64>() / count as f64,
        Target::Range => (pairs().map(|(y, f)| (y / f).ln()).sum::<f64>() / count as f64).exp(),
        Target::Return => {
            let product: f64 = pairs().map(|(y, f)| y * f).sum();
            let square: f64 = forecasts.iter().map(|f| f * f).sum();
            if square > 0.0 { (product / square).clamp(0.0, 1.0) } else { 0.0 }
        }
    }
}

/// Multiplies forecasts by the exponentially weighted [`level`] of those whose truth was known at each origin. Returns
/// are unchanged.
///
/// `forecasts` are those of `from..rows.end`, where `from` lies up to 300 rows before `rows`; the result covers `rows`.
pub(crate) fn track_level(
    data: &Dataset,
    task: Task,
    from: usize,
    rows: &Range<usize>,
    forecasts: &[f64],
) -> Vec<f64> {
    let skip = rows.start - from;
    if !task.target.is_positive() {
        return forecasts[skip..].to_vec();
    }
    let mut weight = PRIOR;
    let mut sum = if task.target == Target::Variance { PRIOR } else { 0.0 };
    let mut out = Vec::with_capacity(rows.len());
    for origin in from..rows.end {
        let settled = origin.checked_sub(task.horizon).filter(|settled| *settled >= from);
        if let Some(settled) = settled {
            let ratio = data.realised(task, origin) / forecasts[settled - from];
            let value = if task.target == Target::Variance { ratio.min(MAX_RATIO) } else { ratio.ln() };
            weight = DECAY * weight + 1.0;
            sum = DECAY * sum + value;
        }
        if origin >= rows.start {
            let mean = sum / weight;
            let factor = if task.target == Target::Variance { mean } else { mean.exp() };
            out.push(forecasts[origin - from] * factor);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_follow_the_loss_of_the_target() {
        let of = |target| Task { target, horizon: 1 };
        assert!((level(of(Target::Variance), &[1.0, 4.0], &[1.0, 1.0]) - 2.5).abs() < 1e-12);
        assert!((level(of(Target::Range), &[1.0, 4.0], &[1.0, 1.0]) - 2.0).abs() < 1e-12);
        assert!((level(of(Target::Return), &[0.5, -0.5], &[1.0, -1.0]) - 0.5).abs() < 1e-12);
        assert_eq!(level(of(Target::Return), &[0.5], &[-1.0]), 0.0);
        assert_eq!(level(of(Target::Return), &[0.5], &[0.0]), 0.0);
        assert_eq!(level(of(Target::Variance), &[], &[]), 1.0);
    }
}
