//! `tapeline serve` and its clients.

use crate::{embedded_urls, finish, run, session, signal, start, tape, tapeline, with};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const ROWS: &str = "34200000,1000000,100,P,1,0\n34200000,1000000,100,P,1,0\n34200001,1000100,5,Q,20,1\n34260000,1000200,7,P,1,0\n";

/// A server that ends with the test.
struct Serving {
    child: Child,
    address: String,
}

impl Serving {
    fn new(arguments: &[&str]) -> Self {
        let mut child = start(arguments);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = loop {
            let line = lines.next().expect("the server prints its address").unwrap();
            if let Some((_, rest)) = line.split_once("dashboard: http://") {
                break rest.trim_end_matches('/').to_owned();
            }
        };
        // What it prints later must not block it.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    /// The body of a reply, which must be a success.
    fn get(&self, path: &str) -> String {
        let text = self.reply(path);
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.0 200"), "{path}: {text}");
        body.to_owned()
    }

    /// Waits until the topics are read.
    fn live(&self) {
        let end = Instant::now() + Duration::from_secs(60);
        while !self.reply("/api/v1/health").starts_with("HTTP/1.0 200") {
            assert!(Instant::now() < end, "the server has not read its topics");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A reply with its head.
    fn reply(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_api_shows_what_query_shows() {
    let dir = tempfile::tempdir().unwrap();
    tape(dir.path(), ROWS);
    let urls = embedded_urls(dir.path(), &dir.path().join("tape"));
    assert_eq!(run(&with("run", &urls)).0, 0);
    let mut arguments = with("serve", &urls);
    arguments.extend(["--listen", "127.0.0.1:0"]);
    let serving = Serving::new(&arguments);
    let rows = |path: &str| -> Vec<serde_json::Value> {
        let json: serde_json::Value = serde_json::from_str(&serving.get(path)).unwrap();
        json["rows"].as_array().unwrap().clone()
    };
    for what in ["trades", "bars"] {
        let (code, text) = run(&["query", what, "XYZ", "--format", "json", &urls[4], &urls[5]]);
        assert_eq!(code, 0, "{text}");
        let queried: Vec<serde_json::Map<String, serde_json::Value>> = serde_json::from_str(&text).unwrap();
        let served = rows(&format!("/api/v1/{what}?symbol=XYZ"));
        assert_eq!(served.len(), queried.len(), "{what}");
        assert!(!served.is_empty());
        for (one, other) in served.iter().zip(&queried) {
            for (name, value) in other {
                // The same instant may have more decimals in one than in the other.
                let time = |value: &serde_json::Value| market::UnixNanos::parse(value.as_str()?).ok();
                match time(value) {
                    Some(instant) => assert_eq!(time(&one[name]), Some(instant), "{what}: {name}"),
                    None => assert_eq!(&one[name], value, "{what}: {name}"),
                }
            }
        }
    }
    assert!(serving.get("/").contains("<title>Tapeline</title>"));
    signal(&serving.child, "-TERM");
}

#[test]
fn an_open_address_without_a_token_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let urls = embedded_urls(dir.path(), dir.path());
    let mut arguments = with("serve", &urls);
    arguments.extend(["--listen", "0.0.0.0:0"]);
    let (code, text) = run(&arguments);
    assert!(
        code == 1 && text.contains("without a token") && text.contains("TAPELINE__SERVE__TOKEN"),
        "{text}"
    );
}

#[test]
#[ignore = "needs Python with alpaca-py and pandas: cargo xtask test"]
fn alpacas_own_client_reads_the_store() {
    let python = std::env::var("TAPELINE_TEST_PYTHON").expect("TAPELINE_TEST_PYTHON: run `cargo xtask test`");
    let dir = tempfile::tempdir().unwrap();
    let source = format!("tape:{}?symbols=IBM&kinds=trades", session().display());
    let [topic, store] = ["t.db", "s.db"].map(|name| format!("sqlite:{}", dir.path().join(name).display()));
    let urls = ["--source", &source, "--topic", &topic, "--store", &store];
    let (code, text) = finish(tapeline(&["run"]).args(urls).output().unwrap());
    assert_eq!(code, 0, "{text}");
    let serving = Serving::new(&["serve", "--listen", "127.0.0.1:0", "--topic", &topic, "--store", &store]);
    let (code, bars) =
        run(&["query", "bars", "IBM", "--interval", "1m", "--format", "csv", "--store", &store]);
    assert_eq!(code, 0, "{bars}");
    let file = dir.path().join("bars.csv");
    std::fs::write(&file, bars).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign_serve.py");
    let ticks = session().join("tick");
    let output = Command::new(python)
        .arg(script)
        .arg(&serving.address)
        .arg(ticks)
        .args(["IBM", "20131008"])
        .arg(&file)
        .output()
        .unwrap();
    let (code, text) = finish(output);
    assert!(code == 0 && text.contains("equal: 33381 trades"), "{text}");
}

#[test]
#[ignore = "needs Python with alpaca-py and pandas: cargo xtask test"]
fn alpacas_own_client_reads_the_stream() {
    let python = std::env::var("TAPELINE_TEST_PYTHON").expect("TAPELINE_TEST_PYTHON: run `cargo xtask test`");
    let dir = tempfile::tempdir().unwrap();
    let [topic, store] = ["t.db", "s.db"].map(|name| format!("sqlite:{}", dir.path().join(name).display()));
    let urls = ["--topic", &topic, "--store", &store];
    assert_eq!(run(&[&["init"], &urls[..]].concat()).0, 0);
    let serving = Serving::new(&[&["serve", "--listen", "127.0.0.1:0"], &urls[..]].concat());
    // Until the server has read its topics, its stream sends nothing.
    serving.live();
    let file = dir.path().join("bars.csv");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign_stream.py");
    let mut client = Command::new(python)
        .arg(script)
        .arg(&serving.address)
        .arg(session().join("tick"))
        .args(["IBM", "20131008"])
        .arg(&file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(client.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    if line.trim() == "subscribed" {
        let source = format!("tape:{}?symbols=IBM&kinds=trades", session().display());
        let (code, text) = run(&[&["run", "--source", &source], &urls[..]].concat());
        assert_eq!(code, 0, "{text}");
        let (code, bars) =
            run(&["query", "bars", "IBM", "--interval", "1m", "--format", "csv", "--store", &store]);
        assert_eq!(code, 0, "{bars}");
        std::fs::write(&file, bars).unwrap();
    }
    drop(client.stdin.take());
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    let (code, text) = finish(client.wait_with_output().unwrap());
    assert!(code == 0 && rest.contains("equal: 33381 trades and "), "{line}{rest}{text}");
}

#[test]
#[ignore = "needs Python with influxdb-client: cargo xtask test"]
fn influxdbs_own_client_and_curl_push_readings() {
    let python = std::env::var("TAPELINE_TEST_PYTHON").expect("TAPELINE_TEST_PYTHON: run `cargo xtask test`");
    let dir = tempfile::tempdir().unwrap();
    let [topic, store] = ["t.db", "s.db"].map(|name| format!("sqlite:{}", dir.path().join(name).display()));
    let urls = ["--topic", &topic, "--store", &store];
    assert_eq!(run(&[&["init"], &urls[..]].concat()).0, 0);
    std::fs::write(dir.path().join("tapeline.toml"), "[serve]\ntoken = \"token-of-test\"\n").unwrap();
    let config = dir.path().join("tapeline.toml").display().to_string();
    let serving =
        Serving::new(&[&["serve", "--listen", "127.0.0.1:0", "--config", &config], &urls[..]].concat());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign_push.py");
    let mut client = Command::new(python);
    client.arg(script).args([&serving.address, "token-of-test", "1000"]);
    let (code, text) = finish(client.output().unwrap());
    assert!(code == 0 && text.contains("written: 1000"), "{text}");
    let url = format!(
        "http://{}/api/v1/readings?format=csv&feed=plant&series=boiler.%7Bfield%7D&value=pressure",
        serving.address
    );
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--fail-with-body", "-H", "Authorization: Bearer token-of-test", "--data-binary"]);
    curl.arg("time,pressure\n2026-01-05T10:00:00Z,1.25\n").arg(url);
    let (code, text) = finish(curl.output().unwrap());
    assert!(code == 0 && text.contains("\"readings\":1"), "{text}");
    let (code, text) = run(&[&["consume", "--until-end"], &urls[..]].concat());
    assert_eq!(code, 0, "{text}");
    let (_, text) = run(&["count", "--format", "json", "--store", &store]);
    assert_eq!(
        text,
        "{\"quotes\":{},\"readings\":{\"boiler,site=b.temperature\":1000,\"boiler.pressure\":1},\"trades\":{}}\n"
    );
}
