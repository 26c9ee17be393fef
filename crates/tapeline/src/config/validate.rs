//! Ranges and words of settings. They are data, so that the JSON Schema says the same.

use super::paths::find;
use ports::duration;
use toml::{Table, Value};

/// Smallest and largest value of integers, by path.
pub(super) const RANGES: [(&str, i64, i64); 12] = [
    ("topic.partitions", 1, 10_000),
    ("topic.kafka.replication", 1, 100),
    ("store.cassandra.replication", 1, 100),
    ("store.cassandra.retention_days", 0, 36_500),
    ("store.cassandra.batch_rows", 1, 65_535),
    ("store.cassandra.in_flight", 1, 4_096),
    ("store.cassandra.connections", 1, 1_024),
    ("consume.cycle", 1, 1_000_000),
    ("consume.in_flight", 1, 100_000_000),
    ("consume.in_flight_mib", 1, 1_048_576),
    ("archive.rows", 1, 10_000_000),
    ("archive.memory_mib", 1, 1_048_576),
];

/// Shortest and longest duration, by path.
pub(super) const DURATIONS: [(&str, &str, &str); 15] = [
    ("topic.kafka.linger", "0s", "1m"),
    ("topic.kafka.session_timeout", "1s", "30m"),
    ("consume.commit_interval", "1ms", "1h"),
    ("consume.drain_timeout", "0s", "1h"),
    ("produce.position_interval", "1ms", "1h"),
    ("source.stall", "1s", "1d"),
    ("aggregate.emit_delay", "0s", "1d"),
    ("aggregate.allowed_lateness", "0s", "365d"),
    ("aggregate.emit_interval", "1ms", "1h"),
    ("archive.age", "1s", "365d"),
    ("redshift.deadline", "1s", "1d"),
    ("alert.checkpoint_interval", "1s", "1h"),
    ("serve.query_deadline", "1ms", "1h"),
    ("serve.io_timeout", "100ms", "1h"),
    ("serve.frame_interval", "1ms", "1m"),
];

/// Words that a setting may have, in any case, by path.
pub(super) const WORDS: [(&str, &[&str]); 7] = [
    ("topic.format", &["json", "avro"]),
    ("topic.kafka.compression", &["none", "lz4", "zstd", "gzip", "snappy"]),
    ("store.cassandra.consistency", &["LOCAL_QUORUM", "LOCAL_ONE", "QUORUM", "ONE", "ALL"]),
    ("source.mqtt.tls.verify", &["full", "ca", "none"]),
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
    let mut fault = |path: &str, text: String| faults.push((path.to_owned(), format!("`{path}`: {text}")));
    for (path, low, high) in RANGES {
        if let Some(value) = find(table, path).and_then(Value::as_integer)
            && !(low..=high).contains(&value)
        {
            fault(path, format!("expected {low} to {high}, found {value}"));
        }
    }
    let text = |path: &str| find(table, path).and_then(Value::as_str);
    for (path, low, high) in DURATIONS {
        let limits = (duration::parse(low).unwrap_or_default(), duration::parse(high).unwrap_or_default());
        match text(path).map(|text| (text, duration::parse(text))) {
            Some((text, Ok(found))) if found < limits.0 || found > limits.1 => {
                fault(path, format!("expected {low} to {high}, found {text}"));
            }
            Some((_, Err(error))) => fault(path, error),
            _ => {}
        }
    }
    if find(table, "aggregate.intervals").and_then(Value::as_array).is_some_and(Vec::is_empty) {
        fault("aggregate.intervals", "expected at least one interval, found none".to_owned());
    }
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
            ("aggregate.emit_interval", "2h"),
            ("consume.drain_timeout", "10"),
        ]
        .map(|(name, value)| (name, Some(value.to_owned())));
        let error = load(None, std::iter::empty(), &flags).unwrap_err().to_string();
        for part in [
            "`topic.partitions`: expected 1 to 10000, found 0",
            "`consume.cycle`: expected 1 to 1000000, found 0",
            "`topic.prefix`: expected 1 to 200",
            "`log.level`: expected off, error",
            "`store.cassandra.consistency`: expected LOCAL_QUORUM",
            "found `rar`",
            "`aggregate.emit_interval`: expected 1ms to 1h, found 2h",
            "`consume.drain_timeout`: expected a duration such as 500ms, 60s, 5m, 2h or 1d, found `10`",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
        let negative = [("topic.partitions", Some("-1".to_owned()))];
        assert!(load(None, std::iter::empty(), &negative).unwrap_err().to_string().contains("found -1"));
        let filter = [("log.level", Some("info,adapters=debug".to_owned()))];
        load(None, std::iter::empty(), &filter).unwrap();
    }
}
