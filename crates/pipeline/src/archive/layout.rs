//! What the archive holds, by name: claims, objects and manifests.
//!
//! ```text
//! _ranges/tapeline.trades/00003/00000000000000000100.json                        claim: the range from offset 100 ends at 199
//! kind=trades/date=2013-10-08/bucket=3/tapeline.trades-00003-0…0100-0…0199.parquet
//! _manifests/tapeline.trades/00003/0…0100-0…0199.json                            the range is complete
//! ```
//!
//! Everything is created if absent and never changed. The claim decides where a range ends; so every retry, and every
//! process that takes the partition over, writes the same range under the same names.

use market::{Kind, UnixNanos};
use ports::archive::Archive;
use ports::cancel::retry;
use ports::metrics::Port;
use ports::{CancelToken, Error, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Folder of claims.
pub const RANGES: &str = "_ranges/";
/// Folder of manifests.
pub const MANIFESTS: &str = "_manifests/";
/// Start of the names of objects.
pub const OBJECTS: &str = "kind=";
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

impl Manifest {
    /// The range it describes.
    #[must_use]
    pub fn range(&self) -> RangeName {
        RangeName { topic: self.topic.clone(), partition: self.partition, first: self.first, last: self.last }
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

/// Reads a JSON object; `None` if there is none of this name.
///
/// # Errors
/// The archive cannot be read, or the object is damaged.
pub fn read_json<T: DeserializeOwned>(
    archive: &dyn Archive,
    name: &str,
    stop: &CancelToken,
) -> Result<Option<T>> {
    let Some(bytes) = retry(stop, Port::Archive, "read the archive", || archive.read(name))? else {
        return Ok(None);
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| {
        Error::user(format!("{name} in {} is damaged: {error}", archive.describe()))
            .hint("restore it from a backup or an older version; tapeline verify --archive shows what else is wrong")
    })
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
            range.object(Kind::Trade, day(noon)),
            "kind=trades/date=2013-10-08/bucket=3/t.trades-00003-00000000000000000100-00000000000000000199.parquet"
        );
        assert!(RangeName::claim("t", 1, 99) < RangeName::claim("t", 1, 100));
        assert_eq!(date(day(UnixNanos(-1))), "1969-12-31");
        ports::archive::check_name(&range.manifest()).unwrap();
        ports::archive::check_name(&range.object(Kind::Quote, day(UnixNanos(i64::MIN)))).unwrap();
        ports::archive::check_name(&range.object(Kind::Quote, day(UnixNanos(i64::MAX)))).unwrap();
    }
}
