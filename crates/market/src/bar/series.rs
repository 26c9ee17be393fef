//! Trades and quotes of one symbol on one feed.

use super::cell::{Moment, Print, QuoteCell, TradeCell};
use super::timeline::{Timeline, Times, Told};
use super::{Bar, QuoteValues, TradeValues, Values, vwap};
use crate::calendar::Calendar;
use crate::interval::{Interval, SECOND};
use crate::policy::{Effects, Updates, Vocabulary};
use crate::{Kind, Quote, Trade, UnixNanos};
use rustc_hash::FxHasher;
use std::collections::VecDeque;
use std::hash::Hasher;

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is in its bars.
    Counted,
    /// The condition policy lets it update nothing.
    Nothing,
    /// It was counted before.
    Duplicate,
    /// It replaced or took back a record counted before.
    Amended,
    /// Its bars can no longer change: for the late topic.
    TooLate,
}

/// The last digits of a trade id: feeds count up, so they keep the tape's order within a nanosecond.
fn order(id: &str) -> u64 {
    let digits = id.bytes().rev().take_while(u8::is_ascii_digit).count().min(19);
    id.as_bytes()[id.len() - digits..].iter().fold(0, |n, digit| n * 10 + u64::from(digit - b'0'))
}

/// Which records of a series were seen.
#[derive(Debug, Clone, Default)]
struct Seen {
    last: Option<Moment>,
    /// Start of each of the last sessions, and the numbers seen in it.
    sessions: Vec<(i64, Numbers)>,
}

/// Numbers seen, as ranges. Feeds that number each symbol's records one after the other need only a few; where they
/// become many, or a number comes twice, they tell nothing.
#[derive(Debug, Clone, Default)]
struct Numbers {
    ranges: Vec<(u64, u64)>,
    useless: bool,
}

/// More ranges are given up.
const RANGES: usize = 64;

impl Numbers {
    /// False where it was there already.
    #[inline]
    fn add(&mut self, number: u64) {
        match self.ranges.last_mut() {
            Some((_, to)) if *to + 1 == number => *to = number,
            _ => self.insert(number),
        }
    }

    #[cold]
    fn insert(&mut self, number: u64) {
        if self.useless {
            return;
        }
        let place = self.ranges.partition_point(|(_, to)| *to < number);
        if self.ranges.get(place).is_some_and(|(from, _)| *from <= number) {
            self.useless = true;
            return;
        }
        let before = place > 0 && self.ranges[place - 1].1 + 1 == number;
        let after = self.ranges.get(place).is_some_and(|(from, _)| *from == number + 1);
        match (before, after) {
            (true, true) => {
                self.ranges[place - 1].1 = self.ranges[place].1;
                self.ranges.remove(place);
            }
            (true, false) => self.ranges[place - 1].1 = number,
            (false, true) => self.ranges[place].0 = number,
            (false, false) => self.ranges.insert(place, (number, number)),
        }
        self.useless = self.ranges.len() > RANGES;
    }

    fn has(&self, number: u64) -> bool {
        let place = self.ranges.partition_point(|(_, to)| *to < number);
        !self.useless && self.ranges.get(place).is_some_and(|(from, _)| *from <= number)
    }
}

impl Seen {
    /// Whether it stands after all others: the usual case, and then certainly new.
    #[inline]
    fn is_next(&mut self, at: Moment) -> bool {
        let next = self.last.is_none_or(|last| at > last);
        if next {
            self.last = Some(at);
        }
        next
    }

    /// It is new.
    #[inline]
    fn add(&mut self, number: u64, session: i64) {
        match self.sessions.last_mut() {
            Some((start, numbers)) if *start == session => numbers.add(number),
            _ => self.elsewhere(number, session),
        }
    }

    #[cold]
    fn elsewhere(&mut self, number: u64, session: i64) {
        if let Some((_, numbers)) = self.sessions.iter_mut().find(|(start, _)| *start == session) {
            return numbers.add(number);
        }
        self.sessions.push((session, Numbers { ranges: vec![(number, number)], useless: false }));
        if self.sessions.len() > 8 {
            self.sessions.remove(0);
        }
    }

    /// Whether a record of long ago was certainly counted.
    fn surely(&self, number: u64, session: i64) -> bool {
        self.sessions.iter().any(|(start, numbers)| *start == session && numbers.has(number))
    }
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

/// What the account of sessions asks a series.
pub(super) trait Sessions {
    /// Start and end of the session day of a time.
    fn session(&mut self, ts: i64) -> (i64, i64);
    /// Times before this can no longer change.
    fn sealed(&self) -> i64;
}

impl Sessions for TradeSeries {
    fn session(&mut self, ts: i64) -> (i64, i64) {
        let day = self.timeline.day(ts);
        (day.start, day.end)
    }
    fn sealed(&self) -> i64 {
        self.timeline.sealed()
    }
}

impl Sessions for QuoteSeries {
    fn session(&mut self, ts: i64) -> (i64, i64) {
        let day = self.timeline.day(ts);
        (day.start, day.end)
    }
    fn sealed(&self) -> i64 {
        self.timeline.sealed()
    }
}

#[derive(Debug, Clone)]
pub(super) struct TradeSeries {
    pub(super) name: Name,
    vocabulary: Vocabulary,
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
            vocabulary: Vocabulary::of(&name.feed),
            name,
            timeline: Timeline::new(intervals, times, calendar, carries),
            prints: VecDeque::new(),
            pruned: i64::MIN,
            seen: Seen::default(),
        }
    }

    #[inline]
    pub(super) fn add(&mut self, trade: &Trade<&str>, effects: &mut Effects) -> Verdict {
        let ts = trade.ts.0;
        let at = Moment { ts, order: order(trade.id) };
        let day = self.timeline.day(ts);
        let (session, regular) = (day.start, day.is_regular(ts));
        if ts < self.timeline.sealed() {
            let known = trade.revision == 0 && !trade.canceled && self.seen.surely(at.order, session);
            return if known { Verdict::Duplicate } else { Verdict::TooLate };
        }
        let (updates, day) = effects.of(trade, self.vocabulary).at(regular);
        let mut hasher = FxHasher::default();
        hasher.write(trade.venue.as_bytes());
        hasher.write(trade.id.as_bytes());
        let print = Print {
            at,
            key: hasher.finish(),
            price: trade.price.billionths(),
            size: trade.size.billionths(),
            revision: trade.revision,
            updates,
            day,
        };
        let amends = trade.revision > 0 || trade.canceled;
        // Its cancel may have come before it.
        let last = self.prints.back().is_none_or(|last| last.at < at);
        if amends || !self.seen.is_next(at) || !last {
            return self.amend(print, trade.canceled, session);
        }
        self.seen.add(at.order, session);
        if updates.is_none() {
            return Verdict::Nothing;
        }
        self.prints.push_back(print);
        self.timeline.add(ts, |cell| cell.add(&print));
        self.prune();
        Verdict::Counted
    }

    #[inline]
    fn prune(&mut self) {
        let sealed = self.timeline.sealed();
        if sealed > self.pruned {
            self.pruned = sealed;
            while self.prints.front().is_some_and(|print| print.at.ts < sealed) {
                self.prints.pop_front();
            }
        }
    }

    /// A print that is late, came before, or changes one that did.
    #[inline(never)]
    fn amend(&mut self, mut print: Print, canceled: bool, session: i64) -> Verdict {
        let amends = print.revision > 0 || canceled;
        if canceled {
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
            let newer = (print.revision, canceled) > (known.revision, known.updates.is_none());
            if !newer {
                return Verdict::Duplicate;
            }
            self.prints[index] = print;
            self.timeline.replace(print.at.ts, self.second(print.at.ts));
            return Verdict::Amended;
        }
        if print.updates.is_none() && !amends {
            return Verdict::Nothing;
        }
        if !amends {
            self.seen.add(print.at.order, session);
        }
        self.prints.insert(from, print);
        if print.updates.is_none() {
            return Verdict::Amended;
        }
        self.timeline.add(print.at.ts, |cell| cell.add(&print));
        self.prune();
        Verdict::Counted
    }

    /// The prints of a second, added up anew.
    fn second(&self, ts: i64) -> TradeCell {
        let start = ts - ts.rem_euclid(SECOND);
        let first = self.prints.partition_point(|print| print.at.ts < start);
        let mut cell = TradeCell::default();
        self.prints
            .range(first..)
            .take_while(|print| print.at.ts < start + SECOND)
            .for_each(|print| cell.add(print));
        cell
    }

    #[inline]
    pub(super) fn take(&mut self, market: Option<i64>, tell: &mut dyn FnMut(Bar)) {
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
    let (volume, notional) = (cell.volume + after.volume, cell.notional + after.notional);
    Values::Trades(TradeValues {
        ohlc,
        volume,
        vwap: vwap(notional, volume),
        trades: cell.trades + after.trades,
    })
}

#[derive(Debug, Clone)]
pub(super) struct QuoteSeries {
    pub(super) name: Name,
    timeline: Timeline<QuoteCell>,
    seen: Seen,
}

impl QuoteSeries {
    pub(super) fn new(name: Name, intervals: &[Interval], times: Times, calendar: Calendar) -> Self {
        Self { name, timeline: Timeline::new(intervals, times, calendar, false), seen: Seen::default() }
    }

    pub(super) fn add(&mut self, quote: &Quote<&str>) -> Verdict {
        let ts = quote.ts.0;
        let at = Moment { ts, order: quote.seq.unsigned_abs() };
        let session = self.timeline.day(ts).start;
        if ts < self.timeline.sealed() {
            return if self.seen.surely(at.order, session) { Verdict::Duplicate } else { Verdict::TooLate };
        }
        // Adding a quote twice changes nothing.
        if self.seen.is_next(at) || !self.seen.surely(at.order, session) {
            self.seen.add(at.order, session);
        }
        self.timeline.add(ts, |cell| {
            for (side, cell) in [(&quote.bid, &mut cell.bid), (&quote.ask, &mut cell.ask)] {
                if let Some(side) = side {
                    cell.add(at, side.price.billionths(), side.size.billionths());
                }
            }
        });
        Verdict::Counted
    }

    pub(super) fn take(&mut self, market: Option<i64>, tell: &mut dyn FnMut(Bar)) {
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
