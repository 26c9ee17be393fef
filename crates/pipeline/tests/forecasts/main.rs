//! Forecasts of the bars topic on the embedded engines.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value, reason = "tests")]

mod behaviour;
mod crash;
mod fixture;
mod retrain;
