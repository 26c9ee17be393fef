//! `--format json` of every verb: standard output is JSON and nothing else.

use crate::{finish, session, signal, start, tape, tapeline};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// What prints something else by its nature.
const NOT_JSON: [&str; 3] = ["completions", "man", "redshift ddl"];
/// What prints JSON whether asked or not.
const ALWAYS_JSON: [&str; 2] = ["schema", "config schema"];

/// A minute of trades, one row that is none, and a print a second for the minutes after.
fn rows() -> String {
    let row =
        |second: u32| format!("{},{},100,P,1,0\n", 34_200_000 + second * 1_000, 1_000_000 + second * 10);
    "34200000,bad\n34200001,worse\n34200002,worst\n".to_owned() + &(0..300).map(row).collect::<String>()
}

/// Runs in a folder whose tapeline.toml names topic and store; returns the documents on standard output.
fn json(dir: &Path, verb: &str, arguments: &[&str], code: i32) -> Vec<Value> {
    let words: Vec<&str> = verb.split(' ').chain(arguments.iter().copied()).collect();
    let output = tapeline(&words).current_dir(dir).output().unwrap();
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let (got, all) = finish(output);
    assert_eq!(got, code, "{verb}: {all}");
    let documents: Result<Vec<Value>, _> =
        serde_json::Deserializer::from_str(&text).into_iter::<Value>().collect();
    let documents = documents.unwrap_or_else(|error| panic!("{verb}: {error}: {text}"));
    assert!(!documents.is_empty(), "{verb} printed nothing: {all}");
    documents
}

/// All verbs, by walking the help.
fn verbs(prefix: &str, found: &mut BTreeSet<String>) {
    let words: Vec<&str> = prefix.split_whitespace().chain(["--help"]).collect();
    let (code, help) = crate::run(&words);
    assert_eq!(code, 0, "{help}");
    let Some((_, list)) = help.split_once("\nCommands:\n") else {
        found.insert(prefix.to_owned());
        return;
    };
    for line in list.lines().take_while(|line| !line.is_empty()) {
        // A description that continues is indented further.
        if let Some(name) = line.strip_prefix("  ").filter(|line| !line.starts_with(' ')) {
            let name = name.split_whitespace().next().unwrap();
            if name != "help" {
                verbs(format!("{prefix} {name}").trim(), found);
            }
        }
    }
}

/// Starts a verb that runs until stopped; returns its first document and ends it.
fn first(dir: &Path, arguments: &[&str], with: impl FnOnce(&Value)) -> Vec<Value> {
    let mut child = crate::tapeline(arguments)
        .current_dir(dir)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.next().expect("a line when it is ready").unwrap();
    let document = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
    with(&document);
    signal(&child, "-TERM");
    let rest = lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap());
    let all = std::iter::once(document).chain(rest).collect();
    assert!(child.wait().unwrap().success());
    all
}

const SETTINGS: &str = "
source.url = 'tape:tape'
topic.url = 'sqlite:t.db'
store.url = 'sqlite:s.db'
archive.url = 'folder:archive'
[alert]
file = 'alerts.db'
[[alert.channels]]
name = 'ops'
type = 'log'
[[alert.rules]]
name = 'rise'
kind = 'cross'
level = 100.1
";

#[test]
fn every_verb_reports_as_json() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path();
    tape(dir, &rows());
    std::fs::write(dir.join("tapeline.toml"), SETTINGS).unwrap();
    let mut seen = BTreeSet::new();
    let mut check = |verb: &str, arguments: &[&str]| -> Vec<Value> {
        seen.insert(verb.to_owned());
        let format: &[&str] = if ALWAYS_JSON.contains(&verb) { &[] } else { &["--format", "json"] };
        json(dir, verb, &[arguments, format].concat(), 0)
    };
    let vendor = session().display().to_string();
    assert!(check("init", &[])[0]["store"]["changes"].is_array());
    let produced = check("produce", &[]).remove(0);
    assert_eq!((&produced["published"], &produced["dead_letters"]), (&300.into(), &3.into()), "{produced}");
    assert_eq!(check("consume", &["--until-end"])[0]["stored"], 300);
    let aggregated = check("aggregate", &["--until-end"]).remove(0);
    assert_eq!(aggregated["records"], 300, "{aggregated}");
    let run = check("run", &[]).remove(0);
    assert_eq!(
        (&run["published"], &run["resumed"], &run["finished"]),
        (&0.into(), &303.into(), &true.into())
    );
    // Everything is on the topic, and the rule fires on it.
    assert_eq!((&run["alerts"]["records"], &run["alerts"]["fired"]), (&300.into(), &1.into()), "{run}");
    check("count", &[]);
    check("symbols", &[]);
    assert_eq!(check("query", &["trades", "XYZ"])[0].as_array().unwrap().len(), 300);
    let explained = check("explain", &["XYZ", "2013-10-08T09:31", "--interval", "1m"]).remove(0);
    assert_eq!(explained[0]["prints"].as_array().unwrap().len(), 60, "{explained}");
    assert_eq!(explained[0]["bar"]["trades"], 60, "{explained}");
    assert!(check("plot", &["XYZ", "--out", "p.svg"])[0]["bars"].as_u64() > Some(4));
    let imported = check("import", &[&vendor, "--resolution", "minute", "--symbols", "SPY"]).remove(0);
    assert!(imported["bars"].as_u64() > Some(100), "{imported}");
    assert_eq!(check("archive", &["--until-end"])[0]["records"], 300);
    check("archive compact", &[]);
    assert_eq!(check("restore", &[])[0]["records"], 300);
    assert_eq!(check("verify", &[])[0]["equal"], true);
    for verb in
        ["gaps", "late", "notices", "doctor", "config check", "config show", "config schema", "schema"]
    {
        check(verb, &[]);
    }
    let letters = check("dead-letters list", &[]).remove(0);
    let number = |index: usize| letters[index]["number"].as_str().unwrap().to_owned();
    check("dead-letters show", &[&number(0)]);
    check("dead-letters export", &["--out", "letters.ndjson"]);
    check("dead-letters export", &[]);
    check("dead-letters redrive", &[&number(0), "--dry-run"]);
    assert_eq!(check("dead-letters discard", &[&number(1)])[0]["discarded"][0], number(1));
    assert_eq!(check("dead-letters discard", &["--all", "--reason", "of none"])[0]["selected"], 0);
    assert_eq!(check("backfill", &["--open", "--source", "kraken:?symbols=BTC/USD"])[0]["published"], 0);
    check("alert list", &[]);
    assert_eq!(check("alert test", &["ops"])[0]["accepted"], true);
    assert_eq!(check("alert run", &["--until-end"])[0]["records"], 0);
    check("alert replay", &["rise"]);
    let history = check("alert history", &[]).remove(0);
    let acknowledged = check("alert ack", &["--rule", "rise", "--by", "me"]).remove(0);
    assert_eq!(acknowledged["acknowledged"].as_array().unwrap().len(), 1, "{acknowledged} {history}");
    let silenced = check("alert silence", &["--for", "1h"]).remove(0);
    assert_eq!(check("alert silence", &[])[0][0]["id"], silenced["id"]);
    check("alert silence", &["--end", &silenced["id"].to_string()]);
    // Forecasts of a file of daily bars.
    let file = crate::forecast::csv(dir, 700);
    let model = ["--models", "models"];
    let trained = check(
        "forecast train",
        &[&["D", "--file", &file, "--interval", "1d", "--without", "lstm"], &model[..]].concat(),
    );
    assert_eq!((&trained[0]["symbol"], &trained[0]["version"]), (&"D".into(), &1.into()));
    assert_eq!(check("forecast list", &model)[0][0]["bars"], 700);
    let scored = check("forecast score", &[&["D", "--interval", "1d"], &model[..]].concat()).remove(0);
    assert!(scored["scores"].as_array().unwrap().len() > 3, "{scored}");
    let shown = check("forecast show", &[&["D", "--file", &file, "--interval", "1d"], &model[..]].concat());
    assert!(!shown[0]["forecasts"].as_array().unwrap().is_empty(), "{shown:?}");
    assert_eq!(check("forecast run", &[&["--until-end"], &model[..]].concat())[0]["made"], 0);
    // What runs until it is stopped.
    seen.insert("serve".to_owned());
    first(dir, &["serve", "--listen", "127.0.0.1:0", "--format", "json"], |document| {
        let url = document["dashboard"].as_str().unwrap().trim_end_matches('/').to_owned();
        json(dir, "status", &["--url", &url, "--format", "json"], 0);
    });
    seen.insert("status".to_owned());
    let simulate = ["simulate", "kraken", "--tape", "tape", "--listen", "127.0.0.1:0", "--format", "json"];
    let documents = first(dir, &simulate, |_| ());
    assert_eq!((&documents[0]["vendor"], &documents[0]["records"]), (&"kraken".into(), &300.into()));
    seen.insert("simulate".to_owned());
    // The demo is in embedded.rs, a history needs forecasts (forecast.rs), a baseline readings (readings.rs), and Redshift
    // its servers (deploy/tests/redshift.py).
    seen.extend(["demo", "forecast history", "forecast baseline", "redshift load"].map(str::to_owned));
    let mut all = BTreeSet::new();
    verbs("", &mut all);
    // The help of a verb that has others below it does not list itself.
    all.insert("archive".to_owned());
    NOT_JSON.iter().for_each(|verb| assert!(all.remove(*verb), "{verb} is no verb"));
    assert_eq!(seen, all);
}

#[test]
fn what_is_for_people_goes_to_standard_error() {
    let dir = tempfile::tempdir().unwrap();
    tape(dir.path(), "34200000,1000000,100,P,1,0\n");
    let urls = crate::embedded_urls(dir.path(), &dir.path().join("tape"));
    let child = start(&[&crate::with("run", &urls)[..], &["--format", "json"]].concat());
    let output = child.wait_with_output().unwrap();
    let (stdout, stderr) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    assert!(stderr.contains("records/s") && stderr.contains("check it: tapeline verify"), "{stderr}");
    // The same in a table: nothing of it on standard error.
    let output = tapeline(&crate::with("verify", &urls)).output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains("verified: 1 record"));
}
