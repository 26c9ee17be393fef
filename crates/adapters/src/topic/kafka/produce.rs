//! The appending side on Kafka.

use super::cause::explain;
use super::client::{KafkaTopics, log};
use super::token::Tokens;
use ports::cancel::CancelToken;
use ports::source::Positions;
use ports::topic::{Fetched, Message, MessageOrigin, Producer, Topics};
use ports::{Error, Result};
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Receives permanent delivery failures; successful deliveries are not reported one by one.
#[derive(Default)]
struct Deliveries {
    failed: Mutex<Option<(String, KafkaError)>>,
    tokens: Tokens,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka producer");
    }
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;
    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        Ok(self.tokens.issue()?)
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, message)) = result {
            let topic = rdkafka::Message::topic(message).to_owned();
            let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
            failed.get_or_insert_with(|| (topic, error.clone()));
        }
    }
}

pub(super) struct KafkaProducer {
    producer: BaseProducer<Deliveries>,
    topics: KafkaTopics,
    stop: CancelToken,
}

/// How long a full queue or an unacknowledged flush lasts before a warning is logged.
const PATIENCE: Duration = Duration::from_secs(5);

impl KafkaProducer {
    pub(super) fn new(topics: &KafkaTopics) -> Result<Self> {
        let mut config = topics.base();
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("partitioner", "murmur2_random")
            .set("compression.type", &topics.settings.compression)
            .set("linger.ms", topics.settings.linger.as_millis().to_string())
            .set("batch.size", "262144")
            .set("batch.num.messages", "10000")
            // Bounded in messages and bytes: a slow cluster slows the source.
            .set("queue.buffering.max.messages", "50000")
            .set("queue.buffering.max.kbytes", "16384")
            // An unreachable cluster is waited for indefinitely.
            .set("message.timeout.ms", "0")
            .set("delivery.report.only.error", "true");
        topics.finish(&mut config)?;
        let deliveries = Deliveries { tokens: topics.tokens.clone(), ..Deliveries::default() };
        let producer: BaseProducer<Deliveries> =
            config.create_with_context(deliveries).map_err(topics.refused("open a producer"))?;
        topics.tokens.authorize(producer.client().native_ptr())?;
        let positions = std::slice::from_ref(&topics.positions);
        topics.connect(producer.client())?;
        // librdkafka requests its producer id when it learns of the cluster; if no connection was ready then,
        // it retries only half a second later and sends nothing until then. A connection is ready now, and
        // another metadata response triggers the request at once.
        topics.partitions(producer.client(), positions)?;
        Ok(Self { producer, topics: topics.clone(), stop: topics.stop.clone() })
    }

    fn check(&self) -> Result<()> {
        let failed = self.producer.context().failed.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((topic, error)) = failed {
            return Err(explain(&format!("append to topic {topic} at {}", self.topics.describe()), &error));
        }
        match self.producer.client().fatal_error() {
            Some((code, reason)) => Err(Error::internal(format!(
                "append at {}: the idempotent producer gave up: {code}: {reason}",
                self.topics.describe()
            ))
            .hint("start again: it resumes from the last saved position")),
            None => Ok(()),
        }
    }

    /// Waits for acknowledgement of everything sent; warns if that takes long; returns early when cancelled.
    fn settle(&self, deadline: Duration) -> Result<usize> {
        let start = Instant::now();
        let mut reported = Instant::now();
        loop {
            // The binding's own flush polls only every 100 ms, which would delay a live stream's records.
            let look = Instant::now();
            while self.producer.in_flight_count() > 0 && look.elapsed() < Duration::from_millis(200) {
                self.producer.poll(Duration::from_millis(1));
            }
            self.check()?;
            let waiting = self.producer.in_flight_count().max(0) as usize;
            if waiting == 0 {
                return Ok(0);
            }
            if start.elapsed() >= deadline {
                return Ok(waiting);
            }
            if reported.elapsed() > PATIENCE {
                tracing::warn!(
                    waiting,
                    topic = self.topics.describe(),
                    "waiting for acknowledgement of messages"
                );
                reported = Instant::now();
            }
        }
    }
}

impl Producer for KafkaProducer {
    fn send(&mut self, message: &Message<'_>) -> Result<()> {
        let mut record = BaseRecord::to(message.topic)
            .key(message.key)
            .payload(message.payload)
            .timestamp(message.stamp_ms);
        // Records have none, and an empty list costs an allocation.
        if !message.headers.is_empty() {
            let mut headers = OwnedHeaders::new_with_capacity(message.headers.len());
            for (key, value) in message.headers {
                headers = headers.insert(Header { key, value: Some(*value) });
            }
            record = record.headers(headers);
        }
        let mut reported = Instant::now();
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    self.producer.poll(Duration::from_millis(5));
                    self.check()?;
                    if self.stop.is_cancelled() && reported.elapsed() > Duration::from_secs(1) {
                        return Err(Error::external("stopped while the topic accepted no messages"));
                    }
                    if reported.elapsed() > PATIENCE {
                        tracing::warn!(
                            topic = self.topics.describe(),
                            "the topic accepts no messages; waiting"
                        );
                        reported = Instant::now();
                    }
                }
                Err((error, _)) => {
                    let place = format!("append to topic {} at {}", message.topic, self.topics.describe());
                    return Err(explain(&place, &error));
                }
            }
        }
    }

    fn rest(&mut self) -> Result<()> {
        // librdkafka sends in its own thread; this call reports failures.
        self.producer.poll(Duration::ZERO);
        self.check()
    }

    fn flush(&mut self, deadline: Duration) -> Result<usize> {
        self.settle(deadline)
    }

    fn save_positions(&mut self, positions: &Positions) -> Result<()> {
        if positions.is_empty() {
            return Ok(());
        }
        let patience =
            if self.stop.is_cancelled() { Duration::from_secs(10) } else { Duration::from_secs(3_600) };
        let name = self.topics.positions.clone();
        for step in ["records", "positions"] {
            let waiting = self.settle(patience)?;
            if waiting > 0 {
                return Err(Error::external(format!(
                    "{waiting} messages are not acknowledged by {}",
                    self.topics.describe()
                ))
                .hint("the next start sends them again"));
            }
            if step == "records" {
                let stamp_ms = ports::clock::now().millis();
                for (source, position) in positions {
                    let (key, payload) = (source.as_str(), position.as_slice());
                    self.send(&Message { topic: &name, key, headers: &[], payload, stamp_ms })?;
                }
            }
        }
        Ok(())
    }

    fn positions(&mut self) -> Result<Positions> {
        let mut positions: BTreeMap<String, (MessageOrigin, Vec<u8>)> = BTreeMap::new();
        let topic = [self.topics.positions.clone()];
        self.topics.read_all(&topic, &mut |message: &dyn Fetched| {
            let (source, origin) = (String::from_utf8_lossy(message.key()), MessageOrigin::of(message));
            if positions.get(&*source).is_none_or(|(known, _)| !known.is_later_than(origin)) {
                positions.insert(source.into_owned(), (origin, message.payload().to_vec()));
            }
        })?;
        Ok(positions.into_iter().map(|(source, (_, position))| (source, position)).collect())
    }
}
