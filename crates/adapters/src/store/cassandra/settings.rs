//! Settings of the store.

use super::keyspaces::{self, KeyspacesSettings};
use ports::secret::Secret;
use ports::tls::Tls;
use serde::Deserialize;
use std::time::Duration;

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

impl CassandraSettings {
    /// The port of nodes whose address has none.
    pub(super) const fn port(&self) -> u16 {
        if self.keyspaces.enabled { keyspaces::PORT } else { 9042 }
    }
}
