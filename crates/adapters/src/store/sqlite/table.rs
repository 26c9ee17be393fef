//! Tables of records in SQLite, derived from their descriptions.

use market::table::{Cell, Column, ColumnType, MAX_COLUMNS, Presence, Role, Table};
use market::{Kind, Record, UnixNanos, fixed};
use rusqlite::types::{Null, Type, ValueRef};
use rusqlite::{Row, Statement};

/// Prices and sizes are text: SQLite has no exact decimals. So are lists and tags, as JSON that its functions read.
const fn sql_type(class: ColumnType) -> &'static str {
    match class {
        ColumnType::Text | ColumnType::Codes | ColumnType::Tags | ColumnType::Decimal => "TEXT",
        ColumnType::Integer | ColumnType::Small | ColumnType::Boolean | ColumnType::Time => "INTEGER",
    }
}

/// Names of the columns, in order.
fn names(table: &Table) -> String {
    table.columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", ")
}

/// The columns that identify a row, in order.
pub(super) fn key(table: &Table) -> impl Iterator<Item = &'static Column> {
    table.of_role(Role::Partition).chain(table.of_role(Role::Clustering))
}

/// The table's definition. `stamp_ms` is the timestamp of the message that a row was made from.
pub(super) fn create(table: &Table) -> String {
    let column = |column: &Column| {
        let constraint = if column.presence == Presence::Optional { "" } else { " NOT NULL" };
        format!("{} {}{constraint}, ", column.name, sql_type(column.class))
    };
    let columns: String = table.columns.iter().map(column).collect();
    let key: Vec<&str> = key(table).map(|column| column.name).collect();
    format!(
        "CREATE TABLE IF NOT EXISTS {} ({columns}stamp_ms INTEGER NOT NULL, PRIMARY KEY ({})) WITHOUT ROWID;\n",
        table.plural,
        key.join(", ")
    )
}

/// Inserts a row; nothing happens if its key is there.
pub(super) fn insert(table: &Table) -> String {
    format!(
        "INSERT INTO {} ({}, stamp_ms) VALUES ({}) ON CONFLICT DO NOTHING",
        table.plural,
        names(table),
        marks(table)
    )
}

/// Inserts a row over the one of its key.
pub(super) fn replace(table: &Table) -> String {
    format!("INSERT OR REPLACE INTO {} ({}, stamp_ms) VALUES ({})", table.plural, names(table), marks(table))
}

fn marks(table: &Table) -> String {
    vec!["?"; table.columns.len() + 1].join(", ")
}

/// Selects all columns and `stamp_ms`; the condition is to be appended.
pub(super) fn select(table: &Table) -> String {
    format!("SELECT {}, stamp_ms FROM {}", names(table), table.plural)
}

/// Selects the row of a key.
pub(super) fn select_row(table: &Table) -> String {
    let key: Vec<String> = key(table).map(|column| format!("{} = ?", column.name)).collect();
    format!("{} WHERE {}", select(table), key.join(" AND "))
}

/// Binds a parameter, counted from 1. `text` is a buffer to reuse.
pub(super) fn bind(
    statement: &mut Statement<'_>,
    index: usize,
    cell: Cell<'_>,
    text: &mut Vec<u8>,
) -> rusqlite::Result<()> {
    match cell {
        Cell::Absent => statement.raw_bind_parameter(index, Null),
        Cell::Text(value) => statement.raw_bind_parameter(index, value),
        Cell::Integer(value) => statement.raw_bind_parameter(index, value),
        Cell::Boolean(value) => statement.raw_bind_parameter(index, value),
        Cell::Time(time) => statement.raw_bind_parameter(index, time.0),
        Cell::Decimal(raw) => {
            text.clear();
            fixed::write(raw, text);
            let digits = std::str::from_utf8(text).map_err(|error| unreadable(index, error.to_string()))?;
            statement.raw_bind_parameter(index, digits)
        }
    }
}

/// The record of a row that [`select`] yields. `text` is a buffer to reuse.
pub(super) fn record<'r>(
    kind: Kind,
    row: &'r Row<'_>,
    text: &'r mut String,
) -> rusqlite::Result<Record<&'r str>> {
    let table = kind.table();
    let mut cells = [Cell::Absent; MAX_COLUMNS];
    for (index, column) in table.columns.iter().enumerate() {
        cells[index] = cell(column.class, row, index)?;
    }
    kind.record(&cells[..table.columns.len()], text).map_err(|error| {
        let index = table.columns.iter().position(|column| column.name == error.column).unwrap_or(0);
        unreadable(index, error.to_string())
    })
}

fn cell<'r>(class: ColumnType, row: &'r Row<'_>, index: usize) -> rusqlite::Result<Cell<'r>> {
    let value = row.get_ref(index)?;
    if value == ValueRef::Null {
        return Ok(Cell::Absent);
    }
    Ok(match class {
        ColumnType::Text | ColumnType::Codes | ColumnType::Tags => Cell::Text(value.as_str()?),
        ColumnType::Integer | ColumnType::Small => Cell::Integer(value.as_i64()?),
        ColumnType::Decimal => Cell::Decimal(decimal(row, index)?),
        ColumnType::Boolean => Cell::Boolean(value.as_i64()? != 0),
        ColumnType::Time => Cell::Time(UnixNanos(value.as_i64()?)),
    })
}

/// The raw value of a decimal stored as text.
pub(super) fn decimal(row: &Row<'_>, index: usize) -> rusqlite::Result<i128> {
    let text = row.get_ref(index)?.as_str()?;
    fixed::parse(text.as_bytes()).map_err(|error| unreadable(index, error.to_string()))
}

fn unreadable(index: usize, reason: String) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(index, Type::Text, reason.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_are_those_that_files_were_made_with() {
        assert_eq!(
            create(Kind::TRADE.table()),
            "CREATE TABLE IF NOT EXISTS trades (symbol TEXT NOT NULL, ts INTEGER NOT NULL, feed TEXT NOT NULL, \
             venue TEXT NOT NULL, id TEXT NOT NULL, price TEXT NOT NULL, size TEXT NOT NULL, side TEXT NOT NULL, \
             conditions TEXT NOT NULL, tape TEXT NOT NULL, seq INTEGER NOT NULL, recv_ts INTEGER NOT NULL, \
             revision INTEGER NOT NULL, canceled INTEGER NOT NULL, stamp_ms INTEGER NOT NULL, \
             PRIMARY KEY (symbol, ts, feed, venue, id)) WITHOUT ROWID;\n"
        );
        assert_eq!(
            create(Kind::QUOTE.table()),
            "CREATE TABLE IF NOT EXISTS quotes (symbol TEXT NOT NULL, ts INTEGER NOT NULL, feed TEXT NOT NULL, \
             seq INTEGER NOT NULL, bid TEXT, bid_size TEXT, bid_venue TEXT, ask TEXT, ask_size TEXT, ask_venue TEXT, \
             conditions TEXT NOT NULL, recv_ts INTEGER NOT NULL, stamp_ms INTEGER NOT NULL, \
             PRIMARY KEY (symbol, ts, feed, seq)) WITHOUT ROWID;\n"
        );
        assert_eq!(
            select_row(Kind::READING.table()),
            "SELECT series, ts, feed, seq, value, type, unit, quality, tags, recv_ts, stamp_ms FROM readings \
             WHERE series = ? AND ts = ? AND feed = ? AND seq = ?"
        );
    }
}
