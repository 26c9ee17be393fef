//! All counters and latencies of the program. Their names are defined only here.

use crate::metrics::METRICS;
use hdrhistogram::Histogram;
use market::Kind;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Counters shared by the run loops of a process and their displays.
#[derive(Debug, Default)]
pub struct Telemetry {
    /// Rows read from the source.
    pub read: AtomicU64,
    /// Records passed to the topic.
    pub published: AtomicU64,
    /// Records that the store has acknowledged.
    pub stored: AtomicU64,
    /// Dead letters of all stages.
    pub dead: AtomicU64,
    /// Records seen by the aggregator, whatever their verdict.
    pub aggregated: AtomicU64,
    /// Bars emitted, counting every revision.
    pub bars: AtomicU64,
    /// Vendor bars passed to the topic.
    pub vendor_bars: AtomicU64,
    /// Vendor bars stored.
    pub vendor_bars_stored: AtomicU64,
    /// Records that arrived after their bars became final: on the late topic.
    pub late: AtomicU64,
    /// Records already contained in their bars.
    pub duplicates: AtomicU64,
    /// Readings that are not decimals and so are not aggregated.
    pub not_numeric: AtomicU64,
    /// Gaps found in a live feed.
    pub gaps: AtomicU64,
    /// Gaps that were backfilled and confirmed.
    pub gaps_closed: AtomicU64,
    /// Messages that are not records; `consume` keeps them as dead letters.
    pub unreadable: AtomicU64,
    /// Ranges of offsets that could not be read.
    pub lost_ranges: AtomicU64,
    /// Messages in those ranges, if countable.
    pub lost_messages: AtomicU64,
    /// Recent median lag of a live feed behind the market, microseconds.
    pub lag_us: AtomicU64,
    tables: Mutex<Tables>,
}

/// Records of a symbol, by kind.
pub type KindCounts = [u64; Kind::COUNT];

/// Records by symbol, and in total.
#[derive(Debug, Default)]
struct SymbolCounts {
    of_symbol: FxHashMap<String, KindCounts>,
    total: KindCounts,
}

impl SymbolCounts {
    /// A symbol that is known costs one look-up: there may be many, each with few records.
    fn add(&mut self, counts: impl Iterator<Item = (String, KindCounts)>) {
        for (symbol, counts) in counts {
            let of_symbol = self.of_symbol.entry(symbol).or_default();
            for ((of_symbol, total), count) in of_symbol.iter_mut().zip(&mut self.total).zip(counts) {
                *of_symbol += count;
                *total += count;
            }
        }
    }
}

#[derive(Debug, Default)]
struct Tables {
    published: SymbolCounts,
    stored: SymbolCounts,
    dead_letters: Vec<String>,
    lost: Vec<String>,
    latency: Latency,
    lag: Latency,
    busy: Option<(Instant, Instant)>,
    busy_bars: Option<(Instant, Instant)>,
    conditions: market::policy::ConditionCounts,
}

/// Maximum number of dead letters named in a summary; all of them are on their topic.
const NAMED: usize = 10;

impl Telemetry {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds to a counter.
    pub fn add(&self, counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }

    /// Reads a counter.
    #[must_use]
    pub fn get(&self, counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }

    /// Sets why trades set no price.
    pub fn set_condition_counts(&self, counts: market::policy::ConditionCounts) {
        self.tables().conditions = counts;
    }

    /// Why trades set no price, as last set at the end of a run.
    #[must_use]
    pub fn condition_counts(&self) -> market::policy::ConditionCounts {
        self.tables().conditions.clone()
    }

    /// Counts dead letters and remembers the first for the summary.
    pub fn dead_letter(&self, dead_letter: &crate::dead_letter::DeadLetter) {
        self.add(&self.dead, 1);
        METRICS.dead_letter(dead_letter.stage);
        let mut tables = self.tables();
        // A file full of dead letters must not flood the log: all are on their topic.
        if tables.dead_letters.len() < NAMED {
            let (origin, stage, reason) =
                (&dead_letter.origin, dead_letter.stage.name(), &dead_letter.reason);
            tracing::warn!(origin, stage, reason, "dead letter");
            tables.dead_letters.push(format!("{origin} ({stage}): {reason}"));
        }
    }

    /// Counts a range of offsets that can no longer be read, and logs it.
    pub fn lost(&self, range: &crate::topic::LostRange, topics: &[String]) {
        self.add(&self.lost_ranges, 1);
        METRICS.lost_range(topics.get(range.partition.topic as usize).map_or("?", String::as_str));
        self.add(&self.lost_messages, range.count().unwrap_or(0));
        let line = range.describe(topics);
        tracing::warn!("{line}");
        self.tables().lost.push(line);
    }

    /// The ranges that could not be read, one line each.
    #[must_use]
    pub fn lost_lines(&self) -> Vec<String> {
        self.tables().lost.clone()
    }

    /// The first few dead letters, one line each.
    #[must_use]
    pub fn dead_letters(&self) -> Vec<String> {
        self.tables().dead_letters.clone()
    }

    /// Adds published records by symbol.
    pub fn published_by(&self, counts: impl Iterator<Item = (String, KindCounts)>) {
        self.tables().published.add(counts);
    }

    /// Adds stored records by symbol, and their latencies.
    pub fn stored_by(&self, counts: impl Iterator<Item = (String, KindCounts)>, latency: &Latency) {
        let mut tables = self.tables();
        tables.stored.add(counts);
        tables.latency.merge(latency);
    }

    /// Published and stored of one kind.
    #[must_use]
    pub fn of_kind(&self, kind: Kind) -> (u64, u64) {
        let tables = self.tables();
        (tables.published.total[kind.index()], tables.stored.total[kind.index()])
    }

    /// Records published and stored, by (symbol, kind's plural name).
    #[must_use]
    pub fn by_symbol(&self) -> BTreeMap<(String, &'static str), (u64, u64)> {
        let tables = self.tables();
        let mut out: BTreeMap<_, (u64, u64)> = BTreeMap::new();
        for (symbol, kind, n) in each_count(&tables.published) {
            out.entry((symbol, kind.plural())).or_default().0 = n;
        }
        for (symbol, kind, n) in each_count(&tables.stored) {
            out.entry((symbol, kind.plural())).or_default().1 = n;
        }
        out
    }

    /// Marks that work was started or acknowledged now.
    pub fn mark(&self) {
        let now = Instant::now();
        self.tables().busy.get_or_insert((now, now)).1 = now;
    }

    /// Time from the first work started to the last acknowledged, which excludes start-up and waiting: the
    /// divisor of rates.
    #[must_use]
    pub fn busy(&self) -> Duration {
        self.tables().busy.map_or(Duration::ZERO, |(first, last)| last - first)
    }

    /// Like [`Telemetry::mark`], for bar aggregation.
    pub fn mark_bars(&self) {
        let now = Instant::now();
        self.tables().busy_bars.get_or_insert((now, now)).1 = now;
    }

    /// Like [`Telemetry::busy`], for bar aggregation.
    #[must_use]
    pub fn busy_bars(&self) -> Duration {
        self.tables().busy_bars.map_or(Duration::ZERO, |(first, last)| last - first)
    }

    /// Adds the lag of records of a live feed behind the market.
    pub fn lagged(&self, lag: &Latency) {
        if lag.count() > 0 {
            self.lag_us.store(lag.percentile(0.5), Ordering::Relaxed);
            self.tables().lag.merge(lag);
        }
    }

    /// Latency from event time to receive time of a live feed.
    #[must_use]
    pub fn lag(&self) -> Latency {
        self.tables().lag.clone()
    }

    /// Latency from receive time to the store's acknowledgement.
    #[must_use]
    pub fn latency(&self) -> Latency {
        self.tables().latency.clone()
    }
}

/// Symbols and kinds of which there are records, in no order.
fn each_count(counts: &SymbolCounts) -> impl Iterator<Item = (String, Kind, u64)> + '_ {
    counts.of_symbol.iter().flat_map(|(symbol, counts)| {
        let kinds = Kind::ALL.into_iter().filter(|kind| counts[kind.index()] > 0);
        kinds.map(|kind| (symbol.clone(), kind, counts[kind.index()]))
    })
}

/// Histogram of microseconds with two significant digits, up to one hour.
#[derive(Clone)]
pub struct Latency(Histogram<u64>);

impl std::fmt::Debug for Latency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Latency({} values, max {} us)", self.0.len(), self.0.max())
    }
}

impl Default for Latency {
    #[allow(clippy::expect_used, reason = "the bounds are constants")]
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, 3_600_000_000, 2).expect("constant bounds are valid"))
    }
}

impl Latency {
    /// Adds one value.
    pub fn record(&mut self, micros: u64) {
        self.0.saturating_record(micros);
    }

    /// Adds another histogram's values.
    pub fn merge(&mut self, other: &Self) {
        // Both have the same bounds: this cannot fail.
        let _ = self.0.add(&other.0);
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.0.reset();
    }

    /// Number of values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// Values of at most so many microseconds.
    #[must_use]
    pub fn at_most(&self, micros: u64) -> u64 {
        self.0.count_between(0, micros)
    }

    /// Sum of all values, microseconds: as exact as the histogram.
    #[must_use]
    pub fn sum_us(&self) -> u64 {
        let values = self.0.iter_recorded();
        values.map(|value| value.value_iterated_to().saturating_mul(value.count_since_last_iteration())).sum()
    }

    /// The smallest recorded value, in microseconds, that at least the given share of all values does not
    /// exceed.
    #[must_use]
    pub fn percentile(&self, share: f64) -> u64 {
        self.0.value_at_quantile(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_to_two_percent() {
        let mut latency = Latency::default();
        for micros in 1..=100_000 {
            latency.record(micros);
        }
        for (share, exact) in [(0.5, 50_000.0), (0.99, 99_000.0), (0.999, 99_900.0), (1.0, 100_000.0)] {
            let got = latency.percentile(share) as f64;
            assert!((got / exact - 1.0).abs() < 0.02, "{share}: {got}");
        }
        let mut other = Latency::default();
        other.record(u64::MAX);
        latency.merge(&other);
        assert_eq!(latency.count(), 100_001);
        assert_eq!(latency.percentile(0.0), 1);
        latency.clear();
        assert_eq!((latency.count(), latency.percentile(0.5)), (0, 0));
    }
}
