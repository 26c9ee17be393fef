//! Topic to archive: every message in exactly one object, whatever is killed.
//!
//! The archive decides, not the consumer group: where a partition's next range begins is read from the archive's claims
//! ([`layout`]). A range is closed when it has enough records, when the ranges together hold too much memory, or when its
//! first message is old enough, so that a quiet partition is archived too. Closing it takes four steps, each of which may
//! be repeated by anybody:
//!
//! 1. Its claim, named by its first offset, is created. If another claim exists, that one decides where the range ends.
//! 2. Its objects are created. One that exists must have the same content.
//! 3. Its manifest is created.
//! 4. The offset after it is committed. A lost commit costs reading the range again, which is then skipped.
//!
//! Claims and manifests that are missing although the group has read past their ranges are written at the start of a run,
//! and missing objects if the run ends with the topic.
//!
//! A range that is not closed when the loop ends is read again by the next one.
//!
//! [`compact`] merges ranges, [`load`] has a warehouse read them.

mod close;
mod commit;
pub mod compact;
mod complete;
pub mod layout;
pub mod load;
mod range;
pub mod read;
pub mod restore;
mod resume;

use commit::{OTHER_TOPIC, commit};
use ports::archive::Archive;
use ports::batch::Partition;
use ports::cancel::retry;
use ports::gap::Gap;
use ports::metrics::Port;
use ports::telemetry::Telemetry;
use ports::topic::{Consumer, Fetched, LossCause, LostRange, Names, Producer, Topics};
use ports::{CancelToken, Error, Result};
use range::OpenRange;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Settings of a run.
#[derive(Debug, Clone)]
pub struct ArchiveSettings {
    /// Topic names.
    pub names: Names,
    /// The consumer group.
    pub group: String,
    /// Maximum number of messages fetched at once.
    pub cycle: usize,
    /// A range is closed when it has this many messages.
    pub rows: usize,
    /// A range is closed when its first message was read this long ago.
    pub age: Duration,
    /// The largest range is closed when all open ones together hold this many bytes.
    pub memory: usize,
}

/// Result of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ArchiveReport {
    /// Ranges closed.
    pub ranges: u64,
    /// Objects created.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects that a previous attempt had created.
    pub existed: u64,
    /// Records in the ranges closed.
    pub records: u64,
    /// Messages in them that are not records.
    pub unreadable: u64,
    /// Messages read and not archived: the next run reads them again.
    pub open: u64,
    /// Ranges of earlier runs of which objects were written again.
    pub completed: u64,
    /// Ranges of earlier runs that lack something and cannot be completed, one line each.
    pub incomplete: Vec<String>,
}

/// How long to wait for messages before other work is done.
const WAIT: Duration = Duration::from_millis(50);

/// How long entries of the gap ledger may take.
const FLUSH: Duration = Duration::from_secs(30);

/// What is known of the partitions this member owns.
#[derive(Default)]
struct Ranges {
    /// Open ranges of each partition, in order; the last one is being filled.
    open: BTreeMap<Partition, VecDeque<OpenRange>>,
    /// Partitions whose first message, at this offset, came after the expected one.
    jumps: BTreeMap<Partition, i64>,
    /// Those of the previous member: a jump that two members see is confirmed.
    confirmed: BTreeMap<Partition, i64>,
    /// Where partitions resume whose group is behind the archive, to be committed.
    skipped: Vec<(Partition, i64)>,
    /// Ranges that retention removed before they were archived, to be reported.
    lost: Vec<LostRange>,
}

fn lock(ranges: &Mutex<Ranges>) -> MutexGuard<'_, Ranges> {
    ranges.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs until cancelled or, if `until_end` is set, until everything on the topic is archived.
///
/// # Errors
/// A permanent error of topic or archive, or archive and topic do not fit together.
pub fn run(
    topics: &dyn Topics,
    archive: &dyn Archive,
    settings: &ArchiveSettings,
    telemetry: &Arc<Telemetry>,
    stop: &CancelToken,
    until_end: &AtomicBool,
) -> Result<ArchiveReport> {
    let names = settings.names.all_records();
    let ranges: Arc<Mutex<Ranges>> = Arc::default();
    let mut archiver = Archiver {
        archive,
        settings,
        telemetry,
        stop,
        names: &names,
        starts: BTreeMap::new(),
        ledger: retry(stop, Port::Topic, "open a producer", || topics.producer())?,
        report: ArchiveReport::default(),
    };
    archiver.restore_claims(topics)?;
    let lag = archiver.check_positions(topics)?;
    archiver.complete(topics, &lag, until_end.load(Ordering::SeqCst))?;
    loop {
        let mut consumer =
            retry(stop, Port::Topic, "open a consumer", || topics.consumer(&settings.group, &names))?;
        let hook = Arc::clone(&ranges);
        consumer.on_revoke(Box::new(move |partitions| {
            // Whoever owns them next reads them again, from the end of the last range.
            lock(&hook).open.retain(|partition, _| !partitions.contains(partition));
            Vec::new()
        }));
        if !archiver.read(&mut *consumer, &ranges, until_end)? {
            break;
        }
        // A new member reads from the committed offsets.
        let mut ranges = lock(&ranges);
        ranges.open.clear();
        ranges.confirmed = std::mem::take(&mut ranges.jumps);
        drop(ranges);
        archiver.check_positions(topics)?;
    }
    let open = lock(&ranges).open.values().flatten().map(OpenRange::messages).sum::<usize>();
    archiver.report.open = open as u64;
    Ok(archiver.report)
}

struct Archiver<'a> {
    archive: &'a dyn Archive,
    settings: &'a ArchiveSettings,
    telemetry: &'a Arc<Telemetry>,
    stop: &'a CancelToken,
    names: &'a [String],
    /// First offset of each partition's log when it was last checked.
    starts: BTreeMap<Partition, i64>,
    /// For entries of the gap ledger.
    ledger: Box<dyn Producer>,
    report: ArchiveReport,
}

impl Archiver<'_> {
    /// Reads and archives. Returns whether to do so again with a new member of the group.
    fn read(
        &mut self,
        consumer: &mut dyn Consumer,
        ranges: &Mutex<Ranges>,
        until_end: &AtomicBool,
    ) -> Result<bool> {
        while !self.stop.is_cancelled() {
            let mut failed = None;
            let fetched = consumer.fetch(self.settings.cycle, WAIT, &mut |message| {
                if failed.is_none() {
                    failed = self.take(&mut lock(ranges), message).err();
                }
            })?;
            if let Some(error) = failed {
                return Err(error);
            }
            if !lock(ranges).jumps.is_empty() {
                return Ok(true);
            }
            let skipped = std::mem::take(&mut lock(ranges).skipped);
            commit(consumer, &skipped)?;
            let found = std::mem::take(&mut lock(ranges).lost);
            for lost in &found {
                self.report_lost(lost)?;
            }
            for lost in consumer.lost() {
                self.report_lost(&lost)?;
                self.add_lost(&mut lock(ranges), &lost)?;
            }
            self.close_ready(consumer, ranges, false)?;
            if fetched == 0 && until_end.load(Ordering::SeqCst) && self.at_end(consumer, ranges)? {
                self.close_ready(consumer, ranges, true)?;
                if lock(ranges).open.values().flatten().all(OpenRange::is_empty) {
                    return Ok(false);
                }
            }
        }
        Ok(false)
    }

    /// Adds a message to its range.
    fn take(&self, ranges: &mut Ranges, message: &dyn Fetched) -> Result<()> {
        let (partition, offset) = (message.partition(), message.offset());
        if !ranges.open.contains_key(&partition) {
            let Some(open) = self.first_ranges(ranges, partition, offset)? else { return Ok(()) };
            ranges.open.insert(partition, open);
        }
        let Some(open) = ranges.open.get_mut(&partition) else { return Ok(()) };
        let Some(range) = open.back_mut() else { return Ok(()) };
        if offset <= range.last {
            return Ok(());
        }
        if range.is_complete() {
            let mut next = OpenRange::new(range.last + 1, None);
            next.push(message);
            open.push_back(next);
        } else if let Some(end) = range.claimed.filter(|end| offset > *end) {
            return Err(Error::user(format!(
                "{} claims offsets {} to {end} of {}, and the topic has none between {} and {offset}",
                self.archive.describe(),
                range.first,
                self.place(partition),
                range.last
            ))
            .hint(OTHER_TOPIC));
        } else {
            range.push(message);
        }
        Ok(())
    }

    /// Reports messages that can no longer be read, and enters them in the gap ledger.
    fn report_lost(&mut self, lost: &LostRange) -> Result<()> {
        self.telemetry.lost(lost, self.names);
        Gap::of_lost(lost, self.names, &self.settings.group).send(&self.settings.names, &mut *self.ledger)?;
        // Nothing behind the loss is committed before its entry is durable.
        while self.ledger.flush(FLUSH)? > 0 {
            tracing::warn!("waiting for the topic to acknowledge an entry of the gap ledger");
            if self.stop.is_cancelled() {
                return Err(Error::external("the gap ledger did not acknowledge an entry")
                    .hint("the next start finds the same loss again"));
            }
        }
        match lost.cause {
            LossCause::Retention => Ok(()),
            _ => Err(Error::user(lost.describe(self.names)).hint(OTHER_TOPIC)),
        }
    }

    /// `tapeline.trades/3`.
    fn place(&self, partition: Partition) -> String {
        format!("{}/{}", self.names[partition.topic as usize], partition.number)
    }

    /// Closes the ranges that are complete, large or old; all of them if `all`.
    fn close_ready(&mut self, consumer: &mut dyn Consumer, ranges: &Mutex<Ranges>, all: bool) -> Result<()> {
        loop {
            let taken = {
                let mut ranges = lock(ranges);
                let Some(partition) = self.ready(&ranges, all) else { return Ok(()) };
                let range = ranges.open.get_mut(&partition).and_then(VecDeque::pop_front);
                range.map(|range| (partition, range))
            };
            let Some((partition, range)) = taken else { return Ok(()) };
            let next = range.last + 1;
            let rest = self.close(consumer, partition, range)?;
            // The partition may have been revoked meanwhile: then nothing of it is kept.
            if let Some(open) = lock(ranges).open.get_mut(&partition) {
                if let Some(rest) = rest {
                    open.push_front(rest);
                } else if open.is_empty() {
                    open.push_back(OpenRange::new(next, None));
                }
            }
        }
    }

    /// A partition whose first range should be closed.
    fn ready(&self, ranges: &Ranges, all: bool) -> Option<Partition> {
        let first = || {
            ranges.open.iter().filter_map(|(partition, open)| Some((*partition, open.front()?, open.len())))
        };
        let is_ready = |range: &OpenRange, count: usize| {
            let full = range.messages() >= self.settings.rows || range.age() >= self.settings.age;
            !range.is_empty()
                && (range.is_complete() || (range.claimed.is_none() && (count > 1 || all || full)))
        };
        if let Some((partition, ..)) = first().find(|(_, range, count)| is_ready(range, *count)) {
            return Some(partition);
        }
        let memory: usize = ranges.open.values().flatten().map(OpenRange::memory).sum();
        let largest = first().filter(|(_, range, _)| !range.is_empty() && range.claimed.is_none());
        let largest = largest.max_by_key(|(_, range, _)| range.memory());
        largest.filter(|_| memory > self.settings.memory).map(|(partition, ..)| partition)
    }

    /// Whether everything that this member's partitions hold has been read.
    fn at_end(&self, consumer: &mut dyn Consumer, ranges: &Mutex<Ranges>) -> Result<bool> {
        let next: BTreeMap<Partition, i64> = lock(ranges)
            .open
            .iter()
            .filter_map(|(partition, open)| Some((*partition, open.back()?.last + 1)))
            .collect();
        consumer.is_at_end(&|partition| next.get(&partition).copied())
    }
}
