//! Completes ranges that were left behind: those that are claimed and have no manifest although the group has read past
//! them, and those of which an object is missing. Their messages are read from the topic again, without the group.

use super::Archiver;
use super::layout::{Manifest, MergedRanges, Parsed, RangeClaim, RangeName, list, parse_json, to_json};
use super::range::OpenRange;
use market::Kind;
use ports::batch::Partition;
use ports::cancel::retry;
use ports::metrics::Port;
use ports::topic::{PartitionLag, Topics};
use ports::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};

/// A range to be completed.
struct Incomplete {
    range: RangeName,
    /// Why its messages could not be read, if they were lost.
    lost: Option<String>,
    /// Its manifest, if only objects are missing.
    manifest: Option<Manifest>,
    open: OpenRange,
}

impl Incomplete {
    fn reset(&mut self) {
        self.open = match &self.lost {
            Some(why) => OpenRange::lost(self.range.first, self.range.last, why.clone()),
            None => OpenRange::new(self.range.first, Some(self.range.last)),
        };
    }
}

/// Ranges to be completed, by partition and last offset.
type Wanted = BTreeMap<(Partition, i64), Incomplete>;

impl Archiver<'_> {
    /// Creates claims that are missing from the manifests of their ranges.
    pub(super) fn restore_claims(&self, topics: &dyn Topics) -> Result<()> {
        let doing = "read the positions of the group";
        let lag =
            retry(self.stop, Port::Topic, doing, || topics.partition_lag(&self.settings.group, self.names))?;
        for found in lag {
            let claims: BTreeSet<String> =
                list(self.archive, &RangeName::claims(&found.topic, found.partition), self.stop)?
                    .into_iter()
                    .map(|object| object.name)
                    .collect();
            for range in self.described(&found)?.into_values() {
                let name = range.claim_name();
                if claims.contains(&name) {
                    continue;
                }
                let manifest = parse_json::<Manifest>(self.archive, &range.manifest(), self.stop)?;
                let Parsed::Whole(Manifest { first, last, lost, .. }) = manifest else { continue };
                let text = to_json(&RangeClaim { first, last, lost })?;
                retry(self.stop, Port::Archive, "write the archive", || self.archive.create(&name, &text))?;
                tracing::warn!(
                    range = range.describe(),
                    "the claim was missing; written again from the manifest"
                );
            }
        }
        Ok(())
    }

    /// The ranges of a partition that have a manifest and are not part of a merged one, by first offset.
    fn described(&self, found: &PartitionLag) -> Result<BTreeMap<i64, RangeName>> {
        let names = list(self.archive, &RangeName::manifests(&found.topic, found.partition), self.stop)?;
        let ranges: Vec<_> = names.iter().filter_map(|object| RangeName::of_manifest(&object.name)).collect();
        let merged = MergedRanges::new(&ranges);
        let left = ranges.into_iter().filter(|range| !merged.replaces(range));
        Ok(left.map(|range| (range.first, range)).collect())
    }

    /// Completes what was left behind. Objects are looked for if `objects` is set, which reads every manifest.
    pub(super) fn complete(
        &mut self,
        topics: &dyn Topics,
        lag: &[PartitionLag],
        objects: bool,
    ) -> Result<()> {
        let mut held = objects.then(BTreeSet::new);
        if let Some(held) = &mut held {
            for kind in Kind::ALL {
                let found = list(self.archive, &RangeName::objects(kind), self.stop)?;
                held.extend(found.into_iter().map(|object| object.name));
            }
        }
        let mut wanted = Wanted::new();
        for found in lag {
            self.find_incomplete(found, held.as_ref(), &mut wanted)?;
        }
        if wanted.is_empty() {
            return Ok(());
        }
        tracing::info!("reading the topic again to complete {} ranges", wanted.len());
        let lost: Vec<_> = wanted.iter().filter(|(_, one)| one.lost.is_some()).map(|(key, _)| *key).collect();
        for key in lost {
            if let Some(one) = wanted.remove(&key) {
                self.finish(&one)?;
            }
        }
        let (stop, names) = (self.stop, self.names);
        retry(stop, Port::Topic, "read the topic", || {
            if wanted.is_empty() {
                return Ok(());
            }
            wanted.values_mut().for_each(Incomplete::reset);
            let mut failed = None;
            topics.read_all(names, &mut |message| {
                let (partition, offset) = (message.partition(), message.offset());
                if failed.is_some() {
                    return;
                }
                let next = wanted.range_mut((partition, offset)..=(partition, i64::MAX)).next();
                let Some((key, one)) = next.filter(|(_, one)| one.range.first <= offset) else { return };
                one.open.push(message);
                let (key, whole) = (*key, one.open.is_complete());
                if let Some(one) = whole.then(|| wanted.remove(&key)).flatten() {
                    failed = self.finish(&one).err();
                }
            })?;
            failed.map_or(Ok(()), Err)
        })?;
        for one in wanted.values() {
            self.left(format!("{}: its last message is not on the topic", one.range.describe()));
        }
        Ok(())
    }

    /// Finds the ranges of a partition that should be complete and are not.
    fn find_incomplete(
        &mut self,
        found: &PartitionLag,
        held: Option<&BTreeSet<String>>,
        wanted: &mut Wanted,
    ) -> Result<()> {
        let topic = self.names.iter().position(|name| *name == found.topic).unwrap_or(0) as u16;
        let partition = Partition { topic, number: found.partition };
        // In this order: a range that is closed meanwhile has its manifest in the second list.
        let claims = list(self.archive, &RangeName::claims(&found.topic, found.partition), self.stop)?;
        let described = self.described(found)?;
        for (at, claim) in claims.iter().enumerate() {
            let Some(first) = RangeName::first_of_claim(&claim.name) else { continue };
            let (mut manifest, mut lost) = (None, None);
            let range = if let Some(range) = described.get(&first) {
                let Some(held) = held else { continue };
                match parse_json::<Manifest>(self.archive, &range.manifest(), self.stop)? {
                    Parsed::Whole(whole) if whole.objects.iter().all(|one| held.contains(&one.name)) => {
                        continue;
                    }
                    Parsed::Whole(whole) => manifest = Some(whole),
                    Parsed::Damaged(why) => {
                        self.left(format!("{}: damaged: {why}", range.manifest()));
                        continue;
                    }
                    Parsed::Absent => {}
                }
                range.clone()
            } else if described.range(..first).next_back().is_some_and(|(_, merged)| first <= merged.last) {
                continue;
            } else {
                // The last one may be about to be completed by whoever claimed it, and is read by the group.
                if at + 1 == claims.len() && found.committed.is_none_or(|committed| committed <= first) {
                    continue;
                }
                match parse_json::<RangeClaim>(self.archive, &claim.name, self.stop)? {
                    Parsed::Whole(RangeClaim { last, lost: why, .. }) => {
                        lost = why;
                        RangeName { topic: found.topic.clone(), partition: found.partition, first, last }
                    }
                    Parsed::Damaged(why) => {
                        self.left(format!("{}: damaged: {why}", claim.name));
                        continue;
                    }
                    Parsed::Absent => continue,
                }
            };
            if lost.is_none() && found.start > first {
                let gone = found.start.min(range.last + 1) - 1;
                self.left(format!(
                    "{}: offsets {first} to {gone} are no longer on the topic",
                    range.describe()
                ));
                continue;
            }
            let open = OpenRange::new(first, Some(range.last));
            let mut one = Incomplete { range, lost, manifest, open };
            one.reset();
            wanted.insert((partition, one.range.last), one);
        }
        Ok(())
    }

    /// Writes what a range lacks. What cannot be written is reported, and the rest continues.
    fn finish(&mut self, one: &Incomplete) -> Result<()> {
        let done = match &one.manifest {
            Some(manifest) => self.objects_again(one, manifest),
            None => self.write(&one.range, &one.open),
        };
        match done {
            Err(error) if !error.retryable() => {
                self.left(format!("{}: {}", one.range.describe(), error.what()));
                Ok(())
            }
            other => other,
        }
    }

    /// Writes the missing objects of a range, if they become what its manifest says.
    fn objects_again(&mut self, one: &Incomplete, manifest: &Manifest) -> Result<()> {
        let objects = one.open.objects(&one.range)?;
        for about in &manifest.objects {
            if retry(self.stop, Port::Archive, "read the archive", || self.archive.read(&about.name))?
                .is_some()
            {
                continue;
            }
            let same = objects.iter().find(|object| object.about == *about);
            let object = same.ok_or_else(|| {
                Error::user(format!(
                    "{} is missing, and the topic's messages do not give the bytes that its manifest describes",
                    about.name
                ))
            })?;
            retry(self.stop, Port::Archive, "write the archive", || {
                self.archive.create(&about.name, &object.bytes)
            })?;
            self.report.objects += 1;
            self.report.bytes += about.bytes;
            tracing::info!(object = about.name, "written again");
        }
        self.report.completed += 1;
        Ok(())
    }

    fn left(&mut self, line: String) {
        tracing::warn!("cannot complete {line}");
        self.report.incomplete.push(line);
    }
}
