//! Vendor bars, from REST and streams, from their simulators.

use super::live::{Simulator, places, tape_of};
use super::{finish, run, signal, tapeline, with};
use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

const VENDORS: [&str; 5] = ["alpaca", "massive", "alphavantage", "twelvedata", "yahoo"];

/// Start, and open to volume, of a feed's bars.
fn bars(places: &[String], interval: &str) -> BTreeMap<String, Vec<String>> {
    bars_of(places, interval, "")
}

fn bars_of(places: &[String], interval: &str, ending: &str) -> BTreeMap<String, Vec<String>> {
    let query = ["bars", "IBM", "--interval", interval, "--format", "json"];
    let output = tapeline(&[&with("query", places)[..], &query].concat()).output().unwrap();
    let list: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    let text = |bar: &serde_json::Value, name: &str| bar[name].as_str().unwrap_or_default().to_owned();
    let row = |bar: &serde_json::Value| {
        assert!(bar["revision"] == 0 && (bar["final"] == true || !ending.is_empty()), "{bar}");
        ["open", "high", "low", "close", "volume"].map(|name| text(bar, name)).to_vec()
    };
    let all = list.iter().filter(|bar| text(bar, "feed").ends_with(ending));
    all.map(|bar| (text(bar, "start"), row(bar))).collect()
}

fn told(simulator: &Simulator, command: &mut std::process::Command, vendor: &str) {
    let section = vendor.to_ascii_uppercase();
    let of = if ["alpaca", "massive"].contains(&vendor) { section } else { format!("POLL__{section}") };
    command
        .env(format!("TAPELINE__SOURCE__{of}__REST"), format!("http://{}", simulator.address))
        .env("APCA_API_KEY_ID", "key-of-test")
        .env("APCA_API_SECRET_KEY", "secret-of-test")
        .env("MASSIVE_API_KEY", "key-of-test")
        .env("ALPHAVANTAGE_API_KEY", "key-of-test")
        .env("TWELVEDATA_API_KEY", "key-of-test");
}

#[test]
fn polled_bars_are_those_of_the_tape() {
    let straight = tempfile::tempdir().unwrap();
    let straight = places(straight.path());
    let tape = tape_of(&["IBM"]);
    let (code, text) = run(&[&with("run", &straight)[..], &["--source", &tape]].concat());
    assert_eq!(code, 0, "{text}");
    for vendor in VENDORS {
        let dir = tempfile::tempdir().unwrap();
        let places = places(dir.path());
        let simulator = Simulator::new(vendor, &tape, &["--keys", "key-of-test:secret-of-test"]);
        for interval in ["1m", "1d"] {
            // Two weeks of minutes exceed one reply of most vendors.
            let source = format!(
                "poll:{vendor}?symbols=IBM&interval={interval}&from=2013-09-25T04:00:00Z&to=2013-10-09T03:59:00Z&once=true"
            );
            let mut client = tapeline(&[&with("run", &places)[..], &["--source", &source]].concat());
            told(&simulator, &mut client, vendor);
            // Alpha Vantage's free plan allows one request per minute.
            client.env("TAPELINE__SOURCE__POLL__ALPHAVANTAGE__PER_MINUTE", "60");
            let (code, text) = finish(client.output().unwrap());
            assert_eq!(code, 0, "{vendor}: {text}");
            assert!(text.contains("show them: tapeline query bars") && !text.contains("verify"), "{text}");
            assert!(text.contains("vendor bars: ") && !text.contains("key-of-test"), "{vendor}: {text}");
            let (polled, mut made) = (bars(&places, interval), bars(&straight, interval));
            if vendor == "yahoo" {
                // Its prices are 32-bit floats.
                let short = |price: &String| price.parse::<f32>().unwrap().to_string();
                made.values_mut().for_each(|row| row[..4].iter_mut().for_each(|price| *price = short(price)));
            }
            assert_eq!(polled, made, "{vendor} {interval}");
            assert!(interval == "1d" || polled.len() > 390, "{vendor}: {} bars", polled.len());
        }
    }
}

#[test]
fn a_days_requests_are_counted_over_runs_and_refusals_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let places = places(dir.path());
    let simulator = Simulator::new("alphavantage", &tape_of(&["IBM"]), &["--keys", "key-of-test:x"]);
    let ask = |symbol: &str, key: &str| {
        let source = format!("poll:alphavantage?symbols={symbol}&from=2013-10-08&to=2013-10-09&once=true");
        let mut client = tapeline(&[&with("run", &places)[..], &["--source", &source]].concat());
        told(&simulator, &mut client, "alphavantage");
        client.env("TAPELINE__SOURCE__POLL__ALPHAVANTAGE__PER_DAY", "2").env("ALPHAVANTAGE_API_KEY", key);
        finish(client.output().unwrap())
    };
    assert_eq!(ask("IBM", "key-of-test").0, 0);
    assert_eq!(ask("IBM", "key-of-test").0, 0);
    let (code, text) = ask("IBM", "key-of-test");
    assert!(code == 1 && text.contains("the 2 requests a day to alphavantage are used up"), "{text}");
    let other = tempfile::tempdir().unwrap();
    let places = super::live::places(other.path());
    for (symbol, key, part) in [("NONE", "key-of-test", "symbol"), ("IBM", "wrong-key", "apikey")] {
        let source = format!("poll:alphavantage?symbols={symbol}&once=true");
        let mut client = tapeline(&[&with("run", &places)[..], &["--source", &source]].concat());
        told(&simulator, &mut client, "alphavantage");
        let (code, text) = finish(client.env("ALPHAVANTAGE_API_KEY", key).output().unwrap());
        assert!(code == 1 && text.contains(part) && text.contains("hint") && !text.contains(key), "{text}");
    }
}

#[test]
fn streamed_bars_are_those_of_the_tape() {
    let straight = tempfile::tempdir().unwrap();
    let straight = places(straight.path());
    let tape = tape_of(&["IBM"]);
    let (code, text) = run(&[&with("run", &straight)[..], &["--source", &tape]].concat());
    assert_eq!(code, 0, "{text}");
    let running = ["alpaca:sip", "massive:stocks"].map(|source| {
        let dir = tempfile::tempdir().unwrap();
        let vendor = source.split(':').next().unwrap();
        let simulator = Simulator::new(vendor, &tape, &["--speed", "3000"]);
        let source = format!("{source}?symbols=IBM&kinds=trades,bars&label=lean.{vendor}&speed=3000");
        let mut client = simulator.client(&source, &places(dir.path()), true);
        let child = client.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        (dir, vendor, simulator, child)
    });
    std::thread::sleep(Duration::from_secs(24));
    for (dir, vendor, _simulator, child) in running {
        signal(&child, "-TERM");
        let (code, text) = finish(child.wait_with_output().unwrap());
        assert_eq!(code, 0, "{text}");
        for interval in if vendor == "massive" { &["1m", "1s"][..] } else { &["1m"] } {
            let told = bars_of(&places(dir.path()), interval, ".bars");
            let mut made = bars(&straight, interval);
            // The tape ends before its last bars do.
            let last = told.keys().next_back().cloned().unwrap_or_default();
            made.retain(|start, _| *start <= last);
            assert!(made.len() > 390, "{vendor} {interval}: {} bars", made.len());
            let differ = made.iter().find(|(start, bar)| told.get(*start) != Some(*bar));
            assert!(told.len() == made.len() && differ.is_none(), "{vendor} {interval}: {differ:?}");
        }
    }
}

#[test]
fn halts_and_price_bands_are_notices() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("capture.jsonl");
    let frame = r#"[{"T":"s","S":"AAPL","sc":"H","sm":"Trading Halt","rc":"T12","rm":"","t":"2021-02-22T19:15:00Z","z":"C"},{"T":"l","S":"AAPL","u":3.24,"d":2.65,"i":"B","t":"2022-04-06T20:06:09.9Z","z":"A"}]"#;
    std::fs::write(&path, frame).unwrap();
    let source = format!("frames:{}?feed=alpaca.sip", path.display());
    let places = places(dir.path());
    let (code, text) = run(&[&with("run", &places)[..], &["--source", &source]].concat());
    assert!(code == 0 && !text.contains("dead letters"), "{text}");
    let topic = rusqlite::Connection::open(dir.path().join("t.db")).unwrap();
    let mut rows = topic.prepare("SELECT payload FROM messages WHERE key = 'AAPL' ORDER BY offset").unwrap();
    let rows: Vec<String> = rows
        .query_map([], |row| row.get::<_, Vec<u8>>(0))
        .unwrap()
        .map(|row| String::from_utf8(row.unwrap()).unwrap())
        .collect();
    assert!(rows.len() == 2 && rows[0].contains("\"what\":\"halted\""), "{rows:?}");
    let bands = r#"{"feed":"alpaca.sip","symbol":"AAPL","what":"bands","ts":"2022-04-06T20:06:09.9Z","upper":"3.24","lower":"2.65","indicator":"B"}"#;
    assert_eq!(rows[1], bands);
}
