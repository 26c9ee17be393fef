//! Tests whether one forecast is significantly better than another.

use crate::special::student_t_two_sided;
use serde::{Deserialize, Serialize};

/// Result of a Diebold-Mariano test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DieboldMariano {
    /// Mean loss of the first forecast minus that of the second: negative if the first is better.
    pub mean_difference: f64,
    /// Test statistic with the small-sample correction of Harvey, Leybourne and Newbold (1997).
    pub statistic: f64,
    /// Two-sided p value under Student's t distribution with n - 1 degrees of freedom.
    pub p_value: f64,
}

/// Tests whether two series of losses have the same mean (Diebold and Mariano, 1995).
///
/// The variance of the mean difference is Newey and West's with Bartlett weights, which cannot turn negative, and as many
/// lags as the horizon overlaps, but at least `n^(1/3)`: losses of volatility forecasts are correlated beyond the
/// horizon. `None` for fewer than 10 pairs or equal losses.
#[must_use]
pub fn diebold_mariano(first: &[f64], second: &[f64], horizon: usize) -> Option<DieboldMariano> {
    let count = first.len().min(second.len());
    if count < 10 {
        return None;
    }
    let n = count as f64;
    let differences: Vec<f64> = first.iter().zip(second).map(|(a, b)| a - b).collect();
    let mean = differences.iter().sum::<f64>() / n;
    let lags = horizon.saturating_sub(1).max(n.cbrt().floor() as usize).min(count - 1);
    let variance = long_run_variance(&differences, mean, lags);
    if variance.is_nan() || variance <= 0.0 {
        return None;
    }
    let h = horizon as f64;
    let correction = ((n + 1.0 - 2.0 * h + h * (h - 1.0) / n) / n).max(0.0).sqrt();
    let statistic = correction * mean / (variance / n).sqrt();
    Some(DieboldMariano {
        mean_difference: mean,
        statistic,
        p_value: student_t_two_sided(statistic, n - 1.0),
    })
}

/// Newey and West (1987), Bartlett weights.
fn long_run_variance(values: &[f64], mean: f64, lags: usize) -> f64 {
    let n = values.len() as f64;
    let autocovariance =
        |lag: usize| values[lag..].iter().zip(values).map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>() / n;
    let weighted = |lag: usize| 2.0 * (1.0 - lag as f64 / (lags + 1) as f64) * autocovariance(lag);
    autocovariance(0) + (1..=lags).map(weighted).sum::<f64>()
}

/// Adjusts p values for the number of tests made at once (Holm, 1979): an adjusted value below 0.05 is significant at a
/// family-wise error rate of 5 %.
#[must_use]
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let mut adjusted = vec![0.0; p_values.len()];
    let mut least = 0.0f64;
    for (rank, index) in order.into_iter().enumerate() {
        least = least.max((p_values.len() - rank) as f64 * p_values[index]).min(1.0);
        adjusted[index] = least;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn rejects_equal_losses_about_as_often_as_promised() {
        let mut rng = Rng::new(11);
        let mut rejected = 0;
        for _ in 0..2000 {
            let mut draw = || (0..200).map(|_| rng.normal().powi(2)).collect::<Vec<f64>>();
            let (first, second) = (draw(), draw());
            rejected += usize::from(diebold_mariano(&first, &second, 1).unwrap().p_value < 0.05);
        }
        assert!((80..180).contains(&rejected), "{rejected} of 2000");
    }

    #[test]
    fn finds_a_real_difference_and_none_between_equals() {
        let mut rng = Rng::new(12);
        let worse: Vec<f64> = (0..500).map(|_| 1.2 + rng.normal().powi(2)).collect();
        let better: Vec<f64> = (0..500).map(|_| rng.normal().powi(2)).collect();
        let test = diebold_mariano(&better, &worse, 1).unwrap();
        assert!(test.mean_difference < 0.0 && test.p_value < 1e-6, "{test:?}");
        assert_eq!(diebold_mariano(&better, &better, 1), None);
        assert_eq!(diebold_mariano(&better[..5], &worse[..5], 1), None);
    }

    #[test]
    fn holm_multiplies_by_the_tests_that_are_left() {
        let adjusted = holm(&[0.01, 0.04, 0.03, 0.005]);
        let expected = [0.03, 0.06, 0.06, 0.02];
        assert!(adjusted.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{adjusted:?}");
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
    }
}
