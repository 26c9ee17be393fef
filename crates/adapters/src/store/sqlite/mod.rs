//! A store in a SQLite file: the embedded default, without a server or set-up.
//!
//! The same keys as in Cassandra. One thread writes; each transaction takes all batches that are waiting. Rows carry
//! the timestamp of their message; a row is replaced as a whole, and only by a later [`Version`](market::version::Version).

mod bars;
mod cause;
#[cfg(test)]
mod cost;
mod forecasts;
mod read;
mod schema;
mod table;
mod write;

use cause::sql;
use market::bar::Bar;
use market::interval::Interval;
use ports::cancel::{Backoff, CancelToken};
use ports::check::Chain;
use ports::forecast::ForecastRecord;
use ports::metrics::{METRICS, Port};
use ports::store::{
    BarScan, BarSeries, BarSink, Counts, DirectoryEntry, ForecastScan, ForecastSink, Scan, Sink, Store,
    Writer,
};
use ports::{Error, Result};
use rusqlite::{Connection, OpenFlags};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A store in one SQLite file. Prices and sizes are decimal text, times are nanoseconds UTC.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    path: PathBuf,
}

impl SqliteStore {
    /// Creates a store for the file at `path`, which `init` or the first writer creates.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    fn open(&self) -> Result<Connection> {
        let fail = sql(&self.path, "open");
        let connection = Connection::open(&self.path).map_err(&fail)?;
        connection.busy_timeout(Duration::from_secs(30)).map_err(&fail)?;
        connection
            .execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-32000;")
            .map_err(&fail)?;
        Ok(connection)
    }

    /// Runs a transaction until it succeeds, fails permanently or `stop` is cancelled.
    fn write(
        &self,
        doing: &str,
        stop: &CancelToken,
        transaction: &dyn Fn(&Connection) -> rusqlite::Result<()>,
    ) -> Result<()> {
        let connection = self.open()?;
        let mut backoff = Backoff::default();
        loop {
            let Err(error) = transaction(&connection).map_err(sql(&self.path, doing)) else {
                return Ok(());
            };
            if !error.retryable() || stop.sleep(backoff.wait()) {
                return Err(error);
            }
            METRICS.retried(Port::Store);
            tracing::warn!("{error}; retrying");
        }
    }

    /// Opens for reading: creates neither file nor tables.
    fn open_existing(&self) -> Result<Connection> {
        if !self.path.is_file() {
            return Err(Error::user(format!("no store file {}", self.path.display())).hint(format!(
                "check the path, or create one: tapeline run --source tape:DIR --store {}",
                self.describe()
            )));
        }
        let fail = sql(&self.path, "open");
        let connection = open_to_read(&self.path).map_err(&fail)?;
        let version: u32 =
            connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(&fail)?;
        let version = version as usize;
        self.check_initialized(version)?;
        self.check(&connection)?;
        Ok(connection)
    }
}

fn open_to_read(path: &Path) -> rusqlite::Result<Connection> {
    // SQLite needs the index files to read a database in WAL mode: read-only if the folder permits no more.
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .or_else(|_| Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY))?;
    connection.busy_timeout(Duration::from_secs(30))?;
    connection.execute_batch("PRAGMA query_only=ON; PRAGMA cache_size=-32000;")?;
    Ok(connection)
}

impl Store for SqliteStore {
    fn init(&self) -> Result<Vec<String>> {
        self.migrate(&self.open()?)
    }

    fn writer(&self, stop: &CancelToken) -> Result<Box<dyn Writer>> {
        let connection = self.open()?;
        self.migrate(&connection)?;
        Ok(Box::new(write::SqliteWriter::start(connection, &self.path, stop)?))
    }

    fn count(&self) -> Result<Counts> {
        read::count(&self.open_existing()?).map_err(sql(&self.path, "count"))
    }

    fn directory(&self) -> Result<Vec<DirectoryEntry>> {
        read::directory(&self.open_existing()?).map_err(sql(&self.path, "read the directory"))
    }

    fn scan(&self, scan: &Scan, sink: Sink<'_>) -> Result<()> {
        read::scan(&self.open_existing()?, scan, sink).map_err(sql(&self.path, "read records"))
    }

    fn write_bars(&self, bars: &[Bar], stop: &CancelToken) -> Result<()> {
        self.write("write bars", stop, &|connection| bars::write(connection, bars))
    }

    fn scan_bars(&self, scan: &BarScan, sink: BarSink<'_>) -> Result<()> {
        let connection = self.open_existing()?;
        bars::scan(&connection, scan, sink).map_err(sql(&self.path, "read bars"))
    }

    fn bar_series(&self) -> Result<Vec<BarSeries>> {
        bars::series(&self.open_existing()?).map_err(sql(&self.path, "read bars"))
    }

    fn write_forecasts(&self, forecasts: &[ForecastRecord], stop: &CancelToken) -> Result<()> {
        self.write("write forecasts", stop, &|connection| forecasts::write(connection, forecasts))
    }

    fn scan_forecasts(&self, scan: &ForecastScan, sink: ForecastSink<'_>) -> Result<()> {
        let connection = self.open_existing()?;
        forecasts::scan(&connection, scan, sink).map_err(sql(&self.path, "read forecasts"))
    }

    fn forecast_series(&self) -> Result<Vec<(String, Interval)>> {
        forecasts::series(&self.open_existing()?).map_err(sql(&self.path, "read forecasts"))
    }

    fn check(&self) -> Chain {
        let mut chain = Chain::new();
        let opened = self.open_existing().map(|_| self.path.display().to_string());
        if !chain.step("file", opened) {
            return chain;
        }
        let writable = Connection::open_with_flags(&self.path, OpenFlags::SQLITE_OPEN_READ_WRITE)
            .and_then(|connection| connection.is_readonly("main"));
        match writable {
            Ok(false) => chain.ok("rights", "the file may be read and written"),
            Ok(true) | Err(_) => {
                let error = Error::user(format!("{} may only be read", self.path.display()));
                chain.fail("rights", &error.hint("check the rights of the file and its folder: ls -l"));
            }
        }
        chain
    }

    fn describe(&self) -> String {
        format!("sqlite:{}", self.path.display())
    }
}
