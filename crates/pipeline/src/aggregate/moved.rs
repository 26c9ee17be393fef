//! Finds symbols whose records of one session are in two partitions, as after partitions were added to their topic. Each
//! partition has its own aggregator, so their bars hold the records of only one of the two.

use super::session::{Session, entry, id_of, name_of, session_of};
use market::{Record, UnixNanos};
use ports::batch::Partition;
use ports::gap::{Gap, MOVED};
use ports::topic::Topics;
use rustc_hash::FxHashMap;

/// Sessions begun, with their ends and the partition in which they began.
#[derive(Default)]
pub(super) struct Sessions(FxHashMap<Session, (i64, Partition)>);

/// How many partitions a topic has, and had before some were added.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counts {
    pub(super) before: i32,
    pub(super) now: i32,
}

/// The entry of a session in `partition` if the symbol's records were sent to another one before partitions were added, or are
/// sent to another one since.
fn moving_session(
    (session, end): (&Session, i64),
    (partition, counts): (Partition, Counts),
    topics: &dyn Topics,
    (names, group): (&[String], &str),
) -> Option<Gap> {
    let sent_to = [counts.before, counts.now].map(|count| topics.partition_of(&session.2, count));
    let number = sent_to.into_iter().find(|number| *number != partition.number)?;
    let (here, there) = (name_of(names, partition), name_of(names, Partition { number, ..partition }));
    let cause = format!(
        "partitions were added: records of its session are in {here} and may be in {there}, its bars hold those of one"
    );
    Some(entry(id_of(MOVED, session, group), session, end, cause))
}

/// As [`Sessions::moving`], of the session that a record began.
pub(super) fn moving(
    record: &Record<&str>,
    (start, end): (UnixNanos, UnixNanos),
    place: (Partition, Counts),
    topics: &dyn Topics,
    whose: (&[String], &str),
) -> Option<Gap> {
    moving_session((&session_of(record, start), end.0), place, topics, whose)
}

/// The entry of a session that a record begins in one partition and that another one has had.
pub(super) fn in_both(
    record: &Record<&str>,
    (start, end): (UnixNanos, UnixNanos),
    (first, second): (Partition, Partition),
    names: &[String],
    group: &str,
) -> Gap {
    let (first, second) = (name_of(names, first), name_of(names, second));
    let cause = format!("records of one session are in {first} and in {second}: its bars hold those of one");
    let session = session_of(record, start);
    entry(id_of(MOVED, &session, group), &session, end.0, cause)
}

impl Sessions {
    /// Notes the session that a record began in its partition. Returns an entry for the gap ledger if the session began in
    /// another partition before.
    pub(super) fn begin(
        &mut self,
        record: &Record<&str>,
        (start, end): (UnixNanos, UnixNanos),
        partition: Partition,
        topics: &[String],
        group: &str,
    ) -> Option<Gap> {
        let (_, first) = *self.0.entry(session_of(record, start)).or_insert((end.0, partition));
        (first != partition).then(|| in_both(record, (start, end), (first, partition), topics, group))
    }

    /// Entries of the sessions begun in `partition` whose symbols' records were, or are now, sent to another one.
    pub(super) fn moving(
        &self,
        partition: Partition,
        counts: Counts,
        topics: &dyn Topics,
        names: &[String],
        group: &str,
    ) -> Vec<Gap> {
        let here = self.0.iter().filter(|(_, (_, first))| *first == partition);
        here.filter_map(|(session, (end, _))| {
            moving_session((session, *end), (partition, counts), topics, (names, group))
        })
        .collect()
    }

    /// Forgets the sessions of partitions that another member owns now.
    pub(super) fn forget(&mut self, partitions: &[Partition]) {
        self.0.retain(|_, (_, first)| !partitions.contains(first));
    }

    /// Forgets sessions that ended before `time`: no record of them is expected.
    pub(super) fn forget_before(&mut self, time: i64) {
        self.0.retain(|_, (end, _)| *end >= time);
    }
}
