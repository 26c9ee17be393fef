//! Which of two versions of one record replaces the other: the same rule in every store and in `verify`.
//!
//! A version is ordered by its write timestamp in microseconds: the message's timestamp in milliseconds, then 0 to 999
//! derived from the record itself, its revision before its content. Cassandra resolves every cell of a row by that
//! number alone, so two versions with different numbers resolve as a whole, in whatever order they are written.
//!
//! Numbers collide for one in 250 pairs of the same identity, millisecond and revision but different content.
//! SQLite and `verify` then compare the content; Cassandra compares cell by cell.

use crate::described::DescribedRecord;
use crate::digest;
use crate::record::{QuoteSide, Record};
use crate::table::Role;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Values of the tie-break below one millisecond.
const PER_MILLISECOND: i64 = 1_000;
/// Revisions distinguished by the tie-break: 0, 1, 2, and 3 or more.
const REVISIONS: i64 = 4;
/// Values left for the content of each revision.
const CONTENTS: u64 = (PER_MILLISECOND / REVISIONS).unsigned_abs();

/// The order of a record's versions; the greatest is the one that a store keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Write timestamp, microseconds since 1970.
    pub write_us: i64,
    /// [`digest::content`].
    pub content: u128,
    /// Receive time, nanoseconds since 1970: the only difference between two versions of equal content.
    recv_ts: i64,
}

impl Version {
    /// Version of a record whose message has this timestamp. `scratch` is a buffer to reuse.
    #[must_use]
    pub fn of<S: AsRef<str> + Copy>(record: &Record<S>, stamp_ms: i64, scratch: &mut Vec<u8>) -> Self {
        Self {
            write_us: write_timestamp(record, stamp_ms),
            content: digest::content(record, scratch),
            recv_ts: record.recv_ts().0,
        }
    }
}

/// Write timestamp of a record in microseconds since 1970. Stored rows depend on it: it must never change.
#[must_use]
#[inline]
pub fn write_timestamp<S: AsRef<str>>(record: &Record<S>, stamp_ms: i64) -> i64 {
    // `i64::MIN` is Cassandra's mark of no timestamp.
    stamp_ms.saturating_mul(PER_MILLISECOND).saturating_add(tie_break(record)).max(i64::MIN + 1)
}

fn tie_break<S: AsRef<str>>(record: &Record<S>) -> i64 {
    let (revision, hash) = match record {
        Record::Trade(trade) => {
            let mut fixed = [0_u8; 42];
            fixed[..16].copy_from_slice(&trade.price.raw().to_le_bytes());
            fixed[16..32].copy_from_slice(&trade.size.raw().to_le_bytes());
            fixed[32..40].copy_from_slice(&trade.seq.to_le_bytes());
            fixed[40] = trade.side as u8;
            fixed[41] = u8::from(trade.canceled);
            let hash = xxh3_64_with_seed(trade.conditions.as_ref().as_bytes(), xxh3_64(&fixed));
            (trade.revision, xxh3_64_with_seed(trade.tape.as_ref().as_bytes(), hash))
        }
        Record::Quote(quote) => {
            let hash = xxh3_64(quote.conditions.as_ref().as_bytes());
            (0, side(quote.ask.as_ref(), side(quote.bid.as_ref(), hash)))
        }
        Record::Reading(reading) => {
            let mut hash = reading.value.class as u64;
            for text in [&reading.value.text, &reading.unit, &reading.quality, &reading.tags] {
                hash = xxh3_64_with_seed(text.as_ref().as_bytes(), hash);
            }
            (0, hash)
        }
        Record::Described(record) => (0, described(&record.as_str())),
    };
    let level = i64::from(revision).min(REVISIONS - 1);
    level * (PER_MILLISECOND / REVISIONS) + (hash % CONTENTS) as i64
}

/// Hash of one side of a quote, continued from `seed`; an absent side differs from every present one.
fn side<S: AsRef<str>>(side: Option<&QuoteSide<S>>, seed: u64) -> u64 {
    let Some(side) = side else { return xxh3_64_with_seed(b"", seed) };
    let mut fixed = [0_u8; 32];
    fixed[..16].copy_from_slice(&side.price.raw().to_le_bytes());
    fixed[16..].copy_from_slice(&side.size.raw().to_le_bytes());
    xxh3_64_with_seed(side.venue.as_ref().as_bytes(), xxh3_64_with_seed(&fixed, seed))
}

/// Hash of the values of a record, without its receive time.
fn described(record: &DescribedRecord<&str>) -> u64 {
    let mut bytes = Vec::new();
    for (column, cell) in record.kind.table().columns.iter().zip(record.cells()) {
        if column.role == Role::Value && column.name != "recv_ts" {
            cell.write_bytes(&mut bytes);
        }
    }
    xxh3_64(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;
    use crate::codec::json;

    const TRADE: &str = r#"{"symbol":"SPY","feed":"f","venue":"P","id":"1","ts":1,"recv_ts":1,"price":"10","size":"1","conditions":[]}"#;
    const QUOTE: &str = r#"{"symbol":"SPY","feed":"f","seq":1,"ts":1,"recv_ts":1,"bid":"1","bid_size":"2","bid_venue":"P","conditions":[]}"#;

    const READING: &str =
        r#"{"series":"s","feed":"f","seq":1,"ts":1,"recv_ts":1,"type":"decimal","value":"1"}"#;

    fn version(kind: Kind, text: &str, stamp_ms: i64) -> Version {
        Version::of(&json::decode(kind, text.as_bytes()).unwrap(), stamp_ms, &mut Vec::new())
    }

    #[test]
    fn a_later_message_wins_then_a_higher_revision_then_the_content() {
        let of = |more: &str, stamp: i64| {
            version(Kind::TRADE, &TRADE.replace("[]}", &format!("[]{more}}}")), stamp)
        };
        let revisions = ["", r#","revision":1"#, r#","revision":2"#, r#","revision":3"#];
        for pair in revisions.windows(2) {
            assert!(of(pair[0], 5).write_us < of(pair[1], 5).write_us, "{pair:?}");
            assert!(of(pair[1], 5).write_us < of(pair[0], 6).write_us, "{pair:?}");
        }
        let (first, second) = (of("", 5), version(Kind::TRADE, &TRADE.replace("10", "11"), 5));
        assert_ne!(first.write_us, second.write_us);
        assert_eq!(first.write_us / 1_000, 5);
    }

    #[test]
    fn every_field_but_the_receive_time_takes_part_in_the_tie_break() {
        let of = |kind, text: &str| version(kind, text, 0).write_us;
        for (from, to) in [
            ("\"10\"", "\"11\""),
            ("\"size\":\"1\"", "\"size\":\"2\""),
            ("[]", "[\"@\"]"),
            ("[]", r#"[],"tape":"B""#),
            ("[]", r#"[],"seq":7"#),
            ("[]", r#"[],"canceled":true"#),
            ("\"conditions\"", r#""side":"buy","conditions""#),
        ] {
            assert_ne!(of(Kind::TRADE, TRADE), of(Kind::TRADE, &TRADE.replacen(from, to, 1)), "{to}");
        }
        let ask = QUOTE.replace("bid", "ask");
        for other in [&ask, &QUOTE.replace("\"1\"", "\"3\""), &QUOTE.replace("\"P\"", "\"Q\"")] {
            assert_ne!(of(Kind::QUOTE, QUOTE), of(Kind::QUOTE, other), "{other}");
        }
        assert_eq!(of(Kind::TRADE, TRADE), of(Kind::TRADE, &TRADE.replace("\"recv_ts\":1", "\"recv_ts\":9")));
    }

    #[test]
    fn every_field_of_a_reading_takes_part_too() {
        let of = |text: &str| version(Kind::READING, text, 0).write_us;
        for (from, to) in [
            ("decimal", "text"),
            ("\"1\"", "\"2\""),
            ("}", r#","unit":"V"}"#),
            ("}", r#","quality":"V"}"#),
            ("}", r#","tags":{"V":""}}"#),
        ] {
            assert_ne!(of(READING), of(&READING.replacen(from, to, 1)), "{to}");
        }
    }

    #[test]
    fn the_numbers_that_stored_rows_carry_do_not_change() {
        assert_eq!(version(Kind::TRADE, TRADE, 1_381_190_400_000).write_us, TRADE_US);
        assert_eq!(version(Kind::QUOTE, QUOTE, 1_381_190_400_000).write_us, QUOTE_US);
    }

    const TRADE_US: i64 = 1_381_190_400_000_065;
    const QUOTE_US: i64 = 1_381_190_400_000_004;

    #[test]
    fn extreme_message_timestamps_do_not_overflow() {
        for stamp in [i64::MIN, i64::MAX, -1] {
            assert!(version(Kind::TRADE, TRADE, stamp).write_us > i64::MIN);
        }
    }
}
