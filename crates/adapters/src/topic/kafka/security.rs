//! TLS and SASL settings as properties of librdkafka.

use super::settings::{KafkaSettings, MSK_IAM, UNSECURED};
use ports::tls::CertificateCheck;
use ports::{Error, Result};
use rdkafka::ClientConfig;

const MECHANISMS: [&str; 5] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", MSK_IAM];

/// Sets the properties that the settings require.
///
/// # Errors
/// The mechanism is unknown or has no user name, or a certificate has no key.
pub(super) fn apply(settings: &KafkaSettings, config: &mut ClientConfig) -> Result<()> {
    let (tls, sasl) = (&settings.tls, &settings.sasl);
    let protocol = match (tls.enabled, !sasl.mechanism.is_empty()) {
        (false, false) => return Ok(()),
        (true, false) => "SSL",
        (false, true) => "SASL_PLAINTEXT",
        (true, true) => "SASL_SSL",
    };
    config.set("security.protocol", protocol);
    if tls.enabled {
        if tls.certificate.is_empty() != tls.key.is_empty() {
            return Err(Error::user(
                "`topic.kafka.tls`: certificate and key belong together, one is missing",
            )
            .hint("set both for mutual TLS, or neither"));
        }
        for (name, value) in [
            ("ssl.ca.location", &tls.ca),
            ("ssl.certificate.location", &tls.certificate),
            ("ssl.key.location", &tls.key),
        ] {
            if !value.is_empty() {
                std::fs::File::open(value).map_err(|error| {
                    Error::user(format!("`topic.kafka.tls`: open {value}: {error}"))
                        .hint("ca, certificate and key are PEM files this process may read")
                })?;
                config.set(name, value);
            }
        }
        if !tls.key_password.is_empty() {
            config.set("ssl.key.password", tls.key_password.reveal());
        }
        match tls.verify {
            CertificateCheck::Full => {}
            CertificateCheck::Ca => {
                config.set("ssl.endpoint.identification.algorithm", "none");
            }
            CertificateCheck::None => {
                config.set("enable.ssl.certificate.verification", "false");
            }
        }
    }
    if !sasl.mechanism.is_empty() {
        let mechanism = sasl.mechanism.to_ascii_uppercase();
        if !MECHANISMS.contains(&mechanism.as_str()) {
            return Err(Error::user(format!(
                "`topic.kafka.sasl.mechanism`: expected {}, found `{}`",
                MECHANISMS.join(", "),
                sasl.mechanism
            )));
        }
        // Amazon's name is of its own clients; on the wire it is OAUTHBEARER.
        config.set("sasl.mechanism", if mechanism == MSK_IAM { "OAUTHBEARER" } else { &mechanism });
        if mechanism == MSK_IAM {
            if !tls.enabled {
                return Err(Error::user(
                    "`topic.kafka.sasl`: AWS_MSK_IAM needs TLS: a token must not be sent in the clear",
                )
                .hint("set `topic.kafka.tls.enabled = true`, and the port for IAM, 9098, in `topic.url`"));
            }
            if !sasl.username.is_empty() || !sasl.password.is_empty() {
                return Err(Error::user("`topic.kafka.sasl`: AWS_MSK_IAM takes no username and password")
                    .hint("its credentials are AWS's: AWS_ACCESS_KEY_ID, ~/.aws/credentials, or the instance's role"));
            }
        } else if mechanism == "OAUTHBEARER" {
            // The tokens themselves are those of `token.rs`.
            let is_complete = !sasl.username.is_empty()
                && (sasl.token_url == UNSECURED || (!sasl.token_url.is_empty() && !sasl.password.is_empty()));
            if !is_complete {
                return Err(Error::user(
                    "`topic.kafka.sasl`: OAUTHBEARER needs token_url, username (client id) and password (client secret)",
                )
                .hint("token_url = \"https://…/token\"; \"unsecured\" needs only a username, for tests"));
            }
        } else if sasl.username.is_empty() || sasl.password.is_empty() {
            return Err(Error::user(format!("`topic.kafka.sasl`: {mechanism} needs username and password"))
                .hint("TAPELINE__TOPIC__KAFKA__SASL__PASSWORD keeps it out of files"));
        } else {
            config.set("sasl.username", &sasl.username).set("sasl.password", sasl.password.reveal());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::settings::Sasl;
    use super::*;
    use ports::tls::Tls;

    fn properties(tls: Tls, sasl: Sasl) -> Result<ClientConfig> {
        let settings = KafkaSettings { tls, sasl, ..KafkaSettings::for_tests() };
        let mut config = ClientConfig::new();
        apply(&settings, &mut config).map(|()| config)
    }

    #[test]
    fn settings_become_properties() {
        let login = |mechanism: &str| Sasl {
            mechanism: mechanism.to_owned(),
            username: "alice".to_owned(),
            password: "hush".to_owned().into(),
            ..Sasl::default()
        };
        let tls = || Tls { enabled: true, ..Tls::default() };
        let none = properties(Tls::default(), Sasl::default()).unwrap();
        assert_eq!(none.get("security.protocol"), None);
        assert_eq!(properties(tls(), Sasl::default()).unwrap().get("security.protocol"), Some("SSL"));
        let both = properties(tls(), login("scram-sha-512")).unwrap();
        assert_eq!(both.get("security.protocol"), Some("SASL_SSL"));
        assert_eq!(both.get("sasl.mechanism"), Some("SCRAM-SHA-512"));
        assert_eq!(both.get("sasl.password"), Some("hush"));
        let lax = properties(Tls { verify: CertificateCheck::None, ..tls() }, Sasl::default()).unwrap();
        assert_eq!(lax.get("enable.ssl.certificate.verification"), Some("false"));
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let tls = Tls { enabled: true, certificate: "c.pem".to_owned(), ..Tls::default() };
        assert!(properties(tls, Sasl::default()).unwrap_err().to_string().contains("belong together"));
        let tls = Tls { enabled: true, ca: "/no/such.pem".to_owned(), ..Tls::default() };
        assert!(properties(tls, Sasl::default()).unwrap_err().to_string().contains("/no/such.pem"));
        let sasl = Sasl { mechanism: "KERBEROS".to_owned(), ..Sasl::default() };
        assert!(properties(Tls::default(), sasl).unwrap_err().to_string().contains("found `KERBEROS`"));
        let sasl = Sasl { mechanism: "PLAIN".to_owned(), ..Sasl::default() };
        assert!(properties(Tls::default(), sasl).unwrap_err().to_string().contains("needs username"));
        let oauth = |token_url: &str| Sasl {
            mechanism: "OAUTHBEARER".to_owned(),
            username: "id".to_owned(),
            token_url: token_url.to_owned(),
            ..Sasl::default()
        };
        for url in ["", "https://id.example/token"] {
            let error = properties(Tls::default(), oauth(url)).unwrap_err().to_string();
            assert!(error.contains("OAUTHBEARER needs token_url"), "{error}");
        }
        let unsecured = properties(Tls::default(), oauth("unsecured")).unwrap();
        assert_eq!(unsecured.get("sasl.mechanism"), Some("OAUTHBEARER"));
        // librdkafka's own request for tokens is not in this build.
        assert_eq!(unsecured.get("sasl.oauthbearer.method"), None);
    }

    #[test]
    fn msk_is_oauthbearer_over_tls() {
        let tls = || Tls { enabled: true, ..Tls::default() };
        let iam = || Sasl { mechanism: "AWS_MSK_IAM".to_owned(), ..Sasl::default() };
        let config = properties(tls(), iam()).unwrap();
        assert_eq!(config.get("security.protocol"), Some("SASL_SSL"));
        assert_eq!(config.get("sasl.mechanism"), Some("OAUTHBEARER"));
        assert!(properties(Tls::default(), iam()).unwrap_err().to_string().contains("needs TLS"));
        let named = Sasl { username: "me".to_owned(), ..iam() };
        assert!(properties(tls(), named).unwrap_err().to_string().contains("no username"));
    }
}
