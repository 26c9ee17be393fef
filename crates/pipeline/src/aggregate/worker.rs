//! Aggregates fetched records into bars, one aggregator per partition, and passes them to the bar writer in
//! emission order.

use super::bar_writer::{Job, Late};
use super::gaps::Gaps;
use super::growth::{self, Growth};
use super::late;
use super::moved::{self, Sessions};
use super::session::position_name;
use super::settings::{AggregateSettings, WAIT};
use crate::consume::kind;
use crossbeam_channel::{Receiver, Sender, TryRecvError};
use market::bar::{Aggregator, Bar, Checkpoint, LowWatermarks, StreamPosition, Verdict, series_name};
use market::codec::json;
use market::interval::Interval;
use market::policy::ConditionCounts;
use market::time::DAY;
use market::{Kind, Record, UnixNanos};
use ports::batch::{MAX_NAME, Partition, check_lengths};
use ports::cancel::{CancelToken, retry};
use ports::gap::{Gap, GapState};
use ports::metrics::Port;
use ports::source::Positions;
use ports::telemetry::Telemetry;
use ports::topic::origin;
use ports::topic::{Consumer, Fetched, Topics};
use ports::{Error, Result};
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

#[derive(Default)]
pub(super) struct Revoked {
    pub(super) any: AtomicBool,
    pub(super) list: Mutex<Vec<Partition>>,
}

pub(super) struct Part {
    aggregator: Aggregator,
    next: i64,
    /// What was last saved and committed of it.
    checkpoint: Checkpoint,
    /// Numbers of duplicates, and of readings without a number, reported so far.
    duplicates: u64,
    not_numeric: u64,
}

pub(super) struct AggregationWorker<'a> {
    pub(super) topics: &'a dyn Topics,
    pub(super) settings: &'a AggregateSettings,
    pub(super) telemetry: &'a Telemetry,
    pub(super) cancel: &'a CancelToken,
    /// The topics read.
    pub(super) names: Vec<String>,
    pub(super) parts: FxHashMap<Partition, Part>,
    /// Why trades set no price, for partitions that other members read now.
    pub(super) conditions: ConditionCounts,
    /// Low watermarks by partition, as saved by an earlier run or another member.
    pub(super) kept: BTreeMap<String, LowWatermarks>,
    /// Number of assignments when they were read, and the number now.
    pub(super) kept_at: u64,
    pub(super) assignments: Arc<AtomicU64>,
    /// The newest revision of each bar to be written.
    pub(super) emitted: BTreeMap<(String, Kind, Interval, i64, String), Bar>,
    /// Records for the late topic.
    pub(super) late: Vec<Late>,
    pub(super) gaps: Gaps,
    pub(super) work: Sender<Job>,
    pub(super) done: Receiver<u64>,
    /// Offsets to commit once a job is done.
    pub(super) jobs_in_flight: VecDeque<(u64, Vec<(Partition, i64)>)>,
    pub(super) job_id: u64,
    pub(super) revoked: Arc<Revoked>,
    /// Partitions that lost messages, with the feeds and symbols seen since.
    pub(super) lossy: FxHashMap<Partition, BTreeSet<(String, String)>>,
    /// Sessions begun in the partitions.
    pub(super) sessions: Sessions,
    /// Partitions added to the topics.
    pub(super) growth: Growth,
    /// Entries for the gap ledger.
    pub(super) found: Vec<Gap>,
}

/// Low watermarks are saved under this prefix and the partition's name.
const LOW_WATERMARKS: &str = "bars:";

impl AggregationWorker<'_> {
    pub(super) fn read_kept(&mut self) -> Result<()> {
        let topics = self.topics;
        let kept =
            retry(self.cancel, Port::Topic, "read saved positions", || topics.producer()?.positions())?;
        for (name, bytes) in kept {
            if name.starts_with(growth::PREFIX) {
                self.growth.restore(name, &bytes)?;
            } else if name.starts_with(LOW_WATERMARKS) {
                let low_watermarks = serde_json::from_slice(&bytes).map_err(|error| {
                    Error::user(format!("the saved position `{name}` is unreadable: {error}"))
                        .hint("another version of tapeline wrote it; use another --group")
                })?;
                self.kept.insert(name, low_watermarks);
            }
        }
        Ok(())
    }

    /// Processes fetched messages. Returns their number.
    pub(super) fn cycle(&mut self, consumer: &mut dyn Consumer) -> Result<usize> {
        let mut failed = None;
        let mut counts = [0_u64; 3];
        let fetched = consumer.fetch(self.settings.cycle, WAIT, &mut |message| {
            if self.revoked.any.load(Ordering::Relaxed) && self.revoked.any.swap(false, Ordering::SeqCst) {
                self.drop_revoked();
            }
            if failed.is_none() {
                failed = self.take(message, &mut counts).err();
            }
        })?;
        if self.revoked.any.swap(false, Ordering::SeqCst) {
            self.drop_revoked();
        }
        for range in consumer.lost() {
            self.telemetry.lost(&range, &self.names);
            self.found.push(Gap::of_lost(&range, &self.names, &self.settings.group));
            self.lossy.entry(range.partition).or_default().clear();
        }
        let [aggregated, late, unreadable] = counts;
        let telemetry = self.telemetry;
        telemetry.add(&telemetry.aggregated, aggregated);
        telemetry.add(&telemetry.late, late);
        telemetry.add(&telemetry.unreadable, unreadable);
        failed.map_or(Ok(fetched), Err)
    }

    fn drop_revoked(&mut self) {
        let lost = std::mem::take(&mut *self.revoked.list.lock().unwrap_or_else(PoisonError::into_inner));
        for partition in &lost {
            if let Some(part) = self.parts.remove(partition) {
                self.conditions.merge(&part.aggregator.condition_counts());
            }
        }
        self.sessions.forget(&lost);
        self.growth.forget(&lost);
        self.jobs_in_flight.iter_mut().for_each(|(_, offsets)| offsets.retain(|(p, _)| !lost.contains(p)));
    }

    fn take(&mut self, message: &dyn Fetched, counts: &mut [u64; 3]) -> Result<()> {
        let (partition, offset) = (message.partition(), message.offset());
        if !self.parts.contains_key(&partition) {
            // Another member may have owned it until now.
            let assignments = self.assignments.load(Ordering::SeqCst);
            if self.kept_at != assignments {
                self.read_kept()?;
                self.kept_at = assignments;
            }
        }
        let part = match self.parts.get_mut(&partition) {
            Some(part) => part,
            None => {
                let (group, names) = (&self.settings.group, &self.names);
                let name = position_name(LOW_WATERMARKS, group, names, partition);
                self.growth.begin(partition, names, group);
                let low_watermarks = self.kept.get(&name).cloned().unwrap_or_default();
                let checkpoint = Checkpoint { position: None, low_watermarks: low_watermarks.clone() };
                let aggregator =
                    Aggregator::new(self.settings.bars.clone()).with_low_watermarks(low_watermarks);
                self.parts.entry(partition).or_insert(Part {
                    aggregator,
                    next: 0,
                    checkpoint,
                    duplicates: 0,
                    not_numeric: 0,
                })
            }
        };
        part.next = offset + 1;
        let place = StreamPosition { position: offset.unsigned_abs(), stamp_ms: message.stamp_ms() };
        let mut loose = Vec::new();
        let record = kind(message).ok().and_then(|kind| decode(kind, message.payload(), &mut loose));
        // What `consume` sends to the dead-letter topic is not aggregated either.
        let fits =
            |record: &Record<&str>| message.payload().len() <= MAX_NAME || check_lengths(record).is_ok();
        let Some(record) = record.filter(fits) else {
            counts[2] += 1;
            return Ok(());
        };
        if record.kind().bars().is_none() {
            return Ok(());
        }
        counts[0] += 1;
        if let Some(met) = self.lossy.get_mut(&partition) {
            let whose = ((*record.feed()).to_owned(), (*record.symbol()).to_owned());
            if met.insert(whose) {
                let gap = after_loss(&record, &origin(&self.names, partition, offset));
                self.gaps.add(&gap)?;
                self.found.push(gap);
            }
        }
        let verdict = part.aggregator.add(&record, place);
        let (entered, missed) = (part.aggregator.entered(), part.aggregator.missed());
        let now = part.aggregator.now();
        if let Some(session) = entered {
            let group = &self.settings.group;
            let stamped = (partition, message.stamp_ms());
            let moved = self
                .sessions
                .begin(&record, session, partition, &self.names, group)
                .or_else(|| self.finished_elsewhere(&record, session, partition))
                .or_else(|| self.growth.check(&record, session, stamped, self.topics, (&self.names, group)));
            if let Some(gap) = moved {
                self.mark(gap)?;
            }
        }
        if let Some(session) = missed {
            let whose = (&*self.names, &*self.settings.group);
            match late::look_up(&record, session, (partition, offset), whose, &self.gaps) {
                late::Session::Rebuilt => return Ok(()),
                late::Session::Marked => {}
                late::Session::New(gap) => {
                    tracing::debug!("{}: {}", gap.symbols.join(", "), gap.cause);
                    self.gaps.add(&gap)?;
                    self.found.push(gap);
                }
            }
        }
        let reason = match verdict {
            Verdict::Duplicate | Verdict::Taken | Verdict::NotAggregated => return Ok(()),
            Verdict::TooLate => {
                self.gaps.too_late(&record);
                let behind = now.saturating_sub(record.ts().0) / 1_000_000_000;
                format!("{behind} s behind the stream, beyond the allowed lateness of its bars")
            }
            // Repeats of known records are ignored, unless they belong to a gap that was fetched.
            Verdict::Past if self.gaps.too_late(&record) => "fetched after its bars were final".to_owned(),
            Verdict::Past => return Ok(()),
        };
        counts[1] += 1;
        self.late.push(Late {
            kind: record.kind(),
            symbol: (*record.symbol()).to_owned(),
            reason,
            origin: origin(&self.names, partition, offset),
            payload: message.payload().to_vec(),
            stamp_ms: message.stamp_ms(),
        });
        Ok(())
    }

    /// Marks the bars of a session that has records in two partitions.
    fn mark(&mut self, gap: Gap) -> Result<()> {
        tracing::warn!("{}: {}; they are marked as incomplete", gap.symbols.join(", "), gap.cause);
        self.gaps.add(&gap)?;
        self.found.push(gap);
        Ok(())
    }

    /// An entry for the gap ledger if another partition has had a session of this series whose bars are final, by the low
    /// watermark that was saved for it.
    fn finished_elsewhere(
        &self,
        record: &Record<&str>,
        session: (UnixNanos, UnixNanos),
        partition: Partition,
    ) -> Option<Gap> {
        let series = series_name(record.kind(), record.feed(), record.symbol());
        let group = &self.settings.group;
        let is_final = |other: Partition| {
            let name = position_name(LOW_WATERMARKS, group, &self.names, other);
            let kept = self.kept.get(&name).and_then(|kept| kept.get(&series));
            kept.is_some_and(|watermark| watermark.time > session.0.0)
        };
        let partitions = 0..self.growth.partitions(partition.topic);
        let others = partitions.map(|number| Partition { number, ..partition });
        let other = others.filter(|other| *other != partition).find(|other| is_final(*other))?;
        Some(moved::in_both(record, session, (other, partition), &self.names, group))
    }

    /// Looks for partitions that were added, now and then and, with `now`, at once.
    pub(super) fn look_for_growth(&mut self, consumer: &mut dyn Consumer, now: bool) -> Result<()> {
        if !now && !self.growth.is_due() {
            return Ok(());
        }
        match self.growth.count(consumer, self.topics, &self.sessions, &self.settings.group) {
            Err(error) if error.retryable() => Ok(()),
            Err(error) => Err(error),
            Ok(found) => found.into_iter().try_for_each(|gap| self.mark(gap)),
        }
    }

    pub(super) fn emit(&mut self, idle: Duration) -> Result<()> {
        self.gaps.read_new()?;
        // Up to the emit delay, the silence may be the network's.
        let idle = i64::try_from(idle.as_nanos())
            .unwrap_or(i64::MAX)
            .saturating_sub(self.settings.bars.emit_delay)
            .max(0);
        let (emitted, gaps, reopened) = (&mut self.emitted, &mut self.gaps, &mut self.found);
        for part in self.parts.values_mut() {
            part.aggregator.take(idle, &mut |bar| keep(emitted, gaps, reopened, bar));
            let (counts, telemetry) = (part.aggregator.counts(), self.telemetry);
            telemetry.add(&telemetry.duplicates, counts.duplicates - part.duplicates);
            telemetry.add(&telemetry.not_numeric, counts.not_numeric - part.not_numeric);
            (part.duplicates, part.not_numeric) = (counts.duplicates, counts.not_numeric);
        }
        Ok(())
    }

    /// Why trades set no price so far: for the summary.
    pub(super) fn condition_counts(&self) -> ConditionCounts {
        let mut counts = self.conditions.clone();
        self.parts.values().for_each(|part| counts.merge(&part.aggregator.condition_counts()));
        counts
    }

    pub(super) fn finish(&mut self) -> Result<()> {
        self.gaps.read_new()?;
        let (emitted, gaps, reopened) = (&mut self.emitted, &mut self.gaps, &mut self.found);
        for part in self.parts.values_mut() {
            part.aggregator.finish(&mut |bar| keep(emitted, gaps, reopened, bar));
        }
        Ok(())
    }

    /// Submits emitted bars; with `commit`, also the positions to resume from once they are durable. Blocks
    /// while the bar writer is behind.
    pub(super) fn submit(&mut self, commit: bool) -> Result<()> {
        if commit {
            // Everything that the checkpoint excludes must have been emitted.
            self.emit(Duration::ZERO)?;
            let oldest = self.parts.values().map(|part| part.aggregator.now()).min();
            self.sessions.forget_before(oldest.unwrap_or(i64::MIN).saturating_sub(2 * DAY));
        }
        self.job_id += 1;
        let mut work = Job {
            job_id: self.job_id,
            late: std::mem::take(&mut self.late),
            bars: std::mem::take(&mut self.emitted).into_values().collect(),
            recheck: std::mem::take(&mut self.gaps.recheck),
            gaps: std::mem::take(&mut self.found),
            ledger: Arc::clone(&self.gaps.ledger),
            low_watermarks: Positions::new(),
        };
        let mut offsets = Vec::new();
        for (partition, part) in self.parts.iter_mut().filter(|_| commit) {
            let checkpoint = part.aggregator.checkpoint();
            if checkpoint == part.checkpoint {
                continue;
            }
            if checkpoint.low_watermarks != part.checkpoint.low_watermarks {
                let name = position_name(LOW_WATERMARKS, &self.settings.group, &self.names, *partition);
                let bytes = serde_json::to_vec(&checkpoint.low_watermarks)
                    .map_err(|error| Error::internal(format!("encode low watermarks: {error}")))?;
                work.low_watermarks.insert(name, bytes);
            }
            let from =
                checkpoint.position.map_or(part.next, |position| i64::try_from(position).unwrap_or(i64::MAX));
            offsets.push((*partition, from));
            part.checkpoint = checkpoint;
        }
        if commit {
            work.low_watermarks.extend(self.growth.changed(&self.names, &self.settings.group)?);
        }
        let nothing =
            work.late.is_empty() && work.bars.is_empty() && work.recheck.is_empty() && work.gaps.is_empty();
        if nothing && work.low_watermarks.is_empty() && offsets.is_empty() {
            return Ok(());
        }
        self.jobs_in_flight.push_back((self.job_id, offsets));
        self.work.send(work).map_err(|_| ended())
    }

    /// Commits the offsets of completed jobs; with `wait`, of all submitted jobs.
    pub(super) fn commit(&mut self, consumer: &mut dyn Consumer, wait: bool) -> Result<()> {
        while !self.jobs_in_flight.is_empty() {
            let done = match (wait, self.done.try_recv()) {
                (_, Ok(done)) => done,
                (true, Err(_)) => self.done.recv().map_err(|_| ended())?,
                (false, Err(TryRecvError::Empty)) => return Ok(()),
                (false, Err(TryRecvError::Disconnected)) => return Err(ended()),
            };
            while self.jobs_in_flight.front().is_some_and(|(job_id, _)| *job_id <= done) {
                let Some((_, offsets)) = self.jobs_in_flight.pop_front() else { break };
                match consumer.commit(&offsets, wait) {
                    Err(error) if error.retryable() => {
                        tracing::info!("{error}; records after the last commit will be read again");
                    }
                    other => other?,
                }
            }
        }
        Ok(())
    }

    pub(super) fn at_end(&self, consumer: &mut dyn Consumer) -> Result<bool> {
        consumer.is_at_end(&|partition| self.parts.get(&partition).map(|part| part.next))
    }
}

/// What may be missing of a symbol if messages of its partition were lost before this record, its first
/// since: at most the day before it, because older bars were final.
fn after_loss(record: &Record<&str>, origin: &str) -> Gap {
    let (feed, symbol, ts) = (*record.feed(), *record.symbol(), record.ts());
    let from = UnixNanos(ts.0.saturating_sub(DAY));
    Gap {
        id: format!("lost|{feed}|{symbol}|{origin}"),
        feed: feed.to_owned(),
        symbols: vec![symbol.to_owned()],
        from: from.to_string(),
        to: Some(ts.to_string()),
        cause: format!("messages of its partition were lost before {origin}"),
        state: GapState::Open,
        proof: None,
        note: None,
        offsets: None,
    }
}

fn ended() -> Error {
    Error::internal("the bar writer thread has ended")
}

fn keep(
    emitted: &mut BTreeMap<(String, Kind, Interval, i64, String), Bar>,
    gaps: &mut Gaps,
    reopened: &mut Vec<Gap>,
    mut bar: Bar,
) {
    gaps.meet(&bar);
    reopened.extend(gaps.reopen(&bar));
    bar.complete = gaps.ledger.complete(&bar);
    let key = (bar.symbol.clone(), bar.kind, bar.interval, bar.start.0, bar.feed.clone());
    emitted.insert(key, bar);
}

/// A message's record; a message not in canonical form is normalised first.
fn decode<'m>(kind: Kind, payload: &'m [u8], loose: &'m mut Vec<u8>) -> Option<Record<&'m str>> {
    match json::decode(kind, payload) {
        Some(record) => Some(record),
        None => {
            json::normalize(kind, payload, loose).ok()?;
            json::decode(kind, loose)
        }
    }
}
