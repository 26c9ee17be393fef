//! The directory: which buckets of which kind, symbol and feed have rows.
//!
//! A row per bucket, and not the first and the last one in one row: inserts of several writers need no order among them,
//! and a symbol with one record of 1970 and one of today costs two reads, not half a million. Where raw rows expire, so do
//! their buckets, two days later; writers enter a bucket again each day on which they meet it.

use super::cause::explain;
use super::session::{CassandraStore, prepare};
use crate::store::seen::BucketEntry;
use futures_util::{StreamExt, TryStreamExt};
use market::time::MILLI;
use market::{Kind, UnixNanos};
use ports::store::{DirectoryEntry, Scan, Store};
use ports::{Error, Result};
use scylla::client::session::Session;
use scylla::errors::ExecutionError;
use scylla::statement::prepared::PreparedStatement;
use scylla::value::CqlTimestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Columns as in `system_schema.columns`.
pub(super) const DIRECTORY: &[(&str, &str)] = &[
    ("kind", "text partition_key"),
    ("symbol", "text partition_key"),
    ("bucket", "timestamp clustering"),
    ("feed", "text clustering"),
];
/// Entries written at the same time.
const AT_ONCE: usize = 16;
/// Days that an entry outlives the rows of its bucket: more than writers take to enter it again.
const RETENTION_MARGIN_DAYS: u32 = 2;
/// Buckets of a range up to which each is read without a look at the directory.
const DIRECT: i64 = 48;

pub(super) fn create(keyspace: &str, retention_days: u32) -> String {
    let days = if retention_days == 0 { 0 } else { retention_days.saturating_add(RETENTION_MARGIN_DAYS) };
    let columns: Vec<String> = DIRECTORY
        .iter()
        .map(|(name, class)| format!("{name} {}", class.split(' ').next().unwrap_or(class)))
        .collect();
    format!(
        "CREATE TABLE IF NOT EXISTS {keyspace}.directory ({}, PRIMARY KEY ((kind, symbol), bucket, feed)) \
         WITH default_time_to_live = {}",
        columns.join(", "),
        u64::from(days) * 86_400
    )
}

/// The statement that enters a bucket.
pub(super) async fn prepare_insert(
    session: &Session,
    keyspace: &str,
) -> std::result::Result<PreparedStatement, ExecutionError> {
    let text = format!("INSERT INTO {keyspace}.directory (kind, symbol, bucket, feed) VALUES (?, ?, ?, ?)");
    let mut statement = session.prepare(text).await?;
    statement.set_is_idempotent(true);
    Ok(statement)
}

/// Enters buckets, several at the same time. Entering one again changes nothing.
pub(super) async fn insert(
    session: &Session,
    statement: &PreparedStatement,
    entries: &[BucketEntry],
) -> std::result::Result<(), ExecutionError> {
    let writes: Vec<_> = entries.iter().map(|entry| insert_one(session, statement, entry)).collect();
    futures_util::stream::iter(writes).buffer_unordered(AT_ONCE).try_collect().await
}

async fn insert_one(
    session: &Session,
    statement: &PreparedStatement,
    entry: &BucketEntry,
) -> std::result::Result<(), ExecutionError> {
    let BucketEntry { kind, symbol, feed, start } = entry;
    let values = (kind.name(), symbol, CqlTimestamp(start.millis()), feed);
    session.execute_unpaged(statement, values).await.map(drop)
}

/// Enters all buckets that the tables of records hold: of a keyspace that was written before it had a directory. Reads
/// the feed of every row.
pub(super) async fn fill(session: &Session, store: &CassandraStore) -> Result<usize> {
    let place = format!("fill the directory of {}", store.describe());
    let insert_bucket =
        prepare_insert(session, &store.keyspace).await.map_err(|error| explain(&place, &error))?;
    let mut filled = 0;
    for kind in Kind::ALL {
        let table = kind.plural();
        let (symbol, bucket) = (kind.table().partition(), kind.bucket().name());
        let partitions = format!("SELECT DISTINCT {symbol}, {bucket} FROM {}.{table}", store.keyspace);
        let feeds =
            format!("SELECT feed FROM {}.{table} WHERE {symbol} = ? AND {bucket} = ?", store.keyspace);
        let feeds = prepare(session, store, feeds).await?;
        let mut partitions = session
            .query_iter(partitions, ())
            .await
            .map_err(|error| store.keyspace_fails("list partitions")(&error))?
            .rows_stream::<(String, CqlTimestamp)>()
            .map_err(|error| Error::internal(format!("{place}: {error}")))?;
        while let Some(partition) = partitions.next().await {
            let (symbol, start) = partition.map_err(|error| Error::external(format!("{place}: {error}")))?;
            let rows = session
                .execute_iter(feeds.clone(), (&symbol, start))
                .await
                .map_err(|error| store.keyspace_fails("read feeds")(&error))?
                .rows_stream::<(String,)>()
                .map_err(|error| Error::internal(format!("{place}: {error}")))?;
            let found: BTreeSet<String> = rows
                .map_ok(|(feed,)| feed)
                .try_collect()
                .await
                .map_err(|error| Error::external(format!("{place}: {error}")))?;
            let entries: Vec<BucketEntry> = found
                .into_iter()
                .map(|feed| BucketEntry {
                    kind,
                    symbol: symbol.clone(),
                    feed,
                    start: UnixNanos(start.0 * MILLI),
                })
                .collect();
            insert(session, &insert_bucket, &entries).await.map_err(|error| explain(&place, &error))?;
            filled += entries.len();
        }
    }
    Ok(filled)
}

type EntryRow = (String, String, CqlTimestamp, String);

/// Calls `f` with each bucket of the directory: its kind, symbol, feed and start.
async fn each(
    session: &Session,
    store: &CassandraStore,
    mut f: impl FnMut(Kind, String, String, UnixNanos),
) -> Result<()> {
    let place = format!("read the directory of {}", store.describe());
    let text = format!("SELECT kind, symbol, bucket, feed FROM {}.directory", store.keyspace);
    let mut rows = session
        .query_iter(text, ())
        .await
        .map_err(|error| store.keyspace_fails("read the directory")(&error))?
        .rows_stream::<EntryRow>()
        .map_err(|error| Error::internal(format!("{place}: {error}")))?;
    while let Some(row) = rows.next().await {
        let (kind, symbol, start, feed) =
            row.map_err(|error| Error::external(format!("{place}: {error}")))?;
        let kind = kind.parse().map_err(|why| Error::user(format!("{place}: {why}")))?;
        f(kind, symbol, feed, UnixNanos(start.0.saturating_mul(MILLI)));
    }
    Ok(())
}

/// The directory as the port has it.
pub(super) fn entries(store: &CassandraStore) -> Result<Vec<DirectoryEntry>> {
    let (runtime, session) = store.session()?;
    runtime.block_on(async {
        let mut spans: BTreeMap<(Kind, String, String), (UnixNanos, UnixNanos)> = BTreeMap::new();
        each(&session, store, |kind, symbol, feed, start| {
            let (first, last) = spans.entry((kind, symbol, feed)).or_insert((start, start));
            *first = start.min(*first);
            *last = start.max(*last);
        })
        .await?;
        let entry =
            |((kind, symbol, feed), (first, last))| DirectoryEntry { kind, symbol, feed, first, last };
        Ok(spans.into_iter().map(entry).collect())
    })
}

/// A partition of a table of records.
pub(super) type Partition = (String, UnixNanos);

/// All partitions of each kind, sorted by symbol and time.
pub(super) async fn all_partitions(
    session: &Session,
    store: &CassandraStore,
) -> Result<[BTreeSet<Partition>; Kind::COUNT]> {
    let mut all = std::array::from_fn(|_| BTreeSet::new());
    each(session, store, |kind, symbol, _, start| {
        all[kind.index()].insert((symbol, start));
    })
    .await?;
    Ok(all)
}

/// The partitions that a scan has to read, in order. Of a short range they are computed from it; else the directory is
/// read, of one symbol if the scan is of one.
pub(super) async fn partitions(
    session: &Session,
    store: &CassandraStore,
    scan: &Scan,
) -> Result<Vec<Partition>> {
    if scan.from >= scan.to {
        return Ok(Vec::new());
    }
    let bucket = scan.kind.bucket();
    let last = bucket.start(UnixNanos(scan.to.0.saturating_sub(1)));
    let Some(symbol) = &scan.symbol else {
        let mut all = all_partitions(session, store).await?;
        let of_kind = std::mem::take(&mut all[scan.kind.index()]);
        let touched =
            |start: UnixNanos| start <= last && start.0.saturating_add(bucket.length()) > scan.from.0;
        return Ok(of_kind.into_iter().filter(|(_, start)| touched(*start)).collect());
    };
    if let Some(starts) = computed(bucket, scan.from, last) {
        return Ok(starts.map(|start| (symbol.clone(), start)).collect());
    }
    let place = format!("read the directory of {}", store.describe());
    let text = format!(
        "SELECT bucket FROM {}.directory WHERE kind = ? AND symbol = ? AND bucket >= ? AND bucket <= ?",
        store.keyspace
    );
    let statement = prepare(session, store, text).await?;
    let from = scan.from.0.saturating_sub(bucket.length() - 1);
    let values =
        (scan.kind.name(), symbol, CqlTimestamp(UnixNanos(from).millis()), CqlTimestamp(last.millis()));
    let mut rows = session
        .execute_iter(statement, values)
        .await
        .map_err(|error| store.keyspace_fails("read the directory")(&error))?
        .rows_stream::<(CqlTimestamp,)>()
        .map_err(|error| Error::internal(format!("{place}: {error}")))?;
    let mut starts = Vec::new();
    while let Some(row) = rows.next().await {
        let (start,) = row.map_err(|error| Error::external(format!("{place}: {error}")))?;
        starts.push(UnixNanos(start.0.saturating_mul(MILLI)));
    }
    // They come in order; each feed has its own.
    starts.dedup();
    Ok(starts.into_iter().map(|start| (symbol.clone(), start)).collect())
}

/// The starts of the buckets of a range, if it is short.
fn computed(
    bucket: market::kind::Bucket,
    from: UnixNanos,
    last: UnixNanos,
) -> Option<impl Iterator<Item = UnixNanos>> {
    let first = bucket.start(from);
    let count = last.0.checked_sub(first.0)? / bucket.length() + 1;
    (count <= DIRECT).then(|| (0..count).map(move |n| UnixNanos(first.0 + n * bucket.length())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use market::kind::Bucket;

    #[test]
    fn short_ranges_need_no_directory() {
        const HOUR: i64 = market::time::HOUR;
        let starts = |from: i64, last: i64| -> Option<Vec<i64>> {
            let last = Bucket::Hour.start(UnixNanos(last));
            Some(computed(Bucket::Hour, UnixNanos(from), last)?.map(|start| start.0).collect())
        };
        assert_eq!(starts(5, 6), Some(vec![0]));
        // Ten minutes are one partition or two, whatever else the keyspace holds.
        assert_eq!(starts(HOUR - 1, HOUR + HOUR / 6 - 2), Some(vec![0, HOUR]));
        assert_eq!(starts(-1, HOUR), Some(vec![-HOUR, 0, HOUR]));
        assert_eq!(starts(0, 48 * HOUR - 1).map(|starts| starts.len()), Some(48));
        assert_eq!(starts(0, 48 * HOUR), None);
        assert_eq!(starts(i64::MIN, i64::MAX), None);
    }

    #[test]
    fn entries_outlive_the_rows_of_their_bucket() {
        assert!(create("k", 0).ends_with("default_time_to_live = 0"));
        assert!(create("k", 30).ends_with(&format!("default_time_to_live = {}", 32 * 86_400)));
    }
}
