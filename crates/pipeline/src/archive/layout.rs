//! What the archive holds, by name: claims, objects and manifests.
//!
//! ```text
//! _ranges/tapeline.trades/00003/00000000000000000100.json                        claim: the range from offset 100 ends at 199
//! kind=trades/date=2013-10-08/bucket=3/tapeline.trades-00003-0…0100-0…0199.parquet
//! _manifests/tapeline.trades/00003/0…0100-0…0199.json                            the range is complete
//! _merges/tapeline.trades/00003/0…0001.json                                      plan: these ranges become one
//! ```
//!
//! Everything is created if absent and never changed; what a merged range replaces is removed ([`super::compact`]). The claim decides where a range ends; so every retry, and every
//! process that takes the partition over, writes the same range under the same names.

use market::{Kind, UnixNanos};
use ports::archive::{Archive, ObjectInfo};
use ports::cancel::retry;
use ports::metrics::Port;
use ports::{CancelToken, Error, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Folder of claims.
pub const RANGES: &str = "_ranges/";
/// Folder of manifests.
pub const MANIFESTS: &str = "_manifests/";
/// Folder of the plans of compaction.
pub const MERGES: &str = "_merges/";
/// Folder of what a warehouse is given to read: lists of objects.
pub const LOADS: &str = "_loads/";
/// Start of the names of objects.
pub const OBJECTS: &str = "kind=";
/// What to do about a damaged object.
pub const AGAIN: &str = "restore the file from a backup; or move it away, and `tapeline archive --until-end` writes it \
                         again while the topic has its messages";
const NANOS_PER_DAY: i64 = 86_400 * 1_000_000_000;

/// Decides where a range ends, before any of its objects is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RangeClaim {
    /// First offset.
    pub first: i64,
    /// Last offset, inclusive.
    pub last: i64,
    /// Why none of its messages could be read, if they were lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
}

/// Describes a complete range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this format.
    pub version: u32,
    /// The topic's name.
    pub topic: String,
    /// The topic's partition.
    pub partition: i32,
    /// First offset.
    pub first: i64,
    /// Last offset, inclusive.
    pub last: i64,
    /// Messages read in the range.
    pub messages: u64,
    /// Those of them that are not records; `consume` keeps them as dead letters.
    pub unreadable: u64,
    /// Why none of its messages could be read, if they were lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
    /// Its objects, one for each kind and date.
    pub objects: Vec<ArchiveObject>,
    /// Number of ranges that it was merged from, and that it replaces; 0: none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub merged: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The ranges that become one: decided before anything of it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MergePlan {
    /// First and last offset of each, one after the other.
    pub ranges: Vec<[i64; 2]>,
}

/// Describes an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchiveObject {
    /// Its name.
    pub name: String,
    /// `trades`, `quotes` or `readings`.
    pub kind: String,
    /// Date of its records in UTC, `2013-10-08`.
    pub date: String,
    /// Number of records.
    pub rows: u64,
    /// First and last offset of its records.
    pub offsets: [i64; 2],
    /// Earliest and latest event time of its records, nanoseconds since 1970.
    pub ts_ns: [i64; 2],
    /// Sum of the hashes of its records, as `verify` shows it.
    pub fingerprint: String,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 of its bytes, hexadecimal.
    pub sha256: String,
}

/// Names a range: topic, partition, first and last offset.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RangeName {
    /// The topic's name.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// First offset.
    pub first: i64,
    /// Last offset, inclusive.
    pub last: i64,
}

impl RangeName {
    /// Folder of the claims of a partition.
    #[must_use]
    pub fn claims(topic: &str, partition: i32) -> String {
        format!("{RANGES}{topic}/{partition:05}/")
    }

    /// Folder of the manifests of a partition.
    #[must_use]
    pub fn manifests(topic: &str, partition: i32) -> String {
        format!("{MANIFESTS}{topic}/{partition:05}/")
    }

    /// Folder of the plans of compaction of a partition.
    #[must_use]
    pub fn merges(topic: &str, partition: i32) -> String {
        format!("{MERGES}{topic}/{partition:05}/")
    }

    /// Name of a plan of compaction.
    #[must_use]
    pub fn merge(topic: &str, partition: i32, number: u64) -> String {
        format!("{}{number:020}.json", Self::merges(topic, partition))
    }

    /// Topic, partition and number in the name of a plan; `None` if it is not the name of one.
    #[must_use]
    pub fn of_merge(name: &str) -> Option<(String, i32, u64)> {
        let (topic, partition, number) = parts(name, MERGES)?;
        let number = number.parse().ok()?;
        (Self::merge(topic, partition, number) == name).then(|| (topic.to_owned(), partition, number))
    }

    /// Folder of the objects of a kind.
    #[must_use]
    pub fn objects(kind: Kind) -> String {
        format!("{OBJECTS}{}/", kind.plural())
    }

    /// The range that a manifest's name describes; `None` if it is not the name of a manifest.
    #[must_use]
    pub fn of_manifest(name: &str) -> Option<Self> {
        let (topic, partition, offsets) = parts(name, MANIFESTS)?;
        let (first, last) = offsets.split_once('-')?;
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        let range = Self { topic: topic.to_owned(), partition, first, last };
        (range.manifest() == name).then_some(range)
    }

    /// The range in the name of an object; `None` if it is not the name of an object.
    #[must_use]
    pub fn of_object(name: &str) -> Option<Self> {
        let (folder, file) = name.strip_prefix(OBJECTS)?.rsplit_once('/')?;
        let mut parts = file.strip_suffix(".parquet")?.rsplitn(4, '-');
        let mut number = || parts.next()?.parse::<i64>().ok();
        let (last, first, partition) = (number()?, number()?, number()?);
        let partition = i32::try_from(partition).ok()?;
        let topic = parts.next()?.to_owned();
        let canonical = format!("{topic}-{partition:05}-{first:020}-{last:020}.parquet");
        let mut above = folder.split('/');
        let (kind, date, bucket) = (above.next()?, above.next()?, above.next()?);
        let fits = above.next().is_none()
            && kind.parse::<Kind>().is_ok()
            && date.starts_with("date=")
            && bucket == format!("bucket={partition}")
            && file == canonical;
        fits.then_some(Self { topic, partition, first, last })
    }

    /// Topic, partition and first offset in the name of a claim; `None` if it is not the name of a claim.
    #[must_use]
    pub fn of_claim(name: &str) -> Option<(String, i32, i64)> {
        let (topic, partition, first) = parts(name, RANGES)?;
        let first = first.parse().ok()?;
        (Self::claim(topic, partition, first) == name).then(|| (topic.to_owned(), partition, first))
    }

    /// First offset in the name of a claim.
    #[must_use]
    pub fn first_of_claim(name: &str) -> Option<i64> {
        Self::of_claim(name).map(|(_, _, first)| first)
    }

    /// Name of its claim.
    #[must_use]
    pub fn claim_name(&self) -> String {
        Self::claim(&self.topic, self.partition, self.first)
    }

    /// Name of the claim of the range that begins at `first`.
    #[must_use]
    pub fn claim(topic: &str, partition: i32, first: i64) -> String {
        format!("{}{first:020}.json", Self::claims(topic, partition))
    }

    /// Name of its manifest.
    #[must_use]
    pub fn manifest(&self) -> String {
        let Self { topic, partition, first, last } = self;
        format!("{MANIFESTS}{topic}/{partition:05}/{first:020}-{last:020}.json")
    }

    /// Name of its object of a kind and a day, counted from 1970.
    #[must_use]
    pub fn object(&self, kind: Kind, day: i64) -> String {
        let Self { topic, partition, first, last } = self;
        let (kind, date) = (kind.plural(), date(day));
        format!(
            "{OBJECTS}{kind}/date={date}/bucket={partition}/{topic}-{partition:05}-{first:020}-{last:020}.parquet"
        )
    }

    /// For people: `tapeline.trades/3 offsets 100 to 199`.
    #[must_use]
    pub fn describe(&self) -> String {
        format!("{}/{} offsets {} to {}", self.topic, self.partition, self.first, self.last)
    }
}

/// Topic, partition and the rest of `FOLDER/topic/partition/rest.json`.
fn parts<'n>(name: &'n str, folder: &str) -> Option<(&'n str, i32, &'n str)> {
    let mut parts = name.strip_prefix(folder)?.strip_suffix(".json")?.split('/');
    let (topic, partition, rest) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?);
    parts.next().is_none().then_some((topic, partition, rest))
}

impl Manifest {
    /// The range it describes.
    #[must_use]
    pub fn range(&self) -> RangeName {
        RangeName { topic: self.topic.clone(), partition: self.partition, first: self.first, last: self.last }
    }
}

/// Ranges that contain others, which they replace.
#[derive(Debug, Default)]
pub struct MergedRanges(BTreeMap<(String, i32), BTreeMap<i64, i64>>);

impl MergedRanges {
    /// Of these, those that no other contains.
    #[must_use]
    pub fn new<'a>(ranges: impl IntoIterator<Item = &'a RangeName>) -> Self {
        let mut ranges: Vec<&RangeName> = ranges.into_iter().collect();
        ranges.sort_unstable_by_key(|range| (&range.topic, range.partition, range.first, -range.last));
        let mut outer = Self::default();
        for range in ranges {
            let of_partition = outer.0.entry((range.topic.clone(), range.partition)).or_default();
            if of_partition.last_key_value().is_none_or(|(_, last)| *last < range.last) {
                of_partition.insert(range.first, range.last);
            }
        }
        outer
    }

    /// Whether one of them contains this range and is another one.
    #[must_use]
    pub fn replaces(&self, range: &RangeName) -> bool {
        self.around(&range.topic, range.partition, range.first)
            .is_some_and(|(first, last)| range.last <= last && (first, last) != (range.first, range.last))
    }

    /// Whether one of them contains this offset.
    #[must_use]
    pub fn contains(&self, topic: &str, partition: i32, offset: i64) -> bool {
        self.around(topic, partition, offset).is_some_and(|(_, last)| offset <= last)
    }

    /// The last one that begins at this offset or before.
    fn around(&self, topic: &str, partition: i32, offset: i64) -> Option<(i64, i64)> {
        let of_partition = self.0.get(&(topic.to_owned(), partition))?;
        of_partition.range(..=offset).next_back().map(|(first, last)| (*first, *last))
    }
}

/// The day of a time, counted from 1970, in UTC.
#[must_use]
pub fn day(ts: UnixNanos) -> i64 {
    ts.0.div_euclid(NANOS_PER_DAY)
}

/// `2013-10-08`.
#[must_use]
pub fn date(day: i64) -> String {
    UnixNanos(day.saturating_mul(NANOS_PER_DAY)).local("%Y-%m-%d", "UTC")
}

/// SHA-256 of an object's bytes, hexadecimal.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The objects under a prefix.
///
/// # Errors
/// The archive cannot be read.
pub fn list(archive: &dyn Archive, prefix: &str, stop: &CancelToken) -> Result<Vec<ObjectInfo>> {
    retry(stop, Port::Archive, "list the archive", || archive.list(prefix))
}

/// A JSON object that was read.
#[derive(Debug)]
pub enum Parsed<T> {
    /// There is none of this name.
    Absent,
    /// It is not what it should be, and why.
    Damaged(String),
    /// Its content.
    Whole(T),
}

/// Reads a JSON object.
///
/// # Errors
/// The archive cannot be read.
pub fn parse_json<T: DeserializeOwned>(
    archive: &dyn Archive,
    name: &str,
    stop: &CancelToken,
) -> Result<Parsed<T>> {
    let Some(bytes) = retry(stop, Port::Archive, "read the archive", || archive.read(name))? else {
        return Ok(Parsed::Absent);
    };
    Ok(serde_json::from_slice(&bytes).map_or_else(|error| Parsed::Damaged(error.to_string()), Parsed::Whole))
}

/// Reads a JSON object; `None` if there is none of this name.
///
/// # Errors
/// The archive cannot be read, or the object is damaged.
pub fn read_json<T: DeserializeOwned>(
    archive: &dyn Archive,
    name: &str,
    stop: &CancelToken,
) -> Result<Option<T>> {
    match parse_json(archive, name, stop)? {
        Parsed::Absent => Ok(None),
        Parsed::Whole(whole) => Ok(Some(whole)),
        Parsed::Damaged(why) => {
            Err(Error::user(format!("{name} in {} is damaged: {why}", archive.describe())).hint(AGAIN))
        }
    }
}

/// The text of a JSON object.
///
/// # Errors
/// A fault of ours.
pub fn to_json(what: &impl Serialize) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(what)
        .map_err(|error| Error::internal(format!("write a manifest: {error}")))?;
    text.push(b'\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_offset_and_name_the_whole_range() {
        let range = RangeName { topic: "t.trades".to_owned(), partition: 3, first: 100, last: 199 };
        let noon = UnixNanos::parse("2013-10-08T12:00:00Z").unwrap();
        assert_eq!(
            range.object(Kind::TRADE, day(noon)),
            "kind=trades/date=2013-10-08/bucket=3/t.trades-00003-00000000000000000100-00000000000000000199.parquet"
        );
        assert!(RangeName::claim("t", 1, 99) < RangeName::claim("t", 1, 100));
        assert_eq!(date(day(UnixNanos(-1))), "1969-12-31");
        let plan = RangeName::merge("t.trades", 3, 7);
        assert_eq!(RangeName::of_merge(&plan), Some(("t.trades".to_owned(), 3, 7)));
        assert_eq!(RangeName::of_merge(&plan.replace("007", "7")), None);
        ports::archive::check_name(&plan).unwrap();
        ports::archive::check_name(&range.manifest()).unwrap();
        ports::archive::check_name(&range.object(Kind::QUOTE, day(UnixNanos(i64::MIN)))).unwrap();
        ports::archive::check_name(&range.object(Kind::QUOTE, day(UnixNanos(i64::MAX)))).unwrap();
    }

    #[test]
    fn a_merged_range_replaces_those_within_it() {
        let range = |first, last| RangeName { topic: "t".to_owned(), partition: 0, first, last };
        let all = [range(0, 9), range(0, 29), range(10, 19), range(20, 29), range(30, 39), range(30, 49)];
        let merged = MergedRanges::new(&all);
        let left: Vec<&RangeName> = all.iter().filter(|range| !merged.replaces(range)).collect();
        assert_eq!(left, [&range(0, 29), &range(30, 49)]);
        assert!(merged.contains("t", 0, 29) && merged.contains("t", 0, 49) && !merged.contains("t", 0, 50));
        assert!(!merged.contains("t", 1, 5) && !merged.replaces(&range(25, 35)));
        // Merged again: the outermost counts, for what follows a range within it too.
        let twice = MergedRanges::new(&[range(0, 29), range(10, 19), range(0, 99)]);
        assert!(twice.replaces(&range(0, 29)) && twice.replaces(&range(40, 49)));
    }
}
