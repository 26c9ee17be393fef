//! The reading side in SQLite: a group member that shares the partitions by lease.

use super::cause::sql;
use super::read::{ScanLimit, scan};
use super::write_queue::WriteQueue;
use ports::batch::Partition;
use ports::topic::{Consumer, Fetched, OnRevoke};
use ports::{Result, clock};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long a silent consumer keeps its partitions.
pub const LEASE: Duration = Duration::from_secs(3);

/// Bytes of payload after which a fetch returns: messages may be large, and the caller bounds only their number.
const FETCH_BYTES: usize = 16 << 20;

struct Owned {
    id: i64,
    partition: Partition,
    next: i64,
}

pub(super) struct LocalConsumer {
    connection: Connection,
    path: PathBuf,
    state: Arc<WriteQueue>,
    names: Vec<String>,
    ids: Vec<(i64, i32)>,
    group: String,
    member: String,
    /// When the group was joined, milliseconds.
    joined_ms: i64,
    /// Whether every other member is known to live: one that was killed holds its partitions until its lease expires.
    is_settled: bool,
    owned: Vec<Owned>,
    assignments: Arc<AtomicU64>,
    paused: bool,
    next_renewal: Instant,
    on_revoke: OnRevoke,
    write_queue: usize,
}

impl LocalConsumer {
    /// `ids` are the topics' ids and partition counts, in the order of `names`.
    pub(super) fn new(
        connection: Connection,
        path: &Path,
        state: &Arc<WriteQueue>,
        group: &str,
        names: &[String],
        ids: Vec<(i64, i32)>,
    ) -> Self {
        Self {
            connection,
            path: path.to_owned(),
            state: Arc::clone(state),
            names: names.to_vec(),
            ids,
            group: group.to_owned(),
            member: format!("{}-{:x}", std::process::id(), clock::now().0),
            joined_ms: clock::now().millis(),
            is_settled: group.is_empty(),
            owned: Vec::new(),
            assignments: Arc::default(),
            paused: false,
            next_renewal: Instant::now(),
            on_revoke: Box::new(|_| Vec::new()),
            write_queue: 0,
        }
    }

    /// Renews the lease and agrees on partition ownership: partitions in order, assigned round-robin to the
    /// live members in order.
    fn renew(&mut self) -> Result<()> {
        if Instant::now() < self.next_renewal {
            return Ok(());
        }
        self.next_renewal = Instant::now() + LEASE / 6;
        self.look_for_partitions()?;
        if self.group.is_empty() {
            // A reader without a group owns all partitions.
            let all: Vec<_> = self.all().collect();
            for (id, partition) in all {
                if !self.owned.iter().any(|own| own.partition == partition) {
                    self.owned.push(Owned { id, partition, next: 0 });
                }
            }
            self.is_settled = true;
            return Ok(());
        }
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
        let share = mine.len();
        for (id, partition) in mine {
            if !self.owned.iter().any(|own| own.partition == partition) && self.claim(id, partition.number)? {
                let next = self.committed(id, partition.number)?;
                self.owned.push(Owned { id, partition, next });
                self.assignments.fetch_add(1, Ordering::SeqCst);
            }
        }
        // Those that others have not released yet are to come.
        self.is_settled &= self.owned.len() == share;
        Ok(())
    }

    /// Detects added partitions. Returns true if there are some; the next fetch claims its share of them.
    fn look_for_partitions(&mut self) -> Result<bool> {
        let now = self
            .ids
            .iter()
            .map(|(id, _)| Ok((*id, self.count_partitions(*id)?)))
            .collect::<Result<Vec<_>>>()?;
        let grown = self.ids != now;
        if grown {
            tracing::warn!(before = ?self.ids, ?now, "partitions were added to a topic");
            self.ids = now;
        }
        Ok(grown)
    }

    fn count_partitions(&self, id: i64) -> Result<i32> {
        self.connection
            .query_row("SELECT partitions FROM topics WHERE id = ?", [id], |row| row.get(0))
            .map_err(sql(&self.path, "look for added partitions"))
    }

    fn share(&mut self) -> Result<Vec<(i64, Partition)>> {
        let fail = sql(&self.path, "renew the group lease");
        let _held = self.state.take();
        let (now, oldest) = (clock::now().millis(), clock::now().millis() - LEASE.as_millis() as i64);
        let tx = rusqlite::Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)
            .map_err(&fail)?;
        tx.execute("DELETE FROM members WHERE grp = ? AND seen_ms < ?", params![self.group, oldest])
            .map_err(&fail)?;
        tx.execute("INSERT OR REPLACE INTO members VALUES (?, ?, ?)", params![self.group, self.member, now])
            .map_err(&fail)?;
        // Partitions of a dead member are free again.
        tx.execute(
            "DELETE FROM owners WHERE grp = ?1 AND member NOT IN (SELECT member FROM members WHERE grp = ?1)",
            params![self.group],
        )
        .map_err(&fail)?;
        let found: Vec<(String, i64)> = tx
            .prepare("SELECT member, seen_ms FROM members WHERE grp = ? ORDER BY member")
            .and_then(|mut s| s.query_map([&self.group], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
            .map_err(&fail)?;
        tx.commit().map_err(&fail)?;
        // A live member renews its lease six times before it expires, and has done so since this one joined.
        let recently = (now - LEASE.as_millis() as i64 / 2).max(self.joined_ms);
        self.is_settled = found.iter().all(|(member, seen)| *member == self.member || *seen > recently);
        let members: Vec<String> = found.into_iter().map(|(member, _)| member).collect();
        let rank = members.iter().position(|m| *m == self.member).unwrap_or(0);
        Ok(self.all().enumerate().filter(|(i, _)| i % members.len().max(1) == rank).map(|(_, p)| p).collect())
    }

    /// All partitions, and the id of each one's topic.
    fn all(&self) -> impl Iterator<Item = (i64, Partition)> {
        self.ids.iter().enumerate().flat_map(|(topic, (id, partitions))| {
            (0..*partitions).map(move |number| (*id, Partition { topic: topic as u16, number }))
        })
    }

    /// A partition is claimed only once its former owner has released it or is dead.
    fn claim(&self, id: i64, number: i32) -> Result<bool> {
        let _held = self.state.take();
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
        let _held = self.state.take();
        self.connection
            .execute(
                "DELETE FROM owners WHERE grp = ? AND topic = ? AND number = ? AND member = ?",
                params![self.group, self.ids[partition.topic as usize].0, partition.number, self.member],
            )
            .map_err(sql(&self.path, "release a partition"))?;
        Ok(())
    }

    fn end(&self, id: i64, number: i32) -> Result<i64> {
        self.connection
            .query_row(
                "SELECT coalesce(max(offset) + 1, 0) FROM messages WHERE topic = ? AND number = ?",
                params![id, number],
                |row| row.get(0),
            )
            .map_err(sql(&self.path, "read the end of a partition"))
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
            self.renew()?;
            let (mut got, mut bytes) = (0, 0);
            if !self.paused && !self.owned.is_empty() {
                // A fair share each, starting with another partition every time.
                let share = (max / self.owned.len()).max(1) as i64;
                self.write_queue += 1;
                for step in 0..self.owned.len() {
                    let index = (self.write_queue + step) % self.owned.len();
                    let own = &mut self.owned[index];
                    let room = ((max - got) as i64).min(share.max(if step == 0 { share } else { 0 }));
                    if room <= 0 || bytes >= FETCH_BYTES {
                        break;
                    }
                    let limit = ScanLimit { messages: room, bytes: FETCH_BYTES - bytes };
                    let found =
                        scan(&self.connection, &self.path, own.id, own.partition, own.next, limit, sink)?;
                    own.next = found.next;
                    got += found.messages as usize;
                    bytes += found.bytes;
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
        let _held = self.state.take();
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

    fn assignments(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.assignments)
    }

    fn partition_counts(&mut self) -> Result<Vec<i32>> {
        self.ids.iter().map(|(id, _)| self.count_partitions(*id)).collect()
    }

    fn lag(&mut self) -> Result<u64> {
        if self.look_for_partitions()? {
            self.next_renewal = Instant::now();
        }
        let mut lag = 0;
        for (id, partitions) in &self.ids {
            for number in 0..*partitions {
                lag += u64::try_from(self.end(*id, number)? - self.committed(*id, number)?).unwrap_or(0);
            }
        }
        Ok(lag)
    }

    fn ahead(&mut self, next: &dyn Fn(Partition) -> Option<i64>) -> Result<Option<u64>> {
        let mut ahead = None;
        if self.look_for_partitions()? {
            self.next_renewal = Instant::now();
            self.is_settled = false;
        }
        if !self.is_settled {
            return Ok(None);
        }
        for own in &self.owned {
            let from = next(own.partition).unwrap_or(own.next);
            let left = u64::try_from(self.end(own.id, own.partition.number)? - from).unwrap_or(0);
            ahead = Some(ahead.unwrap_or(0) + left);
        }
        Ok(ahead)
    }
}

impl Drop for LocalConsumer {
    fn drop(&mut self) {
        let _held = self.state.take();
        // Leaving at once spares the others the wait for the lease to expire; if it fails, the lease expires.
        for sql in [
            "DELETE FROM members WHERE grp = ? AND member = ?",
            "DELETE FROM owners WHERE grp = ? AND member = ?",
        ] {
            let _ = self.connection.execute(sql, params![self.group, self.member]);
        }
    }
}
