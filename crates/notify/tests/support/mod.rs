//! Real servers for the tests of alerts, also of other crates: SMTP with TLS and a login, SNS. They need the Python of
//! `cargo xtask test`.
#![allow(dead_code, reason = "each test program uses a part")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};

/// A server that ends with the test: its standard input does.
pub(crate) struct Server {
    child: Child,
    lines: Receiver<String>,
    pub(crate) port: u16,
}

impl Server {
    /// Starts `servers.py` with arguments.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let python =
            std::env::var("TAPELINE_TEST_PYTHON").expect("TAPELINE_TEST_PYTHON: run cargo xtask test");
        let mut child = Command::new(python)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../notify/tests/servers.py"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        let port = line.trim().parse().unwrap();
        // What it prints is read at once: it would stand still once the pipe is full.
        let (sender, receiver) = sync_channel(100_000);
        std::thread::spawn(move || lines.lines().try_for_each(|line| sender.send(line.unwrap())));
        Self { child, lines: receiver, port }
    }

    /// Reads the next line that it prints.
    pub(crate) fn line(&mut self) -> serde_json::Value {
        serde_json::from_str(&self.lines.recv().unwrap()).unwrap()
    }

    /// Stops it and returns what it still prints, a value a line.
    pub(crate) fn stop(&mut self) -> Vec<serde_json::Value> {
        drop(self.child.stdin.take());
        self.lines.iter().map(|line| serde_json::from_str(&line).unwrap()).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// A certificate for `localhost`, by openssl: its path, that of its key, and its text.
pub(crate) fn certificate(folder: &Path) -> (String, String, String) {
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let output = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "2"])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        // A certificate authority is not a server: its certificate would be rejected.
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let pem = std::fs::read_to_string(&cert).unwrap();
    (cert.display().to_string(), key.display().to_string(), pem)
}
