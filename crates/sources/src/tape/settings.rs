//! Settings of a tape.

use market::Kind;
use std::path::PathBuf;

/// Settings of a tape.
#[derive(Debug, Clone)]
pub struct TapeSettings {
    /// The folder.
    pub dir: PathBuf,
    /// Speed relative to real time; `None`: as fast as possible.
    pub speed: Option<f64>,
    /// Only these symbols, case-insensitive; all if empty.
    pub symbols: Vec<String>,
    /// Only these kinds.
    pub kinds: Vec<Kind>,
    /// Only these sessions (`20131008`); all if empty.
    pub dates: Vec<u32>,
    /// Feed label of the records.
    pub feed: String,
    /// The exchange's time zone.
    pub zone: String,
}
