use super::*;
use crate::codec::json::decode;
use crate::fixed::MAX;
use crate::record::{LATEST, Side, Trade};
use crate::{Price, Size, UnixNanos};
use proptest::prelude::*;

const TRADE: &str = r#"{"symbol":"SPY","feed":"lean.sip","venue":"P","id":"20131008-7","ts":1381219200464000000,"recv_ts":1381219200465000001,"price":"167.41","size":"100","conditions":["20002000"]}"#;
const QUOTE: &str = r#"{"symbol":"IBM","feed":"lean.sip","seq":20131008000000001,"ts":1381219200640000000,"recv_ts":5,"bid":"180.01","bid_size":"200","bid_venue":"P","conditions":["1"]}"#;
const READING: &str = r#"{"series":"boiler.temperature","feed":"plant","seq":7,"ts":1381219200640000000,"recv_ts":5,"type":"decimal","value":"-21.5","unit":"°C","quality":"good","tags":{"room":"a","site":"b"}}"#;

fn binary(kind: Kind, text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&decode(kind, text.as_bytes()).unwrap_or_else(|| panic!("{text}")), &mut out);
    out
}

fn read(kind: Kind, schema: &Value, bytes: &[u8]) -> Result<String, String> {
    let mut out = Vec::new();
    let read = WriterSchema::of(kind, schema).and_then(|layout| layout.decode(bytes, &mut out));
    read.map(|()| String::from_utf8(out).unwrap()).map_err(|error| error.to_string())
}

#[test]
fn messages_read_back_as_they_were() {
    let full = TRADE.replace('}', r#","tape":"B","seq":-7,"revision":2,"canceled":true}"#);
    let sided = TRADE.replace(",\"conditions\":[\"20002000\"]", r#","side":"sell","conditions":[]"#);
    let negative = TRADE.replace("167.41", "-37.63").replace("\"100\"", "\"0.000000000000000001\"");
    let both =
        QUOTE.replace(",\"conditions\"", r#","ask":"182.62","ask_size":"0.5","ask_venue":"","conditions""#);
    let bare = READING.replace(r#","unit":"°C","quality":"good","tags":{"room":"a","site":"b"}"#, "");
    for (kind, text) in [
        (Kind::TRADE, TRADE),
        (Kind::TRADE, &full),
        (Kind::TRADE, &sided),
        (Kind::TRADE, &negative),
        (Kind::QUOTE, QUOTE),
        (Kind::QUOTE, &both),
        (Kind::READING, READING),
        (Kind::READING, &bare),
    ] {
        assert_eq!(read(kind, &schema(kind), &binary(kind, text)).as_deref(), Ok(text));
    }
}

/// Bytes that fastavro 1.13 writes for the schema and these values.
#[test]
fn the_bytes_are_those_of_avro() {
    let trade = r#"{"symbol":"S","feed":"f","venue":"P","id":"1","ts":1,"recv_ts":-2,"price":"1.5","size":"0","side":"buy","conditions":["@","T"],"seq":300,"revision":1}"#;
    let expected = b"\x02S\x02\x02f\x02P\x021\x10\x14\xd1\x12\r{\x16\0\0\x02\0\x02\x06buy\x04\x02@\x02T\0\0\x02\xd8\x04\x03\x02\0";
    assert_eq!(binary(Kind::TRADE, trade), expected);
}

/// Other producers order their fields, count their times and scale their decimals in their own way.
#[test]
fn another_writers_schema_is_read_by_its_names() {
    let schema = json!({"type": "record", "name": "Print", "fields": [
        {"name": "note", "type": ["string", "null"]},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}},
        {"name": "size", "type": "string"},
        {"name": "ts", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "recv_ts", "type": "long"},
        {"name": "symbol", "type": {"type": "string", "avro.java.string": "String"}},
        {"name": "feed", "type": "string"},
        {"name": "venue", "type": "string"},
        {"name": "id", "type": "string"},
        {"name": "conditions", "type": {"type": "array", "items": "string"}},
        {"name": "seq", "type": "int"},
    ]});
    let mut bytes = b"\x00\x04hi\x04\x41\x65\x08".to_vec();
    bytes.extend_from_slice(b"0.50");
    push_long(1_381_219_200_464, &mut bytes);
    push_long(5, &mut bytes);
    for text in ["SPY", "own", "P", "9"] {
        push_bytes(text.as_bytes(), &mut bytes);
    }
    // An array of one block that says how many bytes it has.
    bytes.extend_from_slice(b"\x01\x04\x02@\x00\x08");
    let expected = r#"{"symbol":"SPY","feed":"own","venue":"P","id":"9","ts":1381219200464000000,"recv_ts":5,"price":"167.41","size":"0.5","conditions":["@"],"seq":4}"#;
    assert_eq!(read(Kind::TRADE, &schema, &bytes).as_deref(), Ok(expected));
}

/// Fields of no column may have any type, and types that contain themselves.
#[test]
fn other_fields_are_read_past() {
    let pair = json!({"type": "record", "name": "Pair", "namespace": "desk", "fields": [
        {"name": "left", "type": "int"}, {"name": "next", "type": ["null", "desk.Pair"]},
    ]});
    for (of, value) in [
        (json!("null"), &b""[..]),
        (json!("double"), b"12345678"),
        (json!({"type": "fixed", "name": "Hash", "size": 3}), b"abc"),
        (json!({"type": "enum", "name": "Desk", "symbols": ["A", "B"]}), b"\x02"),
        (json!(["null", "int", "string"]), b"\x04\x02x"),
        (json!({"type": "map", "values": "double"}), b"\x02\x02k12345678\x00"),
        (json!({"type": "array", "items": ["null", "float"]}), b"\x04\x00\x021234\x00"),
        // A block that says its length, and one of a number of nulls that nobody could count.
        (json!({"type": "array", "items": "long"}), b"\x03\x06abc\x00"),
        (json!({"type": "array", "items": "null"}), b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00"),
        (pair, b"\x02\x02\x04\x00"),
    ] {
        let mut schema = schema(Kind::TRADE);
        let fields = schema["fields"].as_array_mut().unwrap();
        fields.insert(0, json!({"name": "own", "type": of}));
        let bytes = [value, &binary(Kind::TRADE, TRADE)].concat();
        assert_eq!(read(Kind::TRADE, &schema, &bytes).as_deref(), Ok(TRADE), "{of}");
        if !value.is_empty() {
            let error = read(Kind::TRADE, &schema, &value[..value.len() - 1]).unwrap_err();
            assert!(error.contains("cut short") || error.contains("bytes are left"), "{of}: {error}");
        }
    }
    let endless = json!({"type": "record", "name": "Ring", "fields": [{"name": "next", "type": "Ring"}]});
    let mut schema = schema(Kind::TRADE);
    schema["fields"].as_array_mut().unwrap().insert(0, json!({"name": "own", "type": endless}));
    let error = read(Kind::TRADE, &schema, b"").unwrap_err();
    assert_eq!(error, "a field of no column: it is nested too deeply");
    // Each record holds two of the one before: 2^40 records without a byte.
    let mut doubled = json!({"type": "record", "name": "R0", "fields": []});
    for number in 1..=40 {
        let before = format!("R{}", number - 1);
        doubled = json!({"type": "record", "name": format!("R{number}"), "fields": [
            {"name": "a", "type": doubled}, {"name": "b", "type": before},
        ]});
    }
    let mut schema = super::schema(Kind::TRADE);
    schema["fields"].as_array_mut().unwrap().insert(0, json!({"name": "own", "type": doubled}));
    let error = read(Kind::TRADE, &schema, b"").unwrap_err();
    assert_eq!(error, "a field of no column: it has too many values");
}

#[test]
fn what_is_no_record_is_refused_with_the_field() {
    let trade = binary(Kind::TRADE, TRADE);
    let with = |from: &[u8], to: &[u8]| {
        let at = trade.windows(from.len()).position(|bytes| bytes == from).unwrap();
        [&trade[..at], to, &trade[at + from.len()..]].concat()
    };
    for (bytes, reason) in [
        (Vec::new(), "symbol: it is cut short"),
        (trade[..9].to_vec(), "ts: it is cut short"),
        ([&trade[..], b"x"].concat(), "1 bytes follow the record"),
        (with(b"\x06SPY", b"\x06S\"Y"), "symbol: \"S\\\"Y\": quotation marks"),
        (with(b"\x06SPY", b"\x06S\xffY"), "symbol: not UTF-8"),
        (with(b"\x06SPY", b"\x00"), "symbol is empty"),
        (with(b"\x06SPY", b"\x7fSPY"), "symbol: a length is -64"),
        (
            with(b"\x06SPY", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xffSPY"),
            "symbol: a number has more than 64 bits",
        ),
    ] {
        let error = read(Kind::TRADE, &schema(Kind::TRADE), &bytes).unwrap_err();
        assert!(error.starts_with(reason), "got {error}\nwant {reason}");
    }
    // A size below zero, a time outside of the calendar.
    let record = decode(Kind::TRADE, TRADE.as_bytes()).unwrap();
    let Record::Trade(good) = record else { panic!() };
    let negative = Trade { size: Size::from_raw(-1), ..good };
    let early = Trade { ts: UnixNanos(0), ..good };
    for (trade, reason) in [(negative, "size -0.000000000000000001 is negative"), (early, "time 0 is not")] {
        let mut bytes = Vec::new();
        encode(&Record::Trade(trade), &mut bytes);
        let error = read(Kind::TRADE, &schema(Kind::TRADE), &bytes).unwrap_err();
        assert!(error.starts_with(reason), "{error}");
    }
    let wrong = READING.replace("\"-21.5\"", "\"warm\"");
    assert!(decode(Kind::READING, wrong.as_bytes()).is_none());
    let bytes = binary(Kind::READING, READING);
    let at = bytes.windows(5).position(|bytes| bytes == b"-21.5").unwrap();
    let bytes = [&bytes[..at], b"x21.5", &bytes[at + 5..]].concat();
    assert_eq!(read(Kind::READING, &schema(Kind::READING), &bytes), Err("not a reading".to_owned()));
}

#[test]
fn a_schema_that_is_not_of_the_kind_is_refused_with_the_field() {
    let edited = |edit: &dyn Fn(&mut Vec<Value>)| {
        let mut schema = schema(Kind::TRADE);
        edit(schema["fields"].as_array_mut().unwrap());
        WriterSchema::of(Kind::TRADE, &schema).unwrap_err().to_string()
    };
    assert!(edited(&|fields| drop(fields.remove(5))).ends_with("it has no field `price`"));
    assert!(edited(&|fields| fields[5]["type"] = json!("double")).ends_with("type of `price`: \"double\""));
    assert!(edited(&|fields| fields[0]["type"] = json!("long")).ends_with("type of `symbol`: \"long\""));
    let error = WriterSchema::of(Kind::QUOTE, &json!("string")).unwrap_err().to_string();
    assert_eq!(error, "not an Avro schema of a quote: expected a record with fields");
}

fn word() -> impl Strategy<Value = String> {
    "[ -!#-\\[\\]-~é]{0,12}"
}

proptest! {
    #[test]
    fn any_trade_reads_back(
        (symbol, feed, id) in ("[A-Z]{1,5}", word(), word()), ts in 1..LATEST.0, recv in -i64::MAX..=i64::MAX,
        price in -MAX..=MAX, size in 0..=MAX, side in proptest::sample::select(vec![Side::Unknown, Side::Buy, Side::Sell]),
        seq in -i64::MAX..=i64::MAX, codes in proptest::collection::vec("[A-Z@]{1,3}", 0..4), revision in 0_u32..9,
        canceled in proptest::bool::ANY,
    ) {
        let conditions = if codes.is_empty() { "[]".to_owned() } else { format!("[\"{}\"]", codes.join("\",\"")) };
        let trade = Trade { symbol: &*symbol, feed: &*feed, venue: "P", id: &*id, ts: UnixNanos(ts), recv_ts: UnixNanos(recv),
            price: Price::from_raw(price), size: Size::from_raw(size), side, conditions: &*conditions, tape: "", seq,
            revision, canceled };
        prop_assume!(trade.check().is_ok());
        let (mut bytes, mut text) = (Vec::new(), Vec::new());
        encode(&Record::Trade(trade), &mut bytes);
        crate::codec::json::encode(&Record::Trade(trade), &mut text);
        let text = String::from_utf8(text).unwrap();
        prop_assert_eq!(read(Kind::TRADE, &schema(Kind::TRADE), &bytes), Ok(text));
    }

    /// Whatever the bytes are, the result is an error or a record that decodes.
    #[test]
    fn any_bytes_are_a_record_or_an_error(at in 0_usize..60, byte in proptest::num::u8::ANY, cut in 0_usize..60) {
        for (kind, text) in [(Kind::TRADE, TRADE), (Kind::QUOTE, QUOTE), (Kind::READING, READING)] {
            let mut bytes = binary(kind, text);
            let (at, cut) = (at % bytes.len(), cut % bytes.len());
            bytes[at] = byte;
            for bytes in [&bytes[..], &bytes[..cut]] {
                if let Ok(text) = read(kind, &schema(kind), bytes) {
                    prop_assert!(decode(kind, text.as_bytes()).is_some(), "{}", text);
                }
            }
        }
    }
}
