//! All series of a stream.

use super::Bar;
use super::clock::Clock;
use super::series::{Name, QuoteSeries, Sessions, TradeSeries, Verdict};
use super::timeline::Times;
use crate::calendar::Calendar;
use crate::interval::Interval;
use crate::policy::{Effects, Policy};
use crate::{Kind, Quote, Record, Trade};
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, VecDeque};

/// How bars are made.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which bars.
    pub intervals: Vec<Interval>,
    /// How long after its end a bar is closed, nanoseconds: what comes later restates it.
    pub grace: i64,
    /// How long after its end a bar may be restated, nanoseconds: what comes later goes to the late topic.
    pub horizon: i64,
    /// Condition policy and calendar by the beginning of the feed's name; the first that fits, or the last.
    pub feeds: Vec<Feed>,
}

/// The rules of some feeds.
#[derive(Debug, Clone)]
pub struct Feed {
    /// What the feeds' names begin with.
    pub prefix: String,
    /// Which print may set what.
    pub policy: Policy,
    /// Sessions.
    pub calendar: Calendar,
}

impl Settings {
    fn feed(&self, name: &str) -> usize {
        let last = self.feeds.len().saturating_sub(1);
        self.feeds.iter().position(|feed| name.starts_with(&feed.prefix)).unwrap_or(last)
    }
}

/// Where a record stands in its stream.
#[derive(Debug, Clone, Copy, Default)]
pub struct Place {
    /// Its position: an offset.
    pub position: u64,
    /// When it was put there, milliseconds.
    pub stamp_ms: i64,
}

/// From where a stream is to be read again so that all bars that may still change come out the same, and which event
/// times are done with until then, by series.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Needs {
    /// The first position; `None` when nothing is needed again.
    pub position: Option<u64>,
    /// Series (`trade|feed|symbol`) whose records before a time are in final bars.
    pub floors: BTreeMap<String, i64>,
}

/// After so long without a record of a series, its bars are done with although its own clock stands still.
const STALE_MS: i64 = 24 * 3_600_000;

#[derive(Debug, Clone)]
struct Entry<S> {
    series: S,
    /// The next series of the same symbol.
    next: u32,
    rules: usize,
    /// Records before this are in final bars of an earlier run.
    floor: i64,
    /// The session of the last record: start and end.
    session: (i64, i64),
    /// Sessions that may still change: start, end, position of the first record.
    open: VecDeque<(i64, i64, u64)>,
    stamp_ms: i64,
}

impl<S: Sessions> Entry<S> {
    /// False for a record of a session that is done with.
    #[inline]
    fn admits(&mut self, ts: i64, place: Place) -> bool {
        if !(self.session.0 <= ts && ts < self.session.1) {
            self.enter(ts, place);
        }
        self.stamp_ms = place.stamp_ms;
        ts >= self.floor
    }

    #[cold]
    fn enter(&mut self, ts: i64, place: Place) {
        self.session = self.series.session(ts);
        let (start, end) = self.session;
        if end > self.series.sealed()
            && ts >= self.floor
            && !self.open.iter().any(|(other, ..)| *other == start)
        {
            self.open.push_back((start, end, place.position));
        }
    }

    /// The first position needed, and the floor.
    fn needs(&mut self, market: i64, horizon: i64, latest_ms: i64) -> (Option<u64>, i64) {
        let stale = self.stamp_ms < latest_ms.saturating_sub(STALE_MS);
        let sealed = self.series.sealed();
        let done = |end: i64| end <= sealed || (stale && end.saturating_add(horizon) <= market);
        if let Some(last) = self.open.iter().filter(|(_, end, _)| done(*end)).map(|(_, end, _)| *end).max() {
            self.floor = self.floor.max(last);
            self.open.retain(|(_, end, _)| !done(*end));
        }
        (self.open.iter().map(|(.., position)| *position).min(), self.floor)
    }
}

/// Series by symbol, and by feed where a symbol comes on several.
#[derive(Debug, Clone)]
struct Index<S> {
    series: Vec<Entry<S>>,
    first: FxHashMap<Box<str>, u32>,
}

const END: u32 = u32::MAX;

impl<S> Index<S> {
    fn new() -> Self {
        Self { series: Vec::new(), first: FxHashMap::default() }
    }

    #[inline]
    fn find(
        &mut self,
        symbol: &str,
        fits: impl Fn(&S) -> bool,
        make: impl FnOnce() -> (S, usize, i64),
    ) -> &mut Entry<S> {
        let first = self.first.get(symbol).copied().unwrap_or(END);
        let mut at = first;
        while at != END && !fits(&self.series[at as usize].series) {
            at = self.series[at as usize].next;
        }
        if at == END {
            let (series, rules, floor) = make();
            at = self.series.len() as u32;
            self.series.push(Entry {
                series,
                next: first,
                rules,
                floor,
                session: (0, 0),
                open: VecDeque::new(),
                stamp_ms: 0,
            });
            self.first.insert(symbol.into(), at);
        }
        &mut self.series[at as usize]
    }
}

/// Makes bars of trades and quotes. Each partition of a topic has one of its own.
#[derive(Debug, Clone)]
pub struct Aggregator {
    settings: Settings,
    effects: Vec<Effects>,
    trades: Index<TradeSeries>,
    quotes: Index<QuoteSeries>,
    market: Clock,
    latest_ms: i64,
    floors: BTreeMap<String, i64>,
}

fn name(kind: Kind, feed: &str, symbol: &str) -> String {
    format!("{}|{feed}|{symbol}", kind.name())
}

impl Aggregator {
    /// Without any records yet. `settings.feeds` has at least one entry.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            effects: settings.feeds.iter().map(|feed| Effects::new(feed.policy.clone())).collect(),
            settings,
            trades: Index::new(),
            quotes: Index::new(),
            market: Clock::default(),
            latest_ms: 0,
            floors: BTreeMap::new(),
        }
    }

    /// Goes on after an earlier run: what [`Aggregator::needs`] told then.
    #[must_use]
    pub fn with_floors(mut self, floors: BTreeMap<String, i64>) -> Self {
        self.floors = floors;
        self
    }

    /// Takes a record in.
    #[inline]
    pub fn add(&mut self, record: &Record<&str>, place: Place) -> Verdict {
        self.latest_ms = self.latest_ms.max(place.stamp_ms);
        self.market.observe(record.ts().0);
        match record {
            Record::Trade(trade) => self.trade(trade, place),
            Record::Quote(quote) => self.quote(quote, place),
        }
    }

    #[inline]
    fn trade(&mut self, trade: &Trade<&str>, place: Place) -> Verdict {
        let (settings, floors) = (&self.settings, &self.floors);
        let make = || {
            let rules = settings.feed(trade.feed);
            let feed = &settings.feeds[rules];
            let name = Name { symbol: trade.symbol.into(), feed: trade.feed.into() };
            let times = Times { grace: settings.grace, horizon: settings.horizon };
            let carries = feed.policy.carries_volume;
            let floor =
                floors.get(&self::name(Kind::Trade, trade.feed, trade.symbol)).copied().unwrap_or(i64::MIN);
            (TradeSeries::new(name, &settings.intervals, times, feed.calendar, carries), rules, floor)
        };
        let entry = self.trades.find(trade.symbol, |series| *series.name.feed == *trade.feed, make);
        if !entry.admits(trade.ts.0, place) {
            return Verdict::Duplicate;
        }
        entry.series.add(trade, &mut self.effects[entry.rules])
    }

    #[inline]
    fn quote(&mut self, quote: &Quote<&str>, place: Place) -> Verdict {
        let (settings, floors) = (&self.settings, &self.floors);
        let make = || {
            let rules = settings.feed(quote.feed);
            let name = Name { symbol: quote.symbol.into(), feed: quote.feed.into() };
            let times = Times { grace: settings.grace, horizon: settings.horizon };
            let floor =
                floors.get(&self::name(Kind::Quote, quote.feed, quote.symbol)).copied().unwrap_or(i64::MIN);
            (QuoteSeries::new(name, &settings.intervals, times, settings.feeds[rules].calendar), rules, floor)
        };
        let entry = self.quotes.find(quote.symbol, |series| *series.name.feed == *quote.feed, make);
        if !entry.admits(quote.ts.0, place) {
            return Verdict::Duplicate;
        }
        entry.series.add(quote)
    }

    /// From where to read again after what was told so far is kept.
    pub fn needs(&mut self) -> Needs {
        let (market, horizon, latest) = (self.market.now(), self.settings.horizon, self.latest_ms);
        let mut needs = Needs { position: None, floors: self.floors.clone() };
        let mut take = |name: String, (position, floor): (Option<u64>, i64)| {
            needs.position = [needs.position, position].into_iter().flatten().min();
            if floor > i64::MIN {
                needs.floors.insert(name, floor);
            }
        };
        for entry in &mut self.trades.series {
            let told = entry.needs(market, horizon, latest);
            take(name(Kind::Trade, &entry.series.name.feed, &entry.series.name.symbol), told);
        }
        for entry in &mut self.quotes.series {
            let told = entry.needs(market, horizon, latest);
            take(name(Kind::Quote, &entry.series.name.feed, &entry.series.name.symbol), told);
        }
        needs
    }

    /// Event time of the stream.
    #[must_use]
    pub fn now(&self) -> i64 {
        self.market.now()
    }

    /// Tells the bars that have closed, changed or become final. `idle` nanoseconds have passed since the last record:
    /// a stream that has gone quiet does not keep its bars open.
    pub fn take(&mut self, idle: i64, tell: &mut dyn FnMut(Bar)) {
        let market = self.market.now().saturating_add(idle);
        self.trades.series.iter_mut().for_each(|entry| entry.series.take(Some(market), tell));
        self.quotes.series.iter_mut().for_each(|entry| entry.series.take(Some(market), tell));
    }

    /// Tells all bars there are, as final: the stream has ended.
    pub fn finish(&mut self, tell: &mut dyn FnMut(Bar)) {
        self.trades.series.iter_mut().for_each(|entry| entry.series.take(None, tell));
        self.quotes.series.iter_mut().for_each(|entry| entry.series.take(None, tell));
    }
}
