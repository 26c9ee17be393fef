//! JSON Schema of every message whose value is JSON. `tapeline schema` prints them; docs/schemas holds them.

use crate::forecast::LEVELS;
use market::Kind;
use market::codec::schema::{count, decimal, document, of_bar, of_record, time};
use serde_json::{Map, Value, json};

/// The schemas by name: `trade`, `quote`, `reading`, `bar`, `gap`, `notice`, `forecast`.
#[must_use]
pub fn all() -> Vec<(&'static str, Value)> {
    let records = Kind::ALL.map(|kind| (kind.table().singular, of_record(kind)));
    let others = [("bar", of_bar()), ("gap", gap()), ("notice", notice()), ("forecast", forecast())];
    records.into_iter().chain(others).collect()
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
            "properties": {
                "fetched": count(u64::MAX),
                "counted_again": count(u64::MAX),
                "digest": text(),
                "stored_to": {"type": "object", "additionalProperties": count(i64::MAX as u64)},
            },
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

/// [`crate::forecast::ForecastRecord`].
fn forecast() -> Value {
    let number = || json!({"type": "number"});
    let name = || json!({"type": "string", "minLength": 1});
    let mut properties = Map::new();
    for (key, property) in [
        ("symbol", name()),
        ("interval", json!({"type": "string", "pattern": "^[1-9][0-9]*[smhd]$"})),
        ("feed", text()),
        ("made_at", time()),
        ("target", json!({"enum": ["return", "volatility", "range"]})),
        ("horizon", json!({"type": "integer", "minimum": 1, "maximum": u32::MAX})),
        ("model", name()),
        ("version", json!({"type": "string", "pattern": "^[0-9]+-[0-9a-f]+$"})),
        ("verdict", text()),
        ("close", json!({"type": "number", "exclusiveMinimum": 0})),
        ("point", number()),
        ("baseline", number()),
        ("truth", number()),
        ("settled_at", time()),
        ("loss", number()),
        ("baseline_loss", number()),
    ] {
        properties.insert(key.to_owned(), property);
    }
    let bounds: Vec<String> =
        LEVELS.iter().flat_map(|level| [format!("low_{level}"), format!("high_{level}")]).collect();
    properties.extend(bounds.iter().map(|key| (key.clone(), number())));
    let score = ["truth", "settled_at", "loss", "baseline_loss"].map(str::to_owned);
    // Intervals and score: all their members, or none.
    let mut together = Map::new();
    for group in [&bounds[..], &score[..]] {
        for key in group {
            let others = group.iter().filter(|other| *other != key).cloned().map(Value::String);
            together.insert(key.clone(), others.collect());
        }
    }
    let optional = [&bounds[..], &score[..]].concat();
    let required: Vec<&String> = properties.keys().filter(|key| !optional.contains(key)).collect();
    let content = json!({
        "required": required,
        "dependentRequired": together,
        "properties": properties,
        "additionalProperties": false,
    });
    document("forecast", "A message of the topic <prefix>.forecasts", content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::{self, ForecastRecord};
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
            proof: Some(GapProof {
                fetched: 1,
                counted_again: 1,
                digest: "9c".to_owned(),
                stored_to: [("t/0".to_owned(), 6)].into(),
            }),
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

    /// A forecast without intervals and score, one with intervals, one with both.
    #[test]
    fn forecasts_are_described() {
        let (open, scored) = (forecast::tests::forecast(None), forecast::tests::scored(0.0, 0.1, 0.2));
        let bare = ForecastRecord { bounds: None, ..open.clone() };
        let schemas = all();
        let (_, schema) = schemas.iter().find(|(name, _)| *name == "forecast").unwrap();
        let described = |group: &str, message: &Map<String, Value>| {
            schema["dependentRequired"][group]
                .as_array()
                .unwrap()
                .iter()
                .all(|key| message.contains_key(key.as_str().unwrap()))
        };
        for forecast in [&bare, &open, &scored] {
            let message = forecast.to_json();
            check("forecast", &Value::Object(message.clone()));
            assert_eq!(described("low_90", &message), forecast.bounds.is_some());
            assert_eq!(described("loss", &message), forecast.score.is_some());
        }
        assert_eq!(scored.to_json().len(), schema["properties"].as_object().unwrap().len());
        assert_eq!(bare.to_json().len(), schema["required"].as_array().unwrap().len());
    }
}
