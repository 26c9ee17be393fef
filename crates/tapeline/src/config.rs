//! The settings and their layers: `config/default.toml`, a file, the environment, flags.

mod credentials;
mod entries;
mod layers;
mod lines;
mod mask;
mod paths;
mod schema;
mod sections;
mod validate;

pub use layers::{Layers, Origin, Setting};
use ports::Result;
pub use schema::json_schema;
pub use sections::*;
use std::path::Path;

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
