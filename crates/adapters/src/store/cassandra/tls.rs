//! The TLS context of the Cassandra driver.

use openssl::error::ErrorStack;
use openssl::ssl::{SslContext, SslContextBuilder, SslFiletype, SslMethod, SslVerifyMode};
use openssl::x509::verify::X509CheckFlags;
use ports::tls::{CertificateCheck, Tls};
use ports::{Error, Result};

/// A context for all nodes; `host` is the name that `verify = "full"` expects in their certificates.
///
/// # Errors
/// A file cannot be read or has the wrong content.
pub(super) fn context(tls: &Tls, host: &str) -> Result<SslContext> {
    let fail = |what: &str| {
        let place = format!("`store.cassandra.tls`: {what}");
        move |error: ErrorStack| {
            Error::user(format!("{place}: {error}"))
                .hint("ca, certificate and key are PEM files; the key must belong to the certificate")
        }
    };
    let mut builder = SslContextBuilder::new(SslMethod::tls_client()).map_err(fail("set up TLS"))?;
    if tls.ca.is_empty() {
        builder.set_default_verify_paths().map_err(fail("load the system's authorities"))?;
    } else {
        builder.set_ca_file(&tls.ca).map_err(fail(&format!("load ca {}", tls.ca)))?;
    }
    if tls.certificate.is_empty() != tls.key.is_empty() {
        return Err(Error::user(
            "`store.cassandra.tls`: certificate and key belong together, one is missing",
        )
        .hint("set both for mutual TLS, or neither"));
    }
    if !tls.certificate.is_empty() {
        let load = format!("load certificate {}", tls.certificate);
        builder.set_certificate_chain_file(&tls.certificate).map_err(fail(&load))?;
        let load = format!("load key {}", tls.key);
        if tls.key_password.is_empty() {
            builder.set_private_key_file(&tls.key, SslFiletype::PEM).map_err(fail(&load))?;
        } else {
            let pem = std::fs::read(&tls.key).map_err(|error| {
                Error::user(format!("`store.cassandra.tls`: read key {}: {error}", tls.key))
            })?;
            let password = tls.key_password.reveal().as_bytes();
            let key =
                openssl::pkey::PKey::private_key_from_pem_passphrase(&pem, password).map_err(fail(&load))?;
            builder.set_private_key(&key).map_err(fail(&load))?;
        }
        builder.check_private_key().map_err(fail("certificate and key do not belong together"))?;
    }
    match tls.verify {
        CertificateCheck::None => builder.set_verify(SslVerifyMode::NONE),
        CertificateCheck::Ca => builder.set_verify(SslVerifyMode::PEER),
        CertificateCheck::Full => {
            builder.set_verify(SslVerifyMode::PEER);
            let param = builder.verify_param_mut();
            param.set_hostflags(X509CheckFlags::NO_PARTIAL_WILDCARDS);
            match host.parse() {
                Ok(address) => param.set_ip(address),
                Err(_) => param.set_host(host),
            }
            .map_err(fail("set the expected host name"))?;
        }
    }
    Ok(builder.build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_built_or_the_file_named() {
        let tls = Tls { enabled: true, verify: CertificateCheck::Full, ..Tls::default() };
        assert!(context(&tls, "localhost").is_ok() && context(&tls, "127.0.0.1").is_ok());
        let missing = Tls { ca: "/no/such.pem".to_owned(), ..tls.clone() };
        assert!(context(&missing, "h").err().unwrap().to_string().contains("/no/such.pem"));
        let half = Tls { certificate: "c.pem".to_owned(), ..tls };
        assert!(context(&half, "h").err().unwrap().to_string().contains("belong together"));
    }
}
