//! Settings of a run.

use ports::topic::Names;
use std::time::Duration;

/// Settings of a run.
#[derive(Debug, Clone)]
pub struct AggregateSettings {
    /// Topic names.
    pub names: Names,
    /// The consumer group; not the one that stores records.
    pub group: String,
    /// How bars are built.
    pub bars: market::bar::AggregatorSettings,
    /// Maximum number of records fetched at once.
    pub cycle: usize,
    /// How often changed bars are emitted.
    pub emit_every: Duration,
    /// How often bars are written and offsets committed.
    pub commit_every: Duration,
}

/// How long to wait for messages before other work is checked.
pub(super) const WAIT: Duration = Duration::from_millis(20);
