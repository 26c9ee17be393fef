//! The outbox in a SQLite file, together with the history of alerts and the state of the engine, all updated
//! in one transaction.

use super::{OutboxCounts, OutboxStore, Pending};
use crate::message::AlertMessage;
use market::alert::Alert;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::path::Path;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS alerts (
    key TEXT PRIMARY KEY, event_time INTEGER NOT NULL, rule TEXT NOT NULL, symbol TEXT NOT NULL, json TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS alerts_by_time ON alerts (event_time);
CREATE TABLE IF NOT EXISTS outbox (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL, channel TEXT NOT NULL, message TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'pending', begun INTEGER NOT NULL DEFAULT 0, ended INTEGER NOT NULL DEFAULT 0,
    repeated INTEGER NOT NULL DEFAULT 0, due_ms INTEGER NOT NULL DEFAULT 0, sent_ms INTEGER, reason TEXT,
    UNIQUE (key, channel)
);
CREATE INDEX IF NOT EXISTS outbox_pending ON outbox (channel, id) WHERE state = 'pending';
CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS silences (
    id INTEGER PRIMARY KEY, rule TEXT NOT NULL, symbol TEXT NOT NULL, until_ms INTEGER NOT NULL, reason TEXT NOT NULL
);
";

/// A period in which alerts are not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silence {
    /// Its number.
    pub id: i64,
    /// Name of a rule, or `*`.
    pub rule: String,
    /// A symbol, or `*`.
    pub symbol: String,
    /// End, Unix milliseconds.
    pub until_ms: i64,
    /// Reason.
    pub reason: String,
}

impl Silence {
    /// Whether it covers alerts of a rule for a symbol.
    #[must_use]
    pub fn covers(&self, rule: &str, symbol: &str) -> bool {
        let matches = |pattern: &str, text: &str| pattern == "*" || pattern == text;
        matches(&self.rule, rule) && matches(&self.symbol, symbol)
    }
}

/// Delivery state of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Name of the channel.
    pub channel: String,
    /// `pending`, `sent` or `dead`.
    pub state: String,
    /// Attempts started.
    pub attempts: u32,
    /// Why the last attempt failed.
    pub reason: Option<String>,
}

/// An outbox in a file.
#[derive(Debug)]
pub struct SqliteOutbox {
    connection: Connection,
    /// Maximum number of undelivered messages.
    most: u64,
}

fn text(error: rusqlite::Error) -> String {
    // By value, as `map_err` passes it.
    let problem = error.to_string();
    drop(error);
    problem
}

impl SqliteOutbox {
    /// Opens or creates a file for at most `most` undelivered messages.
    ///
    /// # Errors
    /// A SQLite error, with the path.
    pub fn open(path: &Path, most: u64) -> Result<Self, String> {
        let fail = |error: rusqlite::Error| format!("alert outbox {}: {error}", path.display());
        let connection = Connection::open(path).map_err(fail)?;
        connection.busy_timeout(std::time::Duration::from_secs(10)).map_err(fail)?;
        connection
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")
            .and_then(|()| connection.execute_batch(SCHEMA))
            .map_err(fail)?;
        Ok(Self { connection, most })
    }

    /// Adds alerts with their messages, and the state to resume from, in one transaction. Returns the number
    /// of new alerts.
    ///
    /// # Errors
    /// A SQLite error, or the outbox is full.
    pub fn commit(
        &mut self,
        alerts: &[(Alert, Vec<(String, AlertMessage)>)],
        state: &[(&str, &[u8])],
    ) -> Result<usize, String> {
        if !alerts.is_empty() {
            let query = "SELECT COUNT(*) FROM outbox WHERE state = 'pending'";
            let pending = self.connection.query_row(query, [], |row| row.get::<_, i64>(0)).map_err(text)?;
            let pending = pending.unsigned_abs();
            if pending >= self.most {
                return Err(format!(
                    "alert outbox is full: {pending} messages wait, at most {} may",
                    self.most
                ));
            }
        }
        let transaction = self.connection.transaction().map_err(text)?;
        let mut new = 0;
        for (alert, messages) in alerts {
            let json = serde_json::to_string(alert).map_err(|error| error.to_string())?;
            let added = transaction
                .prepare_cached("INSERT OR IGNORE INTO alerts (key, event_time, rule, symbol, json) VALUES (?, ?, ?, ?, ?)")
                .and_then(|mut insert| {
                    insert.execute(params![alert.key, alert.event_time, alert.rule, alert.symbol, json])
                })
                .map_err(text)?;
            new += added;
            // Also for a known alert: one that waited for a summary may be sent individually after all.
            for (channel, message) in messages {
                let json = serde_json::to_string(message).map_err(|error| error.to_string())?;
                transaction
                    .prepare_cached("INSERT OR IGNORE INTO outbox (key, channel, message) VALUES (?, ?, ?)")
                    .and_then(|mut insert| insert.execute(params![message.key, channel, json]))
                    .map_err(text)?;
            }
        }
        for (name, value) in state {
            transaction
                .prepare_cached("INSERT OR REPLACE INTO state (name, value) VALUES (?, ?)")
                .and_then(|mut insert| insert.execute(params![name, value]))
                .map_err(text)?;
        }
        transaction.commit().map_err(text)?;
        Ok(new)
    }

    /// A part of the committed state.
    ///
    /// # Errors
    /// A SQLite error.
    pub fn state(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        let query = "SELECT value FROM state WHERE name = ?";
        self.connection.query_row(query, [name], |row| row.get(0)).optional().map_err(text)
    }

    /// Alerts of a span of event time (nanoseconds, end exclusive), oldest first.
    ///
    /// # Errors
    /// A SQLite error.
    pub fn history(&self, from: i64, to: i64) -> Result<Vec<Alert>, String> {
        let query =
            "SELECT json FROM alerts WHERE event_time >= ? AND event_time < ? ORDER BY event_time, key";
        let mut statement = self.connection.prepare_cached(query).map_err(text)?;
        let rows = statement.query_map([from, to], |row| row.get::<_, String>(0)).map_err(text)?;
        rows.map(|row| serde_json::from_str(&row.map_err(text)?).map_err(|error| error.to_string())).collect()
    }

    /// Delivery state of an alert's messages, by channel.
    ///
    /// # Errors
    /// A SQLite error.
    pub fn delivery(&self, key: &str) -> Result<Vec<Delivery>, String> {
        let query = "SELECT channel, state, begun, reason FROM outbox WHERE key = ? ORDER BY channel";
        let mut statement = self.connection.prepare_cached(query).map_err(text)?;
        let read = |row: &Row<'_>| {
            let (channel, state, attempts, reason) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
            Ok(Delivery { channel, state, attempts, reason })
        };
        let rows = statement.query_map([key], read).map_err(text)?;
        rows.collect::<Result<_, _>>().map_err(text)
    }

    /// Number of undelivered messages of a channel.
    ///
    /// # Errors
    /// A SQLite error.
    pub fn waiting(&self, channel: &str) -> Result<u64, String> {
        let query = "SELECT COUNT(*) FROM outbox WHERE channel = ? AND state = 'pending'";
        let count = self.connection.query_row(query, [channel], |row| row.get::<_, i64>(0));
        count.map(i64::unsigned_abs).map_err(text)
    }

    /// Adds a silence; returns its number.
    ///
    /// # Errors
    /// A SQLite error.
    pub fn silence(&mut self, rule: &str, symbol: &str, until_ms: i64, reason: &str) -> Result<i64, String> {
        let insert = "INSERT INTO silences (rule, symbol, until_ms, reason) VALUES (?, ?, ?, ?)";
        self.connection.execute(insert, params![rule, symbol, until_ms, reason]).map_err(text)?;
        Ok(self.connection.last_insert_rowid())
    }

    /// Ends a silence; returns whether it existed.
    ///
    /// # Errors
    /// A SQLite error.
    pub fn unsilence(&mut self, id: i64) -> Result<bool, String> {
        self.connection.execute("DELETE FROM silences WHERE id = ?", [id]).map(|gone| gone > 0).map_err(text)
    }

    /// Active silences.
    ///
    /// # Errors
    /// A SQLite error.
    pub fn silences(&self, now_ms: i64) -> Result<Vec<Silence>, String> {
        let query = "SELECT id, rule, symbol, until_ms, reason FROM silences WHERE until_ms > ? ORDER BY id";
        let mut statement = self.connection.prepare_cached(query).map_err(text)?;
        let read = |row: &Row<'_>| {
            let (id, rule, symbol) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(Silence { id, rule, symbol, until_ms: row.get(3)?, reason: row.get(4)? })
        };
        let rows = statement.query_map([now_ms], read).map_err(text)?;
        rows.collect::<Result<_, _>>().map_err(text)
    }

    fn change(&self, statement: &str, values: &[&dyn rusqlite::ToSql]) -> Result<(), String> {
        let changed =
            self.connection.prepare_cached(statement).and_then(|mut statement| statement.execute(values));
        match changed.map_err(text)? {
            1 => Ok(()),
            other => Err(format!("alert outbox: expected 1 changed message, found {other}")),
        }
    }
}

impl OutboxStore for SqliteOutbox {
    fn append(&mut self, alert: &Alert, messages: &[(String, AlertMessage)]) -> Result<bool, String> {
        self.commit(&[(alert.clone(), messages.to_vec())], &[]).map(|new| new > 0)
    }

    fn due(&mut self, channel: &str, now_ms: i64, most: usize) -> Result<Vec<Pending>, String> {
        // Oldest first. While one waits for its next attempt, those behind it wait too, to preserve the
        // order.
        let query = "SELECT id, message, begun, begun > ended, due_ms FROM outbox
             WHERE channel = ? AND state = 'pending' ORDER BY id LIMIT ?";
        let mut statement = self.connection.prepare_cached(query).map_err(text)?;
        let mut rows = statement.query(params![channel, most as i64]).map_err(text)?;
        let mut out = Vec::new();
        while let Some(row) = rows.next().map_err(text)? {
            if row.get::<_, i64>(4).map_err(text)? > now_ms {
                break;
            }
            let json: String = row.get(1).map_err(text)?;
            out.push(Pending {
                id: row.get(0).map_err(text)?,
                channel: channel.to_owned(),
                message: serde_json::from_str(&json).map_err(|error| error.to_string())?,
                attempts: row.get(2).map_err(text)?,
                uncertain: row.get(3).map_err(text)?,
            });
        }
        Ok(out)
    }

    fn begin(&mut self, id: i64) -> Result<(), String> {
        let statement = "UPDATE outbox SET repeated = repeated + (begun > ended), ended = begun, begun = begun + 1 WHERE id = ?";
        self.change(statement, &[&id])
    }

    fn sent(&mut self, id: i64, now_ms: i64) -> Result<(), String> {
        let statement =
            "UPDATE outbox SET state = 'sent', ended = begun, sent_ms = ?, reason = NULL WHERE id = ?";
        self.change(statement, &[&now_ms, &id])
    }

    fn retry(&mut self, id: i64, at_ms: i64, reason: &str) -> Result<(), String> {
        self.change(
            "UPDATE outbox SET ended = begun, due_ms = ?, reason = ? WHERE id = ?",
            &[&at_ms, &reason, &id],
        )
    }

    fn dead(&mut self, id: i64, reason: &str) -> Result<(), String> {
        self.change(
            "UPDATE outbox SET state = 'dead', ended = begun, reason = ? WHERE id = ?",
            &[&reason, &id],
        )
    }

    fn counts(&mut self) -> Result<OutboxCounts, String> {
        let query = "SELECT COALESCE(SUM(state = 'pending'), 0), COALESCE(SUM(state = 'sent'), 0),
             COALESCE(SUM(state = 'dead'), 0), COALESCE(SUM(repeated), 0) FROM outbox";
        let read = |row: &Row<'_>| {
            let count = |column: usize| row.get::<_, i64>(column).map(i64::unsigned_abs);
            Ok(OutboxCounts { pending: count(0)?, sent: count(1)?, dead: count(2)?, repeated: count(3)? })
        };
        self.connection.query_row(query, [], read).map_err(text)
    }
}
