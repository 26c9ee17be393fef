//! Baselines: forecasts that cost nothing or little. What a model does not beat, it has not earned.

pub mod ets;
pub mod garch;
pub mod har;
pub mod naive;
