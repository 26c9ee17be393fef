//! Sums of prints. Accumulators merge in any order: seconds into minutes, minutes into days.

use crate::policy::Updates;
use crate::wide::Wide;
use crate::{Price, Size};

/// Order of a print: two at the same nanosecond keep the order of the tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EventOrder {
    pub(crate) ts: i64,
    pub(crate) order: u64,
}

/// An accumulator that merges and knows whether it forms a bar yet.
pub(crate) trait Accumulator: Clone + Default + PartialEq {
    /// Whether a bar shows nothing of the bars before it.
    const ALONE: bool;
    fn merge(&mut self, other: &Self);
    /// Whether there is a price to show.
    fn is_bar(&self) -> bool;
    /// Whether nothing before it carries over to what follows.
    fn shields(&self) -> bool;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    at: EventOrder,
    price: i128,
}

/// Prices of a bar; an extreme time means "none yet".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Prices {
    open: Mark,
    close: Mark,
    high: i128,
    low: i128,
}

const NEVER: EventOrder = EventOrder { ts: i64::MIN, order: 0 };
const ALWAYS: EventOrder = EventOrder { ts: i64::MAX, order: u64::MAX };

impl Default for Prices {
    fn default() -> Self {
        Self {
            open: Mark { at: ALWAYS, price: 0 },
            close: Mark { at: NEVER, price: 0 },
            high: i128::MIN,
            low: i128::MAX,
        }
    }
}

impl Prices {
    #[inline]
    fn last(&mut self, at: EventOrder, price: i128) {
        if at < self.open.at {
            self.open = Mark { at, price };
        }
        if at >= self.close.at {
            self.close = Mark { at, price };
        }
    }

    #[inline]
    fn extremes(&mut self, price: i128) {
        self.high = self.high.max(price);
        self.low = self.low.min(price);
    }

    #[inline]
    fn merge(&mut self, other: &Self) {
        if other.open.at < self.open.at {
            self.open = other.open;
        }
        if other.close.at >= self.close.at {
            self.close = other.close;
        }
        self.high = self.high.max(other.high);
        self.low = self.low.min(other.low);
    }

    #[inline]
    fn any(&self) -> bool {
        self.open.at != ALWAYS
    }

    /// Open, high, low, close. A print may set the extremes without being open or close, but not vice versa.
    pub(crate) fn ohlc(&self) -> Option<[Price; 4]> {
        self.any().then(|| {
            let (high, low) = if self.high == i128::MIN {
                (self.open.price.max(self.close.price), self.open.price.min(self.close.price))
            } else {
                (self.high, self.low)
            };
            [self.open.price, high, low, self.close.price].map(Price::from_raw)
        })
    }
}

/// A trade as needed for bars.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Print {
    pub(crate) at: EventOrder,
    /// Hash of venue and id: identity within the nanosecond.
    pub(crate) key: u64,
    /// Raw values.
    pub(crate) price: i128,
    pub(crate) size: i128,
    pub(crate) revision: u32,
    /// Permitted updates of intraday bars, and of the daily bar.
    pub(crate) updates: Updates,
    pub(crate) day: Updates,
    /// Whether it cancels a trade.
    pub(crate) canceled: bool,
}

const _: () = assert!(size_of::<Print>() == 64);

/// Trades of a span of time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TradeAccumulator {
    pub(crate) prices: Prices,
    /// The daily bar uses fewer prints for its prices.
    pub(crate) day: Prices,
    /// Raw; saturates.
    pub(crate) volume: i128,
    /// Sum of price times size, raw by raw.
    pub(crate) notional: Wide,
    pub(crate) trades: u64,
    /// Official close of the day. Few seconds have one.
    official: Option<Box<Official>>,
}

/// The largest print that reports an official close; of two equal sizes the later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Official {
    size: i128,
    at: EventOrder,
    price: i128,
}

impl TradeAccumulator {
    pub(crate) fn official_close(&self) -> Option<Price> {
        self.official.as_ref().map(|official| Price::from_raw(official.price))
    }

    #[cold]
    fn official(&mut self, other: Official) {
        if self.official.as_deref().is_none_or(|known| *known < other) {
            self.official = Some(Box::new(other));
        }
    }

    #[inline]
    pub(crate) fn add(&mut self, print: &Print) {
        if print.updates.has(Updates::LAST) {
            self.prices.last(print.at, print.price);
        }
        if print.updates.has(Updates::HIGH_LOW) {
            self.prices.extremes(print.price);
        }
        if print.day.has(Updates::LAST) {
            self.day.last(print.at, print.price);
        }
        if print.day.has(Updates::HIGH_LOW) {
            self.day.extremes(print.price);
        }
        if print.updates.has(Updates::VOLUME) {
            self.volume = self.volume.saturating_add(print.size);
            self.notional.add(Wide::product(print.price, print.size));
            self.trades += 1;
        }
        if print.day.has(Updates::OFFICIAL_CLOSE) {
            self.official(Official { size: print.size, at: print.at, price: print.price });
        }
    }
}

impl Accumulator for TradeAccumulator {
    const ALONE: bool = true;

    #[inline]
    fn merge(&mut self, other: &Self) {
        self.prices.merge(&other.prices);
        self.day.merge(&other.day);
        self.volume = self.volume.saturating_add(other.volume);
        self.notional.add(other.notional);
        self.trades += other.trades;
        if let Some(other) = &other.official {
            self.official(**other);
        }
    }

    fn is_bar(&self) -> bool {
        self.prices.any()
    }

    fn shields(&self) -> bool {
        true
    }
}

/// One side of the quotes of a span of time: prices, and the last size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SideAccumulator {
    prices: Prices,
    size: i128,
}

impl SideAccumulator {
    pub(crate) fn add(&mut self, at: EventOrder, price: i128, size: i128) {
        if at >= self.prices.close.at {
            self.size = size;
        }
        self.prices.last(at, price);
        self.prices.extremes(price);
    }

    fn merge(&mut self, other: &Self) {
        if other.prices.close.at >= self.prices.close.at {
            self.size = other.size;
        }
        self.prices.merge(&other.prices);
    }

    pub(crate) fn any(&self) -> bool {
        self.prices.any()
    }

    /// Order, price and size of the last quote.
    pub(crate) fn last(&self) -> Option<(EventOrder, Price, Size)> {
        let close = self.prices.close;
        let (price, size) = (Price::from_raw(close.price), Size::from_raw(self.size));
        self.any().then_some((close.at, price, size))
    }

    /// As a bar that opens with the quote before it.
    pub(crate) fn after(&self, before: Option<&Self>) -> Option<([Price; 4], Size)> {
        let carried = before.filter(|before| before.any());
        if !self.any() {
            return carried.map(|before| {
                ([Price::from_raw(before.prices.close.price); 4], Size::from_raw(before.size))
            });
        }
        let mut prices = self.prices;
        if let Some(before) = carried {
            prices.open = before.prices.close;
            prices.extremes(before.prices.close.price);
        }
        prices.ohlc().map(|ohlc| (ohlc, Size::from_raw(self.size)))
    }
}

/// Quotes of a span of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct QuoteAccumulator {
    pub(crate) bid: SideAccumulator,
    pub(crate) ask: SideAccumulator,
}

impl Accumulator for QuoteAccumulator {
    const ALONE: bool = false;

    fn merge(&mut self, other: &Self) {
        self.bid.merge(&other.bid);
        self.ask.merge(&other.ask);
    }

    fn is_bar(&self) -> bool {
        self.bid.any() || self.ask.any()
    }

    fn shields(&self) -> bool {
        self.bid.any() && self.ask.any()
    }
}
