//! `tapeline doctor` names the first broken link of each port, and `tapeline config` what is wrong with the settings.

use crate::{embedded_urls, finish, run, tape, tapeline, url, with};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpListener;

/// The links of a report: port, link, status.
fn links(report: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let ports = report["ports"].as_array().unwrap().iter();
    ports
        .flat_map(|port| {
            let of_port = port["links"].as_array().unwrap().iter();
            of_port
                .map(|link| (text(&port["port"]), text(&link["name"]), text(&link["status"])))
                .collect::<Vec<_>>()
        })
        .collect()
}

fn doctor(arguments: &[&str]) -> (i32, Value) {
    let output = tapeline(&[&["doctor", "--format", "json"][..], arguments].concat()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let report = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    (output.status.code().unwrap(), report)
}

fn has(report: &Value, port: &str, link: &str, status: &str) -> bool {
    links(report).contains(&(port.to_owned(), link.to_owned(), status.to_owned()))
}

#[test]
fn an_embedded_pipeline_is_healthy() {
    let dir = tempfile::tempdir().unwrap();
    tape(dir.path(), "34200000,1000000,100,P,1,0\n");
    let urls = embedded_urls(dir.path(), &dir.path().join("tape"));
    assert_eq!(run(&with("run", &urls)).0, 0);
    let arguments: Vec<&str> = urls.iter().map(String::as_str).collect();
    let (code, report) = doctor(&arguments);
    assert_eq!((code, &report["healthy"]), (0, &Value::from(true)), "{report:#}");
    for (port, link) in [
        ("source", "opened"),
        ("topic", "file"),
        ("topic", "topics"),
        ("topic", "group"),
        ("store", "rights"),
        ("flow", "messages"),
    ] {
        assert!(has(&report, port, link, "ok"), "{port} {link}: {report:#}");
    }
    let (code, text) = run(&with("doctor", &urls));
    assert!(code == 0 && text.contains("0 failed, 0 warnings"), "{text}");
}

#[test]
fn files_that_are_missing_or_not_initialised_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let (topic, store) = (dir.path().join("t.db"), dir.path().join("s.db"));
    let (code, report) = doctor(&["--topic", &url("sqlite", &topic), "--store", &url("sqlite", &store)]);
    assert_eq!(code, 1);
    assert!(has(&report, "topic", "file", "failed") && has(&report, "store", "file", "failed"), "{report:#}");
    rusqlite::Connection::open(&store).unwrap().execute_batch("CREATE TABLE other (x)").unwrap();
    let (code, text) = run(&["doctor", "--topic", &url("sqlite", &topic), "--store", &url("sqlite", &store)]);
    assert!(code == 1 && text.contains("it has no tables") && text.contains("tapeline init"), "{text}");
    assert!(!topic.exists(), "a check must create nothing");
}

#[test]
fn nothing_listening_and_wrong_host_names_are_told_apart() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (code, report) =
        doctor(&["--topic", &format!("kafka://{free}"), "--store", &format!("cassandra://{free}/k")]);
    assert_eq!(code, 4, "{report:#}");
    for port in ["topic", "store"] {
        assert!(has(&report, port, "DNS", "ok") && has(&report, port, "TCP", "failed"), "{report:#}");
    }
    let (code, report) =
        doctor(&["--topic", "kafka://no-such-host.invalid", "--store", "cassandra://no-such-host.invalid/k"]);
    assert_eq!(code, 1, "{report:#}");
    assert!(has(&report, "topic", "DNS", "failed") && has(&report, "store", "DNS", "failed"), "{report:#}");
}

#[test]
fn a_port_that_speaks_something_else_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // Answers whatever comes as a web server would, and hangs up; ends with the test's process.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 512]);
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
            });
        }
    });
    let (code, report) =
        doctor(&["--topic", &format!("kafka://{address}"), "--store", &format!("cassandra://{address}/k")]);
    assert_eq!(code, 1, "{report:#}");
    for port in ["topic", "store"] {
        assert!(has(&report, port, "TCP", "ok") && has(&report, port, "protocol", "failed"), "{report:#}");
    }
    assert!(!has(&report, "flow", "messages", "ok"), "{report:#}");
}

#[test]
#[ignore = "needs real Kafka and Cassandra: cargo xtask test"]
fn a_real_pipeline_is_healthy() {
    let real = crate::real::Real::new("doctor");
    let urls = real.urls("?kinds=trades&symbols=AIG");
    assert_eq!(run(&with("run", &urls)).0, 0);
    let arguments: Vec<&str> = urls.iter().map(String::as_str).collect();
    let (code, report) = doctor(&arguments);
    assert_eq!(code, 0, "{report:#}");
    for (port, link) in [
        ("topic", "brokers"),
        ("topic", "topics"),
        ("topic", "replicas"),
        ("topic", "group"),
        ("store", "keyspace"),
        ("store", "tables"),
        ("store", "rights"),
        ("store", "clock"),
        ("flow", "messages"),
    ] {
        assert!(has(&report, port, link, "ok"), "{port} {link}: {report:#}");
    }
    let (code, report) =
        doctor(&["--topic", &urls[3], "--store", &format!("cassandra://{}/no_such", real.cassandra)]);
    assert_eq!(code, 1, "{report:#}");
    assert!(
        has(&report, "topic", "topics", "failed") && has(&report, "store", "keyspace", "failed"),
        "{report:#}"
    );
}

#[test]
fn all_errors_of_a_configuration_are_reported_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("t.toml");
    let file = file.to_str().unwrap();
    std::fs::write(
        file,
        "[topic]\nurll = 'x'\npartitions = 0\n[log]\nformat = 'xml'\n[store.cassandra]\npassword = 'hush'\n",
    )
    .unwrap();
    let (code, text) = run(&["config", "check", "--config", file]);
    assert!(code == 1 && text.contains("3 errors"), "{text}");
    for part in [
        "unknown setting `topic.urll`",
        "`topic.partitions`: expected 1 to 10000",
        "`log.format`: expected text, json",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // Other verbs refuse them as well, all of them.
    let (code, text) = run(&["count", "--config", file]);
    assert!(code == 1 && text.contains("3 errors"), "{text}");
    // What is set is shown all the same, and from where; a secret is not.
    let output = tapeline(&["config", "show", "--changed", "--config", file, "--group", "mine"])
        .env("TAPELINE__CONSUME__CYCLE", "77")
        .output()
        .unwrap();
    let (code, text) = finish(output);
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("consume.cycle = 77") && text.contains("environment variable TAPELINE__CONSUME__CYCLE"),
        "{text}"
    );
    assert!(text.contains("topic.group = \"mine\"") && text.contains("# flag"), "{text}");
    assert!(text.contains("store.cassandra.password = \"***\"") && !text.contains("hush"), "{text}");
}

#[test]
fn urls_and_rules_that_cannot_work_are_errors_of_the_configuration() {
    let (code, text) =
        run(&["config", "check", "--topic", "redis://x", "--store", "mysql://x", "--source", "ftp://x"]);
    assert!(code == 1 && text.contains("3 errors"), "{text}");
    let (code, text) = run(&["config", "check"]);
    assert!(code == 0 && text.contains("configuration is valid"), "{text}");
    let (code, text) = run(&["config", "schema"]);
    let schema: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (code, &schema["properties"]["topic"]["properties"]["partitions"]["type"]),
        (0, &Value::from("integer"))
    );
}

#[test]
fn a_wrong_alert_rule_is_named_with_its_key_and_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("t.toml");
    let rule = "[[alert.rules]]\nname = 'spike'\nkind = 'percent_move'\nwindow = '5m'\nthreshold = 'x'\ncolour = 1\n";
    std::fs::write(&file, format!("[topic]\npartitions = 3\n{rule}[[alert.rules]]\nname = 'b'\n")).unwrap();
    let (code, text) = run(&["config", "check", "--config", file.to_str().unwrap()]);
    assert!(code == 1 && text.contains("3 errors"), "{text}");
    for part in [
        "t.toml: `alert.rules`, entry 1 (`spike`): `threshold`: expected a number, found string `x` (line 7)",
        "entry 1 (`spike`): unknown key `colour`; expected one of",
        "(line 8)",
        "entry 2 (`b`): missing key `kind` (line 9)",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}
