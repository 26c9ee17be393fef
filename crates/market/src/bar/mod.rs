//! Bars: summaries of a second, a minute or a day of a market, or of a series of readings.
//!
//! | file | contents |
//! |---|---|
//! | `accumulator` | sums of prints that merge in any order |
//! | `checkpoint` | where a stream resumes after a restart |
//! | `clock` | event time that one bad print cannot advance |
//! | `timeline` | the seconds of one series that may still change |
//! | `interval_bars` | its bars of one interval, and when each is emitted |
//! | `seen` | which records were counted before |
//! | `series` | trades and quotes of one symbol: duplicates, corrections, cancels |
//! | `series_table` | all series of a kind: admits records and processes them series by series |
//! | `aggregator` | all series of a stream |
//!
//! Every decision about a series depends only on its own records and their order: which bar contains a
//! record, whether it is late, what it restates. So the bars are the same at any speed, with any number of
//! partitions and batch boundaries, and when the stream is read again from the start of the session. Only
//! *when* a bar of a quiet symbol is first emitted depends on the progress of other symbols.

mod accumulator;
mod aggregator;
mod checkpoint;
mod clock;
mod interval_bars;
mod seen;
mod series;
mod series_table;
mod timeline;

pub use aggregator::{Aggregator, AggregatorSettings, Feed, RecordCounts, series_name};
pub use checkpoint::{CarriedQuote, Checkpoint, LowWatermark, LowWatermarks, StreamPosition};
pub use clock::Clock;
pub use series::Verdict;

use crate::interval::Interval;
use crate::wide::Wide;
use crate::{Kind, Price, Size, UnixNanos, fixed};

/// A bar: its series, interval, numbers and state.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Bar {
    /// Of what: trades, quotes or readings.
    pub kind: Kind,
    /// The instrument, or the series of readings.
    pub symbol: String,
    /// The feed of its records.
    pub feed: String,
    /// Its interval.
    pub interval: Interval,
    /// Its start.
    pub start: UnixNanos,
    /// Its numbers.
    pub values: Values,
    /// Number of records in it that arrived after it was closed.
    pub late: u32,
    /// Number of restatements since it was closed, by late records, corrections or cancels.
    pub revision: u32,
    /// The allowed lateness has passed: later records go to the late topic and change nothing.
    pub is_final: bool,
    /// No known gap overlaps it.
    pub complete: bool,
}

/// The numbers of a bar.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Values {
    /// Numbers of trades.
    Trades(TradeValues),
    /// Numbers of quotes.
    Quotes(QuoteValues),
    /// Numbers of readings.
    Readings(ReadingValues),
    /// No print that may set a price is left in a bar that was emitted before: all were canceled.
    Empty,
}

/// Prices, volume and trade count.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TradeValues {
    /// Open, high, low, close.
    pub ohlc: [Price; 4],
    /// Units traded; at most [`crate::fixed::MAX`].
    pub volume: Size,
    /// Volume-weighted average price, rounded half up to nine decimals, and below one to 18; `None` without
    /// volume, or if the volume overflowed. It includes prints that may not set prices, so it may lie outside
    /// low..high.
    pub vwap: Option<Price>,
    /// Number of trades in the volume.
    pub trades: u64,
}

/// Prices and last size of each quoted side.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct QuoteValues {
    /// Open, high, low, close of the best bid, opening with the previous bid of the session; and the last bid
    /// size.
    pub bid: Option<([Price; 4], Size)>,
    /// The same for the best ask.
    pub ask: Option<([Price; 4], Size)>,
}

/// Summary of the readings of an interval. Values are decimals without a unit: the unit is that of the readings.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ReadingValues {
    /// First by event time, highest, lowest, last.
    pub first_max_min_last: [Price; 4],
    /// Exact sum; `None` if it does not fit ([`crate::fixed::MAX`]).
    pub sum: Option<Price>,
    /// Number of readings, at least 1.
    pub count: u64,
}

impl ReadingValues {
    /// Arithmetic mean, rounded half up to 18 decimals; `None` without a sum.
    #[must_use]
    pub fn mean(&self) -> Option<Price> {
        let count = i128::from(self.count).checked_mul(fixed::ONE)?;
        Wide::product(self.sum?.raw(), fixed::ONE).divided(count).map(Price::from_raw)
    }
}

/// Volume-weighted average price.
fn vwap(notional: Wide, volume: i128) -> Option<Price> {
    /// A billionth, raw.
    const NINE_DECIMALS: i128 = fixed::ONE / 1_000_000_000;
    let exact = notional.divided(volume).filter(|_| volume <= fixed::MAX)?;
    // Half a billionth is a whole raw value, so rounding twice equals rounding once.
    let rounded = if exact.abs() < fixed::ONE {
        exact
    } else {
        (exact + NINE_DECIMALS / 2).div_euclid(NINE_DECIMALS) * NINE_DECIMALS
    };
    Some(Price::from_raw(rounded))
}
