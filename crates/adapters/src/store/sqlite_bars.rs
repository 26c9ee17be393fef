//! Bars in the SQLite store: prices as billionths, volume as decimal text (a day of small coins is beyond 64 bits).

use market::bar::{Bar, QuoteValues, TradeValues, Values};
use market::fixed::{wide_parse, wide_text};
use market::{Kind, Price, Size, UnixNanos};
use ports::store::BarScan;
use rusqlite::{Connection, Row, params};
use std::ops::ControlFlow;

pub(super) const MIGRATION: &str = "
CREATE TABLE IF NOT EXISTS bars (
    symbol TEXT NOT NULL, interval TEXT NOT NULL, start INTEGER NOT NULL, feed TEXT NOT NULL,
    open INTEGER NOT NULL, high INTEGER NOT NULL, low INTEGER NOT NULL, close INTEGER NOT NULL,
    volume TEXT NOT NULL, vwap INTEGER, trades INTEGER NOT NULL,
    late INTEGER NOT NULL, revision INTEGER NOT NULL, final INTEGER NOT NULL, complete INTEGER NOT NULL,
    PRIMARY KEY (symbol, interval, start, feed)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS quote_bars (
    symbol TEXT NOT NULL, interval TEXT NOT NULL, start INTEGER NOT NULL, feed TEXT NOT NULL,
    bid_open INTEGER, bid_high INTEGER, bid_low INTEGER, bid_close INTEGER, bid_size INTEGER,
    ask_open INTEGER, ask_high INTEGER, ask_low INTEGER, ask_close INTEGER, ask_size INTEGER,
    late INTEGER NOT NULL, revision INTEGER NOT NULL, final INTEGER NOT NULL, complete INTEGER NOT NULL,
    PRIMARY KEY (symbol, interval, start, feed)) WITHOUT ROWID;
";

pub(super) const fn table(kind: Kind) -> &'static str {
    match kind {
        Kind::Trade => "bars",
        Kind::Quote => "quote_bars",
    }
}

/// Writes all of them in one transaction.
pub(super) fn write(connection: &Connection, bars: &[Bar]) -> rusqlite::Result<()> {
    let tx = rusqlite::Transaction::new_unchecked(connection, rusqlite::TransactionBehavior::Immediate)?;
    for bar in bars {
        let interval = bar.interval.to_string();
        let (start, complete) = (bar.start.0, bar.complete);
        let (late, revision, is_final) = (bar.late, bar.revision, bar.is_final);
        match &bar.values {
            Values::Trades(values) => {
                let [open, high, low, close] = values.ohlc.map(Price::billionths);
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
                        wide_text(values.volume),
                        values.vwap.map(Price::billionths),
                        i64::try_from(values.trades).unwrap_or(i64::MAX),
                        late,
                        revision,
                        is_final,
                        complete
                    ])?;
            }
            Values::Quotes(values) => {
                let side = |side: Option<([Price; 4], Size)>| -> [Option<i64>; 5] {
                    side.map_or([None; 5], |(ohlc, size)| {
                        let [open, high, low, close] = ohlc.map(|price| Some(price.billionths()));
                        [open, high, low, close, Some(size.billionths())]
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
            Values::Empty => {
                let text = format!(
                    "DELETE FROM {} WHERE symbol = ? AND interval = ? AND start = ? AND feed = ?",
                    table(bar.kind)
                );
                tx.prepare_cached(&text)?.execute(params![bar.symbol, interval, start, bar.feed])?;
            }
        }
    }
    tx.commit()
}

pub(super) fn scan(
    connection: &Connection,
    scan: &BarScan,
    sink: &mut dyn FnMut(Bar) -> ControlFlow<()>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(&format!(
        "SELECT * FROM {} WHERE symbol = ?1 AND interval = ?2 AND start >= ?3 AND start < ?4 AND (?5 IS NULL OR feed = ?5)
         ORDER BY start, feed LIMIT ?6",
        table(scan.kind)
    ))?;
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
        if sink(bar(scan, row)?).is_break() {
            break;
        }
    }
    Ok(())
}

fn bar(scan: &BarScan, row: &Row<'_>) -> rusqlite::Result<Bar> {
    let price = |index: usize| row.get(index).map(Price::from_billionths);
    let (values, tail) = match scan.kind {
        Kind::Trade => {
            let volume: String = row.get(8)?;
            let vwap: Option<i64> = row.get(9)?;
            let values = TradeValues {
                ohlc: [price(4)?, price(5)?, price(6)?, price(7)?],
                volume: wide_parse(&volume).unwrap_or(0),
                vwap: vwap.map(Price::from_billionths),
                trades: row.get::<_, i64>(10)?.unsigned_abs(),
            };
            (Values::Trades(values), 11)
        }
        Kind::Quote => {
            let side = |first: usize| -> rusqlite::Result<Option<([Price; 4], Size)>> {
                if row.get::<_, Option<i64>>(first)?.is_none() {
                    return Ok(None);
                }
                let ohlc = [price(first)?, price(first + 1)?, price(first + 2)?, price(first + 3)?];
                Ok(Some((ohlc, Size::from_billionths(row.get(first + 4)?))))
            };
            (Values::Quotes(QuoteValues { bid: side(4)?, ask: side(9)? }), 14)
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
