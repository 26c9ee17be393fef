//! All series of a stream.

use super::Alert;
use super::condition::{Condition, Subject};
use super::levels::DayRange;
use super::prints::Uses;
use super::rule::{RuleConfig, RuleError, Session};
use super::series::{Context, Incoming, Series, SeriesState};
use super::settings::EngineSettings;
use super::validated::Rule;
use crate::bar::{Bar, Values};
use crate::calendar::{Calendar, Day};
use crate::policy::{Effects, Updates, Vocabulary};
use crate::{Price, Quote, Size, Trade, UnixNanos};
use hashbrown::HashTable;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// State of an engine, for a snapshot, serialised as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EngineState {
    now: i64,
    series: Vec<SeriesState>,
}

/// State of a feed.
struct FeedState {
    name: Box<str>,
    settings: usize,
    day: Option<Day>,
}

/// Evaluates rules on a stream. Records of a series must come in the order of the stream.
pub struct Engine {
    settings: EngineSettings,
    rules: Vec<Rule>,
    effects: Vec<Effects>,
    feeds: Vec<FeedState>,
    series: Vec<Series>,
    /// Series by subject, feed and symbol.
    index: HashTable<u32>,
    /// Deadlines at which a series will have been silent for too long: time, series, check.
    deadlines: BinaryHeap<Reverse<(i64, u32, u32)>>,
    now: i64,
    /// Whether a rule needs the days before.
    needs_days: bool,
}

fn f64_of(price: Price) -> f64 {
    price.to_f64()
}

fn size_of(size: Size) -> f64 {
    size.to_f64()
}

fn hash(subject: u8, feed: &str, symbol: &str) -> u64 {
    xxh3_64_with_seed(symbol.as_bytes(), xxh3_64_with_seed(feed.as_bytes(), u64::from(subject)))
}

impl Engine {
    /// Creates an engine with rules.
    ///
    /// # Errors
    /// The first rule that cannot be evaluated, or whose name is not unique.
    pub fn new(rules: &[RuleConfig], settings: EngineSettings) -> Result<Self, RuleError> {
        let rules = rules.iter().map(Rule::new).collect::<Result<Vec<_>, _>>()?;
        let mut names = rustc_hash::FxHashSet::default();
        if let Some(twice) = rules.iter().find(|rule| !names.insert(rule.config.name.as_str())) {
            let problem = "another rule has the same name".to_owned();
            return Err(RuleError { rule: twice.config.name.clone(), problem });
        }
        let needs_days = rules.iter().any(|rule| rule.condition.days() > 0);
        let effects = settings.feeds.iter().map(|feed| Effects::new(feed.policy.clone())).collect();
        Ok(Self {
            effects,
            rules,
            settings,
            feeds: Vec::new(),
            series: Vec::new(),
            index: HashTable::new(),
            deadlines: BinaryHeap::new(),
            now: i64::MIN,
            needs_days,
        })
    }

    /// Whether a rule watches the stages of the pipeline.
    #[must_use]
    pub fn watches_stages(&self) -> bool {
        self.rules.iter().any(|rule| rule.condition.subject() == Subject::Stage)
    }

    /// Number of sessions that a series needs and does not know, and the start of the session at a time, before which they
    /// are. `None` if it needs none, and for the same series only once: what is not known then is not in the store either.
    pub fn missing_days(&mut self, feed: &str, symbol: &str, ts: UnixNanos) -> Option<(usize, UnixNanos)> {
        if !self.needs_days {
            return None;
        }
        let index = self.find(Subject::Market, feed, symbol);
        let days = self.series[index].missing_days()?;
        let feed = self.feed(feed);
        Some((days, UnixNanos(self.day(feed, ts.0).start)))
    }

    /// Adds the daily bar of a session before the one that starts at `today`. Prices from before a split are scaled.
    pub fn past_day(&mut self, bar: &Bar, today: UnixNanos) {
        let Values::Trades(values) = &bar.values else { return };
        let feed = self.feed(&bar.feed);
        let (date, session) = (self.day(feed, bar.start.0).yyyymmdd, self.day(feed, today.0).yyyymmdd);
        let index = self.find(Subject::Market, &bar.feed, &bar.symbol);
        // A known series is at an earlier session; from there on its days are scaled together.
        let today = match self.series[index].today() {
            0 => session,
            known => known,
        };
        let split = self.settings.splits.get(bar.symbol.as_str()).map_or(1.0, |factors| {
            let (before, after) = (factors.on(date).1, factors.on(today).1);
            before as f64 / after as f64
        });
        let [_, high, low, close] = values.ohlc.map(|price| f64_of(price) * split);
        self.series[index].daily(DayRange { yyyymmdd: date, high, low, close });
    }

    /// Number of series seen.
    #[must_use]
    pub fn series(&self) -> usize {
        self.series.len()
    }

    fn find(&mut self, subject: Subject, feed: &str, symbol: &str) -> usize {
        let subject_number = subject as u8;
        let wanted = hash(subject_number, feed, symbol);
        let same = |index: &u32| {
            let data = &self.series[*index as usize].data;
            data.subject == subject_number && *data.symbol == *symbol && *data.feed == *feed
        };
        if let Some(index) = self.index.find(wanted, same) {
            return *index as usize;
        }
        let index = self.series.len();
        self.series.push(Series::new(subject, feed, symbol, &self.rules));
        let series = &self.series;
        self.index.insert_unique(wanted, index as u32, |index| {
            let data = &series[*index as usize].data;
            hash(data.subject, &data.feed, &data.symbol)
        });
        index
    }

    fn feed(&mut self, name: &str) -> usize {
        if let Some(index) = self.feeds.iter().position(|feed| *feed.name == *name) {
            return index;
        }
        let last = self.settings.feeds.len().saturating_sub(1);
        let settings = self.settings.feeds.iter().position(|feed| name.starts_with(&feed.prefix));
        self.feeds.push(FeedState { name: name.into(), settings: settings.unwrap_or(last), day: None });
        self.feeds.len() - 1
    }

    fn calendar(&self, feed: usize) -> Calendar {
        let settings = self.feeds.get(feed).map_or(0, |feed| feed.settings);
        self.settings.feeds.get(settings).map_or(Calendar::ALWAYS, |feed| feed.calendar)
    }

    fn day(&mut self, feed: usize, ts: i64) -> Day {
        if let Some(day) = self.feeds[feed].day
            && day.holds(ts)
        {
            return day;
        }
        let day = self.calendar(feed).day(UnixNanos(ts));
        self.feeds[feed].day = Some(day);
        day
    }

    fn roll(&mut self, series: usize, day: &Day) {
        let today = self.series[series].today();
        if day.yyyymmdd <= today {
            return;
        }
        let symbol = &*self.series[series].data.symbol;
        let split = self.settings.splits.get(symbol).filter(|_| today != 0).map_or(1.0, |factors| {
            let (before, after) = (factors.on(today).1, factors.on(day.yyyymmdd).1);
            before as f64 / after as f64
        });
        self.series[series].roll(day.yyyymmdd, split);
    }

    /// Evaluates a trade. A `canceled` one cancels the trade of the same venue and id; one of a higher
    /// revision corrects it.
    pub fn trade(&mut self, trade: &Trade<&str>, out: &mut Vec<Alert>) {
        let feed = self.feed(trade.feed);
        let ts = trade.ts.0;
        let recv = trade.recv_ts.0;
        if recv > 0 && ts > recv.saturating_add(self.settings.filter.future.0) {
            return;
        }
        let index = self.find(Subject::Market, trade.feed, trade.symbol);
        let day = self.day(feed, ts);
        self.roll(index, &day);
        let regular = day.is_regular(ts);
        let settings = self.feeds[feed].settings;
        let vocabulary = Vocabulary::of(trade.feed, trade.symbol);
        let (bars, days) = self.effects[settings].of(trade, vocabulary, regular);
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        let uses = bit(bars.has(Updates::LAST), Uses::PRICE)
            | bit(bars.has(Updates::LAST) && days.has(Updates::HIGH_LOW), Uses::EXTREME)
            | bit(bars.has(Updates::LAST) && days.has(Updates::LAST), Uses::CLOSE)
            | bit(bars.has(Updates::VOLUME), Uses::VOLUME)
            | bit(regular, Uses::REGULAR);
        let incoming = Incoming {
            ts,
            key: xxh3_64_with_seed(trade.id.as_bytes(), xxh3_64(trade.venue.as_bytes())),
            price: f64_of(trade.price),
            size: size_of(trade.size),
            uses: Uses(uses),
        };
        if trade.canceled || trade.revision > 0 {
            let mut context = Context { rules: &self.rules, settings: &self.settings, out };
            self.series[index].amend(&incoming, trade.canceled, &mut context);
            return;
        }
        // A price of zero or below is not a reference: no percentage can be computed from it.
        if incoming.price > 0.0 {
            self.overdue(index, ts, out);
            let mut context = Context { rules: &self.rules, settings: &self.settings, out };
            self.series[index].print(&incoming, &mut context);
        }
        self.wait(index);
    }

    /// Evaluates a quote. A side that was not sent is unchanged; crossed quotes are skipped.
    pub fn quote(&mut self, quote: &Quote<&str>, out: &mut Vec<Alert>) {
        let ts = quote.ts.0;
        let feed = self.feed(quote.feed);
        let index = self.find(Subject::Market, quote.feed, quote.symbol);
        let regular = self.day(feed, ts).is_regular(ts);
        let sides = [quote.bid, quote.ask].map(|side| side.map(|side| f64_of(side.price)));
        let mut context = Context { rules: &self.rules, settings: &self.settings, out };
        self.series[index].quote(ts, sides, quote.seq as u64, regular, &mut context);
    }

    /// Trading of a symbol was halted or resumed.
    pub fn halt(&mut self, feed: &str, symbol: &str, ts: UnixNanos, halted: bool, out: &mut Vec<Alert>) {
        let index = self.find(Subject::Market, feed, symbol);
        let mut context = Context { rules: &self.rules, settings: &self.settings, out };
        self.series[index].halt(ts.0, halted, &mut context);
        self.wait(index);
    }

    /// Evaluates a sensor reading. Values that are not numbers are skipped.
    pub fn reading(&mut self, feed: &str, series: &str, ts: UnixNanos, value: f64, out: &mut Vec<Alert>) {
        self.value(Subject::Reading, feed, series, ts.0, value, out);
    }

    /// Evaluates how many seconds a stage of the pipeline is behind at a time.
    pub fn lag(&mut self, stage: &str, now: UnixNanos, seconds: f64, out: &mut Vec<Alert>) {
        self.value(Subject::Stage, "", stage, now.0, seconds, out);
    }

    fn value(&mut self, subject: Subject, feed: &str, name: &str, ts: i64, value: f64, out: &mut Vec<Alert>) {
        if !value.is_finite() {
            return;
        }
        let index = self.find(subject, feed, name);
        if self.series[index].is_late(ts) {
            return;
        }
        let uses = Uses(Uses::PRICE);
        let key = xxh3_64_with_seed(&ts.to_le_bytes(), value.to_bits());
        let incoming = Incoming { ts, key, price: value, size: 0.0, uses };
        self.overdue(index, ts, out);
        let mut context = Context { rules: &self.rules, settings: &self.settings, out };
        self.series[index].value(&incoming, &mut context);
        self.wait(index);
    }

    /// Time of the stream: no earlier record will arrive. Fires for series that have been silent for too long
    /// by then.
    pub fn advance(&mut self, now: UnixNanos, out: &mut Vec<Alert>) {
        self.now = self.now.max(now.0);
        while let Some(Reverse((deadline, index, check))) = self.deadlines.peek().copied() {
            if deadline > self.now {
                return;
            }
            self.deadlines.pop();
            let (index, check) = (index as usize, check as usize);
            let due = self.due(index, check);
            if due > deadline {
                self.deadlines.push(Reverse((due, index as u32, check as u32)));
                continue;
            }
            let series = &mut self.series[index];
            series.checks[check].waits = false;
            if let Some(window) = silence(&series.checks[check].condition) {
                let mut context = Context { rules: &self.rules, settings: &self.settings, out };
                series.silent(check, window, due, &mut context);
            }
        }
    }

    /// Fires the silences that a record at `ts` ends, so that they are detected even if time advances late.
    #[inline]
    fn overdue(&mut self, index: usize, ts: i64, out: &mut Vec<Alert>) {
        for check in 0..self.series[index].checks.len() {
            let series = &self.series[index];
            let Some(window) = silence(&series.checks[check].condition) else { continue };
            // The session can only postpone a deadline: most records need no calendar.
            if !series.checks[check].waits || ts.saturating_sub(series.data.seen) < window {
                continue;
            }
            let due = self.due(index, check);
            if due <= ts {
                let mut context = Context { rules: &self.rules, settings: &self.settings, out };
                self.series[index].silent(check, window, due, &mut context);
            }
        }
    }

    /// Sets the deadlines of a series that has none.
    #[inline]
    fn wait(&mut self, index: usize) {
        for check in 0..self.series[index].checks.len() {
            let known = &self.series[index].checks[check];
            if !known.waits && silence(&known.condition).is_some() {
                self.series[index].checks[check].waits = true;
                let due = self.due(index, check);
                self.deadlines.push(Reverse((due, index as u32, check as u32)));
            }
        }
    }

    /// Time at which a check fires if its series stays silent. Its window counts only while the market is open.
    fn due(&mut self, index: usize, check: usize) -> i64 {
        let series = &self.series[index];
        let check = &series.checks[check];
        let window = silence(&check.condition).unwrap_or(i64::MAX);
        let (seen, session) = (series.data.seen, check.session);
        if series.data.subject != Subject::Market as u8 {
            return seen.saturating_add(window);
        }
        let name = series.data.feed.clone();
        let feed = self.feed(&name);
        let calendar = self.calendar(feed);
        let mut from = seen;
        // Two weeks are longer than any closure of a market.
        for _ in 0..14 {
            let day = calendar.day(UnixNanos(from));
            let [pre, open, close, post] = day.parts;
            let (start, end) = if session == Session::Regular { (open, close) } else { (pre, post) };
            let due = from.max(start).saturating_add(window);
            if start < end && due < end {
                return due;
            }
            from = day.end;
        }
        from
    }

    /// Its state; restore it with [`Engine::restore`].
    #[must_use]
    pub fn state(&self) -> EngineState {
        EngineState {
            now: self.now,
            series: self.series.iter().map(|series| series.state(&self.rules)).collect(),
        }
    }

    /// Restores a state. Rules may have changed since: those that did start from scratch.
    pub fn restore(&mut self, state: EngineState) {
        self.now = state.now;
        for saved in state.series {
            let subject = match saved.data.subject {
                1 => Subject::Reading,
                2 => Subject::Stage,
                _ => Subject::Market,
            };
            let (feed, symbol) = (saved.data.feed.clone(), saved.data.symbol.clone());
            let index = self.find(subject, &feed, &symbol);
            self.series[index].restore(saved, &self.rules);
            self.wait(index);
        }
    }
}

const fn silence(condition: &Condition) -> Option<i64> {
    match condition {
        Condition::Stall { window } | Condition::Silence { window } => Some(*window),
        _ => None,
    }
}
