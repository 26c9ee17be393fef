//! Error measures of forecasts.

use serde::{Deserialize, Serialize};

/// Root mean squared error, in the unit of the values. `None` unless both have the same length and are not empty.
#[must_use]
pub fn rmse(actual: &[f64], forecast: &[f64]) -> Option<f64> {
    mean(actual, forecast, |a, f| (a - f) * (a - f)).map(f64::sqrt)
}

/// Mean absolute error, in the unit of the values. `None` as for [`rmse`].
#[must_use]
pub fn mae(actual: &[f64], forecast: &[f64]) -> Option<f64> {
    mean(actual, forecast, |a, f| (a - f).abs())
}

/// Mean absolute scaled error (Hyndman and Koehler, 2006): [`mae`] in units of `naive`, the mean absolute error of the
/// naive forecast on the training data. `None` as for [`rmse`], or if `naive` is not positive.
#[must_use]
pub fn mase(actual: &[f64], forecast: &[f64], naive: f64) -> Option<f64> {
    (naive > 0.0).then_some(mae(actual, forecast)? / naive)
}

/// QLIKE loss of one variance forecast: `a/f - ln(a/f) - 1`, 0 for a perfect one. It ranks forecasts correctly even when
/// `actual` is a noisy, unbiased estimate (Patton, 2011). Both must be positive.
#[must_use]
pub fn qlike(actual: f64, forecast: f64) -> f64 {
    let ratio = actual / forecast;
    ratio - ratio.ln() - 1.0
}

/// A share with its 95 % Wilson interval (Wilson, 1927).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// Share observed, 0 to 1.
    pub share: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// Trials, after any correction for overlap.
    pub trials: f64,
}

impl Share {
    /// Share of `hits` in `trials`. If trials overlap, as directions over several bars do, both are first
    /// divided by `overlap`, so that the interval does not assume more independent trials than there are.
    /// `None` without trials.
    #[must_use]
    pub fn wilson(hits: usize, trials: usize, overlap: usize) -> Option<Self> {
        const Z: f64 = 1.959_963_984_540_054;
        if trials == 0 {
            return None;
        }
        let share = hits as f64 / trials as f64;
        let trials = trials as f64 / overlap.max(1) as f64;
        let square = Z * Z / trials;
        let centre = (share + square / 2.0) / (1.0 + square);
        let half = Z * (share * (1.0 - share) / trials + square / (4.0 * trials)).sqrt() / (1.0 + square);
        Some(Self { share, low: (centre - half).max(0.0), high: (centre + half).min(1.0), trials })
    }
}

/// Continuous ranked probability score of `actual` under the empirical distribution of `sorted` (ascending): the mean
/// distance to the sample minus half the mean distance within it (Gneiting and Raftery, 2007). In the unit of the
/// values, 0 for a perfect forecast. `None` for an empty sample.
#[must_use]
pub fn crps(sorted: &[f64], actual: f64) -> Option<f64> {
    if sorted.is_empty() {
        return None;
    }
    let n = sorted.len() as f64;
    let distance = sorted.iter().map(|x| (x - actual).abs()).sum::<f64>() / n;
    // Sum over pairs of |xi - xj| is 2 * sum (2i - n + 1) * x[i] for ascending x.
    let spread: f64 = sorted.iter().enumerate().map(|(i, x)| (2.0 * i as f64 - n + 1.0) * x).sum();
    Some(distance - spread / (n * n))
}

fn mean(actual: &[f64], forecast: &[f64], of: impl Fn(f64, f64) -> f64) -> Option<f64> {
    if actual.is_empty() || actual.len() != forecast.len() {
        return None;
    }
    let total: f64 = actual.iter().zip(forecast).map(|(a, f)| of(*a, *f)).sum();
    Some(total / actual.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_follow_their_formulas() {
        assert_eq!(mae(&[1.0, 2.0], &[2.0, 4.0]), Some(1.5));
        assert_eq!(rmse(&[0.0, 0.0], &[3.0, 3.0]), Some(3.0));
        assert_eq!(mase(&[7.0], &[6.0], 2.0), Some(0.5));
        assert_eq!((mae(&[], &[]), rmse(&[1.0], &[]), mase(&[1.0], &[1.0], 0.0)), (None, None, None));
    }

    #[test]
    fn qlike_is_zero_at_the_truth_and_punishes_too_low_more() {
        assert_eq!(qlike(4.0, 4.0), 0.0);
        assert!(qlike(4.0, 2.0) > qlike(4.0, 8.0));
    }

    #[test]
    fn wilson_agrees_with_a_published_value() {
        // 15 of 20: 0.531 to 0.888.
        let share = Share::wilson(15, 20, 1).unwrap();
        assert!((share.low - 0.5313).abs() < 1e-4 && (share.high - 0.8881).abs() < 1e-4, "{share:?}");
        let overlapping = Share::wilson(15, 20, 5).unwrap();
        assert!(overlapping.low < share.low && overlapping.high > share.high);
        assert_eq!(Share::wilson(0, 0, 1), None);
    }

    #[test]
    fn crps_agrees_with_its_definition() {
        let sample = [-1.0, 0.5, 2.0, 2.5];
        let pairs = sample.iter().flat_map(|a| sample.iter().map(move |b| f64::abs(a - b))).sum::<f64>();
        let direct = sample.iter().map(|x| f64::abs(x - 0.7)).sum::<f64>() / 4.0 - pairs / 32.0;
        assert!((crps(&sample, 0.7).unwrap() - direct).abs() < 1e-15);
        assert_eq!(crps(&[3.0], 1.0), Some(2.0));
        assert_eq!(crps(&[], 1.0), None);
    }
}
