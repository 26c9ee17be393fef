//! Topic to bars. Trades and quotes become bars on the compacted bars topic and in the bars table; records that come
//! when their bars can no longer change go to the late topic with the reason.
//!
//! Bars follow from the order of each symbol's records alone, so nothing of them is kept but the topic's own offsets:
//! committed is the first offset of the oldest session that may still change, and a start reads on from there and makes
//! the same bars again. Sessions that are done with are kept by name (`Needs::floors`), so that a symbol whose records
//! lie after the committed offset but belong to a finished session is not made into half a bar.

mod gaps;
mod keeper;
mod maker;

use crossbeam_channel::{Receiver, Sender};
use gaps::Gaps;
use keeper::{Keeper, Work};
use maker::{Maker, Revoked};
use ports::cancel::{CancelToken, retry};
use ports::store::Store;
use ports::telemetry::Telemetry;
use ports::topic::{Names, Topics};
use ports::{Error, Result};
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// How to run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The topics.
    pub names: Names,
    /// The consumer group; not the one that stores.
    pub group: String,
    /// How bars are made.
    pub bars: market::bar::Settings,
    /// Records taken in one go.
    pub cycle: usize,
    /// How often what has changed is told.
    pub tell_every: Duration,
    /// How often bars are written and offsets committed.
    pub commit_every: Duration,
}

/// Bars gathered before they are written, whatever the time.
const GATHER: usize = 8_192;
/// Work handed over and not done at the most.
const AHEAD: usize = 2;
/// Answers not looked at yet: more than the work that can be out.
const ANSWERS: usize = 64;
/// How long to wait for messages before other duties are looked after.
const WAIT: Duration = Duration::from_millis(20);

/// Runs until a stop is asked for, or, once `until_end` is set, until every message is in its bars; those are final then.
///
/// # Errors
/// The topic's or the store's, when waiting cannot help.
pub fn run(
    topics: &dyn Topics,
    store: &dyn Store,
    settings: &Settings,
    telemetry: &Telemetry,
    stop: &CancelToken,
    until_end: &AtomicBool,
) -> Result<()> {
    let (names, intervals) = (&settings.names, &settings.bars.intervals);
    let keeper = Keeper { names, intervals, producer: topics.producer()?, store, telemetry, stop };
    let (work, incoming) = crossbeam_channel::bounded(AHEAD);
    let (outgoing, done) = crossbeam_channel::bounded(ANSWERS);
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || keeper.run(&incoming, &outgoing));
        let result = make(topics, settings, telemetry, stop, until_end, work, done);
        let kept = thread.join().map_err(|_| Error::internal("the thread that keeps bars panicked"))?;
        // Its error is the cause where both have one.
        kept.and(result)
    })
}

fn make(
    topics: &dyn Topics,
    settings: &Settings,
    telemetry: &Telemetry,
    stop: &CancelToken,
    until_end: &AtomicBool,
    work: Sender<Work>,
    done: Receiver<u64>,
) -> Result<()> {
    let mut consumer = topics.consumer(&settings.group, &settings.names.market_records())?;
    let revoked = Arc::new(Revoked::default());
    let hook = Arc::clone(&revoked);
    consumer.on_revoke(Box::new(move |partitions| {
        // What was read of them is read again by whoever gets them: nothing to commit.
        hook.list.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(partitions);
        hook.any.store(true, Ordering::SeqCst);
        Vec::new()
    }));
    let mut maker = Maker {
        names: settings.names.market_records(),
        topics,
        settings,
        telemetry,
        cancel: stop,
        parts: FxHashMap::default(),
        conditions: market::policy::ConditionCounts::default(),
        kept: BTreeMap::new(),
        told: BTreeMap::new(),
        late: Vec::new(),
        gaps: retry(stop, "read the gap ledger", || Gaps::open(topics, &settings.names))?,
        work,
        done,
        tickets: VecDeque::new(),
        ticket: 0,
        revoked,
        lossy: FxHashMap::default(),
        found: Vec::new(),
    };
    maker.read_kept()?;
    let (mut told, mut committed, mut heard) = (Instant::now(), Instant::now(), Instant::now());
    while !stop.is_cancelled() {
        let fetched = maker.cycle(&mut *consumer)?;
        if fetched > 0 {
            heard = Instant::now();
            telemetry.mark_bars();
        }
        if told.elapsed() >= settings.tell_every {
            maker.tell(heard.elapsed())?;
            told = Instant::now();
        }
        let due = committed.elapsed() >= settings.commit_every;
        if due || maker.told.len() >= GATHER || maker.late.len() >= GATHER {
            maker.hand_over(due)?;
            committed = if due { Instant::now() } else { committed };
        }
        maker.commit(&mut *consumer, false)?;
        if fetched == 0 && until_end.load(Ordering::SeqCst) && maker.at_end(&mut *consumer)? {
            maker.finish()?;
            break;
        }
    }
    telemetry.set_condition_counts(maker.condition_counts());
    maker.hand_over(true)?;
    maker.commit(&mut *consumer, true)
}
