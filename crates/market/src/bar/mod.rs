//! Bars: what a market did in a second, a minute, a day.
//!
//! | file | holds |
//! |---|---|
//! | `accumulator` | sums of prints that merge in any order |
//! | `checkpoint` | where a stream continues after a restart |
//! | `clock` | event time that one bad print cannot poison |
//! | `timeline` | the seconds of one series that may still change |
//! | `interval_bars` | its bars of one interval, and when each is emitted |
//! | `seen` | which records were counted before |
//! | `series` | trades and quotes of one symbol: duplicates, corrections, cancels |
//! | `series_table` | all series of a kind: what is taken, and working it in series by series |
//! | `aggregator` | all series of a stream |
//!
//! Every decision about a series follows from its own records in the order they came: which bar a record falls in,
//! whether it is late, what it restates. So the bars are the same at any speed, in any number of partitions, however
//! the stream is cut into batches, and when it is read again from the start of the session. Only *when* a bar of a
//! quiet symbol is first emitted depends on its neighbours' progress.

mod accumulator;
mod aggregator;
mod checkpoint;
mod clock;
mod interval_bars;
mod seen;
mod series;
mod series_table;
mod timeline;

pub use aggregator::{Aggregator, Counts, Feed, Settings};
pub use checkpoint::{CarriedQuote, Floor, Floors, Needs, Place};
pub use clock::Clock;
pub use series::Verdict;

use crate::interval::Interval;
use crate::wide::Wide;
use crate::{Kind, Price, Size, UnixNanos, fixed};

/// What a bar is of, when, and how sure it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Bar {
    /// Of trades or of quotes.
    pub kind: Kind,
    /// The instrument.
    pub symbol: String,
    /// Which feed its records came from.
    pub feed: String,
    /// How long it is.
    pub interval: Interval,
    /// Its first instant.
    pub start: UnixNanos,
    /// Its numbers.
    pub values: Values,
    /// How many records that came after it was closed are in it.
    pub late: u32,
    /// How often it was restated after it was closed: by late records, corrections, cancels.
    pub revision: u32,
    /// The allowed lateness is past: what comes now goes to the late topic and changes nothing.
    pub is_final: bool,
    /// No known gap touches it.
    pub complete: bool,
}

/// The numbers of a bar.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Values {
    /// Of trades.
    Trades(TradeValues),
    /// Of quotes.
    Quotes(QuoteValues),
    /// No print that may set a price is left in a bar that was emitted before: all were canceled.
    Empty,
}

/// Prices, volume and the like of trades.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TradeValues {
    /// Open, high, low, close.
    pub ohlc: [Price; 4],
    /// Units traded; at most [`crate::fixed::MAX`].
    pub volume: Size,
    /// Volume-weighted average price, rounded half up to nine decimals, and below one to 18; `None` without volume, or
    /// if the volume was too large to keep. Prints that may not set prices count too, so it may lie outside low..high.
    pub vwap: Option<Price>,
    /// How many trades the volume is of.
    pub trades: u64,
}

/// Prices and last size of each side that was quoted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct QuoteValues {
    /// Open, high, low, close of the best bid, beginning with what was bid before in the session; and the size bid last.
    pub bid: Option<([Price; 4], Size)>,
    /// The same of the best ask.
    pub ask: Option<([Price; 4], Size)>,
}

/// Volume-weighted average price.
fn vwap(notional: Wide, volume: i128) -> Option<Price> {
    /// A billionth, raw.
    const NINE_DECIMALS: i128 = fixed::ONE / 1_000_000_000;
    let exact = notional.divided(volume).filter(|_| volume <= fixed::MAX)?;
    // Half a billionth is a whole raw value, so that rounding twice is rounding once.
    let rounded = if exact.abs() < fixed::ONE {
        exact
    } else {
        (exact + NINE_DECIMALS / 2).div_euclid(NINE_DECIMALS) * NINE_DECIMALS
    };
    Some(Price::from_raw(rounded))
}
