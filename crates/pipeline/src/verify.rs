//! The proof: source, topic and store hold the same records, field for field.

use market::codec::json;
use market::digest::{self, Digest};
use market::{Kind, Record, UnixNanos};
use ports::batch::{Batch, Partition};
use ports::source::{Event, Source};
use ports::store::{Scan, Store};
use ports::topic::{Names, Topics};
use ports::{CancelToken, Result};
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

/// A symbol's records of one kind.
pub type Key = (Kind, String);
/// What one place holds.
pub type Content = BTreeMap<Key, Digest>;

/// Which records are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Only {
    /// Of this feed; of all if not said.
    pub feed: Option<String>,
    /// From this event time on.
    pub from: UnixNanos,
    /// Before this event time.
    pub to: UnixNanos,
}

impl Default for Only {
    fn default() -> Self {
        Self { feed: None, from: UnixNanos(i64::MIN), to: UnixNanos(i64::MAX) }
    }
}

impl Only {
    fn takes<S: AsRef<str> + Copy>(&self, record: &Record<S>) -> bool {
        (self.from..self.to).contains(&record.ts())
            && self.feed.as_deref().is_none_or(|feed| record.feed().as_ref() == feed)
    }
}

/// What the topic holds besides.
#[derive(Debug, Default)]
pub struct TopicContent {
    /// Each record once, as last published.
    pub records: Content,
    /// Messages that repeat a record: what a producer that died, or a second run, sends again.
    pub repeats: u64,
    /// Messages that are no records.
    pub unreadable: u64,
}

/// Reads a source to its end. Also returns how many rows could not be read.
///
/// # Errors
/// The source's.
pub fn source(source: &mut dyn Source, only: &Only, stop: &CancelToken) -> Result<(Content, u64)> {
    let (mut content, mut dead, mut scratch) = (Content::new(), 0, Vec::new());
    while source.next(stop, &mut |event| {
        match event {
            Event::Record { kind, payload, .. } => match json::decode(kind, payload) {
                Some(record) if only.takes(&record) => add(&mut content, &record, &mut scratch),
                Some(_) => {}
                None => dead += 1,
            },
            Event::Dead(_) => dead += 1,
            Event::Bar(_) | Event::Notice(_) | Event::Gap(_) => {}
        }
        Ok(())
    })? {
        if stop.is_cancelled() {
            return Err(ports::Error::user("stopped"));
        }
    }
    Ok((content, dead))
}

fn add(content: &mut Content, record: &Record<&str>, scratch: &mut Vec<u8>) {
    let hash = digest::content(record, scratch);
    entry(content, record.kind(), record.symbol()).add_hash(hash);
}

fn entry<'a>(content: &'a mut Content, kind: Kind, symbol: &str) -> &'a mut Digest {
    content.entry((kind, symbol.to_owned())).or_default()
}

/// Reads the record topics to their present end.
///
/// # Errors
/// The topic's.
pub fn topic(topics: &dyn Topics, names: &Names, only: &Only) -> Result<TopicContent> {
    let mut found = TopicContent::default();
    let mut symbols: Vec<Key> = Vec::new();
    let mut places: BTreeMap<Key, u32> = BTreeMap::new();
    // By identity: the newest message's timestamp, its content, and whose it is.
    let mut records: FxHashMap<u64, (i64, u128, u32)> = FxHashMap::default();
    let (mut scratch, mut batch) = (Vec::new(), Batch::default());
    topics.read_all(&names.all_records(), &mut |message| {
        let mut kind = None;
        message.headers(&mut |name, value| {
            if name == "kind" {
                kind = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            }
        });
        batch.clear();
        let at = Partition { topic: 0, number: 0 };
        let Some(Ok(())) = kind.map(|kind| batch.push(kind, message.payload(), 0, at, 0)) else {
            found.unreadable += 1;
            return;
        };
        let record = batch.record(&batch.rows()[0]);
        if !only.takes(&record) {
            return;
        }
        let key = (record.kind(), (*record.symbol()).to_owned());
        let whose = *places.entry(key).or_insert_with_key(|key| {
            symbols.push(key.clone());
            symbols.len() as u32 - 1
        });
        let identity = digest::identity(&record, &mut scratch);
        let content = (message.stamp_ms(), digest::content(&record, &mut scratch), whose);
        records
            .entry(identity)
            .and_modify(|have| {
                found.repeats += 1;
                if content.0 >= have.0 {
                    *have = content;
                }
            })
            .or_insert(content);
    })?;
    for (_, hash, whose) in records.into_values() {
        found.records.entry(symbols[whose as usize].clone()).or_default().add_hash(hash);
    }
    Ok(found)
}

/// Reads the whole store.
///
/// # Errors
/// The store's.
pub fn store(store: &dyn Store, only: &Only) -> Result<Content> {
    let (mut content, mut scratch) = (Content::new(), Vec::new());
    for kind in Kind::ALL {
        store.scan(&Scan::all(kind), &mut |record| {
            if only.takes(record) {
                add(&mut content, record, &mut scratch);
            }
            ControlFlow::Continue(())
        })?;
    }
    Ok(content)
}

/// One line of the comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Whose.
    pub key: Key,
    /// What each place holds, in the order they were given.
    pub places: Vec<Digest>,
}

impl Line {
    /// Whether all places hold the same.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.places.windows(2).all(|pair| pair[0] == pair[1])
    }
}

/// Puts the places side by side, for every symbol and kind that any of them has.
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
