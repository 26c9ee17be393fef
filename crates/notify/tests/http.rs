//! Webhook, Twilio and SNS against a receiver on loopback: what arrives, and how each response is handled.
#![allow(clippy::unwrap_used, reason = "tests")]

use aws::sigv4::Signer;
use notify::sns::{Sns, SnsTarget};
use notify::twilio::Twilio;
use notify::webhook::{Format, Webhook, signature};
use notify::{AlertMessage, ChannelConfig, Notifier, NotifyError};
use ports::secret::Secret;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

/// A request: its first line, its headers in lower case, its body.
#[derive(Debug)]
struct Request {
    line: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Request {
    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

/// Responds to each request with the next reply, and returns the requests.
fn server(replies: Vec<String>) -> (String, Receiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (send, receive) = sync_channel(100);
    std::thread::spawn(move || {
        for reply in replies {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut lines = Vec::new();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if line.trim().is_empty() {
                    break;
                }
                lines.push(line.trim_end().to_owned());
            }
            let headers: Vec<(String, String)> = lines[1..]
                .iter()
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect();
            let mut request = Request { line: lines[0].clone(), headers, body: String::new() };
            let length: u64 = request.header("content-length").parse().unwrap_or(0);
            reader.take(length).read_to_string(&mut request.body).unwrap();
            stream.write_all(reply.as_bytes()).unwrap();
            send.send(request).unwrap();
        }
    });
    (url, receive)
}

fn reply(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len())
}

fn ok() -> String {
    reply("200 OK", "", "ok")
}

fn message() -> AlertMessage {
    AlertMessage {
        sms: "SPY fell & more".to_owned(),
        ..AlertMessage::test("hook", 1_381_240_800_000_000_000)
    }
}

#[test]
fn the_generic_webhook_is_signed_and_carries_its_key() {
    let (url, requests) = server(vec![ok(), ok()]);
    let secret = Secret::from("s3cret".to_owned());
    let mut hook = Webhook::new("hook", Secret::from(url.clone()), Format::Json, secret.clone());
    hook.check().unwrap();
    for _ in 0..2 {
        hook.send(&message()).unwrap();
        let request = requests.recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(request.line.starts_with("POST / "), "{}", request.line);
        assert_eq!(request.header("content-type"), "application/json");
        assert_eq!(request.header("idempotency-key"), message().key);
        let timestamp: u64 = request.header("tapeline-timestamp").parse().unwrap();
        assert_eq!(request.header("tapeline-signature"), signature(&secret, timestamp, &request.body));
        assert_eq!(request.body, message().json);
    }
}

#[test]
fn a_reply_decides_what_becomes_of_the_message() {
    for (status, headers, permanent, after) in [
        ("400 Bad Request", "", true, None),
        ("401 Unauthorized", "", false, None),
        ("413 Content Too Large", "", true, None),
        ("429 Too Many Requests", "Retry-After: 7\r\n", false, Some(7)),
        ("500 Internal Server Error", "", false, None),
        ("503 Service Unavailable", "Retry-After: 120\r\n", false, Some(120)),
        ("302 Found", "Location: http://127.0.0.1:1/elsewhere\r\n", true, None),
    ] {
        let (url, requests) = server(vec![reply(status, headers, "no: s3cret\n")]);
        let mut hook =
            Webhook::new("hook", Secret::from(url.clone()), Format::Json, Secret::from("s3cret".to_owned()));
        let error = hook.send(&message()).unwrap_err();
        assert_eq!(error.is_permanent(), permanent, "{status}: {error}");
        if let NotifyError::Retryable { after: wait, .. } = &error {
            assert_eq!(*wait, after.map(Duration::from_secs), "{status}");
        }
        assert!(error.to_string().starts_with(&format!("HTTP {}", &status[..3])), "{error}");
        assert!(!error.to_string().contains("s3cret"), "{error}");
        assert!(requests.recv_timeout(Duration::from_secs(10)).is_ok());
    }
}

#[test]
fn a_server_that_is_away_is_tried_again() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{free}/hook-token");
    let mut hook = Webhook::new("hook", Secret::from(url.clone()), Format::Slack, Secret::default());
    let error = hook.send(&message()).unwrap_err();
    assert!(!error.is_permanent(), "{error}");
    assert!(!error.to_string().contains("hook-token"), "{error}");
}

#[test]
fn twilio_resumes_with_the_number_that_failed() {
    let (url, requests) = server(vec![ok(), reply("500 Oops", "", ""), ok()]);
    let to = ["+15550001".to_owned(), "+15550002".to_owned()];
    let mut twilio = Twilio::new("sms", &url, "AC 1", Secret::from("token".to_owned()), "+15559999", &to);
    twilio.check().unwrap();
    let message = message();
    assert!(!twilio.send(&message).unwrap_err().is_permanent());
    twilio.send(&message).unwrap();
    let bodies: Vec<String> = (0..3)
        .map(|_| {
            let request = requests.recv_timeout(Duration::from_secs(10)).unwrap();
            assert!(
                request.line.starts_with("POST /2010-04-01/Accounts/AC%201/Messages.json "),
                "{}",
                request.line
            );
            // "AC 1:token"
            assert_eq!(request.header("authorization"), "Basic QUMgMTp0b2tlbg==");
            request.body
        })
        .collect();
    assert_eq!(bodies[0], "To=%2B15550001&From=%2B15559999&Body=SPY%20fell%20%26%20more");
    assert!(bodies[1].starts_with("To=%2B15550002&") && bodies[1] == bodies[2], "{bodies:?}");
}

#[test]
fn sns_publishes_to_numbers_and_topics() {
    let throttled = "<ErrorResponse><Error><Code>Throttling</Code></Error></ErrorResponse>";
    let (url, requests) = server(vec![ok(), ok(), reply("400 Bad Request", "", throttled)]);
    let signer = Signer {
        access_key: "AKID".to_owned(),
        secret_key: Secret::from("secret".to_owned()),
        session_token: Secret::from("token".to_owned()),
        region: "us-east-1".to_owned(),
        service: String::new(),
    };
    let topic = "arn:aws:sns:us-east-1:123456789012:alerts.fifo".to_owned();
    let targets = vec![SnsTarget::Phone("+15550001".to_owned()), SnsTarget::Topic(topic)];
    let mut sns = Sns::new("sns", &url, signer, targets);
    sns.send(&message()).unwrap();
    let next = || requests.recv_timeout(Duration::from_secs(10)).unwrap();
    let sms = next();
    assert_eq!(
        sms.body,
        "Action=Publish&Version=2010-03-31&PhoneNumber=%2B15550001&Message=SPY%20fell%20%26%20more"
    );
    assert!(
        sms.header("authorization").contains("/us-east-1/sns/aws4_request, SignedHeaders=content-type;host;")
    );
    assert_eq!(sms.header("x-amz-security-token"), "token");
    let topic = next();
    assert!(topic.body.contains(&format!("MessageDeduplicationId={}", message().key)), "{}", topic.body);
    assert!(!sns.send(&message()).unwrap_err().is_permanent());
}

#[test]
fn channels_are_read_from_their_configuration() {
    #[derive(serde::Deserialize)]
    struct Channels {
        channels: Vec<ChannelConfig>,
    }
    let read = |text: &str| serde_json::from_str::<Channels>(text).map(|read| read.channels);
    let channels = read(
        r#"{"channels": [
            {"name": "log", "type": "log"},
            {"name": "hook", "type": "webhook", "url": "https://example.org/t0ken", "format": "slack", "min_severity": "critical"},
            {"name": "mail", "type": "smtp", "host": "h", "from": "a@b.c", "to": ["d@e.f"], "password": "hunter2"},
            {"name": "sms", "type": "twilio", "account": "AC", "token": "t0ken", "from": "+1", "to": ["+2"]},
            {"name": "sns", "type": "sns", "region": "r", "access_key": "a", "secret_key": "t0ken", "to": ["+2"]}
        ]}"#,
    )
    .unwrap();
    let shown = format!("{channels:?}");
    assert!(!shown.contains("t0ken") && !shown.contains("hunter2"), "{shown}");
    let read_file = |_: &str| Err(std::io::Error::other("no file"));
    for channel in &channels {
        assert_eq!(channel.open(&read_file).unwrap().name(), channel.name);
    }
    for bad in [
        r#"{"channels": [{"name": "x", "type": "pager"}]}"#,
        r#"{"channels": [{"name": "x", "type": "webhook", "url": "u", "uri": "v"}]}"#,
        r#"{"channels": [{"name": "x", "type": "smtp", "host": "h"}]}"#,
    ] {
        assert!(read(bad).is_err(), "{bad}");
    }
}
