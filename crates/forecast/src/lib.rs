//! Forecasts of return, volatility and range from bars, evaluated walk-forward against baselines.
//!
//! Pure numerics: bars in, numbers or bytes out. No I/O, no clock, no knowledge of the pipeline; the same input and seed
//! give the same bits. Modules in the order data flows:
//!
//! ```text
//! bar           validated input series
//! split         splits that a series is not adjusted for
//! clean         bad prints
//! volatility    variance of one bar from its prices
//! target        the forecast quantity and horizon
//! measures      returns, variances and ranges of a series (private)
//! dataset       everything models read from a series; training rows
//! feature       features of a row
//! scale         common scales of features and targets
//! rng           deterministic random numbers
//! linear        least squares and ridge by QR
//! simplex       minimisation without derivatives (private)
//! baseline      random walk, drift, seasonal, EWMA, HAR, GARCH(1,1), exponential smoothing
//! calibration   corrects the level of forecasts by their latest errors
//! ridge         ridge regression on all features
//! lstm          long short-term memory
//! model         all models behind one type
//! level         baselines of readings: levels instead of returns
//! walk_forward  folds with purging and embargo
//! leak          proof that no forecast sees the future
//! conformal     prediction intervals
//! score         RMSE, MASE, QLIKE, direction, coverage, CRPS
//! special       distributions of test statistics
//! compare       Diebold-Mariano test and Holm correction
//! scoreboard    scores and verdicts of all models
//! bundle        trained models, their intervals and scores
//! live          forecasts bar by bar, each with the best model of its task
//! renewal       trains again, and whether that is better
//! file          bundle to bytes and back
//! error         errors of invalid input
//! ```
//!
//! ```
//! use forecast::{Ohlcv, Dataset, Series, Target, Task};
//! use forecast::baseline::naive;
//!
//! let bar = |day: i64| {
//!     let close = 100.0 + (day as f64 * 0.7).sin();
//!     Ohlcv { start_ns: day * 86_400_000_000_000, open: 100.0, high: 102.0, low: 98.0, close, volume: 1e6 }
//! };
//! let data = Dataset::new(&Series::new((0..100).map(bar).collect())?, 5)?;
//! let task = Task { target: Target::Variance, horizon: 5 };
//! let variance = naive::ewma(&data, task, 99..100)[0];
//! assert!(variance.sqrt() > 0.0 && variance.sqrt() < 0.05);
//! # Ok::<(), forecast::ForecastError>(())
//! ```
#![deny(missing_docs)]

pub mod bar;
pub mod baseline;
pub mod bundle;
pub mod calibration;
pub mod clean;
pub mod compare;
pub mod conformal;
pub mod dataset;
pub mod error;
pub mod feature;
pub mod file;
pub mod leak;
pub mod level;
pub mod linear;
pub mod live;
pub mod lstm;
mod measures;
pub mod model;
pub mod renewal;
pub mod ridge;
pub mod rng;
pub mod scale;
pub mod score;
pub mod scoreboard;
mod simplex;
mod special;
pub mod split;
pub mod target;
pub mod volatility;
pub mod walk_forward;

pub use bar::{Ohlcv, Series};
pub use bundle::Bundle;
pub use dataset::Dataset;
pub use error::ForecastError;
pub use model::{Model, ModelKind};
pub use target::{Target, Task};
