//! An order-independent fingerprint of a set of records.
//!
//! Each record's canonical JSON is hashed to 128 bits (XXH3), and the hashes are added. Two sets with the
//! same count and sum contain the same records, field for field, in whatever order they were read; a changed
//! price, a lost trade or a duplicate changes the sum. It detects faults, not deliberate forgery.

use crate::codec::json;
use crate::described::DescribedRecord;
use crate::record::Record;
use crate::table::Role;
use crate::time::UnixNanos;
use std::fmt;

/// Count and sum. The receive time is excluded: it is ours, not the market's, and a second run receives
/// again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Digest {
    /// Number of records added.
    pub count: u64,
    sum: u128,
}

impl Digest {
    /// Adds one record. `scratch` is a buffer to reuse.
    pub fn add<S: AsRef<str> + Copy>(&mut self, record: &Record<S>, scratch: &mut Vec<u8>) {
        self.add_hash(content(record, scratch));
    }

    /// Adds one record by its [`content`].
    pub fn add_hash(&mut self, hash: u128) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(hash);
    }

    /// Adds another digest.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:016x}", (self.sum >> 64) as u64 ^ self.sum as u64))
    }
}

/// A 128-bit hash of all fields of a record except its receive time.
#[must_use]
pub fn content<S: AsRef<str> + Copy>(record: &Record<S>, scratch: &mut Vec<u8>) -> u128 {
    let mut record = *record;
    match &mut record {
        Record::Trade(trade) => trade.recv_ts = UnixNanos(0),
        Record::Quote(quote) => quote.recv_ts = UnixNanos(0),
        Record::Reading(reading) => reading.recv_ts = UnixNanos(0),
        Record::Described(record) => record.recv_ts = UnixNanos(0),
    }
    scratch.clear();
    json::encode(&record, scratch);
    xxhash_rust::xxh3::xxh3_128(scratch)
}

/// A 64-bit hash of a record's identity: (kind, feed, symbol, venue, id or seq, time).
#[must_use]
pub fn identity<S: AsRef<str>>(record: &Record<S>, scratch: &mut Vec<u8>) -> u64 {
    scratch.clear();
    let mut push = |text: &str| {
        scratch.extend_from_slice(text.as_bytes());
        scratch.push(0);
    };
    match record {
        Record::Trade(trade) => {
            push(trade.symbol.as_ref());
            push(trade.feed.as_ref());
            push(trade.venue.as_ref());
            push(trade.id.as_ref());
            scratch.push(b't');
        }
        Record::Quote(quote) => {
            push(quote.symbol.as_ref());
            push(quote.feed.as_ref());
            scratch.extend_from_slice(&quote.seq.to_le_bytes());
            scratch.push(b'q');
        }
        Record::Reading(reading) => {
            push(reading.series.as_ref());
            push(reading.feed.as_ref());
            scratch.extend_from_slice(&reading.seq.to_le_bytes());
            scratch.push(b'r');
        }
        Record::Described(record) => {
            push(record.symbol.as_ref());
            push(record.feed.as_ref());
            described_key(&record.as_str(), scratch);
        }
    }
    scratch.extend_from_slice(&record.ts().0.to_le_bytes());
    xxhash_rust::xxh3::xxh3_64(scratch)
}

/// The kind, and the columns that distinguish records of one feed and time.
fn described_key(record: &DescribedRecord<&str>, scratch: &mut Vec<u8>) {
    let table = record.kind.table();
    scratch.extend_from_slice(table.singular.as_bytes());
    for (column, cell) in table.columns.iter().zip(record.cells()) {
        if column.role == Role::Clustering && !matches!(column.name, "ts" | "feed") {
            cell.write_bytes(scratch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    fn digest(rows: &[&str]) -> Digest {
        let mut digest = Digest::default();
        for row in rows {
            digest.add(&json::decode(Kind::TRADE, row.as_bytes()).unwrap(), &mut Vec::new());
        }
        digest
    }

    #[test]
    fn order_and_receive_time_do_not_matter_but_every_field_does() {
        let first = r#"{"symbol":"SPY","feed":"f","venue":"P","id":"1","ts":1,"recv_ts":1,"price":"1","size":"1","conditions":[]}"#;
        let second = first.replace("\"id\":\"1\"", "\"id\":\"2\"");
        let whole = digest(&[first, &second]);
        assert_eq!(whole, digest(&[&second, first]));
        assert_eq!(whole, digest(&[&second.replace("\"recv_ts\":1", "\"recv_ts\":9"), first]));
        let mut merged = digest(&[first]);
        merged.merge(&digest(&[&second]));
        assert_eq!(whole, merged);
        assert_ne!(whole, digest(&[first, first]));
        for (from, to) in [
            ("\"price\":\"1\"", "\"price\":\"1.000000000000000001\""),
            ("\"P\"", "\"Q\""),
            ("[]", "[\"\"]"),
            ("\"size\":\"1\"", "\"size\":\"1\",\"side\":\"buy\""),
            ("[]", "[],\"seq\":1"),
        ] {
            assert_ne!(whole, digest(&[first, &second.replace(from, to)]), "{to}");
        }
    }

    #[test]
    fn identity_ignores_what_a_correction_changes() {
        let row = r#"{"symbol":"SPY","feed":"f","venue":"P","id":"1","ts":1,"recv_ts":1,"price":"1","size":"1","conditions":[]}"#;
        let id = |row: &str| identity(&json::decode(Kind::TRADE, row.as_bytes()).unwrap(), &mut Vec::new());
        assert_eq!(id(row), id(&row.replace("\"price\":\"1\"", "\"price\":\"2\"")));
        assert_ne!(id(row), id(&row.replace("\"venue\":\"P\"", "\"venue\":\"Q\"")));
        assert_ne!(id(row), id(&row.replace("\"ts\":1", "\"ts\":2")));
    }
}
