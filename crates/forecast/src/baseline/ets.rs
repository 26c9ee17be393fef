//! ETS(A,N,N): simple exponential smoothing with additive errors (Hyndman and Athanasopoulos, section 8.1). The smoothing
//! weight minimises the squared one-step errors; the level starts at the first value.
//!
//! No trend and no season: neither improves forecasts of log variances, log ranges and log prices.

use crate::{ForecastError, simplex};

/// Minimum number of values for a fit.
const MIN_VALUES: usize = 30;

/// A fitted smoother.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ets {
    /// Weight of the newest value, 0 to 1.
    pub alpha: f64,
}

impl Ets {
    /// Fits the smoothing weight.
    ///
    /// # Errors
    /// [`ForecastError::TooShort`] for fewer than 30 values.
    pub fn fit(values: &[f64]) -> Result<Self, ForecastError> {
        if values.len() < MIN_VALUES {
            let purpose = String::from("exponential smoothing");
            return Err(ForecastError::TooShort { purpose, needed: MIN_VALUES, found: values.len() });
        }
        let cost = |point: &[f64]| {
            let alpha = point[0];
            if !(1e-4..=0.9999).contains(&alpha) {
                return f64::INFINITY;
            }
            let levels = Self { alpha }.levels(values);
            levels.iter().zip(&values[1..]).map(|(level, value)| (value - level).powi(2)).sum()
        };
        let starts = [0.05, 0.3, 0.8];
        let fits = starts.map(|start| simplex::minimise(cost, &[start], &[0.1], 200, 1e-12));
        let best = fits.into_iter().min_by(|a, b| a.1.total_cmp(&b.1));
        Ok(Self { alpha: best.map_or(0.3, |(point, _)| point[0]) })
    }

    /// Level after each value, which is the forecast of all later ones.
    #[must_use]
    pub fn levels(&self, values: &[f64]) -> Vec<f64> {
        let mut level = values.first().copied().unwrap_or_default();
        let mut follow = |value: &f64| {
            level += self.alpha * (value - level);
            level
        };
        values.iter().map(&mut follow).collect()
    }
}
