//! Keyspace, tables, migrations, and whether existing tables fit.

use super::bars::{BARS, QUOTE_BARS};
use super::{CassandraStore, explain};
use crate::store::sqlite::first_difference;
use market::Kind;
use ports::store::Store;
use ports::{Error, Result};

/// Columns of a table as `system_schema.columns` tells them: name, then type and part of the key.
fn wanted(kind: Kind) -> &'static [(&'static str, &'static str)] {
    match kind {
        Kind::Trade => &[
            ("symbol", "text partition_key"),
            ("hour", "timestamp partition_key"),
            ("ts", "time clustering"),
            ("feed", "text clustering"),
            ("venue", "text clustering"),
            ("id", "text clustering"),
            ("price", "decimal"),
            ("size", "decimal"),
            ("side", "text"),
            ("conditions", "frozen<list<text>>"),
            ("tape", "text"),
            ("seq", "bigint"),
            ("recv_ts", "frozen<tuple<date, time>>"),
            ("revision", "int"),
            ("canceled", "boolean"),
        ],
        Kind::Quote => &[
            ("symbol", "text partition_key"),
            ("hour", "timestamp partition_key"),
            ("ts", "time clustering"),
            ("feed", "text clustering"),
            ("seq", "bigint clustering"),
            ("bid", "decimal"),
            ("bid_size", "decimal"),
            ("bid_venue", "text"),
            ("ask", "decimal"),
            ("ask_size", "decimal"),
            ("ask_venue", "text"),
            ("conditions", "frozen<list<text>>"),
            ("recv_ts", "frozen<tuple<date, time>>"),
        ],
    }
}

/// `hour` is the event time cut to the hour, `ts` the UTC time of day: readable in cqlsh, nanoseconds kept.
fn create_table(keyspace: &str, kind: Kind, retention_days: u32) -> String {
    let (mut columns, mut clustering) = (String::new(), Vec::new());
    for (name, class) in wanted(kind) {
        let (class, part) =
            class.rsplit_once(' ').filter(|(_, part)| !part.contains('>')).unwrap_or((class, ""));
        columns.push_str(&format!("{name} {class}, "));
        if part == "clustering" {
            clustering.push(*name);
        }
    }
    // Twenty to thirty windows over the retention; a day where nothing expires.
    let window = (retention_days / 25).max(1);
    format!(
        "CREATE TABLE IF NOT EXISTS {keyspace}.{} ({columns}PRIMARY KEY ((symbol, hour), {})) \
         WITH compaction = {{'class': 'TimeWindowCompactionStrategy', 'compaction_window_unit': 'DAYS', \
         'compaction_window_size': {window}}} AND default_time_to_live = {}",
        kind.plural(),
        clustering.join(", "),
        u64::from(retention_days) * 86_400,
    )
}

/// Bars change until they are final and are kept: the unified strategy merges their revisions without being told how
/// many there will be.
fn create_bars(keyspace: &str, table: &str, columns: &[(&str, &str)]) -> String {
    let mut text = format!("CREATE TABLE IF NOT EXISTS {keyspace}.{table} (");
    for (name, class) in columns {
        text.push_str(&format!("{name} {}, ", class.split(' ').next().unwrap_or(class)));
    }
    text.push_str(
        "PRIMARY KEY ((symbol, interval, period), start, feed)) \
         WITH compaction = {'class': 'UnifiedCompactionStrategy'}",
    );
    text
}

/// The version that the first migration makes. Earlier ones kept the sides of trades among their conditions: they are
/// refused.
const FIRST_VERSION: i32 = 3;

/// Each migration's statements, from [`FIRST_VERSION`] on; the last one's version is kept in the table `migrations`.
fn migrations(keyspace: &str, retention_days: u32) -> Vec<Vec<String>> {
    vec![
        Kind::ALL
            .iter()
            .map(|kind| create_table(keyspace, *kind, retention_days))
            .chain([create_bars(keyspace, "bars", BARS), create_bars(keyspace, "quote_bars", QUOTE_BARS)])
            .collect(),
    ]
}

pub(super) fn init(store: &CassandraStore) -> Result<Vec<String>> {
    let (runtime, session) = store.session()?;
    let keyspace = &store.keyspace;
    let mut said = Vec::new();
    runtime.block_on(async {
        let place = format!("set up {}", store.describe());
        let run = async |statement: String| {
            session.query_unpaged(statement, ()).await.map_err(|error| explain(&place, &error))
        };
        let existed = run(format!(
            "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = '{keyspace}'"
        ))
        .await?
        .into_rows_result()
        .is_ok_and(|rows| rows.rows_num() > 0);
        run(format!(
            "CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = \
             {{'class': 'NetworkTopologyStrategy', 'replication_factor': {}}}",
            store.settings.replication
        ))
        .await?;
        said.push(format!("keyspace {keyspace}: {}", if existed { "exists" } else { "created" }));
        run(format!(
            "CREATE TABLE IF NOT EXISTS {keyspace}.migrations (version int PRIMARY KEY, at timestamp)"
        ))
        .await?;
        let applied =
            run(format!("SELECT version FROM {keyspace}.migrations")).await?.into_rows_result().ok();
        let done: i32 = applied
            .and_then(|rows| rows.rows::<(i32,)>().ok()?.flatten().map(|(version,)| version).max())
            .unwrap_or(0);
        let all = migrations(keyspace, store.settings.retention_days);
        let latest = FIRST_VERSION + all.len() as i32 - 1;
        if (1..FIRST_VERSION).contains(&done) {
            return Err(Error::user(format!(
                "{} is of version {done}, written by an earlier tapeline; this one reads version {latest}",
                store.describe()
            ))
            .hint(format!(
                "use another keyspace, or drop this one (DROP KEYSPACE {keyspace}), run `tapeline init`, and fetch or import \
                 the records again"
            )));
        }
        if done > latest {
            return Err(Error::user(format!(
                "{} is of version {done}, newer than this program knows ({latest})",
                store.describe()
            ))
            .hint("use the newer tapeline that made it"));
        }
        for (version, statements) in (FIRST_VERSION..).zip(&all).filter(|(version, _)| *version > done) {
            for statement in statements {
                if let Err(error) = run(statement.clone()).await {
                    // Cassandra before 5.0 has no unified strategy; its default does.
                    let Some((plain, _)) = statement.split_once(" WITH compaction = {'class': 'Unified")
                    else {
                        return Err(error);
                    };
                    run(plain.to_owned()).await?;
                }
            }
            run(format!(
                "INSERT INTO {keyspace}.migrations (version, at) VALUES ({version}, toTimestamp(now()))"
            ))
            .await?;
        }
        let verb = if done == latest { "exist" } else { "created" };
        said.push(format!("tables trades, quotes, bars, quote_bars: {verb}, version {latest}"));
        Ok(())
    })?;
    check(store)?;
    Ok(said)
}

/// Says which table is missing, or which column of it does not fit.
pub(super) fn check(store: &CassandraStore) -> Result<()> {
    let (runtime, session) = store.session()?;
    let place = format!("look at the tables of {}", store.describe());
    let columns: Vec<(String, String, String, String)> = runtime.block_on(async {
        session
            .query_unpaged(
                format!(
                    "SELECT table_name, column_name, type, kind FROM system_schema.columns WHERE keyspace_name = '{}'",
                    store.keyspace
                ),
                (),
            )
            .await
            .map_err(|error| explain(&place, &error))?
            .into_rows_result()
            .map_err(|error| Error::internal(format!("{place}: {error}")))?
            .rows()
            .map_err(|error| Error::internal(format!("{place}: {error}")))?
            .collect::<std::result::Result<_, _>>()
            .map_err(|error| Error::internal(format!("{place}: {error}")))
    })?;
    let tables = [
        (Kind::Trade.plural(), wanted(Kind::Trade)),
        (Kind::Quote.plural(), wanted(Kind::Quote)),
        ("bars", BARS),
        ("quote_bars", QUOTE_BARS),
    ];
    for (name, wanted) in tables {
        let have: Vec<(String, String)> = columns
            .iter()
            .filter(|(table, ..)| table == name)
            .map(|(_, name, class, part)| {
                let shown = match part.as_str() {
                    "regular" | "static" => class.clone(),
                    part => format!("{class} {part}"),
                };
                (name.clone(), shown)
            })
            .collect();
        if have.is_empty() {
            return Err(Error::user(format!("no table `{name}` in {}", store.describe()))
                .hint(format!("create keyspace and tables: tapeline init --store {}", store.describe())));
        }
        let want: Vec<(String, String)> =
            wanted.iter().map(|(name, class)| ((*name).to_owned(), (*class).to_owned())).collect();
        if let Some(problem) = first_difference(name, &want, &have) {
            return Err(Error::user(format!("{}: {problem}", store.describe()))
                .hint("use another keyspace, or drop the table and run `tapeline init`"));
        }
    }
    Ok(())
}
