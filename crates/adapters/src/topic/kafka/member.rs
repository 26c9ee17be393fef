//! A consumer's client, joined to its group.

use super::client::{KafkaTopics, Quiet};
use super::closing::Closing;
use super::membership::Membership;
use super::positions::Positions;
use super::queue::Queue;
use ports::Result;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long revoking partitions may take before the member just closes.
const LEAVE: Duration = Duration::from_secs(5);
/// Group id of readers without a group: never joined, and nothing is committed.
pub(super) const READER: &str = "tapeline-reader";

/// All partitions, from their beginning.
pub(super) fn everything(names: &[String], counts: &[i32]) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (name, count) in names.iter().zip(counts) {
        for number in 0..*count {
            // Refused only for invalid offsets.
            let _ = list.add_partition_offset(name, number, Offset::Beginning);
        }
    }
    list
}

/// A client with its queue.
pub(super) struct Member {
    /// Declared before the consumer, so that it is dropped first.
    pub(super) queue: Queue,
    pub(super) consumer: Closing,
    /// Number of partitions of each topic.
    pub(super) partitions: Vec<i32>,
    /// After how long without a heartbeat the group removes a member.
    pub(super) session_timeout: Duration,
    /// Its fixed name in the group, if it has one.
    pub(super) instance: Option<String>,
    /// Whether the member belongs to a group without a fixed name: a static member keeps its partitions
    /// across its restart.
    leaves: bool,
}

impl Member {
    /// Joins a group; reads all partitions from their beginning if that is empty. `assignments` counts the rebalances that
    /// assigned partitions.
    pub(super) fn join(
        topics: &KafkaTopics,
        group: &str,
        names: &[String],
        assignments: Arc<AtomicU64>,
    ) -> Result<Self> {
        let mut config = topics.base();
        config
            .set("group.id", if group.is_empty() { READER } else { group })
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // Never a silent reset: `positions.rs` decides where to resume, and reports it.
            .set("auto.offset.reset", if group.is_empty() { "earliest" } else { "error" })
            // Added partitions are detected within this time.
            .set("topic.metadata.refresh.interval.ms", "10000")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", topics.settings.session_timeout.as_millis().to_string())
            .set("heartbeat.interval.ms", (topics.settings.session_timeout / 4).as_millis().to_string())
            // The default of a second leaves a fast reader idle while its queue is empty.
            .set("fetch.queue.backoff.ms", "1")
            .set("queued.max.messages.kbytes", "2048")
            .set("fetch.message.max.bytes", "131072")
            .set("check.crcs", "true");
        if !topics.settings.instance.is_empty() {
            config.set("group.instance.id", &topics.settings.instance);
        }
        topics.finish(&mut config)?;
        // The settings may have the raw property, which wins.
        let session_timeout = config
            .get("session.timeout.ms")
            .and_then(|text| text.parse().ok())
            .map_or(topics.settings.session_timeout, Duration::from_millis);
        let is_cooperative = config
            .get("partition.assignment.strategy")
            .is_some_and(|strategy| strategy.starts_with("cooperative"));
        let leaves = !group.is_empty() && config.get("group.instance.id").is_none();
        let mut query_config = topics.base();
        topics.finish(&mut query_config)?;
        let query_client: BaseConsumer<Quiet> =
            query_config.create_with_context(topics.quiet()).map_err(topics.refused("open a client"))?;
        topics.tokens.authorize(query_client.client().native_ptr())?;
        let positions = Positions::new(query_client, topics, names);
        let consumer: BaseConsumer<Membership> = config
            .create_with_context(Membership::new(
                is_cooperative,
                names,
                positions,
                topics.tokens.clone(),
                assignments,
            ))
            .map_err(topics.refused("open a consumer"))?;
        topics.tokens.authorize(consumer.client().native_ptr())?;
        topics.connect(consumer.client())?;
        let partitions = topics.partitions(consumer.client(), names)?;
        let queue = Queue::new(consumer.client().native_ptr());
        consumer.context().queue.get_or_init(|| queue.address());
        if group.is_empty() {
            let list = everything(names, &partitions);
            for element in list.elements() {
                let client = consumer.client().native_ptr();
                queue.address().forward(client, element.topic(), element.partition());
            }
            consumer.assign(&list).map_err(topics.refused("read from the beginning"))?;
        } else {
            let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
            consumer.subscribe(&wanted).map_err(topics.refused("subscribe"))?;
        }
        let instance = config.get("group.instance.id").map(str::to_owned);
        let consumer = Closing::new(consumer);
        Ok(Self { queue, consumer, partitions, session_timeout, instance, leaves })
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // Leaving a group still processes its events: partitions may be assigned after the queue is gone.
        self.consumer.context().ended.store(true, Ordering::SeqCst);
        // Closing during a revocation can hang: the binding waits for a response that the group no longer
        // sends. So partitions are unassigned first, while the group still responds.
        if self.leaves {
            self.consumer.unsubscribe();
            let start = Instant::now();
            while start.elapsed() < LEAVE {
                let _ = self.consumer.poll(Duration::from_millis(10));
                if self.consumer.assignment().is_ok_and(|assigned| assigned.count() == 0) {
                    break;
                }
            }
        }
    }
}
