//! The appending side: canonical JSON in, Avro out.

use super::schemas::Schemas;
use super::wire::{HEADER, push_header};
use market::Kind;
use market::codec::{avro, json};
use ports::Result;
use ports::topic::{Message, Positions, Producer};
use std::sync::Arc;
use std::time::Duration;

/// A topic of records.
struct Encoded {
    topic: String,
    kind: Kind,
    /// The id of its schema, once it was registered.
    id: Option<u32>,
}

pub(super) struct AvroProducer {
    inner: Box<dyn Producer>,
    topics: Vec<Encoded>,
    schemas: Arc<Schemas>,
    buffer: Vec<u8>,
    canonical: Vec<u8>,
}

impl AvroProducer {
    pub(super) fn new(inner: Box<dyn Producer>, topics: Vec<(String, Kind)>, schemas: Arc<Schemas>) -> Self {
        let topics = topics.into_iter().map(|(topic, kind)| Encoded { topic, kind, id: None }).collect();
        Self { inner, topics, schemas, buffer: Vec::new(), canonical: Vec::new() }
    }
}

impl Producer for AvroProducer {
    fn send(&mut self, message: &Message<'_>) -> Result<()> {
        let Some(encoded) = self.topics.iter_mut().find(|encoded| encoded.topic == message.topic) else {
            return self.inner.send(message);
        };
        self.canonical.clear();
        let mut record = json::decode(encoded.kind, message.payload);
        if record.is_none() && json::normalize(encoded.kind, message.payload, &mut self.canonical).is_ok() {
            record = json::decode(encoded.kind, &self.canonical);
        }
        // What is no record, as a dead letter that is published again, goes as it is: consumers report it.
        let Some(record) = record else { return self.inner.send(message) };
        let id = match encoded.id {
            Some(id) => id,
            None => *encoded.id.insert(self.schemas.wait_and_register(&encoded.topic, encoded.kind)?),
        };
        self.buffer.clear();
        self.buffer.reserve(HEADER + message.payload.len());
        push_header(id, &mut self.buffer);
        avro::encode(&record, &mut self.buffer);
        self.inner.send(&Message { payload: &self.buffer, ..*message })
    }

    fn rest(&mut self) -> Result<()> {
        self.inner.rest()
    }

    fn flush(&mut self, deadline: Duration) -> Result<usize> {
        self.inner.flush(deadline)
    }

    fn save_positions(&mut self, positions: &Positions) -> Result<()> {
        self.inner.save_positions(positions)
    }

    fn positions(&mut self) -> Result<Positions> {
        self.inner.positions()
    }
}
