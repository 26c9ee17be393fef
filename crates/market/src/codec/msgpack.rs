//! MessagePack, which Alpaca offers besides JSON.

use market::UnixNanos;
use serde_json::{Map, Value};

/// Encodes a JSON frame as MessagePack, for clients that request `application/msgpack`. Times have a type of
/// their own.
pub(super) fn packed(frame: &str) -> Vec<u8> {
    let value: Value = serde_json::from_str(frame).unwrap_or_default();
    let mut out = Vec::new();
    // Writing to memory does not fail.
    let _ = rmpv::encode::write_value(&mut out, &pack(None, &value));
    out
}

fn pack(name: Option<&str>, value: &Value) -> rmpv::Value {
    match value {
        Value::Null => rmpv::Value::Nil,
        Value::Bool(flag) => (*flag).into(),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => number.into(),
            (None, Some(number)) => number.into(),
            _ => rmpv::Value::Nil,
        },
        Value::String(text) => match (name, UnixNanos::parse(text)) {
            (Some("t"), Ok(ts)) => {
                // MessagePack's timestamp 96: nanoseconds and seconds.
                let mut bytes = (ts.0.rem_euclid(1_000_000_000) as u32).to_be_bytes().to_vec();
                bytes.extend(ts.0.div_euclid(1_000_000_000).to_be_bytes());
                rmpv::Value::Ext(-1, bytes)
            }
            _ => text.as_str().into(),
        },
        Value::Array(list) => list.iter().map(|value| pack(None, value)).collect::<Vec<_>>().into(),
        Value::Object(map) => rmpv::Value::Map(
            map.iter().map(|(name, value)| (name.as_str().into(), pack(Some(name), value))).collect(),
        ),
    }
}

/// Decodes a client's MessagePack message.
pub(super) fn unpacked(bytes: &[u8]) -> Option<Value> {
    fn value(packed: rmpv::Value) -> Value {
        match packed {
            rmpv::Value::Boolean(flag) => flag.into(),
            rmpv::Value::Integer(number) => number.as_i64().into(),
            rmpv::Value::String(text) => text.into_str().into(),
            rmpv::Value::Array(list) => list.into_iter().map(value).collect(),
            rmpv::Value::Map(map) => map
                .into_iter()
                .filter_map(|(name, packed)| Some((name.as_str()?.to_owned(), value(packed))))
                .collect::<Map<_, _>>()
                .into(),
            _ => Value::Null,
        }
    }
    rmpv::decode::read_value(&mut &*bytes).ok().map(value)
}
