//! JSON Schema (draft 2020-12) of the canonical messages: of records from the description of their table
//! ([`crate::table`]), of bars from [`super::bar`]. `tapeline schema` prints them; docs/schemas holds them.
//!
//! They describe what Tapeline writes. What it accepts from other producers is wider: bare numbers, another version.

use super::json::SCHEMA;
use crate::Kind;
use crate::reading::ValueType;
use crate::record::{EARLIEST, LATEST, Side};
use crate::table::{Column, ColumnType, Presence, Role};
use serde_json::{Map, Value, json};

/// A text without quotation marks, backslashes and control characters.
const PLAIN: &str = r#"^[^"\\\u0000-\u001f]*$"#;
/// A decimal as [`crate::fixed`] writes it.
const DECIMAL: &str = r"^(0|-?(0\.[0-9]{0,17}[1-9]|[1-9][0-9]{0,19}(\.[0-9]{0,17}[1-9])?))$";
/// The same, not negative.
const SIZE: &str = r"^(0|0\.[0-9]{0,17}[1-9]|[1-9][0-9]{0,19}(\.[0-9]{0,17}[1-9])?)$";
/// RFC 3339 in UTC, without trailing zeros.
const TIME: &str = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{0,8}[1-9])?Z$";
/// Columns of trades that every row has and that messages omit if they are 0 or false.
const OMITTED: [&str; 2] = ["revision", "canceled"];
/// The three columns of a side of a quote: all or none.
const QUOTE_SIDES: [[&str; 3]; 2] = [["bid", "bid_size", "bid_venue"], ["ask", "ask_size", "ask_venue"]];

/// What a schema says about itself, with its content.
#[must_use]
pub fn document(name: &str, about: &str, content: Value) -> Value {
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": format!("urn:tapeline:message:{name}:{SCHEMA}"),
        "title": name,
        "description": about,
        "type": "object",
    });
    if let (Value::Object(schema), Value::Object(content)) = (&mut schema, content) {
        schema.extend(content);
    }
    schema
}

/// An RFC 3339 time in UTC, as bars, gaps and notices have it.
#[must_use]
pub fn time() -> Value {
    json!({"type": "string", "pattern": TIME})
}

/// An exact decimal in a string.
#[must_use]
pub fn decimal() -> Value {
    json!({"type": "string", "pattern": DECIMAL})
}

fn size() -> Value {
    json!({"type": "string", "pattern": SIZE})
}

fn plain() -> Value {
    json!({"type": "string", "pattern": PLAIN})
}

/// A whole number of 0 to `maximum`.
#[must_use]
pub fn count(maximum: u64) -> Value {
    json!({"type": "integer", "minimum": 0, "maximum": maximum})
}

/// The schema of the messages of a kind.
#[must_use]
pub fn of_record(kind: Kind) -> Value {
    let table = kind.table();
    let properties: Map<String, Value> =
        table.columns.iter().map(|column| (column.name.to_owned(), property(kind, column))).collect();
    let is_required =
        |column: &&Column| column.presence == Presence::Always && !OMITTED.contains(&column.name);
    let required: Vec<&str> = table.columns.iter().filter(is_required).map(|column| column.name).collect();
    let mut content = json!({"properties": properties, "required": required, "additionalProperties": false});
    match kind {
        Kind::QUOTE => content["dependentRequired"] = together(&QUOTE_SIDES),
        Kind::READING => content["allOf"] = ValueType::ALL.into_iter().filter_map(value_of).collect(),
        _ => {}
    }
    document(table.singular, &format!("A message of the topic <prefix>.{}", table.plural), content)
}

/// Of each group, each member requires the others.
fn together<const N: usize>(groups: &[[&str; N]]) -> Value {
    let others = |name: &str, group: &[&str; N]| -> Vec<String> {
        group.iter().filter(|other| **other != name).map(|other| (*other).to_owned()).collect()
    };
    let each = groups.iter().flat_map(|group| group.iter().map(move |name| (*name, group)));
    each.map(|(name, group)| (name.to_owned(), Value::from(others(name, group)))).collect()
}

fn property(kind: Kind, column: &Column) -> Value {
    let omits_default = column.presence == Presence::OrDefault;
    match (column.class, column.name) {
        (ColumnType::Text, "side") if kind == Kind::TRADE => {
            json!({"enum": [Side::Buy.name(), Side::Sell.name()]})
        }
        (ColumnType::Text, "type") if kind == Kind::READING => {
            json!({"enum": ValueType::ALL.map(ValueType::name)})
        }
        (ColumnType::Text, _) => {
            let mut text = plain();
            // The venue of a side of a quote may be empty, although the side may be absent.
            let is_optional = column.presence == Presence::Optional && kind != Kind::QUOTE;
            if omits_default || is_optional || column.role == Role::Partition {
                text["minLength"] = 1.into();
            }
            text
        }
        (ColumnType::Codes, _) => json!({"type": "array", "items": plain()}),
        (ColumnType::Tags, _) => json!({
            "type": "object",
            "minProperties": 1,
            "propertyNames": {"pattern": PLAIN, "minLength": 1},
            "additionalProperties": plain(),
        }),
        (ColumnType::Integer, _) => {
            let mut integer = json!({"type": "integer", "minimum": i64::MIN, "maximum": i64::MAX});
            if omits_default {
                integer["not"] = json!({"const": 0});
            }
            integer
        }
        (ColumnType::Small, name) => {
            let minimum = u8::from(omits_default || OMITTED.contains(&name));
            json!({"type": "integer", "minimum": minimum, "maximum": i32::MAX})
        }
        (ColumnType::Decimal, name) if name.ends_with("size") && kind.table().read.is_some() => size(),
        (ColumnType::Decimal, _) => decimal(),
        (ColumnType::Boolean, name) if OMITTED.contains(&name) => json!({"const": true}),
        (ColumnType::Boolean, _) => json!({"type": "boolean"}),
        (ColumnType::Time, "ts") => json!({
            "type": "integer",
            "minimum": EARLIEST.0,
            "exclusiveMaximum": LATEST.0,
            "not": {"const": 0},
        }),
        (ColumnType::Time, _) => json!({"type": "integer", "minimum": i64::MIN, "maximum": i64::MAX}),
    }
}

/// What a reading's type says of its value.
fn value_of(class: ValueType) -> Option<Value> {
    let value = match class {
        ValueType::Decimal => decimal(),
        ValueType::Float => json!({"pattern": r"^-?[0-9]+(\.[0-9]+)?(e-?[0-9]+)?$"}),
        ValueType::Integer => json!({"pattern": "^(0|-?[1-9][0-9]{0,19})$"}),
        ValueType::Boolean => json!({"enum": ["true", "false"]}),
        ValueType::Text => return None,
    };
    Some(json!({
        "if": {"properties": {"type": {"const": class.name()}}},
        "then": {"properties": {"value": value}},
    }))
}

/// The schema of the messages of the topics of bars and of vendors' bars.
#[must_use]
pub fn of_bar() -> Value {
    let base = |kind: &[&str]| -> Map<String, Value> {
        let properties = [
            ("symbol", json!({"type": "string", "pattern": PLAIN, "minLength": 1})),
            ("feed", plain()),
            ("kind", json!({"enum": kind})),
            ("interval", json!({"type": "string", "pattern": "^[1-9][0-9]*[smhd]$"})),
            ("start", time()),
            ("late", count(u32::MAX.into())),
            ("revision", count(u32::MAX.into())),
            ("final", json!({"type": "boolean"})),
            ("complete", json!({"type": "boolean"})),
        ];
        properties.into_iter().map(|(name, property)| (name.to_owned(), property)).collect()
    };
    let variant = |title: &str, properties: Map<String, Value>, optional: &[&str]| {
        let required: Vec<&String> =
            properties.keys().filter(|name| !optional.contains(&name.as_str())).collect();
        json!({"title": title, "required": required, "properties": properties, "additionalProperties": false})
    };
    let mut trades = base(&["trade"]);
    trades.extend(["open", "high", "low", "close", "vwap"].map(|name| (name.to_owned(), decimal())));
    trades.extend([("volume".to_owned(), size()), ("trades".to_owned(), count(u64::MAX))]);
    let mut quotes = base(&["quote"]);
    let sides = ["bid", "ask"]
        .map(|side| ["open", "high", "low", "close", "size"].map(|name| format!("{side}_{name}")));
    let names = sides.each_ref().map(|side| side.each_ref().map(String::as_str));
    for name in names.iter().flatten() {
        quotes.insert((*name).to_owned(), if name.ends_with("size") { size() } else { decimal() });
    }
    let mut quotes = variant("bar of quotes", quotes, &names.concat());
    quotes["dependentRequired"] = together(&names);
    quotes["anyOf"] = json!([{"required": ["bid_open"]}, {"required": ["ask_open"]}]);
    let mut readings = base(&["reading"]);
    let values = ["first", "max", "min", "last", "sum", "mean"];
    readings.extend(values.map(|name| (name.to_owned(), decimal())));
    readings.insert("count".to_owned(), count(u64::MAX));
    let content = json!({"oneOf": [
        variant("bar of trades", trades, &["vwap"]),
        quotes,
        variant("bar of readings", readings, &["sum", "mean"]),
        variant("bar whose records were all canceled", base(&["trade", "quote", "reading"]), &[]),
    ]});
    document("bar", "A message of the topics <prefix>.bars and <prefix>.vendor-bars", content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{bar, json};

    /// Names that a message may and must have: what the codec writes has to be among them, and to include them.
    fn check(schema: &Value, message: &Value) {
        let message = message.as_object().unwrap();
        let properties = schema["properties"].as_object().unwrap();
        let unknown: Vec<_> = message.keys().filter(|name| !properties.contains_key(*name)).collect();
        assert!(unknown.is_empty(), "{unknown:?} are not in the schema");
        for name in schema["required"].as_array().unwrap() {
            assert!(
                message.contains_key(name.as_str().unwrap()),
                "{name} is required, but not in {message:?}"
            );
        }
    }

    #[test]
    fn what_the_codecs_write_is_described() {
        let records = [
            (
                Kind::TRADE,
                r#"{"symbol":"S","feed":"f","venue":"P","id":"1","ts":1,"recv_ts":1,"price":"1.5","size":"1","conditions":[]}"#,
            ),
            (
                Kind::TRADE,
                r#"{"symbol":"S","feed":"f","venue":"P","id":"1","ts":1,"recv_ts":1,"price":"1.5","size":"1","side":"buy","conditions":["@"],"tape":"B","seq":7,"revision":1,"canceled":true}"#,
            ),
            (
                Kind::QUOTE,
                r#"{"symbol":"S","feed":"f","seq":1,"ts":1,"recv_ts":1,"bid":"1","bid_size":"2","bid_venue":"P","ask":"1","ask_size":"2","ask_venue":"P","conditions":["1"]}"#,
            ),
            (Kind::QUOTE, r#"{"symbol":"S","feed":"f","seq":1,"ts":1,"recv_ts":1,"conditions":[]}"#),
            (
                Kind::READING,
                r#"{"series":"b.t","feed":"plant","seq":7,"ts":1,"recv_ts":1,"type":"decimal","value":"21.5","unit":"C","quality":"good","tags":{"room":"a"}}"#,
            ),
        ];
        for (kind, text) in records {
            let record = json::decode(kind, text.as_bytes()).unwrap();
            let mut encoded = Vec::new();
            json::encode(&record, &mut encoded);
            check(&of_record(kind), &serde_json::from_slice(&encoded).unwrap());
        }
        let base = r#""symbol":"SPY","feed":"f","interval":"1m","start":"2013-10-08T13:30:00Z","late":1,"revision":2,"final":true,"complete":true"#;
        let values = [
            r#""kind":"trade","open":"167.4","high":"167.52","low":"167.4","close":"167.5","volume":"525557","vwap":"1","trades":2031"#,
            r#""kind":"quote","bid_open":"1","bid_high":"2","bid_low":"0.5","bid_close":"1.5","bid_size":"0.001""#,
            r#""kind":"reading","first":"-1","max":"2","min":"-1","last":"0.5","sum":"1.5","mean":"0.5","count":3"#,
            r#""kind":"trade""#,
        ];
        let schema = of_bar();
        for (variant, values) in schema["oneOf"].as_array().unwrap().iter().zip(values) {
            let bar = bar::from_json(format!("{{{base},{values}}}").as_bytes()).unwrap();
            check(variant, &Value::Object(bar::to_json(&bar)));
        }
    }
}
