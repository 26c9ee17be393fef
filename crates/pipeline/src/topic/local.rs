//! A topic in a SQLite file: the embedded default, no server and no set-up.
//!
//! One row a message, in the order (topic, partition, offset). Messages and the source's position are appended in one
//! transaction, so a producer that dies repeats nothing. Any number of processes may use the file; consumers of a
//! group share the partitions by a lease that each renews, and a member that stays silent for [`LEASE`] loses its.

use super::{Consumer, Fetched, Message, OnRevoke, Producer, TopicSpec, Topics};
use crate::batch::Partition;
use crate::{Error, Result, clock};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a silent consumer keeps its partitions.
pub const LEASE: Duration = Duration::from_secs(3);
/// Messages appended before a transaction is closed.
const APPEND: usize = 8_192;

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
pub struct LocalTopics {
    path: PathBuf,
}

fn sql(path: &Path, doing: &str) -> impl Fn(rusqlite::Error) -> Error + use<> {
    let place = format!("{doing} in topic file {}", path.display());
    move |error| match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
            Error::external(format!("{place}: {error}"))
                .hint("another process holds the file; it is tried again")
        }
        Some(rusqlite::ErrorCode::DiskFull) => {
            Error::external(format!("{place}: {error}")).hint("free some disk space")
        }
        _ => Error::user(format!("{place}: {error}"))
            .hint("check the path, its rights and that it is a topic file of tapeline"),
    }
}

impl LocalTopics {
    /// Topics in the file at `path`, made on first use.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
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

impl Topics for LocalTopics {
    fn init(&self, specs: &[TopicSpec]) -> Result<Vec<String>> {
        let connection = self.open()?;
        let fail = sql(&self.path, "create topics");
        let mut said = Vec::new();
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
            said.push(format!("topic {}: {verb}, {have} partitions", spec.name));
        }
        Ok(said)
    }

    fn producer(&self) -> Result<Box<dyn Producer>> {
        Ok(Box::new(LocalProducer {
            connection: self.open()?,
            path: self.path.clone(),
            topics: BTreeMap::new(),
            pending: 0,
        }))
    }

    fn consumer(&self, group: &str, topics: &[String]) -> Result<Box<dyn Consumer>> {
        let connection = self.open()?;
        let ids = self.ids(&connection, topics)?;
        let member = format!("{}-{:x}", std::process::id(), clock::now().0);
        Ok(Box::new(LocalConsumer {
            connection,
            path: self.path.clone(),
            names: topics.to_vec(),
            ids,
            group: group.to_owned(),
            member,
            owned: Vec::new(),
            paused: false,
            next_beat: Instant::now(),
            on_revoke: Box::new(|_| Vec::new()),
            turn: 0,
        }))
    }

    fn read_all(&self, topics: &[String], sink: &mut dyn FnMut(&dyn Fetched)) -> Result<u64> {
        let connection = self.open()?;
        let ids = self.ids(&connection, topics)?;
        let mut read = 0;
        for (index, (id, partitions)) in ids.iter().enumerate() {
            for number in 0..*partitions {
                let partition = Partition { topic: index as u16, number };
                read += scan(&connection, &self.path, *id, partition, 0, i64::MAX, sink)?.0;
            }
        }
        Ok(read)
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
        // `name=length:bytes`, one after the other: readable in the file, and any bytes can be carried.
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

fn scan(
    connection: &Connection,
    path: &Path,
    id: i64,
    partition: Partition,
    from: i64,
    limit: i64,
    sink: &mut dyn FnMut(&dyn Fetched),
) -> Result<(u64, i64)> {
    let fail = sql(path, "read messages");
    let mut statement = connection
        .prepare_cached(
            "SELECT offset, stamp_ms, key, headers, payload FROM messages
             WHERE topic = ? AND number = ? AND offset >= ? ORDER BY offset LIMIT ?",
        )
        .map_err(&fail)?;
    let mut rows = statement.query(params![id, partition.number, from, limit]).map_err(&fail)?;
    let (mut read, mut next) = (0, from);
    while let Some(row) = rows.next().map_err(&fail)? {
        let bytes = |index| row.get_ref(index).and_then(|value| Ok(value.as_bytes()?)).map_err(&fail);
        let offset = row.get(0).map_err(&fail)?;
        sink(&LocalMessage {
            partition,
            offset,
            stamp_ms: row.get(1).map_err(&fail)?,
            key: bytes(2)?,
            headers: std::str::from_utf8(bytes(3)?).unwrap_or_default(),
            payload: bytes(4)?,
        });
        read += 1;
        next = offset + 1;
    }
    Ok((read, next))
}

struct LocalTopic {
    id: i64,
    partitions: i32,
    /// Next offset of each partition, known inside a transaction.
    next: Vec<i64>,
}

struct LocalProducer {
    connection: Connection,
    path: PathBuf,
    topics: BTreeMap<String, LocalTopic>,
    pending: usize,
}

impl LocalProducer {
    /// Takes the write lock; offsets counted by other processes since are read anew.
    fn begin(&mut self) -> Result<()> {
        self.connection.execute_batch("BEGIN IMMEDIATE").map_err(sql(&self.path, "begin appending"))?;
        self.topics.clear();
        Ok(())
    }

    fn look_up(&mut self, name: &str) -> Result<()> {
        let fail = sql(&self.path, "look up a topic");
        let found: Option<(i64, i32)> = self
            .connection
            .query_row("SELECT id, partitions FROM topics WHERE name = ?", [name], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()
            .map_err(&fail)?;
        let (id, partitions) = found.ok_or_else(|| missing(name, &self.path))?;
        let next = (0..partitions)
            .map(|number| {
                self.connection
                    .query_row(
                        "SELECT coalesce(max(offset) + 1, 0) FROM messages WHERE topic = ? AND number = ?",
                        [id, i64::from(number)],
                        |row| row.get(0),
                    )
                    .map_err(&fail)
            })
            .collect::<Result<_>>()?;
        self.topics.insert(name.to_owned(), LocalTopic { id, partitions, next });
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        if self.pending > 0 {
            self.connection.execute_batch("COMMIT").map_err(sql(&self.path, "append"))?;
            self.pending = 0;
        }
        Ok(())
    }
}

impl Producer for LocalProducer {
    fn send(&mut self, message: &Message<'_>) -> Result<()> {
        if self.pending == 0 {
            self.begin()?;
            self.pending = 1;
        }
        if !self.topics.contains_key(message.topic) {
            self.look_up(message.topic)?;
        }
        let Some(topic) = self.topics.get_mut(message.topic) else { return Ok(()) };
        let number = partition_of(message.key.as_bytes(), topic.partitions);
        let slot = &mut topic.next[number as usize];
        let mut headers = String::with_capacity(64);
        for (name, value) in message.headers {
            let value = String::from_utf8_lossy(value);
            headers.push_str(&format!("{name}={}:{value}", value.len()));
        }
        let fail = sql(&self.path, "append");
        self.connection
            .prepare_cached("INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?)")
            .map_err(&fail)?
            .execute(params![
                topic.id,
                number,
                *slot,
                message.stamp_ms,
                message.key,
                headers,
                message.payload
            ])
            .map_err(&fail)?;
        *slot += 1;
        self.pending += 1;
        if self.pending > APPEND {
            self.close()?;
        }
        Ok(())
    }

    fn flush(&mut self, _deadline: Duration) -> Result<usize> {
        self.close()?;
        Ok(0)
    }

    fn save_position(&mut self, source: &str, position: &[u8]) -> Result<()> {
        self.connection
            .execute("INSERT OR REPLACE INTO positions VALUES (?, ?)", params![source, position])
            .map_err(sql(&self.path, "keep the source's position"))?;
        self.close()
    }

    fn positions(&mut self) -> Result<BTreeMap<String, Vec<u8>>> {
        let fail = sql(&self.path, "read positions");
        let mut statement =
            self.connection.prepare("SELECT source, position FROM positions").map_err(&fail)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).map_err(&fail)?;
        rows.map(|row| row.map_err(&fail)).collect()
    }
}

/// FNV-1a: which partition a key belongs to. Fixed for ever, as a symbol must not change its partition.
fn partition_of(key: &[u8], partitions: i32) -> i32 {
    let hash = key.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (hash % u64::from(partitions.unsigned_abs().max(1))) as i32
}

struct Owned {
    id: i64,
    partition: Partition,
    next: i64,
}

struct LocalConsumer {
    connection: Connection,
    path: PathBuf,
    names: Vec<String>,
    ids: Vec<(i64, i32)>,
    group: String,
    member: String,
    owned: Vec<Owned>,
    paused: bool,
    next_beat: Instant,
    on_revoke: OnRevoke,
    turn: usize,
}

impl LocalConsumer {
    /// Renews the lease and agrees on who owns what: partitions in order, dealt to the living members in order.
    fn beat(&mut self) -> Result<()> {
        if Instant::now() < self.next_beat {
            return Ok(());
        }
        self.next_beat = Instant::now() + LEASE / 6;
        let mine = self.share()?;
        let lost: Vec<Partition> = self
            .owned
            .iter()
            .map(|own| own.partition)
            .filter(|p| !mine.iter().any(|(_, m)| m == p))
            .collect();
        if !lost.is_empty() {
            let offsets = (self.on_revoke)(&lost);
            self.commit(&offsets, true)?;
            self.owned.retain(|own| !lost.contains(&own.partition));
            for partition in &lost {
                self.release(*partition)?;
            }
        }
        for (id, partition) in mine {
            if !self.owned.iter().any(|own| own.partition == partition) && self.claim(id, partition.number)? {
                let next = self.committed(id, partition.number)?;
                self.owned.push(Owned { id, partition, next });
            }
        }
        Ok(())
    }

    fn share(&self) -> Result<Vec<(i64, Partition)>> {
        let fail = sql(&self.path, "renew the group lease");
        let (now, oldest) = (clock::now().millis(), clock::now().millis() - LEASE.as_millis() as i64);
        let tx = rusqlite::Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)
            .map_err(&fail)?;
        tx.execute("DELETE FROM members WHERE grp = ? AND seen_ms < ?", params![self.group, oldest])
            .map_err(&fail)?;
        tx.execute("INSERT OR REPLACE INTO members VALUES (?, ?, ?)", params![self.group, self.member, now])
            .map_err(&fail)?;
        // What a dead member held is free again.
        tx.execute(
            "DELETE FROM owners WHERE grp = ?1 AND member NOT IN (SELECT member FROM members WHERE grp = ?1)",
            params![self.group],
        )
        .map_err(&fail)?;
        let members: Vec<String> = tx
            .prepare("SELECT member FROM members WHERE grp = ? ORDER BY member")
            .and_then(|mut s| s.query_map([&self.group], |row| row.get(0))?.collect())
            .map_err(&fail)?;
        tx.commit().map_err(&fail)?;
        let rank = members.iter().position(|m| *m == self.member).unwrap_or(0);
        let all = self.ids.iter().enumerate().flat_map(|(topic, (id, partitions))| {
            (0..*partitions).map(move |number| (*id, Partition { topic: topic as u16, number }))
        });
        Ok(all.enumerate().filter(|(i, _)| i % members.len().max(1) == rank).map(|(_, p)| p).collect())
    }

    /// A partition is taken only once its former owner has let it go or is dead.
    fn claim(&self, id: i64, number: i32) -> Result<bool> {
        self.connection
            .execute(
                "INSERT OR IGNORE INTO owners VALUES (?, ?, ?, ?)",
                params![self.group, id, number, self.member],
            )
            .map_err(sql(&self.path, "claim a partition"))?;
        let owner: String = self
            .connection
            .query_row(
                "SELECT member FROM owners WHERE grp = ? AND topic = ? AND number = ?",
                params![self.group, id, number],
                |row| row.get(0),
            )
            .map_err(sql(&self.path, "claim a partition"))?;
        Ok(owner == self.member)
    }

    fn release(&self, partition: Partition) -> Result<()> {
        self.connection
            .execute(
                "DELETE FROM owners WHERE grp = ? AND topic = ? AND number = ? AND member = ?",
                params![self.group, self.ids[partition.topic as usize].0, partition.number, self.member],
            )
            .map_err(sql(&self.path, "release a partition"))?;
        Ok(())
    }

    fn committed(&self, id: i64, number: i32) -> Result<i64> {
        self.connection
            .query_row(
                "SELECT next FROM offsets WHERE grp = ? AND topic = ? AND number = ?",
                params![self.group, id, number],
                |row| row.get(0),
            )
            .optional()
            .map(|next| next.unwrap_or(0))
            .map_err(sql(&self.path, "read committed offsets"))
    }
}

impl Consumer for LocalConsumer {
    fn topics(&self) -> &[String] {
        &self.names
    }

    fn fetch(&mut self, max: usize, wait: Duration, sink: &mut dyn FnMut(&dyn Fetched)) -> Result<usize> {
        let end = Instant::now() + wait;
        loop {
            self.beat()?;
            let mut got = 0;
            if !self.paused && !self.owned.is_empty() {
                // A fair share each, starting with another partition every time.
                let share = (max / self.owned.len()).max(1) as i64;
                self.turn += 1;
                for step in 0..self.owned.len() {
                    let index = (self.turn + step) % self.owned.len();
                    let own = &mut self.owned[index];
                    let room = ((max - got) as i64).min(share.max(if step == 0 { share } else { 0 }));
                    if room <= 0 {
                        break;
                    }
                    let (read, next) =
                        scan(&self.connection, &self.path, own.id, own.partition, own.next, room, sink)?;
                    own.next = next;
                    got += read as usize;
                }
            }
            if got > 0 || Instant::now() >= end {
                return Ok(got);
            }
            std::thread::sleep(Duration::from_millis(2).min(end.saturating_duration_since(Instant::now())));
        }
    }

    fn commit(&mut self, offsets: &[(Partition, i64)], _wait: bool) -> Result<()> {
        if offsets.is_empty() {
            return Ok(());
        }
        let fail = sql(&self.path, "commit offsets");
        let tx = rusqlite::Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)
            .map_err(&fail)?;
        for (partition, next) in offsets {
            tx.prepare_cached(
                "INSERT INTO offsets VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET next = max(next, ?4)",
            )
            .and_then(|mut s| {
                s.execute(params![self.group, self.ids[partition.topic as usize].0, partition.number, next])
            })
            .map_err(&fail)?;
        }
        tx.commit().map_err(&fail)
    }

    fn pause(&mut self, paused: bool) -> Result<()> {
        self.paused = paused;
        Ok(())
    }

    fn on_revoke(&mut self, hook: OnRevoke) {
        self.on_revoke = hook;
    }

    fn lag(&mut self) -> Result<u64> {
        let mut lag = 0;
        for (id, partitions) in &self.ids {
            for number in 0..*partitions {
                let end: i64 = self
                    .connection
                    .query_row(
                        "SELECT coalesce(max(offset) + 1, 0) FROM messages WHERE topic = ? AND number = ?",
                        params![id, number],
                        |row| row.get(0),
                    )
                    .map_err(sql(&self.path, "read the end of a partition"))?;
                lag += u64::try_from(end - self.committed(*id, number)?).unwrap_or(0);
            }
        }
        Ok(lag)
    }
}

impl Drop for LocalConsumer {
    fn drop(&mut self) {
        // Leaving at once spares the others the wait for the lease to end; if it fails, the lease does end.
        for sql in [
            "DELETE FROM members WHERE grp = ? AND member = ?",
            "DELETE FROM owners WHERE grp = ? AND member = ?",
        ] {
            let _ = self.connection.execute(sql, params![self.group, self.member]);
        }
    }
}
