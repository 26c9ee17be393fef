//! Access to a stack: its listeners and certificates, and the settings of its clients.

use super::access::{ACCOUNT, Access};
use super::certificates;
use super::{Node, Stack};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

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
