//! A member of a consumer group: what it is given and what is taken from it.

use super::consume::to_list;
use super::log;
use super::queue::Address;
use ports::batch::Partition;
use ports::topic::OnRevoke;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionList;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Hears of rebalances, from within `poll`.
pub(super) struct Membership {
    topics: Vec<String>,
    pub(super) on_revoke: Mutex<OnRevoke>,
    pub(super) paused: AtomicBool,
    /// Where assigned partitions are forwarded to; set before the group is joined.
    pub(super) queue: OnceLock<Address>,
    /// The queue is let go: what is assigned from now on is not to be forwarded to it.
    pub(super) ended: AtomicBool,
}

impl Membership {
    pub(super) fn new(topics: &[String]) -> Self {
        Self {
            topics: topics.to_vec(),
            on_revoke: Mutex::new(Box::new(|_| Vec::new())),
            paused: AtomicBool::new(false),
            queue: OnceLock::new(),
            ended: AtomicBool::new(false),
        }
    }

    pub(super) fn list(&self, partitions: &TopicPartitionList) -> Vec<Partition> {
        let place = |name: &str| self.topics.iter().position(|topic| topic == name);
        partitions
            .elements()
            .iter()
            .filter_map(|e| place(e.topic()).map(|t| Partition { topic: t as u16, number: e.partition() }))
            .collect()
    }
}

impl ClientContext for Membership {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka consumer");
    }
}

impl ConsumerContext for Membership {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let (Rebalance::Assign(list), Some(queue), false) =
            (rebalance, self.queue.get(), self.ended.load(Ordering::SeqCst))
        {
            for element in list.elements() {
                queue.forward(consumer.client().native_ptr(), element.topic(), element.partition());
            }
        }
        let Rebalance::Revoke(list) = rebalance else { return };
        let lost = self.list(list);
        let offsets = (self.on_revoke.lock().unwrap_or_else(PoisonError::into_inner))(&lost);
        tracing::info!(partitions = lost.len(), "partitions handed over");
        // When the group has already given them away, a commit would be refused: the new owner replays a little.
        if offsets.is_empty() || consumer.assignment_lost() {
            return;
        }
        if let Err(error) = consumer.commit(&to_list(&self.topics, &offsets), CommitMode::Sync) {
            tracing::info!(%error, "last commit before the hand-over refused; the new owner replays a little");
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(list) = rebalance {
            tracing::info!(partitions = list.count(), "partitions assigned");
            if self.paused.load(Ordering::SeqCst)
                && let Err(error) = consumer.pause(list)
            {
                tracing::warn!(%error, "could not pause new partitions");
            }
        }
    }
}
