//! A store in a SQLite file: the embedded default, without a server or set-up.
//!
//! The same keys as in Cassandra. One thread writes; each transaction takes all batches that are waiting. Rows carry
//! the timestamp of their message; a row is replaced as a whole, and only by a later [`Version`].

use super::sqlite_bars;
use crossbeam_channel::{Receiver, Sender};
use market::bar::Bar;
use market::version::Version;
use market::{Kind, Price, Quote, QuoteSide, Record, Side, Size, Trade, UnixNanos, fixed};
use ports::batch::Batch;
use ports::cancel::{Backoff, CancelToken};
use ports::check::Chain;
use ports::metrics::{METRICS, Port};
use ports::store::{BarScan, BarSink, Counts, Done, Scan, Sink, Store, Writer};
use ports::{Error, Result};
use rusqlite::types::{Type, ValueRef};
use rusqlite::{CachedStatement, Connection, OpenFlags, Params, params};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Batches queued for the writing thread.
const QUEUE: usize = 64;

/// Schema version that [`TABLES`] creates. Earlier versions stored numbers in billionths, and the sides of
/// trades among their conditions: they are refused.
const FIRST_VERSION: usize = 3;

/// Migrations, oldest first; `user_version` is the version of the last one applied.
const MIGRATIONS: &[&str] = &[TABLES];

/// The tables of a store.
const TABLE_NAMES: [&str; 4] = ["trades", "quotes", "bars", "quote_bars"];

/// The version after all migrations.
const VERSION: usize = FIRST_VERSION + MIGRATIONS.len() - 1;

const TABLES: &str = concat!(
    "
CREATE TABLE IF NOT EXISTS trades (
    symbol TEXT NOT NULL, ts INTEGER NOT NULL, feed TEXT NOT NULL, venue TEXT NOT NULL, id TEXT NOT NULL,
    price TEXT NOT NULL, size TEXT NOT NULL, side TEXT NOT NULL, conditions TEXT NOT NULL, tape TEXT NOT NULL,
    seq INTEGER NOT NULL,
    recv_ts INTEGER NOT NULL, revision INTEGER NOT NULL, canceled INTEGER NOT NULL, stamp_ms INTEGER NOT NULL,
    PRIMARY KEY (symbol, ts, feed, venue, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS quotes (
    symbol TEXT NOT NULL, ts INTEGER NOT NULL, feed TEXT NOT NULL, seq INTEGER NOT NULL,
    bid TEXT, bid_size TEXT, bid_venue TEXT, ask TEXT, ask_size TEXT, ask_venue TEXT,
    conditions TEXT NOT NULL, recv_ts INTEGER NOT NULL, stamp_ms INTEGER NOT NULL,
    PRIMARY KEY (symbol, ts, feed, seq)) WITHOUT ROWID;
",
    sqlite_bars::tables!()
);

const INSERT_TRADE: &str = "
INSERT INTO trades VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15) ON CONFLICT DO NOTHING";
const REPLACE_TRADE: &str = "
INSERT OR REPLACE INTO trades VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
const SELECT_TRADE: &str =
    "SELECT * FROM trades WHERE symbol = ? AND ts = ? AND feed = ? AND venue = ? AND id = ?";
const INSERT_QUOTE: &str = "
INSERT INTO quotes VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) ON CONFLICT DO NOTHING";
const REPLACE_QUOTE: &str = "
INSERT OR REPLACE INTO quotes VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
const SELECT_QUOTE: &str = "SELECT * FROM quotes WHERE symbol = ? AND ts = ? AND feed = ? AND seq = ?";

/// A store in one SQLite file. Prices and sizes are decimal text, times are nanoseconds UTC.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    path: PathBuf,
}

fn sql(path: &Path, doing: &str) -> impl Fn(rusqlite::Error) -> Error + use<> {
    let place = format!("{doing} in store file {}", path.display());
    move |error| match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
            Error::external(format!("{place}: {error}")).hint("another process has locked the file; retrying")
        }
        Some(rusqlite::ErrorCode::DiskFull | rusqlite::ErrorCode::SystemIoFailure) => {
            Error::external(format!("{place}: {error}")).hint("free some disk space; retrying")
        }
        _ => Error::user(format!("{place}: {error}"))
            .hint("check the path, its permissions, and that it is a Tapeline store file"),
    }
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
        self.check_version(version)?;
        if version < VERSION {
            return Err(Error::user(format!(
                "{} is not a store file: it has no tables",
                self.path.display()
            ))
            .hint(format!("check the path; create the tables: tapeline init --store {}", self.describe())));
        }
        self.check(&connection)?;
        Ok(connection)
    }

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

    fn migrate(&self, connection: &Connection) -> Result<Vec<String>> {
        let fail = sql(&self.path, "bring tables up to date");
        connection.execute_batch("BEGIN IMMEDIATE").map_err(&fail)?;
        let version: u32 =
            connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(&fail)?;
        let version = version as usize;
        self.check_version(version)?;
        let before = tables(connection).map_err(&fail)?;
        // All statements: each creates what is missing, including dropped tables.
        for migration in MIGRATIONS {
            connection.execute_batch(migration).map_err(&fail)?;
        }
        let recreated: Vec<&str> =
            TABLE_NAMES.into_iter().filter(|name| !before.iter().any(|b| b == name)).collect();
        self.check(connection)?;
        connection.execute_batch(&format!("PRAGMA user_version = {VERSION}; COMMIT")).map_err(&fail)?;
        let said = if version == VERSION && !recreated.is_empty() {
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
        Ok(vec![said])
    }

    /// Compares the tables with those of a new file.
    fn check(&self, connection: &Connection) -> Result<()> {
        let fail = sql(&self.path, "read the tables' columns");
        let fresh = Connection::open_in_memory().map_err(&fail)?;
        for migration in MIGRATIONS {
            fresh.execute_batch(migration).map_err(&fail)?;
        }
        for table in TABLE_NAMES {
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

fn open_to_read(path: &Path) -> rusqlite::Result<Connection> {
    // SQLite needs the index files to read a database in WAL mode: read-only if the folder permits no more.
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .or_else(|_| Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY))?;
    connection.busy_timeout(Duration::from_secs(30))?;
    connection.execute_batch("PRAGMA query_only=ON; PRAGMA cache_size=-32000;")?;
    Ok(connection)
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

/// The first column that is missing, unexpected, or of another type.
pub(super) fn first_difference(
    table: &str,
    want: &[(String, String)],
    have: &[(String, String)],
) -> Option<String> {
    for (name, kind) in want {
        match have.iter().find(|(other, _)| other == name) {
            None => return Some(format!("table {table} has no column `{name}` ({kind})")),
            Some((_, other)) if other != kind => {
                return Some(format!("table {table}: column `{name}`: expected {kind}, found {other}"));
            }
            Some(_) => {}
        }
    }
    have.iter()
        .find(|(name, kind)| kind.contains("key") && !want.iter().any(|(other, _)| other == name))
        .map(|(name, kind)| format!("table {table}: unexpected key column `{name}` ({kind})"))
}

impl Store for SqliteStore {
    fn init(&self) -> Result<Vec<String>> {
        self.migrate(&self.open()?)
    }

    fn writer(&self, stop: &CancelToken) -> Result<Box<dyn Writer>> {
        let connection = self.open()?;
        self.migrate(&connection)?;
        let (work, incoming) = crossbeam_channel::bounded(QUEUE);
        let (outgoing, done) = crossbeam_channel::bounded(QUEUE);
        let (path, stop) = (self.path.clone(), stop.clone());
        std::thread::Builder::new()
            .name("sqlite-store".to_owned())
            .spawn(move || write_all(&connection, &path, &stop, &incoming, &outgoing))
            .map_err(|error| Error::internal(format!("start the store's thread: {error}")))?;
        Ok(Box::new(SqliteWriter { work, done }))
    }

    fn count(&self) -> Result<Counts> {
        let connection = self.open_existing()?;
        let fail = sql(&self.path, "count");
        let mut counts = Counts::new();
        for kind in Kind::ALL {
            let mut statement = connection
                .prepare(&format!("SELECT symbol, count(*) FROM {} GROUP BY symbol", kind.plural()))
                .map_err(&fail)?;
            let rows = statement
                .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())))
                .map_err(&fail)?;
            counts.insert(kind, rows.collect::<rusqlite::Result<_>>().map_err(&fail)?);
        }
        Ok(counts)
    }

    fn scan(&self, scan: &Scan, sink: Sink<'_>) -> Result<()> {
        let connection = self.open_existing()?;
        let fail = sql(&self.path, "read records");
        let only = if scan.symbol.is_some() { "symbol = ?1" } else { "?1 IS NULL" };
        let mut statement = connection
            .prepare(&format!(
                "SELECT * FROM {} WHERE {only} AND ts >= ?2 AND ts < ?3 ORDER BY symbol, ts LIMIT ?4",
                scan.kind.plural()
            ))
            .map_err(&fail)?;
        let limit = scan.limit.and_then(|n| i64::try_from(n).ok()).unwrap_or(-1);
        let mut rows = statement.query(params![scan.symbol, scan.from.0, scan.to.0, limit]).map_err(&fail)?;
        while let Some(row) = rows.next().map_err(&fail)? {
            let record = match scan.kind {
                Kind::Trade => trade(row).map(Record::Trade),
                Kind::Quote => quote(row).map(Record::Quote),
            };
            if sink(&record.map_err(&fail)?).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn write_bars(&self, bars: &[Bar], stop: &CancelToken) -> Result<()> {
        let connection = self.open()?;
        let mut backoff = Backoff::default();
        loop {
            let Err(error) = sqlite_bars::write(&connection, bars).map_err(sql(&self.path, "write bars"))
            else {
                return Ok(());
            };
            if !error.retryable() || stop.sleep(backoff.wait()) {
                return Err(error);
            }
            METRICS.retried(Port::Store);
            tracing::warn!("{error}; retrying");
        }
    }

    fn scan_bars(&self, scan: &BarScan, sink: BarSink<'_>) -> Result<()> {
        let connection = self.open_existing()?;
        sqlite_bars::scan(&connection, scan, sink).map_err(sql(&self.path, "read bars"))
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

fn text<'a>(row: &'a rusqlite::Row<'_>, index: usize) -> rusqlite::Result<&'a str> {
    Ok(row.get_ref(index)?.as_str()?)
}

/// The raw value of a decimal stored as text.
pub(super) fn decimal(row: &rusqlite::Row<'_>, index: usize) -> rusqlite::Result<i128> {
    fixed::parse(text(row, index)?.as_bytes()).map_err(|error| unreadable(index, error.to_string()))
}

fn side_of_trade(row: &rusqlite::Row<'_>, index: usize) -> rusqlite::Result<Side> {
    let name = text(row, index)?;
    Side::from_name(name).ok_or_else(|| unreadable(index, format!("unknown side `{name}`")))
}

fn unreadable(index: usize, reason: String) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(index, Type::Text, reason.into())
}

fn trade<'a>(row: &'a rusqlite::Row<'_>) -> rusqlite::Result<Trade<&'a str>> {
    Ok(Trade {
        symbol: text(row, 0)?,
        ts: UnixNanos(row.get(1)?),
        feed: text(row, 2)?,
        venue: text(row, 3)?,
        id: text(row, 4)?,
        price: Price::from_raw(decimal(row, 5)?),
        size: Size::from_raw(decimal(row, 6)?),
        side: side_of_trade(row, 7)?,
        conditions: text(row, 8)?,
        tape: text(row, 9)?,
        seq: row.get(10)?,
        recv_ts: UnixNanos(row.get(11)?),
        revision: row.get(12)?,
        canceled: row.get(13)?,
    })
}

fn quote<'a>(row: &'a rusqlite::Row<'_>) -> rusqlite::Result<Quote<&'a str>> {
    let side = |first: usize| -> rusqlite::Result<Option<QuoteSide<&'a str>>> {
        if row.get_ref(first)? == ValueRef::Null {
            return Ok(None);
        }
        Ok(Some(QuoteSide {
            price: Price::from_raw(decimal(row, first)?),
            size: Size::from_raw(decimal(row, first + 1)?),
            venue: text(row, first + 2)?,
        }))
    };
    Ok(Quote {
        symbol: text(row, 0)?,
        ts: UnixNanos(row.get(1)?),
        feed: text(row, 2)?,
        seq: row.get(3)?,
        bid: side(4)?,
        ask: side(7)?,
        conditions: text(row, 10)?,
        recv_ts: UnixNanos(row.get(11)?),
    })
}

struct SqliteWriter {
    work: Sender<(u64, Batch)>,
    done: Receiver<Done>,
}

fn broken<T>(_: T) -> Error {
    Error::internal("the store's thread has ended")
}

impl Writer for SqliteWriter {
    fn submit(&mut self, ticket: u64, batch: Batch) -> Result<()> {
        self.work.send((ticket, batch)).map_err(broken)
    }

    fn completed(&mut self, wait: Duration) -> Result<Option<Done>> {
        match self.done.recv_timeout(wait) {
            Ok(done) => Ok(Some(done)),
            Err(crossbeam_channel::RecvTimeoutError::Timeout) => Ok(None),
            Err(error) => Err(broken(error)),
        }
    }
}

fn write_all(
    connection: &Connection,
    path: &Path,
    stop: &CancelToken,
    incoming: &Receiver<(u64, Batch)>,
    outgoing: &Sender<Done>,
) {
    let mut waiting: Vec<(u64, Batch)> = Vec::new();
    while let Ok(first) = incoming.recv() {
        waiting.push(first);
        waiting.extend(incoming.try_iter().take(QUEUE / 2));
        let mut backoff = Backoff::default();
        let refused = loop {
            match write(connection, &waiting) {
                Ok(refused) => break refused,
                Err(error) => {
                    // The guard has rolled the transaction back; all of it is written again.
                    METRICS.retried(Port::Store);
                    tracing::warn!("{}; retrying", sql(path, "write")(error));
                    if stop.sleep(backoff.wait()) {
                        return;
                    }
                }
            }
        };
        for ((ticket, batch), refused) in waiting.drain(..).zip(refused) {
            if outgoing.send(Done { ticket, batch, refused }).is_err() {
                return;
            }
        }
    }
}

type Refused = Vec<(usize, String)>;

/// Writes all batches in one transaction.
fn write(connection: &Connection, batches: &[(u64, Batch)]) -> rusqlite::Result<Vec<Refused>> {
    let tx = rusqlite::Transaction::new_unchecked(connection, rusqlite::TransactionBehavior::Immediate)?;
    let mut refused = Vec::with_capacity(batches.len());
    {
        let mut trades = Table::prepare(&tx, [INSERT_TRADE, REPLACE_TRADE, SELECT_TRADE])?;
        let mut quotes = Table::prepare(&tx, [INSERT_QUOTE, REPLACE_QUOTE, SELECT_QUOTE])?;
        let mut scratch = Vec::new();
        for (_, batch) in batches {
            let mut bad = Refused::new();
            for (index, row) in batch.rows().iter().enumerate() {
                let record = batch.record(row);
                let result = match &record {
                    Record::Trade(trade) => write_trade(&mut trades, trade, row.stamp_ms, &mut scratch),
                    Record::Quote(quote) => write_quote(&mut quotes, quote, row.stamp_ms, &mut scratch),
                };
                match result {
                    Ok(()) => {}
                    // The row itself is invalid: too large, or it violates a constraint.
                    Err(error)
                        if matches!(
                            error.sqlite_error_code(),
                            Some(rusqlite::ErrorCode::TooBig | rusqlite::ErrorCode::ConstraintViolation)
                        ) =>
                    {
                        bad.push((index, error.to_string()));
                    }
                    Err(error) => return Err(error),
                }
            }
            refused.push(bad);
        }
    }
    tx.commit()?;
    Ok(refused)
}

/// Statements of one table: most rows are new, so an existing row is read only on a conflict.
struct Table<'c> {
    insert: CachedStatement<'c>,
    replace: CachedStatement<'c>,
    select: CachedStatement<'c>,
}

impl<'c> Table<'c> {
    fn prepare(connection: &'c Connection, [insert, replace, select]: [&str; 3]) -> rusqlite::Result<Self> {
        Ok(Self {
            insert: connection.prepare_cached(insert)?,
            replace: connection.prepare_cached(replace)?,
            select: connection.prepare_cached(select)?,
        })
    }

    /// Inserts a row, or replaces the existing row if that holds an earlier version.
    fn write(
        &mut self,
        values: impl Params + Copy,
        key: impl Params,
        version: impl FnOnce(&mut Vec<u8>) -> Version,
        stored: impl FnOnce(&rusqlite::Row<'_>, &mut Vec<u8>) -> rusqlite::Result<Version>,
        scratch: &mut Vec<u8>,
    ) -> rusqlite::Result<()> {
        if self.insert.execute(values)? == 1 {
            return Ok(());
        }
        let new = version(scratch);
        // An unreadable row was not written by Tapeline, and is replaced.
        let old = self.select.query_row(key, |row| Ok(stored(row, scratch).ok()))?;
        if old.is_none_or(|old| new > old) {
            self.replace.execute(values)?;
        }
        Ok(())
    }
}

fn write_trade(
    table: &mut Table<'_>,
    trade: &Trade<&str>,
    stamp_ms: i64,
    scratch: &mut Vec<u8>,
) -> rusqlite::Result<()> {
    let (price, size) = (trade.price.to_string(), trade.size.to_string());
    table.write(
        params![
            trade.symbol,
            trade.ts.0,
            trade.feed,
            trade.venue,
            trade.id,
            price,
            size,
            trade.side.name(),
            trade.conditions,
            trade.tape,
            trade.seq,
            trade.recv_ts.0,
            trade.revision,
            trade.canceled,
            stamp_ms,
        ],
        params![trade.symbol, trade.ts.0, trade.feed, trade.venue, trade.id],
        |scratch| Version::of(&Record::Trade(*trade), stamp_ms, scratch),
        |row, scratch| Ok(Version::of(&Record::Trade(self::trade(row)?), row.get(14)?, scratch)),
        scratch,
    )
}

fn write_quote(
    table: &mut Table<'_>,
    quote: &Quote<&str>,
    stamp_ms: i64,
    scratch: &mut Vec<u8>,
) -> rusqlite::Result<()> {
    let (bid, ask) = (quote.bid.as_ref(), quote.ask.as_ref());
    table.write(
        params![
            quote.symbol,
            quote.ts.0,
            quote.feed,
            quote.seq,
            bid.map(|side| side.price.to_string()),
            bid.map(|side| side.size.to_string()),
            bid.map(|side| side.venue),
            ask.map(|side| side.price.to_string()),
            ask.map(|side| side.size.to_string()),
            ask.map(|side| side.venue),
            quote.conditions,
            quote.recv_ts.0,
            stamp_ms,
        ],
        params![quote.symbol, quote.ts.0, quote.feed, quote.seq],
        |scratch| Version::of(&Record::Quote(*quote), stamp_ms, scratch),
        |row, scratch| Ok(Version::of(&Record::Quote(self::quote(row)?), row.get(12)?, scratch)),
        scratch,
    )
}
