//! The comparison of source, topic and store, and its last result.

use market::UnixNanos;
use ports::CancelToken;
use serde::Serialize;
use serde_json::Value;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Compares source, topic and store over a range of event time.
pub type Verify = Arc<dyn Fn(Range<UnixNanos>, &CancelToken) -> ports::Result<Proof> + Send + Sync>;

/// Result of a comparison.
#[derive(Debug, Clone, Serialize)]
pub struct Proof {
    /// Names of the compared sides: `source`, `topic`, `store`.
    pub places: Vec<String>,
    /// One line for each symbol and kind.
    pub lines: Vec<ProofLine>,
    /// Remarks: repeats, unreadable messages.
    pub notes: Vec<String>,
}

/// One symbol's records of one kind.
#[derive(Debug, Clone, Serialize)]
pub struct ProofLine {
    /// `trades` or `quotes`.
    pub kind: String,
    /// The instrument.
    pub symbol: String,
    /// Number of records on each side.
    pub counts: Vec<u64>,
    /// Fingerprint of the records on each side.
    pub fingerprints: Vec<String>,
    /// Whether all sides are equal.
    pub equal: bool,
}

/// The last or the running comparison.
#[derive(Default)]
pub(crate) struct Verification(Mutex<Progress>);

/// How far it is.
#[derive(Default)]
pub(crate) enum Progress {
    #[default]
    None,
    Running(UnixNanos),
    Done(Value),
}

impl Verification {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Progress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
