//! The reading side on Kafka.

use super::closing::Closing;
use super::membership::Membership;
use super::positions::Positions;
use super::queue::{Failure, Queue};
use super::{KafkaTopics, RESPONSE_TIMEOUT, explain};
use ports::batch::Partition;
use ports::topic::{Consumer, Fetched, LostRange, OnRevoke, Topics};
use ports::{Error, Result};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// How long revoking partitions may take before the member just closes.
const LEAVE: Duration = Duration::from_secs(5);
/// How often a reader without a group looks for added partitions.
const LOOK: Duration = Duration::from_secs(10);
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

pub(super) struct Borrowed<'a> {
    pub(super) message: &'a BorrowedMessage<'a>,
    pub(super) partition: Partition,
}

impl Fetched for Borrowed<'_> {
    fn partition(&self) -> Partition {
        self.partition
    }
    fn offset(&self) -> i64 {
        self.message.offset()
    }
    fn stamp_ms(&self) -> i64 {
        self.message.timestamp().to_millis().unwrap_or(0)
    }
    fn key(&self) -> &[u8] {
        self.message.key().unwrap_or_default()
    }
    fn payload(&self) -> &[u8] {
        self.message.payload().unwrap_or_default()
    }
    fn headers(&self, f: &mut dyn FnMut(&str, &[u8])) {
        for header in self.message.headers().into_iter().flat_map(Headers::iter) {
            f(header.key, header.value.unwrap_or_default());
        }
    }
}

pub(super) struct KafkaConsumer {
    /// Declared before the consumer, so that it is dropped first.
    queue: Queue,
    /// Whether the member belongs to a group without a fixed name: a static member keeps its partitions
    /// across its restart.
    leaves: bool,
    consumer: Closing,
    topics: KafkaTopics,
    names: Vec<String>,
    partitions: Vec<i32>,
    /// Number of rebalances when partitions were last found to have been added.
    grown_at: Option<u64>,
    grouped: bool,
    /// After how long without a heartbeat the group removes a member.
    session_timeout: Duration,
    /// Since when this member has been at the end of the partitions that it owns.
    at_end_since: Option<Instant>,
    /// When a reader without a group last looked for added partitions.
    looked: Instant,
    reported: Cell<Option<Instant>>,
}

impl KafkaConsumer {
    pub(super) fn new(topics: &KafkaTopics, group: &str, names: &[String]) -> Result<Self> {
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
        let query_client: BaseConsumer<super::Quiet> =
            query_config.create_with_context(topics.quiet()).map_err(topics.refused("open a client"))?;
        topics.tokens.authorize(query_client.client().native_ptr())?;
        let positions = Positions::new(query_client, topics, names);
        let consumer: BaseConsumer<Membership> = config
            .create_with_context(Membership::new(is_cooperative, names, positions, topics.tokens.clone()))
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
        Ok(Self {
            queue,
            leaves,
            consumer: Closing::new(consumer),
            topics: topics.clone(),
            names: names.to_vec(),
            partitions,
            grown_at: None,
            grouped: !group.is_empty(),
            session_timeout,
            at_end_since: None,
            looked: Instant::now(),
            reported: Cell::new(None),
        })
    }

    /// Most poll errors only report an unreachable broker: they are logged now and then, and waited out.
    fn poll_error(&self, topic: &str, error: &KafkaError) -> Result<()> {
        let place = format!("fetch {topic} from {}", self.topics.describe()).replace("  ", " ");
        self.report(explain(&place, error))
    }

    fn report(&self, error: Error) -> Result<()> {
        if !error.retryable() {
            return Err(error);
        }
        let reported = self.reported.get();
        if reported.is_none_or(|reported| reported.elapsed() > Duration::from_secs(10)) {
            tracing::warn!("{error}; waiting");
            self.reported.set(Some(Instant::now()));
        }
        Ok(())
    }
}

impl Drop for KafkaConsumer {
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

impl Consumer for KafkaConsumer {
    fn topics(&self) -> &[String] {
        &self.names
    }

    fn fetch(&mut self, max: usize, wait: Duration, sink: &mut dyn FnMut(&dyn Fetched)) -> Result<usize> {
        if !self.grouped && self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            if let Err(error) = self.read_added_partitions() {
                tracing::debug!("{error}; looking for added partitions again later");
            }
        }
        // The group's events first: they are rare and handled within this call.
        let mut bypassed = 0;
        while let Some(event) = self.consumer.poll(Duration::ZERO) {
            match event {
                // Messages fetched before their partition was forwarded.
                Ok(message) => {
                    let place = self.names.iter().position(|n| n == message.topic()).unwrap_or(0) as u16;
                    let partition = Partition { topic: place, number: message.partition() };
                    let end = (message.offset() + 1, super::native::NO_EPOCH);
                    self.consumer.context().positions().handed.insert(partition, end);
                    sink(&Borrowed { message: &message, partition });
                    bypassed += 1;
                }
                Err(error) => self.poll_error("", &error)?,
            }
        }
        if bypassed > 0 {
            self.at_end_since = None;
            tracing::debug!(bypassed, "messages that bypassed the queue");
            return Ok(bypassed);
        }
        let wait = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        let mut handed = std::mem::take(&mut self.consumer.context().positions().handed);
        let (got, failed) = self.queue.take(max, wait, &self.names, &mut handed, sink);
        if got > 0 {
            self.at_end_since = None;
        }
        let mut positions = self.consumer.context().positions();
        positions.handed = handed;
        let (mut refused, mut other) = (Vec::new(), None);
        for Failure { code, topic, number } in failed {
            let code = RDKafkaErrorCode::from(code);
            match code {
                RDKafkaErrorCode::AutoOffsetReset
                | RDKafkaErrorCode::OffsetOutOfRange
                | RDKafkaErrorCode::LogTruncation => refused.push((topic, number)),
                _ => other = Some((topic, code)),
            }
        }
        let consumer = &self.consumer;
        let restart = |topic: &str, number: i32, offset: i64| {
            consumer.context().restart(consumer, topic, number, offset)
        };
        if self.grouped
            && let Err(reason) = positions.check(consumer, refused, &restart)
        {
            tracing::debug!(reason, "positions could not be checked; retrying");
        }
        drop(positions);
        if let Some((topic, code)) = other {
            self.poll_error(&topic, &KafkaError::MessageConsumption(code))?;
        }
        Ok(got)
    }

    fn commit(&mut self, offsets: &[(Partition, i64)], wait: bool) -> Result<()> {
        if offsets.is_empty() {
            return Ok(());
        }
        self.consumer.context().commit_ids(&self.consumer);
        let mode = if wait { CommitMode::Sync } else { CommitMode::Async };
        let list = self.past_markers(offsets);
        let list = self.consumer.context().positions().to_list(&list);
        self.consumer.commit(&list, mode).map_err(self.topics.refused("commit offsets"))
    }

    fn pause(&mut self, paused: bool) -> Result<()> {
        self.consumer.context().paused.store(paused, Ordering::SeqCst);
        let assigned = self.consumer.assignment().map_err(self.topics.refused("request the assignment"))?;
        let done = if paused { self.consumer.pause(&assigned) } else { self.consumer.resume(&assigned) };
        done.map_err(self.topics.refused("pause or resume"))
    }

    fn on_revoke(&mut self, hook: OnRevoke) {
        *self.consumer.context().on_revoke.lock().unwrap_or_else(PoisonError::into_inner) = hook;
    }

    fn lost(&mut self) -> Vec<LostRange> {
        self.consumer.context().positions().take_lost()
    }

    fn assignments(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.consumer.context().assignments)
    }

    fn partition_counts(&mut self) -> Result<Vec<i32>> {
        self.topics.partitions(self.consumer.client(), &self.names)
    }

    fn lag(&mut self) -> Result<u64> {
        self.look_for_partitions()?;
        let mut list = TopicPartitionList::new();
        for (name, count) in self.names.iter().zip(&self.partitions) {
            list.add_partition_range(name, 0, count - 1);
        }
        let committed = self
            .consumer
            .committed_offsets(list, RESPONSE_TIMEOUT)
            .map_err(self.topics.refused("request committed offsets"))?;
        let mut lag = 0;
        for element in committed.elements() {
            element.error().map_err(self.topics.refused("request committed offsets"))?;
            let next = if let Offset::Offset(next) = element.offset() { Some(next) } else { None };
            lag += self.after(element.topic(), element.partition(), next)?;
        }
        Ok(lag)
    }

    fn ahead(&mut self, next: &dyn Fn(Partition) -> Option<i64>) -> Result<Option<u64>> {
        if self.look_for_partitions()? {
            return Ok(None);
        }
        let assigned = self.consumer.assignment().map_err(self.topics.refused("request the assignment"))?;
        if assigned.count() == 0 {
            return Ok(None);
        }
        let committed = self
            .consumer
            .committed_offsets(assigned, RESPONSE_TIMEOUT)
            .map_err(self.topics.refused("request committed offsets"))?;
        let mut ahead = 0;
        for element in committed.elements() {
            element.error().map_err(self.topics.refused("request committed offsets"))?;
            let index = self.names.iter().position(|name| name == element.topic()).unwrap_or(0) as u16;
            let partition = Partition { topic: index, number: element.partition() };
            let committed = if let Offset::Offset(next) = element.offset() { Some(next) } else { None };
            ahead += self.after(element.topic(), element.partition(), next(partition).or(committed))?;
        }
        Ok(Some(ahead))
    }

    /// A killed member may still hold partitions. It can even be assigned some, if it was killed while it joined. The group
    /// removes it after its session timeout and assigns them to another member, which learns of it with its next heartbeat.
    fn is_settled(&mut self) -> Result<bool> {
        let assigned = self.consumer.assignment().map_err(self.topics.refused("request the assignment"))?;
        let all: i32 = self.partitions.iter().sum();
        if !self.grouped || assigned.count() as i32 >= all {
            return Ok(true);
        }
        let since = *self.at_end_since.get_or_insert_with(Instant::now);
        Ok(since.elapsed().min(self.consumer.context().unchanged()) > self.session_timeout * 3 / 2)
    }
}

impl KafkaConsumer {
    /// Detects added partitions. Returns true while some have not been assigned by the group yet.
    fn look_for_partitions(&mut self) -> Result<bool> {
        // A full metadata request by the member's own client also makes it rejoin when partitions were added.
        let counts = self.topics.partitions(self.consumer.client(), &self.names)?;
        let assignments = self.consumer.context().assignments.load(Ordering::SeqCst);
        if counts != self.partitions {
            tracing::warn!(before = ?self.partitions, now = ?counts, "partitions were added; waiting for their assignment");
            self.partitions = counts;
            self.grown_at = Some(assignments);
        }
        if self.grouped && self.grown_at == Some(assignments) {
            return Ok(true);
        }
        self.grown_at = None;
        Ok(false)
    }

    /// Reads added partitions from their beginning: no group assigns them to this reader.
    fn read_added_partitions(&mut self) -> Result<()> {
        let counts = self.topics.partitions(self.consumer.client(), &self.names)?;
        let mut added = TopicPartitionList::new();
        for ((name, before), now) in self.names.iter().zip(&self.partitions).zip(&counts) {
            for number in *before..*now {
                added
                    .add_partition_offset(name, number, Offset::Beginning)
                    .map_err(self.topics.refused("read added partitions"))?;
                self.queue.address().forward(self.consumer.client().native_ptr(), name, number);
            }
        }
        if added.count() > 0 {
            tracing::info!(partitions = added.count(), "reading partitions that were added");
            self.consumer.incremental_assign(&added).map_err(self.topics.refused("read added partitions"))?;
        }
        self.partitions = counts;
        Ok(())
    }

    /// Position in a partition this member owns; it also advances over transaction markers.
    fn position(&self, topic: &str, number: i32) -> Option<i64> {
        let positions = self.consumer.position().ok()?;
        match positions.find_partition(topic, number)?.offset() {
            Offset::Offset(next) => Some(next),
            _ => None,
        }
    }

    /// Offsets advanced over the transaction markers that follow the last message delivered.
    fn past_markers(&self, offsets: &[(Partition, i64)]) -> Vec<(Partition, i64)> {
        let Ok(positions) = self.consumer.position() else { return offsets.to_vec() };
        let moved = self.consumer.context().positions();
        let past = |(partition, next): &(Partition, i64)| {
            let name = &self.names[partition.topic as usize];
            let last = moved.handed.get(partition).is_some_and(|(handed, _)| handed == next);
            let position = positions.find_partition(name, partition.number).map(|e| e.offset());
            match position {
                Some(Offset::Offset(position)) if last => (*partition, position.max(*next)),
                _ => (*partition, *next),
            }
        };
        offsets.iter().map(past).collect()
    }

    /// Number of messages of a partition from `next`, or from its beginning.
    fn after(&self, topic: &str, number: i32, next: Option<i64>) -> Result<u64> {
        let index = self.names.iter().position(|name| name == topic).unwrap_or(0) as u16;
        let partition = Partition { topic: index, number };
        let positions = self.consumer.context().positions();
        let (low, high) = positions
            .query_client()
            .fetch_watermarks(topic, number, RESPONSE_TIMEOUT)
            .map_err(self.topics.refused("request the end of a partition"))?;
        let mut next = next.unwrap_or(low).max(low);
        // Everything delivered is accounted for: the offsets between there and the position are markers.
        if positions.handed.get(&partition).is_none_or(|(handed, _)| next >= *handed) {
            next = next.max(self.position(topic, number).unwrap_or(next));
        }
        Ok(u64::try_from(high - next).unwrap_or(0))
    }
}

impl ConsumerContext for super::Quiet {}
