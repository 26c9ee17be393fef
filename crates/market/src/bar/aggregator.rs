//! All series of a stream.

use super::Bar;
use super::cell::{Moment, Print};
use super::clock::Clock;
use super::lane::Lane;
use super::series::{Name, QuoteSeries, Quoted, Series, TradeSeries, Verdict, order};
use super::timeline::Times;
use crate::calendar::Calendar;
use crate::interval::Interval;
use crate::policy::{Effects, Policy, Vocabulary};
use crate::{Kind, Quote, QuoteSide, Record, Trade};
use rustc_hash::FxHasher;
use std::collections::BTreeMap;
use std::hash::Hasher;

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

    fn times(&self) -> Times {
        Times { grace: self.grace, horizon: self.horizon }
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

/// A feed's name and rules, looked up once.
#[derive(Debug, Clone)]
struct Known {
    name: Box<str>,
    rules: usize,
    vocabulary: Vocabulary,
}

/// Makes bars of trades and quotes. Each partition of a topic has one of its own.
#[derive(Debug, Clone)]
pub struct Aggregator {
    settings: Settings,
    effects: Vec<Effects>,
    feeds: Vec<Known>,
    /// The feed of the last record.
    feed: usize,
    trades: Lane<TradeSeries>,
    quotes: Lane<QuoteSeries>,
    market: Clock,
    latest_ms: i64,
    floors: BTreeMap<String, i64>,
}

/// What became of the records taken so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Counted before.
    pub duplicates: u64,
    /// Replaced or took back a record counted before.
    pub amended: u64,
}

fn series_name(kind: Kind, feed: &str, symbol: &str) -> String {
    format!("{}|{feed}|{symbol}", kind.name())
}

impl Aggregator {
    /// Without any records yet. `settings.feeds` has at least one entry.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            effects: settings.feeds.iter().map(|feed| Effects::new(feed.policy.clone())).collect(),
            feeds: Vec::new(),
            feed: 0,
            trades: Lane::new(settings.horizon),
            quotes: Lane::new(settings.horizon),
            market: Clock::default(),
            latest_ms: 0,
            floors: BTreeMap::new(),
            settings,
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
        let added = match record {
            Record::Trade(trade) => self.trade(trade, place),
            Record::Quote(quote) => self.quote(quote, place),
        };
        added.err().unwrap_or(Verdict::Taken)
    }

    /// The place of a feed in `feeds`: nearly always the last one's.
    #[inline]
    fn feed(&mut self, name: &str) -> usize {
        if self.feeds.get(self.feed).is_none_or(|known| *known.name != *name) {
            self.feed = self.feeds.iter().position(|known| *known.name == *name).unwrap_or_else(|| {
                let known = Known {
                    name: name.into(),
                    rules: self.settings.feed(name),
                    vocabulary: Vocabulary::of(name),
                };
                self.feeds.push(known);
                self.feeds.len() - 1
            });
        }
        self.feed
    }

    #[inline]
    fn trade(&mut self, trade: &Trade<&str>, place: Place) -> Result<(), Verdict> {
        let feed = self.feed(trade.feed);
        let Known { rules, vocabulary, .. } = self.feeds[feed];
        let (settings, floors) = (&self.settings, &self.floors);
        let series = self.trades.find(trade.symbol, feed as u32, || {
            let rules = &settings.feeds[rules];
            let name = Name { symbol: trade.symbol.into(), feed: trade.feed.into() };
            let carries = rules.policy.carries_volume;
            let floor = floors.get(&series_name(Kind::Trade, trade.feed, trade.symbol));
            let times = settings.times();
            let series = TradeSeries::new(name, &settings.intervals, times, rules.calendar, carries);
            (series, floor.copied().unwrap_or(i64::MIN))
        });
        let at = Moment { ts: trade.ts.0, order: order(trade.seq, trade.id) };
        let amends = trade.revision > 0 || trade.canceled;
        let known = |series: &mut TradeSeries| !amends && series.surely(at.ts, at.order);
        let (now, regular) = self.trades.admit(series, at.ts, place, known)?;
        let (updates, day) = self.effects[rules].of(trade, vocabulary).at(regular);
        let mut hasher = FxHasher::default();
        hasher.write(trade.venue.as_bytes());
        hasher.write(trade.id.as_bytes());
        let print = Print {
            at,
            key: hasher.finish(),
            price: trade.price.raw(),
            size: trade.size.raw(),
            revision: trade.revision,
            updates,
            day,
            canceled: trade.canceled,
        };
        self.trades.push(series, now, print);
        Ok(())
    }

    #[inline]
    fn quote(&mut self, quote: &Quote<&str>, place: Place) -> Result<(), Verdict> {
        let feed = self.feed(quote.feed);
        let rules = self.feeds[feed].rules;
        let (settings, floors) = (&self.settings, &self.floors);
        let series = self.quotes.find(quote.symbol, feed as u32, || {
            let name = Name { symbol: quote.symbol.into(), feed: quote.feed.into() };
            let floor = floors.get(&series_name(Kind::Quote, quote.feed, quote.symbol));
            let calendar = settings.feeds[rules].calendar;
            let series = QuoteSeries::new(name, &settings.intervals, settings.times(), calendar);
            (series, floor.copied().unwrap_or(i64::MIN))
        });
        let at = Moment { ts: quote.ts.0, order: quote.seq.unsigned_abs() };
        let (now, _) = self.quotes.admit(series, at.ts, place, |series| series.surely(at.ts, at.order))?;
        let side =
            |side: &Option<QuoteSide<&str>>| side.as_ref().map(|side| (side.price.raw(), side.size.raw()));
        self.quotes.push(series, now, Quoted { at, bid: side(&quote.bid), ask: side(&quote.ask) });
        Ok(())
    }

    /// From where to read again after what was told so far is kept. Comes after [`Aggregator::take`].
    pub fn needs(&mut self) -> Needs {
        let mut needs = Needs { position: None, floors: self.floors.clone() };
        let Needs { position, floors } = &mut needs;
        let mut take = |kind: Kind, name: &Name, from: Option<u64>, floor: i64| {
            *position = [*position, from].into_iter().flatten().min();
            if floor > i64::MIN {
                floors.insert(series_name(kind, &name.feed, &name.symbol), floor);
            }
        };
        let (market, latest) = (self.market.now(), self.latest_ms);
        self.trades.needs(market, latest, &mut |name, from, floor| take(Kind::Trade, name, from, floor));
        self.quotes.needs(market, latest, &mut |name, from, floor| take(Kind::Quote, name, from, floor));
        needs
    }

    /// Event time of the stream.
    #[must_use]
    pub fn now(&self) -> i64 {
        self.market.now()
    }

    /// What became of records up to the last [`Aggregator::take`].
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            duplicates: self.trades.duplicates + self.quotes.duplicates,
            amended: self.trades.amended + self.quotes.amended,
        }
    }

    /// Tells the bars that have closed, changed or become final. `idle` nanoseconds have passed since the last record:
    /// a stream that has gone quiet does not keep its bars open.
    pub fn take(&mut self, idle: i64, tell: &mut dyn FnMut(Bar)) {
        let market = Some(self.market.now().saturating_add(idle));
        self.trades.take(market, tell);
        self.quotes.take(market, tell);
    }

    /// Tells all bars there are, as final: the stream has ended.
    pub fn finish(&mut self, tell: &mut dyn FnMut(Bar)) {
        self.trades.take(None, tell);
        self.quotes.take(None, tell);
    }
}
