//! Tables, migrations, and whether existing tables fit.

use super::cause::sql;
use super::{SqliteStore, bars, forecasts, table};
use crate::store::first_difference;
use market::kind::BarShape;
use market::{Kind, UnixNanos};
use ports::store::Store;
use ports::{Error, Result};
use rusqlite::{Connection, params};

/// The version that the first migration makes. Earlier ones kept numbers in billionths, and the sides of trades among their
/// conditions: they are refused.
const FIRST_VERSION: usize = 3;

/// The version after all migrations: each change below, and each kind that was added after the first three.
const VERSION: usize = 6 + Kind::COUNT - FIRST_KINDS;

/// Kinds whose tables one of the first migrations creates.
const FIRST_KINDS: usize = 3;

/// Migrations, from [`FIRST_VERSION`] on; `user_version` is their number. Each creates what is missing, so that their order
/// does not matter.
fn migrations() -> Vec<String> {
    let table = |kind: Kind| table::create(kind.table());
    let mut all = vec![
        table(Kind::TRADE) + &table(Kind::QUOTE) + bars::TABLES,
        table(Kind::READING) + DIRECTORY,
        bars::READING_TABLE.to_owned(),
        forecasts::TABLE.to_owned(),
    ];
    all.extend(Kind::ALL.into_iter().skip(FIRST_KINDS).map(table));
    debug_assert_eq!(all.len(), VERSION - FIRST_VERSION + 1);
    all
}

/// The tables of a store.
fn table_names() -> impl Iterator<Item = &'static str> {
    let bars = Kind::ALL.into_iter().filter_map(Kind::bars).map(BarShape::table);
    Kind::ALL.map(Kind::plural).into_iter().chain(bars).chain(["directory", "forecasts"])
}

/// The first and last bucket of each kind, symbol and feed.
const DIRECTORY: &str = "
CREATE TABLE IF NOT EXISTS directory (
    kind TEXT NOT NULL, symbol TEXT NOT NULL, feed TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    PRIMARY KEY (kind, symbol, feed)) WITHOUT ROWID;
";

/// The version from which on the directory is kept.
const DIRECTORY_VERSION: usize = 4;

impl SqliteStore {
    /// Refuses versions that this program cannot read; 0 is a file without tables.
    fn check_version(&self, version: usize) -> Result<()> {
        if (1..FIRST_VERSION).contains(&version) {
            return Err(Error::user(format!(
                "store file {} has version {version}, written by an earlier tapeline; expected version {VERSION}",
                self.path.display()
            ))
            .hint(
                "rename the file, run `tapeline init` for a fresh one, and fetch or import the records again",
            ));
        }
        if version > VERSION {
            return Err(Error::user(format!(
                "store file {} has version {version}, newer than the supported version {VERSION}",
                self.path.display()
            ))
            .hint("use the newer tapeline that wrote it"));
        }
        Ok(())
    }

    /// Refuses a file whose tables are missing or of a version before this program's.
    pub(super) fn check_initialized(&self, version: usize) -> Result<()> {
        self.check_version(version)?;
        if version == 0 {
            return Err(Error::user(format!(
                "{} is not a store file: it has no tables",
                self.path.display()
            ))
            .hint(format!("check the path; create the tables: tapeline init --store {}", self.describe())));
        }
        if version < VERSION {
            return Err(Error::user(format!(
                "store file {} has version {version}; expected version {VERSION}",
                self.path.display()
            ))
            .hint(format!("upgrade it: tapeline init --store {}", self.describe())));
        }
        Ok(())
    }

    pub(super) fn migrate(&self, connection: &Connection) -> Result<Vec<String>> {
        let fail = sql(&self.path, "bring tables up to date");
        connection.execute_batch("BEGIN IMMEDIATE").map_err(&fail)?;
        let version: u32 =
            connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(&fail)?;
        let version = version as usize;
        self.check_version(version)?;
        let before = tables(connection).map_err(&fail)?;
        // All statements: each creates what is missing, including dropped tables.
        for migration in migrations() {
            connection.execute_batch(&migration).map_err(&fail)?;
        }
        let recreated: Vec<&str> = table_names().filter(|name| !before.iter().any(|b| b == name)).collect();
        self.check(connection)?;
        if version < DIRECTORY_VERSION || !before.iter().any(|name| name == "directory") {
            fill_directory(connection).map_err(&fail)?;
        }
        connection.execute_batch(&format!("PRAGMA user_version = {VERSION}; COMMIT")).map_err(&fail)?;
        let report = if version == VERSION && !recreated.is_empty() {
            format!(
                "store {}: version {version}, missing tables created: {}",
                self.path.display(),
                recreated.join(", ")
            )
        } else if version == VERSION {
            format!("store {}: exists, version {version}", self.path.display())
        } else {
            format!("store {}: version {version} -> {VERSION}", self.path.display())
        };
        Ok(vec![report])
    }

    /// Compares the tables with those of a new file.
    pub(super) fn check(&self, connection: &Connection) -> Result<()> {
        let fail = sql(&self.path, "read the tables' columns");
        let fresh = Connection::open_in_memory().map_err(&fail)?;
        for migration in migrations() {
            fresh.execute_batch(&migration).map_err(&fail)?;
        }
        for table in table_names() {
            let (want, have) =
                (columns(&fresh, table).map_err(&fail)?, columns(connection, table).map_err(&fail)?);
            if let Some(problem) = first_difference(table, &want, &have) {
                return Err(Error::user(format!("store file {}: {problem}", self.path.display()))
                    .hint("rename the file and run `tapeline init` for a fresh one"));
            }
        }
        Ok(())
    }
}

/// Enters what the record tables hold: of a file that was written before it had a directory.
fn fill_directory(connection: &Connection) -> rusqlite::Result<()> {
    for kind in Kind::ALL {
        let text = format!(
            "SELECT {0}, feed, min(ts), max(ts) FROM {1} GROUP BY {0}, feed",
            kind.table().partition(),
            kind.plural()
        );
        let mut spans = connection.prepare(&text)?;
        let mut insert = connection.prepare("INSERT OR REPLACE INTO directory VALUES (?, ?, ?, ?, ?)")?;
        let mut rows = spans.query([])?;
        while let Some(row) = rows.next()? {
            let (symbol, feed): (String, String) = (row.get(0)?, row.get(1)?);
            let start =
                |index: usize| Ok::<_, rusqlite::Error>(kind.bucket().start(UnixNanos(row.get(index)?)).0);
            insert.execute(params![kind.name(), symbol, feed, start(2)?, start(3)?])?;
        }
    }
    Ok(())
}

fn tables(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare("SELECT name FROM sqlite_master WHERE type = 'table'")?;
    statement.query_map([], |row| row.get(0))?.collect()
}

/// Names and types of a table's columns.
fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<(String, String)>> {
    connection
        .prepare(&format!("SELECT name, type || CASE WHEN pk > 0 THEN ' key ' || pk ELSE '' END FROM pragma_table_info('{table}')"))?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}
