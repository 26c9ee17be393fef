//! Verification: proves that source, topic and store hold the same records, field for field.
//!
//! Records are compared by kind, feed and symbol, each identity once: of several versions, the one that every
//! store keeps counts ([`market::version`]). If the sides differ, [`difference`] finds the records and their
//! fields, and [`repair`] writes what the store lacks from the topic.

pub mod difference;
pub mod repair;

use market::codec::json;
use market::digest::{self, Digest};
use market::version::Version;
use market::{Kind, Record, UnixNanos};
use ports::batch::{Batch, Partition};
use ports::source::{Event, Source};
use ports::store::{Scan, Store};
use ports::topic::{Fetched, Names, Topics};
use ports::{CancelToken, Error, Result};
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet, hash_map};
use std::ops::ControlFlow;

/// Identifies the records of one kind, feed and symbol.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Trades or quotes.
    pub kind: Kind,
    /// Their symbol.
    pub symbol: String,
    /// Their feed.
    pub feed: String,
}

impl Key {
    fn of(record: &Record<&str>) -> Self {
        Self { kind: record.kind(), symbol: (*record.symbol()).to_owned(), feed: (*record.feed()).to_owned() }
    }
}

/// Contents of one side.
pub type Content = BTreeMap<Key, Digest>;

/// Which records to compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Only {
    /// This feed, or all if `None`.
    pub feed: Option<String>,
    /// Start of the event time range, inclusive.
    pub from: UnixNanos,
    /// End of the event time range, exclusive.
    pub to: UnixNanos,
}

impl Default for Only {
    fn default() -> Self {
        Self { feed: None, from: UnixNanos(i64::MIN), to: UnixNanos(i64::MAX) }
    }
}

impl Only {
    pub(crate) fn contains<S: AsRef<str> + Copy>(&self, record: &Record<S>) -> bool {
        (self.from..self.to).contains(&record.ts())
            && self.feed.as_deref().is_none_or(|feed| record.feed().as_ref() == feed)
    }
}

/// The winning version of each identity on one side. About 50 bytes per record.
#[derive(Debug, Default)]
pub struct Identities {
    keys: Vec<Key>,
    indices: FxHashMap<Key, u32>,
    /// Keyed by [`digest::identity`].
    records: FxHashMap<u64, Entry>,
    /// Repeats of a record, in any version.
    pub repeats: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    content: u128,
    /// The greatest wins: on a topic [`Version::write_us`], in a source the revision.
    order: i64,
    /// Index of its key.
    key: u32,
}

impl Identities {
    pub(crate) fn add(&mut self, record: &Record<&str>, identity: u64, content: u128, order: i64) {
        let key = self.index(record);
        let new = Entry { content, order, key };
        match self.records.entry(identity) {
            hash_map::Entry::Vacant(vacant) => {
                vacant.insert(new);
            }
            hash_map::Entry::Occupied(mut have) => {
                self.repeats += 1;
                if (order, content) > (have.get().order, have.get().content) {
                    have.insert(new);
                }
            }
        }
    }

    fn index(&mut self, record: &Record<&str>) -> u32 {
        let key = Key::of(record);
        if let Some(index) = self.indices.get(&key) {
            return *index;
        }
        let index = self.keys.len() as u32;
        self.keys.push(key.clone());
        self.indices.insert(key, index);
        index
    }

    /// Count and fingerprint by key.
    #[must_use]
    pub fn content(&self) -> Content {
        let mut digests = vec![Digest::default(); self.keys.len()];
        for entry in self.records.values() {
            digests[entry.key as usize].add_hash(entry.content);
        }
        self.keys.iter().cloned().zip(digests).collect()
    }

    fn get(&self, identity: u64) -> Option<Entry> {
        self.records.get(&identity).copied()
    }

    /// How the records of these keys differ from those of another side.
    #[must_use]
    pub fn differ_from(&self, other: &Self, keys: &BTreeSet<Key>) -> SideDifference {
        let mut found = SideDifference::default();
        for (identity, content) in self.of_keys(keys) {
            match other.get(identity) {
                None => found.only_here += 1,
                Some(entry) if entry.content != content => found.changed += 1,
                Some(_) => {}
            }
        }
        found.only_there =
            other.of_keys(keys).filter(|(identity, _)| !self.records.contains_key(identity)).count() as u64;
        found
    }

    /// The identities of these keys, with their content.
    fn of_keys(&self, keys: &BTreeSet<Key>) -> impl Iterator<Item = (u64, u128)> {
        let wanted: Vec<bool> = self.keys.iter().map(|key| keys.contains(key)).collect();
        let records = self.records.iter().filter(move |(_, entry)| wanted[entry.key as usize]);
        records.map(|(identity, entry)| (*identity, entry.content))
    }

    /// All feeds.
    #[must_use]
    pub fn feeds(&self) -> BTreeSet<String> {
        self.keys.iter().map(|key| key.feed.clone()).collect()
    }
}

/// Numbers of records that differ between two sides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SideDifference {
    /// On the first side and not on the other.
    pub only_here: u64,
    /// On the other side and not on the first.
    pub only_there: u64,
    /// On both sides with different fields.
    pub changed: u64,
}

/// Contents of a topic.
#[derive(Debug, Default)]
pub struct TopicContent {
    /// Each record once, in the version that stores keep. Repeats, which a crashed producer or a second run
    /// publish, are counted.
    pub records: Identities,
    /// Messages that are not records.
    pub unreadable: u64,
}

/// Contents of a source.
#[derive(Debug, Default)]
pub struct SourceContent {
    /// Each record once, in its highest revision.
    pub records: Identities,
    /// Rows that could not be read.
    pub unreadable: u64,
    /// A vendor's own bars, which are not compared.
    pub bars: u64,
    /// Inputs that could not be read to their end ([`Source::incomplete`]).
    pub incomplete: Vec<String>,
}

/// Reads a source to its end. Of several versions with one revision, the one on `topic` counts: only the
/// topic knows which was published last.
///
/// # Errors
/// An error of the source.
pub fn source(
    source: &mut dyn Source,
    only: &Only,
    topic: &Identities,
    stop: &CancelToken,
) -> Result<SourceContent> {
    let mut found = SourceContent::default();
    let (mut unreadable, mut bars) = (0, 0);
    each_of_source(source, stop, &mut |row, scratch| match row {
        SourceRow::Record(record) if only.contains(record) => {
            add_of_source(&mut found.records, record, topic, scratch);
        }
        SourceRow::Record(_) => {}
        SourceRow::Unreadable => unreadable += 1,
        SourceRow::Bar => bars += 1,
    })?;
    (found.unreadable, found.bars) = (unreadable, bars);
    found.incomplete = source.incomplete().to_vec();
    Ok(found)
}

fn add_of_source(found: &mut Identities, record: &Record<&str>, topic: &Identities, scratch: &mut Vec<u8>) {
    let identity = digest::identity(record, scratch);
    let content = digest::content(record, scratch);
    let order = match record {
        Record::Trade(trade) => i64::from(trade.revision),
        _ => 0,
    };
    let published = topic.get(identity).map(|entry| entry.content);
    match found.records.get_mut(&identity) {
        Some(have) if have.order == order => {
            if published != Some(have.content) {
                have.content = content;
            }
            found.repeats += 1;
        }
        _ => found.add(record, identity, content, order),
    }
}

/// Collects what a source emits, as far as it is compared.
enum SourceRow<'a, 'r> {
    Record(&'a Record<&'r str>),
    Unreadable,
    Bar,
}

fn each_of_source(
    source: &mut dyn Source,
    stop: &CancelToken,
    f: &mut dyn FnMut(SourceRow<'_, '_>, &mut Vec<u8>),
) -> Result<()> {
    let mut scratch = Vec::new();
    while source.next(stop, &mut |event| {
        match event {
            Event::Record { kind, payload, .. } => match json::decode(kind, payload) {
                Some(record) => f(SourceRow::Record(&record), &mut scratch),
                None => f(SourceRow::Unreadable, &mut scratch),
            },
            Event::Dead(_) => f(SourceRow::Unreadable, &mut scratch),
            Event::Bar(_) => f(SourceRow::Bar, &mut scratch),
            Event::Notice(_) | Event::Gap(_) => {}
        }
        Ok(())
    })? {
        if stop.is_cancelled() {
            return Err(Error::stopped());
        }
    }
    Ok(())
}

/// Reads the record topics to their current end.
///
/// # Errors
/// An error of the topic.
pub fn topic(topics: &dyn Topics, names: &Names, only: &Only) -> Result<TopicContent> {
    let mut found = TopicContent::default();
    let mut unreadable = 0;
    each_of_topic(topics, names, &mut |record, message, scratch| {
        let Some(record) = record else {
            unreadable += 1;
            return;
        };
        if only.contains(record) {
            let identity = digest::identity(record, scratch);
            let version = Version::of(record, message.stamp_ms(), scratch);
            found.records.add(record, identity, version.content, version.write_us);
        }
    })?;
    found.unreadable = unreadable;
    Ok(found)
}

/// Callback with each message and its record, if it is one, and a scratch buffer.
type EachMessage<'f> = &'f mut dyn FnMut(Option<&Record<&str>>, &dyn Fetched, &mut Vec<u8>);

/// Calls `f` with each record of the topics, or `None` for a message that is not one.
fn each_of_topic(topics: &dyn Topics, names: &Names, f: EachMessage<'_>) -> Result<()> {
    let (mut scratch, mut batch) = (Vec::new(), Batch::default());
    topics.read_all(&names.all_records(), &mut |message| {
        batch.clear();
        let at = Partition { topic: 0, number: 0 };
        let read = crate::consume::kind(message)
            .ok()
            .and_then(|kind| batch.push(kind, message.payload(), message.stamp_ms(), at, 0).ok());
        match read {
            Some(()) => f(Some(&batch.record(&batch.rows()[0])), message, &mut scratch),
            None => f(None, message, &mut scratch),
        }
    })?;
    Ok(())
}

/// Reads the whole store.
///
/// # Errors
/// An error of the store.
pub fn store(store: &dyn Store, only: &Only) -> Result<Content> {
    let (mut content, mut scratch) = (Content::new(), Vec::new());
    let mut last: Option<(Key, Digest)> = None;
    for kind in Kind::ALL {
        store.scan(&Scan::all(kind), &mut |record| {
            if only.contains(record) {
                let hash = digest::content(record, &mut scratch);
                // Consecutive records often have the same key.
                match &mut last {
                    Some((key, digest)) if is_of(key, record) => digest.add_hash(hash),
                    _ => {
                        if let Some((key, digest)) = last.take() {
                            content.entry(key).or_default().merge(&digest);
                        }
                        let mut digest = Digest::default();
                        digest.add_hash(hash);
                        last = Some((Key::of(record), digest));
                    }
                }
            }
            ControlFlow::Continue(())
        })?;
    }
    if let Some((key, digest)) = last {
        content.entry(key).or_default().merge(&digest);
    }
    Ok(content)
}

fn is_of(key: &Key, record: &Record<&str>) -> bool {
    key.kind == record.kind() && key.symbol == *record.symbol() && key.feed == *record.feed()
}

/// One line of the comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The records compared.
    pub key: Key,
    /// Contents of each side, in the given order.
    pub places: Vec<Digest>,
}

impl Line {
    /// Whether all sides are equal.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.places.windows(2).all(|pair| pair[0] == pair[1])
    }
}

/// Joins the sides, for every key that any of them has.
#[must_use]
pub fn compare(places: &[&Content]) -> Vec<Line> {
    let keys: BTreeSet<&Key> = places.iter().flat_map(|content| content.keys()).collect();
    keys.into_iter()
        .map(|key| Line {
            key: key.clone(),
            places: places.iter().map(|content| content.get(key).copied().unwrap_or_default()).collect(),
        })
        .collect()
}
