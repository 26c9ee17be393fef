//! The appending side in SQLite.

use super::cause::{missing, sql};
use super::write_queue::{WriteQueue, WriteTurn};
use ports::Result;
use ports::source::Positions;
use ports::topic::{Message, Producer};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Maximum age of an open transaction: it blocks other writers, and its messages are not visible yet.
const OPEN: Duration = Duration::from_millis(20);
/// Messages appended before a transaction is committed.
const APPEND: usize = 8_192;

struct LocalTopic {
    id: i64,
    partitions: i32,
    /// Next offset of each partition, valid inside a transaction.
    next: Vec<i64>,
}

pub(super) struct LocalProducer {
    connection: Connection,
    path: PathBuf,
    topics: BTreeMap<String, LocalTopic>,
    pending: usize,
    opened: Instant,
    write_queue: Arc<WriteQueue>,
    /// State of the open transaction.
    held: Option<WriteTurn>,
}

impl LocalProducer {
    pub(super) fn new(connection: Connection, path: &Path, write_queue: &Arc<WriteQueue>) -> Self {
        Self {
            connection,
            path: path.to_owned(),
            write_queue: Arc::clone(write_queue),
            held: None,
            topics: BTreeMap::new(),
            pending: 0,
            opened: Instant::now(),
        }
    }

    /// Takes the write lock and rereads offsets that other processes may have advanced.
    fn begin(&mut self) -> Result<()> {
        let held = self.write_queue.take();
        self.connection.execute_batch("BEGIN IMMEDIATE").map_err(sql(&self.path, "begin appending"))?;
        self.held = Some(held);
        self.topics.clear();
        Ok(())
    }

    fn look_up(&mut self, name: &str) -> Result<()> {
        let fail = sql(&self.path, "look up a topic");
        let found: Option<(i64, i32)> = self
            .connection
            .query_row("SELECT id, partitions FROM topics WHERE name = ?", [name], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()
            .map_err(&fail)?;
        let (id, partitions) = found.ok_or_else(|| missing(name, &self.path))?;
        let next = (0..partitions)
            .map(|number| {
                self.connection
                    .query_row(
                        "SELECT coalesce(max(offset) + 1, 0) FROM messages WHERE topic = ? AND number = ?",
                        [id, i64::from(number)],
                        |row| row.get(0),
                    )
                    .map_err(&fail)
            })
            .collect::<Result<_>>()?;
        self.topics.insert(name.to_owned(), LocalTopic { id, partitions, next });
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        if self.pending > 0 {
            self.connection.execute_batch("COMMIT").map_err(sql(&self.path, "append"))?;
            self.pending = 0;
            self.held = None;
        }
        Ok(())
    }
}

impl Producer for LocalProducer {
    fn send(&mut self, message: &Message<'_>) -> Result<()> {
        if self.pending == 0 {
            self.begin()?;
            self.pending = 1;
            self.opened = Instant::now();
        }
        if !self.topics.contains_key(message.topic) {
            self.look_up(message.topic)?;
        }
        let Some(topic) = self.topics.get_mut(message.topic) else { return Ok(()) };
        let number = partition_of(message.key.as_bytes(), topic.partitions);
        let slot = &mut topic.next[number as usize];
        let mut headers = String::with_capacity(64);
        for (name, value) in message.headers {
            let value = String::from_utf8_lossy(value);
            headers.push_str(&format!("{name}={}:{value}", value.len()));
        }
        let fail = sql(&self.path, "append");
        self.connection
            .prepare_cached("INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?)")
            .map_err(&fail)?
            .execute(params![
                topic.id,
                number,
                *slot,
                message.stamp_ms,
                message.key,
                headers,
                message.payload
            ])
            .map_err(&fail)?;
        *slot += 1;
        self.pending += 1;
        if self.pending > APPEND {
            self.close()?;
        }
        Ok(())
    }

    fn rest(&mut self) -> Result<()> {
        if self.opened.elapsed() >= OPEN { self.close() } else { Ok(()) }
    }

    fn flush(&mut self, _deadline: Duration) -> Result<usize> {
        self.close()?;
        Ok(0)
    }

    fn save_positions(&mut self, positions: &Positions) -> Result<()> {
        if positions.is_empty() {
            return Ok(());
        }
        if self.pending == 0 {
            self.begin()?;
            self.pending = 1;
            self.opened = Instant::now();
        }
        for (source, position) in positions {
            self.connection
                .prepare_cached("INSERT OR REPLACE INTO positions VALUES (?, ?)")
                .and_then(|mut insert| insert.execute(params![source, position]))
                .map_err(sql(&self.path, "save the source's position"))?;
        }
        self.close()
    }

    fn positions(&mut self) -> Result<Positions> {
        let fail = sql(&self.path, "read positions");
        let mut statement =
            self.connection.prepare("SELECT source, position FROM positions").map_err(&fail)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).map_err(&fail)?;
        rows.map(|row| row.map_err(&fail)).collect()
    }
}

/// FNV-1a: maps a key to its partition. It must never change, because a symbol must stay in its partition.
pub(super) fn partition_of(key: &[u8], partitions: i32) -> i32 {
    let hash = key.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (hash % u64::from(partitions.unsigned_abs().max(1))) as i32
}
