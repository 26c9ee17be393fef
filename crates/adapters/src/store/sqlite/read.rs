//! Counts, the directory, scans.

use super::table;
use market::{Kind, UnixNanos};
use ports::store::{Counts, DirectoryEntry, Scan, Sink};
use rusqlite::{Connection, params};

pub(super) fn count(connection: &Connection) -> rusqlite::Result<Counts> {
    let mut counts = Counts::new();
    for kind in Kind::ALL {
        let text =
            format!("SELECT {0}, count(*) FROM {1} GROUP BY {0}", kind.table().partition(), kind.plural());
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

/// The statement of a scan; its parameters are symbol, start, end and limit.
pub(super) fn scan_text(scan: &Scan) -> String {
    let description = scan.kind.table();
    let partition = description.partition();
    let only = if scan.symbol.is_some() { format!("{partition} = ?1") } else { "?1 IS NULL".to_owned() };
    let select = table::select(description);
    format!("{select} WHERE {only} AND ts >= ?2 AND ts < ?3 ORDER BY {partition}, ts LIMIT ?4")
}

pub(super) fn scan(connection: &Connection, scan: &Scan, sink: Sink<'_>) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(&scan_text(scan))?;
    let limit = scan.limit.and_then(|n| i64::try_from(n).ok()).unwrap_or(-1);
    let mut rows = statement.query(params![scan.symbol, scan.from.0, scan.to.0, limit])?;
    let mut text = String::new();
    while let Some(row) = rows.next()? {
        if sink(&table::record(scan.kind, row, &mut text)?).is_break() {
            break;
        }
    }
    Ok(())
}
