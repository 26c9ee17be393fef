//! Archive to warehouse: what is in the archive and not loaded yet, in transactions of many files.
//!
//! The warehouse knows which ranges of offsets it has. It is given a list of files to read, in the format of Amazon
//! Redshift's manifests, which is an object of the archive as well: created if absent, named by its content.

use super::layout::{ArchiveObject, LOADS, RangeName, sha256, to_json};
use super::read::Inventory;
use market::Kind;
use ports::archive::Archive;
use ports::cancel::retry;
use ports::metrics::Port;
use ports::warehouse::{Load, LoadedRange, Warehouse};
use ports::{CancelToken, Error, Result};
use serde::Serialize;
use std::collections::BTreeMap;

/// Files of one load: a warehouse reads many at once, and its statement has a maximum length.
const FILES: usize = 256;

/// Result of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Transactions.
    pub loads: u64,
    /// Files loaded.
    pub objects: u64,
    /// Records in them.
    pub records: u64,
    /// Files that were loaded before.
    pub skipped: u64,
    /// What is wrong with the archive, one line each. The rest of it is loaded.
    pub faults: Vec<String>,
}

/// A list of files, as COPY reads it.
#[derive(Serialize)]
struct CopyManifest {
    entries: Vec<CopyEntry>,
}

#[derive(Serialize)]
struct CopyEntry {
    url: String,
    /// A file that is missing is an error.
    mandatory: bool,
    meta: CopyMeta,
}

#[derive(Serialize)]
struct CopyMeta {
    /// Size in bytes, which COPY requires for Parquet.
    content_length: u64,
}

/// Offsets that are loaded, by topic and partition.
struct LoadedOffsets(BTreeMap<(String, i32), Vec<(i64, i64)>>);

impl LoadedOffsets {
    fn new(mut ranges: Vec<LoadedRange>) -> Self {
        ranges.sort_unstable();
        let mut spans: BTreeMap<(String, i32), Vec<(i64, i64)>> = BTreeMap::new();
        for range in ranges {
            let of_partition = spans.entry((range.topic, range.partition)).or_default();
            match of_partition.last_mut() {
                Some((_, last)) if range.first <= *last + 1 => *last = range.last.max(*last),
                _ => of_partition.push((range.first, range.last)),
            }
        }
        Self(spans)
    }

    fn contain(&self, range: &RangeName) -> bool {
        let spans = self.0.get(&(range.topic.clone(), range.partition));
        spans.is_some_and(|spans| {
            spans.iter().any(|(first, last)| *first <= range.first && range.last <= *last)
        })
    }
}

/// Loads what the warehouse lacks of an archive, whose ranges are `inventory`.
///
/// # Errors
/// The archive is not on S3, or an error of archive or warehouse.
pub fn run(
    archive: &dyn Archive,
    inventory: &Inventory,
    warehouse: &dyn Warehouse,
    stop: &CancelToken,
) -> Result<LoadReport> {
    let place = archive.describe();
    let place = place.trim_end_matches('/');
    if !place.starts_with("s3://") {
        return Err(Error::usage(format!("{} reads from S3 only, not from {place}", warehouse.describe()))
            .hint("--archive s3://BUCKET[/PREFIX]"));
    }
    warehouse.init()?;
    let report = LoadReport { faults: inventory.faults.clone(), ..LoadReport::default() };
    let mut loader = Loader { archive, place, warehouse, stop, report };
    for kind in Kind::ALL {
        let loaded = LoadedOffsets::new(warehouse.loaded(place, kind)?);
        let (mut ranges, mut objects) = (Vec::new(), Vec::new());
        for (range, manifest) in &inventory.manifests {
            let of_kind = manifest.objects.iter().filter(|object| object.kind == kind.plural());
            let of_kind: Vec<&ArchiveObject> = of_kind.collect();
            if loaded.contain(range) {
                loader.report.skipped += of_kind.len() as u64;
                continue;
            }
            if of_kind.is_empty() {
                continue;
            }
            // A range is noted as loaded: all its files belong to one transaction.
            if !objects.is_empty() && objects.len() + of_kind.len() > FILES {
                loader.load(kind, &std::mem::take(&mut ranges), &std::mem::take(&mut objects))?;
            }
            ranges.push(range);
            objects.extend(of_kind);
        }
        if !objects.is_empty() {
            loader.load(kind, &ranges, &objects)?;
        }
    }
    Ok(loader.report)
}

struct Loader<'a> {
    archive: &'a dyn Archive,
    place: &'a str,
    warehouse: &'a dyn Warehouse,
    stop: &'a CancelToken,
    report: LoadReport,
}

impl Loader<'_> {
    fn load(&mut self, kind: Kind, ranges: &[&RangeName], objects: &[&ArchiveObject]) -> Result<()> {
        if self.stop.is_cancelled() {
            return Err(Error::stopped().hint("run the command again: what was loaded is skipped"));
        }
        let place = self.place;
        let entry = |object: &&ArchiveObject| CopyEntry {
            url: format!("{place}/{}", object.name),
            mandatory: true,
            meta: CopyMeta { content_length: object.bytes },
        };
        let text = to_json(&CopyManifest { entries: objects.iter().map(entry).collect() })?;
        let name = format!("{LOADS}{}-{}.json", kind.plural(), &sha256(&text)[..32]);
        retry(self.stop, Port::Archive, "write the archive", || self.archive.create(&name, &text))?;
        let of_range = |range: &&RangeName| LoadedRange {
            topic: range.topic.clone(),
            partition: range.partition,
            first: range.first,
            last: range.last,
        };
        let ranges: Vec<LoadedRange> = ranges.iter().map(of_range).collect();
        let manifest = format!("{place}/{name}");
        self.warehouse.load(&Load { archive: place, kind, manifest: &manifest, ranges: &ranges })?;
        self.report.loads += 1;
        self.report.objects += objects.len() as u64;
        self.report.records += objects.iter().map(|object| object.rows).sum::<u64>();
        tracing::info!(kind = kind.plural(), files = objects.len(), ranges = ranges.len(), "loaded");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loaded_ranges_that_follow_each_other_are_one() {
        let range = |first, last| LoadedRange { topic: "t".to_owned(), partition: 0, first, last };
        let loaded =
            LoadedOffsets::new(vec![range(20, 29), range(0, 9), range(10, 19), range(0, 9), range(40, 49)]);
        let contain =
            |first, last| loaded.contain(&RangeName { topic: "t".to_owned(), partition: 0, first, last });
        assert!(contain(0, 29) && contain(5, 15) && contain(40, 49));
        assert!(!contain(0, 30) && !contain(30, 39) && !contain(29, 40));
        let other = RangeName { topic: "u".to_owned(), partition: 0, first: 0, last: 9 };
        assert!(!loaded.contain(&other));
    }
}
