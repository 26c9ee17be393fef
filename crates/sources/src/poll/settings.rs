//! Settings of a polled source.

use market::UnixNanos;
use market::codec::poll::PollVendor;
use market::interval::Interval;
use ports::secret::Secret;
use std::time::Duration;

/// Settings of a polled source.
#[derive(Debug, Clone)]
pub struct PollSettings {
    /// The vendor.
    pub vendor: PollVendor,
    /// Its name in URLs and labels.
    pub name: &'static str,
    /// Base address, for example `https://query2.finance.yahoo.com`.
    pub rest: String,
    /// Key; empty if none is needed.
    pub key: Secret,
    /// Secret that belongs to the key.
    pub secret: Secret,
    /// Feed label of the bars.
    pub feed: String,
    /// Symbols.
    pub symbols: Vec<String>,
    /// Bar interval.
    pub interval: Interval,
    /// Time between two requests for a symbol.
    pub every: Duration,
    /// Earliest start of a bar; default a day or a month ago.
    pub from: Option<UnixNanos>,
    /// Latest start of a bar; default now.
    pub to: Option<UnixNanos>,
    /// Ends after one request for each symbol.
    pub once: bool,
    /// Requests allowed in any minute.
    pub per_minute: u32,
    /// Requests allowed per UTC day; 0: no limit.
    pub per_day: u64,
    /// How long the vendor may be unreachable before its first reply; indefinitely if not set.
    pub connect_within: Option<Duration>,
}
