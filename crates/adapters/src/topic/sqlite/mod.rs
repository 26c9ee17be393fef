//! A topic in a SQLite file: the embedded default, without a server or set-up.
//!
//! One row per message, ordered by (topic, partition, offset). Messages and the source's position are
//! appended in one transaction, so a producer that crashes repeats nothing. Any number of processes may use
//! the file: writers take turns, also those of other processes. Consumers of a group share the partitions by
//! leases that they renew, and a member that stays silent for [`LEASE`] loses its partitions.

mod cause;
mod consume;
mod file_turns;
mod produce;
mod read;
mod write_queue;

use cause::{missing, sql};
pub use consume::LEASE;
use ports::batch::Partition;
use ports::check::Chain;
use ports::topic::{Consumer, Fetched, Names, PartitionLag, Producer, TopicSpec, Topics};
use ports::{Error, Result};
use read::{ScanLimit, scan};
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use write_queue::WriteQueue;

/// Version of SQLite, for example `3.50.2`.
#[must_use]
pub fn library_version() -> &'static str {
    rusqlite::version()
}

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

impl SqliteTopics {
    /// Topics in the file at `path`, created on first use.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let write_queue = WriteQueue::new(&path);
        Self { path, write_queue }
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
