//! What a query costs: its steps in SQLite's virtual machine, which do not depend on how busy the machine is.

use super::{SqliteStore, bars, read};
use market::bar::{Bar, TradeValues, Values};
use market::interval::Interval;
use market::time::{DAY, MINUTE};
use market::{Kind, Price, Size, UnixNanos};
use ports::CancelToken;
use ports::batch::{Batch, Partition};
use ports::store::{Scan, Store};
use rusqlite::{StatementStatus, params};
use std::time::Duration;

/// 2013-10-08T13:30:00Z.
const OPEN: i64 = 1_381_239_000_000_000_000;
const SYMBOL: &str = "S007";
/// Minutes of each day that have records.
const MINUTES: i64 = 30;

/// A store with a trade, a quote and a bar in each minute of each symbol and day. The first day is [`OPEN`]'s.
fn store(dir: &std::path::Path, symbols: &[String], days: i64) -> SqliteStore {
    let store = SqliteStore::new(dir.join(format!("{}-{days}.db", symbols.len())));
    store.init().unwrap();
    let stop = CancelToken::default();
    let mut writer = store.writer(&stop).unwrap();
    for day in 0..days {
        let (mut batch, mut made) = (Batch::default(), Vec::new());
        for symbol in symbols {
            for minute in 0..MINUTES {
                let ts = OPEN + day * DAY + minute * MINUTE;
                let trade = format!(
                    r#"{{"symbol":"{symbol}","feed":"f","venue":"P","id":"{minute}","ts":{ts},"recv_ts":{ts},"price":"1","size":"1","conditions":[]}}"#
                );
                let quote = format!(
                    r#"{{"symbol":"{symbol}","feed":"f","seq":{minute},"ts":{ts},"recv_ts":{ts},"bid":"1","bid_size":"1","bid_venue":"P","conditions":[]}}"#
                );
                let at = Partition { topic: 0, number: 0 };
                batch.push(Kind::TRADE, trade.as_bytes(), 1, at, 0).unwrap();
                batch.push(Kind::QUOTE, quote.as_bytes(), 1, at, 0).unwrap();
                made.push(bar(symbol, ts));
            }
        }
        writer.submit(1, batch).unwrap();
        let done = writer.completed(Duration::from_secs(60)).unwrap().expect("an acknowledgement");
        assert!(done.refused.is_empty(), "{:?}", done.refused);
        store.write_bars(&made, &stop).unwrap();
    }
    store
}

fn bar(symbol: &str, start: i64) -> Bar {
    let one = Price::from_raw(market::fixed::ONE);
    let volume = Size::from_raw(market::fixed::ONE);
    Bar {
        kind: Kind::TRADE,
        symbol: symbol.to_owned(),
        feed: "f".to_owned(),
        interval: Interval::M1,
        start: UnixNanos(start),
        values: Values::Trades(TradeValues { ohlc: [one; 4], volume, vwap: None, trades: 1 }),
        late: 0,
        revision: 0,
        is_final: true,
        complete: true,
    }
}

/// Rows, steps, steps through whole tables, and sorts of a statement.
fn cost(store: &SqliteStore, text: &str, values: impl rusqlite::Params) -> [i32; 4] {
    let connection = store.open_existing().unwrap();
    let mut statement = connection.prepare(text).unwrap();
    let mut rows = statement.query(values).unwrap();
    let mut count = 0;
    while rows.next().unwrap().is_some() {
        count += 1;
    }
    drop(rows);
    let [steps, scanned, sorts] =
        [StatementStatus::VmStep, StatementStatus::FullscanStep, StatementStatus::Sort]
            .map(|status| statement.get_status(status));
    [count, steps, scanned, sorts]
}

/// Ten minutes of a symbol: trades, quotes, bars.
fn costs(store: &SqliteStore) -> Vec<[i32; 4]> {
    let (from, to) = (OPEN + 5 * MINUTE, OPEN + 15 * MINUTE);
    let records = [Kind::TRADE, Kind::QUOTE].map(|kind| {
        let scan = Scan {
            kind,
            symbol: Some(SYMBOL.to_owned()),
            from: UnixNanos(from),
            to: UnixNanos(to),
            limit: None,
        };
        cost(store, &read::scan_text(&scan), params![SYMBOL, from, to, -1])
    });
    let bars = ["f", ""].map(|feed| {
        let feed = Some(feed).filter(|feed| !feed.is_empty());
        cost(store, &bars::scan_text("bars"), params![SYMBOL, "1m", from, to, feed, -1])
    });
    records.into_iter().chain(bars).collect()
}

#[test]
fn ten_minutes_cost_the_same_whatever_else_the_store_holds() {
    let dir = tempfile::tempdir().unwrap();
    let symbols: Vec<String> = (0..50).map(|n| format!("S{n:03}")).collect();
    let alone = costs(&store(dir.path(), &[SYMBOL.to_owned()], 1));
    let among_others = costs(&store(dir.path(), &symbols, 20));
    assert_eq!(alone, among_others);
    for [rows, _, scanned, sorts] in alone {
        assert_eq!((rows, scanned, sorts), (10, 0, 0));
    }
}
