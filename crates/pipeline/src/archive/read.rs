//! Reads the archive: checks that its ranges follow each other without gap or overlap, that every object is there, intact
//! and described by a manifest, and passes the records on.

use super::layout::{
    ArchiveObject, LOADS, MANIFESTS, MERGES, Manifest, MergePlan, MergedRanges, OBJECTS, Parsed, RANGES,
    RangeClaim, RangeName, list, parse_json, sha256,
};
use crate::verify::{Identities, Only};
use columnar::read::ArchivedAt;
use market::digest::{self, Digest};
use market::version::Version;
use market::{Kind, Record};
use ports::archive::{Archive, ObjectInfo};
use ports::cancel::retry;
use ports::metrics::Port;
use ports::topic::Names;
use ports::{CancelToken, Error, Result};
use std::collections::{BTreeMap, BTreeSet};

/// The complete ranges of an archive, and what is wrong with it.
#[derive(Debug, Default)]
pub struct Inventory {
    /// Manifests, by topic, partition and offset.
    pub manifests: BTreeMap<RangeName, Manifest>,
    /// What is wrong, one line each.
    pub faults: Vec<String>,
    /// What is not wrong and worth knowing, one line each.
    pub notes: Vec<String>,
}

/// Contents of an archive.
#[derive(Debug, Default)]
pub struct ArchiveContent {
    /// Each record once, in the version that stores keep.
    pub records: Identities,
    /// Number of objects read.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What is wrong, one line each.
    pub faults: Vec<String>,
    /// What is not wrong and worth knowing, one line each.
    pub notes: Vec<String>,
}

/// Lists the ranges of the topics of `names`. What is damaged is named, and the rest is read.
///
/// # Errors
/// The archive cannot be read, or holds nothing of these topics.
pub fn inventory(archive: &dyn Archive, names: &Names, stop: &CancelToken) -> Result<Inventory> {
    let mut found = Inventory::default();
    // Listed first: what is written meanwhile has a claim by then, and is not taken for a stray file.
    let objects = list(archive, "", stop)?;
    let (topics, mut held) = (names.all_records(), BTreeSet::new());
    // The claimed ranges that have no manifest, with their ends if the claims can be read.
    let mut claims: BTreeMap<(String, i32, i64), Option<i64>> = BTreeMap::new();
    for object in list(archive, RANGES, stop)? {
        let Some(key) = RangeName::of_claim(&object.name) else { continue };
        held.insert(key.0.clone());
        if !topics.contains(&key.0) {
            continue;
        }
        let last = match parse_json::<RangeClaim>(archive, &object.name, stop)? {
            Parsed::Whole(claim) if claim.first == key.2 => Some(claim.last),
            Parsed::Absent => continue,
            Parsed::Whole(_) => {
                found.faults.push(format!("{}: describes another range", object.name));
                None
            }
            Parsed::Damaged(why) => {
                found.faults.push(format!("{}: damaged: {why}", object.name));
                None
            }
        };
        claims.insert(key, last);
    }
    let (mut damaged, mut ranges) = (BTreeSet::new(), BTreeSet::new());
    for object in list(archive, MANIFESTS, stop)? {
        let Some(range) = RangeName::of_manifest(&object.name) else { continue };
        held.insert(range.topic.clone());
        if !topics.contains(&range.topic) {
            continue;
        }
        let why = match parse_json::<Manifest>(archive, &object.name, stop)? {
            Parsed::Absent => continue,
            Parsed::Whole(manifest) if manifest.range() == range => {
                found.manifests.insert(range.clone(), manifest);
                ranges.insert(range);
                continue;
            }
            Parsed::Whole(_) => "describes another range".to_owned(),
            Parsed::Damaged(why) => format!("damaged: {why}"),
        };
        found.faults.push(format!("{}: {why}; the files of its range are not read", object.name));
        ranges.insert(range.clone());
        damaged.insert(range);
    }
    // Only compaction writes a manifest of a range that contains others.
    let merged = MergedRanges::new(
        found.manifests.iter().filter(|(_, manifest)| manifest.merged > 0).map(|(range, _)| range),
    );
    let before = ranges.len();
    for names in [&mut ranges, &mut damaged] {
        names.retain(|range| !merged.replaces(range));
    }
    found.manifests.retain(|range, _| !merged.replaces(range));
    let mut left_over = before - ranges.len();
    for range in &ranges {
        let claimed = match claims.remove(&(range.topic.clone(), range.partition, range.first)) {
            // The range may have been claimed after the claims were listed.
            None => match parse_json::<RangeClaim>(archive, &range.claim_name(), stop)? {
                Parsed::Whole(claim) => Some(claim.last),
                Parsed::Absent | Parsed::Damaged(_) => Some(i64::MIN),
            },
            Some(last) => last,
        };
        // One that cannot be read has been named. The claim of a merged range is that of the first one in it.
        let fits = claimed.is_none_or(|last| {
            last == range.last
                || (last >= range.first && merged.contains(&range.topic, range.partition, last))
        });
        if !fits {
            found.faults.push(format!("{}: no claim for its range", range.manifest()));
        }
    }
    let planned = planned(archive, &topics, stop, &mut found.faults)?;
    claims.retain(|(topic, partition, first), _| !merged.contains(topic, *partition, *first));
    let described: BTreeSet<&str> = found
        .manifests
        .values()
        .flat_map(|manifest| &manifest.objects)
        .map(|object| object.name.as_str())
        .collect();
    if !topics.iter().any(|topic| held.contains(topic)) {
        return Err(nothing(archive, &topics, &held));
    }
    for ((topic, partition, first), last) in &claims {
        // A claim that cannot be read has been named.
        let Some(last) = *last else { continue };
        let range = RangeName { topic: topic.clone(), partition: *partition, first: *first, last };
        found.faults.push(format!(
            "{}: begun and not complete: its manifest is missing, and its records are left out",
            range.describe()
        ));
        ranges.insert(range);
    }
    found.faults.extend(breaks(&ranges));
    let mut others = Vec::new();
    for ObjectInfo { name, .. } in objects {
        let expected = if name.starts_with(OBJECTS) {
            RangeName::of_object(&name).is_some_and(|range| {
                if merged.replaces(&range) || (planned.contains(&range) && !ranges.contains(&range)) {
                    left_over += 1;
                    return true;
                }
                let key = (range.topic.clone(), range.partition, range.first);
                // Those of a range without a manifest belong to it; those of other topics are not ours.
                described.contains(name.as_str())
                    || damaged.contains(&range)
                    || claims.get(&key).is_some_and(|last| last.is_none_or(|last| last == range.last))
                    || (!topics.contains(&range.topic) && held.contains(&range.topic))
            })
        } else if name.starts_with(RANGES) {
            RangeName::of_claim(&name).is_some()
        } else if name.starts_with(MANIFESTS) {
            RangeName::of_manifest(&name).is_some()
        } else if name.starts_with(MERGES) {
            RangeName::of_merge(&name).is_some()
        } else if name.starts_with(LOADS) {
            true
        } else if name.ends_with(".parquet") {
            false
        } else {
            others.push(name);
            continue;
        };
        if !expected {
            found.faults.push(format!("{}: stray file: in no manifest", name.escape_debug()));
        }
    }
    if left_over > 0 {
        found.notes.push(format!(
            "{left_over} files are of ranges whose compaction is not finished: `tapeline archive compact` finishes it"
        ));
    }
    if let Some(first) = others.first() {
        let (count, first) = (others.len(), first.escape_debug());
        found.notes.push(format!("{count} other files are not the archive's, the first is {first}"));
    }
    Ok(found)
}

/// The ranges of the last plan of each partition: the only ones that may have files and no manifest.
fn planned(
    archive: &dyn Archive,
    topics: &[String],
    stop: &CancelToken,
    faults: &mut Vec<String>,
) -> Result<BTreeSet<RangeName>> {
    let mut last = BTreeMap::new();
    for object in list(archive, MERGES, stop)? {
        if let Some((topic, partition, _)) = RangeName::of_merge(&object.name) {
            last.insert((topic, partition), object.name);
        }
    }
    let mut ranges = BTreeSet::new();
    for ((topic, partition), name) in last.into_iter().filter(|((topic, _), _)| topics.contains(topic)) {
        match parse_json::<MergePlan>(archive, &name, stop)? {
            Parsed::Whole(plan) => {
                if let (Some([first, _]), Some([_, last])) = (plan.ranges.first(), plan.ranges.last()) {
                    ranges.insert(RangeName { topic, partition, first: *first, last: *last });
                }
            }
            Parsed::Damaged(why) => faults.push(format!("{name}: damaged: {why}")),
            Parsed::Absent => {}
        }
    }
    Ok(ranges)
}

/// The error of an archive that holds nothing of the topics.
fn nothing(archive: &dyn Archive, topics: &[String], held: &BTreeSet<String>) -> Error {
    let place = archive.describe();
    if held.is_empty() {
        return Error::user(format!("{place} is not an archive: it has no {RANGES} and no {MANIFESTS}"))
            .hint("check the address: `tapeline archive` writes an archive, --archive names it");
    }
    let held: Vec<&str> = held.iter().map(String::as_str).collect();
    Error::user(format!("{place} holds nothing of {}; it holds {}", topics.join(", "), held.join(", ")))
        .hint("set `topic.prefix` to the part before the dot")
}

/// Ranges that do not begin where the one before ends.
fn breaks(ranges: &BTreeSet<RangeName>) -> Vec<String> {
    let ranges: Vec<&RangeName> = ranges.iter().collect();
    let pairs = ranges.windows(2).filter(|pair| {
        (&pair[0].topic, pair[0].partition) == (&pair[1].topic, pair[1].partition)
            && pair[0].last + 1 != pair[1].first
    });
    pairs
        .map(|pair| {
            let what = if pair[0].last >= pair[1].first { "overlaps" } else { "is not followed by" };
            format!("{} {what} {}", pair[0].describe(), pair[1].describe())
        })
        .collect()
}

/// Callback for each record of an object, where its message was, and a scratch buffer.
pub(super) type EachArchived<'f> = &'f mut dyn FnMut(&Record<&str>, ArchivedAt, &mut Vec<u8>);

/// Reads an object and passes its records on, if it is intact. Returns what is wrong with it.
pub(super) fn object(
    archive: &dyn Archive,
    about: &ArchiveObject,
    range: &RangeName,
    stop: &CancelToken,
    each: EachArchived<'_>,
) -> Result<Option<String>> {
    let name = &about.name;
    let Some(bytes) = retry(stop, Port::Archive, "read the archive", || archive.read(name))? else {
        return Ok(Some(format!("{name}: missing")));
    };
    let found = sha256(&bytes);
    if found != about.sha256 {
        let (wanted, found) = (about.sha256.get(..12).unwrap_or_default(), &found[..12]);
        return Ok(Some(format!("{name}: damaged: expected SHA-256 {wanted}..., found {found}...")));
    }
    let kind: Kind = about.kind.parse().map_err(Error::user)?;
    let (mut digest, mut scratch, mut outside) = (Digest::default(), Vec::new(), 0);
    let read = columnar::read::records(kind, bytes, &mut |record, at| {
        digest.add(record, &mut scratch);
        if at.partition != range.partition || !(range.first..=range.last).contains(&at.offset) {
            outside += 1;
        }
        each(record, at, &mut scratch);
    });
    Ok(match read {
        Err(error) => Some(format!("{name}: {}", error.what())),
        Ok(_) if outside > 0 => Some(format!("{name}: {outside} records are not of its range")),
        Ok(rows) if rows != about.rows || digest.to_string() != about.fingerprint => Some(format!(
            "{name}: expected {} records of fingerprint {}, found {rows} of {digest}",
            about.rows, about.fingerprint
        )),
        Ok(_) => None,
    })
}

/// Reads the whole archive of the topics of `names`.
///
/// # Errors
/// The archive cannot be read, or holds nothing of these topics.
pub fn content(
    archive: &dyn Archive,
    names: &Names,
    only: &Only,
    stop: &CancelToken,
) -> Result<ArchiveContent> {
    let Inventory { manifests, faults, notes } = inventory(archive, names, stop)?;
    let mut content = ArchiveContent { faults, notes, ..ArchiveContent::default() };
    for (range, manifest) in &manifests {
        if let Some(why) = &manifest.lost {
            content.notes.push(format!("{}: {why}", range.describe()));
        }
        let (mut offsets, mut intact) = (Vec::new(), true);
        for about in &manifest.objects {
            if stop.is_cancelled() {
                return Err(Error::stopped());
            }
            content.objects += 1;
            content.bytes += about.bytes;
            let records = &mut content.records;
            let fault = object(archive, about, range, stop, &mut |record, at, scratch| {
                offsets.push(at.offset);
                if only.contains(record) {
                    let identity = digest::identity(record, scratch);
                    let version = Version::of(record, at.stamp_ms, scratch);
                    records.add(record, identity, version.content, version.write_us);
                }
            })?;
            intact &= fault.is_none();
            content.faults.extend(fault);
        }
        // Every message of a range is in one of its objects, and in one only.
        offsets.sort_unstable();
        offsets.dedup();
        let records = manifest.messages - manifest.unreadable.min(manifest.messages);
        if intact && offsets.len() as u64 != records {
            let (range, found) = (range.describe(), offsets.len());
            content.faults.push(format!("{range}: expected {records} different messages, found {found}"));
        }
    }
    Ok(content)
}
