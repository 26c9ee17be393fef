//! The dead-letter topic as a log: the dead letters, and the markers that say what became of them.
//!
//! A marker is a message of the same topic with the headers `marker` (`redriven` or `discarded`), `dead_letter` (the
//! [`Entry::id`] it closes) and `origin`. Nothing is deleted: a dead letter is open until a marker names it.
//!
//! A message that is consumed twice (after a kill, or by two groups) becomes two dead letters of one origin and the same bytes;
//! they are one [`Entry`]. A message keeps its outcome when it is consumed once more. A row of a source is different: the
//! source can publish it again, so a dead letter that comes after its marker opens the entry again.

use super::{HEADER, Stage};
use crate::clock;
use crate::topic::{Fetched, Message, Names, Producer, Topics};
use crate::{Error, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// The header of a message that is published again: the number of the dead letter it was published from.
pub const REDRIVEN_FROM: &str = "redriven_from";

/// What became of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nothing yet.
    Open,
    /// Its message was published again.
    Redriven,
    /// Somebody decided that it is not needed.
    Discarded,
}

impl State {
    /// The word in the header `marker`, and for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Redriven => "redriven",
            Self::Discarded => "discarded",
        }
    }
}

/// The number of a dead letter: its offset in the dead-letter topic, with the partition before it where that is not 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number {
    /// Partition of the dead-letter topic.
    pub partition: i32,
    /// Offset in it.
    pub offset: i64,
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.partition {
            0 => write!(f, "{}", self.offset),
            partition => write!(f, "{partition}:{}", self.offset),
        }
    }
}

impl FromStr for Number {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (partition, offset) = text.split_once(':').unwrap_or(("0", text));
        match (partition.parse(), offset.parse()) {
            (Ok(partition), Ok(offset)) if partition >= 0 && offset >= 0 => Ok(Self { partition, offset }),
            _ => Err(format!("expected the number of a dead letter, as 12, found `{text}`")),
        }
    }
}

impl Serialize for Number {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Length and hash of a message of which only the beginning is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cut {
    /// Bytes of the whole message.
    pub length: u64,
    /// XXH3-128 of the whole message.
    pub xxh3_128: u128,
}

impl Cut {
    /// Whether `message` is the whole of it.
    #[must_use]
    pub fn is_of(&self, message: &[u8]) -> bool {
        self.length == message.len() as u64 && self.xxh3_128 == xxhash_rust::xxh3::xxh3_128(message)
    }
}

impl FromStr for Cut {
    type Err = ();

    /// Reads the header `cut`: `length=5000000 xxh3_128=0123…`.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (length, hash) = text.split_once(' ').ok_or(())?;
        let length = length.strip_prefix("length=").and_then(|text| text.parse().ok()).ok_or(())?;
        let hash = hash.strip_prefix("xxh3_128=").and_then(|text| u128::from_str_radix(text, 16).ok());
        Ok(Self { length, xxh3_128: hash.ok_or(())? })
    }
}

/// A dead letter of the topic, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where its first copy lies.
    pub number: Number,
    /// Hash of origin and bytes: what markers name.
    pub id: String,
    /// When the newest copy was written, milliseconds since 1970.
    pub time_ms: i64,
    /// Where the newest copy lies.
    newest: Number,
    /// Copies of it in the topic.
    pub copies: u64,
    /// `source`, `decode` or `store`.
    pub stage: String,
    /// Where its message or row is.
    pub origin: String,
    /// Why it can never be stored.
    pub reason: String,
    /// The message key.
    pub key: String,
    /// The record kind it claimed to be.
    pub kind: String,
    /// Bytes that the dead letter keeps.
    pub bytes: usize,
    /// Set where that is not the whole message.
    pub cut: Option<Cut>,
    /// The message's headers other than `kind`.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The message's timestamp; unknown for rows of a source and for dead letters of versions before 0.2.
    pub stamp_ms: Option<i64>,
    /// What became of it.
    pub state: State,
    /// When, milliseconds since 1970.
    pub settled_ms: Option<i64>,
}

impl Entry {
    /// Whether it holds a row of a source, and not a message of a topic.
    #[must_use]
    pub fn of_source(&self) -> bool {
        self.stage == Stage::Source.name()
    }

    /// The number of the dead letter that its message was published from, where it was redriven before.
    #[must_use]
    pub fn redriven_from(&self) -> Option<String> {
        let header = self.headers.iter().find(|(name, _)| name == REDRIVEN_FROM);
        header.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    }

    /// Topic, partition and offset of its message.
    #[must_use]
    pub fn place(&self) -> Option<(&str, i32, i64)> {
        let (topic, place) = self.origin.rsplit_once('/')?;
        let (partition, offset) = place.split_once('@')?;
        Some((topic, partition.parse().ok()?, offset.parse().ok()?))
    }

    /// Appends the marker that closes it; it counts once the producer is flushed.
    ///
    /// # Errors
    /// The topic's.
    pub fn settle(&self, state: State, names: &Names, producer: &mut dyn Producer) -> Result<()> {
        let stamp_ms = clock::now().millis();
        let payload =
            serde_json::json!({ "state": state, "dead_letter": self.number, "origin": self.origin });
        producer.send(&Message {
            topic: &names.dead_letters(),
            key: &self.origin,
            headers: &[
                ("marker", state.name().as_bytes()),
                ("dead_letter", self.id.as_bytes()),
                ("origin", self.origin.as_bytes()),
            ],
            payload: payload.to_string().as_bytes(),
            stamp_ms,
        })
    }
}

/// A marker, or the newest copy of a dead letter: when it was written, and where.
type Written = (i64, Number);

/// Whether `a` was written after `b`: by offset within a partition, by time across.
fn after(a: Written, b: Written) -> bool {
    if a.1.partition == b.1.partition { a.1.offset > b.1.offset } else { a.0 > b.0 }
}

/// Reads the topic: every dead letter once, in the order of their numbers.
///
/// # Errors
/// The topic's.
pub fn read(topics: &dyn Topics, names: &Names) -> Result<Vec<Entry>> {
    let (mut entries, mut markers) = (BTreeMap::<String, Entry>::new(), BTreeMap::new());
    topics.read_all(&[names.dead_letters()], &mut |message| {
        let number = Number { partition: message.partition().number, offset: message.offset() };
        if let Some((id, state)) = marker(message) {
            let written = (message.stamp_ms(), number);
            let newest = markers.entry(id).or_insert((written, state));
            if after(written, newest.0) {
                *newest = (written, state);
            }
            return;
        }
        let copy = entry(message, number);
        match entries.get_mut(&copy.id) {
            Some(first) => {
                first.copies += 1;
                if after((copy.time_ms, number), (first.time_ms, first.newest)) {
                    first.time_ms = copy.time_ms;
                    first.newest = number;
                }
            }
            None => {
                entries.insert(copy.id.clone(), copy);
            }
        }
    })?;
    let mut entries: Vec<Entry> = entries.into_values().collect();
    for entry in &mut entries {
        if let Some((written, state)) = markers.get(&entry.id)
            && !(entry.of_source() && after((entry.time_ms, entry.newest), *written))
        {
            entry.state = *state;
            entry.settled_ms = Some(written.0);
        }
    }
    entries.sort_by_key(|entry| entry.number);
    Ok(entries)
}

/// Whether a message of the dead-letter topic says what became of a dead letter, and is none itself.
#[must_use]
pub fn is_marker(message: &dyn Fetched) -> bool {
    marker(message).is_some()
}

fn marker(message: &dyn Fetched) -> Option<(String, State)> {
    let (mut id, mut state) = (None, None);
    message.headers(&mut |name, value| match name {
        "dead_letter" => id = Some(String::from_utf8_lossy(value).into_owned()),
        "marker" => {
            state = [State::Redriven, State::Discarded].into_iter().find(|s| s.name().as_bytes() == value)
        }
        _ => {}
    });
    id.zip(state)
}

fn entry(message: &dyn Fetched, number: Number) -> Entry {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut entry = Entry {
        number,
        id: String::new(),
        time_ms: message.stamp_ms(),
        newest: number,
        copies: 1,
        stage: String::new(),
        origin: String::new(),
        reason: String::new(),
        key: text(message.key()),
        kind: String::new(),
        bytes: message.payload().len(),
        cut: None,
        headers: Vec::new(),
        stamp_ms: None,
        state: State::Open,
        settled_ms: None,
    };
    message.headers(&mut |name, value| match name {
        "stage" => entry.stage = text(value),
        "origin" => entry.origin = text(value),
        "reason" => entry.reason = text(value),
        "kind" => entry.kind = text(value),
        "cut" => entry.cut = text(value).parse().ok(),
        "stamp_ms" => entry.stamp_ms = text(value).parse().ok(),
        other => {
            if let Some(name) = other.strip_prefix(HEADER) {
                entry.headers.push((name.to_owned(), value.to_vec()));
            }
        }
    });
    let mut hash = xxhash_rust::xxh3::Xxh3::new();
    // A file that cannot be read at all has neither bytes nor a row: the reason tells two such dead letters apart.
    let reason = if entry.of_source() { entry.reason.as_bytes() } else { b"" };
    let hash_of_cut = entry.cut.as_ref().map(|cut| cut.xxh3_128.to_be_bytes()).unwrap_or_default();
    for part in [entry.origin.as_bytes(), reason, &hash_of_cut, message.payload()] {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    entry.id = format!("{:032x}", hash.digest128());
    entry
}

/// Calls `sink` with the bytes of each dead letter wanted, in the order they lie in the topic.
///
/// # Errors
/// The topic's, or the first of `sink`.
pub fn payloads(
    topics: &dyn Topics,
    names: &Names,
    wanted: &[&Entry],
    sink: &mut dyn FnMut(&Entry, &[u8]) -> Result<()>,
) -> Result<()> {
    let by_number: BTreeMap<Number, &Entry> = wanted.iter().map(|entry| (entry.number, *entry)).collect();
    let (mut found, mut failed) = (0, None);
    topics.read_all(&[names.dead_letters()], &mut |message| {
        let number = Number { partition: message.partition().number, offset: message.offset() };
        if let Some(entry) = by_number.get(&number)
            && failed.is_none()
        {
            found += 1;
            failed = sink(entry, message.payload()).err();
        }
    })?;
    match failed {
        Some(error) => Err(error),
        None if found < by_number.len() => Err(Error::user(format!(
            "{} dead letters were removed from {} while they were read",
            by_number.len() - found,
            names.dead_letters()
        ))
        .hint("the topic's retention removed them; list the rest: tapeline dead-letters list")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_cuts_are_read_as_they_are_written() {
        for (text, partition, offset) in [("12", 0, 12), ("3:7", 3, 7)] {
            let number: Number = text.parse().unwrap();
            assert_eq!((number, number.to_string()), (Number { partition, offset }, text.to_owned()));
        }
        for wrong in ["", "x", "-1", "1:", ":1", "1:2:3", "0x1"] {
            assert!(wrong.parse::<Number>().unwrap_err().contains(wrong), "{wrong}");
        }
        let cut: Cut = "length=5000000 xxh3_128=000000000000000000000000000000ff".parse().unwrap();
        assert_eq!(cut, Cut { length: 5_000_000, xxh3_128: 255 });
        assert!("length=5".parse::<Cut>().is_err() && "".parse::<Cut>().is_err());
    }

    #[test]
    fn later_is_by_offset_within_a_partition_and_by_time_across() {
        let at = |partition, offset| Number { partition, offset };
        assert!(after((0, at(0, 2)), (9, at(0, 1))));
        assert!(after((9, at(1, 0)), (8, at(0, 5))) && !after((8, at(1, 9)), (8, at(0, 5))));
    }
}
