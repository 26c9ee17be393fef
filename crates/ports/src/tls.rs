//! TLS settings shared by all clients of servers.

use crate::secret::Secret;
use serde::Deserialize;

/// How a server's certificate is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verify {
    /// Issued by a known authority, for the host connected to.
    Full,
    /// Issued by a known authority, for whatever host.
    Ca,
    /// Not at all: anyone in between can read and change the traffic.
    None,
}

/// A `tls` section of the configuration. Files are in PEM format.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Whether to encrypt.
    pub enabled: bool,
    /// Certificates of the authorities to trust; empty for the system's.
    pub ca: String,
    /// The client's own certificate chain; empty for none.
    pub certificate: String,
    /// The private key of `certificate`.
    pub key: String,
    /// The password of `key`; empty for none.
    pub key_password: Secret,
    /// How the server's certificate is checked.
    pub verify: Verify,
}

impl Default for Tls {
    fn default() -> Self {
        let (ca, certificate, key) = (String::new(), String::new(), String::new());
        let key_password = Secret::default();
        Self { enabled: false, ca, certificate, key, key_password, verify: Verify::Full }
    }
}
