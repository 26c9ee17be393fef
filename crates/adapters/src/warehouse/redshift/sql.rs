//! The SQL: tables with the columns of the archive's files in their order, for COPY maps Parquet by position, and the
//! transaction of a load.
//!
//! Keys are not enforced by Redshift: the load keeps them unique. Times are nanoseconds since 1970 UTC, for TIMESTAMP holds
//! microseconds only.

use columnar::columns::{self, OutputColumn, OutputType};
use market::Kind;
use market::table::Role;
use ports::warehouse::Load;
use ports::{Error, Result};

/// Length in bytes of names: what a record may have at most, or far more than vendors send.
const NAME: u32 = 1_024;
/// The longest text that Redshift holds.
const TEXT: u32 = 65_535;
/// Columns whose texts are lists, objects or values of any length.
const LONG: [&str; 3] = ["conditions", "tags", "value"];

/// Checks the name of a schema, which is written into statements.
///
/// # Errors
/// It is not a plain name.
pub fn check_schema(name: &str) -> Result<()> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let is_plain = name.chars().all(fits) && !name.starts_with(|c: char| c.is_ascii_digit());
    if is_plain && (1..=63).contains(&name.len()) {
        return Ok(());
    }
    Err(Error::usage(format!("`redshift.schema`: expected 1 to 63 of a-z 0-9 _, found `{name}`")))
}

/// A text as a literal. Names of buckets, objects, topics and roles are checked: none has a backslash.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn column(column: &OutputColumn) -> String {
    let of = match column.of {
        OutputType::Nanos | OutputType::Integer | OutputType::Time | OutputType::Start => {
            "BIGINT {null}ENCODE az64".to_owned()
        }
        OutputType::Small => "INTEGER {null}ENCODE az64".to_owned(),
        OutputType::Decimal | OutputType::Average => "DECIMAL(38,18) {null}ENCODE az64".to_owned(),
        OutputType::Flag => "BOOLEAN {null}ENCODE raw".to_owned(),
        OutputType::Text | OutputType::Codes => {
            let length = if LONG.contains(&column.name) { TEXT } else { NAME };
            format!("VARCHAR({length}) {{null}}ENCODE zstd")
        }
    };
    format!("    {} {}", column.name, of.replace("{null}", if column.required { "NOT NULL " } else { "" }))
}

/// Columns that identify a record.
fn key(kind: Kind) -> Vec<&'static str> {
    let of_key = kind.table().columns.iter().filter(|column| column.role != Role::Value);
    of_key.map(|column| if column.name == "ts" { "ts_ns" } else { column.name }).collect()
}

/// Columns that order the versions of a record, the deciding one first: as in the stores, but that those compare the
/// content of messages of one millisecond and revision.
fn version(kind: Kind) -> Vec<&'static str> {
    let revision = kind.table().column("revision").map(|column| column.name);
    ["topic_ms"].into_iter().chain(revision).chain(["topic_offset"]).collect()
}

/// Statements that create what is missing.
#[must_use]
pub fn tables(schema: &str) -> Vec<String> {
    let mut statements = vec![
        format!("CREATE SCHEMA IF NOT EXISTS {schema}"),
        format!(
            "CREATE TABLE IF NOT EXISTS {schema}.loads (\n    archive VARCHAR(1024) NOT NULL,\n    kind VARCHAR(16) NOT NULL,\n    \
             topic VARCHAR(255) NOT NULL,\n    topic_partition INTEGER NOT NULL,\n    first_offset BIGINT NOT NULL,\n    \
             last_offset BIGINT NOT NULL,\n    manifest VARCHAR(1024) NOT NULL,\n    loaded_at TIMESTAMP NOT NULL DEFAULT GETDATE()\n\
             ) DISTSTYLE ALL"
        ),
    ];
    for kind in Kind::ALL {
        let columns: Vec<String> = columns::of_archive(kind).iter().map(column).collect();
        let (table, key, partition) = (kind.plural(), key(kind).join(", "), kind.table().partition());
        statements.push(format!(
            "CREATE TABLE IF NOT EXISTS {schema}.{table} (\n{},\n    PRIMARY KEY ({key})\n) DISTKEY ({partition}) COMPOUND SORTKEY \
             ({partition}, ts_ns)",
            columns.join(",\n")
        ));
    }
    statements
}

/// Selects what was loaded from an archive.
#[must_use]
pub fn loaded(schema: &str, archive: &str, kind: Kind) -> String {
    format!(
        "SELECT topic, topic_partition, first_offset, last_offset FROM {schema}.loads WHERE archive = {} AND kind = '{}'",
        literal(archive),
        kind.plural()
    )
}

/// The transaction of a load. Repeating it changes nothing but that it notes the load again.
#[must_use]
pub fn load(schema: &str, role: &str, load: &Load<'_>) -> Vec<String> {
    let names: Vec<&str> = columns::of_archive(load.kind).iter().map(|column| column.name).collect();
    let (all, table, kind) =
        (names.join(", "), format!("{schema}.{}", load.kind.plural()), load.kind.plural());
    let (key, version) = (key(load.kind), version(load.kind));
    let newest_first: Vec<String> = version.iter().map(|name| format!("{name} DESC")).collect();
    let same =
        key.iter().map(|name| format!("{table}.{name} = newest.{name}")).collect::<Vec<_>>().join(" AND ");
    let role = if role == "default" { role.to_owned() } else { literal(role) };
    let ranges: Vec<String> = load
        .ranges
        .iter()
        .map(|range| {
            let (archive, topic, manifest) =
                (literal(load.archive), literal(&range.topic), literal(load.manifest));
            format!(
                "({archive}, '{kind}', {topic}, {}, {}, {}, {manifest})",
                range.partition, range.first, range.last
            )
        })
        .collect();
    vec![
        // One load at a time: two could both find a record missing.
        format!("LOCK {schema}.loads"),
        format!("CREATE TEMP TABLE stage (LIKE {table})"),
        format!("COPY stage FROM {} IAM_ROLE {role} FORMAT AS PARQUET MANIFEST", literal(load.manifest)),
        // The topic delivers at least once.
        format!(
            "CREATE TEMP TABLE newest AS SELECT {all} FROM (SELECT {all}, ROW_NUMBER() OVER (PARTITION BY {} ORDER BY {}) AS \
             place FROM stage) AS ranked WHERE place = 1",
            key.join(", "),
            newest_first.join(", ")
        ),
        format!("DELETE FROM {table} USING newest WHERE {same} AND ({})", older(&table, &version)),
        format!(
            "INSERT INTO {table} ({all}) SELECT {} FROM newest LEFT JOIN {table} ON {same} WHERE {table}.{} IS NULL",
            names.iter().map(|name| format!("newest.{name}")).collect::<Vec<_>>().join(", "),
            load.kind.table().partition()
        ),
        format!(
            "INSERT INTO {schema}.loads (archive, kind, topic, topic_partition, first_offset, last_offset, manifest) VALUES {}",
            ranges.join(", ")
        ),
        "DROP TABLE stage".to_owned(),
        "DROP TABLE newest".to_owned(),
    ]
}

/// Whether the row of the table is an older version than the new one.
fn older(table: &str, version: &[&str]) -> String {
    let Some((name, rest)) = version.split_first() else { return "1 = 0".to_owned() };
    let less = format!("{table}.{name} < newest.{name}");
    if rest.is_empty() {
        return less;
    }
    format!("{less} OR ({table}.{name} = newest.{name} AND ({}))", older(table, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ports::warehouse::LoadedRange;

    #[test]
    fn a_load_is_one_transaction_whose_text_is_known() {
        let ranges = [LoadedRange { topic: "t.quotes".to_owned(), partition: 3, first: 100, last: 199 }];
        let manifest = "s3://tapes/a/_loads/quotes-1.json";
        let of = Load { archive: "s3://tapes/a", kind: Kind::QUOTE, manifest, ranges: &ranges };
        let role = "arn:aws:iam::123456789012:role/load";
        let statements = load("market", role, &of);
        assert_eq!(statements.len(), 9);
        assert_eq!(
            statements[2],
            "COPY stage FROM 's3://tapes/a/_loads/quotes-1.json' IAM_ROLE 'arn:aws:iam::123456789012:role/load' FORMAT AS PARQUET \
             MANIFEST"
        );
        assert!(load("market", "default", &of)[2].contains(" IAM_ROLE default FORMAT"));
        assert_eq!(
            statements[4],
            "DELETE FROM market.quotes USING newest WHERE market.quotes.symbol = newest.symbol AND market.quotes.ts_ns = \
             newest.ts_ns AND market.quotes.feed = newest.feed AND market.quotes.seq = newest.seq AND (market.quotes.topic_ms < \
             newest.topic_ms OR (market.quotes.topic_ms = newest.topic_ms AND (market.quotes.topic_offset < newest.topic_offset)))"
        );
        assert!(statements[6].ends_with(
            "VALUES ('s3://tapes/a', 'quotes', 't.quotes', 3, 100, 199, 's3://tapes/a/_loads/quotes-1.json')"
        ));
        assert_eq!(literal("a'b"), "'a''b'");
        for name in ["", "1a", "a b", "A", "a;b", &"a".repeat(64)] {
            assert!(check_schema(name).is_err(), "{name}");
        }
        check_schema("market_1").unwrap();
    }

    /// COPY maps Parquet's columns by position.
    #[test]
    fn tables_have_the_columns_of_the_files_in_their_order() {
        let statements = tables("market");
        assert_eq!(statements.len(), 2 + Kind::COUNT);
        for kind in Kind::ALL {
            let start = format!("CREATE TABLE IF NOT EXISTS market.{} (", kind.plural());
            let table = statements.iter().find(|statement| statement.starts_with(&start)).unwrap();
            let names: Vec<&str> = table
                .lines()
                .skip(1)
                .map(|line| line.trim().split(' ').next().unwrap())
                .take_while(|name| *name != "PRIMARY")
                .collect();
            let expected: Vec<&str> = columns::of_archive(kind).iter().map(|column| column.name).collect();
            assert_eq!(names, expected);
        }
        let trades = statements.iter().find(|statement| statement.contains("market.trades")).unwrap();
        for part in [
            "price DECIMAL(38,18) NOT NULL ENCODE az64",
            "conditions VARCHAR(65535) NOT NULL ENCODE zstd",
            "tape VARCHAR(1024) ENCODE zstd",
            "topic_partition INTEGER NOT NULL ENCODE az64",
            "PRIMARY KEY (symbol, ts_ns, feed, venue, id)",
            "DISTKEY (symbol) COMPOUND SORTKEY (symbol, ts_ns)",
        ] {
            assert!(trades.contains(part), "{part}: {trades}");
        }
    }
}
