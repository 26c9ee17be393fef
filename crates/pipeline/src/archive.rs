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
//! A range that is not closed when the loop ends is read again by the next one.

pub mod layout;
mod range;
pub mod read;
pub mod restore;

use layout::{Manifest, RangeClaim, RangeName, read_json, to_json};
use market::Kind;
use market::digest::Digest;
use ports::archive::{Archive, Created};
use ports::batch::Partition;
use ports::cancel::retry;
use ports::gap::Gap;
use ports::metrics::Port;
use ports::telemetry::Telemetry;
use ports::topic::{Consumer, Fetched, LossCause, LostRange, Names, Producer, Topics};
use ports::{CancelToken, Error, Result};
use range::{NewObject, OpenRange};
use std::collections::btree_map::Entry;
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
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
}

/// How long to wait for messages before other work is done.
const WAIT: Duration = Duration::from_millis(50);

/// How long entries of the gap ledger may take.
const FLUSH: Duration = Duration::from_secs(30);

const OTHER_TOPIC: &str = "the topic was deleted and created again, or is not the one that was archived: archive to a new \
                           folder or prefix";

const INCOMPLETE: &str = "archive to a new folder or prefix; the old one can still be read and restored";

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
        ledger: topics.producer()?,
        report: ArchiveReport::default(),
    };
    loop {
        archiver.check_positions(topics)?;
        let mut consumer = topics.consumer(&settings.group, &names)?;
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
    }
    let open = lock(&ranges).open.values().flatten().map(OpenRange::messages).sum::<usize>();
    archiver.report.open = open as u64;
    Ok(archiver.report)
}

/// The claim of a partition's last range.
fn last_claim(
    archive: &dyn Archive,
    topic: &str,
    partition: i32,
    stop: &CancelToken,
) -> Result<Option<RangeClaim>> {
    let claims = retry(stop, Port::Archive, "list the archive", || {
        archive.list(&RangeName::claims(topic, partition))
    })?;
    match claims.last() {
        Some(claim) => read_json(archive, &claim.name, stop),
        None => Ok(None),
    }
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
    /// The archive decides where reading resumes; a group or a topic that cannot continue from there is an error.
    fn check_positions(&mut self, topics: &dyn Topics) -> Result<()> {
        let group = &self.settings.group;
        let doing = "read the positions of the group";
        for found in retry(self.stop, Port::Topic, doing, || topics.partition_lag(group, self.names))? {
            let place = format!("{}/{}", found.topic, found.partition);
            let topic = self.names.iter().position(|name| *name == found.topic).unwrap_or(0) as u16;
            self.starts.insert(Partition { topic, number: found.partition }, found.start);
            let claim = last_claim(self.archive, &found.topic, found.partition, self.stop)?;
            let Some(next) = claim.map(|claim| claim.last + 1) else {
                let committed = found.committed.filter(|committed| *committed > found.start);
                if let Some(committed) = committed {
                    return Err(self.ahead_of_archive(&place, committed, "nothing of it"));
                }
                continue;
            };
            if next > found.end {
                return Err(Error::user(format!(
                    "{} holds {place} up to offset {}, and the topic ends at {}",
                    self.archive.describe(),
                    next - 1,
                    found.end
                ))
                .hint(OTHER_TOPIC));
            }
            if let Some(committed) = found.committed.filter(|committed| *committed > next) {
                return Err(self.ahead_of_archive(
                    &place,
                    committed,
                    &format!("it up to offset {}", next - 1),
                ));
            }
        }
        Ok(())
    }

    fn ahead_of_archive(&self, place: &str, committed: i64, held: &str) -> Error {
        Error::user(format!(
            "group {} has read {place} up to offset {}, and {} holds {held}",
            self.settings.group,
            committed - 1,
            self.archive.describe()
        ))
        .hint("read the topic again with a new group, which skips what is archived: --group NAME")
    }

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

    /// The ranges of a partition whose first message has this offset. `None` if a new member must confirm that there is no
    /// message before it.
    ///
    /// Kafka's offsets have gaps, of transaction markers for one. But a message that was fetched before the partition was
    /// revoked may arrive after it was assigned again, when those before it are forgotten.
    fn first_ranges(
        &self,
        ranges: &mut Ranges,
        partition: Partition,
        offset: i64,
    ) -> Result<Option<VecDeque<OpenRange>>> {
        let topic = &self.names[partition.topic as usize];
        let confirmed = ranges.confirmed.get(&partition) == Some(&offset);
        let claim = last_claim(self.archive, topic, partition.number, self.stop)?;
        // Whether the last claimed range has no manifest.
        let mut begun = None;
        let expected = match &claim {
            None => 0,
            Some(claim) => {
                let (topic, number) = (topic.clone(), partition.number);
                let range = RangeName { topic, partition: number, first: claim.first, last: claim.last };
                match read_json::<Manifest>(self.archive, &range.manifest(), self.stop)? {
                    Some(_) => claim.last + 1,
                    None => begun.insert(claim).first,
                }
            }
        };
        if offset > expected && !confirmed {
            ranges.jumps.entry(partition).or_insert(offset);
            return Ok(None);
        }
        if offset < expected {
            ranges.skipped.push((partition, expected));
        }
        if claim.is_none() {
            // The first range of a partition begins with its first message.
            return Ok(Some(VecDeque::from([OpenRange::new(offset, None)])));
        }
        let start = self.starts.get(&partition).copied().unwrap_or(expected).min(offset);
        if let Some(claim) = begun {
            let open = match &claim.lost {
                Some(why) => OpenRange::lost(claim.first, claim.last, why.clone()),
                None if start > expected => {
                    return Err(Error::user(format!(
                        "{}: offsets {expected} to {} of a range that was not completed are gone",
                        self.place(partition),
                        start - 1
                    ))
                    .hint(INCOMPLETE));
                }
                None => OpenRange::new(claim.first, Some(claim.last)),
            };
            return Ok(Some(VecDeque::from([open])));
        }
        if start <= expected {
            return Ok(Some(VecDeque::from([OpenRange::new(expected, None)])));
        }
        let cause = LossCause::Retention;
        ranges.lost.push(LostRange { partition, from: expected, to: Some(start), resume: start, cause });
        let lost = OpenRange::lost(expected, start - 1, cause.describe().to_owned());
        Ok(Some(VecDeque::from([lost, OpenRange::new(start, None)])))
    }

    /// Reports messages that can no longer be read, and enters them in the gap ledger.
    fn report_lost(&mut self, lost: &LostRange) -> Result<()> {
        self.telemetry.lost(lost, self.names);
        Gap::of_lost(lost, self.names, &self.settings.group).send(&self.settings.names, &mut *self.ledger)?;
        if self.ledger.flush(FLUSH)? > 0 {
            return Err(Error::external("the gap ledger did not acknowledge an entry"));
        }
        match lost.cause {
            LossCause::Retention => Ok(()),
            _ => Err(Error::user(lost.describe(self.names)).hint(OTHER_TOPIC)),
        }
    }

    /// Adds messages that can no longer be read, as a range without objects.
    fn add_lost(&self, ranges: &mut Ranges, lost: &LostRange) -> Result<()> {
        let topic = &self.names[lost.partition.topic as usize];
        if let Entry::Vacant(entry) = ranges.open.entry(lost.partition) {
            let claim = last_claim(self.archive, topic, lost.partition.number, self.stop)?;
            let first = claim.map_or(lost.from, |claim| claim.last + 1);
            entry.insert(VecDeque::from([OpenRange::new(first, None)]));
        }
        let Some(open) = ranges.open.get_mut(&lost.partition) else { return Ok(()) };
        let Some(range) = open.back_mut() else { return Ok(()) };
        if range.claimed.is_some_and(|end| range.last < end) {
            return Err(Error::user(format!(
                "{}: the messages belong to a range that was not completed",
                lost.describe(self.names)
            ))
            .hint(INCOMPLETE));
        }
        if lost.resume > range.last + 1 {
            let first = range.last + 1;
            if range.is_empty() {
                open.pop_back();
            }
            open.push_back(OpenRange::lost(first, lost.resume - 1, lost.cause.describe().to_owned()));
        }
        Ok(())
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

    /// Archives a range. Returns what is left of it: the messages beyond its claim, or all of them if the claim reaches
    /// further than what was read.
    fn close(
        &mut self,
        consumer: &mut dyn Consumer,
        partition: Partition,
        mut open: OpenRange,
    ) -> Result<Option<OpenRange>> {
        let topic = self.names[partition.topic as usize].clone();
        let mut rest = None;
        if open.claimed.is_none() {
            let claim = self.claim(&topic, partition.number, &open)?;
            open.claimed = Some(claim.last);
            if claim.lost != open.lost {
                return Err(Error::user(format!(
                    "{}: another process archived the range from offset {} with other messages",
                    self.place(partition),
                    open.first
                ))
                .hint("start `tapeline archive` again"));
            }
            if claim.last > open.last {
                return Ok(Some(open));
            }
            if claim.last < open.last {
                rest = Some(open.split(claim.last));
            }
        }
        let range = RangeName { topic, partition: partition.number, first: open.first, last: open.last };
        let mut objects = Vec::new();
        for object in open.objects(&range)? {
            objects.push(self.create(object)?);
        }
        let manifest = open.manifest(&range, objects);
        let text = to_json(&manifest)?;
        let created = retry(self.stop, Port::Archive, "write the archive", || {
            self.archive.create(&range.manifest(), &text)
        })?;
        if created == Created::Existed {
            let found: Option<Manifest> = read_json(self.archive, &range.manifest(), self.stop)?;
            if found.as_ref() != Some(&manifest) {
                return Err(differs(&range.manifest(), self.archive));
            }
        }
        self.report.ranges += 1;
        self.report.unreadable += manifest.unreadable;
        let records: u64 = manifest.objects.iter().map(|object| object.rows).sum();
        self.report.records += records;
        self.telemetry.add(&self.telemetry.stored, records);
        tracing::info!(range = range.describe(), records, "range archived");
        commit(consumer, &[(partition, range.last + 1)])?;
        Ok(rest)
    }

    /// Claims the range as far as it was read, or returns the claim that exists.
    fn claim(&self, topic: &str, partition: i32, open: &OpenRange) -> Result<RangeClaim> {
        let claim = RangeClaim { first: open.first, last: open.last, lost: open.lost.clone() };
        let (name, text) = (RangeName::claim(topic, partition, open.first), to_json(&claim)?);
        if retry(self.stop, Port::Archive, "write the archive", || self.archive.create(&name, &text))?
            == Created::New
        {
            return Ok(claim);
        }
        read_json(self.archive, &name, self.stop)?.ok_or_else(|| {
            Error::user(format!("{name} in {} was deleted while it was read", self.archive.describe()))
        })
    }

    /// Creates an object. One that a previous attempt created must hold the same records; its bytes may differ if another
    /// version of this program wrote them.
    fn create(&mut self, object: NewObject) -> Result<layout::ArchiveObject> {
        let NewObject { mut about, bytes } = object;
        let name = about.name.clone();
        let created =
            retry(self.stop, Port::Archive, "write the archive", || self.archive.create(&name, &bytes))?;
        if created == Created::New {
            self.report.objects += 1;
            self.report.bytes += about.bytes;
            return Ok(about);
        }
        self.report.existed += 1;
        let found = retry(self.stop, Port::Archive, "read the archive", || self.archive.read(&name))?;
        let found = found.ok_or_else(|| differs(&name, self.archive))?;
        if found != bytes {
            let kind: Kind = about.kind.parse().map_err(Error::internal)?;
            let (mut digest, mut scratch) = (Digest::default(), Vec::new());
            let (length, hash) = (found.len() as u64, layout::sha256(&found));
            let rows =
                columnar::read::records(kind, found, &mut |record, _| digest.add(record, &mut scratch));
            if rows.ok() != Some(about.rows) || digest.to_string() != about.fingerprint {
                return Err(differs(&name, self.archive));
            }
            (about.bytes, about.sha256) = (length, hash);
        }
        Ok(about)
    }

    /// Whether everything that this member's partitions hold has been read.
    fn at_end(&self, consumer: &mut dyn Consumer, ranges: &Mutex<Ranges>) -> Result<bool> {
        let next: BTreeMap<Partition, i64> = lock(ranges)
            .open
            .iter()
            .filter_map(|(partition, open)| Some((*partition, open.back()?.last + 1)))
            .collect();
        match consumer.ahead(&|partition| next.get(&partition).copied()) {
            Ok(ahead) => Ok(ahead == Some(0)),
            Err(error) if error.retryable() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Commits offsets. A refused commit costs reading messages again, which are then skipped.
fn commit(consumer: &mut dyn Consumer, offsets: &[(Partition, i64)]) -> Result<()> {
    match consumer.commit(offsets, true) {
        Err(error) if error.retryable() => {
            tracing::info!("{error}; what is archived is skipped when it is read again");
            Ok(())
        }
        other => other,
    }
}

fn differs(name: &str, archive: &dyn Archive) -> Error {
    Error::user(format!("{name} exists in {} with other content", archive.describe())).hint(OTHER_TOPIC)
}
