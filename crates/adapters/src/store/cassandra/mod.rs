//! A store on Apache Cassandra, through the scylla driver.
//!
//! | file | contents |
//! |---|---|
//! | `settings` | settings of the store |
//! | `session` | the session, opened on first use |
//! | `tls` | its encryption |
//! | `connect` | why no session could be opened |
//! | `cause` | why a request failed |
//! | `keyspaces` | what is different at Amazon Keyspaces |
//! | `schema` | keyspace, tables, migrations, and checks of existing tables |
//! | `check` | the checks of `tapeline doctor` |
//! | `columns` | columns of the tables of bars and forecasts |
//! | `table` | definitions and statements of the tables of records |
//! | `bars` | writing and reading bars |
//! | `forecasts` | writing and reading forecasts |
//! | `periods` | partitions and batches of both |
//! | `cql` | conversion between records and CQL values |
//! | `values` | CQL values as cells of a record |
//! | `order` | grouping and order of rows |
//! | `replicas` | which partitions have the same replicas |
//! | `inlined_conditions` | statements with inlined conditions |
//! | `write` | batches of rows, several in flight, retried until the cluster accepts them |
//! | `read` | counts and scans |
//! | `directory` | which buckets have rows: what counts and open-ended scans read first |

mod bars;
mod cause;
mod check;
mod columns;
mod connect;
mod cql;
mod directory;
mod forecasts;
mod inlined_conditions;
mod keyspaces;
mod order;
mod periods;
mod read;
mod replicas;
mod schema;
mod session;
mod settings;
mod table;
mod tls;
mod values;
mod write;

pub use keyspaces::KeyspacesSettings;
use market::bar::Bar;
use market::interval::Interval;
use ports::check::Chain;
use ports::forecast::ForecastRecord;
use ports::store::{
    BarScan, BarSeries, BarSink, Counts, DirectoryEntry, ForecastScan, ForecastSink, Scan, Sink, Store,
    Writer,
};
use ports::{CancelToken, Result};
pub use session::CassandraStore;
pub use settings::CassandraSettings;

impl Store for CassandraStore {
    fn init(&self) -> Result<Vec<String>> {
        schema::init(self)
    }

    fn writer(&self, stop: &CancelToken) -> Result<Box<dyn Writer>> {
        schema::check(self)?;
        Ok(Box::new(write::CassandraWriter::new(self, stop)?))
    }

    fn count(&self) -> Result<Counts> {
        schema::check(self)?;
        read::count(self)
    }

    fn directory(&self) -> Result<Vec<DirectoryEntry>> {
        schema::check(self)?;
        directory::entries(self)
    }

    fn scan(&self, scan: &Scan, sink: Sink<'_>) -> Result<()> {
        schema::check(self)?;
        read::scan(self, scan, sink)
    }

    fn write_bars(&self, bars: &[Bar], stop: &CancelToken) -> Result<()> {
        bars::write(self, bars, stop)
    }

    fn scan_bars(&self, scan: &BarScan, sink: BarSink<'_>) -> Result<()> {
        schema::check(self)?;
        bars::scan(self, scan, sink)
    }

    fn bar_series(&self) -> Result<Vec<BarSeries>> {
        schema::check(self)?;
        bars::series(self)
    }

    fn write_forecasts(&self, forecasts: &[ForecastRecord], stop: &CancelToken) -> Result<()> {
        forecasts::write(self, forecasts, stop)
    }

    fn scan_forecasts(&self, scan: &ForecastScan, sink: ForecastSink<'_>) -> Result<()> {
        schema::check(self)?;
        forecasts::scan(self, scan, sink)
    }

    fn forecast_series(&self) -> Result<Vec<(String, Interval)>> {
        schema::check(self)?;
        forecasts::series(self)
    }

    fn check(&self) -> Chain {
        check::check(self)
    }

    fn describe(&self) -> String {
        self.address()
    }
}
