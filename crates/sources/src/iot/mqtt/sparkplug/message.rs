//! A message of a node, and what all nodes share.

use market::UnixNanos;
use market::codec::sparkplug::payload::Payload;
use market::codec::sparkplug::{MetricContext, MetricReader, MetricTopic};
use ports::Result;
use ports::source::Event;

/// Called with each event.
pub(super) type Sink<'s> = &'s mut dyn FnMut(Event<'_>) -> Result<()>;

/// What all nodes share.
pub(super) struct Shared {
    pub(super) feed: String,
    pub(super) reader: MetricReader,
    pub(super) payload: Vec<u8>,
}

/// One message of a node.
pub(super) struct Message<'a> {
    pub(super) topic: MetricTopic<'a>,
    pub(super) payload: Payload<'a>,
    pub(super) recv_ts: UnixNanos,
    /// Whether the broker may have delivered it before.
    pub(super) is_repeated: bool,
    /// Why parts of it are not readings.
    pub(super) reasons: Vec<String>,
}

impl<'a> Message<'a> {
    /// When it was sent; when it was received if that is unknown.
    pub(super) fn sent(&self) -> UnixNanos {
        let millis = self.payload.timestamp.and_then(|millis| i64::try_from(millis).ok());
        millis.and_then(|millis| millis.checked_mul(1_000_000)).map_or(self.recv_ts, UnixNanos)
    }

    /// What a metric of it is read with.
    pub(super) fn context<'m>(&self, name: &'m str, datatype: Option<u32>, unit: &'m str) -> MetricContext<'m>
    where
        'a: 'm,
    {
        MetricContext {
            topic: self.topic,
            name,
            datatype,
            unit,
            sent: self.payload.timestamp,
            recv_ts: self.recv_ts,
        }
    }
}
