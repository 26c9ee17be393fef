//! The writing side: one thread, each of its transactions takes all batches that are waiting.

use super::read::{quote, trade};
use super::{QUEUE, sql};
use crate::store::seen::{BucketEntry, SeenBuckets};
use crossbeam_channel::{Receiver, Sender};
use market::version::Version;
use market::{Quote, Record, Trade};
use ports::batch::Batch;
use ports::cancel::{Backoff, CancelToken};
use ports::store::{Done, Writer};
use ports::{Error, Result};
use rusqlite::{CachedStatement, Connection, Params, params};
use std::path::Path;
use std::time::Duration;

const INSERT_TRADE: &str = "
INSERT INTO trades VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15) ON CONFLICT DO NOTHING";
const REPLACE_TRADE: &str = "
INSERT OR REPLACE INTO trades VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
const SELECT_TRADE: &str =
    "SELECT * FROM trades WHERE symbol = ? AND ts = ? AND feed = ? AND venue = ? AND id = ?";
const INSERT_QUOTE: &str = "
INSERT INTO quotes VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) ON CONFLICT DO NOTHING";
const REPLACE_QUOTE: &str = "
INSERT OR REPLACE INTO quotes VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
const SELECT_QUOTE: &str = "SELECT * FROM quotes WHERE symbol = ? AND ts = ? AND feed = ? AND seq = ?";

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
    Error::internal("the store's thread ended")
}

impl Writer for SqliteWriter {
    fn submit(&mut self, ticket: u64, batch: Batch) -> Result<()> {
        self.work.send((ticket, batch)).map_err(broken)
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
                    tracing::warn!("{}; trying again", sql(path, "write")(error));
                    if stop.sleep(backoff.wait()) {
                        return;
                    }
                }
            }
        };
        for ((ticket, batch), refused) in waiting.drain(..).zip(refused) {
            if outgoing.send(Done { ticket, batch, refused }).is_err() {
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
        let mut trades = Table::prepare(&tx, [INSERT_TRADE, REPLACE_TRADE, SELECT_TRADE])?;
        let mut quotes = Table::prepare(&tx, [INSERT_QUOTE, REPLACE_QUOTE, SELECT_QUOTE])?;
        let mut scratch = Vec::new();
        for (_, batch) in batches {
            for entry in seen.unseen(batch, batch.rows().iter()) {
                enter(&mut directory, &entry)?;
                entered.push(entry);
            }
            let mut bad = Refused::new();
            for (index, row) in batch.rows().iter().enumerate() {
                let record = batch.record(row);
                let result = match &record {
                    Record::Trade(trade) => write_trade(&mut trades, trade, row.stamp_ms, &mut scratch),
                    Record::Quote(quote) => write_quote(&mut quotes, quote, row.stamp_ms, &mut scratch),
                };
                match result {
                    Ok(()) => {}
                    // The row itself is at fault: too big, or against a constraint.
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

/// Statements of one table: most rows are new, so that the row that is there is read only on a conflict.
struct Table<'c> {
    insert: CachedStatement<'c>,
    replace: CachedStatement<'c>,
    select: CachedStatement<'c>,
}

impl<'c> Table<'c> {
    fn prepare(connection: &'c Connection, [insert, replace, select]: [&str; 3]) -> rusqlite::Result<Self> {
        Ok(Self {
            insert: connection.prepare_cached(insert)?,
            replace: connection.prepare_cached(replace)?,
            select: connection.prepare_cached(select)?,
        })
    }

    /// Inserts a row, or replaces the one of its key if that holds an earlier version.
    fn write(
        &mut self,
        values: impl Params + Copy,
        key: impl Params,
        version: impl FnOnce(&mut Vec<u8>) -> Version,
        stored: impl FnOnce(&rusqlite::Row<'_>, &mut Vec<u8>) -> rusqlite::Result<Version>,
        scratch: &mut Vec<u8>,
    ) -> rusqlite::Result<()> {
        if self.insert.execute(values)? == 1 {
            return Ok(());
        }
        let new = version(scratch);
        // A row that cannot be read was not written by us, and is replaced.
        let old = self.select.query_row(key, |row| Ok(stored(row, scratch).ok()))?;
        if old.is_none_or(|old| new > old) {
            self.replace.execute(values)?;
        }
        Ok(())
    }
}

fn write_trade(
    table: &mut Table<'_>,
    trade: &Trade<&str>,
    stamp_ms: i64,
    scratch: &mut Vec<u8>,
) -> rusqlite::Result<()> {
    let (price, size) = (trade.price.to_string(), trade.size.to_string());
    table.write(
        params![
            trade.symbol,
            trade.ts.0,
            trade.feed,
            trade.venue,
            trade.id,
            price,
            size,
            trade.side.name(),
            trade.conditions,
            trade.tape,
            trade.seq,
            trade.recv_ts.0,
            trade.revision,
            trade.canceled,
            stamp_ms,
        ],
        params![trade.symbol, trade.ts.0, trade.feed, trade.venue, trade.id],
        |scratch| Version::of(&Record::Trade(*trade), stamp_ms, scratch),
        |row, scratch| Ok(Version::of(&Record::Trade(self::trade(row)?), row.get(14)?, scratch)),
        scratch,
    )
}

fn write_quote(
    table: &mut Table<'_>,
    quote: &Quote<&str>,
    stamp_ms: i64,
    scratch: &mut Vec<u8>,
) -> rusqlite::Result<()> {
    let (bid, ask) = (quote.bid.as_ref(), quote.ask.as_ref());
    table.write(
        params![
            quote.symbol,
            quote.ts.0,
            quote.feed,
            quote.seq,
            bid.map(|side| side.price.to_string()),
            bid.map(|side| side.size.to_string()),
            bid.map(|side| side.venue),
            ask.map(|side| side.price.to_string()),
            ask.map(|side| side.size.to_string()),
            ask.map(|side| side.venue),
            quote.conditions,
            quote.recv_ts.0,
            stamp_ms,
        ],
        params![quote.symbol, quote.ts.0, quote.feed, quote.seq],
        |scratch| Version::of(&Record::Quote(*quote), stamp_ms, scratch),
        |row, scratch| Ok(Version::of(&Record::Quote(self::quote(row)?), row.get(12)?, scratch)),
        scratch,
    )
}
