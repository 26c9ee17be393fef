//! Settings of a live feed.

use super::vendor::Vendor;
use market::calendar::Calendar;
use std::sync::Arc;
use std::time::Duration;

/// Settings of a live feed.
#[derive(Debug, Clone)]
pub struct LiveSettings {
    /// The vendor's client.
    pub vendor: Arc<dyn Vendor>,
    /// Feed label of its records, for example `alpaca.iex`.
    pub feed: String,
    /// Exchange calendar: while the market is closed, silence is expected.
    pub calendar: Calendar,
    /// Silence of a symbol, in market seconds, that is checked; 20 times its usual pause if that is longer.
    pub stall_s: f64,
    /// Market seconds per second: 1, or a simulator's speed.
    pub speed: f64,
    /// Whether to backfill what was missed.
    pub backfill: bool,
    /// How long connecting for the first time may fail; indefinitely if not set.
    pub connect_within: Option<Duration>,
}
