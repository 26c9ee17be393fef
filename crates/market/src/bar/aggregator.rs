//! All series of a stream.

use super::Bar;
use super::accumulator::{EventOrder, Print};
use super::checkpoint::{Checkpoint, LowWatermark, LowWatermarks, StreamPosition};
use super::clock::Clock;
use super::interval_bars::Times;
use super::series::{Name, QuoteSeries, Quoted, Series, TradeSeries, Verdict};
use super::series_table::{Resumed, SeriesTable};
use crate::calendar::Calendar;
use crate::interval::Interval;
use crate::policy::{ConditionCounts, Effects, Policy, Updates, Vocabulary};
use crate::time::DAY;
use crate::{Kind, Quote, QuoteSide, Reading, Record, Trade, UnixNanos, fixed};
use rustc_hash::FxHasher;
use std::hash::Hasher;

/// Settings of an aggregator.
#[derive(Debug, Clone)]
pub struct AggregatorSettings {
    /// Bar intervals.
    pub intervals: Vec<Interval>,
    /// How long after its end a bar is closed, nanoseconds; later records restate it.
    pub emit_delay: i64,
    /// How long after its end a bar may be restated, nanoseconds; later records go to the late topic.
    pub allowed_lateness: i64,
    /// Condition policy and calendar by feed and symbol; the first that matches, or the last.
    pub feeds: Vec<Feed>,
}

/// Rules for some feeds.
#[derive(Debug, Clone)]
pub struct Feed {
    /// Feed-name prefix.
    pub prefix: String,
    /// Text that the symbols contain: `:` for Finnhub's `BINANCE:BTCUSDT`. Empty: any symbol.
    pub symbols: String,
    /// Condition policy.
    pub policy: Policy,
    /// Exchange calendar.
    pub calendar: Calendar,
}

impl Feed {
    fn fits(&self, feed: &str, symbol: &str) -> bool {
        feed.starts_with(&self.prefix) && (self.symbols.is_empty() || symbol.contains(&self.symbols))
    }
}

impl AggregatorSettings {
    /// The rules for a symbol on a feed. `None` only if there are no rules at all.
    #[must_use]
    pub fn rules(&self, feed: &str, symbol: &str) -> Option<&Feed> {
        self.feeds.get(self.index(feed, symbol))
    }

    /// The span of time whose records are needed for all bars that start in a span, whatever the feed: whole
    /// session days, because volume and quotes carry over within one. In a market that never closes, quotes
    /// carry over its days too: the span starts a day earlier.
    #[must_use]
    pub fn reading_span(&self, from: UnixNanos, to: UnixNanos) -> (UnixNanos, UnixNanos) {
        let (mut first, mut last) = (from, to);
        for Feed { calendar, .. } in &self.feeds {
            if from.0 > i64::MIN {
                let start = calendar.day(from).start;
                let lead_in = if calendar.is_continuous() { DAY } else { 0 };
                first = first.min(UnixNanos(start.saturating_sub(lead_in)));
            }
            if to.0 < i64::MAX {
                last = last.max(UnixNanos(calendar.day(UnixNanos(to.0.saturating_sub(1))).end));
            }
        }
        (first, last)
    }

    fn index(&self, feed: &str, symbol: &str) -> usize {
        let last = self.feeds.len().saturating_sub(1);
        self.feeds.iter().position(|rules| rules.fits(feed, symbol)).unwrap_or(last)
    }

    /// Whether symbols of the feed have different rules.
    fn by_symbol(&self, feed: &str) -> bool {
        self.feeds.iter().any(|rules| feed.starts_with(&rules.prefix) && !rules.symbols.is_empty())
    }

    fn times(&self) -> Times {
        Times { emit_delay: self.emit_delay, allowed_lateness: self.allowed_lateness }
    }
}

/// A feed's name and rules, looked up once per feed, or once per rule if they differ by symbol.
#[derive(Debug, Clone)]
struct KnownFeed {
    name: Box<str>,
    rules: usize,
    vocabulary: Vocabulary,
    /// Other symbols of the feed may have other rules.
    by_symbol: bool,
}

/// Aggregates trades, quotes and readings into bars. Each partition of a topic has its own.
#[derive(Debug, Clone)]
pub struct Aggregator {
    settings: AggregatorSettings,
    effects: Vec<Effects>,
    feeds: Vec<KnownFeed>,
    /// The feed of the last record.
    feed: usize,
    trades: SeriesTable<TradeSeries>,
    quotes: SeriesTable<QuoteSeries>,
    readings: SeriesTable<TradeSeries>,
    market: Clock,
    latest_ms: i64,
    /// Position after the last record.
    next: u64,
    low_watermarks: LowWatermarks,
    read: u64,
    not_numeric: u64,
}

/// Counts of the records so far, by verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecordCounts {
    /// Trades read, whatever their verdict.
    pub trades: u64,
    /// Duplicates.
    pub duplicates: u64,
    /// Records that corrected or canceled an earlier one.
    pub amended: u64,
    /// Number of readings left out of bars: text, and floats that do not fit a decimal ([`crate::fixed`]).
    pub not_numeric: u64,
}

/// The name of a series in [`LowWatermarks`].
#[must_use]
pub fn series_name(kind: Kind, feed: &str, symbol: &str) -> String {
    format!("{}|{feed}|{symbol}", kind.name())
}

impl Aggregator {
    /// Creates an aggregator without records. `settings.feeds` has at least one entry.
    #[must_use]
    pub fn new(settings: AggregatorSettings) -> Self {
        Self {
            effects: settings.feeds.iter().map(|feed| Effects::new(feed.policy.clone())).collect(),
            feeds: Vec::new(),
            feed: 0,
            trades: SeriesTable::new(settings.allowed_lateness),
            quotes: SeriesTable::new(settings.allowed_lateness),
            readings: SeriesTable::new(settings.allowed_lateness),
            market: Clock::default(),
            latest_ms: 0,
            next: 0,
            low_watermarks: LowWatermarks::new(),
            read: 0,
            not_numeric: 0,
            settings,
        }
    }

    /// Resumes after an earlier run, from what [`Aggregator::checkpoint`] returned then.
    #[must_use]
    pub fn with_low_watermarks(mut self, low_watermarks: LowWatermarks) -> Self {
        self.low_watermarks = low_watermarks;
        self
    }

    /// Adds a record.
    #[inline]
    pub fn add(&mut self, record: &Record<&str>, place: StreamPosition) -> Verdict {
        if matches!(record, Record::Described(_)) {
            return Verdict::NotAggregated;
        }
        self.latest_ms = self.latest_ms.max(place.stamp_ms);
        self.next = place.position.saturating_add(1);
        self.market.observe(record.ts().0);
        let added = match record {
            Record::Trade(trade) => self.trade(trade, place),
            Record::Quote(quote) => self.quote(quote, place),
            Record::Reading(reading) => self.reading(reading, place),
            Record::Described(_) => Err(Verdict::NotAggregated),
        };
        added.err().unwrap_or(Verdict::Taken)
    }

    /// Index in `feeds` of a feed's rules for a symbol: nearly always the last record's.
    #[inline]
    fn feed(&mut self, name: &str, symbol: &str) -> usize {
        let known = self.feeds.get(self.feed);
        if known.is_none_or(|known| known.by_symbol || *known.name != *name) {
            self.feed = self.look_up(name, symbol);
        }
        self.feed
    }

    #[inline(never)]
    fn look_up(&mut self, name: &str, symbol: &str) -> usize {
        let same_name = |known: &KnownFeed| *known.name == *name;
        let only = self.feeds.iter().position(|known| same_name(known) && !known.by_symbol);
        if let Some(only) = only {
            return only;
        }
        let (rules, vocabulary) = (self.settings.index(name, symbol), Vocabulary::of(name, symbol));
        let same =
            |known: &KnownFeed| same_name(known) && known.rules == rules && known.vocabulary == vocabulary;
        self.feeds.iter().position(same).unwrap_or_else(|| {
            let by_symbol = self.settings.by_symbol(name) || name.starts_with("finnhub");
            self.feeds.push(KnownFeed { name: name.into(), rules, vocabulary, by_symbol });
            self.feeds.len() - 1
        })
    }

    #[inline]
    fn trade(&mut self, trade: &Trade<&str>, place: StreamPosition) -> Result<(), Verdict> {
        self.read += 1;
        let feed = self.feed(trade.feed, trade.symbol);
        let KnownFeed { rules, vocabulary, .. } = self.feeds[feed];
        let (settings, low_watermarks) = (&self.settings, &self.low_watermarks);
        let series = self.trades.find(trade.symbol, feed as u32, || {
            let rules = &settings.feeds[rules];
            let name = Name { symbol: trade.symbol.into(), feed: trade.feed.into() };
            let carries = rules.policy.carries_volume;
            let low_watermark = low_watermarks.get(&series_name(Kind::TRADE, trade.feed, trade.symbol));
            let times = settings.times();
            let series =
                TradeSeries::new(Kind::TRADE, name, &settings.intervals, times, rules.calendar, carries);
            (series, Resumed::of(low_watermark))
        });
        let at = EventOrder::of(trade);
        let amends = trade.revision > 0 || trade.canceled;
        let known = |series: &mut TradeSeries| !amends && series.contains(at.ts, at.order);
        let (now, regular) = self.trades.admit(series, at.ts, place, known)?;
        let (updates, day) = self.effects[rules].of(trade, vocabulary, regular);
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
    fn quote(&mut self, quote: &Quote<&str>, place: StreamPosition) -> Result<(), Verdict> {
        let feed = self.feed(quote.feed, quote.symbol);
        let KnownFeed { rules, vocabulary, .. } = self.feeds[feed];
        if !self.effects[rules].counts_quote(quote.conditions, vocabulary) {
            return Ok(());
        }
        let (settings, low_watermarks) = (&self.settings, &self.low_watermarks);
        let series = self.quotes.find(quote.symbol, feed as u32, || {
            let name = Name { symbol: quote.symbol.into(), feed: quote.feed.into() };
            let low_watermark = low_watermarks.get(&series_name(Kind::QUOTE, quote.feed, quote.symbol));
            let calendar = settings.feeds[rules].calendar;
            let series =
                QuoteSeries::new(name, &settings.intervals, settings.times(), calendar, low_watermark);
            (series, Resumed::of(low_watermark))
        });
        let at = EventOrder { ts: quote.ts.0, order: quote.seq.unsigned_abs() };
        let (now, _) = self.quotes.admit(series, at.ts, place, |series| series.contains(at.ts, at.order))?;
        let side =
            |side: &Option<QuoteSide<&str>>| side.as_ref().map(|side| (side.price.raw(), side.size.raw()));
        self.quotes.push(series, now, Quoted { at, bid: side(&quote.bid), ask: side(&quote.ask) });
        Ok(())
    }

    fn reading(&mut self, reading: &Reading<&str>, place: StreamPosition) -> Result<(), Verdict> {
        let Some(value) = reading.value.decimal() else {
            self.not_numeric += 1;
            return Ok(());
        };
        let feed = self.feed(reading.feed, reading.series);
        let (settings, low_watermarks) = (&self.settings, &self.low_watermarks);
        let series = self.readings.find(reading.series, feed as u32, || {
            let name = Name { symbol: reading.series.into(), feed: reading.feed.into() };
            let low_watermark = low_watermarks.get(&series_name(Kind::READING, reading.feed, reading.series));
            // Sensors have no trading hours: their days are those of UTC.
            let (times, calendar) = (settings.times(), Calendar::ALWAYS);
            let series = TradeSeries::new(Kind::READING, name, &settings.intervals, times, calendar, false);
            (series, Resumed::of(low_watermark))
        });
        // Two readings of one instant are distinguished by their number.
        let at = EventOrder { ts: reading.ts.0, order: reading.seq.unsigned_abs() };
        let (now, _) =
            self.readings.admit(series, at.ts, place, |series| series.contains(at.ts, at.order))?;
        let print = Print {
            at,
            key: reading.seq.cast_unsigned(),
            price: value,
            size: fixed::ONE,
            revision: 0,
            updates: Updates::ALL,
            day: Updates::ALL,
            canceled: false,
        };
        self.readings.push(series, now, print);
        Ok(())
    }

    /// Where to resume reading once everything emitted so far is durable. Called after [`Aggregator::take`].
    pub fn checkpoint(&mut self) -> Checkpoint {
        let mut checkpoint = Checkpoint { position: None, low_watermarks: self.low_watermarks.clone() };
        let Checkpoint { position, low_watermarks } = &mut checkpoint;
        let mut take = |kind: Kind, name: &Name, from: Option<u64>, low_watermark: Option<LowWatermark>| {
            *position = [*position, from].into_iter().flatten().min();
            if let Some(low_watermark) = low_watermark {
                low_watermarks.insert(series_name(kind, &name.feed, &name.symbol), low_watermark);
            }
        };
        let (market, latest) = (self.market.now(), (self.latest_ms, self.next));
        self.trades.checkpoint(market, latest, &mut |name, from, low_watermark| {
            take(Kind::TRADE, name, from, low_watermark)
        });
        self.quotes.checkpoint(market, latest, &mut |name, from, low_watermark| {
            take(Kind::QUOTE, name, from, low_watermark)
        });
        self.readings.checkpoint(market, latest, &mut |name, from, low_watermark| {
            take(Kind::READING, name, from, low_watermark)
        });
        checkpoint
    }

    /// Start and end of the session that the record added last began in its series, if it began one.
    #[inline]
    pub fn entered(&mut self) -> Option<(UnixNanos, UnixNanos)> {
        let tables = [&mut self.trades.entered, &mut self.quotes.entered, &mut self.readings.entered];
        let (start, end) = tables.into_iter().find_map(Option::take)?;
        Some((UnixNanos(start), UnixNanos(end)))
    }

    /// Start and end of the session of the record added last, if that came too late and the session is not one that may still
    /// change: it has ended, or it is older than the series' first record.
    #[inline]
    pub fn missed(&mut self) -> Option<(UnixNanos, UnixNanos)> {
        let tables = [&mut self.trades.missed, &mut self.quotes.missed, &mut self.readings.missed];
        let (start, end) = tables.into_iter().find_map(Option::take)?;
        Some((UnixNanos(start), UnixNanos(end)))
    }

    /// Event time of the stream.
    #[must_use]
    pub fn now(&self) -> i64 {
        self.market.now()
    }

    /// Counts up to the last [`Aggregator::take`].
    #[must_use]
    pub fn counts(&self) -> RecordCounts {
        RecordCounts {
            trades: self.read,
            duplicates: self.trades.duplicates + self.quotes.duplicates + self.readings.duplicates,
            amended: self.trades.amended + self.quotes.amended,
            not_numeric: self.not_numeric,
        }
    }

    /// Why trades set no price, so that they may yield no bar; and unknown conditions.
    #[must_use]
    pub fn condition_counts(&self) -> ConditionCounts {
        let mut counts = ConditionCounts::default();
        self.effects.iter().for_each(|effects| counts.merge(&effects.counts()));
        counts
    }

    /// Emits bars that have closed, changed or become final. `idle` nanoseconds have passed since the last
    /// record: a stream that has gone quiet does not keep its bars open.
    pub fn take(&mut self, idle: i64, emit: &mut dyn FnMut(Bar)) {
        let market = Some(self.market.now().saturating_add(idle));
        self.trades.take(market, emit);
        self.quotes.take(market, emit);
        self.readings.take(market, emit);
    }

    /// Emits all bars, as final: the stream has ended.
    pub fn finish(&mut self, emit: &mut dyn FnMut(Bar)) {
        self.trades.take(None, emit);
        self.quotes.take(None, emit);
        self.readings.take(None, emit);
    }
}
