//! Long short-term memory over `ndarray`: exact gradients, deterministic by seed, no framework.
//!
//! ```text
//! real       floating-point types and vectorised activations
//! network    forward and backward pass
//! adam       optimiser
//! train      epochs over windows
//! forecaster features in, forecasts out: windows, early stopping, several tasks at once
//! ```

pub mod adam;
pub mod forecaster;
pub mod network;
pub mod real;
pub mod train;
