//! The outbox in a SQLite file, together with the history of alerts and the state of the engine, all updated
//! in one transaction.

use super::{OutboxCounts, OutboxStore, Pending};
use crate::database::{self, text};
use crate::message::AlertMessage;
use market::alert::Alert;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::path::Path;

/// Delivery state of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Name of the channel.
    pub channel: String,
    /// `pending`, `sent` or `dead`.
    pub state: String,
    /// Attempts started.
    pub attempts: u32,
    /// Attempts of which a crash hid the outcome: it may have arrived that many times more.
    pub repeated: u32,
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

impl SqliteOutbox {
    /// Opens or creates a file for at most `most` undelivered messages.
    ///
    /// # Errors
    /// A SQLite error, with the path.
    pub fn open(path: &Path, most: u64) -> Result<Self, String> {
        let connection = database::open(path)?;
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

    /// Delivery state of an alert's messages, by channel.
    ///
    /// # Errors
    /// A SQLite error.
    pub fn delivery(&self, key: &str) -> Result<Vec<Delivery>, String> {
        let query =
            "SELECT channel, state, begun, repeated, reason FROM outbox WHERE key = ? ORDER BY channel";
        let mut statement = self.connection.prepare_cached(query).map_err(text)?;
        let read = |row: &Row<'_>| {
            let (channel, state, attempts) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(Delivery { channel, state, attempts, repeated: row.get(3)?, reason: row.get(4)? })
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
