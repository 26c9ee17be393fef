//! Compaction: small ranges that follow each other become one, with one object for each kind and date.
//!
//! 1. A plan of the partition is created: it decides which ranges become one. There is one plan at a time, for its name is
//!    the next number; whoever finds a plan that is not carried out carries it out.
//! 2. The objects of the merged range are created, with the bytes that `archive` would have given them.
//! 3. Its manifest is created. From here on readers ignore the manifests of the ranges within it.
//! 4. What it replaces is removed: objects, then manifests. Claims stay, so that nobody claims a part of it again.
//!
//! Killed at any step, the archive is whole for everybody who reads it by its manifests, and the next run continues. The
//! last range of a partition is left as it is: `archive` resumes from it.

mod groups;

use super::close::create_object;
use super::layout::{
    ArchiveObject, MANIFESTS, Manifest, MergePlan, MergedRanges, OBJECTS, Parsed, RangeName, list,
    parse_json, read_json, to_json,
};
use super::range::{NewObject, OpenRange};
use super::read;
use groups::groups;
use market::Kind;
use market::digest::Digest;
use ports::archive::{Archive, Created};
use ports::cancel::retry;
use ports::metrics::Port;
use ports::topic::Names;
use ports::{CancelToken, Error, Result};
use std::collections::{BTreeMap, BTreeSet};

/// Settings of a run.
#[derive(Debug, Clone)]
pub struct CompactSettings {
    /// Topic names.
    pub names: Names,
    /// Maximum number of messages of a merged range.
    pub rows: usize,
}

/// Result of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CompactReport {
    /// Ranges that became part of another.
    pub replaced: u64,
    /// Ranges that they became.
    pub merged: u64,
    /// Objects created.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects and manifests removed.
    pub removed: u64,
    /// Why ranges could not be merged, one line each.
    pub faults: Vec<String>,
}

/// What a partition holds.
struct PartitionState {
    /// Complete ranges that no other replaces, in order.
    ranges: Vec<Manifest>,
    /// Manifests of ranges that another one replaces.
    replaced: Vec<RangeName>,
}

/// Merges what is worth it.
///
/// # Errors
/// The archive cannot be read or written, or the run is cancelled.
pub fn run(archive: &dyn Archive, settings: &CompactSettings, stop: &CancelToken) -> Result<CompactReport> {
    let mut compactor = Compactor { archive, settings, stop, report: CompactReport::default() };
    for topic in settings.names.all_records() {
        let prefix = format!("{MANIFESTS}{topic}/");
        let found = list(archive, &prefix, stop)?;
        let partitions: BTreeSet<i32> = found
            .iter()
            .filter_map(|object| RangeName::of_manifest(&object.name))
            .map(|range| range.partition)
            .collect();
        for partition in partitions {
            compactor.partition(&topic, partition)?;
        }
    }
    Ok(compactor.report)
}

struct Compactor<'a> {
    archive: &'a dyn Archive,
    settings: &'a CompactSettings,
    stop: &'a CancelToken,
    report: CompactReport,
}

impl Compactor<'_> {
    fn partition(&mut self, topic: &str, partition: i32) -> Result<()> {
        loop {
            let mut number = 0;
            let plans = list(self.archive, &RangeName::merges(topic, partition), self.stop)?;
            let last =
                plans.iter().filter_map(|plan| RangeName::of_merge(&plan.name)).map(|(.., at)| at).max();
            if let Some(last) = last {
                number = last + 1;
                let name = RangeName::merge(topic, partition, last);
                let plan: Option<MergePlan> = read_json(self.archive, &name, self.stop)?;
                // An earlier run may have been killed while it carried out the plan.
                if !self.carry_out(topic, partition, &plan.unwrap_or(MergePlan { ranges: Vec::new() }))? {
                    return Ok(());
                }
            }
            let state = self.state(topic, partition)?;
            self.remove_replaced(&state)?;
            let mut taken = false;
            for group in groups(&state.ranges, self.settings.rows as u64) {
                let plan =
                    MergePlan { ranges: group.iter().map(|range| [range.first, range.last]).collect() };
                let (name, text) = (RangeName::merge(topic, partition, number), to_json(&plan)?);
                // What is damaged is not planned: a plan that cannot be carried out would stop all others.
                let Some(objects) = self.objects(group)? else {
                    // It may be missing because another process has merged it meanwhile.
                    if retry(self.stop, Port::Archive, "read the archive", || self.archive.read(&name))?
                        .is_some()
                    {
                        self.report.faults.pop();
                        taken = true;
                        break;
                    }
                    continue;
                };
                if self.put(&name, &text)? == Created::Existed {
                    taken = true;
                    break;
                }
                number += 1;
                self.write(group, objects)?;
                self.remove(group)?;
            }
            // Another process compacts this partition: carry out its plan and look again.
            if !taken {
                return Ok(());
            }
        }
    }

    /// Reads the manifests of a partition, without the last range that is claimed and what comes after it.
    fn state(&self, topic: &str, partition: i32) -> Result<PartitionState> {
        let claims = list(self.archive, &RangeName::claims(topic, partition), self.stop)?;
        let last = claims.iter().filter_map(|claim| RangeName::first_of_claim(&claim.name)).max();
        let names = self.names(topic, partition)?;
        let outer = MergedRanges::new(&names);
        let (replaced, names): (Vec<_>, Vec<_>) = names.into_iter().partition(|range| outer.replaces(range));
        let mut ranges = Vec::new();
        for range in names.iter().filter(|range| last.is_some_and(|last| range.last < last)) {
            match parse_json::<Manifest>(self.archive, &range.manifest(), self.stop)? {
                Parsed::Whole(manifest) if manifest.range() == *range => ranges.push(manifest),
                // Ranges on both sides of it do not follow each other.
                _ => tracing::warn!("{}: damaged; it is not merged", range.manifest()),
            }
        }
        Ok(PartitionState { ranges, replaced })
    }

    /// Carries out a plan, as far as it is not. Returns false if it cannot be.
    fn carry_out(&mut self, topic: &str, partition: i32, plan: &MergePlan) -> Result<bool> {
        let name = |[first, last]: [i64; 2]| RangeName { topic: topic.to_owned(), partition, first, last };
        let (Some(first), Some(last)) = (plan.ranges.first(), plan.ranges.last()) else { return Ok(true) };
        let merged = name([first[0], last[1]]);
        if self.is_merged(&merged)? {
            return Ok(true);
        }
        let mut group = Vec::new();
        for range in plan.ranges.iter().copied().map(name) {
            match read_json::<Manifest>(self.archive, &range.manifest(), self.stop)? {
                Some(manifest) => group.push(manifest),
                // Another process may have carried the plan out meanwhile.
                None if self.is_merged(&merged)? => return Ok(true),
                None => {
                    self.report.faults.push(format!("{}: its manifest is missing", range.describe()));
                    return Ok(false);
                }
            }
        }
        let Some(objects) = self.objects(&group)? else {
            let merged = self.is_merged(&merged)?;
            if merged {
                self.report.faults.pop();
            }
            return Ok(merged);
        };
        self.write(&group, objects)?;
        Ok(true)
    }

    /// Whether a merged range is complete, or part of a larger one.
    fn is_merged(&self, merged: &RangeName) -> Result<bool> {
        let names = self.names(&merged.topic, merged.partition)?;
        Ok(names.contains(merged) || MergedRanges::new(&names).replaces(merged))
    }

    /// The ranges of a partition that have a manifest.
    fn names(&self, topic: &str, partition: i32) -> Result<Vec<RangeName>> {
        let found = list(self.archive, &RangeName::manifests(topic, partition), self.stop)?;
        Ok(found.iter().filter_map(|object| RangeName::of_manifest(&object.name)).collect())
    }

    /// The objects of a merged range. `None` if one that it is merged from is not intact.
    fn objects(&mut self, group: &[Manifest]) -> Result<Option<Vec<NewObject>>> {
        let merged = merged_name(group);
        let mut of_dates: BTreeMap<(&str, &str), Vec<(&Manifest, &ArchiveObject)>> = BTreeMap::new();
        for range in group {
            for about in &range.objects {
                of_dates.entry((about.kind.as_str(), about.date.as_str())).or_default().push((range, about));
            }
        }
        let mut objects = Vec::new();
        for parts in of_dates.into_values() {
            if self.stop.is_cancelled() {
                return Err(Error::stopped());
            }
            let mut open = OpenRange::new(merged.first, Some(merged.last));
            let (mut text, mut failed, mut digest) = (Vec::new(), None, Digest::default());
            for (range, about) in parts {
                let each: read::EachArchived<'_> = &mut |record, at, scratch| {
                    digest.add(record, scratch);
                    if failed.is_none() {
                        failed = open.push_archived(record, at, &mut text).err();
                    }
                };
                let fault = read::object(self.archive, about, &range.range(), self.stop, each)?;
                if let Some(fault) = fault {
                    self.report.faults.push(fault);
                    return Ok(None);
                }
            }
            if let Some(error) = failed {
                return Err(error);
            }
            let new = open.objects(&merged)?;
            // The old ones will be removed: the new one must have all their records.
            let same = |object: &NewObject| {
                object.about.rows == digest.count && object.about.fingerprint == digest.to_string()
            };
            if new.len() != 1 || !new.iter().all(same) {
                return Err(Error::internal(format!("{}: the merged file differs", merged.describe())));
            }
            objects.extend(new);
        }
        Ok(Some(objects))
    }

    /// Writes a merged range: objects, then manifest.
    fn write(&mut self, group: &[Manifest], objects: Vec<NewObject>) -> Result<()> {
        let merged = merged_name(group);
        let mut written = Vec::new();
        for object in objects {
            let (about, created) = create_object(self.archive, object, self.stop)?;
            if created == Created::New {
                self.report.objects += 1;
                self.report.bytes += about.bytes;
            }
            written.push(about);
        }
        let manifest = Manifest {
            version: 2,
            topic: merged.topic.clone(),
            partition: merged.partition,
            first: merged.first,
            last: merged.last,
            messages: group.iter().map(|range| range.messages).sum(),
            unreadable: group.iter().map(|range| range.unreadable).sum(),
            lost: None,
            objects: written,
            merged: group.len() as u64,
        };
        // If it exists, another process has carried out the same plan.
        self.put(&merged.manifest(), &to_json(&manifest)?)?;
        self.report.replaced += group.len() as u64;
        self.report.merged += 1;
        tracing::info!(range = merged.describe(), ranges = group.len(), "ranges merged");
        Ok(())
    }

    /// Removes the ranges that a merged one, which is complete, replaces.
    fn remove(&mut self, group: &[Manifest]) -> Result<()> {
        for range in group {
            for object in &range.objects {
                self.delete(&object.name)?;
            }
        }
        for range in group {
            self.delete(&range.range().manifest())?;
        }
        Ok(())
    }

    /// Removes what earlier runs left of the ranges that others replace.
    fn remove_replaced(&mut self, state: &PartitionState) -> Result<()> {
        let merged: Vec<&Manifest> = state.ranges.iter().filter(|range| range.merged > 0).collect();
        let names: Vec<RangeName> = merged.iter().map(|range| range.range()).collect();
        let outer = MergedRanges::new(&names);
        let Some(any) = names.first() else { return Ok(()) };
        let mut held = BTreeMap::new();
        for kind in Kind::ALL {
            held.extend(
                list(self.archive, &RangeName::objects(kind), self.stop)?
                    .into_iter()
                    .map(|object| (object.name, object.bytes)),
            );
        }
        // Only while what replaces them is there.
        for range in &merged {
            let missing = range.objects.iter().find(|about| held.get(&about.name) != Some(&about.bytes));
            let Some(about) = missing else { continue };
            // Another process may have merged it again meanwhile.
            let now = MergedRanges::new(&self.names(&any.topic, any.partition)?);
            if !now.replaces(&range.range()) {
                self.report.faults.push(format!("{}: missing, or of another size", about.name));
            }
            return Ok(());
        }
        for name in held.keys() {
            let range = RangeName::of_object(name);
            let ours = range.filter(|range| range.topic == any.topic && range.partition == any.partition);
            if ours.is_some_and(|range| outer.replaces(&range)) {
                self.delete(name)?;
            }
        }
        for range in state.replaced.iter().filter(|range| outer.replaces(range)) {
            self.delete(&range.manifest())?;
        }
        Ok(())
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<Created> {
        retry(self.stop, Port::Archive, "write the archive", || self.archive.create(name, bytes))
    }

    fn delete(&mut self, name: &str) -> Result<()> {
        debug_assert!(name.starts_with(OBJECTS) || name.starts_with(MANIFESTS));
        retry(self.stop, Port::Archive, "write the archive", || self.archive.remove(name))?;
        self.report.removed += 1;
        Ok(())
    }
}

/// The range that ranges become.
fn merged_name(group: &[Manifest]) -> RangeName {
    let (first, last) =
        (group.first().map_or(0, |range| range.first), group.last().map_or(0, |range| range.last));
    let of = group.first().map(|range| (range.topic.clone(), range.partition)).unwrap_or_default();
    RangeName { topic: of.0, partition: of.1, first, last }
}
