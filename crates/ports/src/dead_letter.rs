//! Dead letters: what can never be stored, kept with its reason, origin and raw bytes.

use crate::Result;
use crate::clock;
use crate::topic::{Message, Producer};

/// Where the trouble was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Reading the source.
    Source,
    /// Decoding a message.
    Decode,
    /// Writing to the store.
    Store,
}

impl Stage {
    /// The word in the dead letter's `stage` header.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Decode => "decode",
            Self::Store => "store",
        }
    }
}

/// One dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Where it was found.
    pub stage: Stage,
    /// `file:row 12, byte 345` or `topic/partition@offset`.
    pub origin: String,
    /// Why it can never be stored.
    pub reason: String,
    /// The message key, or empty.
    pub key: String,
    /// The record kind it claimed to be, or empty.
    pub kind: String,
    /// The bytes as they came.
    pub raw: Vec<u8>,
}

impl DeadLetter {
    /// Puts it on the dead-letter topic; it is kept once the producer is next flushed.
    ///
    /// # Errors
    /// The topic's.
    pub fn send(&self, topic: &str, producer: &mut dyn Producer) -> Result<()> {
        producer.send(&Message {
            topic,
            key: &self.key,
            headers: &[
                ("reason", self.reason.as_bytes()),
                ("origin", self.origin.as_bytes()),
                ("stage", self.stage.name().as_bytes()),
                ("kind", self.kind.as_bytes()),
            ],
            payload: &self.raw,
            stamp_ms: clock::now().millis(),
        })
    }
}
