//! The layers of the settings, and where each value comes from.

use super::credentials::move_credentials;
use super::entries::EntryFault;
use super::lines::KeyLines;
use super::paths::{OPEN, find, find_mut, in_open, parent_of};
use super::sections::{Config, DEFAULT, ENV};
use super::{entries, mask, validate};
use ports::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use toml::{Table, Value};

/// Names that vendors' own programs use, and the settings they stand for.
const VENDORS: [(&str, &str); 7] = [
    ("APCA_API_KEY_ID", "source.alpaca.key"),
    ("APCA_API_SECRET_KEY", "source.alpaca.secret"),
    ("POLYGON_API_KEY", "source.massive.key"),
    ("MASSIVE_API_KEY", "source.massive.key"),
    ("FINNHUB_API_KEY", "source.finnhub.key"),
    ("ALPHAVANTAGE_API_KEY", "source.poll.alphavantage.key"),
    ("TWELVEDATA_API_KEY", "source.poll.twelvedata.key"),
];

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "layer", content = "name")]
pub enum Origin {
    /// `config/default.toml`, built in.
    Default,
    /// A configuration file: its path.
    File(String),
    /// An environment variable: its name.
    Environment(String),
    /// A flag, by the setting it stands for.
    Flag,
}

impl Origin {
    /// A few words for people.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Default => "default".to_owned(),
            Self::File(path) => path.clone(),
            Self::Environment(name) => format!("environment variable {name}"),
            Self::Flag => "flag".to_owned(),
        }
    }
}

/// A setting as it is in effect; secrets are masked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Setting {
    /// Path, as `topic.partitions`.
    pub path: String,
    /// Value.
    pub value: Value,
    /// The layer that set it.
    pub origin: Origin,
}

/// All layers, laid over each other, and what is wrong with them.
#[derive(Debug)]
pub struct Layers {
    table: Table,
    /// Of the values that are not defaults, by path.
    origins: BTreeMap<String, Origin>,
    faults: Vec<String>,
    /// Lines of the keys in the file.
    lines: KeyLines,
}

impl Layers {
    /// Reads all layers. What is wrong is kept for [`Layers::checked`].
    pub fn read(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
        flags: &[(&str, Option<String>)],
    ) -> Self {
        let mut layers = Self {
            table: Table::new(),
            origins: BTreeMap::new(),
            faults: Vec::new(),
            lines: KeyLines::default(),
        };
        layers.table = layers.parse(DEFAULT, "the built-in defaults");
        if let Some(path) = file {
            let name = path.display().to_string();
            match std::fs::read_to_string(path) {
                Ok(text) => {
                    let above = layers.parse(&text, &name);
                    layers.lines = KeyLines::read(&text);
                    let mut table = std::mem::take(&mut layers.table);
                    layers.merge(&mut table, above, "", &name);
                    layers.table = table;
                }
                Err(error) => {
                    layers.faults.push(ports::error::io("read configuration", path)(error).to_string());
                }
            }
        }
        for (name, value) in environment {
            let vendor =
                VENDORS.iter().find(|(vendor, _)| *vendor == name).map(|(_, path)| (*path).to_owned());
            let own = name.strip_prefix(ENV).map(|path| path.to_ascii_lowercase().replace("__", "."));
            if let Some(path) = vendor.or(own) {
                layers.set(&path, &value, Origin::Environment(name));
            }
        }
        for (path, value) in flags {
            if let Some(value) = value {
                layers.set(path, value, Origin::Flag);
            }
        }
        layers
    }

    /// The settings.
    ///
    /// # Errors
    /// Everything that is wrong, a line each.
    pub fn config(&self) -> Result<Config> {
        self.checked().map_err(|faults| {
            let what = match faults.as_slice() {
                [fault] => format!("configuration: {fault}"),
                faults => format!("configuration: {} errors\n  {}", faults.len(), faults.join("\n  ")),
            };
            Error::user(what).hint(HINT)
        })
    }

    /// The settings, or what is wrong, a line each with the layer it comes from.
    ///
    /// # Errors
    /// What is wrong; at least one line.
    pub fn checked(&self) -> Result<Config, Vec<String>> {
        let mut faults = self.faults.clone();
        let out_of_range = validate::check(&self.table);
        faults.extend(
            out_of_range
                .iter()
                .map(|(path, fault)| format!("{}{fault}{}", self.place(path), self.line(path))),
        );
        let entries = entries::check(&self.table);
        faults.extend(entries.iter().map(|fault| {
            let list = fault.path.split('[').next().unwrap_or_default();
            format!("{}{}{}", self.place(list), fault.text, self.lines.suffix(&fault.path))
        }));
        match deserialize(&self.table) {
            Ok(mut config) if faults.is_empty() => {
                move_credentials(&mut config).map_err(|error| vec![error.to_string()])?;
                Ok(config)
            }
            Ok(_) => Err(faults),
            Err(error) => {
                faults.extend(self.undeserializable(&out_of_range, &entries));
                if faults.is_empty() {
                    faults.push(error);
                }
                Err(faults)
            }
        }
    }

    /// `tapeline.toml: ` before a fault of that file; nothing for defaults and flags.
    fn place(&self, path: &str) -> String {
        match self.origins.get(path) {
            Some(origin @ (Origin::File(_) | Origin::Environment(_))) => format!("{}: ", origin.describe()),
            _ => String::new(),
        }
    }

    /// ` (line 7)` after a fault of a setting that the file sets.
    fn line(&self, path: &str) -> String {
        match self.origins.get(path) {
            Some(Origin::File(_)) => self.lines.suffix(path),
            _ => String::new(),
        }
    }

    /// Which values cannot be deserialised: each is tried alone over the defaults. Those out of range are named already.
    fn undeserializable(&self, named: &[(String, String)], entries: &[EntryFault]) -> Vec<String> {
        let mut faults = Vec::new();
        let is_named = |path: &String| {
            named.iter().any(|(other, _)| other == path)
                || entries.iter().any(|fault| fault.path.split('[').next() == Some(path.as_str()))
        };
        for path in self.origins.keys().filter(|path| !is_named(path)) {
            let mut table: Table = DEFAULT.parse().unwrap_or_default();
            if let (Some(value), Some((parent, key))) = (find(&self.table, path), parent_of(&mut table, path))
            {
                parent.insert(key.to_owned(), value.clone());
                if let Err(error) = deserialize(&table) {
                    faults.push(format!("{}`{path}`: {error}{}", self.place(path), self.line(path)));
                }
            }
        }
        faults
    }

    /// Every setting with its origin, sorted, values before sections. Secrets are masked.
    #[must_use]
    pub fn settings(&self) -> Vec<Setting> {
        let mut settings = Vec::new();
        self.collect(&self.table, "", &mut settings);
        settings
    }

    fn collect(&self, table: &Table, parent: &str, settings: &mut Vec<Setting>) {
        // Values before tables, as TOML has them.
        let (tables, values): (Vec<_>, Vec<_>) =
            table.iter().partition(|(key, value)| value.is_table() && !mask::is_secret(&join(parent, key)));
        for (key, value) in values {
            let path = join(parent, key);
            let origin = self.origins.get(&path).cloned().unwrap_or(Origin::Default);
            settings.push(Setting { value: mask::shown(&path, value), path, origin });
        }
        for (key, value) in tables {
            if let Value::Table(table) = value {
                self.collect(table, &join(parent, key), settings);
            }
        }
    }

    fn parse(&mut self, text: &str, place: &str) -> Table {
        text.parse::<Table>().unwrap_or_else(|error| {
            // Not the line itself: it may hold a password.
            let line =
                error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            self.faults.push(format!("{place} is not TOML: line {line}: {}", error.message()));
            Table::new()
        })
    }

    fn merge(&mut self, below: &mut Table, above: Table, parent: &str, place: &str) {
        for (key, value) in above {
            let path = join(parent, &key);
            match (below.get_mut(&key), value) {
                (Some(Value::Table(below)), Value::Table(above)) => self.merge(below, above, &path, place),
                (Some(slot), value) => {
                    if slot.type_str() != value.type_str() && !(slot.is_str() && is_elsewhere(&value)) {
                        let (expected, found) = (article(slot.type_str()), article(value.type_str()));
                        let line = self.lines.suffix(&path);
                        self.faults
                            .push(format!("{place}: `{path}`: expected {expected}, found {found}{line}"));
                        continue;
                    }
                    *slot = value;
                    self.origins.insert(path, Origin::File(place.to_owned()));
                }
                (None, value) if OPEN.contains(&parent) => {
                    below.insert(key, value);
                    self.origins.insert(path, Origin::File(place.to_owned()));
                }
                (None, _) => {
                    let line = self.lines.suffix(&path);
                    self.faults.push(format!("{}{line}", unknown(place, &path)));
                }
            }
        }
    }

    fn set(&mut self, path: &str, text: &str, origin: Origin) {
        let place = match &origin {
            Origin::Flag => format!("flag for {path}"),
            origin => origin.describe(),
        };
        if let Some((open, key)) = in_open(path) {
            // Properties and feeds have dots in their names, which variables cannot: SECURITY_PROTOCOL is
            // security.protocol.
            let key = key.replace('_', ".");
            if let Some(Value::Table(table)) = find_mut(&mut self.table, open) {
                table.insert(key.clone(), Value::String(text.to_owned()));
                self.origins.insert(join(open, &key), origin);
            }
            return;
        }
        let Some(slot) = find_mut(&mut self.table, path) else {
            self.faults.push(unknown(&place, path));
            return;
        };
        // A secret's own text is never repeated.
        let found = if mask::is_secret(path) { "***" } else { text };
        let value = match &*slot {
            Value::String(_) => Ok(Value::String(text.to_owned())),
            secret if is_elsewhere(secret) => Ok(Value::String(text.to_owned())),
            Value::Integer(_) => text.parse().map(Value::Integer).map_err(|_| "a whole number"),
            Value::Float(_) => text.parse().map(Value::Float).map_err(|_| "a number"),
            Value::Array(items) if items.iter().any(Value::is_str) => {
                let items = text.split(',').map(|item| Value::String(item.trim().to_owned()));
                Ok(Value::Array(items.collect()))
            }
            Value::Boolean(_) => text.parse().map(Value::Boolean).map_err(|_| "true or false"),
            _ => {
                self.faults.push(format!("{place}: `{path}` can only be set in a file"));
                return;
            }
        };
        match value {
            Ok(value) => {
                *slot = value;
                self.origins.insert(path.to_owned(), origin);
            }
            Err(expected) => {
                self.faults.push(format!("{place}: expected {expected}, found `{found}`"));
            }
        }
    }
}

const HINT: &str = "check the whole file: tapeline config check; the reference is config/default.toml";

fn deserialize(table: &Table) -> Result<Config, String> {
    Config::deserialize(Value::Table(table.clone())).map_err(|error| error.message().to_owned())
}

fn join(parent: &str, key: &str) -> String {
    if parent.is_empty() { key.to_owned() } else { format!("{parent}.{key}") }
}

/// Settings that were renamed, all of them durations: old and new name.
const RENAMED: [(&str, &str); 17] = [
    ("aggregate.tell_ms", "aggregate.emit_interval"),
    ("aggregate.grace_ms", "aggregate.emit_delay"),
    ("aggregate.horizon_s", "aggregate.allowed_lateness"),
    ("source.stall_s", "source.stall"),
    ("topic.kafka.linger_ms", "topic.kafka.linger"),
    ("topic.kafka.session_timeout_ms", "topic.kafka.session_timeout"),
    ("consume.commit_ms", "consume.commit_interval"),
    ("consume.drain_ms", "consume.drain_timeout"),
    ("produce.position_ms", "produce.position_interval"),
    ("aggregate.emit_delay_ms", "aggregate.emit_delay"),
    ("aggregate.allowed_lateness_s", "aggregate.allowed_lateness"),
    ("aggregate.emit_interval_ms", "aggregate.emit_interval"),
    ("archive.age_s", "archive.age"),
    ("alert.checkpoint_s", "alert.checkpoint_interval"),
    ("serve.query_deadline_ms", "serve.query_deadline"),
    ("serve.io_timeout_ms", "serve.io_timeout"),
    ("serve.frame_ms", "serve.frame_interval"),
];

fn unknown(place: &str, path: &str) -> String {
    match RENAMED.iter().find(|(old, _)| *old == path) {
        Some((_, new)) => format!(
            "{place}: unknown setting `{path}`; it was renamed to `{new}`, a duration such as \"10s\""
        ),
        None => format!("{place}: unknown setting `{path}`"),
    }
}

fn article(kind: &str) -> String {
    let vowel = kind.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {kind}", if vowel { "an" } else { "a" })
}

/// Whether a value says where a secret is kept: `{ file = "…" }`.
fn is_elsewhere(value: &Value) -> bool {
    let words = ["file", "env", "command"];
    value
        .as_table()
        .is_some_and(|table| table.len() == 1 && table.keys().all(|key| words.contains(&key.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Layers {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let flags: Vec<(&str, Option<String>)> =
            flags.iter().map(|(path, value)| (*path, Some((*value).to_owned()))).collect();
        Layers::read(Some(file.path()), environment, &flags)
    }

    #[test]
    fn all_faults_of_all_layers_are_found() {
        let text = "[topic]\nurll = 'x'\npartitions = 0\n[consume]\ncycle = '8'\n[store.cassandra]\nconsistency = 'MOST'";
        let layers = read(
            text,
            &[("TAPELINE__TOPIC__KAFKA__REPLICATION", "x"), ("TAPELINE__NO__SUCH", "1")],
            &[("topic.group", "")],
        );
        let faults = layers.checked().unwrap_err();
        for part in [
            "unknown setting `topic.urll`",
            "`topic.partitions`: expected 1 to 10000, found 0",
            "`consume.cycle`: expected an integer, found a string",
            "`store.cassandra.consistency`: expected LOCAL_QUORUM",
            "environment variable TAPELINE__TOPIC__KAFKA__REPLICATION: expected a whole number, found `x`",
            "unknown setting `no.such`",
            "`topic.group`: expected 1 to 200",
        ] {
            assert!(faults.iter().any(|fault| fault.contains(part)), "{part}: {faults:#?}");
        }
        assert_eq!(faults.len(), 7, "{faults:#?}");
        let error = layers.config().unwrap_err().to_string();
        assert!(error.contains("7 errors") && error.contains("config check"), "{error}");
    }

    #[test]
    fn values_that_cannot_be_deserialised_are_each_named() {
        let text = "[topic.kafka.tls]\nverify = 'maybe'\n[store.cassandra.tls]\nverify = 'no'\n[store.cassandra]\npassword = { file = '/no/such' }";
        let faults = read(text, &[], &[]).checked().unwrap_err();
        assert_eq!(faults.len(), 3, "{faults:#?}");
        assert!(
            faults.iter().any(|fault| fault.contains("`topic.kafka.tls.verify`: unknown variant `maybe`")),
            "{faults:#?}"
        );
        assert!(faults.iter().any(|fault| fault.contains("/no/such")), "{faults:#?}");
    }

    #[test]
    fn settings_have_origins_and_secrets_are_masked() {
        let text = "[topic]\ngroup = 'file'\n[topic.kafka.sasl]\npassword = 'hush'\n[topic.kafka.properties]\n'sasl.password' = 'hush'\n[store.cassandra]\npassword = { command = 'echo hush' }\n[[alert.channels]]\nname = 'hook'\ntype = 'webhook'\nurl = 'https://hooks.example/hush'";
        let layers = read(
            text,
            &[("TAPELINE__TOPIC__PARTITIONS", "4"), ("FINNHUB_API_KEY", "hush")],
            &[("store.url", "cassandra://bob:hush@h/ks")],
        );
        layers.checked().unwrap();
        let settings = layers.settings();
        let find = |path: &str| settings.iter().find(|setting| setting.path == path).unwrap();
        assert!(matches!(&find("topic.group").origin, Origin::File(_)));
        assert_eq!(
            find("topic.partitions").origin,
            Origin::Environment("TAPELINE__TOPIC__PARTITIONS".to_owned())
        );
        assert_eq!(find("store.url").origin, Origin::Flag);
        assert_eq!(find("consume.cycle").origin, Origin::Default);
        assert_eq!(find("source.finnhub.key").value, Value::from("***"));
        assert_eq!(find("source.alpaca.key").value, Value::from(""));
        assert_eq!(find("store.cassandra.password").value.to_string(), "{ command = \"***\" }");
        let shown = format!("{settings:?}");
        assert!(!shown.contains("hush"), "{shown}");
        // Every leaf of the reference is there.
        assert!(settings.len() > 100, "{}", settings.len());
    }
}
