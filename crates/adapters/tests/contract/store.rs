//! The contract of every store.

use crate::{cassandra, unique};
use adapters::store::sqlite::SqliteStore;
use market::codec::json;
use market::{Kind, Record, UnixNanos};
use ports::batch::{Batch, Partition};
use ports::forecast::{ForecastRecord, ForecastScore};
use ports::store::{BarScan, BarSeries, ForecastScan, Scan, Store, Writer};
use std::ops::ControlFlow;
use std::time::Duration;

pub(crate) const HOUR: i64 = market::time::HOUR;
pub(crate) const DAY_START: i64 = 1_381_190_400_000_000_000;

pub(crate) fn trade(symbol: &str, ts: i64, id: &str, more: &str) -> String {
    format!(
        r#"{{"symbol":"{symbol}","feed":"f.a","venue":"P","id":"{id}","ts":{ts},"recv_ts":{},"price":"167.4101","size":"0.5","conditions":["@","I"]{more}}}"#,
        ts + 1_000_000_007
    )
}

pub(crate) fn quote(symbol: &str, ts: i64, seq: i64, sides: &str) -> String {
    format!(
        r#"{{"symbol":"{symbol}","feed":"f.a","seq":{seq},"ts":{ts},"recv_ts":-5{sides},"conditions":[]}}"#
    )
}

pub(crate) fn batch(rows: &[(Kind, String, i64)]) -> Batch {
    let mut batch = Batch::default();
    for (offset, (kind, text, stamp_ms)) in rows.iter().enumerate() {
        let at = Partition { topic: 0, number: 0 };
        batch.push(*kind, text.as_bytes(), *stamp_ms, at, offset as i64).unwrap();
    }
    batch
}

pub(crate) fn write(writer: &mut dyn Writer, rows: &[(Kind, String, i64)]) -> Vec<(usize, String)> {
    writer.submit(1, batch(rows)).unwrap();
    let done = writer.completed(Duration::from_secs(30)).unwrap().expect("an acknowledgement");
    assert_eq!((done.batch_id, done.batch.len()), (1, rows.len()));
    done.refused
}

pub(crate) fn read(store: &dyn Store, scan: &Scan) -> Vec<String> {
    let mut out = Vec::new();
    store
        .scan(scan, &mut |record: &Record<&str>| {
            let mut text = Vec::new();
            json::encode(record, &mut text);
            out.push(String::from_utf8(text).unwrap());
            ControlFlow::Continue(())
        })
        .unwrap();
    out
}

pub(crate) fn suite(store: &dyn Store) {
    store.init().unwrap();
    store.init().unwrap();
    let stop = ports::CancelToken::default();
    let mut writer = store.writer(&stop).unwrap();
    let last_of_day = DAY_START + 24 * HOUR - 1;
    // Two equal-looking trades are two trades; text, decimals and times are read as they were written.
    let trades = [
        trade("A", DAY_START + 5, "1", ""),
        trade("A", DAY_START + 5, "2", ""),
        trade("A", DAY_START + HOUR, "1", r#","tape":"B","seq":-7,"revision":3,"canceled":true"#)
            .replace(",\"conditions\"", ",\"side\":\"sell\",\"conditions\"")
            .replace("167.4101", "-0.000000000000000001"),
        trade("A", last_of_day, "9", ""),
        trade("B", -1, "1", ""),
    ];
    let quotes = [
        quote("A", DAY_START, 1, r#","bid":"1","bid_size":"200","bid_venue":"P""#),
        quote(
            "A",
            DAY_START,
            2,
            r#","ask":"99999999999999999999.999999999999999999","ask_size":"0.000000000000000001","ask_venue":"""#,
        ),
    ];
    let rows: Vec<_> = trades
        .iter()
        .map(|text| (Kind::TRADE, text.clone(), 1_000))
        .chain(quotes.iter().map(|text| (Kind::QUOTE, text.clone(), 1_000)))
        .collect();
    for _ in 0..2 {
        // The second time changes nothing.
        assert!(write(&mut *writer, &rows).is_empty());
        assert_eq!(read(store, &Scan::all(Kind::TRADE)), trades);
        assert_eq!(read(store, &Scan::all(Kind::QUOTE)), quotes);
    }
    let counts = store.count().unwrap();
    assert_eq!((counts[&Kind::TRADE]["A"], counts[&Kind::TRADE]["B"], counts[&Kind::QUOTE]["A"]), (4, 1, 2));
    ranges(store, &trades, last_of_day);
    newer_beats_older(store, &mut *writer);
    a_row_is_one_version(store, &mut *writer);
    absent_fields_replace_present_ones(store, &mut *writer);
    directory(store, &mut *writer);
    readings(store, &mut *writer);
    bars(store);
    forecasts(store);
    every_batch_is_acknowledged(&mut *writer);
}

fn ranges(store: &dyn Store, trades: &[String], last_of_day: i64) {
    let of_a = |from, to, limit| Scan {
        kind: Kind::TRADE,
        symbol: Some("A".into()),
        from: UnixNanos(from),
        to: UnixNanos(to),
        limit,
    };
    assert_eq!(read(store, &of_a(DAY_START + 5, DAY_START + 6, None)), trades[..2]);
    assert_eq!(read(store, &of_a(DAY_START + 6, DAY_START + HOUR, None)), [""; 0]);
    assert_eq!(read(store, &of_a(DAY_START + 6, DAY_START + HOUR + 1, None)), trades[2..3]);
    assert_eq!(read(store, &of_a(last_of_day, i64::MAX, None)), trades[3..4]);
    assert_eq!(read(store, &of_a(i64::MIN, i64::MAX, Some(3))), trades[..3]);
}

/// The directory names every bucket that has rows, of each feed, as soon as a batch is acknowledged.
fn directory(store: &dyn Store, writer: &mut dyn Writer) {
    let spans = |symbol: &str| -> Vec<(Kind, String, i64, i64)> {
        let entries = store.directory().unwrap();
        assert!(entries.is_sorted());
        let entries = entries.into_iter().filter(|entry| entry.symbol == symbol);
        entries.map(|entry| (entry.kind, entry.feed, entry.first.0, entry.last.0)).collect()
    };
    let f = || "f.a".to_owned();
    assert_eq!(
        spans("A"),
        [(Kind::TRADE, f(), DAY_START, DAY_START + 23 * HOUR), (Kind::QUOTE, f(), DAY_START, DAY_START)]
    );
    assert_eq!(spans("B"), [(Kind::TRADE, f(), -HOUR, -HOUR)]);
    // Later, earlier, far away and of another feed; some in one batch.
    let g = |text: String| text.replace("f.a", "f.b");
    for rows in [
        vec![trade("D", DAY_START + HOUR + 1, "1", "")],
        vec![trade("D", DAY_START + 5 * HOUR, "2", ""), g(trade("D", DAY_START, "3", ""))],
        vec![trade("D", -1, "4", ""), trade("D", DAY_START + 2 * HOUR, "5", "")],
    ] {
        let rows: Vec<_> = rows.into_iter().map(|text| (Kind::TRADE, text, 1_000)).collect();
        assert!(write(writer, &rows).is_empty());
    }
    let g = "f.b".to_owned();
    assert_eq!(
        spans("D"),
        [(Kind::TRADE, f(), -HOUR, DAY_START + 5 * HOUR), (Kind::TRADE, g, DAY_START, DAY_START)]
    );
    let scan = |from: i64, to: i64| Scan {
        symbol: Some("D".into()),
        from: UnixNanos(from),
        to: UnixNanos(to),
        ..Scan::all(Kind::TRADE)
    };
    for (from, to, count) in [
        (i64::MIN, i64::MAX, 5),
        (-1, i64::MAX, 5),
        (0, i64::MAX, 4),
        (0, DAY_START + 2 * HOUR + 1, 3),
        (DAY_START + 1, DAY_START + 5 * HOUR, 2),
        (i64::MIN, -1, 0),
    ] {
        assert_eq!(read(store, &scan(from, to)).len(), count, "{from} to {to}");
    }
    assert_eq!(store.count().unwrap()[&Kind::TRADE]["D"], 5);
}

/// A reading comes back as it went, two of one time stay two, and a value that changes its type stays one row.
fn readings(store: &dyn Store, writer: &mut dyn Writer) {
    let reading = |ts: i64, seq: i64, rest: &str| {
        format!(
            r#"{{"series":"boiler 7.t","feed":"plant","seq":{seq},"ts":{ts},"recv_ts":{},{rest}}}"#,
            ts + 1
        )
    };
    let last = DAY_START + 24 * HOUR - 1;
    let rows = [
        reading(-1, 1, r#""type":"float","value":"1e300""#),
        reading(
            DAY_START,
            3,
            r#""type":"decimal","value":"-0.000000000000000001","unit":"°C","quality":"192","tags":{"room":"","site":"b"}"#,
        ),
        reading(DAY_START, 4, r#""type":"text","value":"on, 'x'""#),
        reading(last, i64::MIN + 1, r#""type":"boolean","value":"true""#),
        reading(last + 1, i64::MAX, r#""type":"integer","value":"18446744073709551615""#),
    ];
    let all: Vec<_> = rows.iter().map(|text| (Kind::READING, text.clone(), 1_000)).collect();
    for _ in 0..2 {
        assert!(write(writer, &all).is_empty());
        assert_eq!(read(store, &Scan::all(Kind::READING)), rows);
    }
    let scan = |from: i64, to: i64| Scan {
        symbol: Some("boiler 7.t".into()),
        from: UnixNanos(from),
        to: UnixNanos(to),
        ..Scan::all(Kind::READING)
    };
    assert_eq!(read(store, &scan(DAY_START, last + 1)), rows[1..4]);
    assert_eq!(read(store, &scan(last, i64::MAX)), rows[3..]);
    let changed = rows[1].replace("decimal", "text").replace(r#","unit":"°C""#, "");
    assert!(write(writer, &[(Kind::READING, changed.clone(), 2_000)]).is_empty());
    assert_eq!(read(store, &scan(DAY_START, DAY_START + 1)), [changed, rows[2].clone()]);
    assert_eq!(store.count().unwrap()[&Kind::READING]["boiler 7.t"], 5);
    let entries = store.directory().unwrap();
    let entry = entries.iter().find(|entry| entry.kind == Kind::READING).unwrap();
    assert_eq!((entry.first.0, entry.last.0), (-24 * HOUR, last + 1));
}

/// A correction replaces what it corrects, and a stale retry does not replace the correction.
fn newer_beats_older(store: &dyn Store, writer: &mut dyn Writer) {
    let ts = DAY_START + 5 * HOUR;
    let scan = Scan { kind: Kind::TRADE, symbol: Some("C".into()), ..Scan::all(Kind::TRADE) };
    let (first, corrected) = (trade("C", ts, "1", ""), trade("C", ts, "1", "").replace("167.4101", "99"));
    for (text, stamp) in [(&first, 1_000), (&corrected, 2_000), (&first, 1_000)] {
        write(writer, &[(Kind::TRADE, text.clone(), stamp)]);
    }
    assert_eq!(read(store, &scan), [corrected]);
}

/// Two versions of one identity and one message timestamp: the row is one of them, whichever came first, and
/// the one that [`Version`] selects; a higher revision wins.
fn a_row_is_one_version(store: &dyn Store, writer: &mut dyn Writer) {
    let ts = DAY_START + 6 * HOUR;
    let text = |symbol: &str, price: u32, size: u32, more: &str| {
        let text = trade(symbol, ts, "1", more);
        text.replace("167.4101", &price.to_string()).replace("\"0.5\"", &format!("\"{size}\""))
    };
    let pairs = [
        [(10, 1, ""), (11, 2, "")],
        [(10, 2, ""), (11, 1, "")],
        [(10, 1, r#","tape":"B""#), (10, 1, "")],
        [(12, 1, r#","seq":9"#), (10, 7, r#","tape":"A""#)],
        [(99, 9, ""), (1, 1, r#","revision":1"#)],
        [(99, 9, r#","revision":1,"canceled":true"#), (1, 1, r#","revision":2"#)],
    ];
    for (index, pair) in pairs.iter().enumerate() {
        let mut rows = Vec::new();
        for order in [[0, 1], [1, 0]] {
            for together in [true, false] {
                let symbol = format!("V{index}{}{together}", order[0]);
                let texts = order.map(|at| {
                    let (price, size, more) = pair[at];
                    (Kind::TRADE, text(&symbol, price, size, more), 1_000)
                });
                if together {
                    write(writer, &texts);
                } else {
                    texts.iter().for_each(|text| drop(write(writer, std::slice::from_ref(text))));
                }
                let version = |text: &String| {
                    let record = json::decode(Kind::TRADE, text.as_bytes()).unwrap();
                    market::version::Version::of(&record, 1_000, &mut Vec::new())
                };
                let winner = texts.iter().map(|(_, text, _)| text).max_by_key(|text| version(text)).unwrap();
                let scan = Scan { symbol: Some(symbol.clone()), ..Scan::all(Kind::TRADE) };
                assert_eq!(read(store, &scan), std::slice::from_ref(winner), "{pair:?} {order:?} {together}");
                rows.push(winner.replace(&symbol, ""));
            }
        }
        assert!(rows.windows(2).all(|rows| rows[0] == rows[1]), "{rows:?}");
    }
    let scan = Scan { symbol: Some("V40true".to_owned()), ..Scan::all(Kind::TRADE) };
    assert!(read(store, &scan)[0].contains("revision"), "the higher revision wins");
}

/// A later version without tape, side, number, cancellation, bid or ask leaves nothing of the earlier one.
fn absent_fields_replace_present_ones(store: &dyn Store, writer: &mut dyn Writer) {
    let ts = DAY_START + 7 * HOUR;
    let full = trade("W", ts, "1", r#","tape":"B","seq":7,"revision":1,"canceled":true"#)
        .replace(",\"conditions\"", ",\"side\":\"sell\",\"conditions\"");
    let bare = trade("W", ts, "1", "");
    let (bid, ask) =
        (r#","bid":"1","bid_size":"200","bid_venue":"P""#, r#","ask":"2","ask_size":"100","ask_venue":"Q""#);
    let both = quote("W", ts, 1, &format!("{bid}{ask}"));
    for (round, (kind, earlier, later)) in [
        (Kind::TRADE, &full, &bare),
        (Kind::QUOTE, &both, &quote("W", ts, 1, ask)),
        (Kind::QUOTE, &both, &quote("W", ts, 1, bid)),
        (Kind::QUOTE, &both, &quote("W", ts, 1, "")),
    ]
    .into_iter()
    .enumerate()
    {
        let stamp = 1_000 * (round as i64 + 1);
        write(writer, &[(kind, earlier.clone(), stamp)]);
        write(writer, &[(kind, later.clone(), stamp + 1)]);
        let scan = Scan { symbol: Some("W".to_owned()), ..Scan::all(kind) };
        assert_eq!(read(store, &scan), std::slice::from_ref(later));
    }
}

/// A forecast and, if given, its score.
fn forecast(minute: i64, horizon: u32, truth: Option<f64>) -> ForecastRecord {
    let made_at = UnixNanos(DAY_START + minute * market::interval::MINUTE);
    let score = ForecastScore { truth: 0.0, settled_at: made_at, loss: 1e-9, baseline_loss: 2e-9 };
    ForecastRecord {
        symbol: "A".to_owned(),
        interval: market::interval::Interval::M1,
        feed: "f.a".to_owned(),
        made_at,
        target: "return".to_owned(),
        horizon,
        model: "ridge".to_owned(),
        version: "1-0123456789ab".to_owned(),
        verdict: "does not beat random_walk".to_owned(),
        close: 167.4101,
        point: -0.000_123_456_789,
        bounds: (horizon == 1).then_some([[-0.1, 0.1], [-0.2, 0.2], [-0.3, 0.300_000_000_000_000_04]]),
        baseline: 0.0,
        score: truth.map(|truth| ForecastScore { truth, ..score }),
    }
}

fn forecasts_of(store: &dyn Store, from: i64, to: i64) -> Vec<ForecastRecord> {
    let scan = ForecastScan {
        symbol: "A".to_owned(),
        interval: market::interval::Interval::M1,
        feed: None,
        from: UnixNanos(from),
        to: UnixNanos(to),
    };
    let mut found = Vec::new();
    store
        .scan_forecasts(&scan, &mut |forecast| {
            found.push(forecast);
            ControlFlow::Continue(())
        })
        .unwrap();
    found
}

/// Forecasts are replaced by identity, keep their score, and are read newest first, exactly as written.
fn forecasts(store: &dyn Store) {
    let stop = ports::CancelToken::default();
    assert!(store.forecast_series().unwrap().is_empty());
    // The last two lie in another month: another partition of Cassandra.
    let month = 31 * 24 * 60;
    let all = [
        forecast(0, 1, Some(0.5)),
        forecast(0, 5, None),
        forecast(1, 1, None),
        forecast(month, 1, None),
        forecast(month, 5, Some(0.0)),
    ];
    store.write_forecasts(&all, &stop).unwrap();
    store.write_forecasts(&all, &stop).unwrap();
    let newest_first: Vec<ForecastRecord> = all.iter().rev().cloned().collect();
    assert_eq!(forecasts_of(store, i64::MIN, i64::MAX), newest_first);
    // A score comes later; the forecast without it never clears it.
    store.write_forecasts(&[forecast(1, 1, Some(-0.25))], &stop).unwrap();
    store.write_forecasts(&[forecast(1, 1, None)], &stop).unwrap();
    let minute = DAY_START + market::interval::MINUTE;
    assert_eq!(forecasts_of(store, minute, minute + 1), [forecast(1, 1, Some(-0.25))]);
    assert_eq!(store.forecast_series().unwrap(), [("A".to_owned(), market::interval::Interval::M1)]);
}

/// Bars are read as they were written; a later revision replaces them, one without prices deletes them.
fn bars(store: &dyn Store) {
    let stop = ports::CancelToken::default();
    let line = |symbol: &str, interval: &str, start: &str, rest: &str| {
        let text = format!(
            r#"{{"symbol":"{symbol}","feed":"f","interval":"{interval}","start":"{start}",{rest},"late":1,"revision":2,"final":true,"complete":false}}"#
        );
        market::codec::bar::from_json(text.as_bytes()).unwrap()
    };
    let trade = r#""kind":"trade","open":"0.000000000000000001","high":"99999999999999999999.999999999999999999","low":"-1","close":"2","volume":"123456789012345678.5","trades":7"#;
    let all = [
        line("A", "1m", "2013-10-31T23:59:00Z", &format!("{trade},\"vwap\":\"1.5\"")),
        line("A", "1m", "2013-11-01T00:00:00Z", trade),
        line("A", "1m", "2014-01-01T00:00:00Z", trade),
    ];
    let others =
        [line("A", "1s", "2013-11-01T00:00:00Z", trade), line("B", "1m", "2013-11-01T00:00:00Z", trade)];
    let quotes = [line(
        "A",
        "1m",
        "2013-11-01T00:00:00Z",
        r#""kind":"quote","ask_open":"1","ask_high":"3","ask_low":"1","ask_close":"2","ask_size":"100""#,
    )];
    store.write_bars(&[&all[..], &others, &quotes].concat(), &stop).unwrap();
    let read = |kind, from: &str, to: &str, limit| {
        let time = |text| UnixNanos::parse(text).unwrap();
        let scan = BarScan {
            kind,
            symbol: "A".into(),
            interval: "1m".parse().unwrap(),
            feed: None,
            from: time(from),
            to: time(to),
            limit,
        };
        let mut out = Vec::new();
        store
            .scan_bars(&scan, &mut |bar| {
                out.push(bar);
                ControlFlow::Continue(())
            })
            .unwrap();
        out
    };
    let trades = |from, to, limit| read(Kind::TRADE, from, to, limit);
    assert_eq!(trades("2000-01-01", "2100-01-01", None), all);
    assert_eq!(trades("2000-01-01", "2100-01-01", Some(2)), all[..2]);
    assert_eq!(trades("2013-11-01", "2014-01-01", None), all[1..2]);
    assert_eq!(read(Kind::QUOTE, "2000-01-01", "2100-01-01", None), quotes);
    let series = |kind, symbol: &str, interval: &str, first: &str, last: &str| BarSeries {
        kind,
        symbol: symbol.into(),
        feed: "f".into(),
        interval: interval.parse().unwrap(),
        first: UnixNanos::parse(first).unwrap(),
        last: UnixNanos::parse(last).unwrap(),
    };
    let november = "2013-11-01T00:00:00Z";
    let expected = [
        series(Kind::TRADE, "A", "1s", november, november),
        series(Kind::TRADE, "A", "1m", "2013-10-31T23:59:00Z", "2014-01-01T00:00:00Z"),
        series(Kind::TRADE, "B", "1m", november, november),
        series(Kind::QUOTE, "A", "1m", november, november),
    ];
    assert_eq!(store.bar_series().unwrap(), expected);
    // Without the VWAP of the earlier revision.
    let mut newer = line("A", "1m", "2013-10-31T23:59:00Z", trade);
    newer.revision = 3;
    let gone = line("A", "1m", "2013-11-01T00:00:00Z", r#""kind":"trade""#);
    store.write_bars(&[newer.clone(), gone], &stop).unwrap();
    assert_eq!(trades("2000-01-01", "2100-01-01", None), [newer, all[2].clone()]);
}

/// Many batches at once, of many partitions, some empty: each is acknowledged once.
fn every_batch_is_acknowledged(writer: &mut dyn Writer) {
    for round in 0..20_u64 {
        for batch_id in 0..50 {
            let rows: Vec<_> = (0..batch_id % 4)
                .map(|n| {
                    (Kind::TRADE, trade(&format!("T{n}"), DAY_START, &format!("{round}-{batch_id}"), ""), 1)
                })
                .collect();
            writer.submit(batch_id, batch(&rows)).unwrap();
        }
        let mut seen = [false; 50];
        for _ in 0..50 {
            let done =
                writer.completed(Duration::from_secs(30)).unwrap().expect("a batch is not acknowledged");
            assert!(!std::mem::replace(&mut seen[done.batch_id as usize], true), "acknowledged twice");
        }
    }
}

#[test]
fn sqlite() {
    let dir = tempfile::tempdir().unwrap();
    suite(&SqliteStore::new(dir.path().join("store.db")));
}

#[test]
#[ignore = "needs real Cassandra: cargo xtask test"]
fn cassandra_real() {
    suite(&cassandra(&unique("contract"), 2));
}

#[test]
fn a_sqlite_store_of_an_earlier_version_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("old.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection
        .execute_batch("CREATE TABLE trades (symbol TEXT, price INTEGER); PRAGMA user_version = 2;")
        .unwrap();
    drop(connection);
    let store = SqliteStore::new(&path);
    let stop = ports::CancelToken::default();
    let errors = [store.init().unwrap_err(), store.count().unwrap_err(), store.writer(&stop).err().unwrap()];
    for error in errors {
        let text = error.to_string();
        assert!(text.contains("has version 2") && text.contains("expected version 6"), "{text}");
    }
    let connection = rusqlite::Connection::open(&path).unwrap();
    let version: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(version, 2);
}

#[test]
fn a_sqlite_store_of_version_3_is_upgraded_by_init() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let store = SqliteStore::new(&path);
    store.init().unwrap();
    let mut writer = store.writer(&ports::CancelToken::default()).unwrap();
    let rows = [
        trade("A", DAY_START + 5, "1", ""),
        trade("A", DAY_START + 3 * HOUR, "2", ""),
        trade("B", -1, "1", ""),
    ];
    assert!(write(&mut *writer, &rows.map(|text| (Kind::TRADE, text, 1))).is_empty());
    drop(writer);
    let entries = store.directory().unwrap();
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch("DROP TABLE directory; PRAGMA user_version = 3;").unwrap();
    let error = store.directory().unwrap_err().to_string();
    assert!(
        error.contains("has version 3") && error.contains("upgrade it: tapeline init --store"),
        "{error}"
    );
    let report = store.init().unwrap();
    assert!(report[0].contains("version 3 -> 6"), "{report:?}");
    assert_eq!(store.directory().unwrap(), entries);
    assert_eq!(entries.len(), 2);
}

#[test]
fn a_sqlite_table_that_does_not_fit_is_named_by_column() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch("CREATE TABLE trades (symbol TEXT, ts INTEGER, price REAL)").unwrap();
    let error = SqliteStore::new(&path).init().unwrap_err().to_string();
    assert!(error.contains("table trades: column `symbol`: expected TEXT key 1, found TEXT"), "{error}");
    let error = SqliteStore::new(dir.path().join("none.db")).count().unwrap_err().to_string();
    assert!(error.contains("no store file"), "{error}");
}

#[test]
fn reading_a_sqlite_file_creates_neither_files_nor_tables() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("topic.db");
    let topics = adapters::topic::sqlite::SqliteTopics::new(&path);
    let read = |topics: &adapters::topic::sqlite::SqliteTopics| {
        ports::topic::Topics::read_all(topics, &["t".to_owned()], &mut |_| {}).unwrap_err().to_string()
    };
    let error = read(&topics);
    assert!(error.contains("no topic file") && error.contains("tapeline init --topic sqlite:"), "{error}");
    let store = SqliteStore::new(&path);
    assert!(
        store.count().is_err()
            && store.scan(&Scan::all(Kind::TRADE), &mut |_| ControlFlow::Continue(())).is_err()
    );
    assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none(), "a file was created");
    // A topic file is not a store file, and vice versa.
    ports::topic::Topics::init(&topics, &ports::topic::Names::new("t").specs(1)).unwrap();
    let error = store.count().unwrap_err().to_string();
    assert!(error.contains("is not a store file: it has no tables"), "{error}");
    let other = dir.path().join("store.db");
    SqliteStore::new(&other).init().unwrap();
    let error = read(&adapters::topic::sqlite::SqliteTopics::new(&other));
    assert!(error.contains("is not a topic file"), "{error}");
    let tables = |path: &std::path::Path, name: &str| -> i64 {
        let query = "SELECT count(*) FROM sqlite_master WHERE name = ?";
        rusqlite::Connection::open(path).unwrap().query_row(query, [name], |row| row.get(0)).unwrap()
    };
    assert_eq!((tables(&path, "trades"), tables(&other, "messages")), (0, 0));
}

#[test]
fn init_creates_a_sqlite_table_that_was_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let store = SqliteStore::new(&path);
    store.init().unwrap();
    rusqlite::Connection::open(&path).unwrap().execute_batch("DROP TABLE quotes").unwrap();
    assert!(store.count().unwrap_err().to_string().contains("table quotes"));
    let report = store.init().unwrap();
    assert!(report[0].contains("missing tables created: quotes"), "{report:?}");
    assert_eq!(store.count().unwrap()[&Kind::QUOTE].len(), 0);
}

#[test]
fn a_cassandra_that_is_away_is_worth_waiting_for() {
    let settings = adapters::store::cassandra::CassandraSettings {
        connect_within: None,
        replication: 1,
        consistency: "ONE".into(),
        retention_days: 0,
        batch_rows: 1,
        in_flight: 1,
        connections: 1,
        username: String::new(),
        password: "hush".to_owned().into(),
        tls: ports::tls::Tls::default(),
        keyspaces: adapters::store::cassandra::KeyspacesSettings::default(),
    };
    let store = adapters::store::cassandra::CassandraStore::new("127.0.0.77:9", "k", settings).unwrap();
    let error = store.init().unwrap_err();
    assert!(error.retryable());
    assert!(error.to_string().contains("cassandra://127.0.0.77:9/k: no node responds"), "{error}");
    assert!(!error.to_string().contains("hush"));
}
