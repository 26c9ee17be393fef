//! Alerts on the real session through the embedded engines.

use crate::{embedded_urls, run, session, tape, tapeline, with};
use notify::alert_log::AlertLogFile;
use notify::outbox::{OutboxStore, SqliteOutbox};
use ports::alert_log::{AlertLog, SavedRule};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The rules of the oracle, and the alerts it expects.
const RULES: &str = include_str!("../../../market/tests/golden/alerts.toml");
pub(crate) const GOLDEN: &str = include_str!("../../../market/tests/golden/alerts.csv");

/// A configuration with the oracle's rules and these channels.
pub(crate) fn configuration(dir: &Path, channels: &str) -> String {
    let rules = RULES.replace("[[rules]]", "[[alert.rules]]");
    let file = dir.join("alerts.db");
    let text = format!(
        "[aggregate.policies]\nlean = 'sip'\n[alert]\nfile = '{}'\ncheckpoint_interval = '1s'\n[alert.fold]\nlimit = 0\n{rules}\n{channels}",
        file.display()
    );
    let path = dir.join("tapeline.toml");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// Receives webhooks on loopback: the number of receipts of each key. `delay`: time between acceptance and reply.
pub(crate) fn receiver(delay: Duration) -> (String, Arc<Mutex<BTreeMap<String, u32>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let keys = Arc::new(Mutex::new(BTreeMap::new()));
    let seen = Arc::clone(&keys);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, seen) = (stream.unwrap(), Arc::clone(&seen));
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                loop {
                    let (mut key, mut length) = (String::new(), 0);
                    loop {
                        let mut line = String::new();
                        if reader.read_line(&mut line).unwrap_or(0) == 0 {
                            return;
                        }
                        let line = line.trim().to_ascii_lowercase();
                        if line.is_empty() {
                            break;
                        }
                        if let Some(value) = line.strip_prefix("idempotency-key: ") {
                            value.clone_into(&mut key);
                        }
                        if let Some(value) = line.strip_prefix("content-length: ") {
                            length = value.parse().unwrap();
                        }
                    }
                    let mut body = vec![0; length];
                    if reader.read_exact(&mut body).is_err() {
                        return;
                    }
                    *seen.lock().unwrap().entry(key).or_insert(0) += 1;
                    std::thread::sleep(delay);
                    if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").is_err() {
                        return;
                    }
                }
            });
        }
    });
    (url, keys)
}

pub(crate) fn hook(url: &str) -> String {
    format!("[[alert.channels]]\nname = 'hook'\ntype = 'webhook'\nurl = '{url}'\nsecret = 's3cret'\n")
}

/// Symbol, milliseconds and kind of each alert in the history, by rule. A price may cross a level twice in a millisecond.
fn history(arguments: &[&str]) -> Vec<(String, Vec<String>)> {
    let output = tapeline(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let alerts: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let mut by_rule: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for alert in &alerts {
        let millis = alert["event_time"].as_i64().unwrap() / 1_000_000;
        let line = format!("{},{millis},{}", text(&alert["symbol"]), text(&alert["kind"]));
        by_rule.entry(text(&alert["rule"])).or_default().push(line);
    }
    by_rule.values_mut().for_each(|lines| lines.sort());
    by_rule.into_iter().collect()
}

#[test]
fn the_real_session_fires_what_the_oracle_finds_and_each_message_arrives_once() {
    let dir = tempfile::tempdir().unwrap();
    let (url, keys) = receiver(Duration::ZERO);
    let config = configuration(dir.path(), &hook(&url));
    let urls = embedded_urls(dir.path(), &session());
    let (code, text) = run(&[with("produce", &urls), vec!["--kinds", "trades"]].concat());
    assert_eq!(code, 0, "{text}");
    let all = [vec!["alert", "run", "--until-end", "--config", &config], with("--log=error", &urls)].concat();
    let (code, text) = run(&all);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains(" 0 pending, 0 abandoned"), "{text}");
    let found = history(&["alert", "history", "--format", "json", "--config", &config]);
    // Rules over days have no day before here.
    for (rule, found) in &found {
        let mut expected: Vec<String> = GOLDEN
            .lines()
            .map(|line| line.split(',').collect::<Vec<_>>())
            .filter(|fields| fields[0] == "one" && fields[1] == rule)
            .map(|fields| format!("{},{},{}", fields[2], fields[3], fields[4]))
            .collect();
        expected.sort();
        assert_eq!(found, &expected, "{rule}");
    }
    assert_eq!(found.len(), 10);
    let count: usize = found.iter().map(|(_, lines)| lines.len()).sum();
    {
        let keys = keys.lock().unwrap();
        assert_eq!(keys.len(), count);
        assert!(keys.values().all(|times| *times == 1));
    }
    // Again: nothing new is on the topic, nothing is sent.
    let (code, text) = run(&all);
    assert!(code == 0 && text.contains("alerts: 0 fired from 0 records"), "{text}");
    assert_eq!(keys.lock().unwrap().len(), count);
    // Stored records give the same result.
    let (code, text) = run(&[with("consume", &urls), vec!["--until-end"]].concat());
    assert_eq!(code, 0, "{text}");
    let (code, text) = run(&["alert", "replay", "move", "--config", &config, &urls[4], &urls[5]]);
    let moves = found.iter().find(|(rule, _)| rule == "move").unwrap().1.len();
    assert_eq!(code, 0, "{text}");
    assert!(text.contains(&format!("\n{moves} alerts of rule move from 654,140 records")), "{text}");
}

#[test]
fn run_evaluates_the_rules_beside_storing() {
    let dir = tempfile::tempdir().unwrap();
    let (url, keys) = receiver(Duration::ZERO);
    let config = configuration(dir.path(), &hook(&url));
    let urls = embedded_urls(dir.path(), &session());
    let (code, text) =
        run(&[with("run", &urls), vec!["--kinds", "trades", "--symbols", "BAC,IBM", "--config", &config]]
            .concat());
    assert_eq!(code, 0, "{text}");
    let expected = expected_of_two_symbols();
    assert!(text.contains(&format!("alerts: {expected} fired from ")), "{text}");
    let found = history(&["alert", "history", "--format", "json", "--config", &config]);
    assert_eq!(found.iter().map(|(_, lines)| lines.len()).sum::<usize>(), expected);
    assert_eq!(keys.lock().unwrap().len(), expected);
}

/// What the oracle expects for BAC and IBM without rules over days, which have no previous day here.
fn expected_of_two_symbols() -> usize {
    GOLDEN
        .lines()
        .map(|line| line.split(',').collect::<Vec<_>>())
        .filter(|fields| fields[0] == "one" && matches!(fields[2], "BAC" | "IBM"))
        .filter(|fields| !matches!(fields[1], "extreme" | "gap"))
        .count()
}

#[test]
fn alerts_are_acknowledged_by_their_first_digits_or_by_rule() {
    let dir = tempfile::tempdir().unwrap();
    let config = configuration(dir.path(), "");
    let mut outbox = SqliteOutbox::open(&dir.path().join("alerts.db"), 10).unwrap();
    for (key, rule) in [("aaaa1", "move"), ("aaaa2", "move"), ("bbbb1", "volume")] {
        let alert = serde_json::json!({
            "key": key, "rule": rule, "kind": "drop", "feed": "f", "symbol": "SPY", "severity": "warning",
            "event_time": 1, "value": 0.31, "threshold": 0.25, "unit": "%", "message": "SPY fell",
        });
        outbox.append(&serde_json::from_value(alert).unwrap(), &[]).unwrap();
    }
    let ack = |words: &[&str]| run(&[&["alert", "ack", "--config", config.as_str()], words].concat());
    for (words, code, part) in [
        (&["aaaa2", "--by", "ann", "--note", "on it"][..], 0, "1 alert acknowledged by ann"),
        (&["aaaa", "--by", "ann"], 1, "several alerts have keys that begin with aaaa"),
        (&["cccc", "--by", "ann"], 1, "no alert has a key that begins with cccc"),
        (&["aa", "--by", "ann"], 1, "at least 4 digits"),
        (&["bbbb1", "--by", ""], 1, "by: expected 1 to 64 characters"),
        (&["--rule", "move", "--by", "bob"], 0, "1 alert acknowledged by bob"),
    ] {
        let (found, text) = ack(words);
        assert!(found == code && text.contains(part), "{words:?}: {found} {text}");
    }
    let (code, text) = run(&["alert", "history", "--config", &config]);
    let of = |key: &str| text.lines().find(|line| line.contains(key)).unwrap().to_owned();
    assert!(code == 0 && of("aaaa1").contains("bob ") && of("aaaa2").contains("ann "), "{text}");
    assert!(of("aaaa2").contains(": on it") && !of("bbbb1").contains("bob"), "{text}");
}

#[test]
fn rules_and_channels_are_checked_listed_and_tested() {
    let dir = tempfile::tempdir().unwrap();
    let (url, keys) = receiver(Duration::ZERO);
    let config = configuration(dir.path(), &hook(&url));
    let (code, text) = run(&["alert", "list", "--config", &config]);
    assert!(code == 0 && text.contains("13 rules; channels: hook"), "{text}");
    let (code, text) = run(&["alert", "test", "hook", "--config", &config]);
    assert!(code == 0 && text.contains("channel hook accepted a test message"), "{text}");
    assert_eq!(keys.lock().unwrap().len(), 1);
    let (code, text) = run(&["alert", "test", "mail", "--config", &config]);
    assert!(code == 1 && text.contains("unknown alert channel `mail`; known: hook"), "{text}");
    let (code, text) = run(&["alert", "silence", "--rule", "move", "--for", "2h", "--config", &config]);
    assert!(code == 0 && text.contains("silence 1: rule move, symbol *, for 2h"), "{text}");
    let (code, text) = run(&["alert", "silence", "--rule", "moove", "--for", "2h", "--config", &config]);
    assert!(code == 1 && text.contains("no rule `moove`; the rules are"), "{text}");
    let (code, text) = run(&["alert", "silence", "--config", &config]);
    assert!(code == 0 && text.contains("move"), "{text}");
    let (code, _) = run(&["alert", "silence", "--end", "1", "--config", &config]);
    assert_eq!(code, 0);
    assert_eq!(run(&["alert", "silence", "--end", "1", "--config", &config]).0, 1);
    let faulty = dir.path().join("faulty.toml");
    for (rule, part) in [
        ("name = 'r'\nkind = 'percent_move'", "alert rule `r`: percent_move needs `window`"),
        ("name = 'r'\nkind = 'halt'\nchannels = ['pager']", "sends to unknown channel `pager`"),
        ("name = 'r'\nkind = 'crash'", "entry 1 (`r`): `kind`: expected one of `percent_move`"),
    ] {
        std::fs::write(&faulty, format!("[[alert.rules]]\n{rule}\n")).unwrap();
        let (code, text) = run(&["alert", "list", "--config", &faulty.display().to_string()]);
        assert!(code == 1 && text.contains(part), "{text}");
    }
    std::fs::write(&faulty, "[[alert.channels]]\nname = 'log'\ntype = 'log'\nsubject = '{symbl}'\n").unwrap();
    let (code, text) = run(&["alert", "list", "--config", &faulty.display().to_string()]);
    assert!(code == 1 && text.contains("unknown placeholder `{symbl}`"), "{text}");
}

/// Reads the history until something in it is true; fails after a minute.
fn until(config: &str, what: &str, is_true: impl Fn(&[serde_json::Value]) -> bool) {
    for _ in 0..300 {
        let output =
            tapeline(&["alert", "history", "--format", "json", "--config", config]).output().unwrap();
        let alerts = serde_json::from_slice::<Vec<_>>(&output.stdout).unwrap_or_default();
        if is_true(&alerts) {
            return;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    panic!("not within a minute: {what}");
}

fn has(alerts: &[serde_json::Value], rule: &str, symbol: &str) -> bool {
    alerts.iter().any(|alert| alert["rule"] == rule && alert["symbol"] == symbol)
}

fn write_config(dir: &Path, text: &str) -> String {
    let path = dir.join("tapeline.toml");
    let file = dir.join("alerts.db");
    std::fs::write(&path, format!("[alert]\nfile = '{}'\n{text}", file.display())).unwrap();
    path.display().to_string()
}

/// A print of XYZ, seconds after the open, by price in hundredths.
fn print(second: u32, price: u32) -> String {
    format!("{},{},100,P,0,0\n", 34_200_000 + 1_000 * second, price * 100)
}

#[test]
fn a_rule_over_days_knows_the_days_in_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let before: String =
        [10_000, 10_050, 10_100, 10_020].iter().zip(0..).map(|(price, n)| print(n, *price)).collect();
    // The prints before a price confirm it: the last one is the first that counts.
    let day: String =
        [10_020, 10_080, 10_120, 10_125].iter().zip(0..).map(|(price, n)| print(n, *price)).collect();
    let path = crate::tape_of_day(dir.path(), "20131007", &before);
    crate::tape_of_day(dir.path(), "20131008", &day);
    let urls = embedded_urls(dir.path(), path.ancestors().nth(3).unwrap());
    let of = |date: &str| format!("{}?dates={date}", urls[1]);
    let run_day = |date: &str, config: &str| {
        let (code, text) =
            run(&["run", "--source", &of(date), &urls[2], &urls[3], &urls[4], &urls[5], "--config", config]);
        assert_eq!(code, 0, "{text}");
    };
    // The first run commits what it has evaluated. Without its state the second one has only the store.
    run_day("20131007", &write_config(dir.path(), "[[alert.rules]]\nname = 'halt'\nkind = 'halt'\n"));
    std::fs::remove_file(dir.path().join("alerts.db")).unwrap();
    let rules = "[[alert.rules]]\nname = 'high'\nkind = 'new_extreme'\ndays = 1\ndirection = 'up'\n\
                 [[alert.rules]]\nname = 'three'\nkind = 'new_extreme'\ndays = 3\n";
    let config = write_config(dir.path(), rules);
    run_day("20131008", &config);
    let fired = history(&["alert", "history", "--format", "json", "--config", &config]);
    // Three days before are not known.
    assert_eq!(fired, [("high".to_owned(), vec!["XYZ,1381239003000,new_high".to_owned()])]);
    let replay = ["alert", "replay", "high", "--from", "2013-10-08", "--format", "json", "--config", &config];
    let found = history(&[&replay[..], &[urls[4].as_str(), &urls[5]]].concat());
    assert_eq!(found, fired);
}

#[test]
fn a_stage_that_falls_behind_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let rule = "[[alert.rules]]\nname = 'behind'\nkind = 'pipeline_lag'\nthreshold = 1\n";
    let config = write_config(dir.path(), rule);
    let path = tape(dir.path(), &print(0, 10_000));
    let urls = embedded_urls(dir.path(), path.ancestors().nth(3).unwrap());
    let (code, text) = run(&with("produce", &urls));
    assert_eq!(code, 0, "{text}");
    // Nothing stores.
    let mut child =
        crate::start(&[vec!["alert", "run", "--config", &config], with("--log=error", &urls)].concat());
    until(&config, "the store is behind", |alerts| has(alerts, "behind", "store"));
    child.kill().unwrap();
    child.wait().unwrap();
    let output = tapeline(&["alert", "history", "--format", "json", "--config", &config]).output().unwrap();
    let alerts: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    // Evaluation itself is not.
    assert!(alerts.len() == 1 && alerts[0]["value"].as_f64().unwrap() >= 1.0, "{alerts:?}");
}

#[test]
fn a_rule_of_the_dashboard_is_evaluated_listed_and_replayed_without_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let config = write_config(dir.path(), "editable = true\n");
    // A minute in which the price passes the level every second.
    let rows: String =
        (0..60).map(|second| print(second, if second % 2 == 0 { 9_990 } else { 10_010 })).collect();
    let path = tape(dir.path(), &rows);
    let urls = embedded_urls(dir.path(), path.ancestors().nth(3).unwrap());
    let (code, text) = run(&with("init", &urls[2..]));
    assert_eq!(code, 0, "{text}");
    let mut evaluation =
        crate::start(&[vec!["alert", "run", "--config", &config], with("--log=error", &urls)].concat());
    let paced = format!("{}?speed=3", urls[1]);
    let mut producer = crate::start(&["produce", "--source", &paced, &urls[2], &urls[3]]);
    // As the dashboard does.
    let rule = serde_json::json!({ "name": "pass", "kind": "cross", "level": 100.0, "symbols": ["X*"] });
    let saved = SavedRule::new(serde_json::from_value(rule).unwrap(), "ann", 1).unwrap();
    AlertLogFile(dir.path().join("alerts.db")).save_rule(&saved).unwrap();
    until(&config, "the rule fires", |alerts| has(alerts, "pass", "XYZ"));
    evaluation.kill().unwrap();
    evaluation.wait().unwrap();
    assert!(producer.wait().unwrap().success());
    let (code, text) = run(&["alert", "list", "--config", &config]);
    assert!(code == 0 && text.contains("pass") && text.contains("1 rule;"), "{text}");
    let (code, text) = run(&[with("consume", &urls[2..]), vec!["--until-end"]].concat());
    assert_eq!(code, 0, "{text}");
    let (code, text) = run(&["alert", "replay", "pass", "--config", &config, &urls[4], &urls[5]]);
    assert!(code == 0 && text.contains("59 alerts of rule pass from 60 records"), "{text}");
}

/// The state was removed, or is that of another topic: evaluation resumes at what the group has committed, and ends.
#[test]
fn a_run_without_the_state_of_an_earlier_one_ends() {
    let dir = tempfile::tempdir().unwrap();
    let config = configuration(dir.path(), "");
    let row = |second: u32| format!("{},1000000,100,P,1,0\n", 34_200_000 + 1_000 * second);
    for rows in [row(1), row(1) + &row(2)] {
        let urls = embedded_urls(dir.path(), tape(dir.path(), &rows).ancestors().nth(3).unwrap());
        let (code, text) = run(&[with("run", &urls), vec!["--config", &config]].concat());
        assert!(code == 0 && text.contains("alerts: "), "{text}");
        let _ = std::fs::remove_file(dir.path().join("alerts.db"));
    }
}
