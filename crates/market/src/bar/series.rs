//! Trades and quotes of one symbol on one feed.

use super::cell::{Moment, Print, QuoteCell, TradeCell};
use super::level::Told;
use super::seen::Seen;
use super::timeline::{Timeline, Times, second_of};
use super::{Bar, QuoteValues, TradeValues, Values, vwap};
use crate::calendar::{Calendar, Day};
use crate::interval::{Interval, SECOND};
use crate::policy::Updates;
use crate::{Kind, Size, UnixNanos, fixed};
use std::collections::VecDeque;

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes into its bars, as far as it is new and its conditions let it.
    Taken,
    /// It was counted before.
    Duplicate,
    /// Its bars can no longer change: for the late topic.
    TooLate,
    /// Its bars were final in an earlier run; whether it was counted then is not known.
    Past,
}

/// What a record taken did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effected {
    /// It is in its bars, or may update nothing.
    Counted,
    /// It was counted before.
    Duplicate,
    /// It replaced or took back a record counted before.
    Amended,
}

/// The order of trades of one timestamp: the vendor's sequence number, or else the last digits of the id, for feeds count
/// up.
pub(super) fn order(seq: i64, id: &str) -> u64 {
    if seq != 0 {
        return seq.unsigned_abs();
    }
    let digits = id.bytes().rev().take_while(u8::is_ascii_digit).count().min(19);
    id.as_bytes()[id.len() - digits..].iter().fold(0, |n, digit| n * 10 + u64::from(digit - b'0'))
}

#[derive(Debug, Clone)]
pub(super) struct Name {
    pub(super) symbol: Box<str>,
    pub(super) feed: Box<str>,
}

fn bar<C>(kind: Kind, name: &Name, told: &Told<'_, C>, values: Values) -> Bar {
    Bar {
        kind,
        symbol: name.symbol.to_string(),
        feed: name.feed.to_string(),
        interval: told.interval,
        start: UnixNanos(told.bar.start),
        values,
        late: told.bar.late,
        revision: told.bar.revision,
        is_final: told.is_final,
        complete: true,
    }
}

/// What all series of a kind have in common.
pub(super) trait Series {
    /// What they keep of a record.
    type Item;
    fn name(&self) -> &Name;
    /// The session day of a time.
    fn day(&mut self, ts: i64) -> Day;
    /// Adds a record that is not too late; after it the series' time is `now`.
    fn add(&mut self, item: &Self::Item, now: i64) -> Effected;
    /// Whether a record of long ago was certainly counted.
    fn surely(&mut self, ts: i64, number: u64) -> bool;
    /// Tells the bars that have closed, changed or become final as of the market's time; without it, all as final.
    fn take(&mut self, market: Option<i64>, tell: &mut dyn FnMut(Bar));
}

/// A quote on its way into its bars: raw values of price and size.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quoted {
    pub(super) at: Moment,
    pub(super) bid: Option<(i128, i128)>,
    pub(super) ask: Option<(i128, i128)>,
}

#[derive(Debug, Clone)]
pub(super) struct TradeSeries {
    name: Name,
    timeline: Timeline<TradeCell>,
    /// What may still be amended or come again, in order.
    prints: VecDeque<Print>,
    pruned: i64,
    seen: Seen,
}

impl TradeSeries {
    pub(super) fn new(
        name: Name,
        intervals: &[Interval],
        times: Times,
        calendar: Calendar,
        carries: bool,
    ) -> Self {
        Self {
            name,
            timeline: Timeline::new(intervals, times, calendar, carries),
            prints: VecDeque::new(),
            pruned: i64::MIN,
            seen: Seen::default(),
        }
    }

    #[inline]
    fn put(&mut self, print: &Print) -> Effected {
        let session = self.timeline.day(print.at.ts).start;
        let amends = print.revision > 0 || print.canceled;
        if amends || !self.seen.is_next(print.at) {
            return self.amend(*print, session);
        }
        self.seen.add(print.at.order, session);
        if !print.updates.is_none() {
            self.prints.push_back(*print);
            self.timeline.add(print.at.ts, |cell| cell.add(print));
        }
        Effected::Counted
    }

    #[inline]
    fn prune(&mut self) {
        let bound = self.timeline.bound();
        if bound >= self.pruned.saturating_add(SECOND) {
            self.pruned = second_of(bound);
            while self.prints.front().is_some_and(|print| print.at.ts < self.pruned) {
                self.prints.pop_front();
            }
        }
    }

    /// A print that is late, came before, or changes one that did.
    #[inline(never)]
    fn amend(&mut self, mut print: Print, session: i64) -> Effected {
        let amends = print.revision > 0 || print.canceled;
        if print.canceled {
            // It stays, so that what it took back is not counted when it comes again.
            (print.updates, print.day) = (Updates::default(), Updates::default());
            print.revision = print.revision.max(1);
        }
        let from = self.prints.partition_point(|other| other.at < print.at);
        let same = (from..self.prints.len())
            .take_while(|i| self.prints[*i].at == print.at)
            .find(|i| self.prints[*i].key == print.key);
        if let Some(index) = same {
            let known = self.prints[index];
            let newer = (print.revision, print.canceled) > (known.revision, known.updates.is_none());
            if !newer {
                return Effected::Duplicate;
            }
            self.prints[index] = print;
            self.timeline.replace(print.at.ts, self.second(print.at.ts));
            return Effected::Amended;
        }
        if print.updates.is_none() && !amends {
            return Effected::Counted;
        }
        if !amends {
            self.seen.add(print.at.order, session);
        }
        self.prints.insert(from, print);
        // The print that a cancel is of may still come.
        self.seen.is_next(print.at);
        if print.updates.is_none() {
            return Effected::Amended;
        }
        self.timeline.add(print.at.ts, |cell| cell.add(&print));
        Effected::Counted
    }

    /// The prints of a second, added up anew.
    fn second(&self, ts: i64) -> TradeCell {
        let start = second_of(ts);
        let first = self.prints.partition_point(|print| print.at.ts < start);
        let mut cell = TradeCell::default();
        self.prints
            .range(first..)
            .take_while(|print| print.at.ts < start + SECOND)
            .for_each(|print| cell.add(print));
        cell
    }
}

impl Series for TradeSeries {
    type Item = Print;

    fn name(&self) -> &Name {
        &self.name
    }

    fn day(&mut self, ts: i64) -> Day {
        *self.timeline.day(ts)
    }

    #[inline]
    fn add(&mut self, print: &Print, now: i64) -> Effected {
        let effected = self.put(print);
        self.timeline.advance(now);
        self.prune();
        effected
    }

    fn surely(&mut self, ts: i64, number: u64) -> bool {
        self.seen.surely(number, self.timeline.day(ts).start)
    }

    fn take(&mut self, market: Option<i64>, tell: &mut dyn FnMut(Bar)) {
        let name = &self.name;
        let mut tell = |told: Told<'_, TradeCell>| tell(bar(Kind::Trade, name, &told, trade_values(&told)));
        match market {
            Some(market) => self.timeline.take(market, &mut tell),
            None => self.timeline.finish(&mut tell),
        }
    }
}

fn trade_values(told: &Told<'_, TradeCell>) -> Values {
    let (cell, after) = (&told.cell, &told.unpriced_after);
    // A day without a print that may set its prices shows those of its longer hours.
    let prices = if told.interval.is_day() {
        cell.day.ohlc().or_else(|| cell.prices.ohlc())
    } else {
        cell.prices.ohlc()
    };
    let Some(ohlc) = prices else { return Values::Empty };
    let volume = cell.volume.saturating_add(after.volume);
    let mut notional = cell.notional;
    notional.add(after.notional);
    Values::Trades(TradeValues {
        ohlc,
        volume: Size::from_raw(volume.min(fixed::MAX)),
        vwap: vwap(notional, volume),
        trades: cell.trades + after.trades,
    })
}

#[derive(Debug, Clone)]
pub(super) struct QuoteSeries {
    name: Name,
    timeline: Timeline<QuoteCell>,
    seen: Seen,
}

impl QuoteSeries {
    pub(super) fn new(name: Name, intervals: &[Interval], times: Times, calendar: Calendar) -> Self {
        Self { name, timeline: Timeline::new(intervals, times, calendar, false), seen: Seen::default() }
    }
}

impl Series for QuoteSeries {
    type Item = Quoted;

    fn name(&self) -> &Name {
        &self.name
    }

    fn day(&mut self, ts: i64) -> Day {
        *self.timeline.day(ts)
    }

    #[inline]
    fn add(&mut self, quote: &Quoted, now: i64) -> Effected {
        let at = quote.at;
        let session = self.timeline.day(at.ts).start;
        // Adding a quote twice changes nothing.
        if self.seen.is_next(at) || !self.seen.surely(at.order, session) {
            self.seen.add(at.order, session);
        }
        self.timeline.add(at.ts, |cell| {
            for (side, cell) in [(quote.bid, &mut cell.bid), (quote.ask, &mut cell.ask)] {
                if let Some((price, size)) = side {
                    cell.add(at, price, size);
                }
            }
        });
        self.timeline.advance(now);
        Effected::Counted
    }

    fn surely(&mut self, ts: i64, number: u64) -> bool {
        self.seen.surely(number, self.timeline.day(ts).start)
    }

    fn take(&mut self, market: Option<i64>, tell: &mut dyn FnMut(Bar)) {
        let name = &self.name;
        let mut tell = |told: Told<'_, QuoteCell>| tell(bar(Kind::Quote, name, &told, quote_values(&told)));
        match market {
            Some(market) => self.timeline.take(market, &mut tell),
            None => self.timeline.finish(&mut tell),
        }
    }
}

fn quote_values(told: &Told<'_, QuoteCell>) -> Values {
    let (mut bid, mut ask) = (None, None);
    (told.before)(&mut |cell| {
        bid = bid.or_else(|| cell.bid.any().then_some(cell.bid));
        ask = ask.or_else(|| cell.ask.any().then_some(cell.ask));
        bid.is_some() && ask.is_some()
    });
    Values::Quotes(QuoteValues {
        bid: told.cell.bid.after(bid.as_ref()),
        ask: told.cell.ask.after(ask.as_ref()),
    })
}
