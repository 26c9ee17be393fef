//! Topic to store: at-least-once delivery with idempotent writes, so that every record is in the store exactly once.
//!
//! The loop fetches available messages, at most one cycle's worth, and submits them to the store as a batch.
//! Many batches are in flight at once; there is no barrier between fetches. An offset is committed only after
//! the store has acknowledged it and everything fetched before it, and after the dead letters of rejected
//! records are acknowledged. A slow store fills the window, which stops fetching; if it is unreachable the
//! partitions are paused, so that we keep polling and stay in the group.

mod in_flight;

use in_flight::{InFlight, lock};
use market::Kind;
use market::codec::json::{DecodeError, READABLE, SCHEMA};
use ports::batch::{Batch, PushError};
use ports::cancel::retry;
use ports::dead_letter::DeadLetter;
use ports::metrics::Port;
use ports::store::Store;
use ports::telemetry::Telemetry;
use ports::topic::{Consumer, Fetched, Names, Topics};
use ports::{CancelToken, Error, Result};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Settings of a run.
#[derive(Debug, Clone)]
pub struct ConsumeSettings {
    /// Topic names.
    pub names: Names,
    /// The consumer group.
    pub group: String,
    /// Maximum number of records fetched at once.
    pub cycle: usize,
    /// Maximum number of records in flight to the store.
    pub in_flight: usize,
    /// Maximum number of bytes in flight to the store.
    pub in_flight_bytes: usize,
    /// How often offsets are committed.
    pub commit_every: Duration,
    /// How long to drain on shutdown.
    pub drain: Duration,
}

/// Result of a run.
#[derive(Debug, Clone, Copy, Default)]
pub struct ConsumeReport {
    /// Records that were not stored within the drain deadline: the next start consumes them again.
    pub undrained: usize,
    /// Whether it ended because the whole topic is stored.
    pub at_end: bool,
}

/// How long a full window is waited for before the partitions are paused.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long to wait for messages before other work is checked.
const WAIT: Duration = Duration::from_millis(50);
/// How often the end of the topic is checked, if requested.
const LOOK: Duration = Duration::from_millis(100);

/// Runs until cancelled or, if `until_end` is set, until the group has committed everything.
///
/// # Errors
/// A permanent error of topic or store.
pub fn run(
    topics: &dyn Topics,
    store: &dyn Store,
    settings: &ConsumeSettings,
    telemetry: &Arc<Telemetry>,
    stop: &CancelToken,
    until_end: &AtomicBool,
) -> Result<ConsumeReport> {
    // The servers were there a moment ago: from now on they are waited for indefinitely.
    let writer = retry(stop, Port::Store, "open the store", || store.writer(stop))?;
    let dead_letter_producer = retry(stop, Port::Topic, "open a producer", || topics.producer())?;
    let records = settings.names.all_records();
    let mut consumer =
        retry(stop, Port::Topic, "open a consumer", || topics.consumer(&settings.group, &records))?;
    let in_flight = InFlight::new(writer, dead_letter_producer, &settings.names, Arc::clone(telemetry));
    let in_flight = Arc::new(Mutex::new(in_flight));
    let (hook, drain) = (Arc::clone(&in_flight), settings.drain / 2);
    consumer.on_revoke(Box::new(move |partitions| lock(&hook).hand_over(partitions, drain)));
    let mut looper =
        Loop { consumer: &mut *consumer, in_flight: &in_flight, settings, committed: Instant::now() };
    let result = looper.run(stop, until_end);
    // Whatever happened, what is stored is committed.
    let undrained = lock(&in_flight).drain(settings.drain);
    let committed = looper.commit(true);
    let at_end = result?;
    committed?;
    Ok(ConsumeReport { undrained: undrained?, at_end })
}

struct Loop<'a> {
    consumer: &'a mut dyn Consumer,
    in_flight: &'a Mutex<InFlight>,
    settings: &'a ConsumeSettings,
    committed: Instant,
}

impl Loop<'_> {
    /// Whether the end was reached.
    fn run(&mut self, stop: &CancelToken, until_end: &AtomicBool) -> Result<bool> {
        let mut looked = Instant::now();
        let mut batch = Batch::default();
        while !stop.is_cancelled() {
            self.make_room(stop)?;
            let fetched = self.cycle(&mut batch)?;
            if self.committed.elapsed() >= self.settings.commit_every {
                self.commit(false)?;
            }
            if fetched == 0 && until_end.load(Ordering::SeqCst) && looked.elapsed() >= LOOK {
                looked = Instant::now();
                if self.at_end()? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Waits until the window has room for a cycle.
    fn make_room(&mut self, stop: &CancelToken) -> Result<()> {
        let since = Instant::now();
        let mut paused = false;
        loop {
            let room = {
                let mut in_flight = lock(self.in_flight);
                in_flight.collect(Duration::ZERO)?;
                let full = |in_flight: &InFlight| {
                    in_flight.rows() + self.settings.cycle > self.settings.in_flight.max(self.settings.cycle)
                        || in_flight.bytes() > self.settings.in_flight_bytes
                };
                if full(&in_flight) && !stop.is_cancelled() {
                    in_flight.collect(Duration::from_millis(20))?;
                }
                !full(&in_flight)
            };
            if room || stop.is_cancelled() {
                break;
            }
            if since.elapsed() > PATIENCE {
                if !paused {
                    tracing::info!("the store accepts no records; partitions are paused");
                    self.consumer.pause(true)?;
                    paused = true;
                }
                // Polling keeps us in the group, and a paused partition returns no messages.
                self.cycle(&mut Batch::default())?;
                if self.committed.elapsed() >= self.settings.commit_every {
                    self.commit(false)?;
                }
            }
        }
        if paused {
            self.consumer.pause(false)?;
        }
        Ok(())
    }

    /// Fetches available messages and submits them. Returns their number.
    fn cycle(&mut self, batch: &mut Batch) -> Result<usize> {
        let mut ends = Vec::new();
        let mut dead: Vec<DeadLetter> = Vec::new();
        let mut failed = None;
        let names = self.consumer.topics().to_vec();
        let wait = if lock(self.in_flight).rows() > 0 { Duration::from_millis(2) } else { WAIT };
        let fetched = self.consumer.fetch(self.settings.cycle, wait, &mut |message| {
            let (partition, offset) = (message.partition(), message.offset());
            match ends.iter_mut().rev().find(|(p, _)| *p == partition) {
                Some((_, next)) => *next = offset + 1,
                None => ends.push((partition, offset + 1)),
            }
            let taken = kind(message)
                .map_err(PushError::from)
                .and_then(|kind| batch.push(kind, message.payload(), message.stamp_ms(), partition, offset));
            match taken {
                Ok(()) => {}
                Err(error @ PushError::Full) => {
                    failed = Some(Error::internal(error.to_string()).because(error))
                }
                Err(error) => dead.push(DeadLetter::of_message(message, &names, error.to_string())),
            }
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        let lost = self.consumer.lost();
        let mut in_flight = lock(self.in_flight);
        for range in lost {
            in_flight.lost(&range, &self.settings.names, &self.settings.group)?;
        }
        for dead_letter in dead {
            in_flight.send_to_dlq(&dead_letter)?;
        }
        if fetched > 0 {
            let next = in_flight.spare();
            in_flight.submit(std::mem::replace(batch, next), ends)?;
        }
        in_flight.collect(Duration::ZERO)?;
        Ok(fetched)
    }

    fn commit(&mut self, wait: bool) -> Result<()> {
        self.committed = Instant::now();
        let offsets = lock(self.in_flight).ready(wait)?;
        match self.consumer.commit(&offsets, wait) {
            // A refused commit costs a replay, never a record.
            Err(error) if error.retryable() => {
                tracing::info!("{error}; committing again later");
                lock(self.in_flight).refused(&offsets);
                Ok(())
            }
            other => other,
        }
    }

    fn at_end(&mut self) -> Result<bool> {
        let waiting = lock(self.in_flight).rows();
        if waiting > 0 {
            tracing::debug!(waiting, "at the end?");
            return Ok(false);
        }
        self.commit(true)?;
        match self.consumer.lag() {
            Ok(lag) => {
                tracing::debug!(lag, "at the end?");
                Ok(lag == 0)
            }
            Err(error) if error.retryable() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The kind of a record: that of its topic, as consumers of records name the topics in the order of [`Kind::ALL`].
/// A message with headers has another schema version, or is of an earlier Tapeline, which named both.
///
/// # Errors
/// The message is not a record; the reason is for its dead letter.
pub fn kind(message: &dyn Fetched) -> Result<Kind, DecodeError> {
    let bad = DecodeError;
    // Nothing is formatted unless something is wrong.
    let (mut kind, mut schema) = (None, None);
    message.headers(&mut |name, value| match name {
        "kind" => {
            kind = Some(
                Kind::from_name(value)
                    .ok_or_else(|| bad(format!("unknown record kind `{}`", String::from_utf8_lossy(value)))),
            );
        }
        "schema" if READABLE.iter().any(|version| value == version.as_bytes()) => schema = Some(Ok(())),
        "schema" => {
            let found = String::from_utf8_lossy(value);
            schema = Some(Err(bad(format!("unknown schema version `{found}`; expected {SCHEMA}"))));
        }
        _ => {}
    });
    schema.unwrap_or(Ok(()))?;
    kind.unwrap_or_else(|| {
        let topic = message.partition().topic;
        Kind::ALL
            .get(usize::from(topic))
            .copied()
            .ok_or_else(|| bad("the topic is not one of records".to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use adapters::store::sqlite::SqliteStore;
    use adapters::topic::sqlite::SqliteTopics;
    use ports::topic::Message;

    /// Publishes three trades and consumes with cancellation already requested; returns how many were stored.
    fn stored_after_stop(drain_deadline: Option<Duration>) -> (u64, bool) {
        let dir = tempfile::tempdir().unwrap();
        let (topics, names) = (SqliteTopics::new(dir.path().join("t.db")), Names::new("t"));
        topics.init(&names.specs(2)).unwrap();
        let mut producer = topics.producer().unwrap();
        for (id, symbol) in ["A", "B", "C"].iter().enumerate() {
            let text = format!(
                r#"{{"symbol":"{symbol}","feed":"f","venue":"P","id":"{id}","ts":1,"recv_ts":1,"price":"1","size":"1","conditions":[]}}"#
            );
            let (topic, headers) = (names.records(Kind::TRADE), [("kind", &b"trade"[..]), ("schema", b"1")]);
            let message = Message {
                topic: &topic,
                key: symbol,
                headers: &headers,
                payload: text.as_bytes(),
                stamp_ms: 0,
            };
            producer.send(&message).unwrap();
        }
        producer.flush(Duration::from_secs(1)).unwrap();
        let (store, telemetry) = (SqliteStore::new(dir.path().join("s.db")), Arc::new(Telemetry::default()));
        let settings = ConsumeSettings {
            names,
            group: "g".to_owned(),
            cycle: 100,
            in_flight: 1_000,
            in_flight_bytes: 1 << 20,
            commit_every: Duration::from_secs(1),
            drain: Duration::from_secs(10),
        };
        let stop = CancelToken::default();
        stop.cancel();
        let stop = drain_deadline.map_or(stop.clone(), |drain_deadline| stop.delayed(drain_deadline));
        let report = run(&topics, &store, &settings, &telemetry, &stop, &AtomicBool::new(true)).unwrap();
        (telemetry.get(&telemetry.stored), report.at_end)
    }

    #[test]
    fn what_was_published_is_stored_within_the_grace_of_a_stop() {
        assert_eq!(stored_after_stop(Some(Duration::from_secs(600))), (3, true));
        assert_eq!(stored_after_stop(None), (0, false));
    }
}
