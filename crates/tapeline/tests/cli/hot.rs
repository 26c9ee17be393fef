//! Hot-hot: two producers on one feed store one set of records, and either can crash without loss.

use super::live::{Simulator, places, tape_of};
use super::real::Real;
use super::{finish, run, signal, tapeline, with};
use std::process::{Child, Stdio};
use std::time::Duration;

const SYMBOLS: [&str; 2] = ["AIG", "IBM"];
/// Market seconds per second; the tape covers 16 hours.
const SPEED: &str = "1500";

/// The market data of bars: everything except the number of restatements.
fn bars(places: &[String], symbol: &str) -> Vec<String> {
    let query = ["bars", symbol, "--interval", "1m", "--format", "csv"];
    let output = tapeline(&[&with("query", places)[..], &query].concat()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let columns: Vec<&str> = text.lines().next().unwrap().split(',').collect();
    let kept: Vec<usize> =
        (0..columns.len()).filter(|n| !["revision", "late", "final"].contains(&columns[*n])).collect();
    let row = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        kept.iter().map(|n| fields[*n]).collect::<Vec<_>>().join(",")
    };
    text.lines().map(row).collect()
}

/// Two producers on one feed, one of them killed and restarted; the store holds the tape once.
fn one_set(places: &[String], least_repeats: u64) {
    let straight = tempfile::tempdir().unwrap();
    let straight = super::live::places(straight.path());
    let (code, text) = run(&[&with("run", &straight)[..], &["--source", &tape_of(&SYMBOLS)]].concat());
    assert_eq!(code, 0, "{text}");
    let simulator = Simulator::new("alpaca", &tape_of(&SYMBOLS), &["--speed", SPEED]);
    let source = format!("alpaca:sip?symbols={}&label=lean.sip&speed={SPEED}", SYMBOLS.join(","));
    let start = || -> Child {
        let mut producer = tapeline(&with("produce", places));
        simulator.connect_to(&mut producer, &source, true);
        producer.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let (mut first, second) = (start(), start());
    std::thread::sleep(Duration::from_secs(20));
    signal(&first, "-KILL");
    first.wait().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    let first = start();
    std::thread::sleep(Duration::from_secs(22));
    for child in [first, second] {
        signal(&child, "-TERM");
        let (code, text) = finish(child.wait_with_output().unwrap());
        assert_eq!(code, 0, "{text}");
    }
    for verb in ["consume", "aggregate"] {
        let (code, text) = run(&[&with(verb, places)[..], &["--until-end"]].concat());
        assert_eq!(code, 0, "{text}");
    }
    let mut verify =
        tapeline(&[&with("verify", places)[..], &["--from", "2013-10-08", "--to", "2013-10-09"]].concat());
    simulator.connect_to(&mut verify, &source, true);
    let (code, text) = finish(verify.output().unwrap());
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("verified: 76,723 records, equal field for field in source, topic, store"),
        "{text}"
    );
    // Both delivered records.
    let repeats = text.lines().find(|line| line.contains("repeat a record")).unwrap_or_default();
    let repeats: u64 = repeats.split_whitespace().next().unwrap_or("0").replace(',', "").parse().unwrap();
    assert!(repeats >= least_repeats, "{text}");
    for symbol in SYMBOLS {
        let (hot, plain) = (bars(places, symbol), bars(&straight, symbol));
        let differ = hot.iter().zip(&plain).find(|(hot, plain)| hot != plain);
        assert!(
            hot.len() == plain.len() && differ.is_none(),
            "{} and {} bars: {differ:?}",
            hot.len(),
            plain.len()
        );
    }
}

#[test]
fn two_producers_on_one_feed_store_one_set() {
    let dir = tempfile::tempdir().unwrap();
    // An embedded topic has one writer at a time: the other starts when the first dies.
    one_set(&places(dir.path()), 1);
}

#[test]
#[ignore = "needs real Kafka and Cassandra: cargo xtask test"]
fn two_producers_on_one_feed_store_one_set_in_kafka_and_cassandra() {
    // Nearly everything is on the topic twice.
    one_set(&Real::new("hot").urls(""), 60_000);
}
