//! Bars that are not closed yet: provisional, until the aggregator emits them.
//!
//! The aggregator emits a bar after its end. Until then the page shows the prints of the running interval, by the same
//! condition policy. A late print, a correction or a cancel is left to the aggregator's restatement.

use market::bar::Feed;
use market::calendar::{Day, Phase};
use market::interval::Interval;
use market::policy::{Effects, Policy, Updates, Vocabulary};
use market::{Price, Trade, UnixNanos};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

struct Forming {
    interval: Interval,
    start: i64,
    end: i64,
    open_close: Option<[Price; 2]>,
    high_low: Option<[Price; 2]>,
    volume: f64,
    notional: f64,
    trades: u64,
    changed: bool,
}

/// The running bars of one symbol on one feed.
pub(crate) struct FormingBars {
    feed: Feed,
    vocabulary: Vocabulary,
    day: Day,
    bars: Vec<Forming>,
}

/// Effects of conditions by policy, shared by all symbols: the cache of each is large.
#[derive(Default)]
pub(crate) struct PolicyEffects(BTreeMap<String, Effects>);

impl PolicyEffects {
    fn of(&mut self, policy: &Policy) -> &mut Effects {
        self.0.entry(policy.name().to_owned()).or_insert_with(|| Effects::new(policy.clone()))
    }
}

/// Effect of a print on a symbol's figures.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counted {
    /// It set the last price.
    pub(crate) last: bool,
    /// It may set high and low.
    pub(crate) high_low: bool,
    /// It counts towards volume.
    pub(crate) volume: bool,
}

impl FormingBars {
    /// Bars of a trade's symbol and feed, without the trade itself.
    pub(crate) fn new(first: &Trade<&str>, feed: &Feed, intervals: &[Interval]) -> Self {
        let bar = |interval: &Interval| Forming {
            interval: *interval,
            start: i64::MIN,
            end: i64::MIN,
            open_close: None,
            high_low: None,
            volume: 0.0,
            notional: 0.0,
            trades: 0,
            changed: false,
        };
        Self {
            day: feed.calendar.day(first.ts),
            feed: feed.clone(),
            vocabulary: Vocabulary::of(first.feed, first.symbol),
            bars: intervals.iter().map(bar).collect(),
        }
    }

    /// The session day of the last print.
    pub(crate) fn day(&self) -> &Day {
        &self.day
    }

    /// Adds a print.
    pub(crate) fn add(&mut self, trade: &Trade<&str>, effects: &mut PolicyEffects) -> Counted {
        let ts = trade.ts.0;
        if !self.day.holds(ts) {
            self.day = self.feed.calendar.day(trade.ts);
        }
        if trade.canceled || trade.revision > 0 {
            return Counted::default();
        }
        let (below, of_day) =
            effects.of(&self.feed.policy).of(trade, self.vocabulary, self.day.is_regular(ts));
        for bar in &mut self.bars {
            let updates = if bar.interval.is_day() { of_day } else { below };
            bar.add(trade, updates, &self.day);
        }
        Counted {
            last: below.has(Updates::LAST),
            high_low: below.has(Updates::HIGH_LOW),
            volume: below.has(Updates::VOLUME),
        }
    }

    /// Bars that changed since the last call, as JSON, by interval.
    pub(crate) fn take(&mut self, symbol: &str, feed: &str) -> Vec<(String, String)> {
        let day = self.day;
        self.bars
            .iter_mut()
            .filter_map(|bar| {
                if !std::mem::take(&mut bar.changed) {
                    return None;
                }
                let map = bar.to_json(symbol, feed, &day)?;
                Some((bar.interval.to_string(), Value::Object(map).to_string()))
            })
            .collect()
    }
}

impl Forming {
    fn add(&mut self, trade: &Trade<&str>, updates: Updates, day: &Day) {
        let ts = trade.ts.0;
        if ts < self.start {
            return;
        }
        if ts >= self.end {
            (self.start, self.end) = self.interval.bounds(ts, day);
            (self.open_close, self.high_low) = (None, None);
            (self.volume, self.notional, self.trades) = (0.0, 0.0, 0);
        }
        if updates.has(Updates::VOLUME) {
            let size = trade.size.to_f64();
            self.volume += size;
            self.notional += size * trade.price.to_f64();
            self.trades += 1;
        }
        let price = trade.price;
        if updates.has(Updates::HIGH_LOW) {
            let [high, low] = self.high_low.unwrap_or([price; 2]);
            self.high_low = Some([high.max(price), low.min(price)]);
        }
        if updates.has(Updates::LAST) {
            let [open, _] = self.open_close.unwrap_or([price; 2]);
            self.open_close = Some([open, price]);
        }
        self.changed = true;
    }

    fn to_json(&self, symbol: &str, feed: &str, day: &Day) -> Option<Map<String, Value>> {
        let [open, close] = self.open_close?;
        let [high, low] = self.high_low.unwrap_or([open.max(close), open.min(close)]);
        let [open, high, low, close] = [open, high, low, close].map(|price| price.to_string());
        let mut map = Map::new();
        let session = phase(day, self.start);
        let value = json!({
            "symbol": symbol, "feed": feed, "kind": "trade", "interval": self.interval.to_string(),
            "start": UnixNanos(self.start).to_string(), "open": open, "high": high, "low": low, "close": close,
            "volume": number(self.volume), "trades": self.trades, "late": 0, "revision": 0, "final": false,
            "complete": true, "forming": true, "session": session,
        });
        if let Value::Object(object) = value {
            map = object;
        }
        if self.volume > 0.0 {
            map.insert("vwap".to_owned(), number(self.notional / self.volume).into());
        }
        Some(map)
    }
}

/// A sum of doubles as a decimal, without the digits that are only noise.
pub(crate) fn number(value: f64) -> String {
    let text = format!("{value:.9}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Name of a part of a session.
pub(crate) fn phase(day: &Day, ts: i64) -> &'static str {
    match day.phase(ts) {
        Phase::Closed => "closed",
        Phase::Pre => "pre",
        Phase::Regular => "regular",
        Phase::Post => "post",
    }
}
