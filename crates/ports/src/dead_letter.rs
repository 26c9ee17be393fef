//! Dead letters: messages that can never be stored, kept with reason, origin and raw bytes.

use crate::Result;
use crate::clock;
use crate::topic::{Fetched, Message, Producer};
use market::Kind;

pub mod log;

/// The stage at which a record was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stage {
    /// Reading the source.
    #[default]
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
#[derive(Debug, Clone, PartialEq, Eq, Default)]
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
    /// The message's headers other than `kind`, so that it can be published again as it was; empty for rows of a source.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The message's timestamp, milliseconds since 1970: the write timestamp of the row it would have become.
    pub stamp_ms: Option<i64>,
}

/// Maximum length of a raw message that is kept in full, in bytes. Kafka's default limit is 1,000,000 bytes
/// for a message with its headers.
pub const MAX_RAW: usize = 900_000;
/// Bytes kept of a longer message, and of each header.
const CUT_RAW: usize = 64 * 1_024;
const CUT_TEXT: usize = 8 * 1_024;
/// Maximum number of headers kept, and of bytes of each. Messages of records have fewer and shorter ones.
const KEPT_HEADERS: usize = 8;
const KEPT_HEADER: usize = 1_024;
/// Before the name of each header of the message.
const HEADER: &str = "header.";

/// Returns the longest prefix of `text` of at most `max` bytes that ends at a character boundary.
fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

impl DeadLetter {
    /// The dead letter of a message that is not a record. `topics` are the consumer's: they name its origin.
    #[must_use]
    pub fn of_message(message: &dyn Fetched, topics: &[String], reason: String) -> Self {
        let (mut kind, mut headers) = (String::new(), Vec::new());
        message.headers(&mut |name, value| match name {
            "kind" => kind = String::from_utf8_lossy(value).into_owned(),
            _ => headers.push((name.to_owned(), value.to_vec())),
        });
        if kind.is_empty() {
            let topic = topics.get(usize::from(message.partition().topic)).map_or("", String::as_str);
            let name = topic.rsplit('.').next().unwrap_or_default();
            let of_topic = Kind::ALL.into_iter().find(|kind| kind.plural() == name);
            kind = of_topic.map_or_else(String::new, |kind| kind.name().to_owned());
        }
        Self {
            stage: Stage::Decode,
            origin: crate::topic::origin(topics, message.partition(), message.offset()),
            reason: message.fault().map_or(reason, str::to_owned),
            key: String::from_utf8_lossy(message.key()).into_owned(),
            kind,
            raw: message.payload().to_vec(),
            headers,
            stamp_ms: Some(message.stamp_ms()),
        }
    }

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
        let stamp = self.stamp_ms.map(|stamp| stamp.to_string());
        let kept: Vec<(String, &[u8])> = self
            .headers
            .iter()
            .filter(|(name, value)| name.len() + value.len() <= KEPT_HEADER)
            .take(KEPT_HEADERS)
            .map(|(name, value)| (format!("{HEADER}{name}"), value.as_slice()))
            .collect();
        let mut headers = vec![
            ("reason", cut(&self.reason, CUT_TEXT).as_bytes()),
            ("origin", cut(&self.origin, CUT_TEXT).as_bytes()),
            ("stage", self.stage.name().as_bytes()),
            ("kind", cut(&self.kind, CUT_TEXT).as_bytes()),
        ];
        headers.extend((!whole).then_some(("cut", note.as_bytes())));
        headers.extend(stamp.as_ref().map(|stamp| ("stamp_ms", stamp.as_bytes())));
        headers.extend(kept.iter().map(|(name, value)| (name.as_str(), *value)));
        producer.send(&Message {
            topic,
            key: cut(&self.key, CUT_TEXT),
            headers: &headers,
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
        fn save_positions(&mut self, _: &BTreeMap<String, Vec<u8>>) -> Result<()> {
            Ok(())
        }
        fn positions(&mut self) -> Result<BTreeMap<String, Vec<u8>>> {
            Ok(BTreeMap::new())
        }
    }

    fn sent(raw: usize, text: usize) -> (String, BTreeMap<String, String>, usize) {
        let dead_letter = DeadLetter {
            stage: Stage::Decode,
            origin: "t/0@7".to_owned(),
            reason: "é".repeat(text),
            key: "k".repeat(text),
            kind: String::new(),
            raw: vec![7; raw],
            headers: vec![("schema".to_owned(), b"2".to_vec()), ("huge".to_owned(), vec![b'x'; text])],
            stamp_ms: Some(5),
        };
        let mut recorder = Recorder::default();
        dead_letter.send("dlq", &mut recorder).unwrap();
        recorder.0.remove(0)
    }

    #[test]
    fn a_message_that_fits_is_kept_in_full() {
        let (_, headers, length) = sent(MAX_RAW, 3);
        assert_eq!(length, MAX_RAW);
        assert!(!headers.contains_key("cut"));
        assert_eq!(
            (
                headers["stamp_ms"].as_str(),
                headers["header.schema"].as_str(),
                headers["header.huge"].as_str()
            ),
            ("5", "2", "xxx")
        );
    }

    #[test]
    fn a_longer_message_is_cut_with_its_length_and_hash() {
        let (key, headers, length) = sent(5_000_000, 100_000);
        let total: usize = headers.values().map(String::len).sum::<usize>() + key.len() + length;
        assert!(total < 1_000_000, "{total}");
        assert!(headers["cut"].starts_with("length=5000000 xxh3_128="), "{}", headers["cut"]);
        assert_eq!(headers["origin"], "t/0@7");
        assert!(!headers.contains_key("header.huge"));
    }
}
