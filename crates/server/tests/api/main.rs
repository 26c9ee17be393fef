//! The REST API and the stream against the embedded engines, hostile clients included.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value, reason = "tests")]

mod alerts;
mod alpaca_stream;
mod compat;
mod forecasts;
mod harness;
mod hostile;
mod push;
mod read;
mod readings;
mod stream;
