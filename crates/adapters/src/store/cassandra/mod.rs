//! A store on Apache Cassandra, through the scylla driver.
//!
//! | file | contents |
//! |---|---|
//! | `schema` | keyspace, tables, migrations, and checks of existing tables |
//! | `connect` | why no session could be opened |
//! | `keyspaces` | what is different at Amazon Keyspaces |
//! | `table` | definitions and statements of the tables of records |
//! | `bars` | writing and reading bars |
//! | `forecasts` | writing and reading forecasts |
//! | `periods` | partitions and batches of both |
//! | `cql` | conversion between records and CQL values |
//! | `values` | CQL values as cells of a record |
//! | `order` | grouping and order of rows |
//! | `replicas` | which partitions have the same replicas |
//! | `write` | batches of rows, several in flight, retried until the cluster accepts them |
//! | `read` | counts and scans |
//! | `directory` | which buckets have rows: what counts and open-ended scans read first |

mod bars;
mod check;
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
mod table;
mod tls;
mod values;
mod write;

use aws::credentials::CredentialChain;
pub use keyspaces::KeyspacesSettings;
use market::bar::Bar;
use market::interval::Interval;
use ports::check::Chain;
use ports::forecast::ForecastRecord;
use ports::secret::Secret;
use ports::store::{
    BarScan, BarSeries, BarSink, Counts, DirectoryEntry, ForecastScan, ForecastSink, Scan, Sink, Store,
    Writer,
};
use ports::tls::Tls;
use ports::{CancelToken, Error, Result};
use scylla::client::PoolSize;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::errors::{DbError, ExecutionError, PrepareError, RequestAttemptError};
use scylla::statement::Consistency;
use serde::Deserialize;
use std::fmt::Display;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::runtime::Runtime;

/// The `[store.cassandra]` section of the configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CassandraSettings {
    /// Replicas of each row in each datacenter that `init` creates.
    pub replication: u32,
    /// `LOCAL_QUORUM`, `LOCAL_ONE`, `QUORUM`, `ONE`, `ALL`.
    pub consistency: String,
    /// Days before raw records expire; 0: never.
    pub retention_days: u32,
    /// Maximum number of rows in a batch.
    pub batch_rows: usize,
    /// Maximum number of batches in flight.
    pub in_flight: usize,
    /// Connections to each node.
    pub connections: usize,
    /// User name for clusters that require authentication; may be empty.
    pub username: String,
    /// Never printed.
    pub password: Secret,
    /// Encryption.
    pub tls: Tls,
    /// Amazon Keyspaces.
    pub keyspaces: KeyspacesSettings,
    /// Connection timeout, if shorter than the driver's own (`--wait`).
    #[serde(skip)]
    pub connect_within: Option<Duration>,
}

/// A keyspace of one cluster.
pub struct CassandraStore {
    nodes: Vec<String>,
    keyspace: String,
    settings: CassandraSettings,
    credentials: Arc<CredentialChain>,
    session: OnceLock<(Arc<Runtime>, Arc<Session>)>,
    bar_statements: OnceLock<bars::Statements>,
}

/// Timeout of opening a session.
const CONNECT: Duration = Duration::from_secs(10);

/// Timeout of one request before it is retried.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

impl CassandraSettings {
    /// The port of nodes whose address has none.
    const fn port(&self) -> u16 {
        if self.keyspaces.enabled { keyspaces::PORT } else { 9042 }
    }
}

impl CassandraStore {
    /// `nodes` is `host[:port][,host[:port]]`.
    ///
    /// # Errors
    /// The keyspace name is invalid.
    pub fn new(nodes: &str, keyspace: &str, settings: CassandraSettings) -> Result<Self> {
        let fits = keyspace.len() <= 48
            && keyspace.starts_with(|c: char| c.is_ascii_alphabetic())
            && keyspace.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !fits {
            return Err(Error::user(format!("invalid keyspace name `{keyspace}`"))
                .hint("write cassandra://HOST:9042/KEYSPACE, letters, digits and _ only"));
        }
        let nodes = nodes
            .split(',')
            .map(
                |node| {
                    if node.contains(':') { node.to_owned() } else { format!("{node}:{}", settings.port()) }
                },
            )
            .collect();
        let keyspace = keyspace.to_ascii_lowercase();
        let credentials = Arc::default();
        let (session, bar_statements) = (OnceLock::new(), OnceLock::new());
        Ok(Self { nodes, keyspace, settings, credentials, session, bar_statements })
    }

    /// With other AWS credentials than those of the process.
    #[must_use]
    pub fn with_credentials(self, credentials: Arc<CredentialChain>) -> Self {
        Self { credentials, ..self }
    }

    /// Whether the store is Amazon Keyspaces.
    fn is_keyspaces(&self) -> bool {
        self.settings.keyspaces.enabled
    }

    /// Maximum number of rows in a batch.
    fn batch_rows(&self) -> usize {
        let most = if self.is_keyspaces() { keyspaces::BATCH_ROWS } else { 2_000 };
        self.settings.batch_rows.clamp(1, most)
    }

    /// Host of the first node.
    fn host(&self) -> &str {
        self.nodes.first().and_then(|node| node.rsplit_once(':')).map_or("", |(host, _)| host)
    }

    /// The login of Amazon Keyspaces, if the store is that and no user name of it is set.
    ///
    /// # Errors
    /// The settings cannot work there.
    fn keyspaces_login(&self) -> Result<Option<keyspaces::Login>> {
        if !self.is_keyspaces() {
            return Ok(None);
        }
        let host = self.host();
        let is_local =
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        if !self.settings.tls.enabled && !is_local {
            return Err(Error::user("store.cassandra.keyspaces: Amazon Keyspaces needs TLS")
                .hint("set store.cassandra.tls.enabled = true"));
        }
        if !self.settings.consistency.eq_ignore_ascii_case("LOCAL_QUORUM") {
            let found = &self.settings.consistency;
            return Err(Error::user(format!(
                "store.cassandra.consistency: Amazon Keyspaces writes with LOCAL_QUORUM only, found {found}"
            ))
            .hint("set store.cassandra.consistency = \"LOCAL_QUORUM\""));
        }
        if !self.settings.username.is_empty() {
            return Ok(None);
        }
        // Each connection reads them again; that there are none is known now.
        self.credentials.get()?;
        keyspaces::Login::new(&self.settings.keyspaces, host, Arc::clone(&self.credentials)).map(Some)
    }

    fn consistency(&self) -> Result<Consistency> {
        Ok(match self.settings.consistency.to_ascii_uppercase().as_str() {
            "LOCAL_QUORUM" => Consistency::LocalQuorum,
            "LOCAL_ONE" => Consistency::LocalOne,
            "QUORUM" => Consistency::Quorum,
            "ONE" => Consistency::One,
            "ALL" => Consistency::All,
            other => {
                return Err(Error::user(format!("unknown consistency `{other}`")).hint(
                    "store.cassandra.consistency: expected LOCAL_QUORUM, LOCAL_ONE, QUORUM, ONE or ALL",
                ));
            }
        })
    }

    /// The session, opened on first use.
    fn session(&self) -> Result<(Arc<Runtime>, Arc<Session>)> {
        if let Some(open) = self.session.get() {
            return Ok(open.clone());
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("cassandra")
            .enable_all()
            .build()
            .map_err(|error| Error::internal(format!("start a runtime: {error}")))?;
        let profile = ExecutionProfile::builder()
            .consistency(self.consistency()?)
            .request_timeout(Some(RESPONSE_TIMEOUT))
            .build();
        let connections = NonZeroUsize::new(self.settings.connections).unwrap_or(NonZeroUsize::MIN);
        let mut builder = SessionBuilder::new()
            .known_nodes(&self.nodes)
            .connection_timeout(Duration::from_secs(5))
            .pool_size(PoolSize::PerHost(connections))
            .fetch_full_schema_metadata(false)
            .keyspaces_to_fetch([&self.keyspace])
            .default_execution_profile_handle(profile.into_handle());
        if let Some(login) = self.keyspaces_login()? {
            builder = builder.authenticator_provider(Arc::new(login));
        }
        if !self.settings.username.is_empty() {
            builder = builder.user(&self.settings.username, self.settings.password.reveal());
        }
        if self.settings.tls.enabled {
            builder = builder.tls_context(Some(tls::context(&self.settings.tls, self.host())?));
        }
        // A server of another protocol accepts the connection and never responds: the driver alone would wait for minutes.
        let limit = self.settings.connect_within.unwrap_or(CONNECT).clamp(Duration::from_secs(1), CONNECT);
        let place = format!("connect to {}", self.describe());
        let session = runtime
            .block_on(async { tokio::time::timeout(limit, builder.build()).await })
            .map_err(|_| {
                Error::external(format!("{place}: no response within {} s", limit.as_secs()))
                    .hint("is this Cassandra's CQL port (usually 9042), and is the server ready?")
            })?
            .map_err(|error| {
                tracing::debug!(%error, "cassandra session");
                let error = connect::explain(&place, &error, self.settings.tls.enabled);
                if self.is_keyspaces() && error.what().contains("login") {
                    return error.hint(
                        "check the AWS credentials, their permission cassandra:Select, store.cassandra.keyspaces.region and the clock",
                    );
                }
                error
            })?;
        Ok(self.session.get_or_init(|| (Arc::new(runtime), Arc::new(session))).clone())
    }

    fn keyspace_fails(&self, doing: &str) -> impl Fn(&dyn Display) -> Error {
        let place = format!("{doing} in {}", self.describe());
        move |error| Error::external(format!("{place}: {error}"))
    }
}

/// Classifies the cause of a failed request: missing schema and missing permissions are the user's to fix.
fn explain(place: &str, error: &ExecutionError) -> Error {
    let what = format!("{place}: {error}");
    let database = match error {
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(database, message)) => {
            Some((database, message))
        }
        ExecutionError::PrepareError(PrepareError::AllAttemptsFailed {
            first_attempt: RequestAttemptError::DbError(database, message),
        }) => Some((database, message)),
        _ => None,
    };
    match database {
        Some((DbError::Unauthorized, message)) => Error::user(format!("{place}: {message}"))
            .hint("grant the account SELECT, MODIFY and CREATE on the keyspace"),
        Some((DbError::Invalid | DbError::ConfigError, message))
            if message.contains("does not exist") || message.contains("unconfigured") =>
        {
            Error::user(format!("{place}: {message}"))
                .hint("create keyspace and tables: tapeline init --store cassandra://HOST:PORT/KEYSPACE")
        }
        Some((DbError::Overloaded | DbError::WriteTimeout { .. } | DbError::ReadTimeout { .. }, message)) => {
            Error::external(format!("{place}: {message}")).hint(
                "the cluster is overloaded; Amazon Keyspaces throttles so: a partition takes 1,000 writes of 1 KB a second",
            )
        }
        Some((DbError::Unavailable { .. }, message)) => Error::external(format!("{place}: {message}"))
            .hint("too few replicas are up for the requested consistency"),
        _ => Error::external(what),
    }
}

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
        format!("cassandra://{}/{}", self.nodes.join(","), self.keyspace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_keyspaces_does_not_take_are_refused() {
        let settings = |host: &str, consistency: &str, tls: bool, username: &str| {
            let settings = CassandraSettings {
                replication: 1,
                consistency: consistency.to_owned(),
                retention_days: 0,
                batch_rows: 384,
                in_flight: 1,
                connections: 1,
                username: username.to_owned(),
                password: Secret::default(),
                tls: Tls { enabled: tls, ..Tls::default() },
                keyspaces: KeyspacesSettings { enabled: true, region: "us-east-1".to_owned() },
                connect_within: None,
            };
            let environment = |name: &str| name.starts_with("AWS_").then(|| "x".to_owned());
            let credentials = CredentialChain::new(Box::new(environment));
            CassandraStore::new(host, "k", settings).unwrap().with_credentials(Arc::new(credentials))
        };
        let endpoint = "cassandra.us-east-1.amazonaws.com";
        let store = settings(endpoint, "LOCAL_QUORUM", true, "");
        assert!(store.keyspaces_login().unwrap().is_some());
        assert_eq!(store.describe(), format!("cassandra://{endpoint}:9142/k"));
        assert_eq!(store.batch_rows(), 30);
        for (host, consistency, tls, part) in [
            (endpoint, "LOCAL_QUORUM", false, "needs TLS"),
            (endpoint, "QUORUM", true, "LOCAL_QUORUM only"),
            (endpoint, "ONE", true, "LOCAL_QUORUM only"),
        ] {
            let error = settings(host, consistency, tls, "").keyspaces_login().err().unwrap().to_string();
            assert!(error.contains(part), "{error}");
        }
        // Loopback needs no TLS; a user name is that of a service-specific password.
        assert!(settings("127.0.0.1", "local_quorum", false, "").keyspaces_login().unwrap().is_some());
        assert!(settings(endpoint, "LOCAL_QUORUM", true, "me").keyspaces_login().unwrap().is_none());
    }
}
