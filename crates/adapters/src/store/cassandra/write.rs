//! The writing side: the rows of each submitted batch are sorted into unlogged batches of one partition, or of
//! several small ones with the same replicas, which are sent independently. There is no barrier: while some are in
//! flight the next batch is accepted.
//!
//! Transient failures are retried indefinitely, with back-off. So is a batch that the cluster rejects because
//! of the table: the missing or altered column or table is named, and waited for. A batch that can never be
//! accepted is halved until the invalid row is isolated, and only that row is rejected.

use super::cause::{explain, is_invalid};
use super::cql::Cells;
use super::inlined_conditions::{BOUND, Chosen, InlinedConditions, insert};
use super::order::by_partition;
use super::replicas::ReplicaSets;
use super::session::CassandraStore;
use super::{directory, schema};
use crate::store::seen::{BucketEntry, SeenBuckets};
use crossbeam_channel::{Receiver, Sender};
use market::Kind;
use ports::batch::Batch;
use ports::cancel::{Backoff, CancelToken};
use ports::metrics::{METRICS, Port};
use ports::store::{Done, Store, Writer};
use ports::{Error, Result};
use scylla::client::session::Session;
use scylla::errors::ExecutionError;
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

/// Capacity for unread acknowledgements: more than any caller has batches in flight.
const COMPLETIONS: usize = 4_096;

pub(super) struct CassandraWriter {
    shared: Arc<Shared>,
    runtime: Arc<Runtime>,
    done: Receiver<Done>,
}

struct Shared {
    session: Arc<Session>,
    /// By kind.
    inserts: Vec<Insert>,
    /// Enters a bucket in the directory.
    insert_bucket: PreparedStatement,
    seen: Mutex<SeenBuckets>,
    inlined: Arc<InlinedConditions>,
    /// Maximum number of rows in a batch.
    rows: usize,
    /// Whether small partitions may share a batch.
    shares: bool,
    permits: Arc<Semaphore>,
    stop: CancelToken,
    keyspace: String,
    store: String,
    done: Sender<Done>,
    warned: Mutex<Option<std::time::Instant>>,
}

/// The statement of a kind.
struct Insert {
    statement: PreparedStatement,
    /// Batches of that statement by number of rows, created once and shared by all requests.
    batches: Vec<OnceLock<CqlBatch>>,
}

/// The rows of one submitted batch, sorted by partition; shared by its requests and returned by the last.
struct Job {
    batch_id: u64,
    batch: Batch,
    order: Vec<u32>,
    /// A request ended without acknowledgement because of cancellation.
    abandoned: AtomicBool,
    refused: Mutex<Vec<(usize, String)>>,
}

impl CassandraWriter {
    pub(super) fn new(store: &CassandraStore, stop: &CancelToken) -> Result<Self> {
        let (runtime, session) = store.session()?;
        let (sender, done) = crossbeam_channel::bounded(COMPLETIONS);
        let rows = store.batch_rows();
        for table in Kind::ALL.map(Kind::plural).into_iter().chain(["directory"]) {
            let (keyspace, place) = (&store.keyspace, store.describe());
            runtime.block_on(schema::may_write(&session, keyspace, &place, table))?;
        }
        let prepare = |kind: Kind| {
            let text = insert(&store.keyspace, kind, None);
            let mut statement = runtime
                .block_on(session.prepare(text))
                .map_err(|error| explain(&format!("prepare at {}", store.describe()), &error.into()))?;
            statement.set_is_idempotent(true);
            Ok(Insert { statement, batches: (0..=rows).map(|_| OnceLock::new()).collect() })
        };
        let inserts = Kind::ALL.into_iter().map(prepare).collect::<Result<_>>()?;
        let insert_bucket = runtime
            .block_on(directory::prepare_insert(&session, &store.keyspace))
            .map_err(|error| explain(&format!("prepare at {}", store.describe()), &error))?;
        let shared = Shared {
            inlined: Arc::new(InlinedConditions::new(&session, &store.keyspace)),
            session,
            inserts,
            insert_bucket,
            seen: Mutex::default(),
            rows,
            // What Amazon Keyspaces tells of its nodes and tokens is not where rows are.
            shares: !store.is_keyspaces(),
            permits: Arc::new(Semaphore::new(store.settings.in_flight.max(1))),
            stop: stop.clone(),
            keyspace: store.keyspace.clone(),
            store: store.describe(),
            done: sender,
            warned: Mutex::new(None),
        };
        Ok(Self { shared: Arc::new(shared), runtime, done })
    }
}

impl Writer for CassandraWriter {
    fn submit(&mut self, batch_id: u64, batch: Batch) -> Result<()> {
        let mut replicas = ReplicaSets::new(&self.shared.session, &self.shared.keyspace);
        let sorted = by_partition(&batch, |kind, symbol, bucket| {
            self.shared.shares.then(|| replicas.number(kind, symbol, bucket)).flatten()
        });
        let pieces = sorted.pieces(&batch, self.shared.rows);
        let order = sorted.order;
        let unseen = {
            let mut seen = self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.unseen(&batch, order.iter().map(|at| &batch.rows()[*at as usize]))
        };
        let job = Arc::new(Job {
            batch_id,
            batch,
            order,
            abandoned: AtomicBool::new(false),
            refused: Mutex::new(Vec::new()),
        });
        let shared = Arc::clone(&self.shared);
        let whole = Arc::clone(&job);
        // A request needs much memory: only as many are created as may be in flight.
        self.runtime.spawn(async move {
            // Before the rows: the directory never lacks a bucket that has rows which are reported as stored.
            if !unseen.is_empty() && !shared.enter(unseen).await {
                whole.abandoned.store(true, Ordering::Release);
                shared.finish(whole);
                return;
            }
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
        // Ours may be the last reference: the requests can complete before we get here.
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
    Error::internal("the store's runtime has ended")
}

impl Shared {
    fn batch(&self, kind: Kind, rows: usize) -> &CqlBatch {
        let insert = &self.inserts[kind.index()];
        insert.batches[rows].get_or_init(|| {
            let mut batch = CqlBatch::new(BatchType::Unlogged);
            batch.statements = vec![insert.statement.clone().into(); rows];
            batch.set_is_idempotent(true);
            batch
        })
    }

    /// A batch in which some statements have inlined conditions.
    fn mixed(&self, kind: Kind, chosen: &Chosen) -> CqlBatch {
        let bound = &self.inserts[kind.index()].statement;
        let statement = |at: &u8| {
            chosen.known.get(*at as usize).map_or(bound, |(_, inlined_statements)| inlined_statements)
        };
        let mut batch = CqlBatch::new(BatchType::Unlogged);
        batch.statements = chosen.which.iter().map(|at| statement(at).clone().into()).collect();
        batch.set_is_idempotent(true);
        batch
    }

    /// Enters buckets in the directory; returns false if cancelled before it could.
    async fn enter(&self, entries: Vec<BucketEntry>) -> bool {
        let mut backoff = Backoff::default();
        while let Err(error) = directory::insert(&self.session, &self.insert_bucket, &entries).await {
            match schema::problem(&self.session, &self.keyspace, &self.store, Some("directory")).await {
                Ok(Some(problem)) => self.warn(&problem),
                Ok(None) | Err(_) => {
                    self.warn(&explain(&format!("write the directory of {}", self.store), &error));
                }
            }
            let wait = backoff.wait();
            METRICS.retried(Port::Store);
            if self.stop.is_cancelled() && backoff.tries() > 3 {
                return false;
            }
            tokio::time::sleep(wait).await;
        }
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).add(entries);
        true
    }

    /// Writes a piece of a job; returns false if cancelled before it could.
    async fn write(&self, job: &Job, from: u32, to: u32) -> bool {
        let mut pieces = vec![(from, to)];
        let mut backoff = Backoff::default();
        let mut refusals = 0;
        while let Some((from, to)) = pieces.pop() {
            let rows = &job.order[from as usize..to as usize];
            let row = |at: &u32| &job.batch.rows()[*at as usize];
            let kind = row(&rows[0]).kind();
            let conditions = rows.iter().map(|at| job.batch.conditions(row(at)));
            let chosen = self.inlined.choose(kind, conditions);
            let mixed = (!chosen.which.is_empty()).then(|| self.mixed(kind, &chosen));
            let batch = mixed.as_ref().unwrap_or_else(|| self.batch(kind, rows.len()));
            let values = Rows { job, which: &chosen.which, from, to };
            match self.session.batch(batch, values).await {
                Ok(_) => {
                    backoff.reset();
                    refusals = 0;
                }
                Err(error) => {
                    let fault = self.fault(&error, kind).await;
                    if fault == Fault::Row && refusals == 0 {
                        // Retry: the table may have been fixed between the rejection and the check.
                        refusals = 1;
                        pieces.push((from, to));
                    } else if fault == Fault::Row && to - from > 1 {
                        let middle = from + (to - from) / 2;
                        pieces.extend([(from, middle), (middle, to)]);
                    } else if fault == Fault::Row {
                        let row = job.order[from as usize] as usize;
                        let mut refused = job.refused.lock().unwrap_or_else(PoisonError::into_inner);
                        refused.push((row, error.to_string()));
                        refusals = 0;
                    } else {
                        pieces.push((from, to));
                        refusals = 0;
                        let wait = backoff.wait();
                        METRICS.retried(Port::Store);
                        if self.stop.is_cancelled() && backoff.tries() > 3 {
                            return false;
                        }
                        tokio::time::sleep(wait).await;
                    }
                }
            }
        }
        true
    }

    /// Releases a share of the job; the holder of the last one acknowledges the whole batch.
    fn finish(&self, job: Arc<Job>) {
        let Some(job) = Arc::into_inner(job) else { return };
        if !job.abandoned.into_inner() {
            let refused = job.refused.into_inner().unwrap_or_else(PoisonError::into_inner);
            // The receiver is gone only after the whole pipeline.
            let _ = self.done.send(Done { batch_id: job.batch_id, batch: job.batch, refused });
        }
    }

    /// Classifies a rejection. Whatever its message, the table is at fault as long as it does not match.
    async fn fault(&self, error: &ExecutionError, kind: Kind) -> Fault {
        if !is_invalid(error) {
            self.warn(&explain(&format!("write to {}", self.store), error));
            return Fault::Passing;
        }
        let checked =
            match schema::problem(&self.session, &self.keyspace, &self.store, Some(kind.plural())).await {
                Ok(Some(problem)) => Err(problem),
                Ok(None) => {
                    let statement = self.inserts[kind.index()].statement.get_statement();
                    schema::accepts(&self.session, statement, &self.store).await
                }
                Err(problem) => Err(problem),
            };
        match checked {
            Ok(()) => Fault::Row,
            Err(problem) => {
                self.warn(&problem);
                Fault::Passing
            }
        }
    }

    /// Logs why rows wait, at most every ten seconds.
    fn warn(&self, error: &Error) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_none_or(|at| at.elapsed() > Duration::from_secs(10)) {
            tracing::warn!("{error}; records are waiting; writing resumes once this is fixed");
            *warned = Some(std::time::Instant::now());
        }
    }
}

/// Why a batch was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// A row of it can never be stored.
    Row,
    /// The cluster or the table's current state: worth waiting for.
    Passing,
}

/// Serialises the rows of a job straight into the request as the values of a batch.
struct Rows<'j> {
    job: &'j Job,
    /// For each row, its statement with inlined conditions.
    which: &'j [u8],
    from: u32,
    to: u32,
}

impl BatchValues for Rows<'_> {
    type BatchValuesIter<'r>
        = RowsIter<'r>
    where
        Self: 'r;

    fn batch_values_iter(&self) -> RowsIter<'_> {
        RowsIter { job: self.job, which: self.which.iter(), at: self.from, to: self.to }
    }
}

struct RowsIter<'r> {
    job: &'r Job,
    which: std::slice::Iter<'r, u8>,
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
        let inlined_conditions = self.which.next().is_some_and(|at| *at != BOUND);
        Cells(writer).record(&batch.record(row), inlined_conditions, row.stamp_ms);
        Some(Ok(()))
    }

    fn is_empty_next(&mut self) -> Option<bool> {
        self.skip_next().map(|()| false)
    }

    fn skip_next(&mut self) -> Option<()> {
        self.which.next();
        (self.at < self.to).then(|| self.at += 1)
    }
}
