//! ETS(A,N,N): simple exponential smoothing with additive errors (Hyndman and Athanasopoulos, section 8.1). Smoothing
//! weight and first level maximise the likelihood of normal errors: they minimise the squared one-step errors.
//!
//! No trend and no season: an automatic choice among the ETS models takes this one for log variances and log ranges
//! (ADR 23).

use crate::{ForecastError, simplex};

/// Minimum number of values for a fit.
const MIN_VALUES: usize = 30;

/// Bounds of the smoothing weight.
const WEIGHTS: std::ops::RangeInclusive<f64> = 1e-4..=0.9999;

/// Number of values whose mean is the first level that the search starts from.
const FIRST: usize = 10;

/// A fitted smoother.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ets {
    /// Weight of the newest value, 0 to 1.
    pub alpha: f64,
    /// Level before the first value.
    pub initial: f64,
    /// Variance of the one-step errors.
    pub variance: f64,
}

impl Ets {
    /// Fits weight and first level.
    ///
    /// # Errors
    /// [`ForecastError::TooShort`] for fewer than 30 values.
    pub fn fit(values: &[f64]) -> Result<Self, ForecastError> {
        if values.len() < MIN_VALUES {
            let purpose = String::from("exponential smoothing");
            return Err(ForecastError::TooShort { purpose, needed: MIN_VALUES, found: values.len() });
        }
        let first = values[..FIRST].iter().sum::<f64>() / FIRST as f64;
        // The error of each value is linear in the first level, so the best one for a weight is a division.
        let of_weight = |alpha: f64| {
            let (mut level, mut share) = (first, 1.0);
            let (mut product, mut square) = (0.0, 0.0);
            for value in values {
                let error = value - level;
                product += error * share;
                square += share * share;
                level += alpha * error;
                share *= 1.0 - alpha;
            }
            Self { alpha, initial: first + product / square, variance: 0.0 }
        };
        let cost = |point: &[f64]| {
            if WEIGHTS.contains(&point[0]) {
                of_weight(point[0]).squared_errors(values)
            } else {
                f64::INFINITY
            }
        };
        let starts = [0.05, 0.3, 0.8];
        let fits = starts.map(|start| simplex::minimise(cost, &[start], &[0.1], 200, 1e-12));
        // The simplex only comes close to a bound.
        let bounds = [*WEIGHTS.start(), *WEIGHTS.end()].map(|alpha| (vec![alpha], cost(&[alpha])));
        let best = fits.into_iter().chain(bounds).min_by(|a, b| a.1.total_cmp(&b.1));
        let fitted = of_weight(best.map_or(0.3, |(point, _)| point[0]));
        // Degrees of freedom as in statsforecast: weight, level and variance, and one more.
        let variance = fitted.squared_errors(values) / (values.len() - 4) as f64;
        Ok(Self { variance, ..fitted })
    }

    /// Level after each value, which is the forecast of all later ones.
    #[must_use]
    pub fn levels(&self, values: &[f64]) -> Vec<f64> {
        let mut level = self.initial;
        let mut follow = |value: &f64| {
            level += self.alpha * (value - level);
            level
        };
        values.iter().map(&mut follow).collect()
    }

    /// Variance of the forecast error `horizon` values ahead, with normal errors (Hyndman and Athanasopoulos, table 8.8).
    #[must_use]
    pub fn forecast_variance(&self, horizon: usize) -> f64 {
        self.variance * (1.0 + self.alpha * self.alpha * horizon.saturating_sub(1) as f64)
    }

    fn squared_errors(&self, values: &[f64]) -> f64 {
        let mut level = self.initial;
        let mut sum = 0.0;
        for value in values {
            let error = value - level;
            sum += error * error;
            level += self.alpha * error;
        }
        sum
    }
}
