//! The contract suites over TLS, with a login by password or certificate, and the errors of wrong settings.

use super::{server, store, topic, unique};
use adapters::store::cassandra::{self, CassandraStore};
use adapters::topic::kafka::{self, KafkaTopics, Sasl};
use ports::CancelToken;
use ports::error::Domain;
use ports::store::Store as _;
use ports::tls::{CertificateCheck, Tls};
use ports::topic::{Names, Topics as _};
use std::collections::BTreeMap;
use std::path::PathBuf;

fn certificate(name: &str) -> String {
    let folder = PathBuf::from(server("TAPELINE_TEST_CERTIFICATES"));
    folder.join(name).display().to_string()
}

fn tls(with_certificate: bool) -> Tls {
    let own = |name: &str| if with_certificate { certificate(name) } else { String::new() };
    Tls {
        enabled: true,
        ca: certificate("ca.crt"),
        certificate: own("client.crt"),
        key: own("client.key"),
        ..Tls::default()
    }
}

fn sasl(mechanism: &str) -> Sasl {
    let password = std::fs::read_to_string(certificate("password")).unwrap();
    Sasl {
        mechanism: mechanism.to_owned(),
        username: "tapeline".to_owned(),
        password: password.into(),
        ..Sasl::default()
    }
}

/// The port two above the plaintext port requires a certificate, the one three above it a password.
fn topics(prefix: &str, tls: Tls, sasl: Sasl) -> KafkaTopics {
    let address = server("TAPELINE_TEST_GUARDED_KAFKA");
    let (host, port) = address.rsplit_once(':').unwrap();
    let above = if sasl.mechanism.is_empty() { 2 } else { 3 };
    let brokers = format!("{host}:{}", port.parse::<u16>().unwrap() + above);
    let settings = kafka::KafkaSettings {
        replication: 1,
        compression: "lz4".into(),
        linger: std::time::Duration::from_millis(1),
        instance: String::new(),
        session_timeout: std::time::Duration::from_secs(6),
        tls,
        sasl,
        properties: BTreeMap::new(),
    };
    KafkaTopics::new(&brokers, settings, Names::new(prefix).positions(), CancelToken::default())
}

fn tables(keyspace: &str, tls: Tls, password: &str) -> CassandraStore {
    let settings = cassandra::CassandraSettings {
        connect_within: None,
        replication: 1,
        consistency: "LOCAL_QUORUM".into(),
        retention_days: 0,
        batch_rows: 256,
        in_flight: 16,
        connections: 1,
        username: "cassandra".into(),
        password: password.to_owned().into(),
        tls,
        keyspaces: adapters::store::cassandra::KeyspacesSettings::default(),
    };
    CassandraStore::new(&server("TAPELINE_TEST_GUARDED_CASSANDRA"), keyspace, settings).unwrap()
}

#[test]
#[ignore = "needs a secured Kafka: cargo xtask test"]
fn kafka_with_a_client_certificate() {
    let prefix = unique("mtls");
    topic::suite(&topics(&prefix, tls(true), Sasl::default()), &Names::new(&prefix));
}

#[test]
#[ignore = "needs a secured Kafka: cargo xtask test"]
fn kafka_with_scram() {
    let prefix = unique("scram");
    topic::suite(&topics(&prefix, tls(false), sasl("SCRAM-SHA-512")), &Names::new(&prefix));
}

#[test]
#[ignore = "needs a secured Kafka: cargo xtask test"]
fn kafka_with_a_token() {
    let prefix = unique("token");
    let sasl = Sasl {
        mechanism: "OAUTHBEARER".to_owned(),
        username: "tapeline".to_owned(),
        token_url: "unsecured".to_owned(),
        ..Sasl::default()
    };
    topic::suite(&topics(&prefix, tls(false), sasl), &Names::new(&prefix));
}

#[test]
#[ignore = "needs a secured Kafka: cargo xtask test"]
fn every_password_mechanism_logs_in() {
    for mechanism in ["SCRAM-SHA-256", "scram-sha-512", "PLAIN"] {
        let prefix = unique("login");
        let report =
            topics(&prefix, tls(false), sasl(mechanism)).init(&Names::new(&prefix).specs(1)).unwrap();
        assert!(report.iter().all(|line| line.contains("created")), "{report:?}");
    }
}

#[test]
#[ignore = "needs a secured Cassandra: cargo xtask test"]
fn cassandra_with_password_and_certificate() {
    store::suite(&tables(&unique("tls"), Tls { verify: CertificateCheck::Full, ..tls(true) }, "cassandra"));
}

/// A wrong setting is one clear line that names it and is not retryable; it contains no secret.
#[test]
#[ignore = "needs a secured Kafka and Cassandra: cargo xtask test"]
fn a_wrong_setting_is_named() {
    let unknown = || Tls { ca: certificate("other.crt"), ..tls(true) };
    let wrong = Sasl { password: "not-this-one".to_owned().into(), ..sasl("SCRAM-SHA-512") };
    for (tls, sasl, parts) in [
        (unknown(), Sasl::default(), ["certificate verify failed", "topic.kafka.tls.ca"]),
        (tls(false), Sasl::default(), ["the TLS handshake failed", "topic.kafka.tls.certificate"]),
        (unknown(), sasl("PLAIN"), ["certificate verify failed", "topic.kafka.tls.ca"]),
        (tls(false), wrong, ["refused the login", "[topic.kafka.sasl]"]),
    ] {
        let topics = topics("wrong", tls, sasl);
        for error in [
            topics.init(&Names::new("wrong").specs(1)).unwrap_err(),
            topics.producer().err().unwrap(),
            topics.consumer("g", &Names::new("wrong").all_records()).err().unwrap(),
        ] {
            let text = error.to_string();
            assert_eq!(error.domain, Domain::User, "{text}");
            assert!(parts.iter().all(|part| text.contains(part)), "{text}");
            assert!(!text.contains("not-this-one") && text.lines().count() == 2, "{text}");
        }
    }
    for (tls, password, parts) in [
        (unknown(), "cassandra", ["certificate verify failed", "store.cassandra.tls.ca"]),
        (tls(true), "not-this-one", ["refused the login", "store.cassandra.username"]),
    ] {
        let error = tables("wrong", tls, password).count().unwrap_err();
        let text = error.to_string();
        assert_eq!(error.domain, Domain::User, "{text}");
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        assert!(!text.contains("not-this-one") && text.lines().count() == 2, "{text}");
    }
}
