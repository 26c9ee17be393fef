//! Amazon Keyspaces as a store: before real Cassandra, a proxy that demands its login and enforces its rules.
//!
//! No emulator of the service exists. The rules are those of its developer guide; what it does beyond them is not tested.

use crate::keyspaces_proxy::{ACCESS_KEY, BATCH_ROWS, Proxy, REGION, SECRET_KEY};
use crate::store::{self, DAY_START, trade, write};
use crate::unique;
use adapters::store::cassandra::{CassandraSettings, CassandraStore, KeyspacesSettings};
use aws::credentials::CredentialChain;
use market::Kind;
use ports::error::Domain;
use ports::store::Store;
use std::sync::Arc;
use std::sync::atomic::Ordering;

fn settings() -> CassandraSettings {
    CassandraSettings {
        connect_within: None,
        replication: 1,
        consistency: "LOCAL_QUORUM".into(),
        retention_days: 0,
        batch_rows: 384,
        in_flight: 8,
        connections: 1,
        username: String::new(),
        password: ports::secret::Secret::default(),
        tls: ports::tls::Tls::default(),
        keyspaces: KeyspacesSettings { enabled: true, region: REGION.to_owned() },
    }
}

fn open(address: &str, keyspace: &str, settings: CassandraSettings, secret_key: &str) -> CassandraStore {
    let secret_key = secret_key.to_owned();
    let credentials = CredentialChain::new(Box::new(move |name| match name {
        "AWS_ACCESS_KEY_ID" => Some(ACCESS_KEY.to_owned()),
        "AWS_SECRET_ACCESS_KEY" => Some(secret_key.clone()),
        _ => None,
    }));
    CassandraStore::new(address, keyspace, settings).unwrap().with_credentials(Arc::new(credentials))
}

#[test]
#[ignore = "needs real Cassandra: cargo xtask test"]
fn keyspaces_is_a_store() {
    let proxy = Proxy::start();
    let store = open(&proxy.address, &unique("keyspaces"), settings(), SECRET_KEY);
    store::suite(&store);
    assert!(proxy.logins.load(Ordering::SeqCst) > 0);
    assert_eq!(*proxy.refused.lock().unwrap(), Vec::<String>::new());
}

#[test]
#[ignore = "needs real Cassandra: cargo xtask test"]
fn keyspaces_gets_small_batches_and_throttling_loses_nothing() {
    let proxy = Proxy::start();
    let store = open(&proxy.address, &unique("throttled"), settings(), SECRET_KEY);
    let report = store.init().unwrap();
    assert!(report.iter().any(|line| line.contains("table trades: created")), "{report:?}");
    assert!(report.iter().all(|line| !line.contains("warning")), "{report:?}");
    proxy.throttle_every.store(5, Ordering::SeqCst);
    let rows: Vec<_> =
        (0..1_000).map(|n| (Kind::TRADE, trade("A", DAY_START + n, &n.to_string(), ""), 1)).collect();
    let mut writer = store.writer(&ports::CancelToken::default()).unwrap();
    assert_eq!(write(&mut *writer, &rows), []);
    assert_eq!(store.count().unwrap()[&Kind::TRADE]["A"], 1_000);
    assert!(proxy.throttled.load(Ordering::SeqCst) >= 6, "{}", proxy.throttled.load(Ordering::SeqCst));
    let largest = proxy.largest_batch.load(Ordering::SeqCst);
    assert!((20..=BATCH_ROWS).contains(&largest), "{largest}");
    assert_eq!(*proxy.refused.lock().unwrap(), Vec::<String>::new());
}

/// That the proxy enforces its rules: otherwise the tests above show nothing.
#[test]
#[ignore = "needs real Cassandra: cargo xtask test"]
fn keyspaces_refuses_what_it_does_not_take() {
    let proxy = Proxy::start();
    let keyspace = unique("refused");
    let error = open(&proxy.address, &keyspace, settings(), "another").init().unwrap_err();
    assert_eq!(error.domain, Domain::User, "{error}");
    let text = error.to_string();
    assert!(text.contains("refused the login") && text.contains("keyspaces.region"), "{text}");
    assert!(!text.contains("another"), "{text}");

    // As plain Cassandra with a password, which the proxy does not take.
    let password = CassandraSettings {
        username: "me".into(),
        password: "hush".to_owned().into(),
        keyspaces: KeyspacesSettings::default(),
        ..settings()
    };
    let text = open(&proxy.address, &keyspace, password, "").init().unwrap_err().to_string();
    assert!(text.contains("refused the login") && !text.contains("hush"), "{text}");

    // Batches and definitions for Cassandra itself.
    let store = open(&proxy.address, &keyspace, settings(), SECRET_KEY);
    store.init().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (refusals, address) = (proxy.without_login(), proxy.address.clone());
    runtime.block_on(async {
        use scylla::statement::batch::{Batch, BatchType};
        let builder = scylla::client::session_builder::SessionBuilder::new();
        let session = builder.known_node(address).build().await.unwrap();
        let insert = format!("INSERT INTO {keyspace}.migrations (version) VALUES (9)");
        let mut batch = Batch::new(BatchType::Unlogged);
        (0..=BATCH_ROWS).for_each(|_| batch.append_statement(insert.as_str()));
        let values = vec![(); BATCH_ROWS + 1];
        let error = session.batch(&batch, &values).await.unwrap_err().to_string();
        assert!(error.contains("31 statements"), "{error}");
        let mut statement = scylla::statement::Statement::new(insert);
        statement.set_consistency(scylla::statement::Consistency::Quorum);
        let error = session.query_unpaged(statement, ()).await.unwrap_err().to_string();
        assert!(error.contains("consistency"), "{error}");
        let create =
            format!("CREATE TABLE {keyspace}.t (a int PRIMARY KEY) WITH compaction = {{'class': 'x'}}");
        let error = session.query_unpaged(create, ()).await.unwrap_err().to_string();
        assert!(error.contains("compaction"), "{error}");
    });
    drop(refusals);
    assert!(proxy.refused.lock().unwrap().len() >= 3);
}
