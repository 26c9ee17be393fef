//! TLS to a broker: OpenSSL, as for Kafka and Cassandra.

use crate::settings::MqttTls;
use openssl::pkey::PKey;
use ports::tls::CertificateCheck;
use ports::{Error, Result};
use rumqttc::tokio_native_tls::native_tls::{Certificate, Identity, TlsConnector};

const HINT: &str = "ca, certificate and key are PEM files; the key must belong to the certificate";

fn fail(what: &str, error: &dyn std::fmt::Display) -> Error {
    Error::user(format!("`source.mqtt.tls`: {what}: {error}")).hint(HINT)
}

/// The connector of `mqtts://`.
///
/// # Errors
/// A file cannot be read or has the wrong content.
pub(super) fn connector(tls: &MqttTls) -> Result<TlsConnector> {
    let read = |name: &str, path: &str| {
        std::fs::read(path).map_err(|error| fail(&format!("read {name} {path}"), &error))
    };
    let mut builder = TlsConnector::builder();
    if !tls.ca.is_empty() {
        builder.disable_built_in_roots(true);
        let pem = read("ca", &tls.ca)?;
        // A file may hold several authorities.
        let all = openssl::x509::X509::stack_from_pem(&pem)
            .map_err(|error| fail(&format!("load ca {}", tls.ca), &error))?;
        if all.is_empty() {
            return Err(fail(&format!("load ca {}", tls.ca), &"it holds no certificate"));
        }
        for authority in all {
            let load = |error: &dyn std::fmt::Display| fail(&format!("load ca {}", tls.ca), error);
            let der = authority.to_der().map_err(|error| load(&error))?;
            builder.add_root_certificate(Certificate::from_der(&der).map_err(|error| load(&error))?);
        }
    }
    if tls.certificate.is_empty() != tls.key.is_empty() {
        return Err(Error::user("`source.mqtt.tls`: certificate and key belong together, one is missing")
            .hint("set both for mutual TLS, or neither"));
    }
    if !tls.certificate.is_empty() {
        let (chain, pem) = (read("certificate", &tls.certificate)?, read("key", &tls.key)?);
        let load = |error: &dyn std::fmt::Display| fail(&format!("load key {}", tls.key), error);
        // With an empty password too: OpenSSL would ask for it on the terminal otherwise.
        let key = PKey::private_key_from_pem_passphrase(&pem, tls.key_password.reveal().as_bytes());
        let key = key.and_then(|key| key.private_key_to_pem_pkcs8()).map_err(|error| load(&error))?;
        let identity = Identity::from_pkcs8(&chain, &key);
        let identity =
            identity.map_err(|error| fail(&format!("load certificate {}", tls.certificate), &error))?;
        builder.identity(identity);
    }
    match tls.verify {
        CertificateCheck::Full => {}
        CertificateCheck::Ca => {
            builder.danger_accept_invalid_hostnames(true);
        }
        CertificateCheck::None => {
            builder.danger_accept_invalid_certs(true);
            builder.danger_accept_invalid_hostnames(true);
        }
    }
    builder.build().map_err(|error| fail("set up TLS", &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> MqttTls {
        crate::settings::with(&[]).mqtt.tls
    }

    #[test]
    fn a_connector_is_built_or_the_file_named() {
        assert!(connector(&settings()).is_ok());
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("no.pem");
        std::fs::write(&file, "nothing").unwrap();
        let path = file.display().to_string();
        let cases = [
            (MqttTls { ca: "/no/such.pem".to_owned(), ..settings() }, "read ca /no/such.pem: "),
            (MqttTls { ca: path.clone(), ..settings() }, "load ca "),
            (MqttTls { certificate: path.clone(), ..settings() }, "belong together"),
            (MqttTls { certificate: path.clone(), key: path.clone(), ..settings() }, "load key "),
        ];
        for (tls, part) in cases {
            let error = connector(&tls).err().unwrap().to_string();
            assert!(error.starts_with("`source.mqtt.tls`: ") && error.contains(part), "{part}: {error}");
        }
    }
}
