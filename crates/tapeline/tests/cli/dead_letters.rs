//! Dead letters are listed, published again after a correction, and closed; late records and notices are listed.

use crate::real::Real;
use crate::{embedded_urls, finish, run, tape, tapeline, url, with};
use adapters::topic::sqlite::SqliteTopics;
use market::Kind;
use ports::topic::{Message, Names, Topics};
use serde_json::Value;
use std::time::Duration;

const GOOD: &str = r#"{"symbol":"A","feed":"f","venue":"P","id":"1","ts":1,"recv_ts":1,"price":"1","size":"1","conditions":[]}"#;

fn publish(topics: &dyn Topics, names: &Names, messages: &[(&str, &[(&str, &[u8])])]) {
    let mut producer = topics.producer().unwrap();
    for (payload, headers) in messages {
        let topic = names.records(Kind::TRADE);
        let message = Message { topic: &topic, key: "A", headers, payload: payload.as_bytes(), stamp_ms: 5 };
        producer.send(&message).unwrap();
    }
    assert_eq!(producer.flush(Duration::from_secs(10)).unwrap(), 0);
}

/// `dead-letters …` with these URLs; what it printed.
pub(super) fn dead_letters(urls: &[String], arguments: &[&str]) -> (i32, String) {
    let mut all = vec!["dead-letters"];
    all.extend(arguments);
    all.extend(urls.iter().map(String::as_str));
    run(&all)
}

pub(super) fn listed(urls: &[String], arguments: &[&str]) -> Vec<Value> {
    let (code, text) = dead_letters(urls, &[&["list", "--format", "json"][..], arguments].concat());
    assert_eq!(code, 0, "{text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

pub(super) fn consume(urls: &[String]) -> String {
    let (code, text) = finish(tapeline(&with("consume", urls)).arg("--until-end").output().unwrap());
    assert_eq!(code, 0, "{text}");
    text
}

pub(super) fn stored(urls: &[String]) -> String {
    run(&[with("count", urls), vec!["--format", "json"]].concat()).1
}

/// Numbers of the letters whose reason contains a text.
fn numbers(entries: &[Value], reason: &str) -> Vec<String> {
    let fits = |entry: &&Value| entry["reason"].as_str().unwrap().contains(reason);
    entries.iter().filter(fits).map(|entry| entry["number"].as_str().unwrap().to_owned()).collect()
}

/// The life of dead letters on any topic engine: `topics` are those of `urls`.
fn life(topics: &dyn Topics, names: &Names, urls: &[String]) {
    let (trade, two) = (("kind", &b"trade"[..]), ("schema", &b"2"[..]));
    let third = GOOD.replace("\"id\":\"1\"", "\"id\":\"3\"");
    publish(
        topics,
        names,
        &[
            (GOOD, &[("kind", b"option")]),
            (&GOOD.replace("\"id\":\"1\"", "\"id\":\"2\""), &[trade, ("schema", b"99")]),
            (&third.replace("\"price\":\"1\"", "\"price\":\"\u{1b}[2J\""), &[trade, two]),
        ],
    );
    assert!(consume(urls).contains("dead letters: 3"));
    let open = listed(urls, &[]);
    assert_eq!(open.len(), 3, "{open:?}");
    assert!(open.iter().all(|entry| entry["stage"] == "decode" && entry["state"] == "open"));
    assert_eq!(open[1]["headers"]["schema"], "99");
    assert_eq!(open[1]["timestamp"], "1970-01-01T00:00:00.005Z");

    // Nothing of the data reaches the terminal as a control character.
    let broken = &numbers(&open, "not a trade")[0];
    for arguments in [&["list"][..], &["show", broken]] {
        let (code, text) = dead_letters(urls, arguments);
        assert!(code == 0 && !text.contains('\u{1b}'), "{text:?}");
    }
    let (_, text) = dead_letters(urls, &["show", broken, "--raw"]);
    assert_eq!(text, third.replace("\"price\":\"1\"", "\"price\":\"\u{1b}[2J\""));

    // A message whose header was wrong, published as what it is.
    let mislabeled = &numbers(&open, "unknown record kind `option`")[0];
    let (code, text) = dead_letters(urls, &["redrive", mislabeled, "--as", "trade"]);
    assert!(code == 0 && text.contains("1 message published again"), "{text}");
    // A message that was corrected by hand.
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &third).unwrap();
    let (code, text) = dead_letters(urls, &["redrive", broken, "--payload", file.path().to_str().unwrap()]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(numbers(&listed(urls, &[]), "").len(), 1);
    assert!(!consume(urls).contains("dead letters"));
    assert!(stored(urls).contains("\"A\":2"), "{}", stored(urls));

    // Published before the correction, it fails again and is listed again, once.
    let unknown = numbers(&listed(urls, &[]), "version `99`");
    let (code, text) = dead_letters(urls, &["redrive", "--all"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(listed(urls, &[]).len(), 0);
    assert!(consume(urls).contains("dead letters: 1"));
    let again = listed(urls, &[]);
    assert_eq!(again.len(), 1, "{again:?}");
    assert_eq!(again[0]["redriven_from"].as_str(), Some(unknown[0].as_str()));
    // Another group reads the same messages and comes upon the same letters: nothing is open that was not before.
    let mut other = urls.to_vec();
    other.extend(["--group".to_owned(), format!("{}-other", std::process::id())]);
    assert!(consume(&other).contains("dead letters: 4"));
    let twice = listed(urls, &[]);
    assert_eq!((twice.len(), twice[0]["copies"].as_u64()), (1, Some(2)), "{twice:?}");
    assert_eq!(listed(urls, &["--all"]).len(), 4);

    let (code, text) = dead_letters(urls, &["discard", "--all", "--reason", "version `99`"]);
    assert!(code == 0 && text.contains("1 dead letter marked as discarded"), "{text}");
    assert_eq!(listed(urls, &[]).len(), 0);
    let (code, text) = dead_letters(urls, &["redrive", mislabeled]);
    assert!(code == 1 && text.contains("is redriven already"), "{text}");
}

#[test]
fn dead_letters_are_redriven_and_closed() {
    let dir = tempfile::tempdir().unwrap();
    let (topic, store) = (dir.path().join("t.db"), dir.path().join("s.db"));
    let urls = ["--topic".to_owned(), url("sqlite", &topic), "--store".to_owned(), url("sqlite", &store)];
    let (topics, names) = (SqliteTopics::new(&topic), Names::new("tapeline"));
    topics.init(&names.specs(3)).unwrap();
    life(&topics, &names, &urls);
}

#[test]
#[ignore = "needs real Kafka and Cassandra: cargo xtask test"]
fn dead_letters_are_redriven_and_closed_on_kafka() {
    let real = Real::new("redrive");
    let names = Names::new(&real.name);
    life(&real.topics(), &names, &real.urls(""));
}

#[test]
fn rows_of_a_source_are_not_redriven() {
    let dir = tempfile::tempdir().unwrap();
    tape(dir.path(), "34200000,1000000,100,P,1,0\n34200001,bad\n");
    let urls = embedded_urls(dir.path(), &dir.path().join("tape"));
    assert_eq!(run(&with("run", &urls)).0, 0);
    let open = listed(&urls, &[]);
    assert_eq!((open.len(), &open[0]["stage"]), (1, &Value::from("source")));
    let (code, text) = dead_letters(&urls, &["redrive", "0"]);
    assert!(code == 1 && text.contains("it holds a row of the source"), "{text}");
    assert_eq!(dead_letters(&urls, &["discard", "0"]).0, 0);
    assert_eq!(listed(&urls, &[]).len(), 0);
    // The row is as wrong as it was: published once more, its letter is open again.
    let (code, text) = finish(tapeline(&with("run", &urls)).arg("--replay").output().unwrap());
    assert_eq!(code, 0, "{text}");
    let open = listed(&urls, &[]);
    assert_eq!((open.len(), open[0]["copies"].as_u64()), (1, Some(2)), "{open:?}");
}

#[test]
fn letters_are_exported_with_their_messages() {
    let dir = tempfile::tempdir().unwrap();
    tape(dir.path(), "34200000,1000000,100,P,1,0\n34200001,bad\n34200002,worse\n");
    let urls = embedded_urls(dir.path(), &dir.path().join("tape"));
    assert_eq!(run(&with("run", &urls)).0, 0);
    let out = dir.path().join("letters.ndjson");
    let (code, text) = dead_letters(&urls, &["export", "--out", out.to_str().unwrap()]);
    assert!(code == 0 && text.contains("2 dead letters written"), "{text}");
    let lines: Vec<Value> = std::fs::read_to_string(&out)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let payloads: Vec<&Value> = lines.iter().map(|line| &line["payload"]).collect();
    assert_eq!(payloads, ["34200001,bad", "34200002,worse"]);
    let (code, text) = dead_letters(&urls, &["show", "77"]);
    assert!(code == 1 && text.contains("no dead letter 77"), "{text}");
    let (code, text) = dead_letters(&urls, &["redrive"]);
    assert!(code == 2 && text.contains("NUMBER"), "{text}");
}

#[test]
fn late_records_and_notices_are_listed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.db");
    let (topics, names) = (SqliteTopics::new(&path), Names::new("tapeline"));
    topics.init(&names.specs(1)).unwrap();
    let mut producer = topics.producer().unwrap();
    ports::notice::Notice::halt("alpaca.sip", "IONM", market::UnixNanos(0), true)
        .send(&names, &mut *producer)
        .unwrap();
    let headers =
        [("kind", &b"trade"[..]), ("schema", b"2"), ("reason", b"1,000 s behind"), ("origin", b"t/0@1")];
    for symbol in ["A", "B"] {
        let payload = GOOD.replace("\"A\"", &format!("\"{symbol}\""));
        producer
            .send(&Message {
                topic: &names.late(),
                key: symbol,
                headers: &headers,
                payload: payload.as_bytes(),
                stamp_ms: 0,
            })
            .unwrap();
    }
    producer.flush(Duration::from_secs(1)).unwrap();
    let topic = url("sqlite", &path);
    let (code, text) = run(&["notices", "--topic", &topic]);
    assert!(
        code == 0 && text.contains("IONM") && text.contains("halted") && text.contains("1 notices"),
        "{text}"
    );
    let (code, text) = run(&["late", "--topic", &topic, "--symbol", "B"]);
    assert!(code == 0 && text.contains("1,000 s behind") && text.contains("1 late records"), "{text}");
    let (code, text) = run(&["late", "--topic", &topic, "--format", "json"]);
    let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert_eq!((code, rows.len(), &rows[0]["record"]["symbol"]), (0, 2, &Value::from("A")));
}

#[test]
fn without_dead_letters_there_is_nothing_to_redrive_or_discard() {
    let dir = tempfile::tempdir().unwrap();
    let topic = url("sqlite", &dir.path().join("t.db"));
    let store = url("sqlite", &dir.path().join("s.db"));
    assert_eq!(run(&["init", "--topic", &topic, "--store", &store]).0, 0);
    for verb in ["redrive", "discard"] {
        let (code, text) = run(&["dead-letters", verb, "--all", "--topic", &topic]);
        let expected =
            format!("nothing to {verb}: tapeline.dead-letters has 0 dead letters, none of them open");
        assert!(code == 0 && text.contains(&expected), "{text}");
    }
}
