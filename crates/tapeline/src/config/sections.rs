//! The sections of the settings. Each setting is described in `config/default.toml`.

use ports::secret::Secret;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// The lowest layer, and the reference.
pub const DEFAULT: &str = include_str!("../../../../config/default.toml");

/// Prefix of settings in the environment.
pub const ENV: &str = "TAPELINE__";

/// All settings. Each is described in `config/default.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Config {
    pub source: sources::settings::SourceSection,
    pub topic: Topic,
    pub store: StoreSection,
    pub consume: Consume,
    pub produce: Produce,
    pub aggregate: Aggregate,
    pub archive: ArchiveSection,
    pub redshift: adapters::warehouse::redshift::RedshiftSettings,
    pub alert: AlertSection,
    pub forecast: ForecastSection,
    pub serve: Serve,
    pub metrics: MetricsListener,
    pub log: LogSection,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Topic {
    pub url: String,
    pub prefix: String,
    pub partitions: i32,
    pub group: String,
    pub format: String,
    pub registry: adapters::topic::avro::RegistrySettings,
    pub kafka: adapters::topic::kafka::KafkaSettings,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct StoreSection {
    pub url: String,
    pub cassandra: adapters::store::cassandra::CassandraSettings,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Consume {
    pub cycle: usize,
    pub in_flight: usize,
    pub in_flight_mib: usize,
    #[serde(with = "ports::duration")]
    pub commit_interval: Duration,
    #[serde(with = "ports::duration")]
    pub drain_timeout: Duration,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Produce {
    #[serde(with = "ports::duration")]
    pub position_interval: Duration,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Serve {
    pub listen: String,
    pub token: Secret,
    pub factors: String,
    pub connections: usize,
    pub streams: usize,
    pub requests_per_second: u32,
    pub burst: u32,
    pub queries: usize,
    #[serde(with = "ports::duration")]
    pub query_deadline: Duration,
    pub rows: usize,
    #[serde(with = "ports::duration")]
    pub io_timeout: Duration,
    #[serde(with = "ports::duration")]
    pub frame_interval: Duration,
    pub zone: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Aggregate {
    pub run: bool,
    pub intervals: Vec<String>,
    #[serde(with = "ports::duration")]
    pub emit_delay: Duration,
    #[serde(with = "ports::duration")]
    pub allowed_lateness: Duration,
    #[serde(with = "ports::duration")]
    pub emit_interval: Duration,
    pub policies: BTreeMap<String, String>,
    pub calendars: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct ArchiveSection {
    pub url: String,
    pub rows: usize,
    #[serde(with = "ports::duration")]
    pub age: Duration,
    pub memory_mib: usize,
    pub s3: adapters::archive::s3::S3Settings,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct AlertSection {
    pub file: String,
    pub most: u64,
    #[serde(with = "ports::duration")]
    pub checkpoint_interval: Duration,
    pub zone: String,
    pub factors: String,
    pub editable: bool,
    pub rules: Vec<market::alert::RuleConfig>,
    pub channels: Vec<notify::ChannelConfig>,
    pub fold: market::alert::FoldSettings,
    pub filter: market::alert::FilterSettings,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct ForecastSection {
    pub models: String,
    pub retrain: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct MetricsListener {
    pub listen: String,
    pub token: Secret,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct LogSection {
    pub level: String,
    pub format: String,
}
