//! Records as Avro, with a schema registry (Confluent's wire format), on any topic adapter.
//!
//! What a producer sends is canonical JSON; on the topic it is a zero byte, the id of the schema in four bytes, big-endian,
//! and Avro's binary encoding ([`market::codec::avro`]). Consumers get the canonical JSON back, byte for byte, so that
//! nothing behind them knows the format. Messages that are JSON stay readable: a topic may change its format to Avro. Only
//! topics of records are encoded; all others hold JSON.

mod consume;
mod produce;
mod registry;
mod schemas;
#[cfg(test)]
mod tests;
mod wire;

use market::Kind;
use ports::Result;
use ports::cancel::CancelToken;
use ports::check::Chain;
use ports::topic::{Consumer, Fetched, Names, PartitionLag, Producer, TopicSpec, Topics};
use registry::Registry;
pub use registry::RegistrySettings;
use schemas::{Schemas, subject};
use std::sync::Arc;

/// Topics whose records are Avro.
pub struct AvroTopics {
    inner: Box<dyn Topics>,
    names: Names,
    schemas: Arc<Schemas>,
}

impl AvroTopics {
    /// Encodes the records of `inner`, topics under these names.
    ///
    /// # Errors
    /// The registry's address is missing or no URL.
    pub fn new(
        inner: Box<dyn Topics>,
        names: Names,
        settings: &RegistrySettings,
        stop: CancelToken,
    ) -> Result<Self> {
        let schemas = Arc::new(Schemas::new(Registry::new(settings)?, stop));
        Ok(Self { inner, names, schemas })
    }

    /// The kind of the records in each topic; `None`: it holds no records.
    fn kinds(&self, topics: &[String]) -> Vec<Option<Kind>> {
        let kind = |topic: &String| Kind::ALL.into_iter().find(|kind| self.names.records(*kind) == *topic);
        topics.iter().map(kind).collect()
    }

    /// Whether the registry answers, if one of the topics holds records.
    fn reach_for(&self, topics: &[String]) -> Result<()> {
        match self.kinds(topics).iter().any(Option::is_some) {
            true => self.schemas.reach(),
            false => Ok(()),
        }
    }
}

/// The topics of records.
fn of_records(names: &Names) -> Vec<(String, Kind)> {
    Kind::ALL.into_iter().map(|kind| (names.records(kind), kind)).collect()
}

impl Topics for AvroTopics {
    fn init(&self, specs: &[TopicSpec]) -> Result<Vec<String>> {
        let mut lines = self.inner.init(specs)?;
        for spec in specs {
            if let [Some(kind)] = self.kinds(std::slice::from_ref(&spec.name))[..] {
                let id = self.schemas.register(&spec.name, kind)?;
                lines.push(format!("schema {}: id {id} in {}", subject(&spec.name), self.schemas.url()));
            }
        }
        Ok(lines)
    }

    fn producer(&self) -> Result<Box<dyn Producer>> {
        self.schemas.reach()?;
        let (inner, topics) = (self.inner.producer()?, of_records(&self.names));
        Ok(Box::new(produce::AvroProducer::new(inner, topics, Arc::clone(&self.schemas))))
    }

    fn consumer(&self, group: &str, topics: &[String]) -> Result<Box<dyn Consumer>> {
        self.reach_for(topics)?;
        let inner = self.inner.consumer(group, topics)?;
        Ok(Box::new(consume::AvroConsumer::new(inner, self.kinds(topics), Arc::clone(&self.schemas))))
    }

    fn partition_of(&self, key: &str, partitions: i32) -> i32 {
        self.inner.partition_of(key, partitions)
    }

    fn read_all(&self, topics: &[String], sink: &mut dyn FnMut(&dyn Fetched)) -> Result<u64> {
        self.reach_for(topics)?;
        let mut decoder = consume::Decoder::new(self.kinds(topics), Arc::clone(&self.schemas));
        let read = self.inner.read_all(topics, &mut |message| decoder.pass(message, sink))?;
        decoder.finish()?;
        Ok(read)
    }

    fn partition_lag(&self, group: &str, topics: &[String]) -> Result<Vec<PartitionLag>> {
        self.inner.partition_lag(group, topics)
    }

    fn check(&self, names: &Names, group: &str) -> Chain {
        let mut chain = self.inner.check(names, group);
        if chain.holds() && chain.reach_url(self.schemas.url(), "topic.registry.url") {
            chain.step("schemas", self.schemas.check(&of_records(names)));
        }
        chain
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}
