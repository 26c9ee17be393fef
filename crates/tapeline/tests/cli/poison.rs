//! 10,000 messages of 20 kinds that cannot be stored, among a million that can: all good ones are stored, all bad ones are
//! listed, and after a correction all of them are stored as well.

use super::dead_letters::{consume, dead_letters, listed, stored};
use crate::url;
use adapters::topic::sqlite::SqliteTopics;
use market::Kind;
use ports::topic::{Message, Names, Topics};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::time::Duration;

const GOOD: u64 = 1_000_000;
/// Messages of each kind.
const EACH: u64 = 500;
/// One bad message after so many good ones.
const EVERY: u64 = 100;

const SYMBOLS: [&str; 5] = ["A", "B", "C", "D", "E"];

fn trade(symbol: &str, id: &str, n: u64) -> Value {
    let ts = 1_381_240_800_000_000_000 + n * 1_000_000;
    json!({
        "symbol": symbol, "feed": "f", "venue": "P", "id": id, "ts": ts, "recv_ts": ts, "price": "1.5", "size": "100",
        "conditions": []
    })
}

/// How a kind of bad message is corrected.
#[derive(Clone, Copy, PartialEq)]
enum Fix {
    /// It is published with the right headers.
    Headers,
    /// The store accepts it after its rule was removed.
    Store,
    /// Its text is replaced.
    Text,
}

type Headers = &'static [(&'static str, &'static [u8])];
const TRADE: Headers = &[("kind", b"trade"), ("schema", b"2")];

/// A kind of bad message: how it is fixed, part of the reason it is listed with, its headers, and its text.
struct Bad(Fix, &'static str, Headers, fn(Value) -> Vec<u8>);

fn with(mut trade: Value, field: &str, value: Value) -> Vec<u8> {
    trade[field] = value;
    trade.to_string().into_bytes()
}

fn without(mut trade: Value, field: &str) -> Vec<u8> {
    trade.as_object_mut().unwrap().remove(field);
    trade.to_string().into_bytes()
}

fn cut(trade: Value) -> Vec<u8> {
    let mut text = trade.to_string().into_bytes();
    text.truncate(40);
    text
}

const KINDS: [Bad; 20] = [
    Bad(Fix::Headers, "unknown schema version `0`", &[("schema", b"0")], |trade| trade.to_string().into()),
    Bad(Fix::Headers, "unknown record kind ``", &[("kind", b"")], |trade| trade.to_string().into()),
    Bad(Fix::Headers, "unknown schema version `99`", &[("kind", b"trade"), ("schema", b"99")], |trade| {
        trade.to_string().into()
    }),
    Bad(Fix::Headers, "unknown record kind `option`", &[("kind", b"option"), ("schema", b"2")], |trade| {
        trade.to_string().into()
    }),
    Bad(Fix::Store, "venue Q is closed", TRADE, |trade| with(trade, "venue", json!("Q"))),
    Bad(Fix::Store, "tape Z is closed", TRADE, |trade| with(trade, "tape", json!("Z"))),
    Bad(Fix::Text, "not a trade", TRADE, |_| Vec::new()),
    Bad(Fix::Text, "not a trade", TRADE, cut),
    Bad(Fix::Text, "not a trade", TRADE, |trade| json!([trade]).to_string().into()),
    Bad(Fix::Text, "not a trade", TRADE, |_| b"null".to_vec()),
    Bad(Fix::Text, "", TRADE, |trade| [trade.to_string().as_bytes(), b"\xff\x00"].concat()),
    Bad(Fix::Text, "price", TRADE, |trade| with(trade, "price", json!("1e999"))),
    Bad(Fix::Text, "price", TRADE, |trade| with(trade, "price", json!("one"))),
    Bad(Fix::Text, "size", TRADE, |trade| with(trade, "size", json!("-1"))),
    Bad(Fix::Text, "", TRADE, |trade| with(trade, "ts", json!("yesterday"))),
    Bad(Fix::Text, "", TRADE, |trade| with(trade, "conditions", json!(7))),
    Bad(Fix::Text, "symbol", TRADE, |trade| with(trade, "symbol", json!(""))),
    Bad(Fix::Text, "", TRADE, |trade| with(trade, "symbol", json!("S".repeat(70_000)))),
    Bad(Fix::Text, "price", TRADE, |trade| without(trade, "price")),
    Bad(Fix::Text, "symbol", TRADE, |trade| without(trade, "symbol")),
];

/// The kind of a bad message: its key says which, but for one that was decoded, whose key is its symbol.
fn kind_of(letter: &Value) -> usize {
    let (key, reason) = (letter["key"].as_str().unwrap(), letter["reason"].as_str().unwrap());
    let refused = || KINDS.iter().position(|kind| kind.0 == Fix::Store && reason.contains(kind.1)).unwrap();
    key.strip_prefix('K').map_or_else(refused, |number| number.parse().unwrap())
}

#[test]
fn ten_thousand_poison_messages_harm_none_of_a_million_and_are_stored_once_corrected() {
    let dir = tempfile::tempdir().unwrap();
    let (t, s) = (dir.path().join("t.db"), dir.path().join("s.db"));
    let urls = ["--topic", &url("sqlite", &t), "--store", &url("sqlite", &s)].map(str::to_owned).to_vec();
    let (code, text) = crate::run(&crate::with("init", &urls));
    assert_eq!(code, 0, "{text}");
    let store = rusqlite::Connection::open(&s).unwrap();
    for (name, rule, reason) in
        [("one", "NEW.venue = 'Q'", "venue Q is closed"), ("two", "NEW.tape = 'Z'", "tape Z is closed")]
    {
        let trigger = format!(
            "CREATE TRIGGER {name} BEFORE INSERT ON trades WHEN {rule} BEGIN SELECT RAISE(ABORT, '{reason}'); END"
        );
        store.execute_batch(&trigger).unwrap();
    }
    let (names, topics) = (Names::new("tapeline"), SqliteTopics::new(t.display().to_string()));
    publish(&topics, &names);

    let text = consume(&urls);
    assert!(text.contains("dead letters: 10,000"), "{text}");
    let good = |extra: u64| SYMBOLS.map(|symbol| format!("\"{symbol}\":{}", (GOOD + extra) / 5)).join(",");
    assert_eq!(stored(&urls), format!("{{\"quotes\":{{}},\"readings\":{{}},\"trades\":{{{}}}}}\n", good(0)));
    let open = listed(&urls, &[]);
    assert_eq!(open.len() as u64, EACH * KINDS.len() as u64);
    assert!(open.iter().all(|letter| letter["state"] == "open" && letter["copies"] == 1));
    // Every kind is listed as often as it was sent, with its reason; the key says which it is.
    let mut by_kind: BTreeMap<usize, u64> = BTreeMap::new();
    for letter in &open {
        let kind = kind_of(letter);
        assert!(letter["reason"].as_str().unwrap().contains(KINDS[kind].1), "{kind}: {letter}");
        *by_kind.entry(kind).or_default() += 1;
    }
    assert!(by_kind.len() == KINDS.len() && by_kind.values().all(|count| *count == EACH), "{by_kind:?}");

    // Headers: what they are is said.
    for reason in ["unknown schema version", "unknown record kind"] {
        let (code, text) = dead_letters(&urls, &["redrive", "--all", "--reason", reason, "--as", "trade"]);
        assert!(code == 0 && text.contains("messages published again"), "{text}");
    }
    // The store: its rules are removed.
    store.execute_batch("DROP TRIGGER one; DROP TRIGGER two").unwrap();
    let (code, text) = dead_letters(&urls, &["redrive", "--all", "--reason", "is closed"]);
    assert!(code == 0 && text.contains("1,000 messages published again"), "{text}");
    // The messages: corrected in the file that `export` wrote.
    let (file, fixed) = (dir.path().join("letters.ndjson"), dir.path().join("fixed.ndjson"));
    let (code, text) = dead_letters(&urls, &["export", "--out", &file.display().to_string()]);
    assert!(code == 0 && text.contains("7,000 dead letters written"), "{text}");
    let mut out = std::io::BufWriter::new(std::fs::File::create(&fixed).unwrap());
    for (n, line) in BufReader::new(std::fs::File::open(&file).unwrap()).lines().enumerate() {
        let mut letter: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let kind = kind_of(&letter);
        assert!(KINDS[kind].0 == Fix::Text);
        let corrected = trade(SYMBOLS[n % 5], &format!("fixed-{n}"), n as u64);
        letter.as_object_mut().unwrap().remove("payload_base64");
        letter["payload"] = corrected.to_string().into();
        writeln!(out, "{letter}").unwrap();
    }
    drop(out);
    let (code, text) =
        dead_letters(&urls, &["redrive", "--all", "--corrections", &fixed.display().to_string()]);
    assert!(code == 0 && text.contains("7,000 messages published again"), "{text}");

    assert!(!consume(&urls).contains("dead letters"));
    assert_eq!(listed(&urls, &[]).len(), 0);
    let all = listed(&urls, &["--all"]);
    assert!(all.len() as u64 == EACH * 20 && all.iter().all(|letter| letter["state"] == "redriven"));
    assert_eq!(
        stored(&urls),
        format!("{{\"quotes\":{{}},\"readings\":{{}},\"trades\":{{{}}}}}\n", good(EACH * KINDS.len() as u64))
    );
}

/// Good messages, and a bad one after every [`EVERY`] of them.
fn publish(topics: &SqliteTopics, names: &Names) {
    let topic = names.records(Kind::TRADE);
    let mut producer = topics.producer().unwrap();
    let mut bad = 0_u64;
    for n in 0..GOOD {
        let symbol = SYMBOLS[(n % 5) as usize];
        let ts = 1_381_240_800_000_000_000 + n * 1_000_000;
        let payload = format!(
            r#"{{"symbol":"{symbol}","feed":"f","venue":"P","id":"{n}","ts":{ts},"recv_ts":{ts},"price":"1.5","size":"100","conditions":[]}}"#
        );
        let message = Message {
            topic: &topic,
            key: symbol,
            headers: TRADE,
            payload: payload.as_bytes(),
            stamp_ms: (ts / 1_000_000) as i64,
        };
        producer.send(&message).unwrap();
        if n % EVERY == 0 {
            let kind = (bad % KINDS.len() as u64) as usize;
            let Bad(_, _, headers, text) = &KINDS[kind];
            // As many of each symbol in the end, so that the counts are round.
            let symbol = SYMBOLS[(bad / KINDS.len() as u64 % 5) as usize];
            let payload = text(trade(symbol, &format!("bad-{bad}"), bad));
            let key = format!("K{kind}");
            producer.send(&Message { key: &key, payload: &payload, headers, ..message }).unwrap();
            bad += 1;
        }
    }
    assert_eq!(bad, EACH * KINDS.len() as u64);
    assert_eq!(producer.flush(Duration::from_secs(10)).unwrap(), 0);
}
