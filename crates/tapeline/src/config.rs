//! The settings and their layers: `config/default.toml`, a file, the environment, flags.

mod entries;
mod layers;
mod lines;
mod mask;
mod schema;
mod validate;

pub use layers::{Layers, Origin, Setting};
use ports::secret::Secret;
use ports::{Error, Result};
pub use schema::json_schema;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// The lowest layer, and the reference.
pub const DEFAULT: &str = include_str!("../../../config/default.toml");
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

/// Merges the layers.
///
/// # Errors
/// Everything that is wrong, a line each with the layer it comes from: a layer that is no TOML, an unknown key, a value of
/// the wrong type or out of its range.
pub fn load(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
    flags: &[(&str, Option<String>)],
) -> Result<Config> {
    Layers::read(file, environment, flags).config()
}

/// Moves user and password out of the store's URL, so that no message that shows the URL shows them.
fn move_credentials(config: &mut Config) -> Result<()> {
    if let Some((login, _)) = config.topic.url.strip_prefix("kafka://").and_then(|rest| rest.rsplit_once('@'))
    {
        let user = login.split(':').next().unwrap_or_default();
        return Err(Error::user(format!(
            "topic.url: credentials of `{user}` in a Kafka URL are not supported"
        ))
        .hint("set [topic.kafka.sasl]: mechanism, username and password"));
    }
    let Some((login, place)) =
        config.store.url.strip_prefix("cassandra://").and_then(|rest| rest.rsplit_once('@'))
    else {
        return Ok(());
    };
    let decode = |text: &str| {
        let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
        decoded.map(std::borrow::Cow::into_owned).map_err(|_| {
            Error::user("store.url: user and password are not percent-encoded UTF-8")
                .hint("set store.cassandra.username and password instead")
        })
    };
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let (user, password) = (decode(user)?, decode(password)?);
    config.store.url = format!("cassandra://{place}");
    config.store.cassandra.username = user;
    if !password.is_empty() {
        config.store.cassandra.password = password.into();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn with_file(
        text: &str,
        environment: &[(&str, &str)],
        flags: &[(&str, Option<String>)],
    ) -> Result<Config> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.toml");
        std::fs::write(&path, text).unwrap();
        load(Some(&path), env(environment).into_iter(), flags)
    }

    #[test]
    fn each_layer_beats_the_one_below() {
        let text = "[topic]\nurl = 'sqlite:file'\npartitions = 3\ngroup = 'file'\n[topic.kafka.properties]\n'a.b' = 'c'";
        let environment = [
            ("TAPELINE__TOPIC__GROUP", "env"),
            ("TAPELINE__TOPIC__PARTITIONS", "4"),
            ("TAPELINE__TOPIC__KAFKA__PROPERTIES__SECURITY_PROTOCOL", "SSL"),
            ("HOME", "x"),
        ];
        let config =
            with_file(text, &environment, &[("topic.group", Some("flag".into())), ("store.url", None)])
                .unwrap();
        assert_eq!(
            (config.topic.url.as_str(), config.topic.partitions, config.topic.group.as_str()),
            ("sqlite:file", 4, "flag")
        );
        assert_eq!(config.topic.kafka.properties["a.b"], "c");
        assert_eq!(config.topic.kafka.properties["security.protocol"], "SSL");
        assert_eq!(config.store.url, "sqlite:tapeline.db");
    }

    #[test]
    fn lists_and_policies_can_be_set_in_each_layer() {
        let text =
            "[aggregate]\nintervals = ['1s', '5m']\n[aggregate.policies]\n'my.feed' = 'all'\n'*' = 'lean'";
        let environment = [("TAPELINE__AGGREGATE__POLICIES__ALPACA_CRYPTO", "sip")];
        let config = with_file(text, &environment, &[]).unwrap();
        assert_eq!(config.aggregate.intervals, ["1s", "5m"]);
        let policies = &config.aggregate.policies;
        let of = |feed: &str| policies[feed].as_str();
        assert_eq!(
            [of("my.feed"), of("*"), of("alpaca.crypto"), of("kraken")],
            ["all", "lean", "sip", "all"]
        );
        let config = with_file(text, &[("TAPELINE__AGGREGATE__INTERVALS", "1m, 1h")], &[]).unwrap();
        assert_eq!(config.aggregate.intervals, ["1m", "1h"]);
        let error = with_file("[aggregate]\nintervals = '1m'", &[], &[]).unwrap_err().to_string();
        assert!(error.contains("`aggregate.intervals`: expected an array, found a string"), "{error}");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_layer() {
        for (text, environment, part) in [
            ("[topic]\nurll = 'x'", ("X", "x"), "t.toml: unknown setting `topic.urll`"),
            (
                "[topic]\npartitions = 'x'",
                ("X", "x"),
                "`topic.partitions`: expected an integer, found a string",
            ),
            ("[topic", ("X", "x"), "t.toml is not TOML"),
            (
                "",
                ("TAPELINE__TOPIC__PARTITIONS", "x"),
                "environment variable TAPELINE__TOPIC__PARTITIONS: expected a whole number, found `x`",
            ),
            ("", ("TAPELINE__NO__SUCH", "x"), "unknown setting `no.such`"),
            (
                "",
                ("TAPELINE__AGGREGATE__TELL_MS", "5"),
                "it was renamed to `aggregate.emit_interval`, a duration such as \"10s\"",
            ),
        ] {
            let error = with_file(text, &[environment], &[]).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        assert!(
            load(Some(Path::new("/no/such")), env(&[]).into_iter(), &[])
                .unwrap_err()
                .to_string()
                .contains("/no/such")
        );
    }

    #[test]
    fn the_examples_fit() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config");
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            load(Some(&path), env(&[]).into_iter(), &[]).unwrap_or_else(|error| panic!("{error}"));
        }
    }

    #[test]
    fn credentials_leave_the_url() {
        let url = |url: &str| with_file("", &[("TAPELINE__STORE__URL", url)], &[]);
        let config = url("cassandra://alice:h%40sh@127.0.0.1:9042/ks").unwrap();
        assert_eq!(config.store.url, "cassandra://127.0.0.1:9042/ks");
        assert_eq!(config.store.cassandra.username, "alice");
        assert_eq!(config.store.cassandra.password.reveal(), "h@sh");
        assert!(!format!("{config:?}").contains("h@sh"));
        assert_eq!(url("cassandra://h/ks").unwrap().store.cassandra.username, "");
        let error = with_file("", &[("TAPELINE__TOPIC__URL", "kafka://bob:hush@h:9092")], &[]).unwrap_err();
        assert!(!error.to_string().contains("hush"), "{error}");
    }

    #[test]
    fn a_broken_line_is_not_repeated() {
        let error =
            with_file("[store.cassandra]\npassword = hush\nport = 1", &[], &[]).unwrap_err().to_string();
        assert!(error.contains("t.toml is not TOML: line 2") && !error.contains("hush"), "{error}");
    }

    #[test]
    fn a_variable_beats_a_secret_that_the_file_keeps_elsewhere() {
        let text = "[topic.kafka.sasl]\npassword = { file = \"/no/such\" }";
        let config = with_file(text, &[("TAPELINE__TOPIC__KAFKA__SASL__PASSWORD", "hush")], &[]).unwrap();
        assert_eq!(config.topic.kafka.sasl.password.reveal(), "hush");
        assert!(with_file(text, &[], &[]).unwrap_err().to_string().contains("/no/such"));
    }

    #[test]
    fn a_secret_is_never_printed() {
        let config = with_file("", &[("TAPELINE__STORE__CASSANDRA__PASSWORD", "hush")], &[]).unwrap();
        assert_eq!(config.store.cassandra.password.reveal(), "hush");
        assert!(!format!("{config:?}").contains("hush"));
        let config = with_file("", &[("APCA_API_SECRET_KEY", "hush")], &[]).unwrap();
        assert_eq!(config.source.alpaca.secret.reveal(), "hush");
        assert!(!format!("{config:?}").contains("hush"));
    }
}
