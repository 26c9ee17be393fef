//! The program on real Kafka and real Cassandra.

use crate::{finish, run, session, signal, start, tapeline, with};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Topics and keyspace of one test, on the servers that `cargo xtask test` started.
pub(crate) struct Real {
    pub(crate) name: String,
    pub(crate) kafka: String,
    pub(crate) cassandra: String,
    config: tempfile::TempPath,
}

impl Real {
    pub(crate) fn new(what: &str) -> Self {
        let server = |name: &str| {
            std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `cargo xtask test`"))
        };
        let name = format!("{what}_{}", std::process::id());
        let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        let text = format!(
            "[topic]\nprefix = '{name}'\ngroup = '{name}'\n[topic.kafka]\nsession_timeout = '6s'\n[produce]\nposition_interval = '300ms'\n"
        );
        std::fs::write(file.path(), text).unwrap();
        let real = Self {
            kafka: server("TAPELINE_TEST_KAFKA"),
            cassandra: server("TAPELINE_TEST_CASSANDRA"),
            config: file.into_temp_path(),
            name,
        };
        let (code, text) = run(&with("init", &real.urls("")));
        assert_eq!(code, 0, "{text}");
        real
    }

    pub(crate) fn urls(&self, source: &str) -> Vec<String> {
        let config: &Path = &self.config;
        let mut urls = vec![
            "--config".to_owned(),
            config.display().to_string(),
            "--topic".to_owned(),
            format!("kafka://{}", self.kafka),
            "--store".to_owned(),
            format!("cassandra://{}/{}", self.cassandra, self.name),
        ];
        if !source.is_empty() {
            urls.extend(["--source".to_owned(), format!("tape:{}{source}", session().display())]);
        }
        urls
    }

    /// The topics as the program reaches them.
    pub(crate) fn topics(&self) -> adapters::topic::kafka::KafkaTopics {
        self.topics_with("none", &[])
    }

    pub(crate) fn topics_with(
        &self,
        compression: &str,
        properties: &[(&str, &str)],
    ) -> adapters::topic::kafka::KafkaTopics {
        let settings = adapters::topic::kafka::KafkaSettings {
            replication: 1,
            compression: compression.into(),
            linger: Duration::ZERO,
            instance: String::new(),
            session_timeout: Duration::from_secs(6),
            tls: ports::tls::Tls::default(),
            sasl: adapters::topic::kafka::Sasl::default(),
            properties: properties.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        };
        adapters::topic::kafka::KafkaTopics::new(
            &self.kafka,
            settings,
            ports::topic::Names::new(&self.name).positions(),
            ports::CancelToken::default(),
        )
    }
}

#[test]
#[ignore = "needs real Kafka and Cassandra: cargo xtask test"]
fn a_real_session_goes_through_and_other_clients_read_it() {
    let real = Real::new("through");
    let urls = real.urls("?kinds=trades&symbols=IBM,AIG");
    let (code, text) = run(&with("run", &urls));
    assert_eq!(code, 0, "{text}");
    let (code, text) = run(&with("verify", &urls));
    assert!(code == 0 && text.contains("verified: 76,723 records"), "{text}");
    let (_, text) = run(&["query", "trades", "IBM", "--format", "json", "--limit", "1", &urls[4], &urls[5]]);
    assert!(text.contains("\"price\":\"181.86\"") || text.contains("\"symbol\":\"IBM\""), "{text}");
    // Independent clients, against the tape read by independent zip and CSV libraries.
    let python = std::env::var("TAPELINE_TEST_PYTHON").expect("TAPELINE_TEST_PYTHON: run `cargo xtask test`");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign_clients.py");
    let output = Command::new(python)
        .arg(script)
        .args([&real.kafka, &real.cassandra, &real.name])
        .arg(session())
        .args(["IBM", "AIG"])
        .output()
        .unwrap();
    let (code, text) = finish(output);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("76723 rows equal, 76723 messages equal"), "{text}");
}

#[test]
#[ignore = "needs real Kafka and Cassandra: cargo xtask test"]
fn messages_that_are_no_records_become_dead_letters() {
    use ports::topic::{Message, Names, Topics};
    let real = Real::new("letters");
    let (names, topics) = (Names::new(&real.name), real.topics());
    let good = r#"{"symbol":"A","feed":"f","venue":"P","id":"1","ts":1,"recv_ts":1,"price":"1","size":"1","conditions":[]}"#;
    let too_long = good.replace("\"id\":\"1\"", &format!("\"id\":\"{}\"", "x".repeat(70_000)));
    let (trade, one) = (("kind", &b"trade"[..]), ("schema", &b"1"[..]));
    let cases: [(&str, &[(&str, &[u8])], &str); 7] = [
        (good, &[trade, one], ""),
        (good, &[("kind", b"option"), one], "unknown record kind `option`"),
        (good, &[trade, ("schema", b"99")], "unknown schema version `99`"),
        (good, &[("schema", b"")], "unknown schema version ``"),
        ("{\"symbol\":", &[trade, one], "not a trade: EOF"),
        ("", &[trade, one], "not a trade: EOF"),
        (&too_long, &[trade, one], "length"),
    ];
    let mut producer = topics.producer().unwrap();
    for (payload, headers, _) in &cases {
        let (topic, stamp_ms) = (names.records(market::Kind::TRADE), ports::clock::now().millis());
        let message = Message { topic: &topic, key: "A", headers, payload: payload.as_bytes(), stamp_ms };
        producer.send(&message).unwrap();
    }
    assert_eq!(producer.flush(Duration::from_secs(10)).unwrap(), 0);
    let urls = real.urls("");
    let (code, text) = finish(tapeline(&with("consume", &urls)).arg("--until-end").output().unwrap());
    assert!(code == 0 && text.contains("dead letters: 6"), "{text}");
    let mut dead_letters = Vec::new();
    topics
        .read_all(&[names.dead_letters()], &mut |message| {
            let mut headers = BTreeMap::new();
            message.headers(&mut |name, value| {
                headers.insert(name.to_owned(), String::from_utf8_lossy(value).into_owned());
            });
            dead_letters.push((headers, message.payload().to_vec()));
        })
        .unwrap();
    for (payload, _, reason) in cases.iter().skip(1) {
        let found = dead_letters
            .iter()
            .any(|(headers, raw)| raw == payload.as_bytes() && headers["reason"].contains(reason));
        assert!(found, "{reason}: {:?}", dead_letters.iter().map(|(headers, _)| headers).collect::<Vec<_>>());
    }
    assert!(dead_letters.iter().all(|(headers, _)| headers["origin"].contains(".trades/")));
    let (_, text) = run(&["count", "--format", "json", &urls[4], &urls[5]]);
    assert_eq!(text, "{\"quotes\":{},\"readings\":{},\"trades\":{\"A\":1}}\n");
}

#[test]
#[ignore = "needs real Kafka and Cassandra: cargo xtask test"]
fn two_consumers_share_and_one_takes_over_from_the_dead() {
    let real = Real::new("share");
    let urls = real.urls("?kinds=trades&speed=1200");
    let producer = start(&with("produce", &urls));
    let first = start(&with("consume", &urls));
    let second = start(&with("consume", &urls));
    std::thread::sleep(Duration::from_secs(12));
    signal(&first, "-KILL");
    let (code, text) = finish(producer.wait_with_output().unwrap());
    assert_eq!(code, 0, "{text}");
    // The survivor continues until everything is stored.
    let (start, urls) = (Instant::now(), real.urls("?kinds=trades"));
    loop {
        let (code, text) = run(&with("verify", &urls));
        if code == 0 && text.contains("verified: 654,140 records") {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(120), "{text}");
        std::thread::sleep(Duration::from_secs(2));
    }
    signal(&second, "-TERM");
    let (code, text) = finish(second.wait_with_output().unwrap());
    assert_eq!(code, 0, "{text}");
    let (_, text_first) = finish(first.wait_with_output().unwrap());
    assert!(text.contains("stored") && !text_first.contains("panicked"), "{text}");
}

/// A member that reads to the end also reads what falls to it when another is killed: `aggregate --until-end` otherwise
/// ends without the bars of those partitions.
#[test]
#[ignore = "needs real Kafka and Cassandra: cargo xtask test"]
fn the_end_is_not_reached_while_a_killed_member_has_partitions() {
    use ports::topic::{Consumer, Message, Names, Topics};
    use std::sync::atomic::{AtomicBool, Ordering};
    let real = Real::new("held");
    let (names, topics) = (Names::new(&real.name), real.topics());
    let mut consumer = topics.consumer(&real.name, &names.all_records()).unwrap();
    let mut read = BTreeMap::new();
    let mut fetch = |consumer: &mut dyn Consumer| {
        consumer
            .fetch(1_000, Duration::from_millis(50), &mut |message| {
                read.insert((message.partition(), message.offset()), message.offset() + 1);
            })
            .unwrap();
        let next =
            |partition| read.range((partition, 0)..=(partition, i64::MAX)).last().map(|(_, next)| *next);
        (consumer.is_at_end(&next).unwrap(), read.len())
    };
    // Alone it owns everything: its end is the end.
    while !fetch(&mut *consumer).0 {}
    let shared = std::sync::Arc::new(AtomicBool::new(false));
    let hook = std::sync::Arc::clone(&shared);
    consumer.on_revoke(Box::new(move |_| {
        hook.store(true, Ordering::SeqCst);
        Vec::new()
    }));
    let other = start(&with("consume", &real.urls("")));
    let mut assigned = None;
    while assigned.is_none_or(|since: Instant| since.elapsed() < Duration::from_secs(3)) {
        fetch(&mut *consumer);
        if shared.load(Ordering::SeqCst) {
            assigned.get_or_insert_with(Instant::now);
        }
    }
    signal(&other, "-KILL");
    other.wait_with_output().unwrap();
    let mut producer = topics.producer().unwrap();
    for topic in names.all_records() {
        for key in 'A'..='Z' {
            let key = key.to_string();
            let message = Message { topic: &topic, key: &key, headers: &[], payload: b"{}", stamp_ms: 0 };
            producer.send(&message).unwrap();
        }
    }
    assert_eq!(producer.flush(Duration::from_secs(10)).unwrap(), 0);
    let start = Instant::now();
    let total = loop {
        let (end, total) = fetch(&mut *consumer);
        if end {
            break total;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{total} messages");
    };
    assert_eq!(total, names.all_records().len() * 26);
}
