//! A log whose end was replaced, as by an unclean leader election or a machine that lost power: what a group had read of the
//! old end is reported, and the new end is read.

use crate::topic::{fetch, send};
use crate::{kafka_at, unique};
use adapters::topic::kafka::KafkaTopics;
use ports::topic::{Consumer, LossCause, Names, Topics};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const ADDRESS: &str = "127.0.0.1:19292";
const CONTROLLER: &str = "127.0.0.1:19293";

/// A broker of this test's own, with the program and settings of the broker that the tests share.
struct Broker {
    dir: tempfile::TempDir,
    command: Vec<String>,
    running: Option<Child>,
}

impl Broker {
    fn new() -> Self {
        let pid = crate::server("TAPELINE_TEST_KAFKA_PID");
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
        let mut command: Vec<String> = line.split_terminator('\0').map(str::to_owned).collect();
        let dir = tempfile::tempdir().unwrap();
        let shared = fs::read_to_string(command.pop().unwrap()).unwrap();
        let shared_address = crate::server("TAPELINE_TEST_KAFKA");
        let (host, port) = shared_address.split_once(':').unwrap();
        let shared_controller = format!("{host}:{}", port.parse::<u16>().unwrap() + 1);
        let mut properties = String::new();
        for line in shared.lines() {
            let line = line.replace(&shared_address, ADDRESS).replace(&shared_controller, CONTROLLER);
            let line = match line.starts_with("log.dirs=") {
                true => format!("log.dirs={}", dir.path().join("data").display()),
                false => line,
            };
            properties.push_str(&line);
            properties.push('\n');
        }
        assert!(!properties.contains(port), "{properties}");
        let file = dir.path().join("server.properties");
        fs::write(&file, properties).unwrap();
        let class_path =
            command.iter().position(|word| word == "-cp").map(|at| command[at + 1].clone()).unwrap();
        let file = file.display().to_string();
        let tool = ["kafka.tools.StorageTool", "format", "-t", "dGFwZWxpbmUtbG9jYWwtMA", "-c", &file];
        let done = Command::new(&command[0]).args(["-cp", &class_path]).args(tool).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        command.retain(|word| !word.starts_with("-Dtapeline.node="));
        command.push(file);
        let mut broker = Self { dir, command, running: None };
        broker.start();
        broker
    }

    fn start(&mut self) {
        let log = fs::File::create(self.dir.path().join("log")).unwrap();
        let child = Command::new(&self.command[0])
            .args(&self.command[1..])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        self.running = Some(child.unwrap());
        let start = Instant::now();
        let log = || fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        while !log().contains("Kafka Server started") {
            assert!(start.elapsed() < Duration::from_secs(120), "{}", log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Kills it: nothing is written back.
    fn kill(&mut self) {
        let Some(mut child) = self.running.take() else { return };
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// The only segment of a topic's partition 0.
    fn segment(&self, topic: &str) -> PathBuf {
        self.dir.path().join("data").join(format!("{topic}-0")).join("00000000000000000000.log")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Cuts a segment after the batch with message `last`. Record batches: docs of Kafka's message format, version 2.
fn cut_after(segment: &Path, last: i64) {
    let bytes = fs::read(segment).unwrap();
    let mut at = 0;
    loop {
        let number = |from: usize, len: usize| {
            bytes[at + from..at + from + len].iter().fold(0_i64, |n, byte| (n << 8) | i64::from(*byte))
        };
        let (first, length, delta) = (number(0, 8), number(8, 4), number(23, 4));
        at += 12 + length as usize;
        if first + delta >= last {
            break;
        }
    }
    assert!(at < bytes.len(), "nothing to cut");
    fs::OpenOptions::new().write(true).open(segment).unwrap().set_len(at as u64).unwrap();
}

/// Fetches until `wanted` was delivered; payloads of the first topic.
fn until(consumer: &mut dyn Consumer, wanted: usize) -> BTreeSet<usize> {
    let (mut got, start) = (BTreeSet::new(), Instant::now());
    while !got.contains(&wanted) {
        assert!(start.elapsed() < Duration::from_secs(60), "{wanted} is not among {got:?}");
        consumer
            .fetch(1_000, Duration::from_millis(100), &mut |message| {
                if message.partition().topic == 0 {
                    got.insert(std::str::from_utf8(message.payload()).unwrap().parse().unwrap());
                }
            })
            .unwrap();
    }
    got
}

/// A member that has read and committed everything up to message `last`.
fn member(topics: &KafkaTopics, records: &[String], group: &str, last: usize) -> Box<dyn Consumer> {
    let mut consumer = topics.consumer(group, records).unwrap();
    let (mut ends, start) = (fetch(&mut *consumer, 1).0, Instant::now());
    let next = i64::try_from(last / 2 + 1).unwrap();
    while !ends.iter().any(|(partition, end)| partition.topic == 0 && *end == next) {
        assert!(start.elapsed() < Duration::from_secs(60), "{ends:?}");
        ends.extend(fetch(&mut *consumer, 1).0);
    }
    let ends: Vec<_> = ends.into_iter().collect();
    consumer.commit(&ends, true).unwrap();
    assert!(consumer.lost().is_empty());
    consumer
}

#[test]
#[ignore = "needs real Kafka: cargo xtask test"]
fn the_replaced_end_of_a_log_is_reported_and_read() {
    let mut broker = Broker::new();
    let prefix = unique("cut");
    let (topics, names) = (kafka_at(ADDRESS, &prefix, "lz4", &[]), Names::new(&prefix));
    topics.init(&names.specs(1)).unwrap();
    let records = names.all_records();
    // Even numbers are in the first topic: message 20 has offset 10.
    for from in (0..100).step_by(20) {
        send(&topics, &names, from, from + 20);
    }
    drop(member(&topics, &records, "stopped", 98));
    let mut running = member(&topics, &records, "running", 98);
    broker.kill();
    cut_after(&broker.segment(&records[0]), 19);
    broker.start();
    // As many again as were cut, and more: by their number alone the old offsets are valid.
    send(&topics, &names, 1_000, 1_200);
    let mut stopped = topics.consumer("stopped", &records).unwrap();
    for (name, consumer) in [("stopped", &mut stopped), ("running", &mut running)] {
        let got = until(&mut **consumer, 1_198);
        let missing: Vec<usize> = (1_000..1_200).step_by(2).filter(|number| !got.contains(number)).collect();
        assert!(missing.is_empty(), "{name}: {missing:?} were skipped");
        let lost = consumer.lost();
        assert_eq!(lost.len(), 1, "{name}: {lost:?}");
        assert!(matches!(lost[0].cause, LossCause::Truncated | LossCause::BeyondEnd), "{name}: {lost:?}");
    }
}
