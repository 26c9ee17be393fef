//! Topic to bars. Trades and quotes become bars on the compacted bars topic and in the bars table; records that come
//! when their bars can no longer change go to the late topic with the reason.
//!
//! Bars follow from the order of each symbol's records alone, so nothing of them is kept but the topic's own offsets:
//! committed is the first offset of the oldest session that may still change, and a start reads on from there and makes
//! the same bars again. Sessions that are done with are kept by name (`Needs::floors`), so that a symbol whose records
//! lie after the committed offset but belong to a finished session is not made into half a bar.

mod keeper;

use crate::batch::Partition;
use crate::consume::kind;
use crate::produce::origin;
use crate::stop::Stop;
use crate::store::Store;
use crate::telemetry::Telemetry;
use crate::topic::{Consumer, Fetched, Names, Topics};
use crate::{Error, Result};
use crossbeam_channel::{Receiver, Sender, TryRecvError};
use keeper::{Keeper, Late, Work};
use market::bar::{Aggregator, Bar, Needs, Place, Verdict};
use market::codec::json;
use market::interval::Interval;
use market::{Kind, Record};
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
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
    stop: &Stop,
    until_end: &AtomicBool,
) -> Result<()> {
    let keeper = Keeper { names: &settings.names, producer: topics.producer()?, store, telemetry, stop };
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
    stop: &Stop,
    until_end: &AtomicBool,
    work: Sender<Work>,
    done: Receiver<u64>,
) -> Result<()> {
    let mut consumer = topics.consumer(&settings.group, &settings.names.all_records())?;
    let revoked = Arc::new(Revoked::default());
    let hook = Arc::clone(&revoked);
    consumer.on_revoke(Box::new(move |partitions| {
        // What was read of them is read again by whoever gets them: nothing to commit.
        hook.list.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(partitions);
        hook.any.store(true, Ordering::SeqCst);
        Vec::new()
    }));
    let mut maker = Maker {
        names: settings.names.all_records(),
        topics,
        settings,
        telemetry,
        parts: FxHashMap::default(),
        kept: BTreeMap::new(),
        told: BTreeMap::new(),
        late: Vec::new(),
        work,
        done,
        tickets: VecDeque::new(),
        ticket: 0,
        revoked,
    };
    maker.read_kept()?;
    let (mut told, mut committed, mut heard) = (Instant::now(), Instant::now(), Instant::now());
    while !stop.asked() {
        let fetched = maker.cycle(&mut *consumer)?;
        if fetched > 0 {
            heard = Instant::now();
            telemetry.mark_bars();
        }
        if told.elapsed() >= settings.tell_every {
            maker.tell(heard.elapsed());
            told = Instant::now();
        }
        let due = committed.elapsed() >= settings.commit_every;
        if due || maker.told.len() >= GATHER || maker.late.len() >= GATHER {
            maker.hand_over(due)?;
            committed = if due { Instant::now() } else { committed };
        }
        maker.commit(&mut *consumer, false)?;
        if fetched == 0 && until_end.load(Ordering::SeqCst) && maker.at_end(&mut *consumer)? {
            maker.finish();
            break;
        }
    }
    maker.hand_over(true)?;
    maker.commit(&mut *consumer, true)
}

#[derive(Default)]
struct Revoked {
    any: AtomicBool,
    list: Mutex<Vec<Partition>>,
}

struct Part {
    aggregator: Aggregator,
    next: i64,
    /// What was last kept and committed of it.
    needs: Needs,
    /// Duplicates reported so far.
    duplicates: u64,
}

struct Maker<'a> {
    topics: &'a dyn Topics,
    settings: &'a Settings,
    telemetry: &'a Telemetry,
    /// The topics read.
    names: Vec<String>,
    parts: FxHashMap<Partition, Part>,
    /// Floors by partition, as an earlier run kept them.
    kept: BTreeMap<String, BTreeMap<String, i64>>,
    /// The newest revision of each bar that is to be written.
    told: BTreeMap<(String, Kind, Interval, i64, String), Bar>,
    /// Records for the late topic.
    late: Vec<Late>,
    work: Sender<Work>,
    done: Receiver<u64>,
    /// Offsets to commit once a ticket is done.
    tickets: VecDeque<(u64, Vec<(Partition, i64)>)>,
    ticket: u64,
    revoked: Arc<Revoked>,
}

/// Floors are kept under this and the partition's name.
fn position_name(group: &str, topics: &[String], partition: Partition) -> String {
    format!("bars:{group}:{}", origin(topics, partition, 0).trim_end_matches("@0"))
}

impl Maker<'_> {
    fn read_kept(&mut self) -> Result<()> {
        for (name, bytes) in self.topics.producer()?.positions()? {
            if name.starts_with("bars:") {
                let floors = serde_json::from_slice(&bytes).map_err(|error| {
                    Error::user(format!("the kept position `{name}` cannot be read: {error}"))
                        .hint("another version of tapeline wrote it; use another --group")
                })?;
                self.kept.insert(name, floors);
            }
        }
        Ok(())
    }

    /// Takes what has arrived. Returns how many messages that were.
    fn cycle(&mut self, consumer: &mut dyn Consumer) -> Result<usize> {
        let mut failed = None;
        let mut counts = [0_u64; 3];
        let fetched = consumer.fetch(self.settings.cycle, WAIT, &mut |message| {
            if self.revoked.any.swap(false, Ordering::SeqCst) {
                failed = self.drop_revoked().err();
            }
            if failed.is_none() {
                failed = self.take(message, &mut counts).err();
            }
        })?;
        if self.revoked.any.swap(false, Ordering::SeqCst) {
            self.drop_revoked()?;
        }
        let [aggregated, late, unreadable] = counts;
        let telemetry = self.telemetry;
        telemetry.add(&telemetry.aggregated, aggregated);
        telemetry.add(&telemetry.late, late);
        telemetry.add(&telemetry.unreadable, unreadable);
        failed.map_or(Ok(fetched), Err)
    }

    fn drop_revoked(&mut self) -> Result<()> {
        let lost = std::mem::take(&mut *self.revoked.list.lock().unwrap_or_else(PoisonError::into_inner));
        self.parts.retain(|partition, _| !lost.contains(partition));
        self.tickets.iter_mut().for_each(|(_, offsets)| offsets.retain(|(p, _)| !lost.contains(p)));
        // Another member may have had them in between.
        self.read_kept()
    }

    fn take(&mut self, message: &dyn Fetched, counts: &mut [u64; 3]) -> Result<()> {
        let (partition, offset) = (message.partition(), message.offset());
        let part = match self.parts.get_mut(&partition) {
            Some(part) => part,
            None => {
                let name = position_name(&self.settings.group, &self.names, partition);
                let floors = self.kept.get(&name).cloned().unwrap_or_default();
                let needs = Needs { position: None, floors: floors.clone() };
                let aggregator = Aggregator::new(self.settings.bars.clone()).with_floors(floors);
                self.parts.entry(partition).or_insert(Part { aggregator, next: 0, needs, duplicates: 0 })
            }
        };
        part.next = offset + 1;
        let place = Place { position: offset.unsigned_abs(), stamp_ms: message.stamp_ms() };
        let mut loose = Vec::new();
        let Some(record) = kind(message).ok().and_then(|kind| decode(kind, message.payload(), &mut loose))
        else {
            counts[2] += 1;
            return Ok(());
        };
        counts[0] += 1;
        match part.aggregator.add(&record, place) {
            Verdict::TooLate => {
                counts[1] += 1;
                let behind = part.aggregator.now().saturating_sub(record.ts().0) / 1_000_000_000;
                self.late.push(Late {
                    kind: record.kind(),
                    symbol: (*record.symbol()).to_owned(),
                    reason: format!("{behind} s behind the stream, beyond the horizon of its bars"),
                    origin: origin(&self.names, partition, offset),
                    payload: message.payload().to_vec(),
                    stamp_ms: message.stamp_ms(),
                });
                Ok(())
            }
            Verdict::Duplicate | Verdict::Taken => Ok(()),
        }
    }

    fn tell(&mut self, idle: Duration) {
        // Up to a grace's length the silence may be the network's.
        let idle = i64::try_from(idle.as_nanos())
            .unwrap_or(i64::MAX)
            .saturating_sub(self.settings.bars.grace)
            .max(0);
        let told = &mut self.told;
        for part in self.parts.values_mut() {
            part.aggregator.take(idle, &mut |bar| keep(told, bar));
            let duplicates = part.aggregator.counts().duplicates;
            self.telemetry.add(&self.telemetry.duplicates, duplicates - part.duplicates);
            part.duplicates = duplicates;
        }
    }

    fn finish(&mut self) {
        let told = &mut self.told;
        for part in self.parts.values_mut() {
            part.aggregator.finish(&mut |bar| keep(told, bar));
        }
    }

    /// Hands over what was told; with `commit`, what is to be read again after it is kept. Waits while the keeper is
    /// behind.
    fn hand_over(&mut self, commit: bool) -> Result<()> {
        if commit {
            // What the needs leave out must have been told.
            self.tell(Duration::ZERO);
        }
        self.ticket += 1;
        let mut work = Work {
            ticket: self.ticket,
            late: std::mem::take(&mut self.late),
            bars: std::mem::take(&mut self.told).into_values().collect(),
            floors: Vec::new(),
        };
        let mut offsets = Vec::new();
        for (partition, part) in self.parts.iter_mut().filter(|_| commit) {
            let needs = part.aggregator.needs();
            if needs == part.needs {
                continue;
            }
            if needs.floors != part.needs.floors {
                let name = position_name(&self.settings.group, &self.names, *partition);
                let bytes = serde_json::to_vec(&needs.floors)
                    .map_err(|error| Error::internal(format!("write down floors: {error}")))?;
                work.floors.push((name, bytes));
            }
            let from =
                needs.position.map_or(part.next, |position| i64::try_from(position).unwrap_or(i64::MAX));
            offsets.push((*partition, from));
            part.needs = needs;
        }
        if work.late.is_empty() && work.bars.is_empty() && work.floors.is_empty() && offsets.is_empty() {
            return Ok(());
        }
        self.tickets.push_back((self.ticket, offsets));
        self.work.send(work).map_err(|_| ended())
    }

    /// Commits offsets of what is done; with `wait`, of all that was handed over.
    fn commit(&mut self, consumer: &mut dyn Consumer, wait: bool) -> Result<()> {
        while !self.tickets.is_empty() {
            let done = match (wait, self.done.try_recv()) {
                (_, Ok(done)) => done,
                (true, Err(_)) => self.done.recv().map_err(|_| ended())?,
                (false, Err(TryRecvError::Empty)) => return Ok(()),
                (false, Err(TryRecvError::Disconnected)) => return Err(ended()),
            };
            while self.tickets.front().is_some_and(|(ticket, _)| *ticket <= done) {
                let Some((_, offsets)) = self.tickets.pop_front() else { break };
                match consumer.commit(&offsets, wait) {
                    Err(error) if error.retryable() => {
                        tracing::info!("{error}; what came after the last commit is read again");
                    }
                    other => other?,
                }
            }
        }
        Ok(())
    }

    fn at_end(&self, consumer: &mut dyn Consumer) -> Result<bool> {
        match consumer.ahead(&|partition| self.parts.get(&partition).map(|part| part.next)) {
            Ok(ahead) => Ok(ahead == Some(0)),
            Err(error) if error.retryable() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn ended() -> Error {
    Error::internal("the thread that keeps bars ended")
}

fn keep(told: &mut BTreeMap<(String, Kind, Interval, i64, String), Bar>, bar: Bar) {
    let key = (bar.symbol.clone(), bar.kind, bar.interval, bar.start.0, bar.feed.clone());
    told.insert(key, bar);
}

/// A message's record; what is not in canonical form is brought into it first.
fn decode<'m>(kind: Kind, payload: &'m [u8], loose: &'m mut Vec<u8>) -> Option<Record<&'m str>> {
    match json::decode(kind, payload) {
        Some(record) => Some(record),
        None => {
            json::normalize(kind, payload, loose).ok()?;
            json::decode(kind, loose)
        }
    }
}
