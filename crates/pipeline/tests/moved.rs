//! Partitions added in the middle of a session send symbols to other partitions: the bars of those symbols, and no others,
//! are marked, the gap ledger says why, and they are rebuilt from the store.
#![allow(clippy::unwrap_used, reason = "tests")]

use adapters::store::sqlite::SqliteStore;
use adapters::topic::sqlite::SqliteTopics;
use market::bar::{AggregatorSettings, Bar, Feed};
use market::calendar::Calendar;
use market::codec::json;
use market::interval::{MINUTE, SECOND};
use market::policy::Policy;
use market::{Kind, UnixNanos};
use pipeline::aggregate::{self, AggregateSettings, RebuildReport};
use pipeline::consume::{self, ConsumeSettings};
use ports::CancelToken;
use ports::gap::{GapState, MOVED};
use ports::store::{BarScan, Store};
use ports::telemetry::Telemetry;
use ports::topic::{Message, Names, Topics};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

const SYMBOLS: [&str; 8] = ["A", "B", "C", "D", "E", "F", "G", "H"];
const HALF: u64 = 60;

struct Place {
    dir: tempfile::TempDir,
    topics: SqliteTopics,
    store: SqliteStore,
    names: Names,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (topics, store) =
            (SqliteTopics::new(dir.path().join("t.db")), SqliteStore::new(dir.path().join("s.db")));
        let names = Names::new("t");
        topics.init(&names.specs(2)).unwrap();
        store.init().unwrap();
        Self { dir, topics, store, names }
    }

    /// A trade of each symbol every 30 s.
    fn send(&self, ids: std::ops::Range<u64>) {
        let first = UnixNanos::parse("2024-03-11T14:00:00Z").unwrap().0;
        let mut producer = self.topics.producer().unwrap();
        let topic = self.names.records(Kind::Trade);
        for id in ids {
            for symbol in SYMBOLS {
                let ts = first + id as i64 * 30 * SECOND;
                let text = format!(
                    r#"{{"symbol":"{symbol}","feed":"f","venue":"P","id":"{id}","ts":{ts},"recv_ts":{ts},"price":"10","size":"1","conditions":[]}}"#
                );
                let message = Message {
                    topic: &topic,
                    key: symbol,
                    headers: &[],
                    payload: text.as_bytes(),
                    stamp_ms: 5,
                };
                producer.send(&message).unwrap();
            }
        }
        assert_eq!(producer.flush(Duration::from_secs(10)).unwrap(), 0);
    }

    fn grow(&self) {
        let file = rusqlite::Connection::open(self.dir.path().join("t.db")).unwrap();
        file.execute("UPDATE topics SET partitions = 5 WHERE partitions = 2", []).unwrap();
    }

    /// Symbols whose messages are in two partitions.
    fn moved(&self) -> BTreeSet<String> {
        let mut partitions: BTreeMap<String, BTreeSet<i32>> = BTreeMap::new();
        let topics = [self.names.records(Kind::Trade)];
        self.topics
            .read_all(&topics, &mut |message| {
                let mut loose = Vec::new();
                json::normalize(Kind::Trade, message.payload(), &mut loose).unwrap();
                let record = json::decode(Kind::Trade, &loose).unwrap();
                partitions
                    .entry((*record.symbol()).to_owned())
                    .or_default()
                    .insert(message.partition().number);
            })
            .unwrap();
        partitions.into_iter().filter(|(_, found)| found.len() > 1).map(|(symbol, _)| symbol).collect()
    }

    fn settings(&self) -> AggregateSettings {
        AggregateSettings {
            names: self.names.clone(),
            group: "bars".to_owned(),
            bars: AggregatorSettings {
                intervals: ["1m", "1d"].iter().map(|text| text.parse().unwrap()).collect(),
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
        }
    }

    fn aggregate(&self, telemetry: &Telemetry, stop: &CancelToken, until_end: bool) {
        let end = AtomicBool::new(until_end);
        aggregate::run(&self.topics, &self.store, &self.settings(), telemetry, stop, &end).unwrap();
    }

    fn consume(&self) {
        let settings = ConsumeSettings {
            names: self.names.clone(),
            group: "g".to_owned(),
            cycle: 100,
            in_flight: 1_000,
            in_flight_bytes: 1 << 20,
            commit_every: Duration::from_millis(20),
            drain: Duration::from_secs(10),
        };
        let (telemetry, stop, end) = (Arc::default(), CancelToken::default(), AtomicBool::new(true));
        consume::run(&self.topics, &self.store, &settings, &telemetry, &stop, &end).unwrap();
    }

    fn rebuild(&self) -> RebuildReport {
        let (telemetry, stop) = (Telemetry::default(), CancelToken::default());
        aggregate::rebuild_moved(&self.topics, &self.store, &self.settings(), "g", &telemetry, &stop).unwrap()
    }

    /// All bars, without the counts that depend on when they were written.
    fn bars(&self) -> Vec<Bar> {
        let mut bars = Vec::new();
        for symbol in SYMBOLS {
            for interval in ["1m", "1d"] {
                let scan = scan(symbol, interval);
                self.store
                    .scan_bars(&scan, &mut |bar| {
                        bars.push(Bar { revision: 0, late: 0, ..bar });
                        ControlFlow::Continue(())
                    })
                    .unwrap();
            }
        }
        bars
    }

    /// The ledger and the bars name the symbols that moved, and no others.
    fn check(&self) {
        let moved = self.moved();
        assert!((1..SYMBOLS.len()).contains(&moved.len()), "{moved:?}");
        let ledger = ports::gap::ledger(&self.topics, &self.names).unwrap();
        assert!(ledger.iter().all(|gap| gap.id.starts_with(MOVED) && gap.state == GapState::Open));
        let named: BTreeSet<String> = ledger.iter().flat_map(|gap| gap.symbols.clone()).collect();
        assert_eq!((named, ledger.len()), (moved.clone(), moved.len()));
        assert!(ledger[0].cause.contains("records of one session are in t.trades/"), "{}", ledger[0].cause);
        for symbol in SYMBOLS {
            for interval in ["1m", "1d"] {
                let scan = scan(symbol, interval);
                let (mut bars, mut complete) = (0, 0);
                self.store
                    .scan_bars(&scan, &mut |bar| {
                        bars += 1;
                        complete += u64::from(bar.complete);
                        ControlFlow::Continue(())
                    })
                    .unwrap();
                assert!(bars > 0);
                let expected = if moved.contains(symbol) { 0 } else { bars };
                assert_eq!(complete, expected, "{symbol} {interval}: {bars} bars");
            }
        }
    }
}

fn scan(symbol: &str, interval: &str) -> BarScan {
    BarScan {
        kind: Kind::Trade,
        symbol: symbol.to_owned(),
        interval: interval.parse().unwrap(),
        feed: None,
        from: UnixNanos(i64::MIN),
        to: UnixNanos(i64::MAX),
        limit: None,
    }
}

/// Bars of the same records on a topic to which no partition was added.
fn undivided() -> Vec<Bar> {
    let place = Place::new();
    place.send(0..2 * HALF);
    place.aggregate(&Telemetry::default(), &CancelToken::default(), true);
    place.bars()
}

#[test]
fn bars_of_symbols_that_moved_are_rebuilt_from_the_store() {
    let place = Place::new();
    place.send(0..HALF);
    place.grow();
    place.send(HALF..2 * HALF);
    place.aggregate(&Telemetry::default(), &CancelToken::default(), true);
    let moved = place.moved().len();
    // Nothing is stored yet: nothing is rebuilt.
    let report = place.rebuild();
    assert_eq!((report.sessions, report.left.len()), (0, moved));
    assert!(report.left[0].contains("group g has not stored 960 messages yet"), "{}", report.left[0]);
    place.check();
    place.consume();
    assert_ne!(place.bars(), undivided());
    let report = place.rebuild();
    assert_eq!((report.sessions, report.left), (moved as u64, Vec::new()));
    assert_eq!(place.bars(), undivided());
    let ledger = ports::gap::ledger(&place.topics, &place.names).unwrap();
    assert!(ledger.iter().all(|gap| gap.state == GapState::Closed), "{ledger:?}");
    let proof = ledger[0].proof.as_ref().unwrap();
    assert_eq!((proof.fetched, proof.counted_again), (2 * HALF, 2 * HALF));
    // The newest message of each bar is the rebuilt one.
    let mut newest = BTreeMap::new();
    place
        .topics
        .read_all(&[place.names.bars()], &mut |message| {
            newest.insert(message.key().to_vec(), message.payload().to_vec());
        })
        .unwrap();
    let days: Vec<_> = newest
        .values()
        .map(|text| serde_json::from_slice::<serde_json::Value>(text).unwrap())
        .filter(|bar| bar["interval"] == "1d")
        .collect();
    assert_eq!(days.len(), SYMBOLS.len());
    for day in days {
        assert_eq!(
            (day["trades"].as_u64(), day["complete"].as_bool()),
            (Some(2 * HALF), Some(true)),
            "{day}"
        );
    }
    // Rebuilding again does nothing.
    assert_eq!(place.rebuild().sessions, 0);
}

#[test]
fn bars_of_one_partition_that_replace_rebuilt_ones_are_marked_again() {
    let place = Place::new();
    place.send(0..HALF);
    place.grow();
    place.send(HALF..2 * HALF);
    place.aggregate(&Telemetry::default(), &CancelToken::default(), true);
    place.consume();
    assert!(place.rebuild().sessions > 0);
    // Another group builds the bars of each partition again, and does not know that they were rebuilt.
    let mut settings = place.settings();
    "again".clone_into(&mut settings.group);
    let (telemetry, stop, end) = (Telemetry::default(), CancelToken::default(), AtomicBool::new(true));
    aggregate::run(&place.topics, &place.store, &settings, &telemetry, &stop, &end).unwrap();
    let complete = undivided();
    assert!(place.bars().iter().all(|bar| !bar.complete || complete.contains(bar)));
    place.rebuild();
    assert_eq!(place.bars(), complete);
}

#[test]
fn bars_of_symbols_that_moved_are_incomplete() {
    let place = Place::new();
    place.send(0..HALF);
    place.grow();
    place.send(HALF..2 * HALF);
    place.aggregate(&Telemetry::default(), &CancelToken::default(), true);
    place.check();
}

#[test]
fn bars_of_symbols_that_moved_between_runs_are_incomplete() {
    let place = Place::new();
    place.send(0..HALF);
    let (telemetry, stop) = (Telemetry::default(), CancelToken::default());
    std::thread::scope(|scope| {
        scope.spawn(|| place.aggregate(&telemetry, &stop, false));
        let start = Instant::now();
        while telemetry.get(&telemetry.aggregated) < HALF * SYMBOLS.len() as u64 {
            assert!(start.elapsed() < Duration::from_secs(60));
            std::thread::sleep(Duration::from_millis(5));
        }
        // Bars of the first half are written, and complete.
        std::thread::sleep(Duration::from_millis(200));
        stop.cancel();
    });
    assert!(ports::gap::ledger(&place.topics, &place.names).unwrap().is_empty());
    place.grow();
    place.send(HALF..2 * HALF);
    place.aggregate(&Telemetry::default(), &CancelToken::default(), true);
    place.check();
}
