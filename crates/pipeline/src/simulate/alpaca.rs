//! Records as Alpaca's messages. The stream adds class and symbol to what history says of a record.

use market::codec::json::conditions;
use market::{Kind, Record};
use serde_json::{Map, Value};

/// The members of a message but class and symbol: JSON text without braces.
#[derive(Debug)]
pub(super) struct Body(Box<str>);

/// A price or size as a JSON number with the digits it has.
fn number(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or(Value::Null)
}

/// Alpaca's trade ids are numbers; a tape's `20131008-17` becomes 2013100800000017.
fn id(text: &str) -> Value {
    match text.split_once('-') {
        Some((date, row)) => number(&format!("{date}{row:0>8}")),
        None => number(text),
    }
}

impl Body {
    pub(super) fn new(record: &Record<&str>) -> Self {
        let mut map = Map::new();
        let mut set = |name: &str, value: Value| drop(map.insert(name.to_owned(), value));
        let codes = |array: &str| Value::Array(conditions(array).map(Value::from).collect());
        match record {
            Record::Trade(trade) => {
                set("t", trade.ts.to_string().into());
                set("x", trade.venue.into());
                set("p", number(&trade.price.to_string()));
                set("s", number(&trade.size.to_string()));
                set("c", codes(trade.conditions));
                set("i", id(trade.id));
                set("z", trade.tape.into());
            }
            Record::Quote(quote) => {
                set("t", quote.ts.to_string().into());
                for (side, [venue, price, size]) in
                    [(&quote.bid, ["bx", "bp", "bs"]), (&quote.ask, ["ax", "ap", "as"])]
                {
                    set(venue, side.as_ref().map_or("", |side| side.venue).into());
                    set(price, side.as_ref().map_or(Value::from(0), |side| number(&side.price.to_string())));
                    set(size, side.as_ref().map_or(Value::from(0), |side| number(&side.size.to_string())));
                }
                set("c", codes(quote.conditions));
                set("z", "".into());
            }
        }
        let text = Value::Object(map).to_string();
        Self(text[1..text.len() - 1].into())
    }

    /// As history has it.
    pub(super) fn past(&self, out: &mut String) {
        out.push('{');
        out.push_str(&self.0);
        out.push('}');
    }

    /// As the stream has it.
    pub(super) fn live(&self, kind: Kind, symbol: &str, out: &mut String) {
        let class = match kind {
            Kind::Trade => 't',
            Kind::Quote => 'q',
        };
        out.push_str(&format!("{{\"T\":\"{class}\",\"S\":{},{}}}", Value::from(symbol), self.0));
    }
}

/// A JSON frame as MessagePack: what clients get that ask for `application/msgpack`. Times are of its own type.
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
        Value::String(text) => match (name, market::UnixNanos::parse(text)) {
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

/// What a client says, in either form.
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
