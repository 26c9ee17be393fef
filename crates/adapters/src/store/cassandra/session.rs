//! The session of a store, opened on first use.

use super::cause::explain;
use super::settings::CassandraSettings;
use super::{connect, keyspaces, tls};
use crate::refusal::Refusal;
use aws::credentials::CredentialChain;
use market::Kind;
use ports::{Error, Result};
use scylla::client::PoolSize;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::statement::Consistency;
use scylla::statement::prepared::PreparedStatement;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::runtime::Runtime;

/// Statements that write and delete the bars of each kind.
pub(super) type BarStatements = BTreeMap<Kind, [PreparedStatement; 2]>;

/// A keyspace of one cluster.
pub struct CassandraStore {
    pub(super) nodes: Vec<String>,
    pub(super) keyspace: String,
    pub(super) settings: CassandraSettings,
    credentials: Arc<CredentialChain>,
    session: OnceLock<(Arc<Runtime>, Arc<Session>)>,
    pub(super) bar_statements: OnceLock<BarStatements>,
}

/// Timeout of opening a session.
const CONNECT: Duration = Duration::from_secs(10);

/// Timeout of one request before it is retried.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

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
    pub(super) fn is_keyspaces(&self) -> bool {
        self.settings.keyspaces.enabled
    }

    /// Maximum number of rows in a batch.
    pub(super) fn batch_rows(&self) -> usize {
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
            return Err(Error::user("`store.cassandra.keyspaces`: Amazon Keyspaces needs TLS")
                .hint("set `store.cassandra.tls.enabled = true`"));
        }
        if !self.settings.consistency.eq_ignore_ascii_case("LOCAL_QUORUM") {
            let found = &self.settings.consistency;
            return Err(Error::user(format!(
                "`store.cassandra.consistency`: Amazon Keyspaces writes with LOCAL_QUORUM only, found {found}"
            ))
            .hint("set `store.cassandra.consistency = \"LOCAL_QUORUM\"`"));
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
                    "`store.cassandra.consistency`: expected LOCAL_QUORUM, LOCAL_ONE, QUORUM, ONE or ALL",
                ));
            }
        })
    }

    /// The session, opened on first use.
    pub(super) fn session(&self) -> Result<(Arc<Runtime>, Arc<Session>)> {
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
        let place = format!("connect to {}", self.address());
        let session = runtime
            .block_on(async { tokio::time::timeout(limit, builder.build()).await })
            .map_err(|_| {
                Error::external(format!("{place}: no response within {} s", limit.as_secs()))
                    .hint("is this Cassandra's CQL port (usually 9042), and is the server ready?")
            })?
            .map_err(|error| {
                tracing::debug!(%error, "cassandra session");
                let error = connect::explain(&place, &error, self.settings.tls.enabled);
                if self.is_keyspaces() && error.cause() == Some(&Refusal::Login) {
                    return error.hint(
                        "check the AWS credentials, their permission cassandra:Select, `store.cassandra.keyspaces.region` and the clock",
                    );
                }
                error
            })?;
        Ok(self.session.get_or_init(|| (Arc::new(runtime), Arc::new(session))).clone())
    }

    pub(super) fn keyspace_fails(&self, doing: &str) -> impl Fn(&dyn Display) -> Error {
        let place = format!("{doing} in {}", self.address());
        move |error| Error::external(format!("{place}: {error}"))
    }

    /// The URL of the store.
    pub(super) fn address(&self) -> String {
        format!("cassandra://{}/{}", self.nodes.join(","), self.keyspace)
    }
}

pub(super) async fn prepare(
    session: &Session,
    store: &CassandraStore,
    text: String,
) -> Result<PreparedStatement> {
    session
        .prepare(text)
        .await
        .map(|mut statement| {
            statement.set_is_idempotent(true);
            statement
        })
        .map_err(|error| explain(&format!("prepare at {}", store.address()), &error.into()))
}

#[cfg(test)]
mod tests {
    use super::super::keyspaces::KeyspacesSettings;
    use super::*;
    use ports::secret::Secret;
    use ports::tls::Tls;

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
        assert_eq!(store.address(), format!("cassandra://{endpoint}:9142/k"));
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
