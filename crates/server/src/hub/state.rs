//! State of symbols, gaps and dead letters, from the topics alone.

use super::forming::{Counted, FormingBars, PolicyEffects, number, phase};
use super::frame::{Changes, Frame, TAPE, append};
use super::json;
use super::recent::Recent;
use super::series::SeriesTable;
use crate::settings::ServerSettings;
use market::{Price, Quote, Record, Trade, UnixNanos};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Maximum number of dead letters kept for the page; all of them are on their topic.
const DEAD_LETTERS: usize = 1_000;

/// One symbol, all feeds together.
#[derive(Default)]
pub(crate) struct Symbol {
    feed: String,
    ts: i64,
    recv_ts: i64,
    date: u32,
    last: Option<Price>,
    open: Option<Price>,
    high: Option<Price>,
    low: Option<Price>,
    previous_close: Option<Price>,
    volume: f64,
    trades: u64,
    quote_ts: i64,
    bid: Option<Price>,
    ask: Option<Price>,
    session: &'static str,
    calendar: &'static str,
    zone: &'static str,
    forming: BTreeMap<String, FormingBars>,
    tape: VecDeque<String>,
    skipped: u64,
}

/// Messages read, by kind.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Read {
    pub(crate) trades: u64,
    pub(crate) quotes: u64,
    pub(crate) readings: u64,
    pub(crate) bars: u64,
    pub(crate) repeats: u64,
    pub(crate) unreadable: u64,
    pub(crate) dead_letters: u64,
}

/// Everything the reader knows.
pub(crate) struct State {
    settings: ServerSettings,
    symbols: BTreeMap<String, Symbol>,
    gaps: BTreeMap<String, Value>,
    dead_letters: VecDeque<Value>,
    recent: Recent,
    effects: PolicyEffects,
    changed: BTreeSet<String>,
    bars: BTreeMap<String, BTreeMap<String, String>>,
    new_gaps: String,
    new_dead: String,
    scratch: Vec<u8>,
    /// Last readings.
    pub(crate) series: SeriesTable,
    /// Messages read so far.
    pub(crate) read: Read,
    /// Whether everything published so far has been read.
    pub(crate) live: bool,
    /// State of the pipeline as last published.
    pub(crate) status: String,
    /// Why the topics cannot be read at the moment.
    pub(crate) error: Option<String>,
}

impl State {
    pub(crate) fn new(settings: &ServerSettings) -> Self {
        Self {
            settings: settings.clone(),
            symbols: BTreeMap::new(),
            gaps: BTreeMap::new(),
            dead_letters: VecDeque::new(),
            recent: Recent::default(),
            effects: PolicyEffects::default(),
            changed: BTreeSet::new(),
            bars: BTreeMap::new(),
            new_gaps: String::new(),
            new_dead: String::new(),
            scratch: Vec::new(),
            series: SeriesTable::default(),
            read: Read::default(),
            live: false,
            status: String::new(),
            error: None,
        }
    }

    /// Adds a record; returns false if it is a repeat.
    pub(crate) fn record(&mut self, record: &Record<&str>) -> bool {
        match record {
            Record::Trade(_) => self.read.trades += 1,
            Record::Quote(_) => self.read.quotes += 1,
            Record::Reading(reading) => {
                self.read.readings += 1;
                self.series.add(reading);
                return true;
            }
            Record::Described(_) => return false,
        }
        let identity = market::digest::identity(record, &mut self.scratch);
        // A correction has the identity of what it corrects, and must be shown.
        let amends = matches!(record, Record::Trade(trade) if trade.revision > 0 || trade.canceled);
        if !amends && !self.recent.insert(identity) {
            self.read.repeats += 1;
            return false;
        }
        let name = *record.symbol();
        if !self.symbols.contains_key(name) {
            self.symbols.insert(name.to_owned(), Symbol::default());
        }
        let Some(symbol) = self.symbols.get_mut(name) else { return true };
        match record {
            Record::Trade(trade) => {
                symbol.trade(trade, &self.settings, &mut self.effects);
                if self.live {
                    let object = Value::Object(json::record(record, &mut self.scratch));
                    symbol.tape.push_back(object.to_string());
                }
                if symbol.tape.len() > TAPE || !self.live {
                    symbol.skipped += 1;
                    symbol.tape.pop_front();
                }
            }
            Record::Quote(quote) => symbol.quote(quote),
            Record::Reading(_) | Record::Described(_) => return true,
        }
        if !self.changed.contains(name) {
            self.changed.insert(name.to_owned());
        }
        true
    }

    /// Adds a message of the bars topic.
    pub(crate) fn bar(&mut self, payload: &[u8]) {
        self.read.bars += 1;
        if !self.live {
            return;
        }
        let Ok(mut bar) = serde_json::from_slice::<Map<String, Value>>(payload) else { return };
        let text = |name: &str| bar.get(name).and_then(Value::as_str).map(str::to_owned);
        let (Some(symbol), Some(interval), Some(feed)) = (text("symbol"), text("interval"), text("feed"))
        else {
            return;
        };
        if bar.get("kind").and_then(Value::as_str) != Some("trade") {
            return;
        }
        if let Some(start) = text("start").and_then(|start| UnixNanos::parse(&start).ok()) {
            let day = self.settings.calendar(&feed, &symbol).day(start);
            bar.insert("session".to_owned(), phase(&day, start.0).into());
        }
        let bars = self.bars.entry(symbol).or_default().entry(interval).or_default();
        append(bars, &Value::Object(bar).to_string());
    }

    /// Adds a message of the gap ledger.
    pub(crate) fn gap(&mut self, payload: &[u8]) {
        let Ok(gap) = serde_json::from_slice::<Value>(payload) else {
            self.read.unreadable += 1;
            return;
        };
        let id = gap.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        append(&mut self.new_gaps, &gap.to_string());
        self.gaps.insert(id, gap);
    }

    /// Adds a dead letter.
    pub(crate) fn dead_letter(&mut self, dead_letter: Map<String, Value>) {
        self.read.dead_letters += 1;
        let dead_letter = Value::Object(dead_letter);
        append(&mut self.new_dead, &dead_letter.to_string());
        self.dead_letters.push_back(dead_letter);
        if self.dead_letters.len() > DEAD_LETTERS {
            self.dead_letters.pop_front();
        }
        // Without clients, a flood of them must not accumulate.
        if self.new_dead.len() > 1 << 20 {
            self.new_dead.clear();
        }
    }

    /// What has changed since the last frame.
    pub(crate) fn take(&mut self, number: u64) -> Frame {
        let mut frame = Frame { number, ..Frame::default() };
        for (symbol, bars) in std::mem::take(&mut self.bars) {
            frame.symbols.entry(symbol).or_default().bars = bars;
        }
        for name in std::mem::take(&mut self.changed) {
            let Some(symbol) = self.symbols.get_mut(&name) else { continue };
            let changes = frame.symbols.entry(name.clone()).or_default();
            symbol.take(&name, changes);
        }
        frame.gaps = std::mem::take(&mut self.new_gaps);
        frame.dead = std::mem::take(&mut self.new_dead);
        frame
    }

    /// All watchlist rows, by symbol.
    pub(crate) fn rows(&self) -> Vec<(String, Map<String, Value>)> {
        self.symbols.iter().map(|(name, symbol)| (name.clone(), symbol.row(name))).collect()
    }

    /// The newest event time of a symbol's trades and quotes. `None` if it is unknown, or while the topics are still
    /// being read: the store may hold newer records than what was read so far.
    pub(crate) fn newest(&self, symbol: &str) -> Option<i64> {
        let symbol = self.symbols.get(symbol).filter(|_| self.live)?;
        Some(symbol.ts.max(symbol.quote_ts))
    }

    /// The newest event time of a series of readings; `None` as for [`State::newest`].
    pub(crate) fn newest_reading(&self, series: &str) -> Option<i64> {
        if self.live { self.series.newest(series) } else { None }
    }

    /// The feed of a symbol's last trade.
    pub(crate) fn feed(&self, symbol: &str) -> Option<String> {
        self.symbols.get(symbol).map(|symbol| symbol.feed.clone())
    }

    /// The gap ledger, oldest first.
    pub(crate) fn gaps(&self) -> Vec<Value> {
        let mut gaps: Vec<Value> = self.gaps.values().cloned().collect();
        let text =
            |gap: &Value, name: &str| gap.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        gaps.sort_by_key(|gap| (text(gap, "from"), text(gap, "id")));
        gaps
    }

    /// The last dead letters, oldest first.
    pub(crate) fn dead_letters(&self) -> Vec<Value> {
        self.dead_letters.iter().cloned().collect()
    }

    /// Number of open gaps.
    pub(crate) fn open_gaps(&self) -> usize {
        self.gaps.values().filter(|gap| gap.get("state").and_then(Value::as_str) == Some("open")).count()
    }

    /// Number of known symbols.
    pub(crate) fn symbol_count(&self) -> usize {
        self.symbols.len()
    }
}

impl Symbol {
    fn trade(&mut self, trade: &Trade<&str>, settings: &ServerSettings, effects: &mut PolicyEffects) {
        if !self.forming.contains_key(trade.feed) {
            let Some(rules) = settings.rules(trade.feed, trade.symbol) else { return };
            let bars = FormingBars::new(trade, rules, &settings.bars.intervals);
            self.forming.insert(trade.feed.to_owned(), bars);
            (self.calendar, self.zone) = (rules.calendar.name(), rules.calendar.zone());
        }
        let Some(forming) = self.forming.get_mut(trade.feed) else { return };
        let counted = forming.add(trade, effects);
        let day = *forming.day();
        if day.yyyymmdd > self.date {
            self.previous_close = if self.date == 0 { None } else { self.last };
            self.date = day.yyyymmdd;
            (self.open, self.high, self.low) = (None, None, None);
            (self.volume, self.trades) = (0.0, 0);
        }
        self.count(trade, counted, day.yyyymmdd);
        if trade.ts.0 >= self.ts {
            self.ts = trade.ts.0;
            self.recv_ts = trade.recv_ts.0;
            self.session = phase(&day, trade.ts.0);
            trade.feed.clone_into(&mut self.feed);
        }
    }

    fn count(&mut self, trade: &Trade<&str>, counted: Counted, date: u32) {
        if date != self.date {
            return;
        }
        if counted.volume {
            self.volume += trade.size.to_f64();
            self.trades += 1;
        }
        if counted.last && trade.ts.0 >= self.ts {
            self.last = Some(trade.price);
            self.open.get_or_insert(trade.price);
        }
        if counted.high_low {
            self.high = Some(self.high.map_or(trade.price, |high| high.max(trade.price)));
            self.low = Some(self.low.map_or(trade.price, |low| low.min(trade.price)));
        }
    }

    fn quote(&mut self, quote: &Quote<&str>) {
        if quote.ts.0 < self.quote_ts {
            return;
        }
        self.quote_ts = quote.ts.0;
        self.recv_ts = self.recv_ts.max(quote.recv_ts.0);
        self.bid = quote.bid.as_ref().map(|side| side.price);
        self.ask = quote.ask.as_ref().map(|side| side.price);
    }

    fn take(&mut self, name: &str, changes: &mut Changes) {
        changes.row = Value::Object(self.row(name)).to_string();
        for object in self.tape.drain(..) {
            append(&mut changes.trades, &object);
        }
        changes.skipped = std::mem::take(&mut self.skipped);
        for (feed, forming) in &mut self.forming {
            for (interval, bar) in forming.take(name, feed) {
                append(changes.bars.entry(interval).or_default(), &bar);
            }
        }
    }

    fn row(&self, name: &str) -> Map<String, Value> {
        let mut row = Map::new();
        let mut put = |key: &str, value: Value| row.insert(key.to_owned(), value);
        put("symbol", name.into());
        put("feed", self.feed.clone().into());
        if self.ts > 0 || self.quote_ts > 0 {
            put("ts", UnixNanos(self.ts.max(self.quote_ts)).to_string().into());
            put("recv_ts", UnixNanos(self.recv_ts).to_string().into());
        }
        for (key, price) in [
            ("last", self.last),
            ("open", self.open),
            ("high", self.high),
            ("low", self.low),
            ("previous_close", self.previous_close),
            ("bid", self.bid),
            ("ask", self.ask),
        ] {
            if let Some(price) = price {
                put(key, price.to_string().into());
            }
        }
        let base = self.previous_close.or(self.open);
        if let (Some(last), Some(base)) = (self.last, base) {
            let (last, base) = (last.to_f64(), base.to_f64());
            put("change", number(last - base).into());
            if base != 0.0 {
                put("change_percent", json!((10_000.0 * (last - base) / base).round() / 100.0));
            }
            let from = if self.previous_close.is_some() { "previous_close" } else { "open" };
            put("change_from", from.into());
        }
        if let (Some(bid), Some(ask)) = (self.bid, self.ask) {
            put("spread", number(ask.to_f64() - bid.to_f64()).into());
        }
        put("volume", number(self.volume).into());
        put("trades", self.trades.into());
        put("session", self.session.into());
        put("calendar", self.calendar.into());
        put("zone", self.zone.into());
        row
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use market::Kind;

    #[test]
    fn the_newest_time_is_unknown_until_the_topics_are_read() {
        let bars = market::bar::AggregatorSettings {
            intervals: Vec::new(),
            emit_delay: 0,
            allowed_lateness: 0,
            feeds: vec![market::bar::Feed {
                prefix: String::new(),
                symbols: String::new(),
                policy: market::policy::Policy::named("all").unwrap(),
                calendar: market::calendar::Calendar::XNYS,
            }],
        };
        let mut state = State::new(&ServerSettings::new("127.0.0.1:0", bars));
        let text = r#"{"symbol":"SPY","feed":"f","venue":"P","id":"1","ts":7,"recv_ts":7,"price":"1","size":"1","conditions":[]}"#;
        let record = market::codec::json::decode(Kind::TRADE, text.as_bytes()).unwrap();
        assert!(state.record(&record));
        assert!(!state.record(&record), "a repeat");
        assert_eq!(state.newest("SPY"), None);
        state.live = true;
        assert_eq!((state.newest("SPY"), state.newest("IBM")), (Some(7), None));
    }
}
