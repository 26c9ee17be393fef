//! How servers refuse connections.

use std::fmt;

/// What a server refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The login.
    Login,
    /// The TLS handshake, or the client refused the server's.
    Handshake,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Login => "login refused",
            Self::Handshake => "TLS handshake failed",
        })
    }
}

impl std::error::Error for Refusal {}
