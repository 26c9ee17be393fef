//! A topic in a SQLite file: the embedded default, without a server or set-up.
//!
//! One row per message, ordered by (topic, partition, offset). Messages and the source's position are
//! appended in one transaction, so a producer that crashes repeats nothing. Any number of processes may use
//! the file; consumers of a group share the partitions by leases that they renew, and a member that stays
//! silent for [`LEASE`] loses its partitions.

mod consume;
mod produce;
mod write_queue;

use ports::batch::Partition;
use ports::check::Chain;
use ports::topic::{Consumer, Fetched, Names, PartitionLag, Producer, TopicSpec, Topics};
use ports::{Error, Result};
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use write_queue::WriteQueue;

/// Version of SQLite, for example `3.50.2`.
#[must_use]
pub fn library_version() -> &'static str {
    rusqlite::version()
}

/// How long a silent consumer keeps its partitions.
pub const LEASE: Duration = Duration::from_secs(3);

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS topics (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, partitions INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS messages (
    topic INTEGER NOT NULL, number INTEGER NOT NULL, offset INTEGER NOT NULL, stamp_ms INTEGER NOT NULL,
    key TEXT NOT NULL, headers TEXT NOT NULL, payload BLOB NOT NULL,
    PRIMARY KEY (topic, number, offset)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS offsets (
    grp TEXT NOT NULL, topic INTEGER NOT NULL, number INTEGER NOT NULL, next INTEGER NOT NULL,
    PRIMARY KEY (grp, topic, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS members (
    grp TEXT NOT NULL, member TEXT NOT NULL, seen_ms INTEGER NOT NULL, PRIMARY KEY (grp, member)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS owners (
    grp TEXT NOT NULL, topic INTEGER NOT NULL, number INTEGER NOT NULL, member TEXT NOT NULL,
    PRIMARY KEY (grp, topic, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS positions (source TEXT PRIMARY KEY, position BLOB NOT NULL) WITHOUT ROWID;
";

/// Topics in one SQLite file.
#[derive(Debug, Clone)]
pub struct SqliteTopics {
    path: PathBuf,
    /// Queue of all writers that use these topics.
    write_queue: Arc<WriteQueue>,
}

fn sql(path: &Path, doing: &str) -> impl Fn(rusqlite::Error) -> Error + use<> {
    let place = format!("{doing} in topic file {}", path.display());
    move |error| {
        match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
            Error::external(format!("{place}: {error}")).hint("another process has locked the file; retrying")
        }
        Some(rusqlite::ErrorCode::DiskFull) => {
            Error::external(format!("{place}: {error}")).hint("free some disk space")
        }
        Some(rusqlite::ErrorCode::ReadOnly) => Error::user(format!("{place}: {error}")).hint(
            "SQLite writes index files next to a file even to read it: obtain write permission, or copy the file",
        ),
        _ => Error::user(format!("{place}: {error}"))
            .hint("check the path, its permissions, and that it is a Tapeline topic file"),
    }
    }
}

impl SqliteTopics {
    /// Topics in the file at `path`, created on first use.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), write_queue: Arc::default() }
    }

    fn open(&self) -> Result<Connection> {
        let fail = sql(&self.path, "open");
        let connection = Connection::open(&self.path).map_err(&fail)?;
        connection.busy_timeout(Duration::from_secs(30)).map_err(&fail)?;
        connection
            .execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-16000;")
            .map_err(&fail)?;
        connection.execute_batch(SCHEMA).map_err(&fail)?;
        Ok(connection)
    }

    /// Opens for reading: creates nothing.
    fn open_existing(&self) -> Result<Connection> {
        let create = format!("create it: tapeline init --topic {}", self.describe());
        if !self.path.is_file() {
            return Err(Error::user(format!("no topic file {}", self.path.display())).hint(create));
        }
        let fail = sql(&self.path, "open");
        // SQLite needs the index files to read a database in WAL mode: read-only if the folder permits no
        // more.
        let connection = Connection::open_with_flags(&self.path, OpenFlags::SQLITE_OPEN_READ_WRITE)
            .or_else(|_| Connection::open_with_flags(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY))
            .map_err(&fail)?;
        connection.busy_timeout(Duration::from_secs(30)).map_err(&fail)?;
        connection.execute_batch("PRAGMA query_only=ON; PRAGMA cache_size=-16000;").map_err(&fail)?;
        let tables: i64 = connection
            .query_row(
                "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN ('topics', 'messages')",
                [],
                |row| row.get(0),
            )
            .map_err(&fail)?;
        if tables < 2 {
            return Err(Error::user(format!("{} is not a topic file", self.path.display()))
                .hint(format!("check the path; {create}")));
        }
        Ok(connection)
    }

    fn ids(&self, connection: &Connection, names: &[String]) -> Result<Vec<(i64, i32)>> {
        names
            .iter()
            .map(|name| {
                connection
                    .query_row("SELECT id, partitions FROM topics WHERE name = ?", [name], |row| {
                        Ok((row.get(0)?, row.get(1)?))
                    })
                    .optional()
                    .map_err(sql(&self.path, "look up a topic"))?
                    .ok_or_else(|| missing(name, &self.path))
            })
            .collect()
    }
}

fn missing(name: &str, path: &Path) -> Error {
    Error::user(format!("no topic `{name}` in {}", path.display()))
        .hint(format!("create it: tapeline init --topic sqlite:{}", path.display()))
}

impl Topics for SqliteTopics {
    fn init(&self, specs: &[TopicSpec]) -> Result<Vec<String>> {
        let connection = self.open()?;
        let fail = sql(&self.path, "create topics");
        let mut report = Vec::new();
        for spec in specs {
            let made = connection
                .execute(
                    "INSERT OR IGNORE INTO topics (name, partitions) VALUES (?, ?)",
                    params![spec.name, spec.partitions],
                )
                .map_err(&fail)?;
            let have: i32 = connection
                .query_row("SELECT partitions FROM topics WHERE name = ?", [&spec.name], |row| row.get(0))
                .map_err(&fail)?;
            let verb = if made == 1 { "created" } else { "exists" };
            report.push(format!("topic {}: {verb}, {have} partitions", spec.name));
        }
        Ok(report)
    }

    fn producer(&self) -> Result<Box<dyn Producer>> {
        Ok(Box::new(produce::LocalProducer::new(self.open()?, &self.path, &self.write_queue)))
    }

    fn consumer(&self, group: &str, topics: &[String]) -> Result<Box<dyn Consumer>> {
        let connection = self.open()?;
        let ids = self.ids(&connection, topics)?;
        Ok(Box::new(consume::LocalConsumer::new(
            connection,
            &self.path,
            &self.write_queue,
            group,
            topics,
            ids,
        )))
    }

    fn partition_of(&self, key: &str, partitions: i32) -> i32 {
        produce::partition_of(key.as_bytes(), partitions)
    }

    fn read_all(&self, topics: &[String], sink: &mut dyn FnMut(&dyn Fetched)) -> Result<u64> {
        let connection = self.open_existing()?;
        let ids = self.ids(&connection, topics)?;
        let mut read = 0;
        for (index, (id, partitions)) in ids.iter().enumerate() {
            for number in 0..*partitions {
                let partition = Partition { topic: index as u16, number };
                read += scan(&connection, &self.path, *id, partition, 0, ScanLimit::NONE, sink)?.messages;
            }
        }
        Ok(read)
    }

    fn partition_lag(&self, group: &str, topics: &[String]) -> Result<Vec<PartitionLag>> {
        let connection = self.open_existing()?;
        let fail = sql(&self.path, "read offsets");
        let mut lag = Vec::new();
        for (name, (id, partitions)) in topics.iter().zip(self.ids(&connection, topics)?) {
            for partition in 0..partitions {
                let (end, committed) = connection
                    .query_row(
                        "SELECT (SELECT coalesce(max(offset) + 1, 0) FROM messages WHERE topic = ?1 AND number = ?2),
                                (SELECT next FROM offsets WHERE grp = ?3 AND topic = ?1 AND number = ?2)",
                        params![id, partition, group],
                        |row| Ok((row.get(0)?, row.get(1)?)),
                    )
                    .map_err(&fail)?;
                lag.push(PartitionLag { topic: name.clone(), partition, committed, start: 0, end });
            }
        }
        Ok(lag)
    }

    fn check(&self, names: &Names, group: &str) -> Chain {
        let mut chain = Chain::new();
        let connection = match self.open_existing() {
            Ok(connection) => connection,
            Err(error) => {
                chain.fail("file", &error);
                return chain;
            }
        };
        chain.ok("file", self.path.display().to_string());
        let wanted: Vec<String> = names.specs(1).into_iter().map(|spec| spec.name).collect();
        let found = self.ids(&connection, &wanted).map(|ids| {
            let partitions: i32 = ids.iter().map(|(_, partitions)| partitions).sum();
            format!("{}, {partitions} partitions", ids.len())
        });
        if chain.step("topics", found) {
            let lag = self.partition_lag(group, &names.all_records());
            chain.step("group", lag.map(|lag| PartitionLag::describe(group, &lag)));
        }
        chain
    }

    fn describe(&self) -> String {
        format!("sqlite:{}", self.path.display())
    }
}

struct LocalMessage<'a> {
    partition: Partition,
    offset: i64,
    stamp_ms: i64,
    key: &'a [u8],
    headers: &'a str,
    payload: &'a [u8],
}

impl Fetched for LocalMessage<'_> {
    fn partition(&self) -> Partition {
        self.partition
    }
    fn offset(&self) -> i64 {
        self.offset
    }
    fn stamp_ms(&self) -> i64 {
        self.stamp_ms
    }
    fn key(&self) -> &[u8] {
        self.key
    }
    fn payload(&self) -> &[u8] {
        self.payload
    }
    fn headers(&self, f: &mut dyn FnMut(&str, &[u8])) {
        // `name=length:bytes`, concatenated: readable in the file, and any bytes can be stored.
        let mut rest = self.headers;
        while let Some((name, tail)) = rest.split_once('=') {
            let Some((length, tail)) = tail.split_once(':') else { return };
            let Some((value, tail)) = length.parse().ok().and_then(|n| tail.split_at_checked(n)) else {
                return;
            };
            f(name, value.as_bytes());
            rest = tail;
        }
    }
}

/// What one reading of a partition may return: `messages` and, once it has one, `bytes` of payload.
#[derive(Clone, Copy)]
struct ScanLimit {
    messages: i64,
    bytes: usize,
}

impl ScanLimit {
    const NONE: Self = Self { messages: i64::MAX, bytes: usize::MAX };
}

/// How much of a partition was read.
struct Scanned {
    messages: u64,
    bytes: usize,
    /// Offset after the last message.
    next: i64,
}

fn scan(
    connection: &Connection,
    path: &Path,
    id: i64,
    partition: Partition,
    from: i64,
    limit: ScanLimit,
    sink: &mut dyn FnMut(&dyn Fetched),
) -> Result<Scanned> {
    let fail = sql(path, "read messages");
    let mut statement = connection
        .prepare_cached(
            "SELECT offset, stamp_ms, key, headers, payload FROM messages
             WHERE topic = ? AND number = ? AND offset >= ? ORDER BY offset LIMIT ?",
        )
        .map_err(&fail)?;
    let mut rows = statement.query(params![id, partition.number, from, limit.messages]).map_err(&fail)?;
    let mut scanned = Scanned { messages: 0, bytes: 0, next: from };
    while let Some(row) = rows.next().map_err(&fail)? {
        let bytes = |index| row.get_ref(index).and_then(|value| Ok(value.as_bytes()?)).map_err(&fail);
        let offset = row.get(0).map_err(&fail)?;
        let payload = bytes(4)?;
        sink(&LocalMessage {
            partition,
            offset,
            stamp_ms: row.get(1).map_err(&fail)?,
            key: bytes(2)?,
            headers: std::str::from_utf8(bytes(3)?).unwrap_or_default(),
            payload,
        });
        scanned.messages += 1;
        scanned.bytes += payload.len();
        scanned.next = offset + 1;
        if scanned.bytes >= limit.bytes {
            break;
        }
    }
    Ok(scanned)
}
