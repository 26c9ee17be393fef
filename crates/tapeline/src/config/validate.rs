//! Validates settings that parse but cannot work: all invalid ones are reported at once.

use super::Config;
use ports::{Error, Result};
use std::fmt::Display;
use std::ops::RangeInclusive;

const COMPRESSIONS: [&str; 5] = ["none", "lz4", "zstd", "gzip", "snappy"];
const CONSISTENCIES: [&str; 5] = ["LOCAL_QUORUM", "LOCAL_ONE", "QUORUM", "ONE", "ALL"];
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Problems found so far.
#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    fn range<T: PartialOrd + Display + Copy>(&mut self, name: &str, value: T, range: RangeInclusive<T>) {
        if !range.contains(&value) {
            self.0.push(format!("{name}: expected {} to {}, found {value}", range.start(), range.end()));
        }
    }

    fn one_of(&mut self, name: &str, value: &str, words: &[&str]) {
        if !words.iter().any(|word| word.eq_ignore_ascii_case(value)) {
            self.0.push(format!("{name}: expected {}, found `{value}`", words.join(", ")));
        }
    }

    /// A name that Kafka accepts as part of a topic name, or as a group.
    fn name(&mut self, name: &str, value: &str) {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if value.is_empty() || value.len() > 200 || !value.chars().all(fits) {
            self.0.push(format!(
                "{name}: expected 1 to 200 of the characters a-z A-Z 0-9 . _ -, found `{value}`"
            ));
        }
    }
}

/// Checks every number and keyword with a limited range.
///
/// # Errors
/// All invalid settings, one line each.
pub(super) fn check(config: &Config) -> Result<()> {
    let mut faults = Faults::default();
    let (topic, kafka, cassandra) = (&config.topic, &config.topic.kafka, &config.store.cassandra);
    faults.name("topic.prefix", &topic.prefix);
    faults.name("topic.group", &topic.group);
    faults.range("topic.partitions", topic.partitions, 1..=10_000);
    faults.range("topic.kafka.replication", kafka.replication, 1..=100);
    faults.one_of("topic.kafka.compression", &kafka.compression, &COMPRESSIONS);
    faults.range("topic.kafka.linger_ms", kafka.linger_ms, 0..=60_000);
    faults.range("topic.kafka.session_timeout_ms", kafka.session_timeout_ms, 1_000..=1_800_000);
    faults.range("store.cassandra.replication", cassandra.replication, 1..=100);
    faults.one_of("store.cassandra.consistency", &cassandra.consistency, &CONSISTENCIES);
    faults.range("store.cassandra.retention_days", cassandra.retention_days, 0..=36_500);
    faults.range("store.cassandra.batch_rows", cassandra.batch_rows, 1..=65_535);
    faults.range("store.cassandra.in_flight", cassandra.in_flight, 1..=4_096);
    faults.range("store.cassandra.connections", cassandra.connections, 1..=1_024);
    let consume = &config.consume;
    faults.range("consume.cycle", consume.cycle, 1..=1_000_000);
    faults.range("consume.in_flight", consume.in_flight, 1..=100_000_000);
    faults.range("consume.in_flight_mib", consume.in_flight_mib, 1..=1_048_576);
    faults.range("consume.commit_ms", consume.commit_ms, 1..=3_600_000);
    faults.range("consume.drain_ms", consume.drain_ms, 0..=3_600_000);
    faults.range("produce.position_ms", config.produce.position_ms, 1..=3_600_000);
    faults.range("source.stall_s", config.source.stall_s, 1..=86_400);
    // A single word is a level; anything else is a filter, which is parsed when the log starts.
    let level = config.log.level.as_str();
    if !level.contains(['=', ',']) {
        faults.one_of("log.level", level, &LEVELS);
    }
    faults.one_of("log.format", &config.log.format, &["text", "json"]);
    if faults.0.is_empty() {
        return Ok(());
    }
    Err(Error::user(format!("configuration:\n  {}", faults.0.join("\n  ")))
        .hint("the reference is config/default.toml"))
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
