//! The metrics as Prometheus's own programs see them: Debian's package `prometheus`.

use super::monitor::{get, monitored, until};
use crate::{embedded_urls, run, signal, tape, with};
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A process that ends with the test.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What `promtool check metrics` says of a text; empty if it finds nothing to say.
fn promtool(text: &str) -> (bool, String) {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool: apt-get install prometheus");
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), said)
}

#[test]
#[ignore = "needs promtool: cargo xtask test"]
fn promtool_has_nothing_to_say_about_the_metrics() {
    let dir = tempfile::tempdir().unwrap();
    tape(dir.path(), "34200000,1000000,100,P,1,0\n34200000,bad\n");
    let urls = embedded_urls(dir.path(), &dir.path().join("tape"));
    assert_eq!(run(&with("run", &urls)).0, 0);
    let (child, address) = monitored(&with("consume", &urls[2..]));
    until("the ports are checked", || match get(&address, "/ready", &address) {
        (200, _) => Ok(()),
        (code, text) => Err(format!("{code} {text}")),
    });
    let text = get(&address, "/metrics", &address).1;
    signal(&child, "-INT");
    child.wait_with_output().unwrap();
    assert_eq!(promtool(&text), (true, String::new()), "{text}");
    // It would say something: a counter whose name does not end in _total.
    let (_, said) = promtool("# HELP bad_counter Bad.\n# TYPE bad_counter counter\nbad_counter 1\n");
    assert!(said.contains("_total"), "{said}");
    // Every metric is documented.
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/monitoring/README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    for name in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
        assert!(readme.contains(&format!("`{name}`")), "{name} is not in deploy/monitoring/README.md");
    }
}

#[test]
#[ignore = "needs prometheus: cargo xtask test"]
fn an_alert_fires_when_the_consumer_is_stopped() {
    let dir = tempfile::tempdir().unwrap();
    tape(dir.path(), "34200000,1000000,100,P,1,0\n");
    let urls = embedded_urls(dir.path(), &dir.path().join("tape"));
    assert_eq!(run(&with("run", &urls)).0, 0);
    let (child, address) = monitored(&with("consume", &urls[2..]));
    // The configuration and rules of deploy/monitoring, in seconds instead of minutes.
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/monitoring");
    let read = |name: &str| std::fs::read_to_string(shipped.join(name)).unwrap();
    let configuration = read("prometheus.yml")
        .replace("15s", "1s")
        .replace("127.0.0.1:9464", &address)
        .replace("\"127.0.0.1:9093\"", "");
    assert!(configuration.contains(&address));
    let rules = read("alerts.yml").replace("for: 1m", "for: 1s");
    std::fs::write(dir.path().join("prometheus.yml"), configuration).unwrap();
    std::fs::write(dir.path().join("alerts.yml"), rules).unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = Command::new("prometheus")
        .arg(format!("--config.file={}", dir.path().join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
        .arg(format!("--web.listen-address={free}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("prometheus: apt-get install prometheus");
    let _server = Ends(server);
    let free = free.to_string();
    let ask = |path: &str| -> serde_json::Value {
        let reply = std::panic::catch_unwind(|| get(&free, path, &free));
        reply.ok().and_then(|(_, body)| serde_json::from_str(&body).ok()).unwrap_or_default()
    };
    let target = format!("/api/v1/query?query=tapeline_build_info%7Binstance=%22{address}%22%7D");
    until("Prometheus has scraped the consumer", || match ask(&target)["data"]["result"].as_array() {
        Some(found) if found.len() == 1 => Ok(()),
        found => Err(format!("{found:?}")),
    });
    let down = || {
        let alerts = ask("/api/v1/alerts");
        let all = alerts["data"]["alerts"].as_array().cloned().unwrap_or_default();
        let ours = all.iter().filter(|alert| {
            alert["labels"]["alertname"] == "TapelineDown"
                && alert["labels"]["instance"] == address.as_str()
                && alert["state"] == "firing"
        });
        (ours.count(), alerts)
    };
    // `serve` does not run here, so its alert shows that the rules are evaluated; the consumer's must not be there.
    until("rules are evaluated", || {
        let (_, alerts) = down();
        if alerts.to_string().contains("TapelineDown") { Ok(()) } else { Err(alerts.to_string()) }
    });
    assert_eq!(down().0, 0, "{}", down().1);
    signal(&child, "-INT");
    assert!(child.wait_with_output().unwrap().status.success());
    until("the alert fires", || match down() {
        (1, _) => Ok(()),
        (_, alerts) => Err(alerts.to_string()),
    });
}
