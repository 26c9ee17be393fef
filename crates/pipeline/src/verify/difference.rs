//! Which records differ between source, topic and store, and in which fields.

use super::{Identities, Key, Only, SourceRow, each_of_source, each_of_topic};
use market::codec::json;
use market::digest;
use market::{Record, UnixNanos};
use ports::source::Source;
use ports::store::{Scan, Store};
use ports::topic::{Names, Topics};
use ports::{CancelToken, Error, Result};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

/// Opens a source again.
pub type OpenSource<'a> = &'a dyn Fn() -> Result<Box<dyn Source>>;

/// The compared sides, to be read again.
pub struct Places<'a> {
    /// Reopens the source, and its contents.
    pub source: Option<(OpenSource<'a>, &'a Identities)>,
    /// The topic, and its contents.
    pub topic: (&'a dyn Topics, &'a Names, &'a Identities),
    /// The store.
    pub store: &'a dyn Store,
    /// Which records are compared.
    pub only: &'a Only,
}

/// A record that some sides lack, or that differs between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its event time.
    pub ts: UnixNanos,
    /// Its canonical JSON on each side, in the order source (if compared), topic, store; `None` if missing.
    pub places: Vec<Option<String>>,
}

/// The differing records of one key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Differences {
    /// Number of differing records.
    pub count: u64,
    /// The first of them by event time.
    pub first: Vec<Difference>,
}

/// Finds the records of `keys` that differ, and returns the first `show` of each key.
///
/// # Errors
/// An error of a side.
pub fn find(
    places: &Places<'_>,
    keys: &BTreeSet<Key>,
    show: usize,
    stop: &CancelToken,
) -> Result<BTreeMap<Key, Differences>> {
    let (_, _, topic) = places.topic;
    let stored = stored(places.store, places.only, keys)?;
    let maps: Vec<FxHashMap<u64, u128>> = places
        .source
        .iter()
        .map(|(_, records)| records.of_keys(keys).collect())
        .chain([topic.of_keys(keys).collect(), stored])
        .collect();
    let differs = |identity: &u64| {
        let first = maps[0].get(identity);
        maps[1..].iter().any(|map| map.get(identity) != first)
    };
    let wanted: FxHashSet<u64> = maps.iter().flat_map(|map| map.keys()).copied().filter(differs).collect();
    let mut collector = Collector { keys, wanted: &wanted, maps: &maps, show, found: BTreeMap::new() };
    if let Some((open, _)) = places.source {
        each_of_source(&mut *open()?, stop, &mut |row, scratch| {
            if let SourceRow::Record(record) = row {
                collector.add(0, record, scratch);
            }
        })?;
    }
    let (topics, names, _) = places.topic;
    each_of_topic(topics, names, &mut |record, _, scratch| {
        if let Some(record) = record {
            collector.add(collector.maps.len() - 2, record, scratch);
        }
    })?;
    let mut scratch = Vec::new();
    each_stored(places.store, keys, &mut |record| {
        collector.add(collector.maps.len() - 1, record, &mut scratch)
    })?;
    Ok(collector.finish())
}

struct Collector<'a> {
    keys: &'a BTreeSet<Key>,
    wanted: &'a FxHashSet<u64>,
    /// Content by identity, for each side.
    maps: &'a [FxHashMap<u64, u128>],
    show: usize,
    found: BTreeMap<Key, Collected>,
}

/// Differing records of one key.
#[derive(Default)]
struct Collected {
    identities: FxHashSet<u64>,
    /// The first of them by event time and identity: their text on each side.
    first: BTreeMap<(UnixNanos, u64), Vec<Option<String>>>,
}

impl Collector<'_> {
    fn add(&mut self, place: usize, record: &Record<&str>, scratch: &mut Vec<u8>) {
        let identity = digest::identity(record, scratch);
        // Of several versions only the winning one.
        if !self.wanted.contains(&identity)
            || self.maps[place].get(&identity) != Some(&digest::content(record, scratch))
        {
            return;
        }
        let key = Key::of(record);
        if !self.keys.contains(&key) {
            return;
        }
        scratch.clear();
        json::encode(record, scratch);
        let text = String::from_utf8_lossy(scratch).into_owned();
        let Collected { identities, first } = self.found.entry(key).or_default();
        identities.insert(identity);
        let places = first.entry((record.ts(), identity)).or_insert_with(|| vec![None; self.maps.len()]);
        places[place] = Some(text);
        if first.len() > self.show {
            first.pop_last();
        }
    }

    fn finish(self) -> BTreeMap<Key, Differences> {
        let found = self.found.into_iter().map(|(key, collected)| {
            let first =
                collected.first.into_iter().map(|((ts, _), places)| Difference { ts, places }).collect();
            (key, Differences { count: collected.identities.len() as u64, first })
        });
        found.collect()
    }
}

/// Content by identity of the records of these keys in the store.
pub(super) fn stored(store: &dyn Store, only: &Only, keys: &BTreeSet<Key>) -> Result<FxHashMap<u64, u128>> {
    let (mut out, mut scratch) = (FxHashMap::default(), Vec::new());
    each_stored(store, keys, &mut |record| {
        if only.contains(record) && keys.contains(&Key::of(record)) {
            let identity = digest::identity(record, &mut scratch);
            out.insert(identity, digest::content(record, &mut scratch));
        }
    })?;
    Ok(out)
}

fn each_stored(store: &dyn Store, keys: &BTreeSet<Key>, f: &mut dyn FnMut(&Record<&str>)) -> Result<()> {
    let symbols: BTreeSet<_> = keys.iter().map(|key| (key.kind, &key.symbol)).collect();
    for (kind, symbol) in symbols {
        let scan = Scan { symbol: Some(symbol.clone()), ..Scan::all(kind) };
        store.scan(&scan, &mut |record| {
            f(record);
            ControlFlow::Continue(())
        })?;
    }
    Ok(())
}

impl Difference {
    /// The fields that differ between the sides that hold the record, each with its value on every side:
    /// JSON, or `-` if the record lacks the field. Empty if the record is only missing somewhere.
    ///
    /// # Errors
    /// A text is not a JSON object.
    pub fn fields(&self) -> Result<Vec<(String, Vec<String>)>> {
        let read = |text: &Option<String>| match text {
            Some(text) => serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text)
                .map(Some)
                .map_err(|error| Error::internal(format!("read a compared record: {error}"))),
            None => Ok(None),
        };
        let maps = self.places.iter().map(read).collect::<Result<Vec<_>>>()?;
        let mut names: Vec<&String> = maps.iter().flatten().flat_map(|map| map.keys()).collect();
        names.sort();
        names.dedup();
        let mut out = Vec::new();
        for name in names.into_iter().filter(|name| *name != "recv_ts") {
            let held: Vec<_> = maps.iter().flatten().map(|map| map.get(name)).collect();
            if held.windows(2).any(|pair| pair[0] != pair[1]) {
                let shown = maps.iter().map(|map| {
                    let value = map.as_ref().and_then(|map| map.get(name));
                    value.map_or_else(|| "-".to_owned(), ToString::to_string)
                });
                out.push((name.clone(), shown.collect()));
            }
        }
        Ok(out)
    }
}
