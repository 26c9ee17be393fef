//! JSON Schema of every message whose value is JSON. `tapeline schema` prints them; docs/schemas holds them.

use market::Kind;
use market::codec::schema::{count, decimal, document, of_bar, of_record, time};
use serde_json::{Value, json};

/// The schemas by name: `trade`, `quote`, `reading`, `bar`, `gap`, `notice`.
#[must_use]
pub fn all() -> Vec<(&'static str, Value)> {
    let records = Kind::ALL.map(|kind| (kind.table().singular, of_record(kind)));
    records.into_iter().chain([("bar", of_bar()), ("gap", gap()), ("notice", notice())]).collect()
}

fn text() -> Value {
    json!({"type": "string"})
}

/// [`crate::gap::Gap`].
fn gap() -> Value {
    let properties = json!({
        "id": {"type": "string", "minLength": 1},
        "feed": text(),
        "symbols": {"type": "array", "items": text()},
        "from": time(),
        "to": time(),
        "cause": text(),
        "state": {"enum": ["open", "closed"]},
        "proof": {
            "type": "object",
            "properties": {"fetched": count(u64::MAX), "counted_again": count(u64::MAX), "digest": text()},
            "required": ["fetched", "counted_again", "digest"],
            "additionalProperties": false,
        },
        "note": text(),
        "offsets": {
            "type": "object",
            "properties": {
                "topic": text(),
                "partition": {"type": "integer", "minimum": i32::MIN, "maximum": i32::MAX},
                "from": {"type": "integer", "minimum": i64::MIN, "maximum": i64::MAX},
                "to": {"type": "integer", "minimum": i64::MIN, "maximum": i64::MAX},
            },
            "required": ["topic", "partition", "from"],
            "additionalProperties": false,
        },
    });
    let content = json!({
        "properties": properties,
        "required": ["id", "feed", "symbols", "from", "cause", "state"],
        "additionalProperties": false,
    });
    document("gap", "A message of the topic <prefix>.gaps", content)
}

/// [`crate::notice::Notice`].
fn notice() -> Value {
    let content = json!({
        "properties": {
            "feed": text(),
            "symbol": {"type": "string", "minLength": 1},
            "what": {"enum": ["halted", "resumed", "bands"]},
            "ts": time(),
            "upper": decimal(),
            "lower": decimal(),
            "indicator": text(),
        },
        "required": ["feed", "symbol", "what", "ts"],
        "additionalProperties": false,
        "if": {"properties": {"what": {"const": "bands"}}},
        "then": {"required": ["upper", "lower", "indicator"]},
        "else": {"not": {"anyOf": [
            {"required": ["upper"]}, {"required": ["lower"]}, {"required": ["indicator"]},
        ]}},
    });
    document("notice", "A message of the topic <prefix>.notices", content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gap::{Gap, GapProof, GapState, LostOffsets};
    use crate::notice::Notice;
    use market::UnixNanos;

    fn check(name: &str, message: &Value) {
        let schemas = all();
        let (_, schema) = schemas.iter().find(|(other, _)| *other == name).unwrap();
        let message = message.as_object().unwrap();
        assert!(message.keys().all(|key| schema["properties"].get(key).is_some()), "{message:?}");
        let required = schema["required"].as_array().unwrap();
        assert!(required.iter().all(|key| message.contains_key(key.as_str().unwrap())), "{message:?}");
    }

    #[test]
    fn what_is_written_is_described() {
        let open = Gap {
            id: "f|1".to_owned(),
            feed: "f".to_owned(),
            symbols: vec!["SPY".to_owned()],
            from: "2013-10-08T13:30:00Z".to_owned(),
            to: None,
            cause: "the connection was reset".to_owned(),
            state: GapState::Open,
            proof: None,
            note: None,
            offsets: None,
        };
        let closed = Gap {
            to: Some("2013-10-08T13:31:00.5Z".to_owned()),
            state: GapState::Closed,
            proof: Some(GapProof { fetched: 1, counted_again: 1, digest: "9c".to_owned() }),
            note: Some("-".to_owned()),
            offsets: Some(LostOffsets { topic: "t".to_owned(), partition: 0, from: 5, to: Some(6) }),
            ..open.clone()
        };
        let schemas = all();
        let (_, schema) = schemas.iter().find(|(name, _)| *name == "gap").unwrap();
        for gap in [&open, &closed] {
            check("gap", &serde_json::to_value(gap).unwrap());
        }
        let full = serde_json::to_value(&closed).unwrap();
        assert_eq!(full.as_object().unwrap().len(), schema["properties"].as_object().unwrap().len());
        for part in ["proof", "offsets"] {
            let described = schema["properties"][part]["properties"].as_object().unwrap();
            assert!(full[part].as_object().unwrap().keys().eq(described.keys()), "{part}");
        }
        for halted in [true, false] {
            let halt = Notice::halt("f", "SPY", UnixNanos(1), halted);
            check("notice", &serde_json::to_value(halt).unwrap());
        }
    }
}
