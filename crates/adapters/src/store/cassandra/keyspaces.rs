//! What is different at Amazon Keyspaces: the login, the definitions of tables, and that these take effect later.
//!
//! Rows go there as to any Cassandra, in batches of at most [`BATCH_ROWS`]. Throttling is a write timeout or an overload; the
//! writers retry both with back-off. Source: Amazon Keyspaces developer guide, "Functional differences", "Quotas",
//! "Client-side timestamps".

use super::cause;
use async_trait::async_trait;
use aws::credentials::CredentialChain;
use aws::keyspaces::{INITIAL_RESPONSE, region_of, response};
use ports::{Error, Result, clock};
use scylla::authentication::{AuthError, AuthenticatorProvider, AuthenticatorSession};
use scylla::client::session::Session;
use serde::Deserialize;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Maximum number of statements in a batch.
pub(super) const BATCH_ROWS: usize = 30;
/// Port of the endpoints.
pub(super) const PORT: u16 = 9142;
/// How long a new keyspace or table may take to become active. Usually it is seconds.
const ACTIVE: Duration = Duration::from_secs(300);
/// Time between looks at whether it is.
const LOOK: Duration = Duration::from_millis(500);

/// The `[store.cassandra.keyspaces]` section of the configuration.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyspacesSettings {
    /// Whether the store is Amazon Keyspaces.
    pub enabled: bool,
    /// Region of the endpoint; empty: that of its address, or of the environment.
    pub region: String,
}

/// Answers the challenges of the endpoint with AWS credentials.
pub(super) struct Login {
    credentials: Arc<CredentialChain>,
    region: String,
}

/// One login.
struct LoginSession {
    credentials: Arc<CredentialChain>,
    region: String,
}

impl Login {
    /// `host` is the endpoint's name.
    ///
    /// # Errors
    /// The region is unknown.
    pub(super) fn new(
        settings: &KeyspacesSettings,
        host: &str,
        credentials: Arc<CredentialChain>,
    ) -> Result<Self> {
        let of_environment =
            || ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter().find_map(|name| credentials.setting(name));
        let region = Some(settings.region.clone()).filter(|region| !region.is_empty());
        let region = region.or_else(|| region_of(host).map(str::to_owned)).or_else(of_environment);
        let region = region.ok_or_else(|| {
            Error::user(format!("`store.cassandra.keyspaces`: no region in the address `{host}`"))
                .hint("set `store.cassandra.keyspaces.region`, or AWS_REGION")
        })?;
        Ok(Self { credentials, region })
    }
}

#[async_trait]
impl AuthenticatorProvider for Login {
    async fn start_authentication_session(
        &self,
        _: &str,
    ) -> std::result::Result<(Option<Vec<u8>>, Box<dyn AuthenticatorSession>), AuthError> {
        let session =
            LoginSession { credentials: Arc::clone(&self.credentials), region: self.region.clone() };
        Ok((Some(INITIAL_RESPONSE.to_vec()), Box::new(session)))
    }
}

#[async_trait]
impl AuthenticatorSession for LoginSession {
    async fn evaluate_challenge(
        &mut self,
        token: Option<&[u8]>,
    ) -> std::result::Result<Option<Vec<u8>>, AuthError> {
        let credentials = Arc::clone(&self.credentials);
        // The role's credentials come over HTTP, and the only thread of the runtime must not wait for them.
        let found = tokio::task::spawn_blocking(move || credentials.get()).await;
        let credentials = found.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        let made = response(&self.region, &credentials, token.unwrap_or_default(), clock::now())
            .map_err(|error| error.to_string())?;
        Ok(Some(made.reveal().as_bytes().to_vec()))
    }

    async fn success(&mut self, _: Option<&[u8]>) -> std::result::Result<(), AuthError> {
        Ok(())
    }
}

/// The definition of a keyspace: three copies in three zones, always.
pub(super) fn create_keyspace(keyspace: &str) -> String {
    format!("CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {{'class': 'SingleRegionStrategy'}}")
}

/// A table's definition without what the service decides itself, and with write timestamps of the client: without them a
/// replay would replace later versions of a record by earlier ones.
pub(super) fn definition(statement: &str) -> String {
    let (columns, options) = statement.split_once(" WITH ").unwrap_or((statement, ""));
    let life = options
        .split(" AND ")
        .find(|option| option.strip_prefix("default_time_to_live = ").is_some_and(|seconds| seconds != "0"));
    let life = life.map_or_else(String::new, |option| format!("{option} AND "));
    format!("{columns} WITH {life}CUSTOM_PROPERTIES = {{'client_side_timestamps': {{'status': 'enabled'}}}}")
}

/// Waits until a keyspace, or a table of it, can be used: `CREATE` returns before that.
///
/// # Errors
/// It is not active within five minutes, or its state cannot be read.
pub(super) async fn wait_until_active(
    session: &Session,
    keyspace: &str,
    table: Option<&str>,
    place: &str,
) -> Result<()> {
    let (what, text) = match table {
        Some(table) => (
            format!("table {keyspace}.{table}"),
            format!(
                "SELECT status FROM system_schema_mcs.tables WHERE keyspace_name = '{keyspace}' AND table_name = '{table}'"
            ),
        ),
        None => (
            format!("keyspace {keyspace}"),
            format!(
                "SELECT keyspace_name FROM system_schema_mcs.keyspaces WHERE keyspace_name = '{keyspace}'"
            ),
        ),
    };
    let since = Instant::now();
    loop {
        let response = session.query_unpaged(text.as_str(), ()).await;
        let response = response.map_err(|error| cause::refused(place, &error))?;
        let rows = response
            .into_rows_result()
            .map_err(|error| Error::internal(format!("{place}: state of {what}: {error}")))?;
        let state = rows.maybe_first_row::<(String,)>();
        let state = state.map_err(|error| Error::internal(format!("{place}: state of {what}: {error}")))?;
        let state = state.map(|(state,)| state);
        let is_active = match (&state, table) {
            (Some(_), None) => true,
            (Some(state), Some(_)) => state.eq_ignore_ascii_case("ACTIVE"),
            (None, _) => false,
        };
        if is_active {
            return Ok(());
        }
        if since.elapsed() > ACTIVE {
            let state = state.unwrap_or_else(|| "unknown".to_owned());
            return Err(Error::external(format!("{place}: {what} is not active after 5 minutes ({state})"))
                .hint("look at it in the console of Amazon Keyspaces; `tapeline init` may be repeated"));
        }
        tokio::time::sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::super::table;
    use super::*;
    use market::Kind;

    #[test]
    fn definitions_keep_columns_and_retention() {
        let plain = definition(&table::create("k", Kind::TRADE, 0));
        let tail = "PRIMARY KEY ((symbol, hour), ts, feed, venue, id)) WITH CUSTOM_PROPERTIES = \
                    {'client_side_timestamps': {'status': 'enabled'}}";
        assert!(plain.starts_with("CREATE TABLE IF NOT EXISTS k.trades (symbol text, hour"), "{plain}");
        assert!(plain.ends_with(tail), "{plain}");
        let expiring = definition(&table::create("k", Kind::TRADE, 30));
        assert!(expiring.contains("WITH default_time_to_live = 2592000 AND CUSTOM_PROPERTIES"), "{expiring}");
        assert!(!expiring.contains("compaction"), "{expiring}");
        let bare = definition("CREATE TABLE IF NOT EXISTS k.t (a int PRIMARY KEY)");
        assert!(bare.starts_with("CREATE TABLE IF NOT EXISTS k.t (a int PRIMARY KEY) WITH CUSTOM"), "{bare}");
    }

    #[test]
    fn the_region_is_that_of_setting_address_or_environment() {
        let region = |setting: &str, host: &str, variable: Option<&'static str>| {
            let find = move |name: &str| variable.filter(|_| name == "AWS_REGION").map(str::to_owned);
            let settings = KeyspacesSettings { enabled: true, region: setting.to_owned() };
            let credentials = Arc::new(CredentialChain::new(Box::new(find)));
            Login::new(&settings, host, credentials).map(|login| login.region)
        };
        let endpoint = "cassandra.us-east-1.amazonaws.com";
        assert_eq!(region("eu-west-1", endpoint, Some("us-west-2")).unwrap(), "eu-west-1");
        assert_eq!(region("", endpoint, Some("us-west-2")).unwrap(), "us-east-1");
        assert_eq!(region("", "127.0.0.1", Some("us-west-2")).unwrap(), "us-west-2");
        let error = region("", "127.0.0.1", None).unwrap_err().to_string();
        assert!(error.contains("no region"), "{error}");
    }
}
