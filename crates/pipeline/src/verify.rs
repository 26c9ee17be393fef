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
use std::collections::hash_map::Entry;
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

/// The newest version of each record, by identity: what remains of repeats, corrections and cancels.
#[derive(Default)]
struct Newest {
    symbols: Vec<Key>,
    places: BTreeMap<Key, u32>,
    /// By identity: the newest version's stamp, its content, and whose it is.
    records: FxHashMap<u64, (i64, u128, u32)>,
    scratch: Vec<u8>,
}

impl Newest {
    /// Adds a version; false if the record has one already. Of two with one stamp the later one is the newest.
    fn add(&mut self, record: &Record<&str>, stamp: i64) -> bool {
        let key = (record.kind(), (*record.symbol()).to_owned());
        let symbols = &mut self.symbols;
        let whose = *self.places.entry(key).or_insert_with_key(|key| {
            symbols.push(key.clone());
            symbols.len() as u32 - 1
        });
        let identity = digest::identity(record, &mut self.scratch);
        let version = (stamp, digest::content(record, &mut self.scratch), whose);
        match self.records.entry(identity) {
            Entry::Vacant(entry) => {
                entry.insert(version);
                true
            }
            Entry::Occupied(mut entry) => {
                if version.0 >= entry.get().0 {
                    entry.insert(version);
                }
                false
            }
        }
    }

    fn content(self) -> Content {
        let mut content = Content::new();
        for (_, hash, whose) in self.records.into_values() {
            content.entry(self.symbols[whose as usize].clone()).or_default().add_hash(hash);
        }
        content
    }
}

/// Reads a source to its end: each record once, as it was handed over last. Also returns how many rows could not be read.
///
/// # Errors
/// The source's.
pub fn source(source: &mut dyn Source, only: &Only, stop: &CancelToken) -> Result<(Content, u64)> {
    let (mut newest, mut dead) = (Newest::default(), 0);
    while source.next(stop, &mut |event| {
        match event {
            Event::Record { kind, payload, .. } => match json::decode(kind, payload) {
                Some(record) if only.takes(&record) => {
                    newest.add(&record, 0);
                }
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
    Ok((newest.content(), dead))
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
    let (mut newest, mut batch) = (Newest::default(), Batch::default());
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
        if !newest.add(&record, message.stamp_ms()) {
            found.repeats += 1;
        }
    })?;
    found.records = newest.content();
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

#[cfg(test)]
mod tests {
    use super::*;
    use ports::source::Positions;

    /// Hands messages over, all at once.
    struct Messages(Vec<String>);

    impl Source for Messages {
        fn resume(&mut self, _: &Positions) -> Result<u64> {
            Ok(0)
        }

        fn next(&mut self, _: &CancelToken, sink: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<bool> {
            for text in self.0.drain(..) {
                let payload = text.as_bytes();
                sink(Event::Record { kind: Kind::Trade, symbol: "A", recv_ts: UnixNanos(1), payload })?;
            }
            Ok(false)
        }

        fn positions(&mut self) -> Positions {
            Positions::new()
        }

        fn size(&self) -> Option<u64> {
            None
        }

        fn describe(&self) -> String {
            "messages".to_owned()
        }
    }

    #[test]
    fn a_source_that_repeats_corrects_or_cancels_counts_each_record_once() {
        let trade = |id: u32, tail: &str| {
            format!(
                r#"{{"symbol":"A","feed":"f","venue":"P","id":"{id}","ts":1,"recv_ts":1,"price":"1","size":"1","conditions":[]{tail}}}"#
            )
        };
        let canceled = r#","revision":1,"canceled":true"#;
        let read = |messages: &[String]| {
            source(&mut Messages(messages.to_vec()), &Only::default(), &CancelToken::default()).unwrap()
        };
        let plain = read(&[trade(1, ""), trade(2, canceled)]);
        assert_eq!(plain.0[&(Kind::Trade, "A".to_owned())].count, 2);
        assert_eq!(read(&[trade(1, ""), trade(2, ""), trade(1, ""), trade(2, canceled)]), plain);
        assert_ne!(read(&[trade(1, ""), trade(2, "")]), plain);
    }
}
