//! Mail and SNS through real servers. They need the Python of `cargo xtask test`.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use aws::sigv4::Signer;
use market::alert::Alert;
use notify::outbox::{OutboxStore, RetryPolicy, SqliteOutbox, deliver};
use notify::smtp::{Encryption, Smtp, SmtpSettings};
use notify::sns::{Sns, SnsTarget};
use notify::{AlertMessage, Notifier};
use ports::secret::Secret;
use support::{Server, certificate};

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
        let server = Server::start(&["smtp", &cert, &key, &format!("refuse={code}")]);
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

/// What fails for now waits in the outbox: a server that does not run, 4xx, a wrong password, a certificate that is not
/// trusted. Once it is corrected the message arrives, once.
#[test]
#[ignore = "needs the Python of cargo xtask test"]
fn a_message_waits_until_server_and_settings_are_right() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key, pem) = certificate(folder.path());
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let at = format!("port={port}");
    let mut outbox = SqliteOutbox::open(&folder.path().join("alerts.db"), 10).unwrap();
    let alert: Alert = serde_json::from_value(serde_json::json!({
        "key": "0123456789abcdef0123456789abcdef", "rule": "move", "kind": "drop", "feed": "f", "symbol": "SPY",
        "severity": "warning", "event_time": 1, "value": 0.31, "threshold": 0.25, "unit": "%", "message": "SPY fell",
    }))
    .unwrap();
    outbox.append(&alert, &[("mail".to_owned(), AlertMessage::new(&alert, "UTC"))]).unwrap();
    let right = settings(port, Some(pem));
    let mut now = 0;
    let mut attempt = |settings: &SmtpSettings| {
        now += 3_600_000;
        let mut smtp = Smtp::new("mail", settings).unwrap();
        let accepted = deliver(&mut outbox, &mut smtp, &RetryPolicy::default(), &|| now).unwrap();
        let delivery = outbox.delivery(&alert.key).unwrap().remove(0);
        (accepted, delivery.state, delivery.reason.unwrap_or_default().to_lowercase())
    };
    let mut waits = |settings: &SmtpSettings, part: &str| {
        let (accepted, state, reason) = attempt(settings);
        assert!(accepted == 0 && state == "pending" && reason.contains(part), "{part}: {state} {reason}");
        assert!(!reason.contains("hunter2"), "{reason}");
    };
    waits(&right, "refused");
    for code in ["421", "451"] {
        let _server = Server::start(&["smtp", &cert, &key, &at, &format!("refuse={code}")]);
        waits(&right, "refused by the test");
    }
    let mut server = Server::start(&["smtp", &cert, &key, &at]);
    let wrong = SmtpSettings { password: Secret::from("hunter2".to_owned()), ..right.clone() };
    waits(&wrong, "535");
    waits(&SmtpSettings { ca: None, ..right.clone() }, "certificate");
    // A certificate for another name.
    waits(&SmtpSettings { host: "127.0.0.1".to_owned(), ..right.clone() }, "certificate");
    let (accepted, state, _) = attempt(&right);
    assert_eq!((accepted, state.as_str()), (1, "sent"));
    let mails = server.stop();
    assert_eq!(mails.len(), 1);
    assert!(mails[0]["data"].as_str().unwrap().contains(&alert.key));
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
    let taken = &server.stop()[0];
    assert_eq!(taken["sms"], serde_json::json!([["+15550001111", AlertMessage::test("sms", 7).sms]]));
}
