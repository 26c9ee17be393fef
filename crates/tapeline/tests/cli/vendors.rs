//! Every vendor's stream with faults, and its own client.

use super::live::{Simulator, places, tape_of};
use super::{finish, run, session, signal, with};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Fields that two paths to a store have in common: time in milliseconds, price and size; equal ones as often
/// as they occur.
fn trades(places: &[String], symbol: &str) -> Vec<(i64, String, String)> {
    let (code, text) = run(&[&with("query", places)[..], &["trades", symbol, "--format", "csv"]].concat());
    assert_eq!(code, 0, "{text}");
    let mut rows: Vec<_> = text
        .lines()
        .skip(1)
        .map(|line| {
            let field: Vec<&str> = line.split(',').collect();
            assert_eq!(field.len(), 14, "{line}");
            (market::UnixNanos::parse(field[0]).unwrap().millis(), field[4].into(), field[5].into())
        })
        .collect();
    rows.sort();
    rows
}

/// Plays the tape through a vendor's stream with faults of every kind; afterwards the store holds the tape,
/// and every gap is closed with its proof.
fn is_whole_after_faults(vendor: &str, feed: &str, causes: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let straight = tempfile::tempdir().unwrap();
    let (places, straight) = (places(dir.path()), places(straight.path()));
    let tape = tape_of(&["IBM"]);
    let (code, text) = run(&[&with("run", &straight)[..], &["--source", &tape]].concat());
    assert_eq!(code, 0, "{text}");
    let truth = trades(&straight, "IBM");
    let more = ["--speed", "1500", "--faults", "11", "--fault-count", "18"];
    let simulator = Simulator::new(vendor, &tape, &more);
    let scheme = vendor.trim_end_matches("-crypto");
    let source = format!("{scheme}:{feed}?symbols=IBM&label=lean.{vendor}&speed=1500");
    let child = simulator
        .client(&source, &places, true)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let count = || {
        let (_, text) = run(&[&with("count", &places)[..], &["--format", "json"]].concat());
        let counts: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        counts["trades"]["IBM"].as_u64().unwrap_or_default()
    };
    while count() < truth.len() as u64 && begun.elapsed() < Duration::from_secs(120) {
        std::thread::sleep(Duration::from_millis(500));
    }
    let stored = count();
    // A gap is closed after its records.
    std::thread::sleep(Duration::from_secs(2));
    signal(&child, "-TERM");
    let (code, text) = finish(child.wait_with_output().unwrap());
    assert!(code == 0 && stored == truth.len() as u64, "{stored} of {}: {text}", truth.len());
    assert!(!text.contains("key-of-test"), "the key was printed");
    assert!(trades(&places, "IBM") == truth, "as many trades, but not the same");
    let (code, text) = run(&[&with("gaps", &places)[..], &["--format", "json"]].concat());
    assert_eq!(code, 0, "{text}");
    let gaps: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    for gap in &gaps {
        assert_eq!(gap["state"], "closed", "{gap}");
        assert_eq!(gap["proof"]["fetched"], gap["proof"]["counted_again"], "{gap}");
    }
    for cause in ["lost", "unreadable", "HTTP 429"].iter().chain(causes) {
        assert!(text.contains(cause), "no gap has the cause {cause}: {text}");
    }
}

#[test]
fn massive_is_whole_after_faults() {
    is_whole_after_faults("massive", "stocks", &["stall", "max_connections"]);
}

#[test]
fn alpacas_crypto_is_whole_after_faults() {
    is_whole_after_faults("alpaca-crypto", "crypto", &["stall", "406"]);
}

#[test]
fn finnhub_is_whole_after_faults() {
    is_whole_after_faults("finnhub", "", &["stall"]);
}

#[test]
fn coinbase_is_whole_after_faults() {
    is_whole_after_faults("coinbase", "", &["sequence gap: messages"]);
}

#[test]
fn kraken_is_whole_after_faults() {
    is_whole_after_faults("kraken", "", &["sequence gap: trades"]);
}

#[test]
fn binance_is_whole_after_faults() {
    is_whole_after_faults("binance", "", &["sequence gap: trades"]);
}

#[test]
fn wrong_keys_and_symbols_end_it_and_say_why() {
    let dir = tempfile::tempdir().unwrap();
    let places = places(dir.path());
    for (vendor, source, part) in [
        ("massive", "massive:stocks?symbols=IBM", "auth_failed"),
        ("finnhub", "finnhub:?symbols=IBM", "check FINNHUB_API_KEY"),
        ("coinbase", "coinbase:?symbols=XYZ", "XYZ is not a valid product"),
        ("kraken", "kraken:?symbols=XYZ", "Currency pair not supported XYZ"),
        ("kraken", "kraken:?symbols=XYZ&kinds=quotes", "kraken has no quotes"),
        ("binance", "binance:spot?symbols=XYZ", "it has a single, unnamed feed"),
    ] {
        let simulator = Simulator::new(vendor, &tape_of(&["IBM"]), &["--keys", "right:one"]);
        let (code, text) = finish(simulator.client(source, &places, true).output().unwrap());
        assert!(code == 1 && text.contains(part) && text.contains("hint"), "{source}: {text}");
        assert!(!text.contains("key-of-test"), "the key was printed: {text}");
    }
}

/// Runs a vendor's own client against the simulator: it compares what it receives with the tape's file.
fn foreign(vendor: &str, script: &str, wanted: &str) {
    let name = if vendor == "coinbase" { "TAPELINE_TEST_PYTHON_COINBASE" } else { "TAPELINE_TEST_PYTHON" };
    let python = std::env::var(name).expect("a Python with the vendor's client: run `cargo xtask test`");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(script);
    let simulator = Simulator::new(vendor, &tape_of(&["IBM"]), &["--speed", "max"]);
    let output = Command::new(python)
        .arg(script)
        .arg(&simulator.address)
        .arg(session().join("tick"))
        .args(["IBM", "20131008"])
        .output()
        .unwrap();
    let (code, text) = finish(output);
    assert!(code == 0 && text.contains(wanted), "{text}");
}

#[test]
#[ignore = "needs Python with the vendor's client: cargo xtask test"]
fn massives_own_client_receives_what_the_tape_holds() {
    foreign("massive", "foreign_massive.py", "equal: 33381 trades by stream and by history");
}

#[test]
#[ignore = "needs Python with the vendor's client: cargo xtask test"]
fn krakens_own_client_receives_what_the_tape_holds() {
    foreign("kraken", "foreign_kraken.py", "equal: 33381 trades");
}

#[test]
#[ignore = "needs Python with the vendor's client: cargo xtask test"]
fn binances_own_client_receives_what_the_tape_holds() {
    foreign("binance", "foreign_binance.py", "equal: 33381 trades by stream and by history");
}

#[test]
#[ignore = "needs Python with the vendor's client: cargo xtask test"]
fn coinbases_own_client_receives_what_the_tape_holds() {
    foreign("coinbase", "foreign_coinbase.py", "equal: 33381 trades");
}

#[test]
#[ignore = "needs Python with the vendor's client: cargo xtask test"]
fn finnhubs_own_client_reads_the_history() {
    foreign("finnhub", "foreign_finnhub.py", "equal: 33381 trades");
}

#[test]
fn what_stayed_open_is_fetched_when_asked_for() {
    let (dir, straight) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (places, straight) = (places(dir.path()), places(straight.path()));
    let tape = tape_of(&["IBM"]);
    let (code, text) = run(&[&with("run", &straight)[..], &["--source", &tape]].concat());
    assert_eq!(code, 0, "{text}");
    let truth = trades(&straight, "IBM");
    let more = ["--speed", "4000", "--faults", "3", "--fault-count", "9"];
    let simulator = Simulator::new("kraken", &tape, &more);
    let client = |verb: &[&str], backfill: bool| {
        let mut command =
            super::tapeline(&[verb, &places.iter().map(String::as_str).collect::<Vec<_>>()].concat());
        simulator.told(&mut command, "kraken:?label=lean.kraken&speed=4000", backfill);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let child = client(&["run", "--symbols", "IBM"], false).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(18));
    signal(&child, "-TERM");
    let (code, text) = finish(child.wait_with_output().unwrap());
    assert_eq!(code, 0, "{text}");
    let gaps = |more: &[&str]| {
        let (code, text) = run(&[&with("gaps", &places)[..], &["--format", "json"], more].concat());
        assert_eq!(code, 0, "{text}");
        serde_json::from_str::<Vec<serde_json::Value>>(&text).unwrap()
    };
    let ended = |gaps: &[serde_json::Value]| gaps.iter().filter(|gap| gap["to"].is_string()).count();
    assert!(trades(&places, "IBM").len() < truth.len() && ended(&gaps(&["--open"])) > 0);
    let (code, text) = finish(client(&["backfill", "--open"], true).output().unwrap());
    assert!(code == 0 && text.contains("fetched and confirmed"), "{text}");
    assert_eq!(ended(&gaps(&["--open"])), 0, "{text}");
    let day = ["backfill", "IBM", "--from", "2013-10-08T04:00[America/New_York]", "--to", "2013-10-09"];
    let (code, text) = finish(client(&day, true).output().unwrap());
    assert!(code == 0 && text.contains("33,381 fetched and confirmed"), "{text}");
    let (code, text) = run(&[&with("consume", &places)[..], &["--until-end"]].concat());
    assert_eq!(code, 0, "{text}");
    assert!(trades(&places, "IBM") == truth, "as many trades, but not the same");
    let (code, text) =
        run(&[&with("backfill", &places)[..], &["IBM", "--source", &tape, "--from", "2013"]].concat());
    assert!(code == 1 && text.contains("is not a live source") && text.contains("hint"), "{text}");
}
