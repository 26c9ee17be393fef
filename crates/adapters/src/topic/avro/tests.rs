use super::schemas::schema_text;
use super::*;
use crate::topic::sqlite::SqliteTopics;
use ports::dead_letter::DeadLetter;
use ports::secret::Secret;
use ports::topic::Message;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const TRADE: &str = r#"{"symbol":"SPY","feed":"f","venue":"P","id":"1","ts":1381219200464000000,"recv_ts":5,"price":"167.41","size":"100","conditions":["@"]}"#;

/// A registry that keeps what it is sent; real ones are tested by `cargo xtask registry`.
struct FakeRegistry {
    settings: RegistrySettings,
    schemas: Arc<Mutex<Vec<String>>>,
    requests: Arc<AtomicUsize>,
}

fn registry(login: &'static str) -> FakeRegistry {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (schemas, requests) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
    let (kept, counted) = (Arc::clone(&schemas), Arc::clone(&requests));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            counted.fetch_add(1, Ordering::Relaxed);
            reply(&mut stream.unwrap(), login, &mut kept.lock().unwrap());
        }
    });
    let settings = RegistrySettings { url, ..RegistrySettings::default() };
    FakeRegistry { settings, schemas, requests }
}

/// Replies to one request and closes the connection.
fn reply(stream: &mut TcpStream, login: &str, schemas: &mut Vec<String>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap());
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let start = head.len();
        lines.read_line(&mut head).unwrap();
        let line = head[start..].trim().to_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    lines.read_exact(&mut body).unwrap();
    // `doctor` connects before it asks anything.
    let Some(path) = head.split(' ').nth(1) else { return };
    let (code, text) = if !head.contains(login) {
        (401, r#"{"error_code":40101,"message":"who are you"}"#.to_owned())
    } else if path == "/subjects" {
        (200, "[]".to_owned())
    } else if path.starts_with("/subjects/") {
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let schema = body["schema"].as_str().unwrap().to_owned();
        let at = schemas.iter().position(|known| *known == schema).unwrap_or_else(|| {
            schemas.push(schema);
            schemas.len() - 1
        });
        (200, format!(r#"{{"id":{}}}"#, at + 1))
    } else {
        let id: usize = path.rsplit('/').next().unwrap().parse().unwrap();
        match schemas.get(id.wrapping_sub(1)) {
            Some(schema) => (200, serde_json::json!({ "schema": schema }).to_string()),
            None => (404, r#"{"error_code":40403,"message":"Schema not found"}"#.to_owned()),
        }
    };
    let head = format!("HTTP/1.1 {code} X\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", text.len());
    stream.write_all((head + &text).as_bytes()).unwrap();
}

fn topics(dir: &tempfile::TempDir, settings: &RegistrySettings) -> Result<AvroTopics> {
    let inner = Box::new(SqliteTopics::new(dir.path().join("t.db")));
    AvroTopics::new(inner, Names::new("t"), settings, CancelToken::default())
}

fn send(topics: &dyn Topics, payload: &[u8]) {
    let mut producer = topics.producer().unwrap();
    let message = Message { topic: "t.trades", key: "SPY", headers: &[], payload, stamp_ms: 7 };
    producer.send(&message).unwrap();
    assert_eq!(producer.flush(Duration::from_secs(9)).unwrap(), 0);
}

/// Payloads and faults in the order of their offsets.
fn read(topics: &dyn Topics) -> Result<Vec<(Vec<u8>, Option<String>)>> {
    let mut found = Vec::new();
    topics.read_all(&["t.trades".to_owned()], &mut |message| {
        found.push((message.payload().to_vec(), message.fault().map(str::to_owned)));
    })?;
    Ok(found)
}

#[test]
fn records_are_avro_in_the_topic_and_json_for_consumers() {
    let (dir, registry) = (tempfile::tempdir().unwrap(), registry(""));
    let topics = topics(&dir, &registry.settings).unwrap();
    let lines = topics.init(&topics.names.specs(1)).unwrap();
    let line = format!("schema t.trades-value: id 1 in {}", registry.settings.url);
    assert!(lines.contains(&line), "{lines:?}");
    let plain = SqliteTopics::new(dir.path().join("t.db"));
    // From before the format was changed.
    send(&plain, TRADE.as_bytes());
    send(&topics, TRADE.as_bytes());
    // What was corrected by hand is brought into form; what is no record goes as it is.
    send(&topics, TRADE.replace("\"167.41\"", "1.67410e2").as_bytes());
    send(&topics, b"{}");
    let raw = read(&plain).unwrap();
    assert_eq!(raw[1].0[..6], *b"\0\0\0\0\x01\x06");
    assert_eq!((&raw[1], raw[3].0.as_slice()), (&raw[2], &b"{}"[..]));
    let mut consumer = topics.consumer("g", &["t.trades".to_owned()]).unwrap();
    let mut found = Vec::new();
    while found.len() < 4 {
        consumer
            .fetch(9, Duration::from_secs(9), &mut |message| found.push(message.payload().to_vec()))
            .unwrap();
    }
    let expected = [TRADE, TRADE, TRADE, "{}"].map(|text| text.as_bytes().to_vec());
    assert_eq!(found, expected);
    assert_eq!(*registry.schemas.lock().unwrap().first().unwrap(), schema_text(Kind::TRADE));
}

#[test]
fn what_cannot_be_decoded_arrives_as_it_is_with_the_reason() {
    let (dir, registry) = (tempfile::tempdir().unwrap(), registry(""));
    let topics = topics(&dir, &registry.settings).unwrap();
    topics.init(&topics.names.specs(1)).unwrap();
    registry.schemas.lock().unwrap().push(r#""string""#.to_owned());
    let other = u8::try_from(registry.schemas.lock().unwrap().len()).unwrap();
    for payload in [
        &b"\0\0\0"[..],
        b"\0\0\0\0\x01\x06SP",
        b"\0\0\0\0\x63\x06SPY",
        b"\0\0\0\0\x63\x06SPX",
        &[0, 0, 0, 0, other, 2, b'x'],
    ] {
        send(&topics, payload);
    }
    let before = registry.requests.load(Ordering::Relaxed);
    let found = read(&topics).unwrap();
    let faults = [
        "not Avro: it is shorter than the id of a schema".to_owned(),
        "not a trade by schema 1: symbol: a length is 3, but 2 bytes are left".to_owned(),
        format!("schema 99 is not in the registry {}", registry.settings.url),
        format!("schema 99 is not in the registry {}", registry.settings.url),
        format!("schema {other}: not an Avro schema of a trade: expected a record with fields"),
    ];
    assert_eq!(found.iter().map(|(_, fault)| fault.clone().unwrap()).collect::<Vec<_>>(), faults);
    assert_eq!(found[1].0, b"\0\0\0\0\x01\x06SP");
    // One to see that it answers, and one for each schema, though a missing one came twice.
    assert_eq!(registry.requests.load(Ordering::Relaxed) - before, 1 + 3);
    topics
        .read_all(&["t.trades".to_owned()], &mut |message| {
            let letter = DeadLetter::of_message(message, &["t.trades".to_owned()], "not a trade".to_owned());
            assert_eq!(letter.reason, message.fault().unwrap());
        })
        .unwrap();
}

/// Nothing is passed on behind a message that could not be judged, so that no position moves beyond it.
#[test]
fn without_the_registry_messages_wait() {
    let (dir, registry) = (tempfile::tempdir().unwrap(), registry(""));
    let topics = topics(&dir, &registry.settings).unwrap();
    topics.init(&topics.names.specs(1)).unwrap();
    send(&topics, TRADE.as_bytes());
    send(&SqliteTopics::new(dir.path().join("t.db")), TRADE.as_bytes());
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let away = RegistrySettings { url: format!("http://{closed}"), ..RegistrySettings::default() };
    let stop = CancelToken::default();
    stop.cancel();
    let inner = Box::new(SqliteTopics::new(dir.path().join("t.db")));
    let unreachable = AvroTopics::new(inner, Names::new("t"), &away, stop).unwrap();
    let trades = ["t.trades".to_owned()];
    // Who opens it decides how long to wait.
    let errors = [
        unreachable.consumer("g", &trades).err(),
        unreachable.producer().err(),
        unreachable.read_all(&trades, &mut |_| ()).err(),
    ];
    assert!(errors.iter().flatten().filter(|error| error.retryable()).count() == 3, "{errors:?}");
    // It went after the topics were opened, and the user stops the program.
    let inner = SqliteTopics::new(dir.path().join("t.db")).consumer("g", &trades).unwrap();
    let schemas = Arc::clone(&unreachable.schemas);
    let mut consumer = consume::AvroConsumer::new(inner, vec![Some(Kind::TRADE)], schemas);
    let mut passed = 0;
    let error = loop {
        match consumer.fetch(9, Duration::from_secs(1), &mut |_| passed += 1) {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!((error.domain, passed), (ports::error::Domain::Stopped, 0));
    // Who fetches again does not get what lies behind.
    let again = consumer.fetch(9, Duration::from_millis(10), &mut |_| passed += 1);
    assert!(again.is_err() && passed == 0);
    let mut decoder = consume::Decoder::new(vec![Some(Kind::TRADE)], Arc::clone(&unreachable.schemas));
    let plain = SqliteTopics::new(dir.path().join("t.db"));
    plain.read_all(&trades, &mut |message| decoder.pass(message, &mut |_| passed += 1)).unwrap();
    assert!(decoder.finish().is_err() && passed == 0);
}

#[test]
fn the_settings_of_a_registry_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    let failed = |url: &str| {
        let settings = RegistrySettings { url: url.to_owned(), ..RegistrySettings::default() };
        topics(&dir, &settings).err().unwrap().to_string()
    };
    assert!(
        failed("")
            .contains("`topic.registry.url`: expected http://HOST:PORT or https://HOST:PORT, found nothing")
    );
    assert!(failed("localhost:8081").contains("found `localhost:8081`"));
    let error = failed("http://bob:hush@localhost:8081");
    assert!(error.contains("no password in it") && !error.contains("hush"), "{error}");
    // A wrong password is named, and not repeated.
    let registry = registry("Basic Ym9iOmh1c2g=");
    let login = |password: &str| RegistrySettings {
        username: "bob".to_owned(),
        password: Secret::from(password.to_owned()),
        ..registry.settings.clone()
    };
    let wrong = topics(&dir, &login("wrong")).unwrap();
    let error = wrong.init(&wrong.names.specs(1)).unwrap_err().to_string();
    assert!(error.contains("register t.trades-value: HTTP 401: who are you"), "{error}");
    assert!(error.contains("topic.registry.password") && !error.contains("wrong"), "{error}");
    let right = topics(&dir, &login("hush")).unwrap();
    right.init(&right.names.specs(1)).unwrap();
}

#[test]
fn doctor_names_a_schema_that_is_not_registered() {
    let (dir, registry) = (tempfile::tempdir().unwrap(), registry(""));
    let topics = topics(&dir, &registry.settings).unwrap();
    topics.init(&topics.names.specs(1)).unwrap();
    let links = topics.check(&Names::new("t"), "g").links();
    let last = links.last().unwrap();
    assert_eq!((last.name, last.next.as_deref()), ("schemas", None));
    assert!(last.detail.starts_with("t.trades-value 1, t.quotes-value 2"), "{}", last.detail);
}
