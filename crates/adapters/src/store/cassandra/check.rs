//! Checks a cluster link by link: addresses, TLS, login, keyspace, tables, rights, durability, clock.

use super::cause::explain;
use super::schema;
use super::session::CassandraStore;
use crate::refusal::Refusal;
use ports::address::host_and_port;
use ports::check::Chain;
use ports::store::Store;
use ports::{Error, Result, clock};
use scylla::client::session::Session;

/// Nodes and this machine may differ by so much, seconds: write timestamps are the messages', TTLs and the commit log are
/// the nodes'.
const SKEW_S: f64 = 2.0;

pub(super) fn check(store: &CassandraStore) -> Chain {
    let mut chain = Chain::new();
    let servers: Vec<(String, u16)> =
        store.nodes.iter().map(|node| host_and_port(node, store.settings.port())).collect();
    if !chain.reach(&servers, "`store.url`") {
        return chain;
    }
    let (runtime, session) = match store.session() {
        Ok(open) => open,
        Err(error) => {
            let (link, error) = broken(&error, store.settings.tls.enabled);
            chain.fail(link, &error);
            return chain;
        }
    };
    if store.settings.tls.enabled {
        chain.ok("TLS", "handshake done");
    }
    let user = match store.settings.username.as_str() {
        "" if store.is_keyspaces() => "as AWS identity".to_owned(),
        "" => "none configured".to_owned(),
        user => format!("as {user}"),
    };
    chain.ok("login", user);
    runtime.block_on(tables(&mut chain, store, &session));
    chain
}

async fn tables(chain: &mut Chain, store: &CassandraStore, session: &Session) {
    let (keyspace, place) = (&store.keyspace, store.describe());
    match schema::copies(session, keyspace).await {
        Ok(Some(copies)) => chain.ok("keyspace", format!("{keyspace}, {copies} copies of each row")),
        Ok(None) => {
            let error = Error::user(format!("no keyspace {keyspace}"));
            chain.fail("keyspace", &error.hint(format!("create it: tapeline init --store {place}")));
            return;
        }
        Err(error) => {
            chain.fail("keyspace", &error);
            return;
        }
    }
    let problem = schema::problem(session, keyspace, &place, None).await;
    if !chain.step(
        "tables",
        problem.and_then(|problem| problem.map_or_else(|| Ok("all there, columns fit".to_owned()), Err)),
    ) {
        return;
    }
    let mut rights = Ok(());
    for table in ["trades", "quotes", "bars", "quote_bars"] {
        if rights.is_ok() {
            rights = schema::may_write(session, keyspace, &place, table).await;
        }
        if rights.is_ok() {
            let text = format!("SELECT * FROM {keyspace}.{table} LIMIT 1");
            let read = session.query_unpaged(text, ()).await;
            rights = read.map(drop).map_err(|error| explain(&format!("read from {place}"), &error));
        }
    }
    if !chain.step("rights", rights.map(|()| "the account may read and write".to_owned())) {
        return;
    }
    match schema::durability_warning(session, store).await {
        Some(warning) => {
            let text = warning.trim_start_matches("warning: ");
            let (what, next) = text.split_once(". ").unwrap_or((text, "see docs/guarantee.md"));
            chain.warn("durability", what, next);
        }
        None => chain.ok("durability", "acknowledged rows survive the loss of a node"),
    }
    match node_clock(session, &place).await {
        Ok(ahead) if ahead.abs() > SKEW_S => chain.warn(
            "clock",
            format!("the node's clock is {ahead:+.1} s from this machine's"),
            "run NTP on both (timedatectl status): latencies and expiry are wrong by as much",
        ),
        Ok(ahead) => chain.ok("clock", format!("the node's is {:+.0} ms from this machine's", ahead * 1e3)),
        Err(error) => chain.warn("clock", error.what(), "timedatectl status on the nodes"),
    }
}

/// How far the node's clock is ahead of ours, seconds; the request's own time is halved out.
async fn node_clock(session: &Session, place: &str) -> Result<f64> {
    let before = clock::now().millis();
    let response = session
        .query_unpaged("SELECT toUnixTimestamp(now()) FROM system.local", ())
        .await
        .map_err(|error| explain(&format!("ask the clock of {place}"), &error))?;
    let after = clock::now().millis();
    let row = response.into_rows_result().ok().and_then(|rows| rows.single_row::<(i64,)>().ok());
    let node = row
        .map(|(millis,)| millis)
        .ok_or_else(|| Error::internal("expected the node's clock as a number, found none"))?;
    Ok((node as f64 - (before as f64 + after as f64) / 2.0) / 1e3)
}

/// Which link is broken when there is no session although the port accepts connections.
fn broken(error: &Error, tls: bool) -> (&'static str, Error) {
    match error.cause() {
        Some(Refusal::Login) => return ("login", error.clone()),
        Some(Refusal::Handshake) => return ("TLS", error.clone()),
        None => {}
    }
    let what = error.what();
    if !error.retryable() {
        return ("settings", error.clone());
    }
    let hint = if tls {
        "check that `store.url` names the native transport port (9042)"
    } else {
        "check that `store.url` names the native transport port (9042); nodes with client encryption need [store.cassandra.tls]"
    };
    let what = format!("the port accepts connections but does not respond as Cassandra: {what}");
    ("protocol", Error::user(what).hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_broken_link_is_named_by_the_error() {
        for (error, link) in [
            (
                Error::user("connect to c: the TLS handshake failed: certificate verify failed")
                    .because(Refusal::Handshake),
                "TLS",
            ),
            (
                Error::user("connect to c: the node refused the login: incorrect password")
                    .because(Refusal::Login),
                "login",
            ),
            (Error::external("connect to c: the connection was closed during the first request"), "protocol"),
            (Error::user("`store.cassandra.tls`: open ca.pem: no such file"), "settings"),
        ] {
            assert_eq!(broken(&error, false).0, link, "{error}");
        }
        assert!(!broken(&Error::external("x"), false).1.retryable());
    }
}
