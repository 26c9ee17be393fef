//! What Kafka's brokers can answer that the suite of all topics does not meet, fetched straight from them.

use crate::topic::{fetch, send};
use crate::{kafka, kafka_with, server, unique};
use pipeline::topic::{Names, Topics};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::time::Duration;

fn client() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", server("TAPELINE_TEST_KAFKA"));
    config
}

#[test]
#[ignore = "needs real Kafka: cargo xtask test"]
fn every_compression_of_librdkafka_is_read() {
    for compression in ["none", "gzip", "snappy", "lz4"] {
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
fn only_committed_transactions_are_read() {
    let prefix = unique("transactions");
    let (topics, names) = (kafka(&prefix), Names::new(&prefix));
    topics.init(&names.specs(1)).unwrap();
    let topic = &names.all_records()[0];
    let producer: BaseProducer = client().set("transactional.id", &prefix).create().unwrap();
    let wait = Duration::from_secs(30);
    producer.init_transactions(wait).unwrap();
    for (n, committed) in [(1, false), (2, true), (3, false), (4, true)] {
        producer.begin_transaction().unwrap();
        for payload in [n * 10, n * 10 + 1] {
            producer.send(BaseRecord::to(topic).key("K").payload(&payload.to_string())).unwrap();
            producer.flush(wait).unwrap();
        }
        if committed { producer.commit_transaction(wait) } else { producer.abort_transaction(wait) }.unwrap();
    }
    producer.begin_transaction().unwrap();
    producer.send(BaseRecord::to(topic).key("K").payload("99")).unwrap();
    producer.flush(wait).unwrap();
    let mut consumer = topics.consumer("", &names.all_records()).unwrap();
    assert_eq!(fetch(&mut *consumer, 4).1, [20, 21, 40, 41]);
    assert_eq!(consumer.fetch(10, Duration::from_millis(500), &mut |_| {}).unwrap(), 0, "still open");
    producer.commit_transaction(wait).unwrap();
    assert_eq!(fetch(&mut *consumer, 1).1, [99]);
}

/// Retention deletes what a slow group has not read: it goes on with what there is.
#[test]
#[ignore = "needs real Kafka: cargo xtask test"]
fn what_is_there_no_longer_is_passed_over() {
    let prefix = unique("deleted");
    let (topics, names) = (kafka(&prefix), Names::new(&prefix));
    topics.init(&names.specs(1)).unwrap();
    send(&topics, &names, 0, 100);
    let records = names.all_records();
    let group = unique("slow");
    let mut slow = topics.consumer(&group, &records).unwrap();
    let (mut ends, _) = fetch(&mut *slow, 100);
    ends.values_mut().for_each(|end| *end = 3);
    slow.commit(&ends.into_iter().collect::<Vec<_>>(), true).unwrap();
    drop(slow);
    let admin: AdminClient<DefaultClientContext> = client().create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&records[0], 0, Offset::Offset(40)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(admin.delete_records(&list, &AdminOptions::new())).unwrap();
    // Of the even ones in the first topic 40 are gone; of the odd ones in the second, three are committed.
    let expected: Vec<usize> =
        (0..100).filter(|n| if n % 2 == 0 { n / 2 >= 40 } else { n / 2 >= 3 }).collect();
    for (group, mut expected) in
        [(group.as_str(), expected), ("", (0..100).filter(|n| n % 2 == 1 || n / 2 >= 40).collect())]
    {
        let mut consumer = topics.consumer(group, &records).unwrap();
        let mut all = fetch(&mut *consumer, expected.len()).1;
        all.sort_unstable();
        expected.sort_unstable();
        assert_eq!(all, expected);
        assert_eq!(consumer.fetch(10, Duration::from_millis(300), &mut |_| {}).unwrap(), 0);
    }
}
