//! Proof that no forecast sees the future: change everything after a bar, and every forecast made by then must keep
//! every bit.

use crate::rng::Rng;
use crate::{ForecastError, Ohlcv, Series};

/// A forecast that changed when only later bars did.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LeakError {
    /// A forecast depends on bars after its origin.
    #[error(
        "the forecast made at bar {origin} reads bars after {cut}: it was {before}, and is {after} with a different \
         future"
    )]
    Leak {
        /// Bar at whose close the forecast was made.
        origin: usize,
        /// Last bar left unchanged.
        cut: usize,
        /// Forecast with the true future.
        before: f64,
        /// Forecast with the changed future.
        after: f64,
    },
    /// The two runs made different numbers of forecasts.
    #[error("found {after} forecasts up to bar {cut} with a different future, {before} before")]
    Count {
        /// Last bar left unchanged.
        cut: usize,
        /// Forecasts with the true future.
        before: usize,
        /// Forecasts with the changed future.
        after: usize,
    },
    /// A run failed.
    #[error(transparent)]
    Forecast(#[from] ForecastError),
}

/// Runs `forecasts` (origin and value of each) on `series` and again with all bars after each of `cuts` replaced, and
/// compares the forecasts with an origin up to the cut bit by bit.
///
/// # Errors
/// The first difference, or the error of a run.
pub fn check(
    series: &Series,
    cuts: &[usize],
    seed: u64,
    forecasts: impl Fn(&Series) -> Result<Vec<(usize, f64)>, ForecastError>,
) -> Result<(), LeakError> {
    let original = forecasts(series)?;
    for &cut in cuts {
        let changed = forecasts(&with_other_future(series, cut, seed)?)?;
        let known = |all: &[(usize, f64)]| all.iter().filter(|(origin, _)| *origin <= cut).count();
        let (before, after) = (known(&original), known(&changed));
        if before != after {
            return Err(LeakError::Count { cut, before, after });
        }
        let until = |all: &'_ [(usize, f64)]| -> Vec<(usize, f64)> {
            all.iter().copied().filter(|(origin, _)| *origin <= cut).collect()
        };
        for ((origin, before), (_, after)) in until(&original).into_iter().zip(until(&changed)) {
            if before.to_bits() != after.to_bits() {
                return Err(LeakError::Leak { origin, cut, before, after });
            }
        }
    }
    Ok(())
}

/// `series` with every bar after `cut` replaced by a random walk of prices and volumes.
///
/// # Errors
/// As [`Series::new`].
pub fn with_other_future(series: &Series, cut: usize, seed: u64) -> Result<Series, ForecastError> {
    let mut rng = Rng::new(seed);
    let mut bars = series.bars().to_vec();
    let mut price = bars.get(cut).map_or(1.0, |bar| bar.close);
    for bar in bars.iter_mut().skip(cut + 1) {
        let open = price * (0.01 * rng.normal()).exp();
        let close = open * (0.03 * rng.normal()).exp();
        let high = open.max(close) * (1.0 + 0.02 * rng.uniform());
        let low = open.min(close) * (1.0 - 0.02 * rng.uniform());
        *bar = Ohlcv { open, high, low, close, volume: 1e6 * rng.uniform(), ..*bar };
        price = close;
    }
    Series::new(bars)
}
