//! TLS settings shared by all clients of servers.

use crate::secret::Secret;
use serde::Deserialize;

/// How a server's certificate is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CertificateCheck {
    /// Issued by a trusted authority, for the host connected to.
    Full,
    /// Issued by a trusted authority, for any host.
    Ca,
    /// Not verified: anyone in between can read and change the traffic.
    None,
}

/// The `tls` section of a configuration. Files are in PEM format.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Whether to encrypt.
    pub enabled: bool,
    /// Certificates of trusted authorities; empty: the system's.
    pub ca: String,
    /// The client's own certificate chain; empty: none.
    pub certificate: String,
    /// The private key of `certificate`.
    pub key: String,
    /// The password of `key`; empty: none.
    pub key_password: Secret,
    /// How the server's certificate is verified.
    pub verify: CertificateCheck,
}

impl Default for Tls {
    fn default() -> Self {
        let (ca, certificate, key) = (String::new(), String::new(), String::new());
        let key_password = Secret::default();
        Self { enabled: false, ca, certificate, key, key_password, verify: CertificateCheck::Full }
    }
}

/// The likely cause of a failed handshake and what to set, from OpenSSL's reason; `section` names the settings, such as
/// `topic.kafka.tls`.
#[must_use]
pub fn handshake_hint(section: &str, reason: &str) -> String {
    let has = |part: &str| reason.to_ascii_lowercase().contains(part);
    if has("expired") {
        "a certificate has expired: renew it (openssl x509 -noout -enddate -in FILE shows the date)"
            .to_owned()
    } else if has("hostname mismatch") || has("host name") || has("ip address mismatch") {
        format!(
            "the certificate is for another host: connect by a name in it, or set `{section}.verify = \"ca\"` to check the \
             authority only"
        )
    } else if has("verify failed") || has("unknown ca") || has("self-signed") {
        format!("set `{section}.ca` to the authority that signed the server's certificate")
    } else if has("certificate required") || has("bad certificate") || has("handshake failure") {
        format!(
            "the server demands a client certificate it trusts: set `{section}.certificate` and `{section}.key`"
        )
    } else if has("wrong version number") || has("packet length too long") || has("unexpected eof") {
        format!("the port does not speak TLS: set `{section}.enabled = false`, or use the TLS port")
    } else {
        format!("check `{section}`: ca, certificate, key, verify")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_handshake_names_the_setting() {
        for (reason, part) in [
            ("certificate verify failed", "set `t.ca` to the authority"),
            ("tlsv13 alert certificate required", "`t.certificate` and `t.key`"),
            ("sslv3 alert bad certificate", "`t.certificate` and `t.key`"),
            ("certificate has expired", "renew it"),
            ("wrong version number", "`t.enabled = false`"),
            ("certificate verify failed: hostname mismatch", "`t.verify = \"ca\"`"),
        ] {
            assert!(handshake_hint("t", reason).contains(part), "{reason}");
        }
    }
}
