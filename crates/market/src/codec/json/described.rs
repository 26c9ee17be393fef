//! Canonical JSON by the description of a table: for kinds without a codec of their own.
//!
//! The fields are the columns of the table in its order. A column that is [`Presence::OrDefault`] or
//! [`Presence::Optional`] is omitted if the record lacks its value.

use super::cursor::{Cursor, DecodeError, push_int};
use super::loose::{array, number, plain};
use crate::described::DescribedRecord;
use crate::reading;
use crate::record::Record;
use crate::table::{Cell, CellError, Column, ColumnType, Presence, Role};
use crate::{Kind, UnixNanos, fixed};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Appends the canonical JSON of a record.
pub(super) fn encode(record: &DescribedRecord<&str>, out: &mut Vec<u8>) {
    write(record.kind, record.cells(), out);
}

/// Appends the canonical JSON of the values of all columns, in the order of the table.
fn write<'a>(kind: Kind, cells: impl Iterator<Item = Cell<'a>>, out: &mut Vec<u8>) {
    let start = out.len();
    for (column, cell) in kind.table().columns.iter().zip(cells) {
        if !is_omitted(column, cell) {
            push_name(column.name, out.len() == start, out);
            push_value(column.class, cell, out);
        }
    }
    out.push(b'}');
}

fn is_omitted(column: &Column, cell: Cell<'_>) -> bool {
    match column.presence {
        Presence::Always => false,
        Presence::Optional => cell == Cell::Absent,
        Presence::OrDefault => matches!(cell, Cell::Absent | Cell::Text("") | Cell::Integer(0)),
    }
}

fn push_name(name: &str, is_first: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(if is_first { b"{\"" } else { b",\"" });
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn push_value(class: ColumnType, cell: Cell<'_>, out: &mut Vec<u8>) {
    match cell {
        Cell::Absent => {}
        Cell::Text(text) if class == ColumnType::Text => push_quoted(text, out),
        Cell::Text(json) => out.extend_from_slice(json.as_bytes()),
        Cell::Integer(value) => push_int(value, out),
        Cell::Time(time) => push_int(time.0, out),
        Cell::Boolean(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        Cell::Decimal(raw) => {
            out.push(b'"');
            fixed::write(raw, out);
            out.push(b'"');
        }
    }
}

fn push_quoted(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// Appends the canonical JSON of the cells of a stored row.
///
/// # Errors
/// A cell is missing or of another type.
fn write_cells(kind: Kind, cells: &[Cell<'_>], out: &mut String) -> Result<(), CellError> {
    let columns = kind.table().columns;
    let mut checked = Vec::with_capacity(columns.len());
    for (index, column) in columns.iter().enumerate() {
        let cell = cells.get(index).copied().unwrap_or(Cell::Absent);
        let fail = |reason: String| CellError { column: column.name, reason };
        let fits = match cell {
            Cell::Absent => column.presence != Presence::Always,
            Cell::Text(_) => {
                matches!(column.class, ColumnType::Text | ColumnType::Codes | ColumnType::Tags)
            }
            Cell::Integer(_) => matches!(column.class, ColumnType::Integer | ColumnType::Small),
            Cell::Decimal(_) => column.class == ColumnType::Decimal,
            Cell::Boolean(_) => column.class == ColumnType::Boolean,
            Cell::Time(_) => column.class == ColumnType::Time,
        };
        if !fits {
            return Err(fail(format!("expected a value of type {:?}, found {cell:?}", column.class)));
        }
        checked.push(match cell {
            Cell::Text("") if column.class == ColumnType::Codes => Cell::Text("[]"),
            // Cassandra has an empty text in the place of an absent one.
            Cell::Text("") if column.presence == Presence::Optional => Cell::Absent,
            other => other,
        });
    }
    let mut text = Vec::new();
    write(kind, checked.into_iter(), &mut text);
    out.push_str(&String::from_utf8_lossy(&text));
    Ok(())
}

impl<'a> DescribedRecord<&'a str> {
    /// The values of the columns, in the order of the table.
    pub fn cells(&self) -> impl Iterator<Item = Cell<'a>> {
        let record = Record::Described(*self);
        self.kind.table().columns.iter().map(move |column| (column.get)(&record))
    }

    /// The value of a column of this name and type; [`Cell::Absent`] if the record has none.
    #[must_use]
    pub fn value(&self, name: &str, class: ColumnType) -> Cell<'a> {
        match name {
            "ts" => Cell::Time(self.ts),
            "recv_ts" => Cell::Time(self.recv_ts),
            _ => find(self.text, name, class),
        }
    }
}

/// The record of a stored row; its canonical JSON is written to `text`.
pub(crate) fn from_cells<'a>(
    kind: Kind,
    cells: &[Cell<'a>],
    text: &'a mut String,
) -> Result<Record<&'a str>, CellError> {
    text.clear();
    write_cells(kind, cells, text)?;
    let record = Cursor(text).described(kind).map(Record::Described).filter(|record| record.check().is_ok());
    record.ok_or_else(|| CellError { column: kind.table().partition(), reason: "not a record".to_owned() })
}

/// The value of a column in the canonical JSON of a record.
fn find<'a>(text: &'a str, name: &str, class: ColumnType) -> Cell<'a> {
    let mut cursor = Cursor(text);
    let found = std::iter::from_fn(|| cursor.next_field()).find(|(field, _)| *field == name);
    found.and_then(|(_, value)| Cursor(value).cell(class)).unwrap_or(Cell::Absent)
}

impl<'a> Cursor<'a> {
    /// The name and the text of the value of the next field, behind a brace or a comma.
    fn next_field(&mut self) -> Option<(&'a str, &'a str)> {
        if self.skip("{\"").is_none() {
            self.skip(",\"")?;
        }
        let name = self.text()?;
        self.skip(":")?;
        let before = self.0;
        match before.as_bytes().first()? {
            b'"' => {
                self.skip("\"")?;
                self.text()?;
            }
            b'[' => drop(self.conditions()?),
            b'{' => drop(self.tags()?),
            _ => drop(self.take(before.find([',', '}'])?)?),
        }
        Some((name, &before[..before.len() - self.0.len()]))
    }

    /// Reads a value in its canonical form.
    fn cell(&mut self, class: ColumnType) -> Option<Cell<'a>> {
        Some(match class {
            ColumnType::Text => {
                self.skip("\"")?;
                Cell::Text(self.text()?)
            }
            ColumnType::Codes => Cell::Text(self.conditions()?),
            ColumnType::Tags => Cell::Text(self.tags()?),
            ColumnType::Integer => Cell::Integer(self.int()?),
            ColumnType::Small => Cell::Integer(self.int().filter(|n| (0..=i64::from(i32::MAX)).contains(n))?),
            ColumnType::Time => Cell::Time(UnixNanos(self.int()?)),
            ColumnType::Decimal => {
                self.skip("\"")?;
                Cell::Decimal(self.number()?)
            }
            ColumnType::Boolean if self.skip("true").is_some() => Cell::Boolean(true),
            ColumnType::Boolean => {
                self.skip("false")?;
                Cell::Boolean(false)
            }
        })
    }

    /// Reads a record of a kind; the cursor is at its first byte.
    pub(super) fn described(mut self, kind: Kind) -> Option<DescribedRecord<&'a str>> {
        let whole = self.0;
        let mut record = DescribedRecord {
            kind,
            symbol: "",
            feed: "",
            ts: UnixNanos(0),
            recv_ts: UnixNanos(0),
            text: whole,
        };
        for column in kind.table().columns {
            let before = self.0;
            let begin = if before.len() == whole.len() { "{\"" } else { ",\"" };
            let named =
                self.skip(begin).and_then(|()| self.skip(column.name)).and_then(|()| self.skip("\":"));
            if named.is_none() {
                if column.presence == Presence::Always {
                    return None;
                }
                self.0 = before;
                continue;
            }
            let cell = self.cell(column.class)?;
            // One way to write each record: what is absent is omitted.
            let is_empty = matches!(cell, Cell::Text("") | Cell::Integer(0));
            let is_default = match column.presence {
                Presence::Always => column.role == Role::Partition,
                Presence::OrDefault => true,
                Presence::Optional => column.class == ColumnType::Text,
            };
            if is_empty && is_default {
                return None;
            }
            match (column.name, cell) {
                ("ts", Cell::Time(time)) => record.ts = time,
                ("recv_ts", Cell::Time(time)) => record.recv_ts = time,
                ("feed", Cell::Text(text)) => record.feed = text,
                (_, Cell::Text(text)) if column.role == Role::Partition => record.symbol = text,
                _ => {}
            }
        }
        (self.0 == "}").then_some(record)
    }
}

/// Appends the canonical form of a record in any other JSON form.
pub(super) fn normalize(kind: Kind, text: &str, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut canonical = Vec::new();
    write_loose(kind, text, &mut canonical)?;
    let text = std::str::from_utf8(&canonical).map_err(|error| DecodeError(format!("not UTF-8: {error}")))?;
    let record = Cursor(text).described(kind);
    let record = record.ok_or_else(|| DecodeError("its canonical form does not decode".to_owned()))?;
    Record::Described(record).check().map_err(|error| DecodeError(error.to_string()))?;
    out.extend_from_slice(&canonical);
    Ok(())
}

fn write_loose(kind: Kind, text: &str, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let bad = |error: serde_json::Error| DecodeError(format!("not a {kind}: {error}"));
    let mut fields: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(text).map_err(bad)?;
    let start = out.len();
    for column in kind.table().columns {
        let Some(raw) = fields.remove(column.name) else {
            match column.presence {
                Presence::Always => {
                    return Err(DecodeError(format!("not a {kind}: missing field `{}`", column.name)));
                }
                Presence::OrDefault | Presence::Optional => continue,
            }
        };
        let value = value(column, raw)?;
        if value.is_empty() && column.role == Role::Partition {
            return Err(DecodeError(format!("{} is empty", column.name)));
        }
        let is_left_out = value.is_empty() && column.presence == Presence::Optional;
        if !is_left_out && !is_omitted(column, value.cell()) {
            push_name(column.name, out.len() == start, out);
            push_value(column.class, value.cell(), out);
        }
    }
    match fields.keys().next() {
        Some(name) => Err(DecodeError(format!("not a {kind}: unknown field `{name}`"))),
        None => {
            out.push(b'}');
            Ok(())
        }
    }
}

/// A value that holds its text.
enum OwnedValue {
    Text(String),
    Other(Cell<'static>),
}

impl OwnedValue {
    fn cell(&self) -> Cell<'_> {
        match self {
            Self::Text(text) => Cell::Text(text),
            Self::Other(cell) => *cell,
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Text(text) if text.is_empty())
    }
}

/// Reads a value of a column, written in any way that JSON permits.
fn value(column: &Column, raw: &RawValue) -> Result<OwnedValue, DecodeError> {
    fn read<'r, T: Deserialize<'r>>(name: &str, raw: &'r RawValue) -> Result<T, DecodeError> {
        serde_json::from_str(raw.get()).map_err(|error| DecodeError(format!("{name}: {error}")))
    }
    let name = column.name;
    Ok(OwnedValue::Other(match column.class {
        ColumnType::Text => {
            let text: String = read(name, raw)?;
            plain(name, &text)?;
            return Ok(OwnedValue::Text(text));
        }
        ColumnType::Codes => return Ok(OwnedValue::Text(array(&read::<Vec<String>>(name, raw)?)?)),
        ColumnType::Tags => {
            let tags: BTreeMap<String, String> = read(name, raw)?;
            let tags = tags.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            return Ok(OwnedValue::Text(reading::tags(tags).map_err(DecodeError)?));
        }
        ColumnType::Integer => Cell::Integer(read(name, raw)?),
        ColumnType::Small => Cell::Integer(i64::from(
            u32::try_from(read::<i32>(name, raw)?)
                .map_err(|_| DecodeError(format!("{name}: expected a number that is not negative")))?,
        )),
        ColumnType::Time => Cell::Time(UnixNanos(read(name, raw)?)),
        ColumnType::Decimal => Cell::Decimal(number(name, raw)?),
        ColumnType::Boolean => Cell::Boolean(read(name, raw)?),
    }))
}
