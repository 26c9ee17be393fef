//! The settings as a JSON Schema (draft 2020-12), for editors: names, types and defaults from `config/default.toml`,
//! descriptions from its comments, ranges from `validate`.

use super::{DEFAULT, mask, paths, validate};
use ports::{Error, Result};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use toml::{Table, Value};

/// The schema of a configuration file.
///
/// # Errors
/// The built-in defaults are no TOML: a fault of ours.
pub fn json_schema() -> Result<Json> {
    let table: Table =
        DEFAULT.parse().map_err(|error| Error::internal(format!("config/default.toml: {error}")))?;
    let mut schema = object(&table, "", &comments(DEFAULT));
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = "Settings of Tapeline (tapeline.toml)".into();
    schema["$defs"] = json!({ "secret": secret() });
    Ok(schema)
}

fn secret() -> Json {
    let kept = |key: &str| {
        json!({
            "type": "object",
            "properties": { key: { "type": "string" } },
            "required": [key],
            "additionalProperties": false,
        })
    };
    json!({ "oneOf": [{ "type": "string" }, kept("file"), kept("env"), kept("command")] })
}

fn object(table: &Table, parent: &str, comments: &BTreeMap<String, String>) -> Json {
    if paths::OPEN.contains(&parent) {
        return json!({ "type": "object", "additionalProperties": { "type": "string" } });
    }
    let mut properties = Map::new();
    for (key, value) in table {
        let path = if parent.is_empty() { key.clone() } else { format!("{parent}.{key}") };
        let mut schema = setting(value, &path, comments);
        if let Some(comment) = comments.get(&path) {
            schema["description"] = comment.clone().into();
        }
        properties.insert(key.clone(), schema);
    }
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn setting(value: &Value, path: &str, comments: &BTreeMap<String, String>) -> Json {
    if mask::is_secret(path) {
        return json!({ "$ref": "#/$defs/secret" });
    }
    match value {
        Value::Table(table) => object(table, path, comments),
        Value::Array(items) if items.iter().any(Value::is_str) => {
            json!({ "type": "array", "items": { "type": "string" }, "default": items, "minItems": 1 })
        }
        Value::Array(_) => json!({ "type": "array", "items": { "type": "object" } }),
        Value::Integer(number) => {
            let range = validate::RANGES.iter().find(|(name, ..)| *name == path);
            match range {
                Some((_, low, high)) => {
                    json!({ "type": "integer", "default": number, "minimum": low, "maximum": high })
                }
                None => json!({ "type": "integer", "default": number, "minimum": 0 }),
            }
        }
        Value::Float(number) => json!({ "type": "number", "default": number }),
        Value::Boolean(flag) => json!({ "type": "boolean", "default": flag }),
        Value::String(text) => {
            let mut schema = json!({ "type": "string", "default": text });
            if let Some((_, words)) = validate::WORDS.iter().find(|(name, _)| *name == path) {
                schema["enum"] = json!(words);
            }
            if validate::DURATIONS.iter().any(|(name, ..)| *name == path) {
                schema["pattern"] = "^[0-9]+(ms|s|m|h|d)$".into();
            }
            if validate::NAMES.contains(&path) {
                schema["pattern"] = "^[A-Za-z0-9._-]{1,200}$".into();
            }
            schema
        }
        Value::Datetime(_) => json!({ "type": "string" }),
    }
}

/// The comment lines right before each key or table of a TOML text, by path.
fn comments(text: &str) -> BTreeMap<String, String> {
    let (mut found, mut table, mut lines) = (BTreeMap::new(), String::new(), Vec::new());
    for line in text.lines().map(str::trim) {
        let path = if let Some(comment) = line.strip_prefix('#') {
            lines.push(comment.trim());
            continue;
        } else if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(&mut table);
            table.clone()
        } else if let Some((key, _)) = line.split_once('=') {
            format!("{table}.{}", key.trim())
        } else {
            lines.clear();
            continue;
        };
        let comment = std::mem::take(&mut lines).join("\n");
        if !comment.is_empty() {
            found.insert(path, comment);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_has_types_ranges_words_and_descriptions() {
        let schema = json_schema().unwrap();
        let at = |path: &str| path.split('.').fold(&schema, |schema, key| &schema["properties"][key]).clone();
        assert_eq!(schema["additionalProperties"], false);
        let partitions = at("topic.partitions");
        assert_eq!((&partitions["type"], &partitions["maximum"]), (&json!("integer"), &json!(10_000)));
        assert!(partitions["description"].as_str().unwrap().contains("init"), "{partitions}");
        assert_eq!(at("topic.kafka.compression")["enum"][1], "lz4");
        assert_eq!(at("store.cassandra.password")["$ref"], "#/$defs/secret");
        assert_eq!(at("topic.kafka.properties")["additionalProperties"]["type"], "string");
        assert_eq!(at("alert.rules")["type"], "array");
        assert_eq!(at("aggregate.intervals")["items"]["type"], "string");
        assert_eq!(at("aggregate.policies")["additionalProperties"]["type"], "string");
        assert_eq!(at("consume.drain_timeout")["pattern"], "^[0-9]+(ms|s|m|h|d)$");
        assert_eq!(at("produce")["additionalProperties"], false);
        assert!(at("alert.fold").is_object());
    }
}
