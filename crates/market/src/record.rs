//! Market events: a [`Trade`], a [`Quote`]; other measurements: a [`Reading`]; everything else: a [`DescribedRecord`].
//!
//! Records are generic over their text: `&str` borrowed from the input (the hot path, no allocation), a span
//! of an arena (batches), or `String` (records that outlive their input). A record is never mutated; a cancel
//! is a new record of a higher revision.

use crate::described::DescribedRecord;
use crate::reading::Reading;
use crate::{Kind, Price, Size, UnixNanos};

/// Aggressor side of a trade: the side of the incoming order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Side {
    /// Not provided by the feed.
    #[default]
    Unknown,
    /// A buyer took an offer.
    Buy,
    /// A seller hit a bid.
    Sell,
}

impl Side {
    /// `buy`, `sell`; empty if unknown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "",
            Self::Buy => "buy",
            Self::Sell => "sell",
        }
    }

    /// The inverse of [`Side::name`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Unknown, Self::Buy, Self::Sell].into_iter().find(|side| side.name() == name)
    }
}

/// A trade: identified by (feed, symbol, venue, id) within its session. Two equal-looking trades are two trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Trade<S> {
    /// The instrument, as the feed writes it: `SPY`, `BTC/USD`.
    pub symbol: S,
    /// The feed it was received from: `lean.sip`, `alpaca.iex`. A 2.5 % feed must never be mistaken for the
    /// market.
    pub feed: S,
    /// Venue of the trade, in the feed's own code: `P`.
    pub venue: S,
    /// The feed's id, unique with venue and symbol within a session; minted once if the feed has none.
    pub id: S,
    /// Event time: the exchange's.
    pub ts: UnixNanos,
    /// Receive time: ours.
    pub recv_ts: UnixNanos,
    /// Price per unit; negative at times, as oil was in April 2020.
    pub price: Price,
    /// Number of units.
    pub size: Size,
    /// The aggressor side.
    pub side: Side,
    /// Sale conditions as sent, and nothing else: the text of a JSON array of strings, `["@","I"]`. Raw, so
    /// that a policy can change later.
    pub conditions: S,
    /// The consolidated tape (`A`, `B`, `C`) that carried it; empty if the feed does not provide it.
    pub tape: S,
    /// The vendor's sequence number, which orders trades of one timestamp; 0 if there is none.
    pub seq: i64,
    /// 0 as first reported; each amendment increments it.
    pub revision: u32,
    /// Whether the exchange canceled it.
    pub canceled: bool,
}

/// One side of a quote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct QuoteSide<S> {
    /// Bid or ask price.
    pub price: Price,
    /// Shares offered at it.
    pub size: Size,
    /// Venue, in the feed's own code.
    pub venue: S,
}

/// A quote: identified by (feed, symbol, seq). A side that the feed did not send is `None`, not zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Quote<S> {
    /// The instrument.
    pub symbol: S,
    /// The feed it was received from.
    pub feed: S,
    /// The feed's sequence number; minted once if the feed has none.
    pub seq: i64,
    /// Event time: the exchange's.
    pub ts: UnixNanos,
    /// Receive time: ours.
    pub recv_ts: UnixNanos,
    /// Best bid.
    pub bid: Option<QuoteSide<S>>,
    /// Best ask.
    pub ask: Option<QuoteSide<S>>,
    /// Quote conditions as sent, as in [`Trade::conditions`].
    pub conditions: S,
}

/// A record of any kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Record<S> {
    /// A trade.
    Trade(Trade<S>),
    /// A quote.
    Quote(Quote<S>),
    /// A reading.
    Reading(Reading<S>),
    /// A record of a kind without a type of its own.
    Described(DescribedRecord<S>),
}

impl<S> Trade<S> {
    /// Converts the text of a trade.
    pub fn map<T>(self, mut f: impl FnMut(S) -> T) -> Trade<T> {
        Trade {
            symbol: f(self.symbol),
            feed: f(self.feed),
            venue: f(self.venue),
            id: f(self.id),
            ts: self.ts,
            recv_ts: self.recv_ts,
            price: self.price,
            size: self.size,
            side: self.side,
            conditions: f(self.conditions),
            tape: f(self.tape),
            seq: self.seq,
            revision: self.revision,
            canceled: self.canceled,
        }
    }
}

impl<S> QuoteSide<S> {
    fn map<T>(self, f: impl FnOnce(S) -> T) -> QuoteSide<T> {
        QuoteSide { price: self.price, size: self.size, venue: f(self.venue) }
    }
}

impl<S> Quote<S> {
    /// Converts the text of a quote.
    pub fn map<T>(self, mut f: impl FnMut(S) -> T) -> Quote<T> {
        Quote {
            symbol: f(self.symbol),
            feed: f(self.feed),
            seq: self.seq,
            ts: self.ts,
            recv_ts: self.recv_ts,
            bid: self.bid.map(|side| side.map(&mut f)),
            ask: self.ask.map(|side| side.map(&mut f)),
            conditions: f(self.conditions),
        }
    }
}

/// Why a record is implausible: a placeholder instead of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRecord {
    /// Event time is missing (0), a sentinel (`i64::MAX`, `i64::MIN`) or outside [`EARLIEST`]..[`LATEST`].
    #[error("time {0} is not between 1900 and 2200 (nanoseconds since 1970, and not 0)")]
    Time(i64),
    /// Negative.
    #[error("size {0} is negative")]
    Size(Size),
    /// `i64::MAX` or `i64::MIN`, plain or in billionths, as some vendors write "undefined".
    #[error("price {0} is a placeholder for an undefined price")]
    Price(Price),
}

/// The earliest accepted event time: 1900.
pub const EARLIEST: UnixNanos = UnixNanos(-2_208_988_800_000_000_000);
/// The first event time that is too late: 2200.
pub const LATEST: UnixNanos = UnixNanos(7_258_118_400_000_000_000);

fn check_time(ts: UnixNanos) -> Result<(), InvalidRecord> {
    if ts.0 == 0 || !(EARLIEST..LATEST).contains(&ts) { Err(InvalidRecord::Time(ts.0)) } else { Ok(()) }
}

fn check_price(price: Price) -> Result<(), InvalidRecord> {
    const BILLIONTH: i128 = crate::fixed::ONE / 1_000_000_000;
    let raw = price.raw();
    // Few prices are as large as the smallest placeholder.
    if raw.unsigned_abs() >= i64::MAX.unsigned_abs() as u128 * BILLIONTH.unsigned_abs()
        && [i64::MAX, i64::MIN, i64::MIN + 1]
            .into_iter()
            .map(i128::from)
            .any(|undefined| raw == undefined * BILLIONTH || raw == undefined * crate::fixed::ONE)
    {
        return Err(InvalidRecord::Price(price));
    }
    Ok(())
}

fn check_size(size: Size) -> Result<(), InvalidRecord> {
    if size < Size::ZERO { Err(InvalidRecord::Size(size)) } else { Ok(()) }
}

impl<S> Trade<S> {
    /// Checks that the numbers are plausible. A negative price is: oil traded at -37.
    ///
    /// # Errors
    /// [`InvalidRecord`] with the value.
    #[inline]
    pub fn check(&self) -> Result<(), InvalidRecord> {
        check_time(self.ts)?;
        check_size(self.size)?;
        check_price(self.price)
    }
}

impl<S> Quote<S> {
    /// Checks that the numbers are plausible.
    ///
    /// # Errors
    /// [`InvalidRecord`] with the value.
    pub fn check(&self) -> Result<(), InvalidRecord> {
        check_time(self.ts)?;
        [&self.bid, &self.ask].into_iter().flatten().try_for_each(|side| {
            check_size(side.size)?;
            check_price(side.price)
        })
    }
}

impl<S> Record<S> {
    /// Checks that the numbers are plausible.
    ///
    /// # Errors
    /// [`InvalidRecord`] with the value.
    #[inline]
    pub fn check(&self) -> Result<(), InvalidRecord> {
        match self {
            Self::Trade(trade) => trade.check(),
            Self::Quote(quote) => quote.check(),
            Self::Reading(reading) => check_time(reading.ts),
            Self::Described(record) => check_time(record.ts),
        }
    }

    /// Converts the text of a record.
    pub fn map<T>(self, f: impl FnMut(S) -> T) -> Record<T> {
        match self {
            Self::Trade(trade) => Record::Trade(trade.map(f)),
            Self::Quote(quote) => Record::Quote(quote.map(f)),
            Self::Reading(reading) => Record::Reading(reading.map(f)),
            Self::Described(record) => Record::Described(record.map(f)),
        }
    }

    /// Its kind.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Trade(_) => Kind::TRADE,
            Self::Quote(_) => Kind::QUOTE,
            Self::Reading(_) => Kind::READING,
            Self::Described(record) => record.kind,
        }
    }

    /// The instrument, or the series of a reading: the message key.
    pub const fn symbol(&self) -> &S {
        match self {
            Self::Trade(trade) => &trade.symbol,
            Self::Quote(quote) => &quote.symbol,
            Self::Reading(reading) => &reading.series,
            Self::Described(record) => &record.symbol,
        }
    }

    /// Its feed.
    pub const fn feed(&self) -> &S {
        match self {
            Self::Trade(trade) => &trade.feed,
            Self::Quote(quote) => &quote.feed,
            Self::Reading(reading) => &reading.feed,
            Self::Described(record) => &record.feed,
        }
    }

    /// Receive time.
    pub const fn recv_ts(&self) -> UnixNanos {
        match self {
            Self::Trade(trade) => trade.recv_ts,
            Self::Quote(quote) => quote.recv_ts,
            Self::Reading(reading) => reading.recv_ts,
            Self::Described(record) => record.recv_ts,
        }
    }

    /// Event time.
    pub const fn ts(&self) -> UnixNanos {
        match self {
            Self::Trade(trade) => trade.ts,
            Self::Quote(quote) => quote.ts,
            Self::Reading(reading) => reading.ts,
            Self::Described(record) => record.ts,
        }
    }
}

impl<S: AsRef<str>> Trade<S> {
    /// Order among trades of one time: the vendor's sequence number or, without one, the last digits of the id, because
    /// feeds number upwards.
    #[must_use]
    #[inline]
    pub fn order(&self) -> u64 {
        let id = self.id.as_ref().as_bytes();
        let digits = || id.iter().rev().take_while(|byte| byte.is_ascii_digit()).count().min(19);
        match self.seq {
            0 => id[id.len() - digits()..].iter().fold(0, |n, digit| n * 10 + u64::from(digit - b'0')),
            seq => seq.unsigned_abs(),
        }
    }

    /// Borrows the trade.
    pub fn as_str(&self) -> Trade<&str> {
        Trade {
            symbol: self.symbol.as_ref(),
            feed: self.feed.as_ref(),
            venue: self.venue.as_ref(),
            id: self.id.as_ref(),
            ts: self.ts,
            recv_ts: self.recv_ts,
            price: self.price,
            size: self.size,
            side: self.side,
            conditions: self.conditions.as_ref(),
            tape: self.tape.as_ref(),
            seq: self.seq,
            revision: self.revision,
            canceled: self.canceled,
        }
    }
}

impl<S: AsRef<str>> QuoteSide<S> {
    fn as_str(&self) -> QuoteSide<&str> {
        QuoteSide { price: self.price, size: self.size, venue: self.venue.as_ref() }
    }
}

impl<S: AsRef<str>> Quote<S> {
    /// Borrows the quote.
    pub fn as_str(&self) -> Quote<&str> {
        Quote {
            symbol: self.symbol.as_ref(),
            feed: self.feed.as_ref(),
            seq: self.seq,
            ts: self.ts,
            recv_ts: self.recv_ts,
            bid: self.bid.as_ref().map(QuoteSide::as_str),
            ask: self.ask.as_ref().map(QuoteSide::as_str),
            conditions: self.conditions.as_ref(),
        }
    }
}

impl<S: AsRef<str>> Record<S> {
    /// Borrows the record.
    pub fn as_str(&self) -> Record<&str> {
        match self {
            Self::Trade(trade) => Record::Trade(trade.as_str()),
            Self::Quote(quote) => Record::Quote(quote.as_str()),
            Self::Reading(reading) => Record::Reading(reading.as_str()),
            Self::Described(record) => Record::Described(record.as_str()),
        }
    }
}
