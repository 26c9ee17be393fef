//! Bars in the SQLite store: prices, sizes and volume as decimal text.

use super::table::decimal;
use market::bar::{Bar, QuoteValues, ReadingValues, TradeValues, Values};
use market::kind::BarShape;
use market::{Kind, Price, Size, UnixNanos};
use ports::store::{BarScan, BarSeries};
use rusqlite::types::{Type, ValueRef};
use rusqlite::{Connection, Row, params};
use std::ops::ControlFlow;

/// The tables of the kinds that come from markets.
pub(super) const TABLES: &str = "
CREATE TABLE IF NOT EXISTS bars (
    symbol TEXT NOT NULL, interval TEXT NOT NULL, start INTEGER NOT NULL, feed TEXT NOT NULL,
    open TEXT NOT NULL, high TEXT NOT NULL, low TEXT NOT NULL, close TEXT NOT NULL,
    volume TEXT NOT NULL, vwap TEXT, trades INTEGER NOT NULL,
    late INTEGER NOT NULL, revision INTEGER NOT NULL, final INTEGER NOT NULL, complete INTEGER NOT NULL,
    PRIMARY KEY (symbol, interval, start, feed)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS quote_bars (
    symbol TEXT NOT NULL, interval TEXT NOT NULL, start INTEGER NOT NULL, feed TEXT NOT NULL,
    bid_open TEXT, bid_high TEXT, bid_low TEXT, bid_close TEXT, bid_size TEXT,
    ask_open TEXT, ask_high TEXT, ask_low TEXT, ask_close TEXT, ask_size TEXT,
    late INTEGER NOT NULL, revision INTEGER NOT NULL, final INTEGER NOT NULL, complete INTEGER NOT NULL,
    PRIMARY KEY (symbol, interval, start, feed)) WITHOUT ROWID;
";

/// The table of readings.
pub(super) const READING_TABLE: &str = "
CREATE TABLE IF NOT EXISTS reading_bars (
    symbol TEXT NOT NULL, interval TEXT NOT NULL, start INTEGER NOT NULL, feed TEXT NOT NULL,
    first TEXT NOT NULL, max TEXT NOT NULL, min TEXT NOT NULL, last TEXT NOT NULL,
    sum TEXT, count INTEGER NOT NULL,
    late INTEGER NOT NULL, revision INTEGER NOT NULL, final INTEGER NOT NULL, complete INTEGER NOT NULL,
    PRIMARY KEY (symbol, interval, start, feed)) WITHOUT ROWID;
";

/// Writes all bars in one transaction.
pub(super) fn write(connection: &Connection, bars: &[Bar]) -> rusqlite::Result<()> {
    let tx = rusqlite::Transaction::new_unchecked(connection, rusqlite::TransactionBehavior::Immediate)?;
    for bar in bars {
        let interval = bar.interval.to_string();
        let (start, complete) = (bar.start.0, bar.complete);
        let (late, revision, is_final) = (bar.late, bar.revision, bar.is_final);
        match &bar.values {
            Values::Trades(values) => {
                let [open, high, low, close] = values.ohlc.map(|price| price.to_string());
                tx.prepare_cached("INSERT OR REPLACE INTO bars VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)")?
                    .execute(params![
                        bar.symbol,
                        interval,
                        start,
                        bar.feed,
                        open,
                        high,
                        low,
                        close,
                        values.volume.to_string(),
                        values.vwap.map(|price| price.to_string()),
                        i64::try_from(values.trades).unwrap_or(i64::MAX),
                        late,
                        revision,
                        is_final,
                        complete
                    ])?;
            }
            Values::Quotes(values) => {
                let side = |side: Option<([Price; 4], Size)>| -> [Option<String>; 5] {
                    side.map_or([const { None }; 5], |(ohlc, size)| {
                        let [open, high, low, close] = ohlc.map(|price| Some(price.to_string()));
                        [open, high, low, close, Some(size.to_string())]
                    })
                };
                let (bid, ask) = (side(values.bid), side(values.ask));
                tx.prepare_cached(
                    "INSERT OR REPLACE INTO quote_bars VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                )?
                .execute(params![
                    bar.symbol, interval, start, bar.feed, bid[0], bid[1], bid[2], bid[3], bid[4], ask[0],
                    ask[1], ask[2], ask[3], ask[4], late, revision, is_final, complete
                ])?;
            }
            Values::Readings(values) => {
                let [first, max, min, last] = values.first_max_min_last.map(|value| value.to_string());
                tx.prepare_cached(
                    "INSERT OR REPLACE INTO reading_bars VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                )?
                .execute(params![
                    bar.symbol,
                    interval,
                    start,
                    bar.feed,
                    first,
                    max,
                    min,
                    last,
                    values.sum.map(|sum| sum.to_string()),
                    i64::try_from(values.count).unwrap_or(i64::MAX),
                    late,
                    revision,
                    is_final,
                    complete
                ])?;
            }
            Values::Empty => {
                let Some(shape) = bar.kind.bars() else { continue };
                let text = format!(
                    "DELETE FROM {} WHERE symbol = ? AND interval = ? AND start = ? AND feed = ?",
                    shape.table()
                );
                tx.prepare_cached(&text)?.execute(params![bar.symbol, interval, start, bar.feed])?;
            }
        }
    }
    tx.commit()
}

/// The series of all tables, in order.
pub(super) fn series(connection: &Connection) -> rusqlite::Result<Vec<BarSeries>> {
    let mut found = Vec::new();
    for (kind, shape) in Kind::ALL.into_iter().filter_map(|kind| Some((kind, kind.bars()?))) {
        let mut statement = connection.prepare(&format!(
            "SELECT symbol, feed, interval, min(start), max(start) FROM {} GROUP BY symbol, interval, feed",
            shape.table()
        ))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let interval = row.get::<_, String>(2)?.parse().map_err(|error: String| {
                rusqlite::Error::FromSqlConversionFailure(2, Type::Text, error.into())
            })?;
            let (first, last) = (UnixNanos(row.get(3)?), UnixNanos(row.get(4)?));
            found.push(BarSeries { kind, symbol: row.get(0)?, feed: row.get(1)?, interval, first, last });
        }
    }
    found.sort();
    Ok(found)
}

/// The statement of a scan; its parameters are symbol, interval, start, end, feed and limit.
pub(super) fn scan_text(table: &str) -> String {
    format!(
        "SELECT * FROM {table} WHERE symbol = ?1 AND interval = ?2 AND start >= ?3 AND start < ?4 AND (?5 IS NULL OR feed = ?5)
         ORDER BY start, feed LIMIT ?6"
    )
}

pub(super) fn scan(
    connection: &Connection,
    scan: &BarScan,
    sink: &mut dyn FnMut(Bar) -> ControlFlow<()>,
) -> rusqlite::Result<()> {
    let Some(shape) = scan.kind.bars() else { return Ok(()) };
    let mut statement = connection.prepare(&scan_text(shape.table()))?;
    let limit = scan.limit.and_then(|n| i64::try_from(n).ok()).unwrap_or(-1);
    let mut rows = statement.query(params![
        scan.symbol,
        scan.interval.to_string(),
        scan.from.0,
        scan.to.0,
        scan.feed,
        limit
    ])?;
    while let Some(row) = rows.next()? {
        if sink(bar(scan, shape, row)?).is_break() {
            break;
        }
    }
    Ok(())
}

fn bar(scan: &BarScan, shape: BarShape, row: &Row<'_>) -> rusqlite::Result<Bar> {
    let price = |index: usize| decimal(row, index).map(Price::from_raw);
    let absent = |index: usize| Ok::<_, rusqlite::Error>(row.get_ref(index)? == ValueRef::Null);
    let (values, tail) = match shape {
        BarShape::Trades => {
            let values = TradeValues {
                ohlc: [price(4)?, price(5)?, price(6)?, price(7)?],
                volume: Size::from_raw(decimal(row, 8)?),
                vwap: if absent(9)? { None } else { Some(price(9)?) },
                trades: row.get::<_, i64>(10)?.unsigned_abs(),
            };
            (Values::Trades(values), 11)
        }
        BarShape::Quotes => {
            let side = |first: usize| -> rusqlite::Result<Option<([Price; 4], Size)>> {
                if absent(first)? {
                    return Ok(None);
                }
                let ohlc = [price(first)?, price(first + 1)?, price(first + 2)?, price(first + 3)?];
                Ok(Some((ohlc, Size::from_raw(decimal(row, first + 4)?))))
            };
            (Values::Quotes(QuoteValues { bid: side(4)?, ask: side(9)? }), 14)
        }
        BarShape::Readings => {
            let values = ReadingValues {
                first_max_min_last: [price(4)?, price(5)?, price(6)?, price(7)?],
                sum: if absent(8)? { None } else { Some(price(8)?) },
                count: row.get::<_, i64>(9)?.unsigned_abs(),
            };
            (Values::Readings(values), 10)
        }
    };
    Ok(Bar {
        kind: scan.kind,
        symbol: row.get(0)?,
        feed: row.get(3)?,
        interval: scan.interval,
        start: UnixNanos(row.get(2)?),
        values,
        late: row.get(tail)?,
        revision: row.get(tail + 1)?,
        is_final: row.get(tail + 2)?,
        complete: row.get(tail + 3)?,
    })
}
