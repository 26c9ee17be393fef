//! The writing side: the rows of a ticket are sorted into single-partition unlogged batches, which travel
//! independently of each other. There is no barrier: while some are in flight the next ticket is taken.
//!
//! A batch that the cluster does not take now is tried again, with back-off and without end. One that it can never
//! take is halved until the row at fault is alone, and only that row is refused.

use super::cql::{Cells, QUOTE_COLUMNS, TRADE_COLUMNS};
use super::{CassandraStore, explain};
use crate::batch::Batch;
use crate::stop::{Backoff, Stop};
use crate::store::{Done, Store, Writer};
use crate::{Error, Result};
use crossbeam_channel::{Receiver, Sender};
use market::{Kind, Record};
use rustc_hash::FxHashMap;
use scylla::client::session::Session;
use scylla::errors::{DbError, ExecutionError, RequestAttemptError};
use scylla::serialize::SerializationError;
use scylla::serialize::batch::{BatchValues, BatchValuesIterator};
use scylla::serialize::row::RowSerializationContext;
use scylla::serialize::writers::RowWriter;
use scylla::statement::batch::{Batch as CqlBatch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

/// Answers that may wait to be fetched: more than any caller has tickets out.
const ANSWERS: usize = 4_096;
/// Message bytes in one batch at the most.
const BATCH_BYTES: usize = 512 * 1024;

pub(super) struct CassandraWriter {
    shared: Arc<Shared>,
    runtime: Arc<Runtime>,
    done: Receiver<Done>,
}

struct Shared {
    session: Arc<Session>,
    /// Prepared batches by kind and number of rows, made once and shared by all requests.
    batches: [Vec<OnceLock<CqlBatch>>; 2],
    inserts: [PreparedStatement; 2],
    permits: Arc<Semaphore>,
    stop: Stop,
    place: String,
    done: Sender<Done>,
    told: Mutex<Option<std::time::Instant>>,
}

/// One ticket's rows, sorted by partition; shared by its requests, given back by the last.
struct Job {
    ticket: u64,
    batch: Batch,
    order: Vec<u32>,
    /// A request ended without being answered, because of a stop.
    abandoned: AtomicBool,
    refused: Mutex<Vec<(usize, String)>>,
}

impl CassandraWriter {
    pub(super) fn new(store: &CassandraStore, stop: &Stop) -> Result<Self> {
        let (runtime, session) = store.session()?;
        let (sender, done) = crossbeam_channel::bounded(ANSWERS);
        let prepare = |kind: Kind, columns: &str| {
            let marks = vec!["?"; columns.split(',').count()].join(", ");
            let text = format!(
                "INSERT INTO {}.{} ({columns}) VALUES ({marks}) USING TIMESTAMP ?",
                store.keyspace,
                kind.plural()
            );
            runtime
                .block_on(session.prepare(text))
                .map_err(|error| explain(&format!("prepare at {}", store.describe()), &error.into()))
                .map(|mut statement| {
                    statement.set_is_idempotent(true);
                    statement
                })
        };
        let inserts = [prepare(Kind::Trade, TRADE_COLUMNS)?, prepare(Kind::Quote, QUOTE_COLUMNS)?];
        let rows = store.settings.batch_rows.clamp(1, 2_000);
        let sizes = || (0..=rows).map(|_| OnceLock::new()).collect();
        let shared = Shared {
            session,
            batches: [sizes(), sizes()],
            inserts,
            permits: Arc::new(Semaphore::new(store.settings.in_flight.max(1))),
            stop: stop.clone(),
            place: format!("write to {}", store.describe()),
            done: sender,
            told: Mutex::new(None),
        };
        Ok(Self { shared: Arc::new(shared), runtime, done })
    }
}

/// Sorts rows by (kind, symbol, hour), keeping their order within each; returns the sorted indices and the ends of
/// the groups.
fn by_partition(batch: &Batch) -> (Vec<u32>, Vec<u32>) {
    let mut groups: FxHashMap<(Kind, &str, i64), u32> = FxHashMap::default();
    let mut of_row = Vec::with_capacity(batch.len());
    let mut ends: Vec<u32> = Vec::new();
    for row in batch.rows() {
        let next = groups.len() as u32;
        let group = *groups.entry((row.kind, batch.symbol(row), row.ts.hour().0)).or_insert(next);
        if group == next {
            ends.push(0);
        }
        ends[group as usize] += 1;
        of_row.push(group);
    }
    let mut place = Vec::with_capacity(ends.len());
    let mut total = 0;
    for end in &mut ends {
        place.push(total);
        total += *end;
        *end = total;
    }
    let mut order = vec![0; batch.len()];
    for (index, group) in of_row.iter().enumerate() {
        let slot = &mut place[*group as usize];
        order[*slot as usize] = index as u32;
        *slot += 1;
    }
    (order, ends)
}

/// Cuts groups into pieces of at most `rows` rows and [`BATCH_BYTES`] bytes, of about equal length. The first pieces
/// of all groups come first, then the second ones: a partition's writes wait for each other in the server, those of
/// different partitions do not.
fn pieces(batch: &Batch, order: &[u32], ends: &[u32], rows: usize) -> Vec<(u32, u32)> {
    let mut out: Vec<(u32, (u32, u32))> = Vec::with_capacity(ends.len() + order.len() / rows + 1);
    let mut start = 0;
    for &end in ends {
        let count = (end - start) as usize;
        let even = count.div_ceil(count.div_ceil(rows).max(1));
        let (mut from, mut bytes, mut turn) = (start, 0, 0);
        for at in start..end {
            bytes += batch.raw(&batch.rows()[order[at as usize] as usize]).len();
            if at > from && (bytes > BATCH_BYTES || (at - from) as usize == even) {
                out.push((turn, (from, at)));
                turn += 1;
                from = at;
                bytes = 0;
            }
        }
        out.push((turn, (from, end)));
        start = end;
    }
    out.sort_by_key(|(turn, _)| *turn);
    out.into_iter().map(|(_, piece)| piece).collect()
}

impl Writer for CassandraWriter {
    fn submit(&mut self, ticket: u64, batch: Batch) -> Result<()> {
        let (order, ends) = by_partition(&batch);
        let rows = self.shared.batches[0].len() - 1;
        let pieces = pieces(&batch, &order, &ends, rows);
        let job = Arc::new(Job {
            ticket,
            batch,
            order,
            abandoned: AtomicBool::new(false),
            refused: Mutex::new(Vec::new()),
        });
        let shared = Arc::clone(&self.shared);
        let whole = Arc::clone(&job);
        // A request takes much room: only those that may be in flight are made.
        self.runtime.spawn(async move {
            for (from, to) in pieces {
                let Ok(permit) = Arc::clone(&shared.permits).acquire_owned().await else { break };
                let (shared, job) = (Arc::clone(&shared), Arc::clone(&whole));
                tokio::spawn(async move {
                    if !shared.write(&job, from, to).await {
                        job.abandoned.store(true, Ordering::Release);
                    }
                    drop(permit);
                    shared.finish(job);
                });
            }
            shared.finish(whole);
        });
        // Ours may be the last: the requests can be answered before we get here.
        self.shared.finish(job);
        Ok(())
    }

    fn completed(&mut self, wait: Duration) -> Result<Option<Done>> {
        match self.done.recv_timeout(wait) {
            Ok(done) => Ok(Some(done)),
            Err(crossbeam_channel::RecvTimeoutError::Timeout) => Ok(None),
            Err(_) => Err(ended()),
        }
    }
}

fn ended() -> Error {
    Error::internal("the store's runtime ended")
}

impl Shared {
    fn batch(&self, kind: Kind, rows: usize) -> &CqlBatch {
        self.batches[kind as usize][rows].get_or_init(|| {
            let insert = &self.inserts[kind as usize];
            let mut batch = CqlBatch::new(BatchType::Unlogged);
            batch.statements = vec![insert.clone().into(); rows];
            batch.set_is_idempotent(true);
            batch
        })
    }

    /// Writes a piece of a job; false when it was told to stop before it could.
    async fn write(&self, job: &Job, from: u32, to: u32) -> bool {
        let mut pieces = vec![(from, to)];
        let mut backoff = Backoff::default();
        while let Some((from, to)) = pieces.pop() {
            let first = &job.batch.rows()[job.order[from as usize] as usize];
            let values = Rows { job, from, to };
            let batch = self.batch(first.kind, (to - from) as usize);
            match self.session.batch(batch, values).await {
                Ok(_) => backoff.reset(),
                Err(error) if is_poison(&error) && to - from > 1 => {
                    let middle = from + (to - from) / 2;
                    pieces.extend([(from, middle), (middle, to)]);
                }
                Err(error) if is_poison(&error) => {
                    let row = job.order[from as usize] as usize;
                    let mut refused = job.refused.lock().unwrap_or_else(PoisonError::into_inner);
                    refused.push((row, error.to_string()));
                }
                Err(error) => {
                    self.tell(&error);
                    pieces.push((from, to));
                    let wait = backoff.wait();
                    if self.stop.asked() && backoff.tries() > 3 {
                        return false;
                    }
                    tokio::time::sleep(wait).await;
                }
            }
        }
        true
    }

    /// Lets a share of the job go; whoever holds the last one answers for the whole.
    fn finish(&self, job: Arc<Job>) {
        let Some(job) = Arc::into_inner(job) else { return };
        if !job.abandoned.into_inner() {
            let refused = job.refused.into_inner().unwrap_or_else(PoisonError::into_inner);
            // The reader is gone only when the whole pipeline is.
            let _ = self.done.send(Done { ticket: job.ticket, batch: job.batch, refused });
        }
    }

    /// Tells people why rows wait, at most every ten seconds.
    fn tell(&self, error: &ExecutionError) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|at| at.elapsed() > Duration::from_secs(10)) {
            tracing::warn!("{}; trying again", explain(&self.place, error));
            *told = Some(std::time::Instant::now());
        }
    }
}

/// Whether a row itself is at fault, so that trying again can never help.
fn is_poison(error: &ExecutionError) -> bool {
    match error {
        ExecutionError::BadQuery(_)
        | ExecutionError::LastAttemptError(RequestAttemptError::SerializationError(_)) => true,
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(DbError::Invalid, message)) => {
            // A dropped table is nobody's row's fault.
            !message.contains("unconfigured") && !message.contains("does not exist")
        }
        _ => false,
    }
}

/// Rows of a job as the values of a batch, written straight into the request.
struct Rows<'j> {
    job: &'j Job,
    from: u32,
    to: u32,
}

impl BatchValues for Rows<'_> {
    type BatchValuesIter<'r>
        = RowsIter<'r>
    where
        Self: 'r;

    fn batch_values_iter(&self) -> RowsIter<'_> {
        RowsIter { job: self.job, at: self.from, to: self.to }
    }
}

struct RowsIter<'r> {
    job: &'r Job,
    at: u32,
    to: u32,
}

impl<'r> BatchValuesIterator<'r> for RowsIter<'r> {
    fn serialize_next(
        &mut self,
        _: &RowSerializationContext<'_>,
        writer: &mut RowWriter<'_>,
    ) -> Option<std::result::Result<(), SerializationError>> {
        if self.at == self.to {
            return None;
        }
        let batch = &self.job.batch;
        let row = &batch.rows()[self.job.order[self.at as usize] as usize];
        self.at += 1;
        match batch.record(row) {
            Record::Trade(trade) => Cells(writer).trade(&trade, row.stamp_ms),
            Record::Quote(quote) => Cells(writer).quote(&quote, row.stamp_ms),
        }
        Some(Ok(()))
    }

    fn is_empty_next(&mut self) -> Option<bool> {
        self.skip_next().map(|()| false)
    }

    fn skip_next(&mut self) -> Option<()> {
        (self.at < self.to).then(|| self.at += 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Partition;

    fn batch(rows: &[(&str, i64)]) -> Batch {
        let mut batch = Batch::default();
        for (offset, (symbol, hour)) in rows.iter().enumerate() {
            let text = format!(
                r#"{{"symbol":"{symbol}","feed":"f","venue":"P","id":"{offset}","ts":{},"recv_ts":1,"price":"1","size":"1","conditions":[]}}"#,
                hour * market::time::HOUR + 5
            );
            batch
                .push(Kind::Trade, text.as_bytes(), 0, Partition { topic: 0, number: 0 }, offset as i64)
                .unwrap();
        }
        batch
    }

    #[test]
    fn rows_are_grouped_by_partition_in_order() {
        let batch = batch(&[("A", 1), ("B", 1), ("A", 1), ("A", 2), ("B", 1)]);
        let (order, ends) = by_partition(&batch);
        assert_eq!(order, [0, 2, 1, 4, 3]);
        assert_eq!(ends, [2, 4, 5]);
    }

    #[test]
    fn pieces_are_even_and_cover_every_row_once() {
        let batch = batch(&vec![("A", 1); 250]);
        let (order, ends) = by_partition(&batch);
        assert_eq!(pieces(&batch, &order, &ends, 100), [(0, 84), (84, 168), (168, 250)]);
        assert_eq!(pieces(&batch, &order, &ends, 250), [(0, 250)]);
        assert_eq!(pieces(&batch, &order, &ends, 1).len(), 250);
    }
}
