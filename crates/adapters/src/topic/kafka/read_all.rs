//! Reading topics to their current end, outside any group.

use super::cause::explain;
use super::client::{KafkaTopics, Quiet, RESPONSE_TIMEOUT};
use super::consume::Borrowed;
use super::member::{READER, everything};
use ports::batch::Partition;
use ports::topic::{Fetched, Topics};
use ports::{Error, Result};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::Offset;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Reads every partition from its beginning to its current end, outside any group.
pub(super) fn read_all(
    topics: &KafkaTopics,
    names: &[String],
    sink: &mut dyn FnMut(&dyn Fetched),
) -> Result<u64> {
    let mut config = topics.base();
    config
        .set("group.id", READER)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "earliest")
        .set("fetch.queue.backoff.ms", "1")
        .set("queued.max.messages.kbytes", "2048")
        .set("isolation.level", "read_committed");
    topics.finish(&mut config)?;
    let consumer: BaseConsumer<Quiet> =
        config.create_with_context(topics.quiet()).map_err(topics.refused("open a reader"))?;
    topics.tokens.authorize(consumer.client().native_ptr())?;
    topics.connect(consumer.client())?;
    let counts = topics.partitions(consumer.client(), names)?;
    // Reads up to the current ends: a live topic has no other end.
    let mut open: BTreeMap<(u16, i32), i64> = BTreeMap::new();
    for (index, (name, count)) in names.iter().zip(&counts).enumerate() {
        for number in 0..*count {
            let (low, high) = consumer
                .fetch_watermarks(name, number, RESPONSE_TIMEOUT)
                .map_err(topics.refused("request the end of a partition"))?;
            if low < high {
                open.insert((index as u16, number), high);
            }
        }
    }
    let ends = open.clone();
    consumer.assign(&everything(names, &counts)).map_err(topics.refused("read from the beginning"))?;
    let mut read = 0;
    let mut last = Instant::now();
    while !open.is_empty() {
        let mut look = false;
        match consumer.poll(Duration::from_millis(500)) {
            None => look = true,
            Some(Ok(message)) => {
                let index = names.iter().position(|name| name == message.topic()).unwrap_or(0) as u16;
                let partition = Partition { topic: index, number: message.partition() };
                let at = (index, message.partition());
                if ends.get(&at).is_some_and(|end| message.offset() < *end) {
                    sink(&Borrowed { message: &message, partition });
                    read += 1;
                }
                if open.get(&at).is_some_and(|end| message.offset() + 1 >= *end) {
                    open.remove(&at);
                }
                last = Instant::now();
            }
            Some(Err(KafkaError::PartitionEOF(_))) => look = true,
            Some(Err(error)) => {
                let error = explain(&format!("read {}", topics.describe()), &error);
                if !error.retryable() {
                    return Err(error);
                }
            }
        }
        if look && let Ok(positions) = consumer.position() {
            // The last entry before an end may be a transaction marker, which is not delivered.
            let before = open.len();
            open.retain(|(index, number), end| {
                let position = positions.find_partition(&names[*index as usize], *number).map(|e| e.offset());
                !matches!(position, Some(Offset::Offset(next)) if next >= *end)
            });
            if open.len() < before {
                last = Instant::now();
            }
        }
        if last.elapsed() > Duration::from_secs(30) {
            let place = format!("read {}", topics.describe());
            return Err(explain(&place, &KafkaError::ConsumerCommit(RDKafkaErrorCode::OperationTimedOut)));
        }
        if topics.stop.is_cancelled() {
            return Err(Error::stopped());
        }
    }
    Ok(read)
}
