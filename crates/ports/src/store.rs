//! The store port: idempotent upsert by natural key, range scan.
//!
//! Writes are identified by id: a batch is submitted and later, in any order, returned as [`Done`]. The
//! caller bounds the number in flight. An adapter retries transient failures indefinitely, with back-off;
//! rows that can never be stored are listed in [`Done::refused`].

use crate::Result;
use crate::batch::Batch;
use crate::check::Chain;
use crate::forecast::ForecastRecord;
use market::bar::Bar;
use market::interval::Interval;
use market::{Kind, Record, UnixNanos};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

/// The store's acknowledgement of a batch.
#[derive(Debug)]
pub struct Done {
    /// The id it was submitted under.
    pub batch_id: u64,
    /// The batch, for its rejected rows and for reuse.
    pub batch: Batch,
    /// Rows (by index) that can never be stored, and why. All others are stored.
    pub refused: Vec<(usize, String)>,
}

/// The writing side.
pub trait Writer: Send {
    /// Submits a batch. Exactly one [`Done`] acknowledges all of its rows.
    ///
    /// # Errors
    /// The writer failed permanently.
    fn submit(&mut self, batch_id: u64, batch: Batch) -> Result<()>;

    /// Returns the next acknowledgement, if one arrives within `wait`.
    ///
    /// # Errors
    /// The writer failed permanently.
    fn completed(&mut self, wait: Duration) -> Result<Option<Done>>;
}

/// Which records to read.
#[derive(Debug, Clone)]
pub struct Scan {
    /// Trades or quotes.
    pub kind: Kind,
    /// One symbol, or all.
    pub symbol: Option<String>,
    /// Start of the event time range, inclusive.
    pub from: UnixNanos,
    /// End of the event time range, exclusive.
    pub to: UnixNanos,
    /// Maximum number of records of each key, in key order.
    pub limit: Option<u64>,
}

impl Scan {
    /// All records of a kind.
    #[must_use]
    pub fn all(kind: Kind) -> Self {
        Self { kind, symbol: None, from: UnixNanos(i64::MIN), to: UnixNanos(i64::MAX), limit: None }
    }
}

/// Records of one kind, symbol and feed, and the span of time they fill. Spans are exact to the bucket of the kind's table:
/// an hour or a day.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirectoryEntry {
    /// Their kind.
    pub kind: Kind,
    /// Their symbol.
    pub symbol: String,
    /// Their feed.
    pub feed: String,
    /// Start of the first bucket.
    pub first: UnixNanos,
    /// Start of the last bucket.
    pub last: UnixNanos,
}

/// Bars of one kind, symbol, feed and interval, and the span of time they fill.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BarSeries {
    /// Bars of trades, quotes or readings.
    pub kind: Kind,
    /// Their symbol.
    pub symbol: String,
    /// Their feed.
    pub feed: String,
    /// Their interval.
    pub interval: Interval,
    /// Start of the first bar.
    pub first: UnixNanos,
    /// Start of the last bar.
    pub last: UnixNanos,
}

/// Record counts by kind and symbol.
pub type Counts = BTreeMap<Kind, BTreeMap<String, u64>>;

/// Callback for each record read; it may end the scan.
pub type Sink<'a> = &'a mut dyn FnMut(&Record<&str>) -> ControlFlow<()>;

/// Which bars to read.
#[derive(Debug, Clone)]
pub struct BarScan {
    /// Bars of trades or of quotes.
    pub kind: Kind,
    /// Symbol.
    pub symbol: String,
    /// Interval.
    pub interval: Interval,
    /// One feed, or all.
    pub feed: Option<String>,
    /// Start of the range, inclusive.
    pub from: UnixNanos,
    /// End of the range, exclusive.
    pub to: UnixNanos,
    /// Maximum number of bars.
    pub limit: Option<u64>,
}

/// Callback for each bar read; it may end the scan.
pub type BarSink<'a> = &'a mut dyn FnMut(Bar) -> ControlFlow<()>;

/// Which forecasts to read.
#[derive(Debug, Clone)]
pub struct ForecastScan {
    /// Symbol.
    pub symbol: String,
    /// Interval of the bars.
    pub interval: Interval,
    /// One feed, or all.
    pub feed: Option<String>,
    /// Start of the range of [`ForecastRecord::made_at`], inclusive.
    pub from: UnixNanos,
    /// End of the range, exclusive.
    pub to: UnixNanos,
}

/// Callback for each forecast read; it may end the scan.
pub type ForecastSink<'a> = &'a mut dyn FnMut(ForecastRecord) -> ControlFlow<()>;

/// A store engine.
pub trait Store: Send + Sync {
    /// Creates missing tables and migrates existing ones; returns one line per table on what was done.
    ///
    /// # Errors
    /// The server refused, or an existing table does not match: the column is named.
    fn init(&self) -> Result<Vec<String>>;

    /// Opens the writing side.
    ///
    /// # Errors
    /// The server is unreachable, or tables are missing or do not match.
    fn writer(&self, stop: &crate::CancelToken) -> Result<Box<dyn Writer>>;

    /// Counts the records.
    ///
    /// # Errors
    /// The store cannot be read.
    fn count(&self) -> Result<Counts>;

    /// What the store holds, in the order of kind, symbol and feed. Read from the directory table, not from the records.
    ///
    /// # Errors
    /// The store cannot be read.
    fn directory(&self) -> Result<Vec<DirectoryEntry>>;

    /// Reads records; those of one symbol in event time order.
    ///
    /// # Errors
    /// The store cannot be read.
    fn scan(&self, scan: &Scan, sink: Sink<'_>) -> Result<()>;

    /// Writes bars, replacing existing ones of the same symbol, interval, start and feed; deletes those
    /// without prices. Of several revisions in one call the last counts. Retries until an unreachable server
    /// returns or `cancel` is set.
    ///
    /// # Errors
    /// A permanent failure, or cancellation.
    fn write_bars(&self, bars: &[Bar], stop: &crate::CancelToken) -> Result<()>;

    /// Reads bars ordered by start, then feed.
    ///
    /// # Errors
    /// The store cannot be read.
    fn scan_bars(&self, scan: &BarScan, sink: BarSink<'_>) -> Result<()>;

    /// The series of bars, in the order of kind, symbol, feed and interval. Reads the key of every bar: the time it takes
    /// grows with their number.
    ///
    /// # Errors
    /// The store cannot be read.
    fn bar_series(&self) -> Result<Vec<BarSeries>>;

    /// Writes forecasts, replacing existing ones of the same identity; the score of an existing one stays if the new one
    /// has none. Retries until an unreachable server returns or `stop` is cancelled.
    ///
    /// # Errors
    /// A permanent failure, or cancellation.
    fn write_forecasts(&self, forecasts: &[ForecastRecord], stop: &crate::CancelToken) -> Result<()>;

    /// Reads forecasts, newest first.
    ///
    /// # Errors
    /// The store cannot be read.
    fn scan_forecasts(&self, scan: &ForecastScan, sink: ForecastSink<'_>) -> Result<()>;

    /// Symbols and intervals of which there are forecasts, in order.
    ///
    /// # Errors
    /// The store cannot be read.
    fn forecast_series(&self) -> Result<Vec<(String, Interval)>>;

    /// Checks everything that must hold, from the address to rights and durability, up to the first broken link. Stores
    /// nothing.
    fn check(&self) -> Chain;

    /// Display name: `cassandra://127.0.0.1:9042/tapeline`.
    fn describe(&self) -> String;
}
