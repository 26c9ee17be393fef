//! All series of a stream.

use super::Bar;
use super::clock::Clock;
use super::series::{Name, QuoteSeries, TradeSeries, Verdict};
use super::timeline::Times;
use crate::calendar::Calendar;
use crate::interval::Interval;
use crate::policy::{Effects, Policy};
use crate::{Quote, Record, Trade};
use rustc_hash::FxHashMap;

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

/// Series by symbol, and by feed where a symbol comes on several.
#[derive(Debug, Clone)]
struct Index<S> {
    series: Vec<(S, u32, usize)>,
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
        make: impl FnOnce() -> (S, usize),
    ) -> (&mut S, usize) {
        let first = self.first.get(symbol).copied().unwrap_or(END);
        let mut at = first;
        while at != END && !fits(&self.series[at as usize].0) {
            at = self.series[at as usize].1;
        }
        if at == END {
            let (series, rules) = make();
            at = self.series.len() as u32;
            self.series.push((series, first, rules));
            self.first.insert(symbol.into(), at);
        }
        let (series, _, rules) = &mut self.series[at as usize];
        (series, *rules)
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
        }
    }

    /// Takes a record in.
    #[inline]
    pub fn add(&mut self, record: &Record<&str>) -> Verdict {
        match record {
            Record::Trade(trade) => self.trade(trade),
            Record::Quote(quote) => self.quote(quote),
        }
    }

    /// Takes a trade in.
    #[inline]
    pub fn trade(&mut self, trade: &Trade<&str>) -> Verdict {
        let settings = &self.settings;
        let make = || {
            let rules = settings.feed(trade.feed);
            let feed = &settings.feeds[rules];
            let name = Name { symbol: trade.symbol.into(), feed: trade.feed.into() };
            let times = Times { grace: settings.grace, horizon: settings.horizon };
            let carries = feed.policy.carries_volume;
            (TradeSeries::new(name, &settings.intervals, times, feed.calendar, carries), rules)
        };
        let (series, rules) = self.trades.find(trade.symbol, |series| *series.name.feed == *trade.feed, make);
        self.market.observe(trade.ts.0);
        series.add(trade, &mut self.effects[rules])
    }

    /// Takes a quote in.
    #[inline]
    pub fn quote(&mut self, quote: &Quote<&str>) -> Verdict {
        let settings = &self.settings;
        let make = || {
            let rules = settings.feed(quote.feed);
            let name = Name { symbol: quote.symbol.into(), feed: quote.feed.into() };
            let times = Times { grace: settings.grace, horizon: settings.horizon };
            (QuoteSeries::new(name, &settings.intervals, times, settings.feeds[rules].calendar), rules)
        };
        let (series, _) = self.quotes.find(quote.symbol, |series| *series.name.feed == *quote.feed, make);
        self.market.observe(quote.ts.0);
        series.add(quote)
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
        self.trades.series.iter_mut().for_each(|(series, ..)| series.take(Some(market), tell));
        self.quotes.series.iter_mut().for_each(|(series, ..)| series.take(Some(market), tell));
    }

    /// Tells all bars there are, as final: the stream has ended.
    pub fn finish(&mut self, tell: &mut dyn FnMut(Bar)) {
        self.trades.series.iter_mut().for_each(|(series, ..)| series.take(None, tell));
        self.quotes.series.iter_mut().for_each(|(series, ..)| series.take(None, tell));
    }
}
