//! The alert log in the outbox's SQLite file: history, acknowledgements, silences, rules of the dashboard.

use crate::database::{self, text};
use market::alert::Alert;
use ports::Error;
use ports::alert_log::{Acknowledgement, AlertLog, AlertQuery, LoggedAlert, SavedRule, Silence};
use rusqlite::{Connection, Row, TransactionBehavior, params};
use std::path::{Path, PathBuf};

/// An open alert log.
#[derive(Debug)]
pub struct SqliteAlertLog {
    connection: Connection,
}

impl SqliteAlertLog {
    /// Opens or creates the file.
    ///
    /// # Errors
    /// A SQLite error, with the path.
    pub fn open(path: &Path) -> Result<Self, String> {
        database::open(path).map(|connection| Self { connection })
    }

    /// Alerts, newest first.
    ///
    /// # Errors
    /// A SQLite error, or an alert that cannot be read.
    pub fn alerts(&self, query: &AlertQuery) -> Result<Vec<LoggedAlert>, String> {
        let sql = "SELECT alerts.json, acknowledgements.author, acknowledgements.at_ms, acknowledgements.note
             FROM alerts LEFT JOIN acknowledgements USING (key)
             WHERE event_time >= ?1 AND event_time < ?2 AND (?3 IS NULL OR rule = ?3) AND (?4 IS NULL OR symbol = ?4)
             ORDER BY event_time DESC, key DESC LIMIT ?5";
        let mut statement = self.connection.prepare_cached(sql).map_err(text)?;
        let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
        let values = params![query.range.start.0, query.range.end.0, query.rule, query.symbol, limit];
        let mut rows = statement.query(values).map_err(text)?;
        let mut out = Vec::new();
        while let Some(row) = rows.next().map_err(text)? {
            let json: String = row.get(0).map_err(text)?;
            let alert: Alert = serde_json::from_str(&json).map_err(|error| error.to_string())?;
            out.push(LoggedAlert { alert, acknowledged: acknowledgement(row).map_err(text)? });
        }
        Ok(out)
    }

    /// Keys that begin with a text, at most `most`.
    ///
    /// # Errors
    /// A SQLite error.
    pub fn keys(&self, prefix: &str, most: usize) -> Result<Vec<String>, String> {
        let sql = "SELECT key FROM alerts WHERE substr(key, 1, length(?1)) = ?1 LIMIT ?2";
        let mut statement = self.connection.prepare_cached(sql).map_err(text)?;
        let rows = statement.query_map(params![prefix, most as i64], |row| row.get(0)).map_err(text)?;
        rows.collect::<Result<_, _>>().map_err(text)
    }

    /// Acknowledges alerts by their full keys, all or none; returns the unknown keys. An alert keeps its first
    /// acknowledgement.
    ///
    /// # Errors
    /// A SQLite error.
    pub fn acknowledge(&mut self, keys: &[String], by: &Acknowledgement) -> Result<Vec<String>, String> {
        // Immediate: a read that is upgraded to a write would fail at once while another process writes.
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(text)?;
        let mut unknown = Vec::new();
        for key in keys {
            let sql = "SELECT EXISTS (SELECT 1 FROM alerts WHERE key = ?)";
            if !transaction.query_row(sql, [key], |row| row.get::<_, bool>(0)).map_err(text)? {
                unknown.push(key.clone());
                continue;
            }
            let sql = "INSERT OR IGNORE INTO acknowledgements (key, author, at_ms, note) VALUES (?, ?, ?, ?)";
            transaction.execute(sql, params![key, by.by, by.at_ms, by.note]).map_err(text)?;
        }
        if unknown.is_empty() {
            transaction.commit().map_err(text)?;
        }
        Ok(unknown)
    }

    /// Silences that have not ended, by number.
    ///
    /// # Errors
    /// A SQLite error.
    pub fn silences(&self, now_ms: i64) -> Result<Vec<(i64, Silence)>, String> {
        let sql =
            "SELECT id, rule, symbol, until_ms, reason, author FROM silences WHERE until_ms > ? ORDER BY id";
        let mut statement = self.connection.prepare_cached(sql).map_err(text)?;
        let read = |row: &Row<'_>| {
            let (rule, symbol, until_ms) = (row.get(1)?, row.get(2)?, row.get(3)?);
            Ok((row.get(0)?, Silence { rule, symbol, until_ms, reason: row.get(4)?, by: row.get(5)? }))
        };
        let rows = statement.query_map([now_ms], read).map_err(text)?;
        rows.collect::<Result<_, _>>().map_err(text)
    }

    /// Adds a silence; returns its number.
    ///
    /// # Errors
    /// A SQLite error.
    pub fn silence(&mut self, silence: &Silence) -> Result<i64, String> {
        let Silence { rule, symbol, until_ms, reason, by } = silence;
        let sql = "INSERT INTO silences (rule, symbol, until_ms, reason, author) VALUES (?, ?, ?, ?, ?)";
        self.connection.execute(sql, params![rule, symbol, until_ms, reason, by]).map_err(text)?;
        Ok(self.connection.last_insert_rowid())
    }

    /// Ends a silence; returns whether it existed.
    ///
    /// # Errors
    /// A SQLite error.
    pub fn end_silence(&mut self, id: i64) -> Result<bool, String> {
        self.connection.execute("DELETE FROM silences WHERE id = ?", [id]).map(|gone| gone > 0).map_err(text)
    }
}

impl SqliteAlertLog {
    /// The rules that were added, by name.
    ///
    /// # Errors
    /// A SQLite error, or a rule that cannot be read.
    pub fn rules(&self) -> Result<Vec<SavedRule>, String> {
        let sql = "SELECT name, json, author, at_ms FROM rules ORDER BY name";
        let mut statement = self.connection.prepare_cached(sql).map_err(text)?;
        let mut rows = statement.query([]).map_err(text)?;
        let mut out = Vec::new();
        while let Some(row) = rows.next().map_err(text)? {
            let (name, json): (String, String) = (row.get(0).map_err(text)?, row.get(1).map_err(text)?);
            let rule =
                serde_json::from_str(&json).map_err(|error| format!("alert rule `{name}`: {error}"))?;
            out.push(SavedRule { rule, by: row.get(2).map_err(text)?, at_ms: row.get(3).map_err(text)? });
        }
        Ok(out)
    }

    /// Adds a rule, or replaces the one of its name.
    ///
    /// # Errors
    /// A SQLite error.
    pub fn save_rule(&mut self, saved: &SavedRule) -> Result<(), String> {
        let json = serde_json::to_string(&saved.rule).map_err(|error| error.to_string())?;
        let sql = "INSERT OR REPLACE INTO rules (name, json, author, at_ms) VALUES (?, ?, ?, ?)";
        self.connection
            .execute(sql, params![saved.rule.name, json, saved.by, saved.at_ms])
            .map(drop)
            .map_err(text)
    }

    /// Removes a rule; returns whether it existed.
    ///
    /// # Errors
    /// A SQLite error.
    pub fn remove_rule(&mut self, name: &str) -> Result<bool, String> {
        self.connection.execute("DELETE FROM rules WHERE name = ?", [name]).map(|gone| gone > 0).map_err(text)
    }
}

fn acknowledgement(row: &Row<'_>) -> rusqlite::Result<Option<Acknowledgement>> {
    let by: Option<String> = row.get(1)?;
    by.map(|by| Ok(Acknowledgement { by, at_ms: row.get(2)?, note: row.get(3)? })).transpose()
}

/// The alert log of a file that another process may create later: it is opened for each call.
#[derive(Debug)]
pub struct AlertLogFile(pub PathBuf);

impl AlertLogFile {
    fn open(&self) -> ports::Result<SqliteAlertLog> {
        SqliteAlertLog::open(&self.0).map_err(Error::external)
    }

    /// `None` if there is no file yet: reading does not create it.
    fn existing(&self) -> ports::Result<Option<SqliteAlertLog>> {
        self.0.exists().then(|| self.open()).transpose()
    }
}

impl AlertLog for AlertLogFile {
    fn alerts(&self, query: &AlertQuery) -> ports::Result<Vec<LoggedAlert>> {
        match self.existing()? {
            Some(log) => log.alerts(query).map_err(Error::external),
            None => Ok(Vec::new()),
        }
    }

    fn acknowledge(&self, keys: &[String], by: &Acknowledgement) -> ports::Result<Vec<String>> {
        match self.existing()? {
            Some(mut log) => log.acknowledge(keys, by).map_err(Error::external),
            None => Ok(keys.to_vec()),
        }
    }

    fn silences(&self, now_ms: i64) -> ports::Result<Vec<(i64, Silence)>> {
        match self.existing()? {
            Some(log) => log.silences(now_ms).map_err(Error::external),
            None => Ok(Vec::new()),
        }
    }

    fn silence(&self, silence: &Silence) -> ports::Result<i64> {
        self.open()?.silence(silence).map_err(Error::external)
    }

    fn end_silence(&self, id: i64) -> ports::Result<bool> {
        match self.existing()? {
            Some(mut log) => log.end_silence(id).map_err(Error::external),
            None => Ok(false),
        }
    }

    fn rules(&self) -> ports::Result<Vec<SavedRule>> {
        match self.existing()? {
            Some(log) => log.rules().map_err(Error::external),
            None => Ok(Vec::new()),
        }
    }

    fn save_rule(&self, rule: &SavedRule) -> ports::Result<()> {
        self.open()?.save_rule(rule).map_err(Error::external)
    }

    fn remove_rule(&self, name: &str) -> ports::Result<bool> {
        match self.existing()? {
            Some(mut log) => log.remove_rule(name).map_err(Error::external),
            None => Ok(false),
        }
    }
}
