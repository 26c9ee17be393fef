//! Metrics, health and readiness of a running verb, and `tapeline status` on top of them.

use crate::{embedded_urls, finish, run, signal, tape, tapeline, with};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Starts a verb whose listener takes a free port; the process and the listener's address.
pub(super) fn monitored(arguments: &[&str]) -> (Child, String) {
    let mut child = tapeline(arguments)
        .env("TAPELINE__METRICS__LISTEN", "127.0.0.1:0")
        .env("TAPELINE__AGGREGATE__RUN", "false")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = loop {
        let line = lines.next().expect("the listener's address").unwrap();
        if let Some(rest) = line.strip_prefix("metrics: http://") {
            break rest.trim_end_matches("/metrics").to_owned();
        }
    };
    // Nobody may be kept from writing.
    std::thread::spawn(move || lines.for_each(drop));
    (child, address)
}

/// Status and body of a GET that names `host`.
pub(super) fn get(address: &str, path: &str, host: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

pub(super) fn until(what: &str, mut holds: impl FnMut() -> Result<(), String>) {
    let start = Instant::now();
    while let Err(found) = holds() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what}: {found}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_running_verb_serves_metrics_and_is_ready_while_its_ports_are() {
    let dir = tempfile::tempdir().unwrap();
    // The third row is an hour after the others: the run waits for it.
    tape(dir.path(), "34200000,1000000,100,P,1,0\n34200000,bad\n37800000,1000000,100,P,1,0");
    let mut urls = embedded_urls(dir.path(), &dir.path().join("tape"));
    urls[1].push_str("?speed=1");
    let (child, address) = monitored(&with("run", &urls));
    let metrics = || get(&address, "/metrics", &address).1;
    until("a record is stored", || {
        let text = metrics();
        if text.contains("tapeline_records_stored_total{kind=\"trade\"} 1\n") { Ok(()) } else { Err(text) }
    });
    until("the ports are checked", || match get(&address, "/ready", &address) {
        (200, _) => Ok(()),
        (code, text) => Err(format!("{code} {text}")),
    });
    let text = metrics();
    for series in [
        "tapeline_records_produced_total{kind=\"trade\"} 1\n",
        "tapeline_dead_letters_total{stage=\"produce\"} 1\n",
        "tapeline_dead_letters_total{stage=\"consume\"} 0\n",
        "tapeline_end_to_end_latency_seconds_count 1\n",
        "tapeline_port_up{port=\"store\"} 1\n",
        "tapeline_lost_ranges_total{topic=\"tapeline.trades\"} 0\n",
        "tapeline_last_verify_timestamp_seconds 0\n",
    ] {
        assert!(text.contains(series), "{series}{text}");
    }
    assert!(text.contains("tapeline_consumer_lag{partition=\"0\",topic=\"tapeline.trades\"}"), "{text}");
    assert_eq!(get(&address, "/health", &address), (200, "{\"healthy\":true}".to_owned()));
    assert_eq!(get(&address, "/metrics", "evil.example").0, 421);
    let (code, text) = run(&["status", "--url", &format!("http://{address}")]);
    assert!(
        code == 0 && text.contains("yes") && text.contains("1 record") && text.contains("never"),
        "{text}"
    );
    let (_, json) = run(&["status", "--url", &address, "--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["ports"]["store"]["up"], true, "{report:#}");
    // The store goes: the process is no longer ready, and says why.
    std::fs::rename(dir.path().join("s.db"), dir.path().join("away.db")).unwrap();
    until("the store is missed", || match get(&address, "/ready", &address) {
        (503, text) if text.contains("no store file") => Ok(()),
        (code, text) => Err(format!("{code} {text}")),
    });
    assert!(metrics().contains("tapeline_port_up{port=\"store\"} 0\n"));
    let (code, text) = run(&["status", "--url", &address]);
    assert!(code == 1 && text.contains("DOWN"), "{text}");
    std::fs::rename(dir.path().join("away.db"), dir.path().join("s.db")).unwrap();
    signal(&child, "-TERM");
    assert!(child.wait_with_output().unwrap().status.success());
    let (code, text) = run(&["status", "--url", &address]);
    assert!(code == 4 && text.contains("TAPELINE__METRICS__LISTEN"), "{text}");
}

#[test]
fn the_last_verification_is_a_metric_of_other_processes() {
    let dir = tempfile::tempdir().unwrap();
    tape(dir.path(), "34200000,1000000,100,P,1,0\n");
    let urls = embedded_urls(dir.path(), &dir.path().join("tape"));
    assert_eq!(run(&with("run", &urls)).0, 0);
    assert_eq!(run(&with("verify", &urls)).0, 0);
    let store = rusqlite::Connection::open(dir.path().join("s.db")).unwrap();
    store.execute("DELETE FROM trades", []).unwrap();
    assert_eq!(run(&with("verify", &urls)).0, 3);
    let (child, address) = monitored(&with("consume", &urls[2..]));
    until("the verification is read", || {
        let text = get(&address, "/metrics", &address).1;
        let value = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or("0 0");
            line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()
        };
        let found =
            (value("tapeline_last_verify_timestamp_seconds") > 1e9, value("tapeline_verify_differences"));
        if found == (true, 1.0) { Ok(()) } else { Err(format!("{found:?}")) }
    });
    signal(&child, "-INT");
    assert!(child.wait_with_output().unwrap().status.success());
}

#[test]
fn metrics_for_the_network_demand_a_token() {
    let dir = tempfile::tempdir().unwrap();
    tape(dir.path(), "34200000,1000000,100,P,1,0\n");
    let urls = embedded_urls(dir.path(), &dir.path().join("tape"));
    let output =
        tapeline(&with("run", &urls)).env("TAPELINE__METRICS__LISTEN", "0.0.0.0:0").output().unwrap();
    let (code, text) = finish(output);
    assert!(code == 1 && text.contains("TAPELINE__METRICS__TOKEN"), "{text}");
}
