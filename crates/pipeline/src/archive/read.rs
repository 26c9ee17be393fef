//! Reads the archive: checks that its ranges follow each other without gap or overlap, that every object is there, intact
//! and described by a manifest, and passes the records on.

use super::layout::{
    ArchiveObject, MANIFESTS, Manifest, OBJECTS, RANGES, RangeClaim, RangeName, read_json, sha256,
};
use crate::verify::{Identities, Only};
use columnar::read::ArchivedAt;
use market::digest::{self, Digest};
use market::version::Version;
use market::{Kind, Record};
use ports::archive::Archive;
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

/// Lists the ranges of the topics of `names`.
///
/// # Errors
/// The archive cannot be read, or a manifest is damaged.
pub fn inventory(archive: &dyn Archive, names: &Names, stop: &CancelToken) -> Result<Inventory> {
    let list = |prefix: &str| retry(stop, Port::Archive, "list the archive", || archive.list(prefix));
    let mut found = Inventory::default();
    let (mut claims, mut described) = (BTreeMap::new(), BTreeSet::new());
    for topic in names.all_records() {
        for object in list(&format!("{RANGES}{topic}/"))? {
            let claim: Option<RangeClaim> = read_json(archive, &object.name, stop)?;
            let partition = object.name.split('/').nth(2).and_then(|number| number.parse().ok());
            let (Some(claim), Some(partition)) = (claim, partition) else { continue };
            let RangeClaim { first, last, .. } = claim;
            claims.insert(RangeName { topic: topic.clone(), partition, first, last }, object.name);
        }
        for object in list(&format!("{MANIFESTS}{topic}/"))? {
            let Some(manifest) = read_json::<Manifest>(archive, &object.name, stop)? else { continue };
            let range = manifest.range();
            if range.manifest() != object.name || claims.remove(&range).is_none() {
                found.faults.push(format!("{}: no claim for its range, or the name of another", object.name));
            }
            described.extend(manifest.objects.iter().map(|object| (object.name.clone(), object.bytes)));
            found.manifests.insert(range, manifest);
        }
    }
    found.faults.extend(breaks(&found.manifests));
    for range in claims.keys() {
        found
            .notes
            .push(format!("{}: begun and not complete; `tapeline archive` completes it", range.describe()));
    }
    let topics = names.all_records();
    let objects: BTreeSet<(String, u64)> = list("")?
        .into_iter()
        .filter(|object| object.name.starts_with(OBJECTS))
        .map(|object| (object.name, object.bytes))
        .collect();
    for (name, bytes) in described.difference(&objects) {
        found.faults.push(format!("{name}: missing, or not of {bytes} bytes"));
    }
    let missing: BTreeSet<&str> = described.iter().map(|(name, _)| name.as_str()).collect();
    for (name, _) in objects.difference(&described).filter(|(name, _)| !missing.contains(name.as_str())) {
        let range = range_of(name).filter(|range| topics.contains(&range.topic));
        // Objects of a range that is not complete yet have no manifest; those of other topics are not ours.
        if range.is_some_and(|range| !claims.contains_key(&range)) {
            found.faults.push(format!("{name}: in no manifest"));
        }
    }
    Ok(found)
}

/// The range in the name of an object.
fn range_of(name: &str) -> Option<RangeName> {
    let name = name.rsplit('/').next()?.strip_suffix(".parquet")?;
    let mut parts = name.rsplitn(4, '-');
    let mut number = || parts.next()?.parse::<i64>().ok();
    let (last, first, partition) = (number()?, number()?, number()?);
    let partition = i32::try_from(partition).ok()?;
    Some(RangeName { topic: parts.next()?.to_owned(), partition, first, last })
}

/// Ranges that do not begin where the one before ends.
fn breaks(manifests: &BTreeMap<RangeName, Manifest>) -> Vec<String> {
    let ranges: Vec<&RangeName> = manifests.keys().collect();
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
/// The archive cannot be read, or a manifest is damaged.
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
                return Err(Error::user("stopped"));
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
