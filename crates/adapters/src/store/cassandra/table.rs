//! Tables of records in Cassandra, derived from their descriptions.
//!
//! Behind the partition key stands the start of the bucket (`hour`, `day`); `ts` is the UTC time of day: readable in cqlsh,
//! nanoseconds kept.

use market::Kind;
use market::table::{Column, ColumnType, Role};
use std::sync::OnceLock;

/// The CQL type of a column.
const fn cql_type(column: &Column) -> &'static str {
    match column.class {
        ColumnType::Text => "text",
        ColumnType::Codes => "frozen<list<text>>",
        ColumnType::Tags => "frozen<map<text, text>>",
        ColumnType::Integer => "bigint",
        ColumnType::Small => "int",
        ColumnType::Decimal => "decimal",
        ColumnType::Boolean => "boolean",
        ColumnType::Time if matches!(column.role, Role::Clustering) => "time",
        ColumnType::Time => "frozen<tuple<date, time>>",
    }
}

/// Columns as in `system_schema.columns`: name, then type and part of the key.
pub(super) fn wanted(kind: Kind) -> Vec<(String, String)> {
    let mut wanted = Vec::new();
    for column in kind.table().columns {
        let part = match column.role {
            Role::Partition => " partition_key",
            Role::Clustering => " clustering",
            Role::Value => "",
        };
        wanted.push((column.name.to_owned(), format!("{}{part}", cql_type(column))));
        if column.role == Role::Partition {
            wanted.push((kind.bucket().name().to_owned(), "timestamp partition_key".to_owned()));
        }
    }
    wanted
}

/// The table's definition. Rows expire after `retention_days`; 0 keeps them.
pub(super) fn create(keyspace: &str, kind: Kind, retention_days: u32) -> String {
    let table = kind.table();
    let bucket = kind.bucket().name();
    let mut columns = String::new();
    for column in table.columns {
        columns.push_str(&format!("{} {}, ", column.name, cql_type(column)));
        if column.role == Role::Partition {
            columns.push_str(&format!("{bucket} timestamp, "));
        }
    }
    let clustering: Vec<&str> = table.of_role(Role::Clustering).map(|column| column.name).collect();
    // Twenty to thirty windows over the retention; a day where nothing expires.
    let window = (retention_days / 25).max(1);
    format!(
        "CREATE TABLE IF NOT EXISTS {keyspace}.{} ({columns}PRIMARY KEY (({}, {bucket}), {})) \
         WITH compaction = {{'class': 'TimeWindowCompactionStrategy', 'compaction_window_unit': 'DAYS', \
         'compaction_window_size': {window}}} AND default_time_to_live = {}",
        table.plural,
        table.partition(),
        clustering.join(", "),
        u64::from(retention_days) * 86_400,
    )
}

/// The columns in the order of an `INSERT`: the key, then the others by name, which is the order in which the server keeps
/// them and need not sort them again. All of them, always: a later version without a tape or a bid replaces what an earlier
/// one had. The bucket follows the column of [`Role::Partition`].
#[inline]
pub(super) fn insert_order(kind: Kind) -> &'static [&'static Column] {
    static ORDER: [OnceLock<Vec<&'static Column>>; Kind::COUNT] = [const { OnceLock::new() }; Kind::COUNT];
    ORDER[kind.index()].get_or_init(|| {
        let table = kind.table();
        let mut values: Vec<&Column> = table.of_role(Role::Value).collect();
        values.sort_by_key(|column| column.name);
        table.of_role(Role::Partition).chain(table.of_role(Role::Clustering)).chain(values).collect()
    })
}

/// The names of an `INSERT`, the bucket included.
pub(super) fn insert_names(kind: Kind) -> Vec<&'static str> {
    let mut names: Vec<&str> = insert_order(kind).iter().map(|column| column.name).collect();
    names.insert(1, kind.bucket().name());
    names
}

/// The columns behind the partition key, in order: what a scan of a partition selects.
pub(super) fn selected(kind: Kind) -> impl Iterator<Item = &'static Column> {
    kind.table().columns.iter().filter(|column| column.role != Role::Partition)
}

/// The statement that reads a range of time of one partition; values are its key, the bucket, and the first and last time
/// of day.
pub(super) fn select(keyspace: &str, kind: Kind) -> String {
    let names: Vec<&str> = selected(kind).map(|column| column.name).collect();
    format!(
        "SELECT {} FROM {keyspace}.{} WHERE {} = ? AND {} = ? AND ts >= ? AND ts <= ?",
        names.join(", "),
        kind.plural(),
        kind.table().partition(),
        kind.bucket().name()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_are_those_that_keyspaces_were_made_with() {
        let tail = "WITH compaction = {'class': 'TimeWindowCompactionStrategy', 'compaction_window_unit': 'DAYS', \
                    'compaction_window_size': 2} AND default_time_to_live = 4320000";
        assert_eq!(
            create("k", Kind::TRADE, 50),
            format!(
                "CREATE TABLE IF NOT EXISTS k.trades (symbol text, hour timestamp, ts time, feed text, venue text, id text, \
                 price decimal, size decimal, side text, conditions frozen<list<text>>, tape text, seq bigint, \
                 recv_ts frozen<tuple<date, time>>, revision int, canceled boolean, \
                 PRIMARY KEY ((symbol, hour), ts, feed, venue, id)) {tail}"
            )
        );
        assert_eq!(
            create("k", Kind::QUOTE, 50),
            format!(
                "CREATE TABLE IF NOT EXISTS k.quotes (symbol text, hour timestamp, ts time, feed text, seq bigint, \
                 bid decimal, bid_size decimal, bid_venue text, ask decimal, ask_size decimal, ask_venue text, \
                 conditions frozen<list<text>>, recv_ts frozen<tuple<date, time>>, \
                 PRIMARY KEY ((symbol, hour), ts, feed, seq)) {tail}"
            )
        );
        assert_eq!(
            create("k", Kind::READING, 50),
            format!(
                "CREATE TABLE IF NOT EXISTS k.readings (series text, day timestamp, ts time, feed text, seq bigint, \
                 value text, type text, unit text, quality text, tags frozen<map<text, text>>, \
                 recv_ts frozen<tuple<date, time>>, PRIMARY KEY ((series, day), ts, feed, seq)) {tail}"
            )
        );
    }

    #[test]
    fn columns_behind_the_key_are_in_the_order_the_server_keeps_them_in() {
        for (kind, key) in [(Kind::TRADE, 6), (Kind::QUOTE, 5), (Kind::READING, 5)] {
            let names = insert_names(kind);
            assert!(names[key..].is_sorted(), "{kind}");
            assert_eq!(names.len(), kind.table().columns.len() + 1);
            assert_eq!(names[1], kind.bucket().name());
        }
    }

    #[test]
    fn the_types_of_the_server_are_known() {
        let wanted = wanted(Kind::READING);
        for pair in
            [("series", "text partition_key"), ("day", "timestamp partition_key"), ("ts", "time clustering")]
        {
            assert!(wanted.iter().any(|(name, class)| (name.as_str(), class.as_str()) == pair), "{pair:?}");
        }
    }
}
