//! Baselines: simple forecasts that a model must beat to be worth its cost.

pub mod ets;
pub mod garch;
pub mod har;
pub mod naive;
