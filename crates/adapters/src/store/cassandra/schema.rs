//! Keyspace, tables, migrations, and checks of existing tables.

use super::cause::{explain, refused};
use super::columns::FORECASTS;
use super::directory::{self, DIRECTORY};
use super::session::CassandraStore;
use super::{columns, keyspaces, table};
use crate::store::first_difference;
use market::Kind;
use market::kind::BarShape;
use ports::store::Store;
use ports::{Error, Result};
use scylla::client::session::Session;
use scylla::errors::{DbError, ExecutionError, RequestAttemptError};
use std::collections::HashMap;

/// Bars change until they are final and are kept: the unified strategy merges their revisions without knowing
/// their number in advance.
fn create_bars(keyspace: &str, table: &str, columns: &[(&str, &str)]) -> String {
    create(keyspace, table, columns, "start, feed")
}

/// Forecasts change once, when they are scored.
fn create_forecasts(keyspace: &str) -> String {
    create(keyspace, "forecasts", FORECASTS, "made_at, feed, target, horizon")
}

fn create(keyspace: &str, table: &str, columns: &[(&str, &str)], clustering: &str) -> String {
    let mut text = format!("CREATE TABLE IF NOT EXISTS {keyspace}.{table} (");
    for (name, class) in columns {
        text.push_str(&format!("{name} {}, ", class.split(' ').next().unwrap_or(class)));
    }
    text.push_str(&format!(
        "PRIMARY KEY ((symbol, interval, period), {clustering})) \
         WITH compaction = {{'class': 'UnifiedCompactionStrategy'}}"
    ));
    text
}

/// Schema version that the first migration creates. Earlier versions stored the sides of trades among their
/// conditions: they are refused.
const FIRST_VERSION: i32 = 3;

/// Statements of each migration, from [`FIRST_VERSION`] on; the table `migrations` holds their number. Each creates what is
/// missing, so that their order does not matter.
fn migrations(keyspace: &str, retention_days: u32) -> Vec<Vec<String>> {
    let table = |kind: Kind| table::create(keyspace, kind, retention_days);
    let bars = |shape: BarShape| create_bars(keyspace, shape.table(), columns::bars(shape));
    let mut all = vec![
        vec![table(Kind::TRADE), table(Kind::QUOTE), bars(BarShape::Trades), bars(BarShape::Quotes)],
        vec![table(Kind::READING), directory::create(keyspace, retention_days)],
        vec![bars(BarShape::Readings)],
        vec![create_forecasts(keyspace)],
    ];
    all.extend(Kind::ALL.into_iter().skip(FIRST_KINDS).map(|kind| vec![table(kind)]));
    all
}

/// The version from which on the directory is kept.
const DIRECTORY_VERSION: i32 = 4;
/// The version after all migrations: each change above, and each kind that was added after the first three.
const VERSION: i32 = 6 + (Kind::COUNT - FIRST_KINDS) as i32;
/// Kinds whose tables one of the first migrations creates.
const FIRST_KINDS: usize = 3;

/// Checks that the cluster can prepare a statement. A node that has recorded a change of its tables may for a moment
/// reject, of the new ones, what the record already shows.
///
/// # Errors
/// The nodes disagree about the schema, or one rejects the statement.
pub(super) async fn accepts(session: &Session, statement: &str, store: &str) -> Result<()> {
    let agreed = session.await_schema_agreement().await;
    agreed.map_err(|error| Error::external(format!("schema of {store}: {error}")))?;
    let prepared = session.prepare(statement).await;
    prepared.map_err(|error| explain(&format!("prepare at {store}"), &error.into()))?;
    Ok(())
}

pub(super) fn init(store: &CassandraStore) -> Result<Vec<String>> {
    let (runtime, session) = store.session()?;
    let keyspace = &store.keyspace;
    let mut report = Vec::new();
    runtime.block_on(async {
        let place = format!("set up {}", store.describe());
        let run = async |statement: String| {
            session.query_unpaged(statement, ()).await.map_err(|error| refused(&place, &error))
        };
        let existed = run(format!(
            "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = '{keyspace}'"
        ))
        .await?
        .into_rows_result()
        .is_ok_and(|rows| rows.rows_num() > 0);
        if store.is_keyspaces() {
            run(keyspaces::create_keyspace(keyspace)).await?;
            keyspaces::wait_until_active(&session, keyspace, None, &place).await?;
        } else {
            run(format!(
                "CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = \
                 {{'class': 'NetworkTopologyStrategy', 'replication_factor': {}}}",
                store.settings.replication
            ))
            .await?;
        }
        report.push(format!("keyspace {keyspace}: {}", if existed { "exists" } else { "created" }));
        run(format!(
            "CREATE TABLE IF NOT EXISTS {keyspace}.migrations (version int PRIMARY KEY, at timestamp)"
        ))
        .await?;
        if store.is_keyspaces() {
            keyspaces::wait_until_active(&session, keyspace, Some("migrations"), &place).await?;
        }
        let applied =
            run(format!("SELECT version FROM {keyspace}.migrations")).await?.into_rows_result().ok();
        let done: i32 = applied
            .and_then(|rows| rows.rows::<(i32,)>().ok()?.flatten().map(|(version,)| version).max())
            .unwrap_or(0);
        let all = migrations(keyspace, store.settings.retention_days);
        let latest = VERSION;
        debug_assert_eq!(latest, FIRST_VERSION + all.len() as i32 - 1);
        if (1..FIRST_VERSION).contains(&done) {
            return Err(Error::user(format!(
                "{} has version {done}, written by an earlier tapeline; expected version {latest}",
                store.describe()
            ))
            .hint(format!(
                "use another keyspace, or drop this one (DROP KEYSPACE {keyspace}), run `tapeline init`, and fetch or import \
                 the records again"
            )));
        }
        if done > latest {
            return Err(Error::user(format!(
                "{} has version {done}, newer than the supported version {latest}",
                store.describe()
            ))
            .hint("use the newer tapeline that created it"));
        }
        let before = columns(&session, keyspace, &place).await?;
        let missing: Vec<&str> =
            tables().into_iter().map(|(name, _)| name).filter(|name| before.iter().all(|c| c.table != *name)).collect();
        // All statements, whatever ran before: each creates what is missing, including dropped tables.
        for statement in all.iter().flatten() {
            if store.is_keyspaces() {
                run(keyspaces::definition(statement)).await?;
                continue;
            }
            if let Err(error) = run(statement.clone()).await {
                // Cassandra before 5.0 has no unified strategy; its default is used.
                let Some((plain, _)) = statement.split_once(" WITH compaction = {'class': 'Unified") else {
                    return Err(error);
                };
                run(plain.to_owned()).await?;
            }
        }
        if store.is_keyspaces() {
            for (table, _) in tables() {
                keyspaces::wait_until_active(&session, keyspace, Some(table), &place).await?;
            }
        }
        // Before a version is recorded: an upgrade that was cut short is done again.
        let unfilled = done < DIRECTORY_VERSION || missing.contains(&"directory");
        if unfilled && !before.is_empty() {
            // Records are read from tables that match, or not at all.
            if let Some(problem) = problem(&session, keyspace, &store.describe(), None).await? {
                return Err(problem);
            }
            let filled = directory::fill(&session, store).await?;
            report.push(format!("table directory: {filled} buckets of existing records entered"));
        }
        for version in (FIRST_VERSION.max(done + 1))..=latest {
            run(format!(
                "INSERT INTO {keyspace}.migrations (version, at) VALUES ({version}, toTimestamp(now()))"
            ))
            .await?;
        }
        for (name, _) in tables() {
            let verb = if missing.contains(&name) { "created" } else { "exists" };
            report.push(format!("table {name}: {verb}, version {latest}"));
        }
        report.extend(durability_warning(&session, store).await);
        Ok(())
    })?;
    check(store)?;
    Ok(report)
}

/// Copies of each row in a datacenter, by the keyspace's replication; `None` if there is no such keyspace.
///
/// # Errors
/// The keyspaces cannot be read.
pub(super) async fn copies(session: &Session, keyspace: &str) -> Result<Option<u32>> {
    let place = format!("look at keyspace {keyspace}");
    let text = format!("SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = '{keyspace}'");
    let response = session.query_unpaged(text, ()).await.map_err(|error| explain(&place, &error))?;
    let internal = |error: &dyn std::fmt::Display| Error::internal(format!("{place}: {error}"));
    let rows = response.into_rows_result().map_err(|error| internal(&error))?;
    let row = rows.maybe_first_row::<(HashMap<String, String>,)>().map_err(|error| internal(&error))?;
    Ok(row.map(|(replication,)| {
        let copies = replication.iter().filter(|(name, _)| *name != "class");
        copies.filter_map(|(_, copies)| copies.parse::<u32>().ok()).max().unwrap_or(1)
    }))
}

/// Warns if acknowledged rows can be lost with a node.
pub(super) async fn durability_warning(session: &Session, store: &CassandraStore) -> Option<String> {
    // Amazon Keyspaces acknowledges a row when two of three zones have it on disk.
    if store.is_keyspaces() {
        return None;
    }
    let copies = copies(session, &store.keyspace).await.ok()??;
    // A virtual table of Cassandra 4.0 and later.
    let mode = session
        .query_unpaged("SELECT value FROM system_views.settings WHERE name = 'commitlog_sync'", ())
        .await
        .ok()
        .and_then(|response| response.into_rows_result().ok()?.single_row::<(Option<String>,)>().ok()?.0);
    warning(copies, mode.as_deref())
}

/// `mode` is the node's `commitlog_sync`, if readable.
fn warning(copies: u32, mode: Option<&str>) -> Option<String> {
    if copies > 1 || matches!(mode, Some("group" | "batch")) {
        return None;
    }
    let mode = mode.map_or_else(|| "unknown".to_owned(), str::to_owned);
    Some(format!(
        "warning: one copy of each row and commitlog_sync {mode}: if the node or its machine dies, acknowledged rows of the \
         last sync period (10 s by default) can be lost while their offsets are committed. Set commitlog_sync: group in \
         cassandra.yaml, or replication 3; `tapeline verify --repair` restores them from the topic"
    ))
}

/// The tables and their columns, as in `system_schema.columns`.
fn tables() -> Vec<(&'static str, Vec<(String, String)>)> {
    let fixed = |columns: &[(&str, &str)]| -> Vec<(String, String)> {
        columns.iter().map(|(name, class)| ((*name).to_owned(), (*class).to_owned())).collect()
    };
    let records = Kind::ALL.into_iter().map(|kind| (kind.plural(), table::wanted(kind)));
    let bars =
        Kind::ALL.into_iter().filter_map(Kind::bars).map(|shape| (shape.table(), columns::bars(shape)));
    let others = bars.chain([("directory", DIRECTORY), ("forecasts", FORECASTS)]);
    records.chain(others.map(|(name, columns)| (name, fixed(columns)))).collect()
}

/// A row of `system_schema.columns`.
struct Column {
    table: String,
    name: String,
    class: String,
}

async fn columns(session: &Session, keyspace: &str, place: &str) -> Result<Vec<Column>> {
    let internal = |error: &dyn std::fmt::Display| Error::internal(format!("{place}: {error}"));
    let text = format!(
        "SELECT table_name, column_name, type, kind FROM system_schema.columns WHERE keyspace_name = '{keyspace}'"
    );
    let response = session.query_unpaged(text, ()).await.map_err(|error| explain(place, &error))?;
    let rows = response.into_rows_result().map_err(|error| internal(&error))?;
    let rows = rows.rows::<(String, String, String, String)>().map_err(|error| internal(&error))?;
    rows.map(|row| {
        let (table, name, class, part) = row.map_err(|error| internal(&error))?;
        let class = match part.as_str() {
            "regular" | "static" => class,
            part => format!("{class} {part}"),
        };
        Ok(Column { table, name, class })
    })
    .collect()
}

/// The first problem with the tables of the keyspace: a missing table, or a column that does not match.
/// Checks the table `only`, or all.
///
/// # Errors
/// The columns cannot be read.
pub(super) async fn problem(
    session: &Session,
    keyspace: &str,
    store: &str,
    only: Option<&str>,
) -> Result<Option<Error>> {
    let found = columns(session, keyspace, &format!("check the tables of {store}")).await?;
    for (table, wanted) in tables().into_iter().filter(|(table, _)| only.is_none_or(|only| only == *table)) {
        let of_table = found.iter().filter(|column| column.table == table);
        let have: Vec<(String, String)> =
            of_table.map(|column| (column.name.clone(), column.class.clone())).collect();
        if have.is_empty() {
            return Ok(Some(
                Error::user(format!("no table `{table}` in {store}"))
                    .hint(format!("create keyspace and tables: tapeline init --store {store}")),
            ));
        }
        if let Some(problem) = first_difference(table, &wanted, &have) {
            let absent = wanted.iter().find(|(name, _)| have.iter().all(|(other, _)| other != name));
            let hint = match absent
                .filter(|(_, class)| !class.ends_with("_key") && !class.ends_with("clustering"))
            {
                Some((name, class)) => {
                    format!("add the column: ALTER TABLE {keyspace}.{table} ADD {name} {class}")
                }
                None => "use another keyspace, or drop the table and run `tapeline init`".to_owned(),
            };
            return Ok(Some(Error::user(format!("{store}: {problem}")).hint(hint)));
        }
    }
    Ok(None)
}

/// Fails if the account may not write to a table. Cassandra checks permissions before it validates the row,
/// and this row's key is longer than allowed, so nothing is written.
pub(super) async fn may_write(session: &Session, keyspace: &str, store: &str, table: &str) -> Result<()> {
    let of_kind = Kind::ALL.into_iter().find(|kind| kind.plural() == table);
    let (name, rest) = match (of_kind, table) {
        (Some(kind), _) => (kind.table().partition(), format!("{} = 0", kind.bucket().name())),
        (None, "directory") => ("symbol", "kind = ''".to_owned()),
        (None, _) => ("symbol", "interval = '' AND period = 0".to_owned()),
    };
    let text =
        format!("DELETE FROM {keyspace}.{table} WHERE {name} = '{}' AND {rest}", "x".repeat(MAX_KEY + 1));
    match session.query_unpaged(text, ()).await {
        Err(
            error @ ExecutionError::LastAttemptError(RequestAttemptError::DbError(DbError::Unauthorized, _)),
        ) => Err(explain(&format!("write to {store}"), &error)),
        _ => Ok(()),
    }
}

/// Maximum length of a partition key in Cassandra, bytes.
const MAX_KEY: usize = 65_535;

/// Fails with [`problem`], if there is one.
pub(super) fn check(store: &CassandraStore) -> Result<()> {
    let (runtime, session) = store.session()?;
    runtime.block_on(async {
        if let Some(problem) = problem(&session, &store.keyspace, &store.describe(), None).await? {
            return Err(problem);
        }
        let place = format!("read the version of {}", store.describe());
        let response = session
            .query_unpaged(format!("SELECT version FROM {}.migrations", store.keyspace), ())
            .await
            .map_err(|error| explain(&place, &error))?
            .into_rows_result()
            .map_err(|error| Error::internal(format!("{place}: {error}")))?;
        let versions =
            response.rows::<(i32,)>().map_err(|error| Error::internal(format!("{place}: {error}")))?;
        let version = versions.flatten().map(|(version,)| version).max().unwrap_or(0);
        if version < VERSION {
            return Err(Error::user(format!(
                "{} has version {version}; expected version {VERSION}",
                store.describe()
            ))
            .hint(format!("upgrade it: tapeline init --store {}", store.describe())));
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_copy_with_a_periodic_sync_is_warned_of() {
        assert!(warning(1, Some("periodic")).is_some_and(|text| text.contains("commitlog_sync: group")));
        assert!(warning(1, None).is_some());
        for (copies, mode) in [(1, Some("group")), (1, Some("batch")), (3, Some("periodic"))] {
            assert_eq!(warning(copies, mode), None);
        }
    }
}
