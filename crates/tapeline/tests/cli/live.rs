//! A simulated live feed: what it misses is detected, backfilled and proven.

use super::real::Real;
use super::{finish, run, session, signal, start, tapeline, url, with};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A simulator that ends with the test.
pub(super) struct Simulator {
    child: Child,
    pub(super) address: String,
    vendor: String,
}

impl Simulator {
    pub(super) fn new(vendor: &str, tape: &str, more: &[&str]) -> Self {
        let fixed = ["simulate", vendor, "--tape", tape, "--listen", "127.0.0.1:0"];
        let mut child = tapeline(&[&fixed[..], more].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.split_whitespace().nth(3).unwrap().trim_end_matches(':').to_owned();
        Self { child, address, vendor: vendor.to_owned() }
    }

    /// `run` on its stream.
    pub(super) fn client(&self, source: &str, places: &[String], backfill: bool) -> Command {
        let mut command = tapeline(&with("run", places));
        self.connect_to(&mut command, source, backfill);
        command
    }

    /// Sets the simulator's address for a program.
    pub(super) fn connect_to(&self, command: &mut Command, source: &str, backfill: bool) {
        command.args(["--source", source]);
        let section =
            format!("TAPELINE__SOURCE__{}__", self.vendor.trim_end_matches("-crypto").to_ascii_uppercase());
        command
            .env(format!("{section}STREAM"), format!("ws://{}", self.address))
            .env(format!("{section}REST"), format!("http://{}", self.address))
            .env("MASSIVE_API_KEY", "key-of-test")
            .env("FINNHUB_API_KEY", "key-of-test")
            .env("TAPELINE__SOURCE__STALL", "10m")
            .env("TAPELINE__SOURCE__BACKFILL", backfill.to_string())
            .env("APCA_API_KEY_ID", "key-of-test")
            .env("APCA_API_SECRET_KEY", "secret-of-test");
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `--topic … --store …` on files in a folder.
pub(super) fn places(dir: &Path) -> Vec<String> {
    ["--topic", &url("sqlite", &dir.join("t.db")), "--store", &url("sqlite", &dir.join("s.db"))]
        .map(str::to_owned)
        .to_vec()
}

/// Trades of a store: all fields except receive time, with the id as Alpaca's number; keyed by that number
/// and symbol, with the time.
fn trades(places: &[String], symbols: &[&str]) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for symbol in symbols {
        let (code, text) =
            run(&[&with("query", places)[..], &["trades", symbol, "--format", "csv"]].concat());
        assert_eq!(code, 0, "{text}");
        for line in text.lines().skip(1) {
            let mut field: Vec<&str> = line.split(',').collect();
            assert_eq!(field.len(), 14, "{line}");
            // A false trade.
            if field[13] == "true" {
                continue;
            }
            let id = match field[9].split_once('-') {
                Some((date, row)) => format!("{date}{row:0>8}"),
                None => field[9].to_owned(),
            };
            (field[9], field[11]) = (&id, "");
            out.insert(format!("{symbol} {id}"), field.join(","));
        }
    }
    out
}

/// Start of each bar, and whether it is complete.
fn bars(places: &[String], symbol: &str, interval: &str) -> Vec<(i64, bool)> {
    let query = ["bars", symbol, "--interval", interval, "--format", "json"];
    let output = tapeline(&[&with("query", places)[..], &query].concat()).output().unwrap();
    let list: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    let start = |bar: &serde_json::Value| market::UnixNanos::parse(bar["start"].as_str().unwrap()).unwrap().0;
    list.iter().map(|bar| (start(bar), bar["complete"].as_bool().unwrap())).collect()
}

const TWO: [&str; 2] = ["AIG", "IBM"];
const FOUR: [&str; 4] = ["AIG", "BAC", "IBM", "SPY"];

pub(super) fn tape_of(symbols: &[&str]) -> String {
    format!("tape:{}?kinds=trades&symbols={}", session().display(), symbols.join(","))
}

/// The tape's trades in a store, played without a stream.
fn truth(symbols: &[&str]) -> BTreeMap<String, String> {
    let dir = tempfile::tempdir().unwrap();
    let places = places(dir.path());
    let (code, text) = run(&[&with("run", &places)[..], &["--source", &tape_of(symbols)]].concat());
    assert_eq!(code, 0, "{text}");
    trades(&places, symbols)
}

/// Playback of a tape: speed and faults.
struct Play<'a> {
    symbols: &'a [&'a str],
    speed: &'a str,
    faults: &'a str,
    backfill: bool,
}

impl Play<'_> {
    /// Plays the tape through the stream until `enough`, or until nothing more arrives; gaps as JSON.
    fn through(&self, places: &[String], enough: u64) -> Vec<serde_json::Value> {
        let more = ["--speed", self.speed, "--faults", "7", "--fault-count", self.faults];
        let simulator = Simulator::new("alpaca", &tape_of(self.symbols), &more);
        let source =
            format!("alpaca:sip?symbols={}&label=lean.sip&speed={}", self.symbols.join(","), self.speed);
        let mut client = simulator.client(&source, places, self.backfill);
        let child = client.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (begun, lasts) =
            (Instant::now(), Duration::from_secs_f64(61_000.0 / self.speed.parse::<f64>().unwrap()));
        let (mut last, mut since) = (0, Instant::now());
        loop {
            std::thread::sleep(Duration::from_millis(500));
            let (_, text) = run(&[&with("count", places)[..], &["--format", "json"]].concat());
            let counts: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            let all = counts["trades"].as_object();
            let count = all.map_or(0, |all| all.values().filter_map(serde_json::Value::as_u64).sum());
            if count != last {
                (last, since) = (count, Instant::now());
            }
            // There are more rows than trades: some were canceled.
            if (count >= enough && since.elapsed() > Duration::from_secs(2))
                || (begun.elapsed() > lasts && since.elapsed() > Duration::from_secs(12))
            {
                break;
            }
            assert!(begun.elapsed() < lasts + Duration::from_secs(120), "{count} trades long after the end");
        }
        // A gap is closed after its records.
        std::thread::sleep(Duration::from_secs(2));
        signal(&child, "-TERM");
        let (code, text) = finish(child.wait_with_output().unwrap());
        assert_eq!(code, 0, "{text}");
        assert!(!text.contains("secret-of-test"), "the secret was printed");
        // Topic and store against the vendor's own history, including amendments.
        let day = ["--from", "2013-10-08", "--to", "2013-10-09"];
        let mut verify = tapeline(&[&with("verify", places)[..], &day].concat());
        simulator.connect_to(&mut verify, &source, self.backfill);
        let (code, proof) = finish(verify.output().unwrap());
        assert_eq!(code, if self.backfill { 0 } else { 3 }, "{proof}");
        let (code, text) = run(&[&with("gaps", places)[..], &["--format", "json"]].concat());
        assert_eq!(code, 0, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Despite all faults the store holds the tape, and the ledger the proof.
    fn is_complete(&self, places: &[String], least_gaps: usize) {
        let truth = truth(self.symbols);
        let gaps = self.through(places, truth.len() as u64);
        let stored = trades(places, self.symbols);
        let missing: Vec<_> = truth.iter().filter(|(id, _)| !stored.contains_key(*id)).take(3).collect();
        assert!(missing.is_empty(), "{} of {} stored: {missing:?}\n{gaps:#?}", stored.len(), truth.len());
        assert!(stored == truth, "the same trades, but not equal");
        assert!(gaps.len() >= least_gaps, "{} gaps", gaps.len());
        for gap in &gaps {
            assert_eq!(gap["state"], "closed", "{gap}");
            assert!(gap["proof"]["fetched"].as_u64() > Some(0), "{gap}");
            assert_eq!(gap["proof"]["fetched"], gap["proof"]["counted_again"], "{gap}");
        }
        for symbol in self.symbols {
            let list = bars(places, symbol, "1m");
            let lacking = list.iter().filter(|(_, complete)| !complete).count();
            assert!(list.len() > 300 && lacking == 0, "{symbol}: {lacking} of {} bars", list.len());
        }
        let causes: BTreeSet<&str> = gaps.iter().filter_map(|gap| gap["cause"].as_str()).collect();
        // Detected in time: 600 s of market time, with a check every 0.1 s.
        let silences =
            causes.iter().filter_map(|cause| cause.split_once(" s while connected")?.0.rsplit(' ').next());
        let silences: Vec<f64> = silences.filter_map(|seconds| seconds.parse().ok()).collect();
        assert!(silences.iter().any(|seconds| *seconds < 900.0), "{silences:?}");
        for part in ["lost", "stall", "406", "HTTP 429", "too long"] {
            assert!(causes.iter().any(|cause| cause.contains(part)), "{part} is not among {causes:#?}");
        }
    }
}

#[test]
fn records_missed_by_faults_are_backfilled_trade_for_trade() {
    let dir = tempfile::tempdir().unwrap();
    let play = Play { symbols: &TWO, speed: "1000", faults: "16", backfill: true };
    // Duplicates and reordering lose nothing: 12 of the 16 faults do, several of them in one gap.
    play.is_complete(&places(dir.path()), 3);
}

#[test]
#[ignore = "needs real Kafka and Cassandra: cargo xtask test"]
fn a_stream_with_faults_is_complete_in_kafka_and_cassandra() {
    let real = Real::new("live");
    let play = Play { symbols: &FOUR, speed: "750", faults: "40", backfill: true };
    play.is_complete(&real.urls(""), 3);
}

#[test]
fn a_quiet_and_a_halted_symbol_raise_no_false_stall() {
    // IBM is busy, and then halted for two hours; before nine o'clock both are quiet.
    let more = ["--speed", "1000", "--halt", "IBM,2013-10-08T15:00:00Z,2013-10-08T17:00:00Z"];
    // Detected from history, and from the vendor's report alone.
    let both = [true, false].map(|backfill| {
        let dir = tempfile::tempdir().unwrap();
        let simulator = Simulator::new("alpaca", &tape_of(&TWO), &more);
        let source = "alpaca:sip?symbols=AIG,IBM&label=lean.sip&speed=1000";
        let mut client = simulator.client(source, &places(dir.path()), backfill);
        let child = client.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        (dir, simulator, child)
    });
    std::thread::sleep(Duration::from_secs(42));
    for (dir, _simulator, child) in both {
        let places = places(dir.path());
        signal(&child, "-TERM");
        let (code, text) = finish(child.wait_with_output().unwrap());
        assert_eq!(code, 0, "{text}");
        let (_, gaps) = run(&with("gaps", &places));
        assert!(gaps.contains("0 gaps"), "{gaps}\n{text}");
        assert!(text.contains("halted=true") && text.contains("halted=false"), "{text}");
        let stored = trades(&places, &["IBM"]);
        let inside = |row: &String| ("2013-10-08T15:00"..="2013-10-08T16:59:59").contains(&&row[..19]);
        assert!(!stored.values().any(inside));
        assert!(stored.values().any(|row| row.starts_with("2013-10-08T17:")), "{} of IBM", stored.len());
    }
}

#[test]
fn without_history_the_ledger_names_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let (truth, places) = (truth(&TWO), places(dir.path()));
    let play = Play { symbols: &TWO, speed: "1500", faults: "16", backfill: false };
    let gaps = play.through(&places, u64::MAX);
    let stored = trades(&places, &TWO);
    assert!(stored.len() < truth.len() && stored.iter().all(|(id, row)| truth.get(id) == Some(row)));
    assert!(gaps.iter().all(|gap| gap["state"] == "open"), "{gaps:#?}");
    let instant = |text: &str| market::UnixNanos::parse(text).unwrap_or(market::UnixNanos(i64::MAX));
    let span = |gap: &serde_json::Value| {
        (instant(gap["from"].as_str().unwrap()), instant(gap["to"].as_str().unwrap_or("open")))
    };
    let spans: Vec<_> = gaps.iter().map(span).collect();
    for (id, row) in truth.iter().filter(|(id, _)| !stored.contains_key(*id)) {
        let ts = instant(row.split(',').next().unwrap());
        assert!(
            spans.iter().any(|(from, to)| *from <= ts && ts <= *to),
            "{id} is missing and in no gap: {row}"
        );
    }
    // Bars reveal it: a bar that lacks a trade is incomplete, and an incomplete bar overlaps a gap.
    for (interval, nanos) in [("1s", 1_000_000_000), ("1m", 60_000_000_000_i64), ("1h", 3_600_000_000_000)] {
        let list = bars(&places, "IBM", interval);
        let starts = |whole: bool| {
            list.iter().filter(move |(_, complete)| *complete == whole).map(|(start, _)| *start)
        };
        let lacking = truth.iter().filter(|(id, _)| id.starts_with("IBM") && !stored.contains_key(*id));
        let lacking: Vec<i64> = lacking.map(|(_, row)| instant(row.split(',').next().unwrap()).0).collect();
        for start in starts(true) {
            assert!(!lacking.iter().any(|ts| (start..start + nanos).contains(ts)), "{interval} {start}");
        }
        for start in starts(false) {
            let touched = spans.iter().any(|(from, to)| from.0 < start + nanos && start <= to.0);
            assert!(touched, "{interval} {start} touches no gap");
        }
        assert!(starts(false).count() > 0 && (interval == "1h" || starts(true).count() > 100), "{interval}");
    }
    let (code, text) = run(&[&with("gaps", &places)[..], &["--open"]].concat());
    assert!(code == 0 && text.contains(&format!("{0} gaps, {0} open", gaps.len())), "{text}");
}

#[test]
#[ignore = "needs Python with alpaca-py: cargo xtask test"]
fn alpacas_own_client_receives_what_the_tape_holds() {
    alpacas_own_client("alpaca", &[]);
}

#[test]
#[ignore = "needs Python with alpaca-py: cargo xtask test"]
fn alpacas_own_client_receives_crypto() {
    alpacas_own_client("alpaca-crypto", &["crypto"]);
}

fn alpacas_own_client(vendor: &str, more: &[&str]) {
    let python = std::env::var("TAPELINE_TEST_PYTHON").expect("TAPELINE_TEST_PYTHON: run `cargo xtask test`");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign_alpaca.py");
    let simulator = Simulator::new(vendor, &tape_of(&["IBM"]), &["--speed", "max"]);
    let ticks = session().join("tick");
    let output = Command::new(python)
        .arg(script)
        .arg(&simulator.address)
        .arg(ticks)
        .args(["IBM", "20131008"])
        .args(more)
        .output()
        .unwrap();
    let (code, text) = finish(output);
    assert!(code == 0 && text.contains("equal: 33381 trades by stream and by history"), "{text}");
}

#[test]
fn a_refusal_that_waiting_cannot_mend_ends_it_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let simulator = Simulator::new("alpaca", &tape_of(&["IBM"]), &["--keys", "right:one"]);
    let places = places(dir.path());
    let (code, text) = finish(simulator.client("alpaca:sip?symbols=IBM", &places, true).output().unwrap());
    assert!(code == 1 && text.contains("402 auth failed") && text.contains("APCA_API_KEY_ID"), "{text}");
    assert!(!text.contains("of-test"), "the key was printed: {text}");
    for (source, part) in [
        ("alpaca:iex", "no symbols given"),
        ("alpaca:nyse?symbols=A", "unknown feed `nyse`"),
        ("alpaca:iex?symbols=A&kinds=x", "kinds=x"),
        ("alpaca:iex?symbols=A&what=1", "unknown option; expected symbols"),
    ] {
        let (code, text) = finish(simulator.client(source, &places, true).output().unwrap());
        assert!(code == 2 && text.contains(part), "{source}: {text}");
    }
    let limited = Simulator::new("alpaca", &tape_of(&["IBM"]), &["--symbol-limit", "1"]);
    let (code, text) = finish(limited.client("alpaca:sip?symbols=IBM,AIG", &places, true).output().unwrap());
    assert!(
        code == 1 && text.contains("405 symbol limit exceeded") && text.contains("fewer symbols"),
        "{text}"
    );
    let (code, text) =
        run(&["produce", "--source", "alpaca:iex?symbols=A", "--topic", "sqlite:/nowhere/t.db"]);
    assert!(code == 1 && text.contains("no key for Alpaca"), "{text}");
    let child = start(&["simulate", "alpaca", "--tape", "/nowhere", "--listen", "127.0.0.1:0"]);
    let (code, text) = finish(child.wait_with_output().unwrap());
    assert!(code == 1 && text.contains("/nowhere"), "{text}");
}

#[test]
fn lag_behind_the_market_is_reported() {
    // A session that started a minute ago, one trade every tenth of a second, at its own pace.
    let dir = tempfile::tempdir().unwrap();
    let ago = std::time::SystemTime::now() - Duration::from_secs(60);
    let first = market::UnixNanos(ago.duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as i64);
    let part = |pattern: &str| first.local(pattern, "America/New_York").parse::<i64>().unwrap();
    let midnight = ((part("%H") * 60 + part("%M")) * 60 + part("%S")) * 1_000;
    let rows: Vec<String> = (0..30).map(|n| format!("{},1000000,100,P,0,0", midnight + n * 100)).collect();
    let date = first.local("%Y%m%d", "America/New_York");
    super::tape_of_day(dir.path(), &date, &rows.join("\n"));
    let tape = format!("tape:{}?kinds=trades", dir.path().join("tape").display());
    let simulator = Simulator::new("alpaca", &tape, &["--speed", "1"]);
    let places = places(dir.path());
    let mut client = simulator.client("alpaca:sip?symbols=XYZ", &places, true);
    let child = client.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(5));
    signal(&child, "-TERM");
    let (code, text) = finish(child.wait_with_output().unwrap());
    assert_eq!(code, 0, "{text}");
    let lag = text.split("lag from event to receipt: p50 ").nth(1).and_then(|rest| rest.split(" s,").next());
    let lag: f64 = lag.and_then(|lag| lag.parse().ok()).unwrap_or_else(|| panic!("no lag in {text}"));
    assert!((59.0..120.0).contains(&lag), "{text}");
}
