//! Topics on Apache Kafka, through librdkafka.
//!
//! The producer is idempotent with acks=all and partitions keys like the Java client (murmur2). The consumer
//! tracks itself what may be committed; librdkafka's automatic commit and offset store are off.

mod cause;
mod check;
mod client;
mod closing;
mod connect;
mod consume;
mod member;
mod membership;
mod native;
mod positions;
mod produce;
mod queue;
mod read_all;
mod security;
mod settings;
mod token;

use cause::explain;
pub use client::KafkaTopics;
use client::{Quiet, RESPONSE_TIMEOUT};
use ports::check::Chain;
use ports::topic::{Consumer, Fetched, Names, PartitionLag, Producer, TopicSpec, Topics};
use ports::{Error, Result};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
pub use settings::{KafkaSettings, Sasl};
use std::time::Duration;

/// Version of librdkafka, for example `2.11.0`.
#[must_use]
pub fn library_version() -> String {
    rdkafka::util::get_rdkafka_version().1
}

impl Topics for KafkaTopics {
    fn init(&self, specs: &[TopicSpec]) -> Result<Vec<String>> {
        let mut config = self.base();
        self.finish(&mut config)?;
        let admin: AdminClient<Quiet> =
            config.create_with_context(self.quiet()).map_err(self.refused("open an admin client"))?;
        self.tokens.authorize(admin.inner().native_ptr())?;
        let metadata = self.connect(admin.inner())?;
        let mut report = Vec::new();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::internal(format!("start a runtime: {error}")))?;
        for spec in specs {
            if let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == spec.name) {
                let have = topic.partitions().len();
                let note = if have as i32 == spec.partitions {
                    String::new()
                } else {
                    format!(
                        " (the configuration says {}; unchanged, because keys would move)",
                        spec.partitions
                    )
                };
                report.push(format!("topic {}: exists, {have} partitions{note}", spec.name));
                continue;
            }
            let mut topic = NewTopic::new(
                &spec.name,
                spec.partitions,
                TopicReplication::Fixed(self.settings.replication),
            );
            if spec.compact {
                topic = topic.set("cleanup.policy", "compact");
            }
            let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)));
            let responses = runtime
                .block_on(admin.create_topics([&topic], &options))
                .map_err(self.refused("create topics"))?;
            for response in responses {
                match response {
                    Ok(name) => report.push(format!("topic {name}: created, {} partitions", spec.partitions)),
                    Err((name, RDKafkaErrorCode::TopicAlreadyExists)) => {
                        report.push(format!("topic {name}: exists"));
                    }
                    Err((name, code)) => {
                        let place = format!("create topic {name} at {}", self.describe());
                        return Err(explain(&place, &KafkaError::AdminOp(code)));
                    }
                }
            }
        }
        // A new topic is not immediately in every broker's metadata, but the next process must find it.
        let since = std::time::Instant::now();
        loop {
            let metadata = admin
                .inner()
                .fetch_metadata(None, RESPONSE_TIMEOUT)
                .map_err(self.refused("list the topics"))?;
            let leads = |topic: &rdkafka::metadata::MetadataTopic| {
                !topic.partitions().is_empty() && topic.partitions().iter().all(|p| p.leader() >= 0)
            };
            let visible = |spec: &TopicSpec| {
                metadata.topics().iter().any(|topic| topic.name() == spec.name && leads(topic))
            };
            match specs.iter().find(|spec| !visible(spec)) {
                None => break,
                Some(spec) if since.elapsed() > Duration::from_secs(30) => {
                    return Err(Error::external(format!(
                        "topic {} at {} has no leader 30 s after its creation",
                        spec.name,
                        self.describe()
                    ))
                    .hint("check the brokers' logs"));
                }
                Some(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        }
        Ok(report)
    }

    fn producer(&self) -> Result<Box<dyn Producer>> {
        Ok(Box::new(produce::KafkaProducer::new(self)?))
    }

    fn consumer(&self, group: &str, topics: &[String]) -> Result<Box<dyn Consumer>> {
        Ok(Box::new(consume::KafkaConsumer::new(self, group, topics)?))
    }

    fn partition_of(&self, key: &str, partitions: i32) -> i32 {
        native::partition_of(key.as_bytes(), partitions)
    }

    fn read_all(&self, topics: &[String], sink: &mut dyn FnMut(&dyn Fetched)) -> Result<u64> {
        read_all::read_all(self, topics, sink)
    }

    fn partition_lag(&self, group: &str, topics: &[String]) -> Result<Vec<PartitionLag>> {
        check::lag(self, group, topics)
    }

    fn check(&self, names: &Names, group: &str) -> Chain {
        check::check(self, names, group)
    }

    fn describe(&self) -> String {
        self.address()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_partitioned_like_the_java_client() {
        // Kafka's UtilsTest: murmur2 of the key.
        for (key, hash) in [("21", -973_932_308_i32), ("foobar", -790_332_482), ("abc", 479_470_107)] {
            for partitions in [1, 6, 12] {
                assert_eq!(native::partition_of(key.as_bytes(), partitions), (hash & i32::MAX) % partitions);
            }
        }
    }
}
