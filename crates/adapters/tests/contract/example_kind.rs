//! A kind that is one file in every store: written, replaced, counted and read by its description alone.

use crate::store::{DAY_START, HOUR, read, write};
use crate::{cassandra, unique};
use adapters::store::sqlite::SqliteStore;
use market::{Kind, UnixNanos};
use ports::store::{Scan, Store};

fn level(symbol: &str, ts: i64, depth: i64, more: &str) -> String {
    format!(
        r#"{{"symbol":"{symbol}","ts":{ts},"feed":"f.a","side":"bid","depth":{depth},"price":"-0.000000000000000001"{more},"placed":{},"recv_ts":-5}}"#,
        ts - HOUR
    )
}

const FULL: &str = r#","size":"3","orders":7,"seq":0,"venue":"P","conditions":["@","I"],"tags":{"a":"x","b":""},"implied":true"#;
const LEAST: &str = r#","conditions":[],"implied":false"#;

fn suite(store: &dyn Store) {
    let levels: Kind = "levels".parse().unwrap();
    store.init().unwrap();
    store.init().unwrap();
    store.check().unwrap();
    let stop = ports::CancelToken::default();
    let mut writer = store.writer(&stop).unwrap();
    let texts = [
        level("A", DAY_START + 5, -1, FULL),
        level("A", DAY_START + 5, 2, LEAST),
        level("A", DAY_START + 5, 10, LEAST),
        level("A", DAY_START + HOUR, 0, LEAST),
        level("B", -1, 0, FULL),
    ];
    let rows: Vec<_> = texts.iter().rev().map(|text| (levels, text.clone(), 1_000)).collect();
    for _ in 0..2 {
        assert!(write(&mut *writer, &rows).is_empty());
        assert_eq!(read(store, &Scan::all(levels)), texts);
    }
    let from = UnixNanos(DAY_START + 6);
    let scan = Scan { symbol: Some("A".into()), from, ..Scan::all(levels) };
    assert_eq!(read(store, &scan), texts[3..4]);
    let counts = store.count().unwrap();
    assert_eq!((counts[&levels]["A"], counts[&levels]["B"], counts[&Kind::TRADE].len()), (4, 1, 0));
    let directory = store.directory().unwrap();
    let spans: Vec<_> = directory.iter().map(|entry| (entry.kind, &*entry.symbol, entry.first.0)).collect();
    assert_eq!(spans, [(levels, "A", DAY_START), (levels, "B", -HOUR)]);
    // A later version replaces the earlier one as a whole, whatever order they arrive in.
    let (old, new) = (level("C", DAY_START, 0, FULL), level("C", DAY_START, 0, LEAST));
    for stamps in [[1_000, 2_000], [2_000, 1_000]] {
        let newer = if stamps[0] > stamps[1] { &old } else { &new };
        let symbol = format!("C{}", stamps[0]);
        let named = |text: &str| text.replace("\"C\"", &format!("\"{symbol}\""));
        for (text, stamp) in [(&old, stamps[0]), (&new, stamps[1])] {
            assert!(write(&mut *writer, &[(levels, named(text), stamp)]).is_empty());
        }
        let scan = Scan { symbol: Some(symbol.clone()), ..Scan::all(levels) };
        assert_eq!(read(store, &scan), [named(newer)]);
    }
    assert_eq!(store.bar_series().unwrap(), []);
}

#[test]
fn sqlite_stores_a_kind_by_its_description() {
    let dir = tempfile::tempdir().unwrap();
    suite(&SqliteStore::new(dir.path().join("s.db")));
}

#[test]
#[ignore = "needs real Cassandra: cargo xtask test"]
fn cassandra_stores_a_kind_by_its_description() {
    suite(&cassandra(&unique("kinds"), 100));
}
