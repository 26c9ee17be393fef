//! Trades, quotes or readings of one symbol on one feed.

use super::accumulator::{EventOrder, Print, QuoteAccumulator, TradeAccumulator};
use super::checkpoint::{CarriedQuote, LowWatermark};
use super::interval_bars::{Emitted, Times};
use super::seen::Seen;
use super::timeline::{Timeline, second_of};
use super::{Bar, QuoteValues, ReadingValues, TradeValues, Values, vwap};
use crate::calendar::{Calendar, Day};
use crate::interval::{Interval, SECOND};
use crate::kind::BarShape;
use crate::policy::Updates;
use crate::{Kind, Price, Size, Trade, UnixNanos, fixed};
use std::collections::VecDeque;

/// Verdict on a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Accepted: it goes into its bars if it is new and its conditions allow it.
    Taken,
    /// A duplicate.
    Duplicate,
    /// Late: its bars are final, so it goes to the late topic.
    TooLate,
    /// Read again after a restart: its bars were final in an earlier run, and hold it unless it was late then.
    Past,
    /// Its kind is not aggregated.
    NotAggregated,
}

/// Effect of an accepted record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effected {
    /// It is in its bars, or may update nothing.
    Counted,
    /// A duplicate.
    Duplicate,
    /// It corrected or canceled an earlier record.
    Amended,
}

impl EventOrder {
    /// Order of a trade.
    #[inline]
    pub(super) fn of(trade: &Trade<&str>) -> Self {
        Self { ts: trade.ts.0, order: trade.order() }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Name {
    pub(super) symbol: Box<str>,
    pub(super) feed: Box<str>,
}

fn bar<C>(kind: Kind, name: &Name, emitted: &Emitted<'_, C>, values: Values) -> Bar {
    Bar {
        kind,
        symbol: name.symbol.to_string(),
        feed: name.feed.to_string(),
        interval: emitted.interval,
        start: UnixNanos(emitted.bar.start),
        values,
        late: emitted.bar.late,
        revision: emitted.bar.revision,
        is_final: emitted.is_final,
        complete: true,
    }
}

/// What the series of both kinds share.
pub(super) trait Series {
    /// What is kept of a record.
    type Item;
    fn name(&self) -> &Name;
    /// The session day that contains a time.
    fn day(&mut self, ts: i64) -> Day;
    /// Adds a record that is not late; the series' time is then `now`.
    fn add(&mut self, item: &Self::Item, now: i64) -> Effected;
    /// Whether an old record was certainly counted.
    fn contains(&mut self, ts: i64, number: u64) -> bool;
    /// What later bars need to know from before the end of a completed session day.
    fn carried(&self, day_end: i64) -> CarriedQuote;
    /// Emits bars that have closed, changed or become final as of the market's time; without one, all as
    /// final.
    fn take(&mut self, market: Option<i64>, emit: &mut dyn FnMut(Bar));
}

/// A quote during aggregation: raw values of price and size.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quoted {
    pub(super) at: EventOrder,
    pub(super) bid: Option<(i128, i128)>,
    pub(super) ask: Option<(i128, i128)>,
}

/// A series of trades; or of readings, which are prints of size one that may set every price.
#[derive(Debug, Clone)]
pub(super) struct TradeSeries {
    kind: Kind,
    name: Name,
    timeline: Timeline<TradeAccumulator>,
    /// Records that may still be amended or repeated, in order.
    prints: VecDeque<Print>,
    pruned: i64,
    seen: Seen,
}

impl TradeSeries {
    pub(super) fn new(
        kind: Kind,
        name: Name,
        intervals: &[Interval],
        times: Times,
        calendar: Calendar,
        carries: bool,
    ) -> Self {
        Self {
            kind,
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
        if !(print.updates.is_none() && print.day.is_none()) {
            self.prints.push_back(*print);
            self.timeline.add(print.at.ts, |acc| acc.add(print));
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

    /// A print that is late, a duplicate, or an amendment.
    #[inline(never)]
    fn amend(&mut self, mut print: Print, session: i64) -> Effected {
        let amends = print.revision > 0 || print.canceled;
        if print.canceled {
            // It is kept, so that the print it canceled is not counted if it is repeated.
            (print.updates, print.day) = (Updates::default(), Updates::default());
            print.revision = print.revision.max(1);
        }
        // An amendment may have a number of its own: the identity is venue and id within the nanosecond.
        let first = self.prints.partition_point(|other| other.at.ts < print.at.ts);
        let same = (first..self.prints.len())
            .take_while(|i| self.prints[*i].at.ts == print.at.ts)
            .find(|i| self.prints[*i].key == print.key);
        if let Some(index) = same {
            let known = self.prints[index];
            print.at = known.at;
            let newer = (print.revision, print.canceled) > (known.revision, known.updates.is_none());
            if !newer {
                return Effected::Duplicate;
            }
            self.prints[index] = print;
            self.timeline.replace(print.at.ts, self.second(print.at.ts));
            return Effected::Amended;
        }
        if print.updates.is_none() && print.day.is_none() && !amends {
            return Effected::Counted;
        }
        if !amends {
            self.seen.add(print.at.order, session);
        }
        let place = self.prints.partition_point(|other| other.at < print.at);
        self.prints.insert(place, print);
        // The print that a cancel refers to may still arrive.
        self.seen.is_next(print.at);
        if print.canceled {
            return Effected::Amended;
        }
        self.timeline.add(print.at.ts, |acc| acc.add(&print));
        Effected::Counted
    }

    /// The prints of a second, summed again.
    fn second(&self, ts: i64) -> TradeAccumulator {
        let start = second_of(ts);
        let first = self.prints.partition_point(|print| print.at.ts < start);
        let mut acc = TradeAccumulator::default();
        self.prints
            .range(first..)
            .take_while(|print| print.at.ts < start + SECOND)
            .for_each(|print| acc.add(print));
        acc
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

    fn contains(&mut self, ts: i64, number: u64) -> bool {
        self.seen.contains(number, self.timeline.day(ts).start)
    }

    fn carried(&self, _: i64) -> CarriedQuote {
        CarriedQuote::default()
    }

    fn take(&mut self, market: Option<i64>, emit: &mut dyn FnMut(Bar)) {
        let (name, kind) = (&self.name, self.kind);
        let mut emit = |emitted: Emitted<'_, TradeAccumulator>| {
            let values = match kind.bars() {
                Some(BarShape::Readings) => reading_values(&emitted),
                _ => trade_values(&emitted),
            };
            emit(bar(kind, name, &emitted, values))
        };
        match market {
            Some(market) => self.timeline.take(market, &mut emit),
            None => self.timeline.finish(&mut emit),
        }
    }
}

fn trade_values(emitted: &Emitted<'_, TradeAccumulator>) -> Values {
    let (acc, after) = (&emitted.acc, &emitted.unpriced_after);
    // A day without a print that may set its prices shows those of its longer hours.
    let prices = if emitted.interval.is_day() {
        acc.day.ohlc().or_else(|| acc.prices.ohlc())
    } else {
        acc.prices.ohlc()
    };
    let Some(mut ohlc) = prices else { return Values::Empty };
    if let Some(close) = acc.official_close().filter(|_| emitted.interval.is_day()) {
        ohlc = [ohlc[0], ohlc[1].max(close), ohlc[2].min(close), close];
    }
    let volume = acc.volume.saturating_add(after.volume);
    let mut notional = acc.notional;
    notional.add(after.notional);
    Values::Trades(TradeValues {
        ohlc,
        volume: Size::from_raw(volume.min(fixed::MAX)),
        vwap: vwap(notional, volume),
        trades: acc.trades + after.trades,
    })
}

fn reading_values(emitted: &Emitted<'_, TradeAccumulator>) -> Values {
    let acc = &emitted.acc;
    let Some(first_max_min_last) = acc.prices.ohlc() else { return Values::Empty };
    let sum = acc.notional.divided(fixed::ONE).filter(|sum| sum.abs() <= fixed::MAX).map(Price::from_raw);
    Values::Readings(ReadingValues { first_max_min_last, sum, count: acc.trades })
}

#[derive(Debug, Clone)]
pub(super) struct QuoteSeries {
    name: Name,
    timeline: Timeline<QuoteAccumulator>,
    seen: Seen,
}

impl QuoteSeries {
    pub(super) fn new(
        name: Name,
        intervals: &[Interval],
        times: Times,
        calendar: Calendar,
        low_watermark: Option<&LowWatermark>,
    ) -> Self {
        let mut timeline = Timeline::new(intervals, times, calendar, false);
        if let Some(low_watermark) = low_watermark {
            timeline.resume(low_watermark.time, &low_watermark.carried.accumulator());
        }
        Self { name, timeline, seen: Seen::default() }
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
        if self.seen.is_next(at) || !self.seen.contains(at.order, session) {
            self.seen.add(at.order, session);
        }
        self.timeline.add(at.ts, |acc| {
            for (side, acc) in [(quote.bid, &mut acc.bid), (quote.ask, &mut acc.ask)] {
                if let Some((price, size)) = side {
                    acc.add(at, price, size);
                }
            }
        });
        self.timeline.advance(now);
        Effected::Counted
    }

    fn contains(&mut self, ts: i64, number: u64) -> bool {
        self.seen.contains(number, self.timeline.day(ts).start)
    }

    fn carried(&self, day_end: i64) -> CarriedQuote {
        self.timeline.carried(day_end).map_or_else(CarriedQuote::default, |acc| CarriedQuote::of(&acc))
    }

    fn take(&mut self, market: Option<i64>, emit: &mut dyn FnMut(Bar)) {
        let name = &self.name;
        let mut emit = |emitted: Emitted<'_, QuoteAccumulator>| {
            emit(bar(Kind::QUOTE, name, &emitted, quote_values(&emitted)))
        };
        match market {
            Some(market) => self.timeline.take(market, &mut emit),
            None => self.timeline.finish(&mut emit),
        }
    }
}

fn quote_values(emitted: &Emitted<'_, QuoteAccumulator>) -> Values {
    let (mut bid, mut ask) = (None, None);
    (emitted.before)(&mut |acc| {
        bid = bid.or_else(|| acc.bid.any().then_some(acc.bid));
        ask = ask.or_else(|| acc.ask.any().then_some(acc.ask));
        bid.is_some() && ask.is_some()
    });
    Values::Quotes(QuoteValues {
        bid: emitted.acc.bid.after(bid.as_ref()),
        ask: emitted.acc.ask.after(ask.as_ref()),
    })
}
