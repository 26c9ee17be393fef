//! Where the ranges of a partition begin and go on: by the archive's claims, not by the group's offsets.

use super::commit::OTHER_TOPIC;
use super::layout::{Manifest, RangeClaim, RangeName, list, read_json};
use super::range::OpenRange;
use super::{Archiver, Ranges};
use ports::archive::Archive;
use ports::batch::Partition;
use ports::cancel::retry;
use ports::metrics::Port;
use ports::topic::{LossCause, LostRange, PartitionLag, Topics};
use ports::{CancelToken, Error, Result};
use std::collections::VecDeque;
use std::collections::btree_map::Entry;

const INCOMPLETE: &str = "archive to a new folder or prefix; the old one can still be read and restored";

/// The claim of a partition's last range.
fn last_claim(
    archive: &dyn Archive,
    topic: &str,
    partition: i32,
    stop: &CancelToken,
) -> Result<Option<RangeClaim>> {
    let claims = list(archive, &RangeName::claims(topic, partition), stop)?;
    match claims.iter().rfind(|claim| RangeName::of_claim(&claim.name).is_some()) {
        Some(claim) => read_json(archive, &claim.name, stop),
        None => Ok(None),
    }
}

impl Archiver<'_> {
    /// The archive decides where reading resumes; a group or a topic that cannot continue from there is an error.
    pub(super) fn check_positions(&mut self, topics: &dyn Topics) -> Result<Vec<PartitionLag>> {
        let group = &self.settings.group;
        let doing = "read the positions of the group";
        let lag = retry(self.stop, Port::Topic, doing, || topics.partition_lag(group, self.names))?;
        for found in &lag {
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
        Ok(lag)
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

    /// The ranges of a partition whose first message has this offset. `None` if a new member must confirm that there is no
    /// message before it.
    ///
    /// Kafka's offsets have gaps, of transaction markers for one. But a message that was fetched before the partition was
    /// revoked may arrive after it was assigned again, when those before it are forgotten.
    pub(super) fn first_ranges(
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

    /// Adds messages that can no longer be read, as a range without objects.
    pub(super) fn add_lost(&self, ranges: &mut Ranges, lost: &LostRange) -> Result<()> {
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
}
