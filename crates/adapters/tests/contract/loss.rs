//! What Kafka can lose or change under a group: each case is reported, none is silently skipped.

use crate::topic::{fetch, send};
use crate::{kafka, kafka_with, server, unique};
use ports::batch::Partition;
use ports::topic::{Consumer, LossCause, Names, Topics};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};

fn client() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", server("TAPELINE_TEST_KAFKA"));
    config
}

fn admin<T>(f: impl AsyncFnOnce(&AdminClient<DefaultClientContext>) -> T) -> T {
    let admin = client().create().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(f(&admin))
}

fn delete_before(topic: &str, offset: i64) {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Offset(offset)).unwrap();
    admin(async |admin| admin.delete_records(&list, &AdminOptions::new()).await).unwrap();
}

/// Commits everything of one topic's first partition up to an offset.
fn commit(topics: &dyn Topics, records: &[String], group: &str, next: i64) {
    let mut consumer = topics.consumer(group, records).unwrap();
    let (mut ends, _) = fetch(&mut *consumer, 1);
    let start = Instant::now();
    while ends.keys().all(|partition| partition.topic != 0) {
        assert!(start.elapsed() < Duration::from_secs(30));
        ends.extend(fetch(&mut *consumer, 1).0);
    }
    let first = *ends.keys().find(|partition| partition.topic == 0).unwrap();
    consumer.commit(&[(first, next)], true).unwrap();
}

/// Fetches until nothing has arrived for a second; payloads of the first topic.
fn rest(consumer: &mut dyn Consumer) -> Vec<usize> {
    let (mut got, mut last) = (Vec::new(), Instant::now());
    let mut joined = false;
    while last.elapsed() < Duration::from_secs(if joined { 2 } else { 30 }) {
        let count = consumer
            .fetch(1_000, Duration::from_millis(100), &mut |message| {
                if message.partition().topic == 0 {
                    got.push(std::str::from_utf8(message.payload()).unwrap().parse().unwrap());
                }
            })
            .unwrap();
        if count > 0 {
            joined = true;
            last = Instant::now();
        }
    }
    got.sort_unstable();
    got
}

#[test]
#[ignore = "needs real Kafka: cargo xtask test"]
fn every_compression_is_read() {
    for compression in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let prefix = unique(compression);
        let (topics, names) = (kafka_with(&prefix, compression, &[]), Names::new(&prefix));
        topics.init(&names.specs(2)).unwrap();
        send(&topics, &names, 0, 5_000);
        let mut consumer = topics.consumer("", &names.all_records()).unwrap();
        let mut all = fetch(&mut *consumer, 5_000).1;
        all.sort_unstable();
        assert!(all.into_iter().eq(0..5_000), "{compression}");
    }
}

#[test]
#[ignore = "needs real Kafka: cargo xtask test"]
fn what_retention_deleted_is_reported() {
    let prefix = unique("deleted");
    let (topics, names) = (kafka(&prefix), Names::new(&prefix));
    topics.init(&names.specs(1)).unwrap();
    send(&topics, &names, 0, 100);
    let records = names.all_records();
    let group = unique("slow");
    commit(&topics, &records, &group, 3);
    delete_before(&records[0], 40);
    // A group that had committed, and a new one.
    for (group, from) in [(group, 3), (unique("new"), 0)] {
        let mut consumer = topics.consumer(&group, &records).unwrap();
        let got = rest(&mut *consumer);
        assert!(got.iter().copied().eq((80..100).step_by(2)), "{got:?}");
        let lost = consumer.lost();
        assert_eq!(lost.len(), 1, "{lost:?}");
        assert_eq!((lost[0].from, lost[0].to, lost[0].resume), (from, Some(40), 40));
        assert_eq!((lost[0].cause, lost[0].count()), (LossCause::Retention, Some(40 - from as u64)));
        assert!(consumer.lost().is_empty());
    }
}

/// A member that runs but is too slow, as when its store does not answer.
#[test]
#[ignore = "needs real Kafka: cargo xtask test"]
fn what_retention_deleted_under_a_paused_member_is_reported() {
    let prefix = unique("slow");
    let (topics, names) = (kafka(&prefix), Names::new(&prefix));
    topics.init(&names.specs(1)).unwrap();
    send(&topics, &names, 0, 100);
    let records = names.all_records();
    let mut consumer = topics.consumer(&unique("slow"), &records).unwrap();
    assert_eq!(rest(&mut *consumer).len(), 50);
    consumer.pause(true).unwrap();
    send(&topics, &names, 100, 300);
    delete_before(&records[0], 80);
    consumer.pause(false).unwrap();
    let got = rest(&mut *consumer);
    assert!(got.iter().copied().eq((160..300).step_by(2)), "{got:?}");
    let lost = consumer.lost();
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert_eq!((lost[0].from, lost[0].to, lost[0].resume), (50, Some(80), 80));
    assert_eq!(lost[0].cause, LossCause::Retention);
}

#[test]
#[ignore = "needs real Kafka: cargo xtask test"]
fn a_topic_recreated_while_nobody_read_starts_over() {
    let prefix = unique("recreated");
    let (topics, names) = (kafka(&prefix), Names::new(&prefix));
    topics.init(&names.specs(1)).unwrap();
    send(&topics, &names, 0, 100);
    let (records, group) = (names.all_records(), unique("old"));
    commit(&topics, &records, &group, 30);
    recreate(&records[0]);
    // More than was committed of the old topic: by its number alone the offset would be valid.
    send(&topics, &names, 1_000, 1_200);
    let mut consumer = topics.consumer(&group, &records).unwrap();
    let got = rest(&mut *consumer);
    assert!(got.iter().copied().eq((1_000..1_200).step_by(2)), "{got:?}");
    // Kafka deletes a topic's committed offsets with it, sooner or later.
    let lost = consumer.lost();
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert!([0, 30].contains(&lost[0].from), "{lost:?}");
    assert_eq!((lost[0].to, lost[0].cause), (None, LossCause::Recreated));
    // It is reported once.
    consumer.commit(&[(lost[0].partition, 1)], true).unwrap();
    drop(consumer);
    let mut consumer = topics.consumer(&group, &records).unwrap();
    rest(&mut *consumer);
    assert!(consumer.lost().is_empty());
}

/// Not even the first message was committed: the topic was another one when the group joined.
#[test]
#[ignore = "needs real Kafka: cargo xtask test"]
fn a_topic_recreated_before_the_first_commit_is_reported() {
    let prefix = unique("early");
    let (topics, names) = (kafka(&prefix), Names::new(&prefix));
    topics.init(&names.specs(1)).unwrap();
    send(&topics, &names, 0, 100);
    let (records, group) = (names.all_records(), unique("early"));
    let mut consumer = topics.consumer(&group, &records).unwrap();
    assert_eq!(rest(&mut *consumer).len(), 50);
    assert!(consumer.lost().is_empty());
    drop(consumer);
    recreate(&records[0]);
    send(&topics, &names, 1_000, 1_200);
    let mut consumer = topics.consumer(&group, &records).unwrap();
    assert_eq!(rest(&mut *consumer).len(), 100);
    let lost = consumer.lost();
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert_eq!((lost[0].from, lost[0].to, lost[0].cause), (0, None, LossCause::Recreated));
}

#[test]
#[ignore = "needs real Kafka: cargo xtask test"]
fn a_topic_recreated_under_a_reader_starts_over() {
    let prefix = unique("swapped");
    let (topics, names) = (kafka(&prefix), Names::new(&prefix));
    topics.init(&names.specs(1)).unwrap();
    send(&topics, &names, 0, 100);
    let (records, group) = (names.all_records(), unique("reader"));
    let mut consumer = topics.consumer(&group, &records).unwrap();
    assert_eq!(rest(&mut *consumer).len(), 50);
    recreate(&records[0]);
    send(&topics, &names, 1_000, 1_200);
    let mut got = std::collections::BTreeSet::new();
    let start = Instant::now();
    while got.len() < 100 && start.elapsed() < Duration::from_secs(90) {
        got.extend(rest(&mut *consumer));
    }
    assert!(got.into_iter().eq((1_000..1_200).step_by(2)));
    let lost = consumer.lost();
    assert!(lost.iter().any(|range| range.cause == LossCause::Recreated), "{lost:?}");
    // It is reported once, although nothing of the new topic was committed.
    consumer.commit(&[(Partition { topic: 1, number: 0 }, 1)], true).unwrap();
    drop(consumer);
    let mut consumer = topics.consumer(&group, &records).unwrap();
    assert_eq!(rest(&mut *consumer).len(), 100);
    assert!(consumer.lost().is_empty());
}

fn recreate(topic: &str) {
    let name = topic.to_owned();
    admin(async |admin| {
        admin.delete_topics(&[&name], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
        let new = NewTopic::new(&name, 1, TopicReplication::Fixed(1));
        // The broker forgets the old topic a moment after its response.
        for _ in 0..100 {
            let responses = admin.create_topics([&new], &AdminOptions::new()).await.unwrap();
            if responses[0].is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("{name} was not recreated");
    });
}

#[test]
#[ignore = "needs real Kafka: cargo xtask test"]
fn an_offset_beyond_the_end_is_reported_and_everything_read() {
    let prefix = unique("beyond");
    let (topics, names) = (kafka(&prefix), Names::new(&prefix));
    topics.init(&names.specs(1)).unwrap();
    send(&topics, &names, 0, 100);
    let (records, group) = (names.all_records(), unique("ahead"));
    commit(&topics, &records, &group, 5_000);
    let mut consumer = topics.consumer(&group, &records).unwrap();
    assert_eq!(rest(&mut *consumer).len(), 50);
    let lost = consumer.lost();
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert_eq!((lost[0].from, lost[0].resume, lost[0].cause), (5_000, 0, LossCause::BeyondEnd));
}

#[test]
#[ignore = "needs real Kafka: cargo xtask test"]
fn transaction_markers_do_not_hide_the_end() {
    let prefix = unique("transactions");
    let (topics, names) = (kafka(&prefix), Names::new(&prefix));
    topics.init(&names.specs(1)).unwrap();
    let records = names.all_records();
    let producer: BaseProducer = client().set("transactional.id", &prefix).create().unwrap();
    let wait = Duration::from_secs(30);
    producer.init_transactions(wait).unwrap();
    for (n, committed) in [(1, false), (2, true), (3, false), (4, true), (5, false)] {
        producer.begin_transaction().unwrap();
        for payload in [n * 10, n * 10 + 1] {
            producer.send(BaseRecord::to(&records[0]).key("K").payload(&payload.to_string())).unwrap();
            producer.flush(wait).unwrap();
        }
        if committed { producer.commit_transaction(wait) } else { producer.abort_transaction(wait) }.unwrap();
    }
    let mut read = Vec::new();
    topics.read_all(&records, &mut |message| read.push(message.payload().to_vec())).unwrap();
    assert_eq!(read, [b"20", b"21", b"40", b"41"]);
    let mut consumer = topics.consumer(&unique("end"), &records).unwrap();
    let (ends, got) = fetch(&mut *consumer, 4);
    assert_eq!(got, [20, 21, 40, 41]);
    assert_eq!(consumer.fetch(10, Duration::from_millis(500), &mut |_| {}).unwrap(), 0);
    assert_eq!(consumer.ahead(&|at| ends.get(&at).copied()).unwrap(), Some(0));
    consumer.commit(&ends.into_iter().collect::<Vec<_>>(), true).unwrap();
    assert_eq!(consumer.lag().unwrap(), 0);
}

#[test]
#[ignore = "needs real Kafka: cargo xtask test"]
fn added_partitions_are_read_to_their_end() {
    let prefix = unique("grown");
    let (topics, names) = (kafka(&prefix), Names::new(&prefix));
    topics.init(&names.specs(2)).unwrap();
    let records = names.all_records();
    send(&topics, &names, 0, 100);
    let mut consumer = topics.consumer(&unique("grown"), &records).unwrap();
    let mut reader = topics.consumer("", &records).unwrap();
    let mut read = fetch(&mut *reader, 100).1;
    let (mut ends, mut got) = fetch(&mut *consumer, 100);
    let topic = records[0].clone();
    admin(async |admin| {
        let grown = NewPartitions::new(&topic, 8);
        admin.create_partitions([&grown], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
    });
    std::thread::sleep(Duration::from_secs(1));
    send(&topics, &names, 100, 300);
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < Duration::from_secs(60), "{} of 300", got.len());
        consumer
            .fetch(1_000, Duration::from_millis(100), &mut |message| {
                ends.insert(message.partition(), message.offset() + 1);
                got.push(std::str::from_utf8(message.payload()).unwrap().parse().unwrap());
            })
            .unwrap();
        consumer.commit(&ends.clone().into_iter().collect::<Vec<_>>(), true).unwrap();
        if consumer.lag().unwrap() == 0 && consumer.ahead(&|at| ends.get(&at).copied()).unwrap() == Some(0) {
            break;
        }
    }
    got.sort_unstable();
    assert!(got.into_iter().eq(0..300));
    assert!(consumer.lost().is_empty());
    // A reader without a group, to which nobody assigns them, reads them as well.
    read.extend(fetch(&mut *reader, 200).1);
    read.sort_unstable();
    assert!(read.into_iter().eq(0..300));
}

/// While a committed offset cannot be read, nothing is: a transaction of another client has not decided which it is.
#[test]
#[ignore = "needs real Kafka: cargo xtask test"]
fn a_committed_offset_that_cannot_be_read_is_waited_for() {
    let prefix = unique("undecided");
    let (topics, names) = (kafka(&prefix), Names::new(&prefix));
    topics.init(&names.specs(1)).unwrap();
    send(&topics, &names, 0, 100);
    let (records, group) = (names.all_records(), unique("undecided"));
    commit(&topics, &records, &group, 20);
    let producer: BaseProducer = client().set("transactional.id", &prefix).create().unwrap();
    let wait = Duration::from_secs(30);
    producer.init_transactions(wait).unwrap();
    producer.begin_transaction().unwrap();
    let outsider: BaseConsumer = client().set("group.id", &group).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&records[0], 0, Offset::Offset(30)).unwrap();
    producer.send_offsets_to_transaction(&list, &outsider.group_metadata().unwrap(), wait).unwrap();
    let mut consumer = topics.consumer(&group, &records).unwrap();
    let got = std::thread::scope(|scope| {
        let decides = scope.spawn(|| {
            std::thread::sleep(Duration::from_secs(8));
            producer.commit_transaction(wait).unwrap();
        });
        let got = rest(&mut *consumer);
        decides.join().unwrap();
        got
    });
    assert!(got.iter().copied().eq((60..100).step_by(2)), "{got:?}");
    assert!(consumer.lost().is_empty());
}
