//! A kind that is one file goes through topic, store, `query`, `verify` and archive of the program.
#![allow(clippy::unwrap_used, reason = "tests")]

use adapters::topic::sqlite::SqliteTopics;
use ports::topic::{Message, Names, Topics};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const FULL: &str = r#"{"symbol":"SPY","ts":1381219200464000001,"feed":"f","side":"bid","depth":0,"price":"167.41","size":"3","orders":7,"venue":"P","conditions":["@"],"tags":{"a":"b"},"implied":true,"placed":1381219200000000000,"recv_ts":1381219200465000000}"#;
/// Its key without its optional values, in another form than the canonical one.
const LOOSE: &str = r#"{"implied":false, "symbol":"SPY","ts":1381219200464000001,"feed":"f","side":"ask","depth":0,"price":167.420,"conditions":[],"placed":1381219200000000000,"recv_ts":1381219200465000000}"#;
const BAD: &str = r#"{"symbol":"SPY","ts":1381219200464000001,"feed":"f"}"#;

/// Runs the program with one topic partition; returns its output.
fn run(expected: i32, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tapeline"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TAPELINE_")) {
        command.env_remove(name);
    }
    let output = command.args(arguments).stdin(Stdio::null()).output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(expected), "{arguments:?}: {text}");
    text
}

fn publish(path: &Path) {
    let (topics, names) = (SqliteTopics::new(path), Names::new("tapeline"));
    topics.init(&names.specs(2)).unwrap();
    let mut producer = topics.producer().unwrap();
    for payload in [FULL, LOOSE, BAD] {
        let topic = names.records("levels".parse().unwrap());
        let payload = payload.as_bytes();
        producer
            .send(&Message { topic: &topic, key: "SPY", headers: &[], payload, stamp_ms: 1_000 })
            .unwrap();
    }
    producer.flush(Duration::from_secs(10)).unwrap();
}

#[test]
fn a_kind_of_one_file_goes_all_the_way() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    publish(&dir.path().join("t.db"));
    let (topic, store) = (format!("sqlite:{}", path("t.db")), format!("sqlite:{}", path("s.db")));
    let urls = ["--topic", &topic, "--store", &store];
    let with = |arguments: &[&'static str]| -> Vec<&str> { [arguments, &urls].concat() };
    let text = run(0, &with(&["consume", "--until-end"]));
    assert!(text.contains("dead letters: 1"), "{text}");
    let text = run(0, &with(&["dead-letters", "list", "--format", "json"]));
    assert!(text.contains("missing field `side`"), "{text}");

    let rows = "ts,symbol,feed,side,depth,price,size,orders,venue,conditions,tags,implied,placed,seq,recv_ts\n\
        2013-10-08T08:00:00.464000001Z,SPY,f,ask,0,167.42,,,,,,false,2013-10-08T08:00:00.000000000Z,,2013-10-08T08:00:00.465000000Z\n\
        2013-10-08T08:00:00.464000001Z,SPY,f,bid,0,167.41,3,7,P,@,\"{\"\"a\"\":\"\"b\"\"}\",true,2013-10-08T08:00:00.000000000Z,,2013-10-08T08:00:00.465000000Z\n";
    assert_eq!(run(0, &["query", "levels", "SPY", "--format", "csv", "--store", &store]), rows);
    let parquet = path("levels.parquet");
    let text = run(0, &["query", "level", "SPY", "--out", &parquet, "--store", &store]);
    assert!(text.contains("2 rows"), "{text}");
    let text = run(0, &["symbols", "--store", &store]);
    assert!(text.contains("levels"), "{text}");
    let text = run(0, &["count", "--store", &store]);
    assert!(text.contains("levels"), "{text}");
    let text = run(0, &with(&["verify"]));
    assert!(text.contains("verified: 2 records"), "{text}");
    run(0, &with(&["aggregate", "--until-end"]));
    run(0, &["schema", "level"]);

    // From the archive into another store, which is equal.
    let archive = format!("folder:{}", path("archive"));
    run(0, &[&with(&["archive", "--until-end"])[..], &["--archive", &archive]].concat());
    let other = format!("sqlite:{}", path("other.db"));
    run(0, &["restore", "--archive", &archive, "--store", &other]);
    assert_eq!(run(0, &["query", "levels", "SPY", "--format", "csv", "--store", &other]), rows);
    let text = run(0, &["verify", "--topic", &topic, "--store", &other]);
    assert!(text.contains("verified: 2 records"), "{text}");
}
