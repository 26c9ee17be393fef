//! MessagePack, which Alpaca offers besides JSON.

use crate::UnixNanos;
use serde_json::{Map, Value};

/// Encodes JSON as MessagePack, for clients that request `application/msgpack`. Times, which are the members named `t`,
/// have a type of their own.
#[must_use]
pub fn packed(frame: &str) -> Vec<u8> {
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

/// A list of encoded values.
#[must_use]
pub fn list(values: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(5 + values.iter().map(|value| value.len()).sum::<usize>());
    // The longest of the three headers of a list is valid for any length.
    out.push(0xdd);
    out.extend(u32::try_from(values.len()).unwrap_or(u32::MAX).to_be_bytes());
    values.iter().for_each(|value| out.extend_from_slice(value));
    out
}

/// Decodes MessagePack to JSON; bytes and extensions become null. `None` if it is malformed.
#[must_use]
pub fn unpacked(bytes: &[u8]) -> Option<Value> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked() {
        let text = r#"{"T":"t","S":"SPY","i":52983525029461,"p":165.99,"c":["@"],"z":null,"ok":true}"#;
        let mut wanted: Value = serde_json::from_str(text).unwrap();
        // What clients send holds no fractions.
        wanted["p"] = Value::Null;
        assert_eq!(unpacked(&packed(text)), Some(wanted));
        let time = packed(r#"{"t":"2013-10-08T13:30:00.5Z"}"#);
        let bytes = [0xc7, 12, 0xff, 0x1d, 0xcd, 0x65, 0x00, 0, 0, 0, 0, 0x52, 0x54, 0x08, 0xd8];
        assert!(time.ends_with(&bytes), "{time:02x?}");
    }

    #[test]
    fn a_list_holds_its_values() {
        let values = ["1", "\"a\"", "[]"].map(packed);
        let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
        assert_eq!(unpacked(&list(&values)), Some(serde_json::json!([1, "a", []])));
        assert_eq!(unpacked(&list(&[])), Some(serde_json::json!([])));
        assert_eq!(unpacked(&[0xdd, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
