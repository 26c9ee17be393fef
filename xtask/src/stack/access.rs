//! Access control of both servers: settings and accounts.

use super::certificates::STORE_PASSWORD;
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

/// Access control of a stack.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Nothing.
    Open,
    /// Passwords for Cassandra; Kafka enforces access lists where they exist. Both accept TLS besides
    /// plaintext.
    Guarded,
    /// TLS, and a client certificate or a password.
    Secured,
}

/// The account of both SCRAM mechanisms and PLAIN; its password is in the file `password` next to the certificates.
pub(super) const ACCOUNT: &str = "tapeline";

/// Allows anybody to do whatever no access list restricts.
const GUARDED_KAFKA: &str = "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=true";

/// Accepts tokens without a signature: in tests only.
const GUARDED_TOKENS: &str = "listener.name.sasl_ssl.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"tapeline\";";

/// ANONYMOUS is the controllers' listener, on loopback.
const SECURED_KAFKA: &str = "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:CN=server;User:CN=client;User:tapeline;User:ANONYMOUS";

const CASSANDRA_ACCOUNTS: &str = "authenticator: PasswordAuthenticator
authorizer: CassandraAuthorizer";

impl Access {
    pub(super) fn broker_listener(self) -> &'static str {
        if self == Self::Secured { "SSL" } else { "PLAINTEXT" }
    }

    /// Lines of `server.properties`.
    pub(super) fn kafka(self, certificates: Option<&Path>) -> Result<String> {
        let Some(folder) = certificates else { return Ok(String::new()) };
        let is_strict = self == Self::Secured;
        let rights = if is_strict { SECURED_KAFKA } else { GUARDED_KAFKA };
        let (more, tokens) = if is_strict { ("", "") } else { (",OAUTHBEARER", GUARDED_TOKENS) };
        let (folder, password) = (folder.display(), password(folder)?);
        let security = "org.apache.kafka.common.security";
        Ok(format!(
            "{rights}
ssl.keystore.type=PKCS12
ssl.keystore.location={folder}/server.p12
ssl.keystore.password={STORE_PASSWORD}
ssl.truststore.type=PKCS12
ssl.truststore.location={folder}/truststore.p12
ssl.truststore.password={STORE_PASSWORD}
listener.name.ssl.ssl.client.auth=required
listener.name.sasl_ssl.ssl.client.auth=none
sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512,PLAIN{more}
{tokens}
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config={security}.scram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={security}.scram.ScramLoginModule required;
listener.name.sasl_ssl.plain.sasl.jaas.config={security}.plain.PlainLoginModule required user_{ACCOUNT}=\"{password}\";"
        ))
    }

    /// Lines of `cassandra.yaml`.
    pub(super) fn cassandra(self, certificates: Option<&Path>) -> String {
        let Some(folder) = certificates else { return String::new() };
        let (folder, is_strict) = (folder.display(), self == Self::Secured);
        format!(
            "{CASSANDRA_ACCOUNTS}
client_encryption_options:
  enabled: true
  optional: {}
  keystore: {folder}/server.p12
  keystore_password: {STORE_PASSWORD}
  store_type: PKCS12
  require_client_auth: {is_strict}
  truststore: {folder}/truststore.p12
  truststore_password: {STORE_PASSWORD}",
            !is_strict
        )
    }
}

fn password(certificates: &Path) -> Result<String> {
    let path = certificates.join("password");
    fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
}

/// Arguments of Kafka's storage tool that create the SCRAM account.
pub(super) fn accounts(certificates: Option<&Path>) -> Result<Vec<String>> {
    let Some(folder) = certificates else { return Ok(Vec::new()) };
    let password = password(folder)?;
    let account = |mechanism: &str| format!("{mechanism}=[name={ACCOUNT},password={password}]");
    Ok(["SCRAM-SHA-256", "SCRAM-SHA-512"]
        .iter()
        .flat_map(|mechanism| ["--add-scram".to_owned(), account(mechanism)])
        .collect())
}
