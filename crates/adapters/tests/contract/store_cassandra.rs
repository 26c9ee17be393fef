//! What only a real Cassandra can show: faults of tables and rows, and upgrades.

use crate::store::{DAY_START, HOUR, batch, read, trade, write};
use crate::{cassandra, cassandra_at, server, unique};
use market::{Kind, UnixNanos};
use ports::store::{BarScan, Scan, Store};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

fn cql(statements: &[String]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let builder = scylla::client::session_builder::SessionBuilder::new();
        let session = builder.known_node(server("TAPELINE_TEST_CASSANDRA")).build().await.unwrap();
        for statement in statements {
            session.query_unpaged(statement.as_str(), ()).await.unwrap();
        }
    });
}

/// Passes connections on to the server while `up`; otherwise ends those there are and refuses others.
fn forward(up: &Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let up = Arc::clone(up);
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            if !up.load(Ordering::SeqCst) {
                continue;
            }
            let node = TcpStream::connect(server("TAPELINE_TEST_CASSANDRA")).unwrap();
            for (mut from, mut to) in [
                (client.try_clone().unwrap(), node.try_clone().unwrap()),
                (node.try_clone().unwrap(), client.try_clone().unwrap()),
            ] {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                });
            }
            let up = Arc::clone(&up);
            std::thread::spawn(move || {
                while up.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(5));
                }
                let _ = (client.shutdown(Shutdown::Both), node.shutdown(Shutdown::Both));
            });
        }
    });
    address
}

/// The first bars and forecasts may be written while the server is unreachable: their statements are not prepared by then.
#[test]
#[ignore = "needs real Cassandra: cargo xtask test"]
fn the_first_bars_wait_for_the_server() {
    let keyspace = unique("away");
    cassandra(&keyspace, 100).init().unwrap();
    let up = Arc::new(AtomicBool::new(true));
    let store = cassandra_at(&forward(&up), &keyspace, 100);
    store.count().unwrap();
    let bar = r#"{"symbol":"A","feed":"f","interval":"1m","start":"2013-11-01T00:00:00Z","kind":"trade","open":"1","high":"1","low":"1","close":"1","volume":"1","trades":1,"late":0,"revision":0,"final":true,"complete":true}"#;
    let bar = market::codec::bar::from_json(bar.as_bytes()).unwrap();
    up.store(false, Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(200));
    let stop = ports::CancelToken::default();
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| store.write_bars(std::slice::from_ref(&bar), &stop));
        std::thread::sleep(Duration::from_secs(2));
        assert!(!writing.is_finished(), "{:?}", writing.join());
        up.store(true, Ordering::SeqCst);
        writing.join().unwrap().unwrap();
    });
    let mut found = 0;
    let scan = BarScan {
        kind: Kind::TRADE,
        symbol: "A".to_owned(),
        interval: bar.interval,
        feed: None,
        from: bar.start,
        to: UnixNanos(bar.start.0 + 1),
        limit: None,
    };
    let mut count = |_| {
        found += 1;
        ControlFlow::Continue(())
    };
    store.scan_bars(&scan, &mut count).unwrap();
    assert_eq!(found, 1);
}

#[test]
#[ignore = "needs real Cassandra: cargo xtask test"]
fn records_wait_while_a_column_or_the_table_is_missing() {
    let keyspace = unique("fixed");
    let store = cassandra(&keyspace, 100);
    store.init().unwrap();
    let mut writer = store.writer(&ports::CancelToken::default()).unwrap();
    let rows = |hour: i64| -> Vec<_> {
        let ids = 0..500;
        ids.map(|n| (Kind::TRADE, trade("A", DAY_START + hour * HOUR, &n.to_string(), ""), 1)).collect()
    };
    let all = |store: &dyn Store| store.count().unwrap()[&Kind::TRADE].get("A").copied().unwrap_or(0);
    assert!(write(&mut *writer, &rows(0)).is_empty());
    cql(&[format!("ALTER TABLE {keyspace}.trades DROP tape")]);
    writer.submit(2, batch(&rows(1))).unwrap();
    assert!(writer.completed(Duration::from_secs(5)).unwrap().is_none(), "written, or refused");
    let error = store.count().unwrap_err().to_string();
    assert!(error.contains("no column `tape`") && error.contains("ADD tape text"), "{error}");
    cql(&[format!("ALTER TABLE {keyspace}.trades ADD tape text")]);
    let done = writer.completed(Duration::from_secs(60)).unwrap().expect("an acknowledgement");
    assert_eq!((done.batch_id, done.refused.len()), (2, 0), "{:?}", done.refused);
    assert_eq!(all(&store), 1_000);
    // Rows that arrive while the table changes, and right after.
    for round in 0..8 {
        let (first, second) = (100 + 2 * round, 101 + 2 * round);
        writer.submit(first, batch(&rows(1))).unwrap();
        cql(&[format!("ALTER TABLE {keyspace}.trades DROP tape")]);
        writer.submit(second, batch(&rows(1))).unwrap();
        cql(&[format!("ALTER TABLE {keyspace}.trades ADD tape text")]);
        for _ in 0..2 {
            let done = writer.completed(Duration::from_secs(60)).unwrap().expect("an acknowledgement");
            assert!(done.refused.is_empty(), "{round}: {:?}", done.refused);
        }
    }
    assert_eq!(all(&store), 1_000);
    cql(&[format!("DROP TABLE {keyspace}.trades")]);
    writer.submit(3, batch(&rows(2))).unwrap();
    assert!(writer.completed(Duration::from_secs(5)).unwrap().is_none(), "written, or refused");
    let report = store.init().unwrap();
    assert!(report.iter().any(|line| line.contains("table trades: created")), "{report:?}");
    let done = writer.completed(Duration::from_secs(60)).unwrap().expect("an acknowledgement");
    assert_eq!((done.batch_id, done.refused.len()), (3, 0), "{:?}", done.refused);
    assert_eq!(all(&store), 500);
}

#[test]
#[ignore = "needs real Cassandra: cargo xtask test"]
fn a_cassandra_table_that_does_not_fit_is_named_by_column() {
    let keyspace = unique("misfit");
    let store = cassandra(&keyspace, 10);
    let error = store.writer(&ports::CancelToken::default()).err().unwrap();
    assert!(
        error.to_string().contains("no table `trades`") && error.to_string().contains("tapeline init"),
        "{error}"
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let session = scylla::client::session_builder::SessionBuilder::new()
            .known_node(server("TAPELINE_TEST_CASSANDRA"))
            .build()
            .await
            .unwrap();
        for statement in [
            format!("CREATE KEYSPACE {keyspace} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}"),
            format!("CREATE TABLE {keyspace}.trades (symbol text, ts timestamp, price double, PRIMARY KEY (symbol, ts))"),
        ] {
            session.query_unpaged(statement, ()).await.unwrap();
        }
    });
    let error = store.init().unwrap_err();
    assert!(!error.retryable());
    assert!(
        error.to_string().contains("table trades has no column `hour` (timestamp partition_key)"),
        "{error}"
    );
}

#[test]
#[ignore = "needs real Cassandra: cargo xtask test"]
fn a_row_that_cassandra_can_never_take_is_refused_alone() {
    let store = cassandra(&unique("poison"), 100);
    store.init().unwrap();
    let mut writer = store.writer(&ports::CancelToken::default()).unwrap();
    // A key component may have 64 KiB.
    let rows: Vec<_> = (0..100)
        .map(|n| {
            let id = if n == 37 { "x".repeat(70_000) } else { n.to_string() };
            (Kind::TRADE, trade("A", DAY_START, &id, ""), 1)
        })
        .collect();
    let refused = write(&mut *writer, &rows);
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!(refused[0].0, 37);
    assert!(refused[0].1.contains("length"), "{}", refused[0].1);
    assert_eq!(store.count().unwrap()[&Kind::TRADE]["A"], 99);
}

#[test]
#[ignore = "needs real Cassandra: cargo xtask test"]
fn conditions_that_come_often_stand_in_the_statement_and_come_back_as_they_went() {
    let keyspace = unique("held");
    let store = cassandra(&keyspace, 100);
    store.init().unwrap();
    let mut writer = store.writer(&ports::CancelToken::default()).unwrap();
    let arrays = [r#"["@","I"]"#, r#"["O'K","2"]"#, "[]", r#"["@","I"]"#, r#"["rare"]"#];
    let mut wanted = Vec::new();
    let mut round = |round: i64| {
        let rows: Vec<_> = (0..2_000_i64)
            .map(|n| {
                let array = arrays[if n % 500 == 499 { 4 } else { n as usize % 4 }];
                let ts = DAY_START + round * 2_000 + n;
                let text = trade("A", ts, "1", if n % 3 == 0 { r#","tape":"B""# } else { "" });
                (Kind::TRADE, text.replace(r#"["@","I"]"#, array), 1)
            })
            .collect();
        wanted.extend(rows.iter().map(|(_, text, _)| text.clone()));
        assert!(write(&mut *writer, &rows).is_empty());
    };
    (0..12).for_each(&mut round);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let builder = scylla::client::session_builder::SessionBuilder::new();
    let session = runtime.block_on(builder.known_node(server("TAPELINE_TEST_CASSANDRA")).build()).unwrap();
    let learned = |array: &str| {
        let query = "SELECT query_string FROM system.prepared_statements";
        let rows = runtime.block_on(session.query_unpaged(query, ())).unwrap().into_rows_result().unwrap();
        let mut texts = rows.rows::<(String,)>().unwrap().map(|row| row.unwrap().0);
        texts.any(|text| text.contains(&format!("{keyspace}.trades")) && text.contains(array))
    };
    let end = std::time::Instant::now() + Duration::from_secs(30);
    for array in ["['@', 'I']", "['O''K', '2']"] {
        while !learned(array) {
            assert!(std::time::Instant::now() < end, "{array} is not part of a statement");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    assert!(!learned("rare"));
    // Written with the statements learned from the previous ones.
    (12..14).for_each(&mut round);
    let all = Scan {
        kind: Kind::TRADE,
        symbol: Some("A".to_owned()),
        from: UnixNanos(DAY_START),
        to: UnixNanos(DAY_START + HOUR),
        limit: None,
    };
    assert!(read(&store, &all) == wanted);
}

#[test]
#[ignore = "needs real Cassandra: cargo xtask test"]
fn a_cassandra_keyspace_of_version_3_is_upgraded_by_init() {
    let keyspace = unique("upgraded");
    let store = cassandra(&keyspace, 10);
    store.init().unwrap();
    let mut writer = store.writer(&ports::CancelToken::default()).unwrap();
    let rows = [
        trade("A", DAY_START + 5, "1", ""),
        trade("A", DAY_START + 3 * HOUR, "2", ""),
        trade("B", -1, "1", ""),
    ];
    assert!(write(&mut *writer, &rows.map(|text| (Kind::TRADE, text, 1))).is_empty());
    drop(writer);
    let entries = store.directory().unwrap();
    cql(&[
        format!("DROP TABLE {keyspace}.directory"),
        format!("DELETE FROM {keyspace}.migrations WHERE version IN (4, 5, 6)"),
    ]);
    let error = store.directory().unwrap_err().to_string();
    assert!(error.contains("no table `directory`") && error.contains("tapeline init"), "{error}");
    // An upgrade that was cut short.
    cql(&[format!(
        "CREATE TABLE {keyspace}.directory (kind text, symbol text, bucket timestamp, feed text, PRIMARY KEY ((kind, symbol), bucket, feed))"
    )]);
    let error = store.directory().unwrap_err().to_string();
    assert!(error.contains("has version 3"), "{error}");
    let report = store.init().unwrap();
    assert!(report.iter().any(|line| line.contains("3 buckets of existing records entered")), "{report:?}");
    assert_eq!(store.directory().unwrap(), entries);
    assert_eq!(entries.len(), 2);
}
