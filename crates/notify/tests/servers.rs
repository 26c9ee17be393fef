//! Mail and SNS through real servers. They need the Python of `cargo xtask test`.
#![allow(clippy::unwrap_used, reason = "tests")]

use aws::sigv4::Signer;
use notify::smtp::{Encryption, Smtp, SmtpSettings};
use notify::sns::{Sns, SnsTarget};
use notify::{AlertMessage, Notifier};
use ports::secret::Secret;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

/// A server that ends with the test: its standard input does.
struct Server {
    child: Child,
    lines: BufReader<ChildStdout>,
    port: u16,
}

impl Server {
    fn start(arguments: &[&str]) -> Self {
        let python =
            std::env::var("TAPELINE_TEST_PYTHON").expect("TAPELINE_TEST_PYTHON: run cargo xtask test");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers.py");
        let mut child = Command::new(python)
            .arg(script)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        let port = line.trim().parse().unwrap();
        Self { child, lines, port }
    }

    fn line(&mut self) -> serde_json::Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// A certificate for `localhost`, by openssl: its path, that of its key, and its text.
fn certificate(folder: &Path) -> (String, String, String) {
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let output = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
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

fn settings(port: u16, ca: Option<String>) -> SmtpSettings {
    SmtpSettings {
        host: "localhost".to_owned(),
        port,
        encryption: Encryption::Starttls,
        user: "alerts".to_owned(),
        password: Secret::from("correct horse".to_owned()),
        from: "Tapeline <alerts@example.org>".to_owned(),
        to: vec!["one@example.org".to_owned(), "two@example.org".to_owned()],
        ca,
    }
}

#[test]
#[ignore = "needs the Python of cargo xtask test"]
fn mail_goes_over_tls_with_a_login() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key, pem) = certificate(folder.path());
    let mut server = Server::start(&["smtp", &cert, &key]);
    let mut smtp = Smtp::new("mail", &settings(server.port, Some(pem.clone()))).unwrap();
    smtp.check().unwrap();
    let message = AlertMessage::test("mail", 7);
    smtp.send(&message).unwrap();
    smtp.send(&message).unwrap();
    let (mail, copy) = (server.line(), server.line());
    assert_eq!(mail["tls"], true);
    assert_eq!(mail["user"], true);
    assert_eq!(mail["to"], serde_json::json!(["one@example.org", "two@example.org"]));
    let data = mail["data"].as_str().unwrap();
    let id = format!("Message-ID: <{}@example.org>", message.key);
    assert!(data.contains(&id) && copy["data"].as_str().unwrap().contains(&id), "{data}");
    assert!(data.contains("Test message of Tapeline to channel mail"), "{data}");

    // A wrong password waits until it is corrected, and is not shown.
    let mut wrong = settings(server.port, Some(pem));
    wrong.password = Secret::from("hunter2".to_owned());
    let error = Smtp::new("mail", &wrong).unwrap().send(&message).unwrap_err();
    assert!(!error.is_permanent() && error.to_string().contains("535"), "{error}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
    // An untrusted certificate: nothing is sent.
    let error = Smtp::new("mail", &settings(server.port, None)).unwrap().send(&message).unwrap_err();
    assert!(!error.is_permanent() && error.to_string().to_lowercase().contains("certificate"), "{error}");
}

#[test]
#[ignore = "needs the Python of cargo xtask test"]
fn replies_of_a_mail_server_decide_what_becomes_of_the_message() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key, pem) = certificate(folder.path());
    for (code, permanent) in [("451", false), ("550", true)] {
        let server = Server::start(&["smtp", &cert, &key, code]);
        let mut smtp = Smtp::new("mail", &settings(server.port, Some(pem.clone()))).unwrap();
        let error = smtp.send(&AlertMessage::test("mail", 7)).unwrap_err();
        assert_eq!(error.is_permanent(), permanent, "{code}: {error}");
        assert!(error.to_string().contains("refused by the test"), "{error}");
        let port = server.port;
        drop(server);
        let error = Smtp::new("mail", &settings(port, Some(pem.clone()))).unwrap().check().unwrap_err();
        assert!(!error.is_permanent(), "{error}");
    }
}

#[test]
#[ignore = "needs the Python of cargo xtask test"]
fn sms_by_sns() {
    let mut server = Server::start(&["sns"]);
    let signer = Signer {
        access_key: "test".to_owned(),
        secret_key: Secret::from("test".to_owned()),
        session_token: Secret::default(),
        region: "us-east-1".to_owned(),
        service: String::new(),
    };
    let endpoint = format!("http://127.0.0.1:{}", server.port);
    let send = |to: &str| {
        let mut sns = Sns::new("sms", &endpoint, signer.clone(), vec![SnsTarget::Phone(to.to_owned())]);
        sns.send(&AlertMessage::test("sms", 7))
    };
    send("+15550001111").unwrap();
    let error = send("not a number").unwrap_err();
    assert!(error.is_permanent() && error.to_string().contains("InvalidParameter"), "{error}");
    drop(server.child.stdin.take());
    let taken = server.line();
    assert_eq!(taken, serde_json::json!([["+15550001111", AlertMessage::test("sms", 7).sms]]));
}
