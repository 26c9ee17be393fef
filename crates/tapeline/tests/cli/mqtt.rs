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
        Self::start_with(dir, "")
    }

    /// With more lines in its configuration.
    fn start_with(dir: &Path, more: &str) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = dir.join("mosquitto.conf");
        let text = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nuser root\npersistence true\npersistence_location {}/\n\
             autosave_interval 1\nmax_inflight_messages 0\nmax_queued_messages 0\n{more}",
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
        self.publish_with(&[], topic, lines);
    }

    /// Publishes a message of any length, by way of a file.
    fn publish_file(&self, topic: &str, path: &Path, text: &str) {
        std::fs::write(path, text).unwrap();
        let (port, path) = (self.port.to_string(), path.to_str().unwrap());
        let words = ["-h", "127.0.0.1", "-p", &port, "-q", "1", "-t", topic, "-f", path];
        assert!(Command::new("mosquitto_pub").args(words).status().unwrap().success());
    }

    /// With more arguments for the client.
    fn publish_with(&self, more: &[&str], topic: &str, lines: &str) {
        let port = self.port.to_string();
        let words = ["-h", "127.0.0.1", "-p", &port, "-q", "1", "-t", topic, "-l"];
        let mut child =
            Command::new("mosquitto_pub").args(words).args(more).stdin(Stdio::piped()).spawn().unwrap();
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
    for version in ["3.1.1", "5"] {
        stored_once_whatever_dies(version);
    }
}

fn stored_once_whatever_dies(version: &str) {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = Broker::start(dir.path());
    let source = format!(
        "mqtt://127.0.0.1:{}/plant/+/state?format=ndjson&feed=plant&series={{topic.2}}.{{field}}&value=t,on&seq=n&version={version}",
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
    // What cannot be read, one that is too large, the same again, and last what is waited for.
    broker.publish("plant/b7/state", "{\"n\":1}\nno json\n");
    broker.publish_file("plant/b7/state", &dir.path().join("large"), &"x".repeat(2_000_000));
    broker.publish("plant/b7/state", &(batch(1_001) + &batch(2_001)));
    until("what came after the broker's restart", || stored() == 2 * 3_001);
    crate::signal(&child, "-TERM");
    let output = child.wait_with_output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("no value: expected t or on"), "{text}");
    assert!(text.contains("a message of 2000000 bytes, expected at most 1048576"), "{text}");
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
        ("mqtts://bob:hush@127.0.0.1/a?format=influx", "credentials in an MQTT URL are not supported"),
        ("mqtt://127.0.0.1/a?format=influx&version=4", "expected 3.1.1 or 5"),
        ("mqtt://127.0.0.1/spBv1.0/g/DDATA/#?format=sparkplug", "expected all messages of a node"),
        ("mqtt://127.0.0.1/$share/a/spBv1.0/g/#?format=sparkplug", "expected all messages of a node"),
        ("mqtt://127.0.0.1/spBv1.0/g/#?format=sparkplug&series={node}", "expected {metric} in the template"),
        ("mqtt://127.0.0.1/spBv1.0/g/#?format=sparkplug&value=x", "known are feed, series, rebirth"),
        ("mqtt://127.0.0.1/spBv1.0/g/#?format=sparkplug&rebirth=no", "expected true or false"),
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

/// Authority, server and client certificates, and one of an authority that nobody trusts.
fn certificates(dir: &Path) {
    let openssl = |words: &str| {
        let output = Command::new("openssl").args(words.split(' ')).current_dir(dir).output().unwrap();
        assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
    };
    std::fs::write(dir.join("server.ext"), "subjectAltName=DNS:localhost").unwrap();
    std::fs::write(dir.join("client.ext"), "extendedKeyUsage=clientAuth").unwrap();
    for ca in ["ca", "other"] {
        openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {ca}.key -out {ca}.crt -days 2 -subj /CN={ca}"
        ));
    }
    for (name, ca, ext) in
        [("server", "ca", "server"), ("client", "ca", "client"), ("stranger", "other", "client")]
    {
        openssl(&format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}"
        ));
        openssl(&format!(
            "x509 -req -in {name}.csr -CA {ca}.crt -CAkey {ca}.key -CAcreateserial -days 2 -extfile {ext}.ext -out {name}.crt"
        ));
    }
    // The client's key as old programs write it, with a password.
    openssl("ec -in client.key -aes256 -passout pass:changeit -out client-locked.key");
}

/// What the program prints with TLS settings from the environment, and its exit code.
fn run_with(settings: &[(&str, String)], words: &[&str]) -> (i32, String) {
    let variables =
        settings.iter().map(|(name, value)| (format!("TAPELINE__SOURCE__MQTT__TLS__{name}"), value));
    crate::finish(crate::tapeline(words).envs(variables).output().unwrap())
}

#[test]
#[ignore = "needs mosquitto: apt-get install mosquitto mosquitto-clients"]
fn a_real_broker_demands_certificates_and_so_do_we() {
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path());
    let file = |name: &str| dir.path().join(name).display().to_string();
    let broker = Broker::start_with(
        dir.path(),
        &format!(
            "cafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true\n",
            file("ca.crt"),
            file("server.crt"),
            file("server.key")
        ),
    );
    let (topic, store) = (url("sqlite", &dir.path().join("t.db")), url("sqlite", &dir.path().join("s.db")));
    let source = |scheme: &str, host: &str, more: &str| {
        format!(
            "{scheme}://{host}:{}/plant/+?format=ndjson&feed=plant&series={{topic.2}}&value=t&seq=n{more}",
            broker.port
        )
    };
    let good = [
        ("CA", file("ca.crt")),
        ("CERTIFICATE", file("client.crt")),
        ("KEY", file("client-locked.key")),
        ("KEY_PASSWORD", "changeit".to_owned()),
    ];
    let with = |changes: &[(&'static str, String)]| [&good[..], changes].concat();
    let words = |source: &str| -> Vec<String> {
        ["run", "--source", source, "--topic", &topic, "--store", &store].map(str::to_owned).to_vec()
    };
    let refused = |settings: &[(&'static str, String)], source: &str, parts: &[&str]| {
        let words = words(source);
        let (code, text) = run_with(settings, &words.iter().map(String::as_str).collect::<Vec<_>>());
        for part in parts {
            assert!(code != 0 && text.contains(part), "{source}: expected `{part}`: {text}");
        }
        assert!(!text.contains("changeit"), "{text}");
    };
    let localhost = source("mqtts", "localhost", "");
    for version in ["", "&version=5"] {
        let url = source("mqtts", "localhost", version);
        // An authority that did not sign the broker's certificate.
        refused(
            &with(&[("CA", file("other.crt"))]),
            &url,
            &["certificate verify failed", "source.mqtt.tls.ca"],
        );
        // No certificate of ours, and one that the broker does not trust.
        refused(
            &[("CA", file("ca.crt"))],
            &url,
            &["alert", "`source.mqtt.tls.certificate` and `source.mqtt.tls.key`"],
        );
        let stranger = [("CERTIFICATE", file("stranger.crt")), ("KEY", file("stranger.key"))];
        refused(&with(&stranger), &url, &["alert", "the broker does not trust the client certificate"]);
        // The certificate is for localhost.
        let by_address = source("mqtts", "127.0.0.1", version);
        refused(&good, &by_address, &["source.mqtt.tls.verify = \"ca\""]);
    }
    refused(&with(&[("KEY_PASSWORD", "wrong".to_owned())]), &localhost, &["`source.mqtt.tls`: load key"]);
    refused(&with(&[("KEY", file("server.key"))]), &localhost, &["`source.mqtt.tls`: "]);
    refused(&with(&[("CA", file("none.crt"))]), &localhost, &["`source.mqtt.tls`: read ca"]);
    // A port without TLS.
    let plain_dir = tempfile::tempdir().unwrap();
    let plain = Broker::start(plain_dir.path());
    let url = format!("mqtts://localhost:{}/plant/+?format=ndjson&series={{topic.2}}", plain.port);
    refused(&good, &url, &["the port does not speak TLS"]);

    // Both versions of the protocol; the second is checked by address, without the host name.
    let stored = || -> u64 {
        let (code, text) = run(&["count", "--format", "csv", "--store", &store]);
        let counts = text.lines().filter_map(|line| line.rsplit_once(',')?.1.parse::<u64>().ok());
        if code == 0 { counts.sum() } else { 0 }
    };
    for (round, (host, more, verify)) in
        [("localhost", "&client=a", "full"), ("127.0.0.1", "&client=b&version=5", "ca")]
            .into_iter()
            .enumerate()
    {
        let words = words(&source("mqtts", host, more));
        let settings = with(&[("VERIFY", verify.to_owned())]);
        let variables =
            settings.iter().map(|(name, value)| (format!("TAPELINE__SOURCE__MQTT__TLS__{name}"), value));
        let mut child = crate::tapeline(&words.iter().map(String::as_str).collect::<Vec<_>>())
            .envs(variables)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let tls = [
            "--cafile",
            &file("ca.crt"),
            "--cert",
            &file("client.crt"),
            "--key",
            &file("client.key"),
            "--insecure",
        ];
        let base = 1_000 * round as u32;
        until("the subscription", || {
            broker.publish_with(&tls, "plant/b7", &message(base));
            stored() == 1_000 * round as u64 + 1
        });
        broker.publish_with(&tls, "plant/b7", &(base + 1..base + 1_000).map(message).collect::<String>());
        until("all messages", || stored() == 1_000 * (round as u64 + 1));
        crate::signal(&child, "-TERM");
        assert!(child.wait().unwrap().success());
    }
    let (code, text) = run(&["verify", "--topic", &topic, "--store", &store]);
    assert!(code == 0 && text.contains("verified: 2,000 records"), "{text}");
}

#[test]
#[ignore = "needs mosquitto: apt-get install mosquitto mosquitto-clients"]
fn the_demo_of_sensors_logs_in_over_tls() {
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path());
    let file = |name: &str| dir.path().join(name).display().to_string();
    let passwords = Command::new("mosquitto_passwd")
        .args(["-c", "-b", &file("passwords"), "demo", "of-the-test"])
        .output()
        .unwrap();
    assert!(passwords.status.success(), "{passwords:?}");
    let broker = Broker::start_with(
        dir.path(),
        &format!(
            "allow_anonymous false\npassword_file {}\ncafile {}\ncertfile {}\nkeyfile {}\n",
            file("passwords"),
            file("ca.crt"),
            file("server.crt"),
            file("server.key")
        ),
    );
    let demo = |scheme: &str, ca: &str, password: &str| {
        let (url, folder) = (format!("{scheme}://localhost:{}", broker.port), file("demo"));
        let words = ["demo", "--iot", "--mqtt", &url, "--rate", "4000", "--dir", &folder];
        let variables = [("USERNAME", "demo"), ("PASSWORD", password), ("TLS__CA", ca)];
        let variables =
            variables.map(|(name, value)| (format!("TAPELINE__SOURCE__MQTT__{name}"), value.to_owned()));
        crate::finish(crate::tapeline(&words).envs(variables).output().unwrap())
    };
    for (scheme, ca, password, part) in [
        ("mqtts", "ca.crt", "wrong", "set `source.mqtt.username`"),
        ("mqtts", "other.crt", "of-the-test", "set `source.mqtt.tls`"),
        ("mqtt", "ca.crt", "of-the-test", "mqtts://"),
    ] {
        let (code, text) = demo(scheme, &file(ca), password);
        assert!(code != 0 && text.contains(part), "{scheme} {ca}: expected `{part}`: {text}");
        assert!(!text.contains("of-the-test"), "{text}");
    }
    let (code, text) = demo("mqtts", &file("ca.crt"), "of-the-test");
    assert!(code == 0 && text.contains("verified: 3,143 records, equal field for field"), "{text}");
}

#[test]
#[ignore = "needs mosquitto and Python with pysparkplug: cargo xtask test"]
fn sparkplug_nodes_lose_nothing_in_silence_through_a_real_broker() {
    let python = std::env::var("TAPELINE_TEST_PYTHON").expect("TAPELINE_TEST_PYTHON: run `cargo xtask test`");
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path());
    let source = format!("mqtt://127.0.0.1:{}/spBv1.0/plant/#?format=sparkplug&feed=plant", broker.port);
    let (topic, store) = (url("sqlite", &dir.path().join("t.db")), url("sqlite", &dir.path().join("s.db")));
    let words = ["run", "--source", &source, "--topic", &topic, "--store", &store];
    let mut child = start(&words);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign_sparkplug.py");
    let kept = dir.path().join("kept.csv");
    let mut node = Command::new(python)
        .arg(script)
        .arg(broker.port.to_string())
        .arg(&kept)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufReader::new(node.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut lines, &mut line).unwrap();
    assert_eq!(line, "ready\n");
    // Event time and value of one series, as stored.
    let stored = || -> Vec<String> {
        let words = [
            "query",
            "readings",
            "plant/line/press/speed",
            "--from",
            "2026-01-05",
            "--format",
            "csv",
            "--store",
            &store,
        ];
        let (code, text) = run(&words);
        if code == 0 { text.lines().skip(1).map(str::to_owned).collect() } else { Vec::new() }
    };
    until("the values before the restart", || stored().len() == 702);
    child.kill().unwrap();
    child.wait().unwrap();
    let child = start(&words);
    node.stdin.take().unwrap().write_all(b"go on\n").unwrap();
    let status = node.wait().unwrap();
    assert!(status.success(), "{status}");
    let expected: Vec<i64> = std::fs::read_to_string(&kept)
        .unwrap()
        .lines()
        .map(|line| line.split_once(',').unwrap().1.parse().unwrap())
        .collect();
    assert_eq!(expected.len(), 803);
    until("the values after the restart", || stored().len() >= expected.len());
    let values: Vec<i64> =
        stored().iter().map(|row| row.split(',').nth(3).unwrap().parse().unwrap()).collect();
    assert_eq!(values, expected);
    crate::signal(&child, "-TERM");
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (code, text) = run(&["verify", "--topic", &topic, "--store", &store]);
    assert!(code == 0 && text.contains("verified: "), "{text}");
    let (_, text) = run(&["gaps", "--format", "json", "--topic", &topic]);
    let gaps: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let of = |state: &str, cause: &str| {
        let mut gaps =
            gaps.iter().map(|gap| (gap["state"].as_str().unwrap(), gap["cause"].as_str().unwrap()));
        assert!(gaps.any(|gap| gap.0 == state && gap.1.contains(cause)), "{state} {cause}: {text}");
    };
    of("closed", "no birth was seen");
    of("closed", "(seq)");
    of("closed", "nothing was received since the last run");
    of("open", "the node is offline (NDEATH)");
    let (_, text) = run(&["dead-letters", "list", "--topic", &topic]);
    assert!(text.contains("is of no birth that was seen"), "{text}");
}
