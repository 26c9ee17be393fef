//! `verify`: by identity and feed, the differences, and their repair; and that reading creates nothing.

use crate::{embedded_urls, finish, run, tape, tapeline, url, with};
use std::path::Path;

const ROWS: &str = "34200000,1000000,100,P,1,0\n34200000,1000000,100,P,1,0\n34200001,1000100,5,Q,20,1\n";

/// A trade twice, one with its cancel, one with its correction.
const FRAMES: &str = r#"[{"T":"t","S":"XYZ","i":1,"x":"V","p":10.5,"s":100,"c":["@"],"z":"C","t":"2021-01-27T15:00:00Z"}]
[{"T":"t","S":"XYZ","i":1,"x":"V","p":10.5,"s":100,"c":["@"],"z":"C","t":"2021-01-27T15:00:00Z"}]
[{"T":"t","S":"XYZ","i":2,"x":"V","p":10.6,"s":100,"c":["@"],"z":"C","t":"2021-01-27T15:00:01Z"}]
[{"T":"x","S":"XYZ","i":2,"x":"V","p":10.6,"s":100,"a":"C","z":"C","t":"2021-01-27T15:01:00Z"}]
[{"T":"t","S":"XYZ","i":3,"x":"V","p":10.7,"s":100,"c":["@"],"z":"C","t":"2021-01-27T15:00:02Z"}]
[{"T":"c","S":"XYZ","x":"V","oi":3,"op":10.7,"os":100,"oc":["@"],"ci":4,"cp":10.8,"cs":50,"cc":["@"],"z":"C","t":"2021-01-27T15:02:00Z"}]
"#;

fn frames(dir: &Path) -> String {
    let path = dir.join("frames.jsonl");
    std::fs::write(&path, FRAMES).unwrap();
    format!("frames:{}?feed=alpaca.sip", path.display())
}

#[test]
fn a_capture_with_a_repeat_a_cancel_and_a_correction_verifies_equal() {
    let dir = tempfile::tempdir().unwrap();
    let mut urls = embedded_urls(dir.path(), dir.path());
    urls[1] = frames(dir.path());
    assert_eq!(run(&with("run", &urls)).0, 0);
    let (code, text) = run(&with("verify", &urls));
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("verified: 4 records"), "{text}");
    assert!(text.contains("3 records of the source repeat or amend another"), "{text}");
}

#[test]
fn another_feed_of_the_same_symbol_is_not_compared() {
    let dir = tempfile::tempdir().unwrap();
    tape(dir.path(), ROWS);
    let urls = embedded_urls(dir.path(), &dir.path().join("tape"));
    assert_eq!(run(&with("run", &urls)).0, 0);
    let mut others = urls.clone();
    others[1] = frames(dir.path());
    assert_eq!(run(&with("run", &others)).0, 0);
    for (urls, records, other) in [(&urls, 3, "alpaca.sip"), (&others, 4, "lean.sip")] {
        let (code, text) = run(&with("verify", urls));
        assert_eq!(code, 0, "{text}");
        assert!(text.contains(&format!("verified: {records} records")), "{text}");
        let note = format!("not compared, because the source has another feed: {other}");
        assert!(text.contains(&note), "{text}");
    }
    // Without a source all feeds are compared.
    let (code, text) = run(&with("verify", &urls[2..]));
    assert!(code == 0 && text.contains("verified: 7 records"), "{text}");
}

#[test]
fn differences_are_shown_and_the_suggested_command_fixes_them() {
    let dir = tempfile::tempdir().unwrap();
    tape(dir.path(), ROWS);
    let urls = embedded_urls(dir.path(), &dir.path().join("tape"));
    assert_eq!(run(&with("run", &urls)).0, 0);
    let store = rusqlite::Connection::open(dir.path().join("s.db")).unwrap();
    store.execute("UPDATE trades SET size = 101 WHERE id = '2013100800000001'", []).unwrap();
    store.execute("DELETE FROM trades WHERE id = '2013100800000002'", []).unwrap();
    let mut show = with("verify", &urls);
    show.extend(["--show", "10"]);
    let (code, text) = run(&show);
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("trades XYZ lean.sip: 2 records differ:"), "{text}");
    assert!(text.contains(r#"size: "100" in source, "100" in topic, "101" in store"#), "{text}");
    assert!(text.contains("missing in store; in source, topic"), "{text}");
    assert!(
        text.contains("\"id\":\"2013100800000002\"") && !text.contains("\"id\":\"2013100800000003\""),
        "{text}"
    );
    let advised = |text: &str, command: &str| -> Vec<String> {
        let (_, flags) = text.split_once(command).unwrap();
        flags
            .lines()
            .next()
            .unwrap()
            .split_whitespace()
            .map(|word| word.trim_matches('\'').to_owned())
            .collect()
    };
    let repair = advised(&text, "tapeline verify --repair");
    let (code, text) = run(&[&with("verify", &repair)[..], &["--repair"]].concat());
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("1 record was missing in the store, 1 differed"), "{text}");
    assert!(text.contains("verified: 3 records"), "{text}");
    // What the topic lacks is published again.
    let topic = rusqlite::Connection::open(dir.path().join("t.db")).unwrap();
    let sql = "DELETE FROM messages WHERE CAST(payload AS TEXT) LIKE '%\"id\":\"2013100800000003\"%'";
    assert_eq!(topic.execute(sql, []).unwrap(), 1);
    drop(topic);
    // `run` takes no span.
    let mut of_day = with("verify", &urls);
    of_day.extend(["--from", "2013-10-08", "--to", "2013-10-09"]);
    let (code, text) = run(&of_day);
    assert_eq!(code, 3, "{text}");
    let replay = advised(&text, "tapeline run --replay");
    let (code, text) = run(&[&with("run", &replay)[..], &["--replay"]].concat());
    assert_eq!(code, 0, "{text}");
    let (code, text) = run(&with("verify", &urls));
    assert!(code == 0 && text.contains("verified: 3 records"), "{text}");
}

#[test]
fn reading_verbs_create_no_files() {
    let dir = tempfile::tempdir().unwrap();
    for arguments in [
        &["gaps"][..],
        &["verify"],
        &["verify", "--repair"],
        &["count"],
        &["query", "trades", "SPY"],
        &["query", "bars", "SPY"],
        &["explain", "SPY", "2013-10-08T19:03:02Z"],
        &["symbols"],
        &["symbols", "--bars"],
        &["late"],
        &["dead-letters", "list"],
        &["alert", "history"],
        &["alert", "silence"],
        &["backfill", "--open", "--source", "alpaca:iex"],
    ] {
        let (code, text) = finish(tapeline(arguments).current_dir(dir.path()).output().unwrap());
        assert_eq!(code, 1, "{arguments:?}: {text}");
        let reasons = ["no topic file", "no store file", "no alert file"];
        assert!(reasons.iter().any(|reason| text.contains(reason)), "{arguments:?}: {text}");
        let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(left.is_empty(), "{arguments:?} left {left:?}");
    }
    let (_, text) = run(&["gaps", "--topic", &url("sqlite", &dir.path().join("none.db"))]);
    assert!(text.contains("create it: tapeline init --topic sqlite:"), "{text}");
}

#[test]
fn records_that_another_source_published_are_not_published_again() {
    let dir = tempfile::tempdir().unwrap();
    let other = dir.path().join("other");
    tape(&other, ROWS);
    std::fs::rename(other.join("tape/tick/xyz"), other.join("tape/tick/abc")).unwrap();
    tape(dir.path(), ROWS);
    let urls = embedded_urls(dir.path(), &dir.path().join("tape"));
    let mut others = urls.clone();
    others[1] = url("tape", &other.join("tape"));
    assert_eq!(run(&with("run", &urls)).0, 0);
    assert_eq!(run(&with("run", &others)).0, 0);
    let (code, text) = run(&with("verify", &urls));
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("3 records are on the topic and not in this source"), "{text}");
    assert!(text.contains("tapeline verify --symbols 'XYZ' --source"), "{text}");
    assert!(!text.contains("--replay") && !text.contains("--repair"), "{text}");
    // The suggested span is the only one.
    let mut of_day = with("verify", &urls);
    of_day.extend(["--symbols", "XYZ,ABC", "--from", "2013-10-08"]);
    let (_, text) = run(&of_day);
    assert!(text.lines().all(|line| line.matches("--from").count() < 2), "{text}");
    let mut only = with("verify", &urls);
    only.extend(["--symbols", "XYZ"]);
    let (code, text) = run(&only);
    assert!(code == 0 && text.contains("verified: 3 records"), "{text}");
    // Rows that another program wrote into the store are not on the topic: nothing can be repaired from it.
    let store = rusqlite::Connection::open(dir.path().join("s.db")).unwrap();
    let topic = rusqlite::Connection::open(dir.path().join("t.db")).unwrap();
    topic.execute("DELETE FROM messages WHERE CAST(payload AS TEXT) LIKE '%\"ABC\"%'", []).unwrap();
    drop((store, topic));
    let (code, text) = run(&with("verify", &urls[2..]));
    assert!(code == 3 && text.contains("what the store has and the topic has not"), "{text}");
    assert!(!text.contains("--repair"), "{text}");
}
