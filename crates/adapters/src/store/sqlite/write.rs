//! The writing side: one thread, each of its transactions takes all batches that are waiting.

use super::cause::sql;
use super::table;
use crate::store::seen::{BucketEntry, SeenBuckets};
use crossbeam_channel::{Receiver, Sender};
use market::table::Table;
use market::version::Version;
use market::{Kind, Record};
use ports::batch::Batch;
use ports::cancel::{Backoff, CancelToken};
use ports::metrics::{METRICS, Port};
use ports::store::{Done, Writer};
use ports::{Error, Result};
use rusqlite::{CachedStatement, Connection, params};
use std::path::Path;
use std::time::Duration;

/// Batches queued for the writing thread.
const QUEUE: usize = 64;

/// Enters a bucket in the directory.
const INSERT_BUCKET: &str = "
INSERT INTO directory (kind, symbol, feed, first, last) VALUES (?1, ?2, ?3, ?4, ?4)
ON CONFLICT DO UPDATE SET first = min(first, excluded.first), last = max(last, excluded.last)";

pub(super) struct SqliteWriter {
    work: Sender<(u64, Batch)>,
    done: Receiver<Done>,
}

impl SqliteWriter {
    pub(super) fn start(connection: Connection, path: &Path, stop: &CancelToken) -> Result<Self> {
        let (work, incoming) = crossbeam_channel::bounded(QUEUE);
        let (outgoing, done) = crossbeam_channel::bounded(QUEUE);
        let (path, stop) = (path.to_owned(), stop.clone());
        std::thread::Builder::new()
            .name("sqlite-store".to_owned())
            .spawn(move || write_all(&connection, &path, &stop, &incoming, &outgoing))
            .map_err(|error| Error::internal(format!("start the store's thread: {error}")))?;
        Ok(Self { work, done })
    }
}

fn broken<T>(_: T) -> Error {
    Error::internal("the store's thread has ended")
}

impl Writer for SqliteWriter {
    fn submit(&mut self, batch_id: u64, batch: Batch) -> Result<()> {
        self.work.send((batch_id, batch)).map_err(broken)
    }

    fn completed(&mut self, wait: Duration) -> Result<Option<Done>> {
        match self.done.recv_timeout(wait) {
            Ok(done) => Ok(Some(done)),
            Err(crossbeam_channel::RecvTimeoutError::Timeout) => Ok(None),
            Err(error) => Err(broken(error)),
        }
    }
}

fn write_all(
    connection: &Connection,
    path: &Path,
    stop: &CancelToken,
    incoming: &Receiver<(u64, Batch)>,
    outgoing: &Sender<Done>,
) {
    let mut waiting: Vec<(u64, Batch)> = Vec::new();
    let mut seen = SeenBuckets::default();
    while let Ok(first) = incoming.recv() {
        waiting.push(first);
        waiting.extend(incoming.try_iter().take(QUEUE / 2));
        let mut backoff = Backoff::default();
        let refused = loop {
            match write(connection, &waiting, &mut seen) {
                Ok(refused) => break refused,
                Err(error) => {
                    // The guard has rolled the transaction back; all of it is written again.
                    METRICS.retried(Port::Store);
                    tracing::warn!("{}; retrying", sql(path, "write")(error));
                    if stop.sleep(backoff.wait()) {
                        return;
                    }
                }
            }
        };
        for ((batch_id, batch), refused) in waiting.drain(..).zip(refused) {
            if outgoing.send(Done { batch_id, batch, refused }).is_err() {
                return;
            }
        }
    }
}

type Refused = Vec<(usize, String)>;

/// Writes all batches in one transaction.
fn write(
    connection: &Connection,
    batches: &[(u64, Batch)],
    seen: &mut SeenBuckets,
) -> rusqlite::Result<Vec<Refused>> {
    let tx = rusqlite::Transaction::new_unchecked(connection, rusqlite::TransactionBehavior::Immediate)?;
    let mut refused = Vec::with_capacity(batches.len());
    let mut entered = Vec::new();
    {
        let mut directory = tx.prepare_cached(INSERT_BUCKET)?;
        let mut tables = Vec::with_capacity(Kind::COUNT);
        for kind in Kind::ALL {
            tables.push(TableWriter::prepare(&tx, kind)?);
        }
        let mut scratch = Vec::new();
        for (_, batch) in batches {
            for entry in seen.unseen(batch, batch.rows().iter()) {
                enter(&mut directory, &entry)?;
                entered.push(entry);
            }
            let mut bad = Refused::new();
            for (index, row) in batch.rows().iter().enumerate() {
                let table = &mut tables[row.kind().index()];
                match table.write(&batch.record(row), row.stamp_ms, &mut scratch) {
                    Ok(()) => {}
                    // The row itself is invalid: too large, or it violates a constraint.
                    Err(error)
                        if matches!(
                            error.sqlite_error_code(),
                            Some(rusqlite::ErrorCode::TooBig | rusqlite::ErrorCode::ConstraintViolation)
                        ) =>
                    {
                        bad.push((index, error.to_string()));
                    }
                    Err(error) => return Err(error),
                }
            }
            refused.push(bad);
        }
    }
    tx.commit()?;
    // Only what is committed: a transaction that is rolled back is written again as a whole.
    seen.add(entered);
    Ok(refused)
}

fn enter(directory: &mut CachedStatement<'_>, entry: &BucketEntry) -> rusqlite::Result<()> {
    let BucketEntry { kind, symbol, feed, start } = entry;
    directory.execute(params![kind.name(), symbol, feed, start.0]).map(drop)
}

/// Statements of one table: most rows are new, so an existing row is read only on a conflict.
struct TableWriter<'c> {
    kind: Kind,
    table: &'static Table,
    insert: CachedStatement<'c>,
    replace: CachedStatement<'c>,
    select: CachedStatement<'c>,
}

impl<'c> TableWriter<'c> {
    fn prepare(connection: &'c Connection, kind: Kind) -> rusqlite::Result<Self> {
        let table = kind.table();
        Ok(Self {
            kind,
            table,
            insert: connection.prepare_cached(&table::insert(table))?,
            replace: connection.prepare_cached(&table::replace(table))?,
            select: connection.prepare_cached(&table::select_row(table))?,
        })
    }

    /// Inserts a row, or replaces the existing row if that holds an earlier version.
    fn write(&mut self, record: &Record<&str>, stamp_ms: i64, scratch: &mut Vec<u8>) -> rusqlite::Result<()> {
        if execute(self.table, &mut self.insert, record, stamp_ms, scratch)? == 1 {
            return Ok(());
        }
        let new = Version::of(record, stamp_ms, scratch);
        // An unreadable row was not written by Tapeline, and is replaced.
        if self.stored(record, scratch)?.is_none_or(|old| new > old) {
            execute(self.table, &mut self.replace, record, stamp_ms, scratch)?;
        }
        Ok(())
    }

    /// The version of the row that has a record's key, if it can be read.
    fn stored(&mut self, record: &Record<&str>, scratch: &mut Vec<u8>) -> rusqlite::Result<Option<Version>> {
        for (index, column) in (1..).zip(table::key(self.table)) {
            table::bind(&mut self.select, index, (column.get)(record), scratch)?;
        }
        let mut rows = self.select.raw_query();
        let Some(row) = rows.next()? else { return Ok(None) };
        let stamp_ms = row.get(self.table.columns.len())?;
        let mut text = String::new();
        let stored = table::record(self.kind, row, &mut text).ok();
        Ok(stored.map(|stored| Version::of(&stored, stamp_ms, scratch)))
    }
}

fn execute(
    table: &Table,
    statement: &mut CachedStatement<'_>,
    record: &Record<&str>,
    stamp_ms: i64,
    scratch: &mut Vec<u8>,
) -> rusqlite::Result<usize> {
    for (index, column) in (1..).zip(table.columns) {
        table::bind(statement, index, (column.get)(record), scratch)?;
    }
    statement.raw_bind_parameter(table.columns.len() + 1, stamp_ms)?;
    statement.raw_execute()
}
