//! The buckets that this process has entered in the directory of its store.
//!
//! The directory lists (kind, symbol, feed, bucket). A writer enters a bucket when it first meets a record of it, before
//! the batch is reported as stored: an offset is never committed before the directory names the bucket of its record.

use market::{Kind, UnixNanos};
use ports::batch::{Batch, Row};
use rustc_hash::{FxHashMap, FxHashSet};
use std::time::{Duration, Instant};

/// Buckets remembered at most; beyond it they are entered again, which changes nothing in the store.
const CAPACITY: usize = 1_000_000;
/// How long buckets are remembered. Entries of a store with a retention expire; they are renewed in time.
const LIFETIME: Duration = Duration::from_secs(24 * 3_600);

/// A bucket of one kind, symbol and feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BucketEntry {
    pub(super) kind: Kind,
    pub(super) symbol: String,
    pub(super) feed: String,
    pub(super) start: UnixNanos,
}

/// Buckets that are in the directory.
#[derive(Debug)]
pub(super) struct SeenBuckets {
    /// By kind and symbol.
    feeds: [FxHashMap<String, Vec<FeedBuckets>>; Kind::COUNT],
    len: usize,
    since: Instant,
}

#[derive(Debug)]
struct FeedBuckets {
    feed: String,
    /// Starts, sorted.
    starts: Vec<UnixNanos>,
}

impl Default for SeenBuckets {
    fn default() -> Self {
        Self { feeds: std::array::from_fn(|_| FxHashMap::default()), len: 0, since: Instant::now() }
    }
}

impl SeenBuckets {
    /// The buckets of these rows that are not known to be in the directory, each once. Rows of one partition should follow
    /// each other: then nothing is looked up for most of them.
    pub(super) fn unseen<'b>(
        &mut self,
        batch: &'b Batch,
        rows: impl Iterator<Item = &'b Row>,
    ) -> Vec<BucketEntry> {
        if self.len >= CAPACITY || self.since.elapsed() >= LIFETIME {
            *self = Self::default();
        }
        let mut found = Vec::new();
        let mut noted: FxHashSet<(Kind, &str, &str, UnixNanos)> = FxHashSet::default();
        let mut last = None;
        for row in rows {
            let kind = row.kind();
            let start = kind.bucket().start(row.ts());
            let key = (kind, start, batch.feed(row), batch.symbol(row));
            if last == Some(key) {
                continue;
            }
            last = Some(key);
            let (_, _, feed, symbol) = key;
            if !self.contains(kind, symbol, feed, start) && noted.insert((kind, symbol, feed, start)) {
                found.push(BucketEntry { kind, symbol: symbol.to_owned(), feed: feed.to_owned(), start });
            }
        }
        found
    }

    fn contains(&self, kind: Kind, symbol: &str, feed: &str, start: UnixNanos) -> bool {
        self.feeds[kind.index()]
            .get(symbol)
            .and_then(|feeds| feeds.iter().find(|buckets| buckets.feed == feed))
            .is_some_and(|buckets| buckets.starts.binary_search(&start).is_ok())
    }

    /// Remembers buckets that are in the directory now.
    pub(super) fn add(&mut self, entries: Vec<BucketEntry>) {
        for BucketEntry { kind, symbol, feed, start } in entries {
            let feeds = self.feeds[kind.index()].entry(symbol).or_default();
            let at = feeds.iter().position(|buckets| buckets.feed == feed).unwrap_or_else(|| {
                feeds.push(FeedBuckets { feed, starts: Vec::new() });
                feeds.len() - 1
            });
            let starts = &mut feeds[at].starts;
            if let Err(place) = starts.binary_search(&start) {
                starts.insert(place, start);
                self.len += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ports::batch::Partition;

    fn batch(rows: &[(&str, &str, i64)]) -> Batch {
        let mut batch = Batch::default();
        for (symbol, feed, ts) in rows {
            let text = format!(
                r#"{{"symbol":"{symbol}","feed":"{feed}","venue":"P","id":"1","ts":{ts},"recv_ts":1,"price":"1","size":"1","conditions":[]}}"#
            );
            let at = Partition { topic: 0, number: 0 };
            batch.push(Kind::TRADE, text.as_bytes(), 0, at, 0).unwrap();
        }
        batch
    }

    #[test]
    fn each_bucket_is_found_once_until_it_is_added() {
        const HOUR: i64 = market::time::HOUR;
        let batch = batch(&[
            ("A", "f", 1),
            ("A", "f", 2),
            ("A", "g", 3),
            ("A", "f", HOUR),
            ("B", "f", -1),
            ("A", "f", 3),
        ]);
        let mut seen = SeenBuckets::default();
        let unseen = |seen: &mut SeenBuckets| seen.unseen(&batch, batch.rows().iter());
        let found = unseen(&mut seen);
        let shown: Vec<_> = found.iter().map(|e| (&*e.symbol, &*e.feed, e.start.0)).collect();
        assert_eq!(shown, [("A", "f", 0), ("A", "g", 0), ("A", "f", HOUR), ("B", "f", -HOUR)]);
        // Not before they are written.
        assert_eq!(unseen(&mut seen), found);
        seen.add(found[..2].to_vec());
        assert_eq!(unseen(&mut seen), found[2..]);
        seen.add(found);
        assert_eq!((unseen(&mut seen), seen.len), (vec![], 4));
    }
}
