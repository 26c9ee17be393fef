//! Where a member starts to read each assigned partition, and what can no longer be read.
//!
//! Nothing is left to `auto.offset.reset`: failing to read a committed offset is an error and retried; an
//! offset outside the log, or of a topic that was deleted and recreated, becomes a [`LostRange`] and the
//! partition is read from its first offset. Storing a record again changes nothing.

use super::client::{KafkaTopics, Quiet, RESPONSE_TIMEOUT};
use super::native::{self, NO_EPOCH};
use ports::batch::Partition;
use ports::cancel::Backoff;
use ports::metrics::{METRICS, Port};
use ports::topic::{LossCause, LostRange};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How long a committed offset may be beyond the end before it counts as out of range: a new leader's end
/// lags briefly.
const SETTLE: Duration = Duration::from_secs(3);

/// Metadata of a commit: the topic's id.
fn id_of(metadata: &str) -> Option<&str> {
    metadata.strip_prefix("topic-id=").filter(|id| !id.is_empty())
}

/// Start of the metadata that holds the ids of all topics. Kafka deletes a topic's committed offsets with it: so the group
/// also commits the ids, at a partition that it does not read.
const ALL_IDS: &str = "topic-ids=";

/// Ids of topics, by name, as [`Positions::ids_to_commit`] writes them.
fn all_ids(metadata: &str) -> BTreeMap<&str, &str> {
    let pairs = metadata.strip_prefix(ALL_IDS).unwrap_or_default().split(',');
    pairs.filter_map(|pair| pair.split_once('=')).collect()
}

/// Tracks the positions of one member.
pub(super) struct Positions {
    /// Client for topic queries; the member's own connections are busy with long polls.
    query_client: BaseConsumer<Quiet>,
    topics: KafkaTopics,
    names: Vec<String>,
    /// Ids of the topics at the time their partitions were assigned.
    ids: BTreeMap<String, String>,
    /// Whether the group has yet to commit them.
    ids_changed: bool,
    lost: Vec<LostRange>,
    checked: Instant,
    /// For each partition, the offset after the last message delivered and that message's leader epoch.
    pub(super) handed: FxHashMap<Partition, (i64, i32)>,
    /// Committed offsets at which partitions were resumed.
    resumed: FxHashMap<Partition, i64>,
    /// Topics and partitions whose positions were refused, until they are set again.
    refused: BTreeSet<(String, i32)>,
}

/// Start position of a partition.
struct Start {
    topic: String,
    number: i32,
    offset: i64,
    epoch: i32,
}

impl Positions {
    pub(super) fn new(query_client: BaseConsumer<Quiet>, topics: &KafkaTopics, names: &[String]) -> Self {
        Self {
            query_client,
            topics: topics.clone(),
            names: names.to_vec(),
            ids: BTreeMap::new(),
            ids_changed: false,
            lost: Vec::new(),
            checked: Instant::now(),
            handed: FxHashMap::default(),
            resumed: FxHashMap::default(),
            refused: BTreeSet::new(),
        }
    }

    /// The client for queries. It is used rarely: a new token that it has requested meanwhile is set first, for it cannot
    /// connect again with one that has expired.
    pub(super) fn query_client(&self) -> &BaseConsumer<Quiet> {
        // It is subscribed to nothing, so this returns no message; errors are those of the request that follows.
        while self.query_client.poll(Duration::ZERO).is_some() {}
        &self.query_client
    }

    /// Offsets in librdkafka's commit form: with the topic's id, and the leader epoch if known.
    pub(super) fn to_list(&self, offsets: &[(Partition, i64)]) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for (partition, next) in offsets {
            let name = &self.names[partition.topic as usize];
            let mut element = list.add_partition(name, partition.number);
            // Refused only for special negative offsets, which are never counted here.
            let _ = element.set_offset(Offset::Offset(*next));
            if let Some(id) = self.ids.get(name) {
                element.set_metadata(format!("topic-id={id}"));
            }
            if let Some((handed, epoch)) = self.handed.get(partition)
                && handed == next
                && *epoch != NO_EPOCH
            {
                native::set_epoch(&list, name, partition.number, *epoch);
            }
        }
        list
    }

    /// The ids of the topics in librdkafka's commit form, if they have changed and every loss found was taken, which the
    /// caller records before it commits.
    pub(super) fn ids_to_commit(&mut self) -> Option<TopicPartitionList> {
        if !self.ids_changed || !self.lost.is_empty() || self.ids.is_empty() {
            return None;
        }
        self.ids_changed = false;
        let pairs: Vec<String> = self.ids.iter().map(|(name, id)| format!("{name}={id}")).collect();
        let mut list = TopicPartitionList::with_capacity(1);
        let mut element = list.add_partition(&self.topics.positions, 0);
        // Refused only for special negative offsets.
        let _ = element.set_offset(Offset::Offset(0));
        element.set_metadata(format!("{ALL_IDS}{}", pairs.join(",")));
        Some(list)
    }

    /// Returns the losses found since the last call.
    pub(super) fn take_lost(&mut self) -> Vec<LostRange> {
        std::mem::take(&mut self.lost)
    }

    /// Replaces the offsets of newly assigned partitions with those to resume at. Retries until a broker
    /// responds or the program is cancelled.
    pub(super) fn resolve<C: ConsumerContext>(
        &mut self,
        consumer: &BaseConsumer<C>,
        list: &mut TopicPartitionList,
    ) {
        let mut backoff = Backoff::default();
        let starts = loop {
            match self.starts(consumer, list) {
                Ok(starts) => break starts,
                Err(reason) => {
                    METRICS.retried(Port::Topic);
                    tracing::warn!(
                        "committed offsets cannot be read from {}: {reason}; retrying",
                        self.topics.brokers
                    );
                    if self.topics.stop.sleep(backoff.wait()) {
                        return;
                    }
                }
            }
        };
        for start in starts {
            // Refused only for negative offsets, which are never computed here.
            let _ = list.set_partition_offset(&start.topic, start.number, Offset::Offset(start.offset));
            if start.epoch != NO_EPOCH {
                native::set_epoch(list, &start.topic, start.number, start.epoch);
            }
        }
    }

    fn starts<C: ConsumerContext>(
        &mut self,
        consumer: &BaseConsumer<C>,
        list: &TopicPartitionList,
    ) -> Result<Vec<Start>, String> {
        let mut wanted = list.clone();
        wanted.add_partition(&self.topics.positions, 0);
        let committed =
            consumer.committed_offsets(wanted, RESPONSE_TIMEOUT).map_err(|error| error.to_string())?;
        // Without the right to read that topic, only the offsets' own metadata is known.
        let all = committed.find_partition(&self.topics.positions, 0);
        let all = all.as_ref().map(|element| all_ids(element.metadata())).unwrap_or_default();
        self.ids =
            native::topic_ids(self.query_client().client().native_ptr(), &self.names, RESPONSE_TIMEOUT)?;
        let (mut starts, mut lost) = (Vec::new(), Vec::new());
        for element in committed.elements() {
            let (topic, number) = (element.topic(), element.partition());
            if topic == self.topics.positions {
                continue;
            }
            element.error().map_err(|error| error.to_string())?;
            let (mut low, mut high) = self.range(topic, number)?;
            let Some(partition) = self.partition(topic, number) else { continue };
            let next = if let Offset::Offset(next) = element.offset() { Some(next) } else { None };
            let id = id_of(element.metadata()).or_else(|| all.get(topic).copied());
            let recreated = id.is_some_and(|id| self.ids.get(topic).is_some_and(|now| now != id));
            let since = Instant::now();
            while !recreated && next.is_some_and(|next| next > high) && since.elapsed() < SETTLE {
                std::thread::sleep(Duration::from_millis(200));
                (low, high) = self.range(topic, number)?;
            }
            let found = |from, to, cause| LostRange { partition, from, to, resume: low, cause };
            let loss = match next {
                next if recreated => Some(found(next.unwrap_or(0), None, LossCause::Recreated)),
                Some(next) if next > high => Some(found(next, None, LossCause::BeyondEnd)),
                Some(next) if next < low => Some(found(next, Some(low), LossCause::Retention)),
                None if low > 0 => Some(found(0, Some(low), LossCause::Retention)),
                _ => None,
            };
            let resumes = next.filter(|_| loss.is_none());
            starts.push(Start {
                topic: topic.to_owned(),
                number,
                offset: resumes.unwrap_or(low),
                epoch: if resumes.is_some() { native::epoch(&committed, topic, number) } else { NO_EPOCH },
            });
            // What was known of an earlier assignment.
            self.handed.remove(&partition);
            self.resumed.remove(&partition);
            self.refused.remove(&(topic.to_owned(), number));
            if let Some(next) = resumes {
                self.resumed.insert(partition, next);
            }
            lost.extend(loss);
        }
        let current: BTreeMap<&str, &str> =
            self.ids.iter().map(|(name, id)| (name.as_str(), id.as_str())).collect();
        self.ids_changed |= all != current;
        self.lost.extend(lost);
        Ok(starts)
    }

    fn partition(&self, topic: &str, number: i32) -> Option<Partition> {
        let index = self.names.iter().position(|name| name == topic)?;
        Some(Partition { topic: index as u16, number })
    }

    fn range(&self, topic: &str, number: i32) -> Result<(i64, i64), String> {
        self.query_client()
            .fetch_watermarks(topic, number, RESPONSE_TIMEOUT)
            .map_err(|error| error.to_string())
    }

    /// Checks once a second whether a topic was recreated, and at once the positions that were `refused`: they are out of range,
    /// or of a log that was replaced. Such partitions are read from their first offset, to which `restart` sets them.
    pub(super) fn check<C: ConsumerContext>(
        &mut self,
        consumer: &BaseConsumer<C>,
        refused: Vec<(String, i32)>,
        restart: &dyn Fn(&str, i32, i64) -> KafkaResult<()>,
    ) -> Result<(), String> {
        let is_new = !refused.is_empty();
        self.refused.extend(refused);
        if !is_new && self.checked.elapsed() < Duration::from_secs(1) {
            return Ok(());
        }
        self.checked = Instant::now();
        let positions = consumer.position().map_err(|error| error.to_string())?;
        let ids =
            native::topic_ids(self.query_client().client().native_ptr(), &self.names, RESPONSE_TIMEOUT)?;
        for element in positions.elements() {
            let (topic, number) = (element.topic(), element.partition());
            let Some(partition) = self.partition(topic, number) else { continue };
            let recreated = match (self.ids.get(topic), ids.get(topic)) {
                (Some(was), Some(now)) => was != now,
                _ => false,
            };
            let is_refused = self.refused.contains(&(topic.to_owned(), number));
            if !recreated && !is_refused {
                continue;
            }
            let (low, high) = self.range(topic, number)?;
            let handed = self.handed.get(&partition).map(|(next, _)| *next);
            // An error also moves librdkafka's own position.
            let own = || if let Offset::Offset(next) = element.offset() { Some(next) } else { None };
            let next = handed.or_else(|| self.resumed.get(&partition).copied()).or_else(own);
            let (from, to, cause) = match next {
                _ if recreated => (next.unwrap_or(0), None, LossCause::Recreated),
                Some(next) if next < low => (next, Some(low), LossCause::Retention),
                Some(next) if next > high => (next, None, LossCause::BeyondEnd),
                // Within the log, but not of this log: the leader epoch is another.
                Some(next) => (next, None, LossCause::Truncated),
                None => (0, Some(low), LossCause::Retention),
            };
            restart(topic, number, low).map_err(|error| format!("seek {topic}/{number}: {error}"))?;
            self.handed.remove(&partition);
            self.refused.remove(&(topic.to_owned(), number));
            self.lost.push(LostRange { partition, from, to, resume: low, cause });
        }
        for (topic, id) in ids {
            self.ids_changed |= self.ids.get(&topic) != Some(&id);
            self.ids.insert(topic, id);
        }
        Ok(())
    }
}
