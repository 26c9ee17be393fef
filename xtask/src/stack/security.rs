//! Access to a stack: listeners, TLS, accounts and access lists of both servers.

use super::certificates::{self, STORE_PASSWORD};
use super::{Node, Stack};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

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
const ACCOUNT: &str = "tapeline";

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

impl Stack {
    /// The stack's certificates, created if necessary; none for an open one.
    pub(super) fn certificates(&self, java: &Path) -> Result<Option<PathBuf>> {
        match self.access {
            Access::Open => Ok(None),
            _ => certificates::make(&self.dir, java).map(Some),
        }
    }

    pub(crate) fn certificate_folder(&self) -> PathBuf {
        self.dir.join("certificates")
    }

    /// `PLAINTEXT://…` and the like. Besides the plaintext port, two above it, TLS with a client certificate; three above
    /// it, or on the port itself if there is no plaintext, TLS with a password.
    pub(super) fn listeners(&self, node: &Node) -> String {
        let at =
            |name: &str, above: u16| format!("{name}://127.0.0.{}:{}", node.number, self.kafka_port + above);
        match self.access {
            Access::Open => at("PLAINTEXT", 0),
            Access::Guarded => [at("PLAINTEXT", 0), at("SSL", 2), at("SASL_SSL", 3)].join(","),
            Access::Secured => [at("SASL_SSL", 0), at("SSL", 2)].join(","),
        }
    }

    /// `tapeline.toml` that reaches the secured stack with a password at Kafka and a certificate at Cassandra.
    pub(super) fn write_client_configuration(&self) -> Result<PathBuf> {
        let folder = self.certificate_folder();
        let text = format!(
            "# Written by `cargo xtask stack up --secure`.
[topic]
url = \"{topic}\"
[topic.kafka]
replication = {nodes}
[topic.kafka.tls]
enabled = true
ca = \"{folder}/ca.crt\"
[topic.kafka.sasl]
mechanism = \"SCRAM-SHA-512\"
username = \"{ACCOUNT}\"
password = {{ file = \"{folder}/password\" }}
[store]
url = \"{store}\"
[store.cassandra]
replication = {nodes}
# Cassandra's first account; change its password on any cluster that others can reach.
username = \"cassandra\"
password = \"cassandra\"
[store.cassandra.tls]
enabled = true
ca = \"{folder}/ca.crt\"
certificate = \"{folder}/client.crt\"
key = \"{folder}/client.key\"
verify = \"full\"
",
            topic = self.topic_url(),
            store = self.store_url("tapeline"),
            nodes = self.nodes,
            folder = folder.display(),
        );
        let path = self.dir.join("tapeline.toml");
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }
}
