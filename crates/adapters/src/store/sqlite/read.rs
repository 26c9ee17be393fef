//! Counts, the directory, scans; rows as records.

use market::{Kind, Price, Quote, QuoteSide, Record, Side, Size, Trade, UnixNanos, fixed};
use ports::store::{Counts, DirectoryEntry, Scan, Sink};
use rusqlite::types::{Type, ValueRef};
use rusqlite::{Connection, params};

pub(super) fn count(connection: &Connection) -> rusqlite::Result<Counts> {
    let mut counts = Counts::new();
    for kind in Kind::ALL {
        let text = format!("SELECT symbol, count(*) FROM {} GROUP BY symbol", kind.plural());
        let mut statement = connection.prepare(&text)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())))?;
        counts.insert(kind, rows.collect::<rusqlite::Result<_>>()?);
    }
    Ok(counts)
}

pub(super) fn directory(connection: &Connection) -> rusqlite::Result<Vec<DirectoryEntry>> {
    let mut entries = Vec::new();
    for kind in Kind::ALL {
        let mut statement = connection.prepare(
            "SELECT symbol, feed, first, last FROM directory WHERE kind = ? ORDER BY symbol, feed",
        )?;
        let rows = statement.query_map([kind.name()], |row| {
            Ok(DirectoryEntry {
                kind,
                symbol: row.get(0)?,
                feed: row.get(1)?,
                first: UnixNanos(row.get(2)?),
                last: UnixNanos(row.get(3)?),
            })
        })?;
        for entry in rows {
            entries.push(entry?);
        }
    }
    Ok(entries)
}

pub(super) fn scan(connection: &Connection, scan: &Scan, sink: Sink<'_>) -> rusqlite::Result<()> {
    let only = if scan.symbol.is_some() { "symbol = ?1" } else { "?1 IS NULL" };
    let mut statement = connection.prepare(&format!(
        "SELECT * FROM {} WHERE {only} AND ts >= ?2 AND ts < ?3 ORDER BY symbol, ts LIMIT ?4",
        scan.kind.plural()
    ))?;
    let limit = scan.limit.and_then(|n| i64::try_from(n).ok()).unwrap_or(-1);
    let mut rows = statement.query(params![scan.symbol, scan.from.0, scan.to.0, limit])?;
    while let Some(row) = rows.next()? {
        let record = match scan.kind {
            Kind::Trade => Record::Trade(trade(row)?),
            Kind::Quote => Record::Quote(quote(row)?),
        };
        if sink(&record).is_break() {
            break;
        }
    }
    Ok(())
}

fn text<'a>(row: &'a rusqlite::Row<'_>, index: usize) -> rusqlite::Result<&'a str> {
    Ok(row.get_ref(index)?.as_str()?)
}

/// The raw value of a decimal in text.
pub(super) fn decimal(row: &rusqlite::Row<'_>, index: usize) -> rusqlite::Result<i128> {
    fixed::parse(text(row, index)?.as_bytes()).map_err(|error| unreadable(index, error.to_string()))
}

fn side_of_trade(row: &rusqlite::Row<'_>, index: usize) -> rusqlite::Result<Side> {
    let name = text(row, index)?;
    Side::from_name(name).ok_or_else(|| unreadable(index, format!("unknown side `{name}`")))
}

fn unreadable(index: usize, reason: String) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(index, Type::Text, reason.into())
}

pub(super) fn trade<'a>(row: &'a rusqlite::Row<'_>) -> rusqlite::Result<Trade<&'a str>> {
    Ok(Trade {
        symbol: text(row, 0)?,
        ts: UnixNanos(row.get(1)?),
        feed: text(row, 2)?,
        venue: text(row, 3)?,
        id: text(row, 4)?,
        price: Price::from_raw(decimal(row, 5)?),
        size: Size::from_raw(decimal(row, 6)?),
        side: side_of_trade(row, 7)?,
        conditions: text(row, 8)?,
        tape: text(row, 9)?,
        seq: row.get(10)?,
        recv_ts: UnixNanos(row.get(11)?),
        revision: row.get(12)?,
        canceled: row.get(13)?,
    })
}

pub(super) fn quote<'a>(row: &'a rusqlite::Row<'_>) -> rusqlite::Result<Quote<&'a str>> {
    let side = |first: usize| -> rusqlite::Result<Option<QuoteSide<&'a str>>> {
        if row.get_ref(first)? == ValueRef::Null {
            return Ok(None);
        }
        Ok(Some(QuoteSide {
            price: Price::from_raw(decimal(row, first)?),
            size: Size::from_raw(decimal(row, first + 1)?),
            venue: text(row, first + 2)?,
        }))
    };
    Ok(Quote {
        symbol: text(row, 0)?,
        ts: UnixNanos(row.get(1)?),
        feed: text(row, 2)?,
        seq: row.get(3)?,
        bid: side(4)?,
        ask: side(7)?,
        conditions: text(row, 10)?,
        recv_ts: UnixNanos(row.get(11)?),
    })
}
