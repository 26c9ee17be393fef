//! Topic to bars. Aggregates trades and quotes into bars on the compacted bars topic and in the bars table;
//! records that arrive after their bars became final go to the late topic with the reason.
//!
//! Bars depend only on the order of each symbol's records, so no state is saved but the topic's own offsets:
//! the loop commits the first offset of the oldest session that may still change, and a restart reads on from
//! there and builds the same bars again. Low watermarks record the final sessions of each series, so that a
//! symbol whose records lie after the committed offset but belong to a finished session does not yield half a
//! bar.

mod bar_writer;
mod gaps;
mod growth;
mod late;
mod moved;
mod rebuild;
mod session;
mod settings;
mod worker;

use bar_writer::{BarWriter, Job};
use crossbeam_channel::{Receiver, Sender};
use gaps::Gaps;
use ports::cancel::{CancelToken, retry};
use ports::metrics::Port;
use ports::store::Store;
use ports::telemetry::Telemetry;
use ports::topic::Topics;
use ports::{Error, Result};
use rustc_hash::FxHashMap;
pub use settings::AggregateSettings;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Instant;
use worker::{AggregationWorker, Revoked};

pub use rebuild::{RebuildReport, rebuild_sessions};

/// Number of bars after which they are written, whatever the time.
const GATHER: usize = 8_192;
/// Maximum number of submitted jobs that are not done.
const AHEAD: usize = 2;
/// Capacity for unread results: more than the jobs that can be in flight.
const RESULTS: usize = 64;

/// Runs until cancelled or, if `until_end` is set, until every message is in its bars, which are then final.
///
/// # Errors
/// A permanent error of topic or store.
pub fn run(
    topics: &dyn Topics,
    store: &dyn Store,
    settings: &AggregateSettings,
    telemetry: &Telemetry,
    stop: &CancelToken,
    until_end: &AtomicBool,
) -> Result<()> {
    let (names, intervals) = (&settings.names, &settings.bars.intervals);
    let producer = retry(stop, Port::Topic, "open a producer", || topics.producer())?;
    let bar_writer = BarWriter { names, intervals, producer, store, telemetry, stop };
    let (work, incoming) = crossbeam_channel::bounded(AHEAD);
    let (outgoing, done) = crossbeam_channel::bounded(RESULTS);
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || bar_writer.run(&incoming, &outgoing));
        let result = make(topics, settings, telemetry, stop, until_end, work, done);
        let kept = thread.join().map_err(|_| Error::internal("the bar writer thread panicked"))?;
        // If both failed, its error is the cause.
        kept.and(result)
    })
}

fn make(
    topics: &dyn Topics,
    settings: &AggregateSettings,
    telemetry: &Telemetry,
    stop: &CancelToken,
    until_end: &AtomicBool,
    work: Sender<Job>,
    done: Receiver<u64>,
) -> Result<()> {
    let records = settings.names.all_records();
    let mut consumer =
        retry(stop, Port::Topic, "open a consumer", || topics.consumer(&settings.group, &records))?;
    let revoked = Arc::new(Revoked::default());
    let hook = Arc::clone(&revoked);
    consumer.on_revoke(Box::new(move |partitions| {
        // The new owner of revoked partitions reads their records again: nothing to commit.
        hook.list.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(partitions);
        hook.any.store(true, Ordering::SeqCst);
        Vec::new()
    }));
    let mut worker = AggregationWorker {
        names: settings.names.all_records(),
        topics,
        settings,
        telemetry,
        cancel: stop,
        parts: FxHashMap::default(),
        conditions: market::policy::ConditionCounts::default(),
        kept: BTreeMap::new(),
        kept_at: 0,
        assignments: consumer.assignments(),
        emitted: BTreeMap::new(),
        late: Vec::new(),
        gaps: retry(stop, Port::Topic, "read the gap ledger", || Gaps::open(topics, &settings.names))?,
        work,
        done,
        jobs_in_flight: VecDeque::new(),
        job_id: 0,
        revoked,
        lossy: FxHashMap::default(),
        sessions: moved::Sessions::default(),
        growth: growth::Growth::default(),
        found: Vec::new(),
    };
    let (mut emitted, mut committed, mut last_record) = (Instant::now(), Instant::now(), Instant::now());
    while !stop.is_cancelled() {
        worker.look_for_growth(&mut *consumer, false)?;
        let fetched = worker.cycle(&mut *consumer)?;
        if fetched > 0 {
            last_record = Instant::now();
            telemetry.mark_bars();
        }
        if emitted.elapsed() >= settings.emit_every {
            worker.emit(last_record.elapsed())?;
            emitted = Instant::now();
        }
        let due = committed.elapsed() >= settings.commit_every;
        if due || worker.emitted.len() >= GATHER || worker.late.len() >= GATHER {
            worker.submit(due)?;
            committed = if due { Instant::now() } else { committed };
        }
        worker.commit(&mut *consumer, false)?;
        if fetched == 0 && until_end.load(Ordering::SeqCst) && worker.at_end(&mut *consumer)? {
            worker.look_for_growth(&mut *consumer, true)?;
            worker.finish()?;
            break;
        }
    }
    telemetry.set_condition_counts(worker.condition_counts());
    worker.submit(true)?;
    worker.commit(&mut *consumer, true)
}
