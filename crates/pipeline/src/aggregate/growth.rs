//! Notices partitions that were added to a topic of records. A symbol may move to one of them while another member of the
//! group reads it, so each member finds the sessions that may be divided from what it reads itself: a session belongs to
//! this partition, and the next records of its symbol do not.

use super::moved::{self, Counts, Sessions};
use super::session::{name_of, position_name};
use market::{Record, UnixNanos};
use ports::batch::Partition;
use ports::gap::Gap;
use ports::topic::{Consumer, Topics};
use ports::{Error, Result, clock};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Saved under this prefix and the partition's name.
pub(super) const PREFIX: &str = "partitions:";
/// How often the topics' partitions are counted.
const EVERY: Duration = Duration::from_secs(10);
/// How long after partitions were added a producer may still use the former number: clients ask every five minutes.
const STALE_MS: i64 = 10 * 60 * 1_000;

/// What is known of a partition, as saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    /// Number of partitions of its topic.
    partitions: i32,
    /// The number before some were added.
    before: i32,
    /// Sessions that messages up to this time begin are checked, milliseconds since 1970.
    check_until_ms: i64,
}

impl Seen {
    /// Nothing was added, as far as is known.
    fn settled(partitions: i32) -> Self {
        Self { partitions, before: partitions, check_until_ms: i64::MIN }
    }

    fn grown(before: i32, partitions: i32) -> Self {
        Self { partitions, before, check_until_ms: clock::now().millis().saturating_add(STALE_MS) }
    }

    fn counts(self) -> Counts {
        Counts { before: self.before, now: self.partitions }
    }
}

/// Numbers of partitions, now and when each partition was last read.
#[derive(Default)]
pub(super) struct Growth {
    counts: Vec<i32>,
    counted: Option<Instant>,
    saved: BTreeMap<String, Seen>,
    read: FxHashMap<Partition, Seen>,
}

impl Growth {
    /// Takes what an earlier run, or another member, saved.
    pub(super) fn restore(&mut self, name: String, bytes: &[u8]) -> Result<()> {
        let seen = serde_json::from_slice(bytes).map_err(|error| {
            Error::user(format!("the saved position `{name}` is unreadable: {error}"))
                .hint("another version of tapeline wrote it; use another --group")
        })?;
        self.saved.insert(name, seen);
        Ok(())
    }

    /// Forgets partitions that another member reads now.
    pub(super) fn forget(&mut self, partitions: &[Partition]) {
        self.read.retain(|partition, _| !partitions.contains(partition));
    }

    /// Whether the partitions are to be counted again.
    pub(super) fn is_due(&self) -> bool {
        self.counted.is_none_or(|counted| counted.elapsed() >= EVERY)
    }

    /// Counts the partitions. Returns entries for the gap ledger: sessions begun in a partition whose symbols' records are in
    /// another one as well.
    pub(super) fn count(
        &mut self,
        consumer: &mut dyn Consumer,
        topics: &dyn Topics,
        sessions: &Sessions,
        group: &str,
    ) -> Result<Vec<Gap>> {
        // Also if it fails: an unreachable server is not asked again at once.
        self.counted = Some(Instant::now());
        self.counts = consumer.partition_counts()?;
        let mut found = Vec::new();
        for (partition, seen) in &mut self.read {
            let now = self.counts.get(partition.topic as usize).copied().unwrap_or_default();
            if seen.partitions == 0 {
                *seen = Seen::settled(now);
            }
            if now <= seen.partitions {
                continue;
            }
            tracing::warn!(
                "{}: its topic had {} partitions and has {now}: sessions of symbols that move are marked as incomplete",
                name_of(consumer.topics(), *partition),
                seen.partitions
            );
            // A partition that was itself added has no number before.
            *seen = Seen::grown(seen.before.min(seen.partitions), now);
            found.extend(sessions.moving(*partition, seen.counts(), topics, consumer.topics(), group));
        }
        Ok(found)
    }

    /// Number of partitions of a topic when they were last counted.
    pub(super) fn partitions(&self, topic: u16) -> i32 {
        self.counts.get(topic as usize).copied().unwrap_or_default()
    }

    /// A message of a partition is read for the first time.
    pub(super) fn begin(&mut self, partition: Partition, names: &[String], group: &str) {
        let counted = self.partitions(partition.topic);
        let now = counted.max(partition.number + 1);
        let saved =
            |number| self.saved.get(&position_name(PREFIX, group, names, Partition { number, ..partition }));
        let seen = match saved(partition.number) {
            // Unknown until they are counted.
            None if counted == 0 => Seen::settled(0),
            Some(saved) if saved.partitions >= now => *saved,
            Some(saved) => Seen::grown(saved.partitions, now),
            // It was added since the count.
            None if now > counted => Seen::grown(counted, now),
            // It is new to the group: it was added, if the others were read when there were fewer.
            None => {
                let others = (0..now).filter_map(saved);
                let grown = others.filter(|seen| seen.partitions < now || seen.before < seen.partitions);
                let last = grown.max_by_key(|seen| (seen.partitions < now, seen.check_until_ms));
                match last {
                    None => Seen::settled(now),
                    Some(seen) if seen.partitions < now => Seen::grown(seen.partitions, now),
                    Some(seen) => *seen,
                }
            }
        };
        self.read.insert(partition, seen);
    }

    /// An entry for the gap ledger if a session that began in a partition may have records in another one.
    pub(super) fn check(
        &self,
        record: &Record<&str>,
        session: (UnixNanos, UnixNanos),
        (partition, stamp_ms): (Partition, i64),
        topics: &dyn Topics,
        whose: (&[String], &str),
    ) -> Option<Gap> {
        let seen = self.read.get(&partition).filter(|seen| stamp_ms <= seen.check_until_ms)?;
        moved::moving(record, session, (partition, seen.counts()), topics, whose)
    }

    /// What is to be saved: name and bytes.
    pub(super) fn changed(&mut self, names: &[String], group: &str) -> Result<Vec<(String, Vec<u8>)>> {
        let mut changed = Vec::new();
        for (partition, seen) in &self.read {
            let name = position_name(PREFIX, group, names, *partition);
            if self.saved.get(&name) != Some(seen) {
                let bytes = serde_json::to_vec(seen)
                    .map_err(|error| Error::internal(format!("encode the number of partitions: {error}")))?;
                changed.push((name.clone(), bytes));
                self.saved.insert(name, *seen);
            }
        }
        Ok(changed)
    }
}
