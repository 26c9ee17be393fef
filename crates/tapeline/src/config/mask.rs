//! Which settings are secrets, and how they are shown.

use toml::{Table, Value};

const MASK: &str = "***";

/// Paths of secrets; `*` stands for one key.
const SECRETS: [&str; 12] = [
    "source.*.key",
    "source.*.secret",
    "source.poll.*.key",
    "source.*.password",
    "source.mqtt.tls.key_password",
    "topic.kafka.tls.key_password",
    "topic.kafka.sasl.password",
    "topic.registry.password",
    "store.cassandra.password",
    "store.cassandra.tls.key_password",
    "serve.token",
    "metrics.token",
];

/// Parts of names that secrets have where the name is not ours: properties of librdkafka, fields of channels.
const WORDS: [&str; 7] = ["password", "secret", "token", "key", "jaas", "credential", "url"];

/// Whether the setting at `path` is a secret.
pub(super) fn is_secret(path: &str) -> bool {
    SECRETS.iter().any(|pattern| {
        let (mut keys, mut wanted) = (path.split('.'), pattern.split('.'));
        loop {
            match (keys.next(), wanted.next()) {
                (None, None) => return true,
                (Some(key), Some(wanted)) if wanted == "*" || wanted == key => {}
                _ => return false,
            }
        }
    })
}

/// Whether a key of an entry of `alert.channels` or a property names a secret.
pub(super) fn is_secret_word(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    WORDS.iter().any(|word| key.contains(word))
}

/// A value as it may be shown.
pub(super) fn shown(path: &str, value: &Value) -> Value {
    if is_secret(path) {
        return secret(value);
    }
    if path.starts_with(super::paths::PROPERTIES) {
        let name = path.to_ascii_lowercase();
        return if WORDS.iter().any(|word| name.contains(word)) { secret(value) } else { value.clone() };
    }
    match value {
        Value::String(text) => Value::String(without_login(text)),
        Value::Array(items) => Value::Array(items.iter().map(item).collect()),
        other => other.clone(),
    }
}

/// An entry of `alert.rules` or `alert.channels`.
fn item(value: &Value) -> Value {
    let Value::Table(table) = value else { return value.clone() };
    let shown = table.iter().map(|(name, value)| {
        let hidden = WORDS.iter().any(|word| name.contains(word));
        (name.clone(), if hidden { secret(value) } else { value.clone() })
    });
    Value::Table(shown.collect::<Table>())
}

/// Masks a secret. The file or variable that holds it is shown; a command is not, because it may contain the secret.
fn secret(value: &Value) -> Value {
    match value {
        Value::String(text) if text.is_empty() => value.clone(),
        Value::Table(table) if table.contains_key("file") || table.contains_key("env") => value.clone(),
        Value::Table(table) => {
            Value::Table(table.keys().map(|key| (key.clone(), Value::from(MASK))).collect::<Table>())
        }
        _ => Value::from(MASK),
    }
}

/// A URL without user and password.
fn without_login(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest.rfind('@') {
        // A password may hold a slash that should have been encoded.
        Some(at) if at < end || rest[..at].contains(':') => format!("{scheme}://{MASK}{}", &rest[at..]),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, DEFAULT, paths};
    use super::*;
    use serde::Deserialize;

    /// Only a secret can be read from a table: which settings are, the types say themselves.
    #[test]
    fn every_secret_of_the_reference_is_masked() {
        let reference: Table = DEFAULT.parse().unwrap();
        let mut paths = Vec::new();
        leaves(&reference, "", &mut paths);
        let mut secrets = 0;
        for path in &paths {
            let mut table = reference.clone();
            let elsewhere: Table = "env = 'TAPELINE_NO_SUCH_VARIABLE'".parse().unwrap();
            *slot(&mut table, path) = Value::Table(elsewhere);
            let error = Config::deserialize(Value::Table(table)).unwrap_err().to_string();
            let is = error.contains("TAPELINE_NO_SUCH_VARIABLE");
            assert_eq!(is, is_secret(path), "{path}: {error}");
            secrets += usize::from(is);
        }
        assert!(secrets >= 20, "{secrets}");
    }

    fn leaves(table: &Table, parent: &str, out: &mut Vec<String>) {
        for (key, value) in table {
            let path = if parent.is_empty() { key.clone() } else { format!("{parent}.{key}") };
            match value {
                Value::Table(_) if paths::OPEN.contains(&path.as_str()) => {}
                Value::Table(table) => leaves(table, &path, out),
                _ => out.push(path),
            }
        }
    }

    fn slot<'t>(table: &'t mut Table, path: &str) -> &'t mut Value {
        match path.split_once('.') {
            None => table.get_mut(path).unwrap(),
            Some((first, rest)) => slot(table.get_mut(first).unwrap().as_table_mut().unwrap(), rest),
        }
    }

    #[test]
    fn logins_leave_urls() {
        for (url, shown) in [
            ("cassandra://bob:hush@h:9042/ks", "cassandra://***@h:9042/ks"),
            ("cassandra://bob:hu/sh@h/ks", "cassandra://***@h/ks"),
            ("kafka://h:9092", "kafka://h:9092"),
            ("sqlite:a@b.db", "sqlite:a@b.db"),
            ("https://h/path@x", "https://h/path@x"),
        ] {
            assert_eq!(without_login(url), shown);
        }
    }
}
