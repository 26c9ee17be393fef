//! The topic port: keyed append, consumer groups, offsets, replay.
//!
//! A message's key determines its partition, and order is preserved within a partition, so all records of a
//! symbol stay in order. Calls are blocking; each side is driven by one thread.

use crate::Error;
use crate::Result;
use crate::batch::Partition;
use crate::check::Chain;
use crate::clock;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// How far a source has been read: names and positions, saved on the topic.
pub type Positions = BTreeMap<String, Vec<u8>>;

/// A message to append.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// The topic's full name.
    pub topic: &'a str,
    /// Key that determines the partition: the symbol.
    pub key: &'a str,
    /// Header names and values.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// Message value.
    pub payload: &'a [u8],
    /// The message timestamp, milliseconds since 1970.
    pub stamp_ms: i64,
}

/// Appends a message of Tapeline's own as JSON, with the current time as its timestamp.
pub fn send_json(
    producer: &mut dyn Producer,
    topic: &str,
    key: &str,
    kind: &str,
    what: &impl serde::Serialize,
) -> Result<()> {
    let payload = serde_json::to_vec(what)
        .map_err(|error| Error::internal(format!("encode a {kind} as JSON: {error}")))?;
    let (headers, stamp_ms) = ([("kind", kind.as_bytes())], clock::now().millis());
    producer.send(&Message { topic, key, headers: &headers, payload: &payload, stamp_ms })
}

/// A fetched message; valid only during the call that passes it.
pub trait Fetched {
    /// Partition of the message.
    fn partition(&self) -> Partition;
    /// Offset of the message.
    fn offset(&self) -> i64;
    /// Message timestamp, milliseconds since 1970.
    fn stamp_ms(&self) -> i64;
    /// Message key.
    fn key(&self) -> &[u8];
    /// Message value.
    fn payload(&self) -> &[u8];
    /// Calls `f` with each header.
    fn headers(&self, f: &mut dyn FnMut(&str, &[u8]));
    /// Why the payload could not be decoded from the format of the topic: it is then passed as it came.
    fn fault(&self) -> Option<&str> {
        None
    }
}

/// Where and when a message was appended, to tell which of two with one key is the later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageOrigin {
    partition: Partition,
    offset: i64,
    stamp_ms: i64,
}

impl MessageOrigin {
    /// Of a message.
    #[must_use]
    pub fn of(message: &dyn Fetched) -> Self {
        Self { partition: message.partition(), offset: message.offset(), stamp_ms: message.stamp_ms() }
    }

    /// By offset within a partition. A key is in two partitions only if partitions were added to its topic: then by time.
    #[must_use]
    pub fn is_later_than(self, other: Self) -> bool {
        if self.partition == other.partition {
            self.offset > other.offset
        } else {
            self.stamp_ms > other.stamp_ms
        }
    }
}

/// The appending side.
pub trait Producer: Send {
    /// Enqueues a message. Blocks while the bounded queue is full; does not wait for the acknowledgement.
    ///
    /// # Errors
    /// The message can never be appended (unknown topic, message too large). An unreachable server is waited
    /// for.
    fn send(&mut self, message: &Message<'_>) -> Result<()>;

    /// Called when the source has no more records for the moment: messages sent so far become visible soon.
    ///
    /// # Errors
    /// A permanent failure.
    fn rest(&mut self) -> Result<()>;

    /// Waits up to `deadline` until the topic has acknowledged everything sent. Returns the number of
    /// unacknowledged messages.
    ///
    /// # Errors
    /// A permanent failure.
    fn flush(&mut self, deadline: Duration) -> Result<usize>;

    /// Saves how far sources have been read, by their names, after everything sent before is durable.
    ///
    /// # Errors
    /// As [`Producer::flush`].
    fn save_positions(&mut self, positions: &Positions) -> Result<()>;

    /// All saved positions, by source name.
    ///
    /// # Errors
    /// The topic cannot be read.
    fn positions(&mut self) -> Result<Positions>;
}

/// Why a range of offsets can no longer be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossCause {
    /// The topic's retention, or DeleteRecords, removed it before it was read.
    Retention,
    /// The topic was deleted and created again under its name.
    Recreated,
    /// An unclean leader election cut the log off.
    Truncated,
    /// The group's offset is beyond the end of the log.
    BeyondEnd,
}

impl LossCause {
    /// Short description of the cause.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Retention => "deleted by retention before it was read",
            Self::Recreated => "the topic was deleted and recreated",
            Self::Truncated => "the log was truncated by an unclean leader election",
            Self::BeyondEnd => "the group's offset is beyond the end of the log",
        }
    }
}

/// A range of offsets that the group can never read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LostRange {
    /// Partition of the range.
    pub partition: Partition,
    /// First offset that was not read.
    pub from: i64,
    /// First offset after the range; `None` if unknown, as for a recreated topic.
    pub to: Option<i64>,
    /// Offset at which reading resumes.
    pub resume: i64,
    /// Cause of the loss.
    pub cause: LossCause,
}

impl LostRange {
    /// Number of offsets in the range, if known.
    #[must_use]
    pub fn count(&self) -> Option<u64> {
        self.to.map(|to| u64::try_from(to - self.from).unwrap_or(0))
    }

    /// One line for people: `tapeline.trades/3: offsets 0 to 3999 …`.
    #[must_use]
    pub fn describe(&self, topics: &[String]) -> String {
        let place = origin(topics, self.partition, 0);
        let place = place.trim_end_matches("@0");
        let range = match self.to {
            Some(to) => format!("offsets {} to {} ({} messages)", self.from, to - 1, to - self.from),
            None => format!("offsets from {}", self.from),
        };
        format!("{place}: {range} cannot be read: {}; resuming at {}", self.cause.describe(), self.resume)
    }
}

/// Called before partitions are revoked: drains what is in flight and returns the offsets to commit for them.
pub type OnRevoke = Box<dyn FnMut(&[Partition]) -> Vec<(Partition, i64)> + Send>;

/// The reading side: a member of a consumer group.
pub trait Consumer: Send {
    /// Topic names, in the order that [`Partition::topic`] indexes.
    fn topics(&self) -> &[String];

    /// Passes fetched messages to the sink, at most `max`, waiting up to `wait` for the first. Returns their
    /// number.
    ///
    /// # Errors
    /// A permanent failure. An unreachable server is waited for.
    fn fetch(&mut self, max: usize, wait: Duration, sink: &mut dyn FnMut(&dyn Fetched)) -> Result<usize>;

    /// Commits the next offsets. With `wait`, waits for the response.
    ///
    /// # Errors
    /// With `wait`, the commit was refused. A refused commit costs a replay, never a record.
    fn commit(&mut self, offsets: &[(Partition, i64)], wait: bool) -> Result<()>;

    /// Pauses or resumes fetching without leaving the group: [`Consumer::fetch`] must still be called.
    ///
    /// # Errors
    /// The group refused the request.
    fn pause(&mut self, paused: bool) -> Result<()>;

    /// Sets the callback invoked before partitions are revoked.
    fn on_revoke(&mut self, hook: OnRevoke);

    /// Counts how often partitions were assigned to this member. What another member saved about them may be newer than what
    /// was read before.
    fn assignments(&self) -> Arc<AtomicU64>;

    /// Current number of partitions of each topic, in the order of [`Consumer::topics`].
    ///
    /// # Errors
    /// The server did not respond.
    fn partition_counts(&mut self) -> Result<Vec<i32>>;

    /// Number of messages that the group has not committed yet, in all partitions of all topics, whoever owns
    /// them.
    ///
    /// # Errors
    /// The server did not respond.
    fn lag(&mut self) -> Result<u64>;

    /// Returns the ranges, found since the last call, that the group can never read. The caller records them
    /// before it commits anything beyond.
    fn lost(&mut self) -> Vec<LostRange> {
        Vec::new()
    }

    /// Number of messages at or after `next` in the partitions this member owns; if `next` has no entry,
    /// after the group's committed offset. `None` while the member owns no partition, or partitions that a member
    /// which was killed still holds may be assigned to it.
    ///
    /// # Errors
    /// The server did not respond.
    fn ahead(&mut self, next: &dyn Fn(Partition) -> Option<i64>) -> Result<Option<u64>>;

    /// Whether this member has read everything there is for it, by [`Consumer::ahead`], and nothing that a killed member
    /// left can still be assigned to it. A member without a partition, as there are more members than partitions, is at
    /// the end once the group has committed everything. `false` if the server did not respond.
    ///
    /// # Errors
    /// A permanent failure.
    fn is_at_end(&mut self, next: &dyn Fn(Partition) -> Option<i64>) -> Result<bool> {
        let end = match self.ahead(next) {
            Ok(None) => self.lag().map(|lag| lag == 0),
            Ok(Some(0)) => self.is_settled(),
            Ok(Some(_)) => Ok(false),
            Err(error) => Err(error),
        };
        match end {
            Err(error) if error.retryable() => Ok(false),
            end => end,
        }
    }

    /// Whether nothing that a killed member left can still be assigned to this member, which is at the end of what it owns.
    ///
    /// # Errors
    /// The server did not respond.
    fn is_settled(&mut self) -> Result<bool> {
        Ok(true)
    }
}

/// Specification of a topic to create.
#[derive(Debug, Clone)]
pub struct TopicSpec {
    /// Full name.
    pub name: String,
    /// Number of partitions.
    pub partitions: i32,
    /// Whether to keep only the newest message of each key.
    pub compact: bool,
}

/// How far a group is behind in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionLag {
    /// The topic's full name.
    pub topic: String,
    /// Number of the partition.
    pub partition: i32,
    /// Next offset of the group; `None` if it has committed none.
    pub committed: Option<i64>,
    /// First offset there is.
    pub start: i64,
    /// Offset after the last message.
    pub end: i64,
}

impl PartitionLag {
    /// Messages that the group has not committed.
    #[must_use]
    pub fn lag(&self) -> u64 {
        u64::try_from(self.end - self.committed.unwrap_or(self.start).max(self.start)).unwrap_or(0)
    }

    /// A line for people about all partitions.
    #[must_use]
    pub fn describe(group: &str, lag: &[Self]) -> String {
        let total: u64 = lag.iter().map(Self::lag).sum();
        if lag.iter().all(|partition| partition.committed.is_none()) {
            return format!("{group} has not committed anything yet, {total} messages wait");
        }
        match lag.iter().max_by_key(|partition| partition.lag()).filter(|worst| worst.lag() > 0) {
            None => format!("{group} has read everything"),
            Some(worst) => format!(
                "{group} is {total} messages behind, most in {}/{} ({})",
                worst.topic,
                worst.partition,
                worst.lag()
            ),
        }
    }
}

/// A topic engine.
pub trait Topics: Send + Sync {
    /// Creates missing topics; returns one line per topic on what was done.
    ///
    /// # Errors
    /// The server refused, or an existing topic has the wrong settings.
    fn init(&self, specs: &[TopicSpec]) -> Result<Vec<String>>;

    /// Opens the appending side.
    ///
    /// # Errors
    /// The settings are wrong or the server is unreachable.
    fn producer(&self) -> Result<Box<dyn Producer>>;

    /// Opens the reading side as a member of `group`, or without a group a reader of everything from the
    /// beginning that commits nothing.
    ///
    /// # Errors
    /// The settings are wrong, the server is unreachable, or a topic is missing.
    fn consumer(&self, group: &str, topics: &[String]) -> Result<Box<dyn Consumer>>;

    /// The partition, out of `partitions`, to which [`Topics::producer`] sends a key.
    fn partition_of(&self, key: &str, partitions: i32) -> i32;

    /// Reads the topics from their beginning to their current end.
    ///
    /// # Errors
    /// The server is unreachable or a topic is missing.
    fn read_all(&self, topics: &[String], sink: &mut dyn FnMut(&dyn Fetched)) -> Result<u64>;

    /// How far `group` is behind in each partition of the topics, whoever owns them. The group is not joined.
    ///
    /// # Errors
    /// The server is unreachable or a topic is missing.
    fn partition_lag(&self, group: &str, topics: &[String]) -> Result<Vec<PartitionLag>>;

    /// Checks everything that must hold, from the address to the group's lag, up to the first broken link. Changes
    /// nothing.
    fn check(&self, names: &Names, group: &str) -> Chain;

    /// Display name: `kafka://127.0.0.1:9092`.
    fn describe(&self) -> String;
}

/// Names of the topics under a prefix.
#[derive(Debug, Clone)]
pub struct Names {
    prefix: String,
}

impl Names {
    /// Under `prefix`.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    fn under(&self, what: &str) -> String {
        format!("{}.{what}", self.prefix)
    }

    /// `<prefix>.trades`, `<prefix>.quotes`, `<prefix>.readings`.
    #[must_use]
    pub fn records(&self, kind: market::Kind) -> String {
        self.under(kind.plural())
    }

    /// The topics of all kinds, in the order of [`market::Kind::ALL`].
    #[must_use]
    pub fn all_records(&self) -> Vec<String> {
        market::Kind::ALL.iter().map(|kind| self.records(*kind)).collect()
    }

    /// `<prefix>.dead-letters`.
    #[must_use]
    pub fn dead_letters(&self) -> String {
        self.under("dead-letters")
    }

    /// `<prefix>.positions`: how far each source has been read.
    #[must_use]
    pub fn positions(&self) -> String {
        self.under("positions")
    }

    /// `<prefix>.bars`: the newest revision of every bar.
    #[must_use]
    pub fn bars(&self) -> String {
        self.under("bars")
    }

    /// `<prefix>.vendor-bars`: vendors' own bars, the newest revision of each.
    #[must_use]
    pub fn vendor_bars(&self) -> String {
        self.under("vendor-bars")
    }

    /// `<prefix>.notices`: halts and price bands.
    #[must_use]
    pub fn notices(&self) -> String {
        self.under("notices")
    }

    /// `<prefix>.late`: records that arrived after their bars became final.
    #[must_use]
    pub fn late(&self) -> String {
        self.under("late")
    }

    /// `<prefix>.gaps`: the gap ledger, compacted.
    #[must_use]
    pub fn gaps(&self) -> String {
        self.under("gaps")
    }

    /// `<prefix>.forecasts`: forecasts, and again with their scores.
    #[must_use]
    pub fn forecasts(&self) -> String {
        self.under("forecasts")
    }

    /// Specifications of all of them.
    #[must_use]
    pub fn specs(&self, partitions: i32) -> Vec<TopicSpec> {
        let mut specs: Vec<TopicSpec> = self
            .all_records()
            .into_iter()
            .map(|name| TopicSpec { name, partitions, compact: false })
            .collect();
        specs.push(TopicSpec { name: self.bars(), partitions, compact: true });
        specs.push(TopicSpec { name: self.vendor_bars(), partitions: 1, compact: true });
        specs.push(TopicSpec { name: self.forecasts(), partitions, compact: false });
        specs.push(TopicSpec { name: self.notices(), partitions: 1, compact: false });
        specs.push(TopicSpec { name: self.late(), partitions: 1, compact: false });
        specs.push(TopicSpec { name: self.dead_letters(), partitions: 1, compact: false });
        specs.push(TopicSpec { name: self.gaps(), partitions: 1, compact: true });
        specs.push(TopicSpec { name: self.positions(), partitions: 1, compact: true });
        specs
    }
}

/// Displays the origin of a message: `tapeline.trades/3@42`.
#[must_use]
pub fn origin(topics: &[String], partition: Partition, offset: i64) -> String {
    let name = topics.get(partition.topic as usize).map_or("?", String::as_str);
    format!("{name}/{}@{offset}", partition.number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_of_two_messages_is_by_offset_within_a_partition_and_by_time_across() {
        let at = |number, offset, stamp_ms| MessageOrigin {
            partition: Partition { topic: 0, number },
            offset,
            stamp_ms,
        };
        // A clock that was set back does not matter within a partition.
        assert!(at(0, 2, 5).is_later_than(at(0, 1, 9)) && !at(0, 1, 9).is_later_than(at(0, 2, 5)));
        assert!(at(1, 0, 9).is_later_than(at(0, 7, 8)) && !at(0, 7, 8).is_later_than(at(1, 0, 9)));
    }
}
