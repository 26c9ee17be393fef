//! Accounts without permission for what they are used for, on a Cassandra with passwords and a Kafka with
//! access lists.

use super::{finish, tape, tapeline, url};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// A Cassandra account that may read one keyspace; `foreign_rights.py` creates it.
const READER: [&str; 2] = ["reader", "may-only-read"];

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `cargo xtask test`"))
}

#[test]
#[ignore = "needs real Kafka and Cassandra that ask for rights: cargo xtask test"]
fn an_account_without_rights_gets_an_error_that_names_them() {
    let dir = tempfile::tempdir().unwrap();
    let rows = "34200000,1432300,100,P,@,0\n";
    tape(dir.path(), rows);
    let tape = url("tape", &dir.path().join("tape"));
    let (kafka, cassandra) =
        (variable("TAPELINE_TEST_GUARDED_KAFKA"), variable("TAPELINE_TEST_GUARDED_CASSANDRA"));
    let prefix = format!("guarded{}", std::process::id());
    let (topic, store) = (format!("kafka://{kafka}"), format!("cassandra://{cassandra}/{prefix}"));
    let (own_topic, own_store) =
        (url("sqlite", &dir.path().join("t.db")), url("sqlite", &dir.path().join("s.db")));
    let run = |arguments: &[&str], account: [&str; 2], group: &str| {
        let start = Instant::now();
        let mut command = tapeline(arguments);
        command.env("TAPELINE__TOPIC__PREFIX", &prefix).env("TAPELINE__TOPIC__GROUP", group);
        command.env("TAPELINE__STORE__CASSANDRA__USERNAME", account[0]);
        command.env("TAPELINE__STORE__CASSANDRA__PASSWORD", account[1]);
        let (code, text) = finish(command.output().unwrap());
        assert!(!text.contains(READER[1]), "the password was printed: {text}");
        assert!(start.elapsed() < Duration::from_secs(60), "waiting does not help: {text}");
        (code, text)
    };
    let (admin, init) = (["cassandra", "cassandra"], ["init", "--topic", &topic, "--store", &store]);
    // The first account is created a moment after the server is up.
    let made = (0..60).find_map(|_| match run(&init, admin, "g") {
        (0, text) => Some(text),
        _ => {
            std::thread::sleep(Duration::from_secs(1));
            None
        }
    });
    assert!(made.is_some(), "{}", run(&init, admin, "g").1);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign_rights.py");
    let mut grant = Command::new(variable("TAPELINE_TEST_PYTHON"));
    let (code, text) =
        finish(grant.arg(script).args([&cassandra, &kafka, &prefix, &prefix]).output().unwrap());
    assert!(code == 0 && text.contains("granted"), "{text}");

    let in_store = ["run", "--source", &tape, "--topic", &own_topic, "--store", &store];
    let to_topic = ["produce", "--source", &tape, "--topic", &topic];
    let from_topic = ["consume", "--topic", &topic, "--store", &own_store];
    for (arguments, account, group, parts) in [
        (&in_store[..], ["", ""], "g", ["store.cassandra.username", "PASSWORD"]),
        (&in_store, ["reader", "not-this-one"], "g", ["store.cassandra.username", "PASSWORD"]),
        (&in_store, READER, "g", ["MODIFY", "grant the account"]),
        (
            &["init", "--topic", &own_topic, "--store", &format!("{store}_other")],
            READER,
            "g",
            ["CREATE", "grant the account"],
        ),
        (&to_topic, admin, "g", [".trades", "kafka-acls"]),
        (&from_topic, admin, "g", [".quotes", "kafka-acls"]),
        (&from_topic, admin, &format!("{prefix}-closed"), ["roup", "kafka-acls"]),
    ] {
        let (code, text) = run(arguments, account, group);
        assert_eq!(code, 1, "{arguments:?} {account:?}: {text}");
        assert!(parts.iter().all(|part| text.contains(part)), "{arguments:?} {account:?}, {parts:?}: {text}");
    }
    // What may be read can be read.
    let (code, text) = run(&["count", "--store", &store, "--format", "json"], READER, "g");
    assert!(code == 0 && text.contains("trades"), "{text}");
}
