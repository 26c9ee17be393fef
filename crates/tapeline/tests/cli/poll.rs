//! Bars that vendors give over REST, polled from their simulators.

use super::live::{Simulator, places, tape_of};
use super::{finish, run, tapeline, with};
use std::collections::BTreeMap;

const VENDORS: [&str; 5] = ["alpaca", "massive", "alphavantage", "twelvedata", "yahoo"];

/// Start, and open to volume, of a feed's bars.
fn bars(places: &[String], interval: &str) -> BTreeMap<String, Vec<String>> {
    let query = ["bars", "IBM", "--interval", interval, "--format", "json"];
    let output = tapeline(&[&with("query", places)[..], &query].concat()).output().unwrap();
    let list: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    let text = |bar: &serde_json::Value, name: &str| bar[name].as_str().unwrap_or_default().to_owned();
    let row = |bar: &serde_json::Value| {
        assert_eq!((&bar["revision"], &bar["final"]), (&0.into(), &true.into()), "{bar}");
        ["open", "high", "low", "close", "volume"].map(|name| text(bar, name)).to_vec()
    };
    list.iter().map(|bar| (text(bar, "start"), row(bar))).collect()
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
            let source = format!(
                "poll:{vendor}?symbols=IBM&interval={interval}&from=2013-10-08T04:00:00Z&to=2013-10-09T03:59:00Z&once=true"
            );
            let mut client = tapeline(&[&with("run", &places)[..], &["--source", &source]].concat());
            told(&simulator, &mut client, vendor);
            // One request a minute is Alpha Vantage's free plan.
            client.env("TAPELINE__SOURCE__POLL__ALPHAVANTAGE__PER_MINUTE", "60");
            let (code, text) = finish(client.output().unwrap());
            assert_eq!(code, 0, "{vendor}: {text}");
            assert!(
                text.contains("the vendor's own bars: ") && !text.contains("key-of-test"),
                "{vendor}: {text}"
            );
            let (polled, mut made) = (bars(&places, interval), bars(&straight, interval));
            if vendor == "yahoo" {
                // Its prices are of 32 bits.
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
