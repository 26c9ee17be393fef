//! A topic and a store, and trades that are sent before and after partitions are added.

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
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

pub(crate) const SYMBOLS: [&str; 8] = ["A", "B", "C", "D", "E", "F", "G", "H"];
pub(crate) const HALF: u64 = 60;
/// The id of the first trade of the next session.
pub(crate) const NEXT_DAY: u64 = 2 * 60 * 24;

pub(crate) struct Place {
    pub(crate) dir: Arc<tempfile::TempDir>,
    pub(crate) topics: SqliteTopics,
    pub(crate) store: SqliteStore,
    pub(crate) names: Names,
    /// When messages are sent.
    pub(crate) stamp_ms: AtomicI64,
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let (topics, store) =
            (SqliteTopics::new(dir.path().join("t.db")), SqliteStore::new(dir.path().join("s.db")));
        let names = Names::new("t");
        topics.init(&names.specs(2)).unwrap();
        store.init().unwrap();
        Self { dir, topics, store, names, stamp_ms: AtomicI64::new(5) }
    }

    /// The same files, opened again.
    pub(crate) fn another(&self) -> Self {
        let path = |name| self.dir.path().join(name);
        let (topics, store) = (SqliteTopics::new(path("t.db")), SqliteStore::new(path("s.db")));
        Self {
            dir: Arc::clone(&self.dir),
            topics,
            store,
            names: self.names.clone(),
            stamp_ms: AtomicI64::new(5),
        }
    }

    /// A trade of each symbol every 30 s.
    pub(crate) fn send(&self, ids: std::ops::Range<u64>) {
        self.send_of(&SYMBOLS, ids);
    }

    /// A trade of each of these symbols every 30 s.
    pub(crate) fn send_of(&self, symbols: &[&str], ids: std::ops::Range<u64>) {
        let first = UnixNanos::parse("2024-03-11T14:00:00Z").unwrap().0;
        let mut producer = self.topics.producer().unwrap();
        let topic = self.names.records(Kind::TRADE);
        for id in ids {
            for symbol in symbols {
                let ts = first + id as i64 * 30 * SECOND;
                let text = format!(
                    r#"{{"symbol":"{symbol}","feed":"f","venue":"P","id":"{id}","ts":{ts},"recv_ts":{ts},"price":"10","size":"1","conditions":[]}}"#
                );
                let message = Message {
                    topic: &topic,
                    key: symbol,
                    headers: &[],
                    payload: text.as_bytes(),
                    stamp_ms: self.stamp_ms.load(Ordering::SeqCst),
                };
                producer.send(&message).unwrap();
            }
        }
        assert_eq!(producer.flush(Duration::from_secs(10)).unwrap(), 0);
    }

    pub(crate) fn grow(&self) {
        let file = rusqlite::Connection::open(self.dir.path().join("t.db")).unwrap();
        file.execute("UPDATE topics SET partitions = 5 WHERE partitions = 2", []).unwrap();
    }

    /// Symbols whose messages are in two partitions.
    pub(crate) fn moved(&self) -> BTreeSet<String> {
        let mut partitions: BTreeMap<String, BTreeSet<i32>> = BTreeMap::new();
        let topics = [self.names.records(Kind::TRADE)];
        self.topics
            .read_all(&topics, &mut |message| {
                let mut loose = Vec::new();
                json::normalize(Kind::TRADE, message.payload(), &mut loose).unwrap();
                let record = json::decode(Kind::TRADE, &loose).unwrap();
                partitions
                    .entry((*record.symbol()).to_owned())
                    .or_default()
                    .insert(message.partition().number);
            })
            .unwrap();
        partitions.into_iter().filter(|(_, found)| found.len() > 1).map(|(symbol, _)| symbol).collect()
    }

    pub(crate) fn settings(&self) -> AggregateSettings {
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

    pub(crate) fn aggregate(&self, telemetry: &Telemetry, stop: &CancelToken, until_end: bool) {
        let end = AtomicBool::new(until_end);
        aggregate::run(&self.topics, &self.store, &self.settings(), telemetry, stop, &end).unwrap();
    }

    pub(crate) fn consume(&self) {
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

    pub(crate) fn rebuild(&self) -> RebuildReport {
        let (telemetry, stop) = (Telemetry::default(), CancelToken::default());
        aggregate::rebuild_sessions(&self.topics, &self.store, &self.settings(), "g", &telemetry, &stop)
            .unwrap()
    }

    /// Bars of a symbol in order, without the counts that depend on when they were written.
    pub(crate) fn bars_of(&self, symbol: &str, interval: &str) -> Vec<Bar> {
        let mut bars = Vec::new();
        self.store
            .scan_bars(&scan(symbol, interval), &mut |bar| {
                bars.push(Bar { revision: 0, late: 0, ..bar });
                ControlFlow::Continue(())
            })
            .unwrap();
        bars
    }

    /// All bars.
    pub(crate) fn bars(&self) -> Vec<Bar> {
        let of = |symbol| ["1m", "1d"].into_iter().flat_map(move |interval| self.bars_of(symbol, interval));
        SYMBOLS.into_iter().flat_map(of).collect()
    }

    /// The ledger and the bars name the symbols that moved, and no others.
    pub(crate) fn check(&self) {
        let moved = self.moved();
        assert!((1..SYMBOLS.len()).contains(&moved.len()), "{moved:?}");
        let ledger = ports::gap::ledger(&self.topics, &self.names).unwrap();
        assert!(ledger.iter().all(|gap| gap.id.starts_with(MOVED) && gap.state == GapState::Open));
        let named: BTreeSet<String> = ledger.iter().flat_map(|gap| gap.symbols.clone()).collect();
        assert_eq!((named, ledger.len()), (moved.clone(), moved.len()));
        for gap in &ledger {
            assert!(
                gap.cause.contains(" in t.trades/") && gap.cause.contains("its bars hold those of one"),
                "{}",
                gap.cause
            );
        }
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

pub(crate) fn scan(symbol: &str, interval: &str) -> BarScan {
    BarScan {
        kind: Kind::TRADE,
        symbol: symbol.to_owned(),
        interval: interval.parse().unwrap(),
        feed: None,
        from: UnixNanos(i64::MIN),
        to: UnixNanos(i64::MAX),
        limit: None,
    }
}
