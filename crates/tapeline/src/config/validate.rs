//! Ranges and words of settings. They are data, so that the JSON Schema says the same.

use super::layers::find;
use toml::{Table, Value};

/// Smallest and largest value of integers, by path.
pub(super) const RANGES: [(&str, i64, i64); 22] = [
    ("topic.partitions", 1, 10_000),
    ("topic.kafka.replication", 1, 100),
    ("topic.kafka.linger_ms", 0, 60_000),
    ("topic.kafka.session_timeout_ms", 1_000, 1_800_000),
    ("store.cassandra.replication", 1, 100),
    ("store.cassandra.retention_days", 0, 36_500),
    ("store.cassandra.batch_rows", 1, 65_535),
    ("store.cassandra.in_flight", 1, 4_096),
    ("store.cassandra.connections", 1, 1_024),
    ("consume.cycle", 1, 1_000_000),
    ("consume.in_flight", 1, 100_000_000),
    ("consume.in_flight_mib", 1, 1_048_576),
    ("consume.commit_ms", 1, 3_600_000),
    ("consume.drain_ms", 0, 3_600_000),
    ("produce.position_ms", 1, 3_600_000),
    ("source.stall_s", 1, 86_400),
    ("aggregate.emit_delay_ms", 0, 86_400_000),
    ("aggregate.allowed_lateness_s", 0, 31_536_000),
    ("aggregate.emit_interval_ms", 1, 3_600_000),
    ("archive.rows", 1, 10_000_000),
    ("archive.age_s", 1, 31_536_000),
    ("archive.memory_mib", 1, 1_048_576),
];

/// Words that a setting may have, in any case, by path.
pub(super) const WORDS: [(&str, &[&str]); 5] = [
    ("topic.kafka.compression", &["none", "lz4", "zstd", "gzip", "snappy"]),
    ("store.cassandra.consistency", &["LOCAL_QUORUM", "LOCAL_ONE", "QUORUM", "ONE", "ALL"]),
    ("topic.kafka.tls.verify", &["full", "ca", "none"]),
    ("store.cassandra.tls.verify", &["full", "ca", "none"]),
    ("log.format", &["text", "json"]),
];

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Names that Kafka takes as part of a topic's name, or as a group.
pub(super) const NAMES: [&str; 2] = ["topic.prefix", "topic.group"];

/// Checks every number and word that has a range. Returns path and fault of each that is out of it. A value of another
/// type is a fault of its own, found before.
pub(super) fn check(table: &Table) -> Vec<(String, String)> {
    let mut faults: Vec<(String, String)> = Vec::new();
    let mut fault = |path: &str, text: String| faults.push((path.to_owned(), format!("{path}: {text}")));
    for (path, low, high) in RANGES {
        if let Some(value) = find(table, path).and_then(Value::as_integer)
            && !(low..=high).contains(&value)
        {
            fault(path, format!("expected {low} to {high}, found {value}"));
        }
    }
    let text = |path: &str| find(table, path).and_then(Value::as_str);
    // How TLS is verified is an enumeration, which its type checks. A log level of several words is a filter, which is
    // parsed when the log starts.
    let level = ("log.level", &LEVELS[..]);
    let filter = text("log.level").is_some_and(|level| level.contains(['=', ',']));
    let words = WORDS.into_iter().filter(|(path, _)| !path.ends_with(".verify"));
    for (path, words) in words.chain((!filter).then_some(level)) {
        if let Some(value) = text(path)
            && !words.iter().any(|word| word.eq_ignore_ascii_case(value))
        {
            fault(path, format!("expected {}, found `{value}`", words.join(", ")));
        }
    }
    for path in NAMES {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if let Some(value) = text(path)
            && (value.is_empty() || value.len() > 200 || !value.chars().all(fits))
        {
            fault(path, format!("expected 1 to 200 of the characters a-z A-Z 0-9 . _ -, found `{value}`"));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::super::load;

    #[test]
    fn every_value_out_of_range_is_named() {
        let flags = [
            ("topic.partitions", "0"),
            ("consume.cycle", "0"),
            ("topic.prefix", ""),
            ("log.level", "loud"),
            ("store.cassandra.consistency", "MOST"),
            ("topic.kafka.compression", "rar"),
        ]
        .map(|(name, value)| (name, Some(value.to_owned())));
        let error = load(None, std::iter::empty(), &flags).unwrap_err().to_string();
        for part in [
            "topic.partitions: expected 1 to 10000, found 0",
            "consume.cycle: expected 1 to 1000000, found 0",
            "topic.prefix: expected 1 to 200",
            "log.level: expected off, error",
            "store.cassandra.consistency: expected LOCAL_QUORUM",
            "found `rar`",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
        let negative = [("topic.partitions", Some("-1".to_owned()))];
        assert!(load(None, std::iter::empty(), &negative).unwrap_err().to_string().contains("found -1"));
        let filter = [("log.level", Some("info,adapters=debug".to_owned()))];
        load(None, std::iter::empty(), &filter).unwrap();
    }
}
