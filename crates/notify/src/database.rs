//! The SQLite file of alerts: its tables, and how it is opened.

use rusqlite::Connection;
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
    id INTEGER PRIMARY KEY, rule TEXT NOT NULL, symbol TEXT NOT NULL, until_ms INTEGER NOT NULL, reason TEXT NOT NULL,
    author TEXT NOT NULL DEFAULT ''
);
CREATE TABLE IF NOT EXISTS rules (
    name TEXT PRIMARY KEY, json TEXT NOT NULL, author TEXT NOT NULL, at_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS acknowledgements (
    key TEXT PRIMARY KEY, author TEXT NOT NULL, at_ms INTEGER NOT NULL, note TEXT NOT NULL
) WITHOUT ROWID;
";

/// Opens or creates the file, and adds what an older version lacks.
///
/// # Errors
/// A SQLite error, with the path.
pub(crate) fn open(path: &Path) -> Result<Connection, String> {
    let fail = |error: rusqlite::Error| format!("alert file {}: {error}", path.display());
    let connection = Connection::open(path).map_err(fail)?;
    connection.busy_timeout(std::time::Duration::from_secs(10)).map_err(fail)?;
    connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")
        .and_then(|()| connection.execute_batch(SCHEMA))
        .and_then(|()| add_author(&connection))
        .map_err(fail)?;
    Ok(connection)
}

/// Silences written before they had an author.
fn add_author(connection: &Connection) -> rusqlite::Result<()> {
    let query = "SELECT COUNT(*) FROM pragma_table_info('silences') WHERE name = 'author'";
    let missing = || connection.query_row(query, [], |row| row.get::<_, i64>(0)).map(|count| count == 0);
    if !missing()? {
        return Ok(());
    }
    // Another process may add it at the same moment.
    connection.execute_batch("BEGIN IMMEDIATE")?;
    if missing()? {
        connection.execute_batch("ALTER TABLE silences ADD COLUMN author TEXT NOT NULL DEFAULT ''")?;
    }
    connection.execute_batch("COMMIT")
}

/// The message of an error.
pub(crate) fn text(error: rusqlite::Error) -> String {
    // By value, as `map_err` passes it.
    let problem = error.to_string();
    drop(error);
    problem
}
