//! Reading the messages of a partition.

use super::cause::sql;
use ports::Result;
use ports::batch::Partition;
use ports::topic::Fetched;
use rusqlite::{Connection, params};
use std::path::Path;

struct LocalMessage<'a> {
    partition: Partition,
    offset: i64,
    stamp_ms: i64,
    key: &'a [u8],
    headers: &'a str,
    payload: &'a [u8],
}

impl Fetched for LocalMessage<'_> {
    fn partition(&self) -> Partition {
        self.partition
    }
    fn offset(&self) -> i64 {
        self.offset
    }
    fn stamp_ms(&self) -> i64 {
        self.stamp_ms
    }
    fn key(&self) -> &[u8] {
        self.key
    }
    fn payload(&self) -> &[u8] {
        self.payload
    }
    fn headers(&self, f: &mut dyn FnMut(&str, &[u8])) {
        // `name=length:bytes`, concatenated: readable in the file, and any bytes can be stored.
        let mut rest = self.headers;
        while let Some((name, tail)) = rest.split_once('=') {
            let Some((length, tail)) = tail.split_once(':') else { return };
            let Some((value, tail)) = length.parse().ok().and_then(|n| tail.split_at_checked(n)) else {
                return;
            };
            f(name, value.as_bytes());
            rest = tail;
        }
    }
}

/// What one reading of a partition may return: `messages` and, once it has one, `bytes` of payload.
#[derive(Clone, Copy)]
pub(super) struct ScanLimit {
    pub(super) messages: i64,
    pub(super) bytes: usize,
}

impl ScanLimit {
    pub(super) const NONE: Self = Self { messages: i64::MAX, bytes: usize::MAX };
}

/// How much of a partition was read.
pub(super) struct Scanned {
    pub(super) messages: u64,
    pub(super) bytes: usize,
    /// Offset after the last message.
    pub(super) next: i64,
}

/// Passes the messages of a partition from an offset on to `sink`.
pub(super) fn scan(
    connection: &Connection,
    path: &Path,
    id: i64,
    partition: Partition,
    from: i64,
    limit: ScanLimit,
    sink: &mut dyn FnMut(&dyn Fetched),
) -> Result<Scanned> {
    let fail = sql(path, "read messages");
    let mut statement = connection
        .prepare_cached(
            "SELECT offset, stamp_ms, key, headers, payload FROM messages
             WHERE topic = ? AND number = ? AND offset >= ? ORDER BY offset LIMIT ?",
        )
        .map_err(&fail)?;
    let mut rows = statement.query(params![id, partition.number, from, limit.messages]).map_err(&fail)?;
    let mut scanned = Scanned { messages: 0, bytes: 0, next: from };
    while let Some(row) = rows.next().map_err(&fail)? {
        let bytes = |index| row.get_ref(index).and_then(|value| Ok(value.as_bytes()?)).map_err(&fail);
        let offset = row.get(0).map_err(&fail)?;
        let payload = bytes(4)?;
        sink(&LocalMessage {
            partition,
            offset,
            stamp_ms: row.get(1).map_err(&fail)?,
            key: bytes(2)?,
            headers: std::str::from_utf8(bytes(3)?).unwrap_or_default(),
            payload,
        });
        scanned.messages += 1;
        scanned.bytes += payload.len();
        scanned.next = offset + 1;
        if scanned.bytes >= limit.bytes {
            break;
        }
    }
    Ok(scanned)
}
