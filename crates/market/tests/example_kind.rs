//! A kind without a type of its own: its codec, identity and versions come from its description.
#![allow(clippy::unwrap_used, reason = "tests")]

use market::codec::{json, schema};
use market::described::DescribedRecord;
use market::table::{Cell, Column, ColumnType};
use market::version::Version;
use market::{Kind, Record, digest};

const FULL: &str = r#"{"symbol":"SPY","ts":1,"feed":"f","side":"bid","depth":0,"price":"-1.5","size":"3","orders":7,"seq":0,"venue":"P","conditions":["@","I"],"tags":{"a":"[x,{y}]","b":""},"implied":true,"placed":-5,"recv_ts":9}"#;
const LEAST: &str = r#"{"symbol":"SPY","ts":1,"feed":"","side":"","depth":-2,"price":"0","conditions":[],"implied":false,"placed":0,"recv_ts":0}"#;

fn levels() -> Kind {
    "levels".parse().unwrap()
}

fn decode(text: &str) -> DescribedRecord<&str> {
    match json::decode(levels(), text.as_bytes()) {
        Some(Record::Described(record)) => record,
        other => panic!("{text}: {other:?}"),
    }
}

fn normalized(text: &str) -> Result<String, String> {
    let mut out = Vec::new();
    json::normalize(levels(), text.as_bytes(), &mut out).map_err(|error| error.to_string())?;
    Ok(String::from_utf8(out).unwrap())
}

fn columns() -> &'static [Column] {
    levels().table().columns
}

#[test]
fn records_are_read_and_written_by_their_columns() {
    for text in [FULL, LEAST] {
        let record = Record::Described(decode(text));
        let mut written = Vec::new();
        json::encode(&record, &mut written);
        assert_eq!(String::from_utf8(written).unwrap(), text);
        assert_eq!(normalized(text).unwrap(), text);
        let cells: Vec<Cell<'_>> = columns().iter().map(|column| (column.get)(&record)).collect();
        assert_eq!(levels().record(&cells, &mut String::new()).unwrap(), record);
    }
    let (full, least) = (decode(FULL), decode(LEAST));
    assert_eq!((full.symbol, full.feed, full.ts.0, full.recv_ts.0), ("SPY", "f", 1, 9));
    let cells: Vec<Cell<'_>> = full.cells().collect();
    assert_eq!(cells[5..8], [Cell::Decimal(-1_500_000_000_000_000_000), three(), Cell::Integer(7)]);
    assert_eq!(
        cells[10..13],
        [Cell::Text(r#"["@","I"]"#), Cell::Text(r#"{"a":"[x,{y}]","b":""}"#), Cell::Boolean(true)]
    );
    assert_eq!(least.cells().filter(|cell| *cell == Cell::Absent).count(), 3);
}

fn three() -> Cell<'static> {
    Cell::Decimal(3 * market::fixed::ONE)
}

#[test]
fn one_text_stands_for_each_record() {
    for (from, to) in [
        ("\"symbol\":\"SPY\"", "\"symbol\":\"\""),
        ("\"ts\":1,", "\"ts\":01,"),
        ("\"ts\":1,", "\"ts\":0,"),
        ("\"orders\":7", "\"orders\":0"),
        ("\"orders\":7", "\"orders\":-1"),
        ("\"orders\":7", "\"orders\":2147483648"),
        ("\"venue\":\"P\"", "\"venue\":\"\""),
        ("\"-1.5\"", "-1.5"),
        ("\"side\":\"bid\",", ""),
        ("true", "1"),
        ("{\"a\":\"[x,{y}]\",\"b\":\"\"}", "{}"),
        ("}", ",\"more\":1}"),
        (",\"recv_ts\":9}", ""),
    ] {
        let text = FULL.replacen(from, to, 1);
        assert_ne!(text, FULL);
        assert_eq!(json::decode(levels(), text.as_bytes()), None, "{text}");
    }
    for end in 0..FULL.len() {
        assert_eq!(json::decode(levels(), &FULL.as_bytes()[..end]), None);
    }
}

#[test]
fn other_json_is_normalized_or_refused_with_the_reason() {
    let loose = r#" {"recv_ts":9, "placed":-5, "implied":true, "tags":{"b":"","a":"[x,{y}]"}, "conditions":["@","I"],
        "venue":"P", "seq":0, "orders":7, "size":3.0, "price":-1.50, "depth":0, "side":"b\u0069d", "feed":"f",
        "ts":1, "symbol":"SPY"}"#;
    assert_eq!(normalized(loose).unwrap(), FULL);
    let padded = LEAST.replace("\"implied\"", r#""orders":0,"venue":"","tags":{},"implied""#);
    assert_eq!(normalized(&padded).unwrap(), LEAST);
    for (from, to, reason) in [
        ("\"ts\":1,", "", "not a level: missing field `ts`"),
        ("\"ts\":1,", "\"ts\":0,", "time 0 is not between 1900 and 2200"),
        ("SPY", "", "symbol is empty"),
        ("SPY", "S\\\"Y", "which is not allowed in names and codes"),
        ("\"ts\":1,", "\"ts\":1,\"more\":1,", "not a level: unknown field `more`"),
        ("\"orders\":7", "\"orders\":-7", "orders: expected a number that is not negative"),
        ("\"-1.5\"", "\"x\"", "price `x`"),
        ("true", "\"yes\"", "implied: invalid type"),
    ] {
        let error = normalized(&FULL.replacen(from, to, 1)).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn stored_rows_that_are_no_records_are_refused_by_column() {
    let cells: Vec<Cell<'_>> = decode(FULL).cells().collect();
    for (name, cell, reason) in [
        ("price", Cell::Absent, "column `price`: expected a value of type Decimal, found Absent"),
        ("depth", Cell::Text("1"), "column `depth`: expected a value of type Integer, found Text(\"1\")"),
    ] {
        let mut changed = cells.clone();
        changed[columns().iter().position(|column| column.name == name).unwrap()] = cell;
        assert_eq!(levels().record(&changed, &mut String::new()).unwrap_err().to_string(), reason);
    }
}

#[test]
fn identity_is_the_key_and_a_version_depends_on_every_value() {
    let identity = |text: &str| digest::identity(&Record::Described(decode(text)), &mut Vec::new());
    let version = |text: &str| Version::of(&Record::Described(decode(text)), 5, &mut Vec::new());
    let key = ["symbol", "ts", "feed", "side", "depth"];
    let changes = [
        ("SPY", "IBM"),
        ("\"ts\":1", "\"ts\":2"),
        ("\"f\"", "\"g\""),
        ("bid", "ask"),
        ("\"depth\":0", "\"depth\":1"),
        ("-1.5", "-1.6"),
        ("\"3\"", "\"4\""),
        (",\"orders\":7", ""),
        (",\"seq\":0", ""),
        (",\"venue\":\"P\"", ""),
        ("\"I\"", "\"K\""),
        ("\"b\":\"\"", "\"c\":\"\""),
        ("true", "false"),
        ("\"placed\":-5", "\"placed\":5"),
    ];
    for (index, (from, to)) in changes.into_iter().enumerate() {
        let other = FULL.replacen(from, to, 1);
        assert_ne!(other, FULL, "{from}");
        assert_eq!(identity(FULL) != identity(&other), index < key.len(), "{to}");
        assert_ne!(version(FULL).content, version(&other).content, "{to}");
        assert_eq!(version(FULL).write_us != version(&other).write_us, index >= key.len(), "{to}");
    }
    let received = FULL.replace("\"recv_ts\":9", "\"recv_ts\":8");
    assert_eq!(version(FULL).content, version(&received).content);
    assert_eq!(version(FULL).write_us, version(&received).write_us);
    assert!(version(FULL) > version(&received));
}

#[test]
fn the_schema_describes_its_messages() {
    let schema = schema::of_record(levels());
    let required = schema["required"].as_array().unwrap();
    for text in [FULL, LEAST] {
        let message: serde_json::Value = serde_json::from_str(text).unwrap();
        let message = message.as_object().unwrap();
        assert!(message.keys().all(|name| schema["properties"].get(name).is_some()), "{text}");
        assert!(required.iter().all(|name| message.contains_key(name.as_str().unwrap())), "{text}");
    }
    assert_eq!(
        required.len(),
        serde_json::from_str::<serde_json::Value>(LEAST).unwrap().as_object().unwrap().len()
    );
    let classes: std::collections::BTreeSet<String> =
        columns().iter().map(|column| format!("{:?}", column.class)).collect();
    assert_eq!(classes.len(), 8, "of every type: {classes:?}");
    assert!(columns().iter().any(|column| column.class == ColumnType::Tags));
}
