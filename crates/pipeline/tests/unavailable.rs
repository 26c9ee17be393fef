//! Every loop waits while topic or store are unavailable, and then continues: of the calls that a paused broker or a
//! node under load leaves unanswered, a seeded part fails here, and the results are those of servers that always answer.
#![allow(clippy::unwrap_used, reason = "tests")]

use adapters::archive::folder::FolderArchive;
use adapters::store::sqlite::SqliteStore;
use adapters::topic::sqlite::SqliteTopics;
use market::bar::{AggregatorSettings, Bar, Feed};
use market::calendar::Calendar;
use market::codec::json;
use market::interval::{MINUTE, SECOND};
use market::policy::Policy;
use market::{Kind, UnixNanos};
use pipeline::aggregate::{self, AggregateSettings};
use pipeline::archive::{self, ArchiveSettings};
use pipeline::consume::{self, ConsumeSettings};
use pipeline::vendor_bars;
use pipeline::verify::{self, Only};
use ports::batch::Partition;
use ports::check::Chain;
use ports::forecast::ForecastRecord;
use ports::store::{
    BarScan, BarSink, Counts, DirectoryEntry, ForecastScan, ForecastSink, Scan, Sink, Store, Writer,
};
use ports::telemetry::Telemetry;
use ports::topic::{
    Consumer, Fetched, LossCause, LostRange, Message, Names, OnRevoke, PartitionLag, Producer, TopicSpec,
    Topics,
};
use ports::{CancelToken, Error, Result};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Decides which calls fail: SplitMix64, so that a seed gives the same failures.
#[derive(Clone)]
struct Failures {
    state: Arc<AtomicU64>,
    injected: Arc<AtomicU64>,
    /// Of 100 calls, so many fail.
    percent: u64,
}

impl Failures {
    fn new(seed: u64, percent: u64) -> Self {
        Self { state: Arc::new(AtomicU64::new(seed)), injected: Arc::default(), percent }
    }

    fn due(&self) -> bool {
        let mut z = self.state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let due = (z ^ (z >> 31)) % 100 < self.percent;
        self.injected.fetch_add(u64::from(due), Ordering::SeqCst);
        due
    }

    fn check(&self, doing: &str) -> Result<()> {
        if self.due() { Err(Error::external(format!("{doing}: no response within 5 s"))) } else { Ok(()) }
    }
}

/// Topics whose calls fail, and whose consumers report a loss once.
struct Unreliable<'a> {
    inner: &'a SqliteTopics,
    failures: Failures,
    lost: Arc<Mutex<Vec<LostRange>>>,
}

struct UnreliableProducer(Box<dyn Producer>, Failures);

struct UnreliableConsumer(Box<dyn Consumer>, Failures, Arc<Mutex<Vec<LostRange>>>);

impl Producer for UnreliableProducer {
    fn send(&mut self, message: &Message<'_>) -> Result<()> {
        self.0.send(message)
    }

    fn rest(&mut self) -> Result<()> {
        self.0.rest()
    }

    fn flush(&mut self, deadline: Duration) -> Result<usize> {
        // As a broker that does not acknowledge within the deadline.
        if self.1.due() { Ok(1) } else { self.0.flush(deadline) }
    }

    fn save_positions(&mut self, positions: &BTreeMap<String, Vec<u8>>) -> Result<()> {
        self.0.save_positions(positions)
    }

    fn positions(&mut self) -> Result<BTreeMap<String, Vec<u8>>> {
        self.1.check("read positions")?;
        self.0.positions()
    }
}

impl Consumer for UnreliableConsumer {
    fn topics(&self) -> &[String] {
        self.0.topics()
    }

    fn fetch(&mut self, max: usize, wait: Duration, sink: &mut dyn FnMut(&dyn Fetched)) -> Result<usize> {
        self.0.fetch(max, wait, sink)
    }

    fn commit(&mut self, offsets: &[(Partition, i64)], wait: bool) -> Result<()> {
        self.1.check("commit offsets")?;
        self.0.commit(offsets, wait)
    }

    fn pause(&mut self, paused: bool) -> Result<()> {
        self.0.pause(paused)
    }

    fn on_revoke(&mut self, hook: OnRevoke) {
        self.0.on_revoke(hook);
    }

    fn assignments(&self) -> Arc<AtomicU64> {
        self.0.assignments()
    }

    fn partition_counts(&mut self) -> Result<Vec<i32>> {
        self.1.check("list the topics")?;
        self.0.partition_counts()
    }

    fn lag(&mut self) -> Result<u64> {
        self.1.check("request the lag")?;
        self.0.lag()
    }

    fn lost(&mut self) -> Vec<LostRange> {
        if self.0.topics().len() > 1 { std::mem::take(&mut *self.2.lock().unwrap()) } else { Vec::new() }
    }

    fn ahead(&mut self, next: &dyn Fn(Partition) -> Option<i64>) -> Result<Option<u64>> {
        self.1.check("request the end")?;
        self.0.ahead(next)
    }
}

impl Topics for Unreliable<'_> {
    fn init(&self, specs: &[TopicSpec]) -> Result<Vec<String>> {
        self.inner.init(specs)
    }

    fn producer(&self) -> Result<Box<dyn Producer>> {
        self.failures.check("open a producer")?;
        Ok(Box::new(UnreliableProducer(self.inner.producer()?, self.failures.clone())))
    }

    fn consumer(&self, group: &str, topics: &[String]) -> Result<Box<dyn Consumer>> {
        self.failures.check("open a consumer")?;
        let inner = self.inner.consumer(group, topics)?;
        Ok(Box::new(UnreliableConsumer(inner, self.failures.clone(), Arc::clone(&self.lost))))
    }

    fn partition_of(&self, key: &str, partitions: i32) -> i32 {
        self.inner.partition_of(key, partitions)
    }

    fn read_all(&self, topics: &[String], sink: &mut dyn FnMut(&dyn Fetched)) -> Result<u64> {
        self.failures.check("read the topic")?;
        self.inner.read_all(topics, sink)
    }

    fn partition_lag(&self, group: &str, topics: &[String]) -> Result<Vec<PartitionLag>> {
        self.failures.check("request the lag")?;
        self.inner.partition_lag(group, topics)
    }

    fn check(&self, names: &Names, group: &str) -> Chain {
        self.inner.check(names, group)
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}

/// A store whose reads fail.
struct UnreliableStore<'a>(&'a SqliteStore, Failures);

impl Store for UnreliableStore<'_> {
    fn init(&self) -> Result<Vec<String>> {
        self.0.init()
    }

    fn writer(&self, stop: &CancelToken) -> Result<Box<dyn Writer>> {
        self.1.check("open the store")?;
        self.0.writer(stop)
    }

    fn count(&self) -> Result<Counts> {
        self.0.count()
    }

    fn directory(&self) -> Result<Vec<DirectoryEntry>> {
        self.0.directory()
    }

    fn scan(&self, scan: &Scan, sink: Sink<'_>) -> Result<()> {
        self.1.check("read records")?;
        self.0.scan(scan, sink)
    }

    fn write_bars(&self, bars: &[Bar], stop: &CancelToken) -> Result<()> {
        self.0.write_bars(bars, stop)
    }

    fn scan_bars(&self, scan: &BarScan, sink: BarSink<'_>) -> Result<()> {
        self.1.check("read bars")?;
        self.0.scan_bars(scan, sink)
    }

    fn bar_series(&self) -> Result<Vec<ports::store::BarSeries>> {
        self.0.bar_series()
    }

    fn write_forecasts(&self, forecasts: &[ForecastRecord], stop: &CancelToken) -> Result<()> {
        self.0.write_forecasts(forecasts, stop)
    }

    fn scan_forecasts(&self, scan: &ForecastScan, sink: ForecastSink<'_>) -> Result<()> {
        self.1.check("read forecasts")?;
        self.0.scan_forecasts(scan, sink)
    }

    fn forecast_series(&self) -> Result<Vec<(String, market::interval::Interval)>> {
        self.0.forecast_series()
    }

    fn check(&self) -> Chain {
        self.0.check()
    }

    fn describe(&self) -> String {
        self.0.describe()
    }
}

const SYMBOLS: [&str; 3] = ["A", "B", "C"];
const RECORDS: i64 = 200;

struct Place {
    topics: SqliteTopics,
    store: SqliteStore,
    names: Names,
    archive: std::path::PathBuf,
}

impl Place {
    /// Trades of each symbol, half a minute apart, and one whose symbol no store can index.
    fn new(dir: &Path) -> Self {
        let place = Self {
            topics: SqliteTopics::new(dir.join("t.db")),
            store: SqliteStore::new(dir.join("s.db")),
            names: Names::new("t"),
            archive: dir.join("archive"),
        };
        place.topics.init(&place.names.specs(2)).unwrap();
        place.store.init().unwrap();
        let first = UnixNanos::parse("2024-03-11T14:00:00Z").unwrap().0;
        let mut producer = place.topics.producer().unwrap();
        let mut send = |topic: &str, kind: &str, key: &str, payload: &str| {
            let headers = [("kind", kind.as_bytes()), ("schema", json::SCHEMA.as_bytes())];
            let message = Message { topic, key, headers: &headers, payload: payload.as_bytes(), stamp_ms: 5 };
            producer.send(&message).unwrap();
        };
        let long = "S".repeat(70_000);
        for id in 0..RECORDS {
            for symbol in SYMBOLS.iter().copied().chain((id == RECORDS / 2).then_some(long.as_str())) {
                let ts = first + id * 30 * SECOND;
                let text = format!(
                    r#"{{"symbol":"{symbol}","feed":"f","venue":"P","id":"{id}","ts":{ts},"recv_ts":{ts},"price":"{}","size":"100","conditions":[]}}"#,
                    10 + id % 9
                );
                send(&place.names.records(Kind::TRADE), "trade", symbol, &text);
            }
        }
        for minute in 0..50 {
            let start = UnixNanos(first + minute * MINUTE);
            let text = format!(
                r#"{{"symbol":"A","feed":"v.bars","interval":"1m","start":"{start}","kind":"trade","open":"1","high":"1","low":"1","close":"1","volume":"{minute}","trades":1,"late":0,"revision":0,"final":true,"complete":true}}"#
            );
            send(&place.names.vendor_bars(), "bar", &format!("A|{minute}"), &text);
        }
        assert_eq!(producer.flush(Duration::from_secs(10)).unwrap(), 0);
        place
    }

    /// Runs every loop to its end.
    fn run(&self, topics: &dyn Topics, store: &dyn Store) -> std::result::Result<Counted, String> {
        let (telemetry, stop) = (Arc::new(Telemetry::default()), CancelToken::default());
        let end = AtomicBool::new(true);
        let named = |what: &'static str| move |error: Error| format!("{what}: {error}");
        let consuming = ConsumeSettings {
            names: self.names.clone(),
            group: "g".to_owned(),
            cycle: 50,
            in_flight: 1_000,
            in_flight_bytes: 1 << 20,
            commit_every: Duration::from_millis(20),
            drain: Duration::from_secs(10),
        };
        consume::run(topics, store, &consuming, &telemetry, &stop, &end).map_err(named("consume"))?;
        let aggregating = AggregateSettings {
            names: self.names.clone(),
            group: "bars".to_owned(),
            bars: AggregatorSettings {
                intervals: ["1s", "1m", "1d"].iter().map(|text| text.parse().unwrap()).collect(),
                emit_delay: SECOND,
                allowed_lateness: 15 * MINUTE,
                feeds: vec![Feed {
                    prefix: String::new(),
                    symbols: String::new(),
                    policy: Policy::named("all").unwrap(),
                    calendar: Calendar::XNYS,
                }],
            },
            cycle: 50,
            emit_every: Duration::from_millis(5),
            commit_every: Duration::from_millis(20),
        };
        aggregate::run(topics, store, &aggregating, &telemetry, &stop, &end).map_err(named("aggregate"))?;
        vendor_bars::store(topics, store, &self.names, "g", &telemetry, &stop, &end)
            .map_err(named("vendor bars"))?;
        let archiving = ArchiveSettings {
            names: self.names.clone(),
            group: "archive".to_owned(),
            cycle: 50,
            rows: 100,
            age: Duration::from_secs(3_600),
            memory: 1 << 30,
        };
        let archive = FolderArchive::new(self.archive.clone());
        archive::run(topics, &archive, &archiving, &telemetry, &stop, &end).map_err(named("archive"))?;
        Ok(self.counted())
    }

    fn counted(&self) -> Counted {
        let stored = verify::store(&self.store, &Only::default()).unwrap();
        let mut bars = BTreeMap::new();
        for interval in ["1s", "1m", "1d"] {
            for symbol in SYMBOLS {
                let scan = BarScan {
                    kind: Kind::TRADE,
                    symbol: symbol.to_owned(),
                    interval: interval.parse().unwrap(),
                    feed: None,
                    from: UnixNanos(i64::MIN),
                    to: UnixNanos(i64::MAX),
                    limit: None,
                };
                self.store
                    .scan_bars(&scan, &mut |bar| {
                        let key = (symbol, interval, bar.start, bar.feed.clone());
                        let old = bars.insert(key, Bar { revision: 0, ..bar });
                        assert_eq!(old, None);
                        ControlFlow::Continue(())
                    })
                    .unwrap();
            }
        }
        let mut dead_letters = 0;
        self.topics.read_all(&[self.names.dead_letters()], &mut |_| dead_letters += 1).unwrap();
        Counted { stored, bars: bars.into_values().collect(), dead_letters }
    }
}

#[derive(Debug, PartialEq)]
struct Counted {
    stored: verify::Content,
    bars: Vec<Bar>,
    dead_letters: u64,
}

#[test]
fn every_loop_waits_for_servers_that_do_not_answer() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::new(dir.path());
    let expected = place.run(&place.topics, &place.store).unwrap();
    assert_eq!(expected.stored.values().map(|digest| digest.count).sum::<u64>(), 600);
    // The symbol that is too long is a dead letter, and in no bar; what follows it is.
    assert_eq!(expected.dead_letters, 1);
    let days: Vec<String> = expected.bars.iter().filter(|bar| bar.interval.is_day()).map(trades).collect();
    assert_eq!(days, ["A 200", "B 200", "C 200"]);
    let mut injected = 0;
    for seed in 0..6 {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::new(dir.path());
        let failures = Failures::new(seed, 30);
        let topics = Unreliable { inner: &place.topics, failures: failures.clone(), lost: Arc::default() };
        let found = place.run(&topics, &UnreliableStore(&place.store, failures.clone()));
        assert_eq!(found.as_ref(), Ok(&expected), "seed {seed}");
        injected += failures.injected.load(Ordering::SeqCst);
    }
    assert!(injected > 60, "{injected}");
}

fn trades(bar: &Bar) -> String {
    match &bar.values {
        market::bar::Values::Trades(values) => format!("{} {}", bar.symbol, values.trades),
        other => format!("{other:?}"),
    }
}

/// Messages that were lost before they were read: the ledger has the range, and for each symbol of the partition the
/// span that may be incomplete, so its bars are marked.
#[test]
fn bars_behind_a_loss_are_incomplete_and_the_ledger_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::new(dir.path());
    let partition = Partition { topic: 0, number: 0 };
    let range = LostRange { partition, from: -40, to: Some(0), resume: 0, cause: LossCause::Retention };
    let topics = Unreliable {
        inner: &place.topics,
        failures: Failures::new(1, 0),
        lost: Arc::new(Mutex::new(vec![range])),
    };
    let (telemetry, stop) = (Telemetry::default(), CancelToken::default());
    let settings = AggregateSettings {
        names: place.names.clone(),
        group: "bars".to_owned(),
        bars: AggregatorSettings {
            intervals: vec!["1m".parse().unwrap()],
            emit_delay: SECOND,
            allowed_lateness: 15 * MINUTE,
            feeds: vec![Feed {
                prefix: String::new(),
                symbols: String::new(),
                policy: Policy::named("all").unwrap(),
                calendar: Calendar::XNYS,
            }],
        },
        cycle: 10,
        emit_every: Duration::from_millis(5),
        commit_every: Duration::from_millis(20),
    };
    aggregate::run(&topics, &place.store, &settings, &telemetry, &stop, &AtomicBool::new(true)).unwrap();
    let ledger = ports::gap::ledger(&place.topics, &place.names).unwrap();
    let lost = ledger.iter().find(|gap| gap.offsets.is_some()).unwrap();
    let offsets = lost.offsets.as_ref().unwrap();
    assert_eq!(
        (offsets.topic.as_str(), offsets.partition, offsets.from, offsets.to),
        ("t.trades", 0, -40, Some(0))
    );
    // Which symbols are in the partition is decided by their hashes: at least one is, and not all.
    let marked: Vec<&String> =
        ledger.iter().filter(|gap| gap.feed == "f").flat_map(|gap| &gap.symbols).collect();
    assert!((1..SYMBOLS.len()).contains(&marked.len()), "{ledger:?}");
    let mut last: BTreeMap<String, Vec<bool>> = BTreeMap::new();
    for bar in place.counted().bars.into_iter().filter(|bar| bar.feed == "f") {
        last.entry(bar.symbol.clone()).or_default().push(bar.complete);
    }
    for (symbol, complete) in last {
        let is_marked = marked.contains(&&symbol);
        assert_eq!(complete[0], !is_marked, "{symbol}: its first bar overlaps the loss if it is marked");
        assert!(
            complete[10..].iter().all(|complete| *complete),
            "{symbol}: later bars have all their records"
        );
    }
}
