//! Dead letters: messages that can never be stored, kept with reason, origin and raw bytes.

use crate::Result;
use crate::clock;
use crate::topic::{Message, Producer};

/// The stage at which a record was rejected.
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
    /// Value of the dead letter's `stage` header.
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
    /// The stage that rejected it.
    pub stage: Stage,
    /// `file:row 12, byte 345` or `topic/partition@offset`.
    pub origin: String,
    /// Why it can never be stored.
    pub reason: String,
    /// The message key, or empty.
    pub key: String,
    /// The record kind it claims to be, or empty.
    pub kind: String,
    /// The raw bytes as received.
    pub raw: Vec<u8>,
}

/// Maximum length of a raw message that is kept in full, in bytes. Kafka's default limit is 1,000,000 bytes
/// for a message with its headers.
pub const MAX_RAW: usize = 900_000;
/// Bytes kept of a longer message, and of each header.
const CUT_RAW: usize = 64 * 1_024;
const CUT_TEXT: usize = 8 * 1_024;

/// Returns the longest prefix of `text` of at most `max` bytes that ends at a character boundary.
fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

impl DeadLetter {
    /// Appends the dead letter to its topic; it is durable once the producer is next flushed. A message
    /// longer than [`MAX_RAW`] is truncated, and the header `cut` holds its length and XXH3-128 hash.
    ///
    /// # Errors
    /// The topic rejected it.
    pub fn send(&self, topic: &str, producer: &mut dyn Producer) -> Result<()> {
        let whole = self.raw.len() <= MAX_RAW;
        let hash = || xxhash_rust::xxh3::xxh3_128(&self.raw);
        let note =
            if whole { String::new() } else { format!("length={} xxh3_128={:032x}", self.raw.len(), hash()) };
        let headers = [
            ("reason", cut(&self.reason, CUT_TEXT).as_bytes()),
            ("origin", cut(&self.origin, CUT_TEXT).as_bytes()),
            ("stage", self.stage.name().as_bytes()),
            ("kind", cut(&self.kind, CUT_TEXT).as_bytes()),
            ("cut", note.as_bytes()),
        ];
        producer.send(&Message {
            topic,
            key: cut(&self.key, CUT_TEXT),
            headers: &headers[..if whole { 4 } else { 5 }],
            payload: if whole { &self.raw } else { &self.raw[..CUT_RAW] },
            stamp_ms: clock::now().millis(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::time::Duration;

    #[derive(Default)]
    struct Recorder(Vec<(String, BTreeMap<String, String>, usize)>);

    impl Producer for Recorder {
        fn send(&mut self, message: &Message<'_>) -> Result<()> {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let headers = message.headers.iter().map(|(name, value)| ((*name).to_owned(), text(value)));
            self.0.push((message.key.to_owned(), headers.collect(), message.payload.len()));
            Ok(())
        }
        fn rest(&mut self) -> Result<()> {
            Ok(())
        }
        fn flush(&mut self, _: Duration) -> Result<usize> {
            Ok(0)
        }
        fn save_position(&mut self, _: &str, _: &[u8]) -> Result<()> {
            Ok(())
        }
        fn positions(&mut self) -> Result<BTreeMap<String, Vec<u8>>> {
            Ok(BTreeMap::new())
        }
    }

    fn sent(raw: usize, text: usize) -> (String, BTreeMap<String, String>, usize) {
        let letter = DeadLetter {
            stage: Stage::Decode,
            origin: "t/0@7".to_owned(),
            reason: "é".repeat(text),
            key: "k".repeat(text),
            kind: String::new(),
            raw: vec![7; raw],
        };
        let mut recorder = Recorder::default();
        letter.send("dlq", &mut recorder).unwrap();
        recorder.0.remove(0)
    }

    #[test]
    fn a_message_that_fits_is_kept_whole() {
        let (_, headers, length) = sent(MAX_RAW, 3);
        assert_eq!(length, MAX_RAW);
        assert!(!headers.contains_key("cut"));
    }

    #[test]
    fn a_longer_message_is_cut_with_its_length_and_hash() {
        let (key, headers, length) = sent(5_000_000, 100_000);
        let total: usize = headers.values().map(String::len).sum::<usize>() + key.len() + length;
        assert!(total < 1_000_000, "{total}");
        assert!(headers["cut"].starts_with("length=5000000 xxh3_128="), "{}", headers["cut"]);
        assert_eq!(headers["origin"], "t/0@7");
    }
}
