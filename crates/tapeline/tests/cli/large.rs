//! Large messages on real Kafka and Cassandra.

use crate::real::Real;
use crate::{finish, run, start, with};
use std::time::Duration;

/// Messages as large as a broker takes them, and small ones that inflate, are stored or become dead letters; memory is
/// bounded by bytes, whatever the number of records.
#[test]
#[ignore = "needs real Kafka and Cassandra: cargo xtask test"]
fn large_messages_are_stored_or_become_dead_letters() {
    use ports::topic::{Message, Names, Topics};
    const RECORDS: usize = 1_000;
    let real = Real::new("large");
    let names = Names::new(&real.name);
    let topic = names.records(market::Kind::TRADE);
    let condition = format!("\"{}\"", "c".repeat(60_000));
    let record = |id: usize| {
        // Fifty a day: a partition of Cassandra.
        let ts = 1 + (id / 50) as u64 * 86_400_000_000_000;
        format!(
            r#"{{"symbol":"A","feed":"f","venue":"P","id":"{id}","ts":{ts},"recv_ts":1,"price":"1","size":"1","conditions":[{}]}}"#,
            vec![condition.as_str(); 15].join(",")
        )
    };
    let send = |compression: &str, payloads: &mut dyn Iterator<Item = String>| {
        let topics = real.topics_with(compression, &[("message.max.bytes", "10000000")]);
        let mut producer = topics.producer().unwrap();
        for payload in payloads {
            let stamp_ms = ports::clock::now().millis();
            let message =
                Message { topic: &topic, key: "A", headers: &[], payload: payload.as_bytes(), stamp_ms };
            while producer.send(&message).is_err() {
                producer.flush(Duration::from_secs(10)).unwrap();
            }
        }
        assert_eq!(producer.flush(Duration::from_secs(60)).unwrap(), 0);
    };
    send("none", &mut std::iter::once("x".repeat(1_040_000)));
    send("zstd", &mut std::iter::once("y".repeat(5_000_000)));
    send("zstd", &mut (0..RECORDS).map(record));
    let urls = real.urls("");
    let mut arguments = with("consume", &urls);
    arguments.push("--until-end");
    let child = start(&arguments);
    let status = format!("/proc/{}/status", child.id());
    let watch = std::thread::spawn(move || {
        let mut peak = 0;
        while let Ok(text) = std::fs::read_to_string(&status) {
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let Some(kib) = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok())
            else {
                break;
            };
            peak = kib;
            std::thread::sleep(Duration::from_millis(20));
        }
        peak
    });
    let (code, text) = finish(child.wait_with_output().unwrap());
    let peak = watch.join().unwrap();
    assert!(code == 0 && text.contains("dead letters: 2"), "{text}");
    // A response of 128 KiB inflates to 400 MiB here, which librdkafka holds at once.
    assert!(peak < 700 << 10, "{peak} KiB for {} MiB of records", (RECORDS * 900_000) >> 20);
    let (_, text) = run(&["count", "--format", "json", &urls[4], &urls[5]]);
    assert!(text.contains(&format!("{{\"A\":{RECORDS}}}")), "{text}");
    // Cut, with what finds the whole message on the topic.
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("letters.ndjson");
    let mut arguments = with("dead-letters", &urls);
    arguments.insert(1, "export");
    arguments.extend(["--out", out.to_str().unwrap()]);
    let (code, text) = run(&arguments);
    assert_eq!(code, 0, "{text}");
    let exported = std::fs::read_to_string(out).unwrap();
    for length in ["{\"length\":1040000,", "{\"length\":5000000,"] {
        assert!(exported.contains(length), "{}", exported.chars().take(400).collect::<String>());
    }
}
