//! Readings from a real broker: Debian's Mosquitto.

use crate::{run, start, url};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A broker of this test's own, with a persistent store, on a free port.
struct Broker {
    child: Child,
    port: u16,
    config: std::path::PathBuf,
}

impl Broker {
    fn start(dir: &Path) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = dir.join("mosquitto.conf");
        let text = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nuser root\npersistence true\npersistence_location {}/\n\
             autosave_interval 1\nmax_inflight_messages 0\nmax_queued_messages 0\n",
            dir.display()
        );
        std::fs::write(&config, text).unwrap();
        let child = Self::spawn(&config, port);
        Self { child, port, config }
    }

    fn spawn(config: &Path, port: u16) -> Child {
        let mut command = Command::new("/usr/sbin/mosquitto");
        let child = command.arg("-c").arg(config).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.expect("mosquitto: apt-get install mosquitto mosquitto-clients");
        until("the broker listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        child
    }

    fn restart(&mut self) {
        // It writes its sessions to disk on the way out.
        crate::signal(&self.child, "-TERM");
        self.child.wait().unwrap();
        self.child = Self::spawn(&self.config, self.port);
    }

    /// Publishes lines to a topic, a message each, and waits until the broker has them.
    fn publish(&self, topic: &str, lines: &str) {
        let port = self.port.to_string();
        let words = ["-h", "127.0.0.1", "-p", &port, "-q", "1", "-t", topic, "-l"];
        let mut child = Command::new("mosquitto_pub").args(words).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for something to come true; but not indefinitely.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < end, "{what}: not within a minute");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn message(n: u32) -> String {
    format!("{{\"n\":{n},\"time\":{},\"t\":{}.5,\"on\":true}}\n", 1_767_607_200 + i64::from(n), n % 40)
}

#[test]
#[ignore = "needs mosquitto: apt-get install mosquitto mosquitto-clients"]
fn messages_of_a_real_broker_are_stored_once_whatever_dies() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = Broker::start(dir.path());
    let source = format!(
        "mqtt://127.0.0.1:{}/plant/+/state?format=ndjson&feed=plant&series={{topic.2}}.{{field}}&value=t,on&seq=n",
        broker.port
    );
    let (topic, store) = (url("sqlite", &dir.path().join("t.db")), url("sqlite", &dir.path().join("s.db")));
    let urls = ["--source", &source, "--topic", &topic, "--store", &store];
    let words: Vec<&str> = std::iter::once("run").chain(urls).collect();
    let stored = || -> u64 {
        let (code, text) = run(&["count", "--format", "csv", "--store", &store]);
        let counts = text.lines().filter_map(|line| line.rsplit_once(',')?.1.parse::<u64>().ok());
        if code == 0 { counts.sum() } else { 0 }
    };
    let batch = |from: u32| (from..from + 1_000).map(message).collect::<String>();
    let mut child = start(&words);
    // Subscribed once a first message comes through; it is repeated until then.
    until("the subscription", || {
        broker.publish("plant/b7/state", &message(0));
        stored() == 2
    });
    broker.publish("plant/b7/state", &batch(1));
    // Killed on the way; what it had not acknowledged is delivered again.
    child.kill().unwrap();
    child.wait().unwrap();
    broker.publish("plant/b7/state", &batch(1_001));
    broker.restart();
    let child = start(&words);
    until("what came while it was stopped", || stored() == 2 * 2_001);
    broker.restart();
    // What cannot be read, the same again, and last what is waited for.
    broker.publish("plant/b7/state", &("{\"n\":1}\nno json\n".to_owned() + &batch(1_001) + &batch(2_001)));
    until("what came after the broker's restart", || stored() == 2 * 3_001);
    crate::signal(&child, "-TERM");
    let output = child.wait_with_output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("no value: expected t or on"), "{text}");
    let (code, text) = run(&["verify", "--topic", &topic, "--store", &store]);
    assert!(code == 0 && text.contains("verified: 6,002 records"), "{text}");
    let (_, text) = run(&["symbols", "--format", "csv", "--store", &store]);
    assert!(text.contains("readings,b7.t,plant,2026-01-05T00:00:00Z,2026-01-06T00:00:00Z"), "{text}");
}

#[test]
fn what_is_wrong_with_an_mqtt_url_is_named() {
    for (source, part) in [
        ("mqtt://127.0.0.1?format=influx", "expected a topic filter behind the host"),
        ("mqtt://127.0.0.1/a?format=csv&series=x", "a message has no header line"),
        ("mqtt://127.0.0.1:x/a?format=influx", "expected a port number"),
        ("mqtt://bob:hush@127.0.0.1?format=influx", "credentials in an MQTT URL are not supported"),
        ("mqtt://127.0.0.1/a?format=bare&series={topic}", "time=receipt"),
        ("mqtts://127.0.0.1/a?format=influx", "MQTT over TLS is not supported yet"),
    ] {
        let (code, text) = run(&["produce", "--source", source, "--topic", "sqlite:/nonexistent/t.db"]);
        assert!(code != 0 && text.contains(part) && !text.contains("hush"), "{source}: {text}");
    }
}

#[test]
#[ignore = "needs mosquitto: apt-get install mosquitto mosquitto-clients"]
fn the_demo_of_sensors_plays_through_a_real_broker() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path());
    let url = format!("mqtt://127.0.0.1:{}", broker.port);
    let demo = dir.path().join("demo");
    for _ in 0..2 {
        let words = ["demo", "--iot", "--mqtt", &url, "--rate", "2000", "--dir", demo.to_str().unwrap()];
        let (code, text) = run(&words);
        assert_eq!(code, 0, "{text}");
        assert!(
            text.contains("verified: 3,143 records, equal field for field in source, topic, store"),
            "{text}"
        );
    }
}
