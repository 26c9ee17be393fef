//! The reading side on Kafka.

use super::cause::explain;
use super::client::{KafkaTopics, Quiet, RESPONSE_TIMEOUT};
use super::member::Member;
use super::queue::Failure;
use ports::batch::Partition;
use ports::topic::{Consumer, Fetched, LostRange, OnRevoke, Topics};
use ports::{Error, Result};
use rdkafka::consumer::{CommitMode, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// How often a reader without a group looks for added partitions.
const LOOK: Duration = Duration::from_secs(10);
/// How often a member may join again within [`RECENTLY`] after it was given up; another consumer has its name then.
const REJOIN: usize = 3;
const RECENTLY: Duration = Duration::from_secs(600);

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
    member: Member,
    topics: KafkaTopics,
    names: Vec<String>,
    /// Empty for a reader without a group.
    group: String,
    /// Number of rebalances when partitions were last found to have been added.
    grown_at: Option<u64>,
    /// Since when this member has been at the end of the partitions that it owns.
    at_end_since: Option<Instant>,
    /// When a reader without a group last looked for added partitions.
    looked: Instant,
    reported: Cell<Option<Instant>>,
    /// librdkafka has given up its membership.
    given_up: bool,
    /// When it joined again after that.
    rejoined: Vec<Instant>,
    /// Ranges lost to a client that was replaced.
    lost: Vec<LostRange>,
}

impl KafkaConsumer {
    pub(super) fn new(topics: &KafkaTopics, group: &str, names: &[String]) -> Result<Self> {
        Ok(Self {
            member: Member::join(topics, group, names, Arc::default())?,
            topics: topics.clone(),
            names: names.to_vec(),
            group: group.to_owned(),
            grown_at: None,
            at_end_since: None,
            looked: Instant::now(),
            reported: Cell::new(None),
            given_up: false,
            rejoined: Vec::new(),
            lost: Vec::new(),
        })
    }

    /// Most poll errors only report an unreachable broker: they are logged now and then, and waited out.
    fn poll_error(&self, topic: &str, error: &KafkaError) -> Result<()> {
        let place = format!("fetch {topic} from {}", self.topics.describe()).replace("  ", " ");
        self.report(explain(&place, error))
    }

    /// Joins the group again with a new client. A member with a fixed name is given up if the group sees it twice: also when a
    /// broker that restarts answers a request to join only after its timeout, so that the next one seems to come from another
    /// member.
    fn rejoin(&mut self) -> Result<()> {
        let instance = self.member.instance.clone().unwrap_or_default();
        self.rejoined.retain(|at| at.elapsed() < RECENTLY);
        if self.rejoined.len() >= REJOIN {
            return Err(Error::user(format!(
                "another consumer of group {} uses the instance `{instance}` too: each one takes the place of the other",
                self.group
            ))
            .hint("give each consumer a name of its own (topic.kafka.instance, --instance), or none"));
        }
        let assignments = self.assignments();
        let member = match Member::join(&self.topics, &self.group, &self.names, assignments) {
            Ok(member) => member,
            Err(error) => return self.report(error),
        };
        tracing::warn!("the group saw the instance `{instance}` twice and removed it; joined again");
        let context = self.member.consumer.context();
        context.give_up();
        let hook = std::mem::replace(
            &mut *context.on_revoke.lock().unwrap_or_else(PoisonError::into_inner),
            Box::new(|_| Vec::new()),
        );
        *member.consumer.context().on_revoke.lock().unwrap_or_else(PoisonError::into_inner) = hook;
        member.consumer.context().paused.store(context.paused.load(Ordering::SeqCst), Ordering::SeqCst);
        self.lost.extend(context.positions().take_lost());
        self.member = member;
        self.rejoined.push(Instant::now());
        self.given_up = false;
        Ok(())
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

impl Consumer for KafkaConsumer {
    fn topics(&self) -> &[String] {
        &self.names
    }

    fn fetch(&mut self, max: usize, wait: Duration, sink: &mut dyn FnMut(&dyn Fetched)) -> Result<usize> {
        if self.given_up {
            self.rejoin()?;
        }
        if self.group.is_empty() && self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            if let Err(error) = self.read_added_partitions() {
                tracing::debug!("{error}; looking for added partitions again later");
            }
        }
        // The group's events first: they are rare and handled within this call.
        let mut bypassed = 0;
        while let Some(event) = self.member.consumer.poll(Duration::ZERO) {
            match event {
                // Messages fetched before their partition was forwarded.
                Ok(message) => {
                    let place = self.names.iter().position(|n| n == message.topic()).unwrap_or(0) as u16;
                    let partition = Partition { topic: place, number: message.partition() };
                    let end = (message.offset() + 1, super::native::NO_EPOCH);
                    self.member.consumer.context().positions().handed.insert(partition, end);
                    sink(&Borrowed { message: &message, partition });
                    bypassed += 1;
                }
                Err(KafkaError::MessageConsumptionFatal(_)) => self.given_up = true,
                Err(error) => self.poll_error("", &error)?,
            }
        }
        if self.given_up {
            return Ok(bypassed);
        }
        if bypassed > 0 {
            self.at_end_since = None;
            tracing::debug!(bypassed, "messages that bypassed the queue");
            return Ok(bypassed);
        }
        let wait = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        let mut handed = std::mem::take(&mut self.member.consumer.context().positions().handed);
        let (got, failed) = self.member.queue.take(max, wait, &self.names, &mut handed, sink);
        if got > 0 {
            self.at_end_since = None;
        }
        let mut positions = self.member.consumer.context().positions();
        positions.handed = handed;
        let (mut refused, mut other) = (Vec::new(), None);
        for Failure { code, topic, number } in failed {
            let code = RDKafkaErrorCode::from(code);
            match code {
                RDKafkaErrorCode::AutoOffsetReset
                | RDKafkaErrorCode::OffsetOutOfRange
                | RDKafkaErrorCode::LogTruncation => refused.push((topic, number)),
                RDKafkaErrorCode::Fatal => self.given_up = true,
                _ => other = Some((topic, code)),
            }
        }
        let consumer = &self.member.consumer;
        let restart = |topic: &str, number: i32, offset: i64| {
            consumer.context().restart(consumer, topic, number, offset)
        };
        if !self.group.is_empty()
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
        self.member.consumer.context().commit_ids(&self.member.consumer);
        let mode = if wait { CommitMode::Sync } else { CommitMode::Async };
        let list = self.past_markers(offsets);
        let list = self.member.consumer.context().positions().to_list(&list);
        self.member.consumer.commit(&list, mode).map_err(self.topics.refused("commit offsets"))
    }

    fn pause(&mut self, paused: bool) -> Result<()> {
        self.member.consumer.context().paused.store(paused, Ordering::SeqCst);
        let assigned =
            self.member.consumer.assignment().map_err(self.topics.refused("request the assignment"))?;
        let done = if paused {
            self.member.consumer.pause(&assigned)
        } else {
            self.member.consumer.resume(&assigned)
        };
        done.map_err(self.topics.refused("pause or resume"))
    }

    fn on_revoke(&mut self, hook: OnRevoke) {
        *self.member.consumer.context().on_revoke.lock().unwrap_or_else(PoisonError::into_inner) = hook;
    }

    fn lost(&mut self) -> Vec<LostRange> {
        let mut lost = std::mem::take(&mut self.lost);
        lost.extend(self.member.consumer.context().positions().take_lost());
        lost
    }

    fn assignments(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.member.consumer.context().assignments)
    }

    fn partition_counts(&mut self) -> Result<Vec<i32>> {
        self.topics.partitions(self.member.consumer.client(), &self.names)
    }

    fn lag(&mut self) -> Result<u64> {
        self.look_for_partitions()?;
        let mut list = TopicPartitionList::new();
        for (name, count) in self.names.iter().zip(&self.member.partitions) {
            list.add_partition_range(name, 0, count - 1);
        }
        let committed = self
            .member
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
        let assigned =
            self.member.consumer.assignment().map_err(self.topics.refused("request the assignment"))?;
        if assigned.count() == 0 {
            return Ok(None);
        }
        let committed = self
            .member
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
        let assigned =
            self.member.consumer.assignment().map_err(self.topics.refused("request the assignment"))?;
        let all: i32 = self.member.partitions.iter().sum();
        if self.group.is_empty() || assigned.count() as i32 >= all {
            return Ok(true);
        }
        let since = *self.at_end_since.get_or_insert_with(Instant::now);
        Ok(since.elapsed().min(self.member.consumer.context().unchanged())
            > self.member.session_timeout * 3 / 2)
    }
}

impl KafkaConsumer {
    /// Detects added partitions. Returns true while some have not been assigned by the group yet.
    fn look_for_partitions(&mut self) -> Result<bool> {
        // A full metadata request by the member's own client also makes it rejoin when partitions were added.
        let counts = self.topics.partitions(self.member.consumer.client(), &self.names)?;
        let assignments = self.member.consumer.context().assignments.load(Ordering::SeqCst);
        if counts != self.member.partitions {
            tracing::warn!(before = ?self.member.partitions, now = ?counts, "partitions were added; waiting for their assignment");
            self.member.partitions = counts;
            self.grown_at = Some(assignments);
        }
        if !self.group.is_empty() && self.grown_at == Some(assignments) {
            return Ok(true);
        }
        self.grown_at = None;
        Ok(false)
    }

    /// Reads added partitions from their beginning: no group assigns them to this reader.
    fn read_added_partitions(&mut self) -> Result<()> {
        let counts = self.topics.partitions(self.member.consumer.client(), &self.names)?;
        let mut added = TopicPartitionList::new();
        for ((name, before), now) in self.names.iter().zip(&self.member.partitions).zip(&counts) {
            for number in *before..*now {
                added
                    .add_partition_offset(name, number, Offset::Beginning)
                    .map_err(self.topics.refused("read added partitions"))?;
                self.member.queue.address().forward(self.member.consumer.client().native_ptr(), name, number);
            }
        }
        if added.count() > 0 {
            tracing::info!(partitions = added.count(), "reading partitions that were added");
            self.member
                .consumer
                .incremental_assign(&added)
                .map_err(self.topics.refused("read added partitions"))?;
        }
        self.member.partitions = counts;
        Ok(())
    }

    /// Position in a partition this member owns; it also advances over transaction markers.
    fn position(&self, topic: &str, number: i32) -> Option<i64> {
        let positions = self.member.consumer.position().ok()?;
        match positions.find_partition(topic, number)?.offset() {
            Offset::Offset(next) => Some(next),
            _ => None,
        }
    }

    /// Offsets advanced over the transaction markers that follow the last message delivered.
    fn past_markers(&self, offsets: &[(Partition, i64)]) -> Vec<(Partition, i64)> {
        let Ok(positions) = self.member.consumer.position() else { return offsets.to_vec() };
        let moved = self.member.consumer.context().positions();
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
        let positions = self.member.consumer.context().positions();
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

impl ConsumerContext for Quiet {}
