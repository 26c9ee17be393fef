//! Group membership: assigned and revoked partitions.

use super::client::{RESPONSE_TIMEOUT, log};
use super::native;
use super::positions::Positions;
use super::queue::Address;
use super::token::Tokens;
use ports::batch::Partition;
use ports::topic::OnRevoke;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;
use rustc_hash::FxHashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Handles rebalances, from within `poll`.
pub(super) struct Membership {
    /// Whether rebalances are incremental. librdkafka knows, but a client that closes may never respond.
    is_cooperative: bool,
    topics: Vec<String>,
    pub(super) on_revoke: Mutex<OnRevoke>,
    pub(super) paused: AtomicBool,
    /// Queue to which assigned partitions are forwarded; set before the group is joined.
    pub(super) queue: OnceLock<Address>,
    /// The queue is gone: partitions assigned from now on are not forwarded to it.
    pub(super) ended: AtomicBool,
    /// Number of rebalances that assigned partitions.
    pub(super) assignments: Arc<AtomicU64>,
    /// When a rebalance last changed what this member owns.
    changed: Mutex<Instant>,
    /// What it owns. librdkafka forgets it without a callback when it gives up the membership.
    owned: Mutex<FxHashSet<Partition>>,
    positions: Mutex<Positions>,
    tokens: Tokens,
}

impl Membership {
    pub(super) fn new(
        is_cooperative: bool,
        topics: &[String],
        positions: Positions,
        tokens: Tokens,
        assignments: Arc<AtomicU64>,
    ) -> Self {
        Self {
            is_cooperative,
            topics: topics.to_vec(),
            on_revoke: Mutex::new(Box::new(|_| Vec::new())),
            paused: AtomicBool::new(false),
            queue: OnceLock::new(),
            ended: AtomicBool::new(false),
            assignments,
            changed: Mutex::new(Instant::now()),
            owned: Mutex::default(),
            positions: Mutex::new(positions),
            tokens,
        }
    }

    pub(super) fn positions(&self) -> MutexGuard<'_, Positions> {
        self.positions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time since a rebalance last changed what this member owns.
    pub(super) fn unchanged(&self) -> Duration {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    fn list(&self, partitions: &TopicPartitionList) -> Vec<Partition> {
        let index = |name: &str| self.topics.iter().position(|topic| topic == name);
        partitions
            .elements()
            .iter()
            .filter_map(|e| index(e.topic()).map(|t| Partition { topic: t as u16, number: e.partition() }))
            .collect()
    }

    fn assign(&self, consumer: &BaseConsumer<Self>, list: &mut TopicPartitionList) {
        let client = consumer.client().native_ptr();
        if let (Some(queue), false) = (self.queue.get(), self.ended.load(Ordering::SeqCst)) {
            for element in list.elements() {
                queue.forward(client, element.topic(), element.partition());
            }
            self.positions().resolve(consumer, list);
        }
        native::rebalance(client, list, true, self.is_cooperative);
        self.owned().extend(self.list(list));
        // librdkafka compares the leader epochs of committed offsets with the log only on a seek.
        native::seek_with_epochs(client, list, RESPONSE_TIMEOUT);
        tracing::info!(partitions = list.count(), "partitions assigned");
        self.commit_ids(consumer);
        if self.paused.load(Ordering::SeqCst)
            && let Err(error) = consumer.pause(list)
        {
            tracing::warn!(%error, "could not pause new partitions");
        }
        self.assignments.fetch_add(1, Ordering::SeqCst);
    }

    /// Resumes an assigned partition at an offset. librdkafka refuses a seek once it has stopped fetching the partition, as
    /// after an offset that is out of range: then it is assigned again.
    pub(super) fn restart(
        &self,
        consumer: &BaseConsumer<Self>,
        topic: &str,
        number: i32,
        offset: i64,
    ) -> KafkaResult<()> {
        let start = Offset::Offset(offset);
        if consumer.seek(topic, number, start, RESPONSE_TIMEOUT).is_ok() {
            return Ok(());
        }
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, number, start)?;
        if self.is_cooperative {
            consumer.incremental_unassign(&list)?;
            // The partition ends in the background, and its queue with it: forwarded before that, the new one would not be.
            std::thread::sleep(Duration::from_millis(500));
            if let Some(queue) = self.queue.get() {
                queue.forward(consumer.client().native_ptr(), topic, number);
            }
            consumer.incremental_assign(&list)?;
        } else {
            let mut all = consumer.position()?;
            all.set_partition_offset(topic, number, start)?;
            consumer.assign(&all)?;
        }
        if self.paused.load(Ordering::SeqCst) {
            consumer.pause(&list)?;
        }
        Ok(())
    }

    /// Commits the ids of the topics if they have changed; a failure costs only what they would show.
    pub(super) fn commit_ids(&self, consumer: &BaseConsumer<Self>) {
        if let Some(list) = self.positions().ids_to_commit() {
            let _ = consumer.commit(&list, CommitMode::Async);
        }
    }

    /// Tells the pipeline that its partitions are no longer its own. Nothing can be committed for them any more.
    pub(super) fn give_up(&self) {
        let revoked: Vec<Partition> = self.owned().drain().collect();
        if !revoked.is_empty() {
            (self.on_revoke.lock().unwrap_or_else(PoisonError::into_inner))(&revoked);
        }
    }

    fn owned(&self) -> MutexGuard<'_, FxHashSet<Partition>> {
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let revoked = self.list(list);
        self.owned().retain(|partition| !revoked.contains(partition));
        let offsets = (self.on_revoke.lock().unwrap_or_else(PoisonError::into_inner))(&revoked);
        tracing::info!(partitions = revoked.len(), "partitions revoked");
        // After a revocation a commit would be refused: the new owner replays a little.
        if !offsets.is_empty() && !consumer.assignment_lost() {
            let list = self.positions().to_list(&offsets);
            if let Err(error) = consumer.commit(&list, CommitMode::Sync) {
                tracing::info!(%error, "final commit refused; the new owner replays a little");
            }
        }
        native::rebalance(consumer.client().native_ptr(), list, false, self.is_cooperative);
    }
}

impl ClientContext for Membership {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka consumer");
    }
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;
    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        Ok(self.tokens.issue()?)
    }
}

impl ConsumerContext for Membership {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, error: RDKafkaRespErr, list: &mut TopicPartitionList) {
        *self.changed.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        match error {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(consumer, list),
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => self.revoke(consumer, list),
            other => {
                tracing::warn!(error = ?other, "rebalance failed; rejoining the group");
                native::rebalance(consumer.client().native_ptr(), list, false, self.is_cooperative);
            }
        }
    }
}
