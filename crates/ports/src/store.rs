//! The store port: idempotent upsert by natural key, range scan.
//!
//! Writing is by ticket: a batch is submitted, and later, in any order, comes back as [`Done`]. The caller bounds how
//! many are out. An adapter tries again, with back-off and without end, what cannot be stored *now*; what can never
//! be stored it names in [`Done::refused`].

use crate::Result;
use crate::batch::Batch;
use crate::check::Chain;
use market::bar::Bar;
use market::interval::Interval;
use market::{Kind, Record, UnixNanos};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

/// The store's answer for a ticket.
#[derive(Debug)]
pub struct Done {
    /// The ticket it was submitted under.
    pub ticket: u64,
    /// The batch, for its refused rows and to be filled again.
    pub batch: Batch,
    /// Rows (by index) that can never be stored, and why. All others are stored.
    pub refused: Vec<(usize, String)>,
}

/// The writing side.
pub trait Writer: Send {
    /// Takes a batch. Every row of it is answered for by one [`Done`].
    ///
    /// # Errors
    /// The writer is broken for good.
    fn submit(&mut self, ticket: u64, batch: Batch) -> Result<()>;

    /// The next answer, if one comes within `wait`.
    ///
    /// # Errors
    /// The writer is broken for good.
    fn completed(&mut self, wait: Duration) -> Result<Option<Done>>;
}

/// Which records to read.
#[derive(Debug, Clone)]
pub struct Scan {
    /// Trades or quotes.
    pub kind: Kind,
    /// Of one symbol, or of all.
    pub symbol: Option<String>,
    /// Event time from, inclusive.
    pub from: UnixNanos,
    /// Event time to, exclusive.
    pub to: UnixNanos,
    /// Of each key only the first, in key order, where set.
    pub limit: Option<u64>,
}

impl Scan {
    /// Everything of a kind.
    #[must_use]
    pub fn all(kind: Kind) -> Self {
        Self { kind, symbol: None, from: UnixNanos(i64::MIN), to: UnixNanos(i64::MAX), limit: None }
    }
}

/// Counts by kind and symbol.
pub type Counts = BTreeMap<Kind, BTreeMap<String, u64>>;

/// What is called with each record read; it may end the scan.
pub type Sink<'a> = &'a mut dyn FnMut(&Record<&str>) -> ControlFlow<()>;

/// Which bars to read.
#[derive(Debug, Clone)]
pub struct BarScan {
    /// Of trades or of quotes.
    pub kind: Kind,
    /// Of one symbol.
    pub symbol: String,
    /// Of one length.
    pub interval: Interval,
    /// Of one feed, or of all.
    pub feed: Option<String>,
    /// Start from, inclusive.
    pub from: UnixNanos,
    /// Start to, exclusive.
    pub to: UnixNanos,
    /// At most so many.
    pub limit: Option<u64>,
}

/// What is called with each bar read; it may end the scan.
pub type BarSink<'a> = &'a mut dyn FnMut(Bar) -> ControlFlow<()>;

/// The store engine as a whole.
pub trait Store: Send + Sync {
    /// Creates what is missing and brings tables up to date; says what it did, a line each.
    ///
    /// # Errors
    /// The server refused, or a table that exists does not fit: the column is named.
    fn init(&self) -> Result<Vec<String>>;

    /// A writing side.
    ///
    /// # Errors
    /// The server is away, or tables are missing or do not fit.
    fn writer(&self, stop: &crate::CancelToken) -> Result<Box<dyn Writer>>;

    /// How many records there are.
    ///
    /// # Errors
    /// The store cannot be read.
    fn count(&self) -> Result<Counts>;

    /// Reads records; those of one symbol in the order of their event time.
    ///
    /// # Errors
    /// The store cannot be read.
    fn scan(&self, scan: &Scan, sink: Sink<'_>) -> Result<()>;

    /// Writes bars over what is there of the same symbol, interval, start and feed; removes those without prices. The
    /// last of several revisions in one call counts. Waits for a server that is away, until a stop is asked for.
    ///
    /// # Errors
    /// What waiting cannot help, or the stop.
    fn write_bars(&self, bars: &[Bar], stop: &crate::CancelToken) -> Result<()>;

    /// Reads bars in the order of their start, then feed.
    ///
    /// # Errors
    /// The store cannot be read.
    fn scan_bars(&self, scan: &BarScan, sink: BarSink<'_>) -> Result<()>;

    /// Checks everything that must hold, from the address to rights and durability, up to the first broken link. Stores
    /// nothing.
    fn check(&self) -> Chain;

    /// For people: `cassandra://127.0.0.1:9042/tapeline`.
    fn describe(&self) -> String;
}
