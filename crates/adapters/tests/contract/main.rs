//! One contract suite per port, run against every adapter. `cargo xtask test` starts the real servers and
//! names them in the environment.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value, clippy::type_complexity, reason = "tests")]

mod archive;
#[cfg(feature = "example-kind")]
mod example_kind;
mod keyspaces;
mod keyspaces_proxy;
mod loss;
mod msk;
mod redshift;
mod secured;
mod store;
mod store_cassandra;
mod topic;
mod truncated;

/// A unique name.
fn unique(what: &str) -> String {
    format!("{what}_{}_{}", std::process::id(), ports::clock::now().0 % 1_000_000_000_000)
}

/// A server's address from the environment; `cargo xtask test` sets it.
fn server(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: run `cargo xtask test`"))
}

fn kafka(prefix: &str) -> adapters::topic::kafka::KafkaTopics {
    kafka_with(prefix, "lz4", &[])
}

/// Kafka topics with the given compression and properties.
fn kafka_with(
    prefix: &str,
    compression: &str,
    properties: &[(&str, &str)],
) -> adapters::topic::kafka::KafkaTopics {
    kafka_at(&server("TAPELINE_TEST_KAFKA"), prefix, compression, properties)
}

fn kafka_at(
    address: &str,
    prefix: &str,
    compression: &str,
    properties: &[(&str, &str)],
) -> adapters::topic::kafka::KafkaTopics {
    let settings = adapters::topic::kafka::KafkaSettings {
        replication: 1,
        compression: compression.into(),
        linger: std::time::Duration::from_millis(1),
        instance: String::new(),
        session_timeout: std::time::Duration::from_secs(6),
        tls: ports::tls::Tls::default(),
        sasl: adapters::topic::kafka::Sasl::default(),
        properties: properties
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
    };
    let names = ports::topic::Names::new(prefix);
    adapters::topic::kafka::KafkaTopics::new(
        address,
        settings,
        names.positions(),
        ports::CancelToken::default(),
    )
}

fn cassandra(keyspace: &str, batch_rows: usize) -> adapters::store::cassandra::CassandraStore {
    cassandra_at(&server("TAPELINE_TEST_CASSANDRA"), keyspace, batch_rows)
}

fn cassandra_at(
    address: &str,
    keyspace: &str,
    batch_rows: usize,
) -> adapters::store::cassandra::CassandraStore {
    let settings = adapters::store::cassandra::CassandraSettings {
        connect_within: None,
        replication: 1,
        consistency: "LOCAL_QUORUM".into(),
        retention_days: 0,
        batch_rows,
        in_flight: 16,
        connections: 1,
        username: String::new(),
        password: ports::secret::Secret::default(),
        tls: ports::tls::Tls::default(),
        keyspaces: adapters::store::cassandra::KeyspacesSettings::default(),
    };
    adapters::store::cassandra::CassandraStore::new(address, keyspace, settings).unwrap()
}
