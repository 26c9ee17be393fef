//! The reading side: Avro in, canonical JSON out.

use super::schemas::Schemas;
use super::wire::{self, MAGIC};
use market::Kind;
use ports::batch::Partition;
use ports::topic::{Consumer, Fetched, LostRange, OnRevoke};
use ports::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// A message with its payload in JSON, or as it came with the reason why it could not be decoded.
struct Decoded<'a> {
    message: &'a dyn Fetched,
    payload: Option<&'a [u8]>,
    fault: Option<&'a str>,
}

impl Fetched for Decoded<'_> {
    fn partition(&self) -> Partition {
        self.message.partition()
    }
    fn offset(&self) -> i64 {
        self.message.offset()
    }
    fn stamp_ms(&self) -> i64 {
        self.message.stamp_ms()
    }
    fn key(&self) -> &[u8] {
        self.message.key()
    }
    fn payload(&self) -> &[u8] {
        self.payload.unwrap_or_else(|| self.message.payload())
    }
    fn headers(&self, f: &mut dyn FnMut(&str, &[u8])) {
        self.message.headers(f);
    }
    fn fault(&self) -> Option<&str> {
        self.fault
    }
}

/// Decodes messages on their way to a sink.
pub(super) struct Decoder {
    kinds: Vec<Option<Kind>>,
    schemas: Arc<Schemas>,
    buffer: Vec<u8>,
    /// Why a message could not be judged. It and those behind it were not passed on.
    failed: Option<Error>,
}

impl Decoder {
    /// `kinds` are those of the topics, in the order of [`Partition::topic`].
    pub(super) fn new(kinds: Vec<Option<Kind>>, schemas: Arc<Schemas>) -> Self {
        Self { kinds, schemas, buffer: Vec::new(), failed: None }
    }

    /// Passes a message on, unless one before it failed: then a later one must not move the group's position.
    pub(super) fn pass(&mut self, message: &dyn Fetched, sink: &mut dyn FnMut(&dyn Fetched)) {
        if self.failed.is_some() {
            return;
        }
        let kind = self.kinds.get(usize::from(message.partition().topic)).copied().flatten();
        let payload = message.payload();
        let (Some(kind), Some(&MAGIC)) = (kind, payload.first()) else { return sink(message) };
        match self.decode(kind, payload) {
            Ok(Ok(())) => sink(&Decoded { message, payload: Some(&self.buffer), fault: None }),
            Ok(Err(fault)) => sink(&Decoded { message, payload: None, fault: Some(&fault) }),
            Err(error) => self.failed = Some(error),
        }
    }

    fn decode(&mut self, kind: Kind, payload: &[u8]) -> Result<Result<(), String>> {
        let Some((id, body)) = wire::split(payload) else {
            return Ok(Err("not Avro: it is shorter than the id of a schema".to_owned()));
        };
        let writer = match self.schemas.writer(kind, id)? {
            Ok(writer) => writer,
            Err(reason) => return Ok(Err(reason)),
        };
        self.buffer.clear();
        let decoded = writer.decode(body, &mut self.buffer);
        Ok(decoded.map_err(|error| format!("not a {kind} by schema {id}: {error}")))
    }

    /// The error that kept messages from being passed on. It stays: who fetched again would continue behind them.
    pub(super) fn finish(&self) -> Result<()> {
        self.failed.clone().map_or(Ok(()), Err)
    }
}

pub(super) struct AvroConsumer {
    inner: Box<dyn Consumer>,
    decoder: Decoder,
}

impl AvroConsumer {
    pub(super) fn new(inner: Box<dyn Consumer>, kinds: Vec<Option<Kind>>, schemas: Arc<Schemas>) -> Self {
        Self { inner, decoder: Decoder::new(kinds, schemas) }
    }
}

impl Consumer for AvroConsumer {
    fn topics(&self) -> &[String] {
        self.inner.topics()
    }

    fn fetch(&mut self, max: usize, wait: Duration, sink: &mut dyn FnMut(&dyn Fetched)) -> Result<usize> {
        let decoder = &mut self.decoder;
        let fetched = self.inner.fetch(max, wait, &mut |message| decoder.pass(message, sink))?;
        self.decoder.finish()?;
        Ok(fetched)
    }

    fn commit(&mut self, offsets: &[(Partition, i64)], wait: bool) -> Result<()> {
        self.inner.commit(offsets, wait)
    }

    fn pause(&mut self, paused: bool) -> Result<()> {
        self.inner.pause(paused)
    }

    fn on_revoke(&mut self, hook: OnRevoke) {
        self.inner.on_revoke(hook);
    }

    fn assignments(&self) -> Arc<AtomicU64> {
        self.inner.assignments()
    }

    fn partition_counts(&mut self) -> Result<Vec<i32>> {
        self.inner.partition_counts()
    }

    fn lag(&mut self) -> Result<u64> {
        self.inner.lag()
    }

    fn lost(&mut self) -> Vec<LostRange> {
        self.inner.lost()
    }

    fn ahead(&mut self, next: &dyn Fn(Partition) -> Option<i64>) -> Result<Option<u64>> {
        self.inner.ahead(next)
    }

    fn is_at_end(&mut self, next: &dyn Fn(Partition) -> Option<i64>) -> Result<bool> {
        self.inner.is_at_end(next)
    }

    fn is_settled(&mut self) -> Result<bool> {
        self.inner.is_settled()
    }
}
