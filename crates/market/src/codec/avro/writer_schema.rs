//! The schema that a writer used, and how records of a kind are read by it.

use super::cursor::Cursor;
use super::skip::{Names, Skip};
use super::{SCALE, default_of};
use crate::codec::json::{self, DecodeError};
use crate::reading;
use crate::table::{Cell, Column, ColumnType};
use crate::{Kind, UnixNanos};
use serde_json::Value;

/// A writer's schema, ready to decode by.
#[derive(Debug, Clone)]
pub struct WriterSchema {
    kind: Kind,
    fields: Vec<Field>,
    names: Names,
}

#[derive(Debug, Clone)]
enum Field {
    Column(ColumnField),
    /// Of no column.
    Other(Skip),
}

/// A field that fills a column.
#[derive(Debug, Clone)]
struct ColumnField {
    /// Index of the column.
    column: usize,
    class: Class,
    /// Index of null in its union.
    null: Option<i64>,
}

/// What is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Text,
    Long,
    Boolean,
    /// Times this, to get units of 1e-18.
    Decimal(i128),
    /// Times this, to get nanoseconds.
    Time(i64),
    Texts,
    TextMap,
}

/// A value with the text it may have been assembled in.
enum Owned<'a> {
    Cell(Cell<'a>),
    Json(String),
}

impl WriterSchema {
    /// Of a schema of records of this kind.
    ///
    /// # Errors
    /// It is no record, lacks a column, or has a field of a type that is not supported.
    pub fn of(kind: Kind, schema: &Value) -> Result<Self, DecodeError> {
        let bad = |reason: String| DecodeError(format!("not an Avro schema of a {kind}: {reason}"));
        let fields = schema["fields"].as_array().filter(|_| schema["type"] == "record");
        let fields = fields.ok_or_else(|| bad("expected a record with fields".to_owned()))?;
        let columns = kind.table().columns;
        let (mut names, mut known) = (Names::default(), Vec::new());
        for field in fields {
            let name = field["name"].as_str().unwrap_or_default();
            let bad_type = || bad(format!("type of `{name}`: {}", field["type"]));
            // All of them: a field may be of a type that another defines.
            let skip = names.read(&field["type"]).ok_or_else(bad_type)?;
            let Some(at) = columns.iter().position(|column| column.name == name) else {
                known.push(Field::Other(skip));
                continue;
            };
            let (class, null) = class(&field["type"])
                .filter(|(class, _)| fits(columns[at].class, *class))
                .ok_or_else(bad_type)?;
            known.push(Field::Column(ColumnField { column: at, class, null }));
        }
        let has =
            |at: usize| known.iter().any(|field| matches!(field, Field::Column(field) if field.column == at));
        let missing =
            columns.iter().enumerate().find(|(at, column)| !has(*at) && default_of(column).is_none());
        match missing {
            Some((_, column)) => Err(bad(format!("it has no field `{}`", column.name))),
            None => Ok(Self { kind, fields: known, names }),
        }
    }

    /// Appends the canonical JSON of a record.
    ///
    /// # Errors
    /// The bytes are not of this layout, or the record is not valid; nothing is appended.
    pub fn decode(&self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
        let columns = self.kind.table().columns;
        let mut owned: Vec<Owned<'_>> =
            columns.iter().map(|column| Owned::Cell(default_of(column).unwrap_or(Cell::Absent))).collect();
        let mut cursor = Cursor(bytes);
        for field in &self.fields {
            match field {
                Field::Other(skip) => self
                    .names
                    .skip(skip, &mut cursor)
                    .map_err(|error| DecodeError(format!("a field of no column: {error}")))?,
                Field::Column(field) => {
                    let column = &columns[field.column];
                    let value = field.read(column, &mut cursor);
                    let value = value.map_err(|error| DecodeError(format!("{}: {error}", column.name)))?;
                    if let Some(value) = value {
                        owned[field.column] = value;
                    }
                }
            }
        }
        if !cursor.0.is_empty() {
            return Err(DecodeError(format!("{} bytes follow the record", cursor.0.len())));
        }
        let cells: Vec<Cell<'_>> = owned
            .iter()
            .map(|value| match value {
                Owned::Cell(cell) => *cell,
                Owned::Json(text) => Cell::Text(text),
            })
            .collect();
        if let Some(column) = columns.iter().zip(&cells).find_map(|(column, cell)| {
            (*cell == Cell::Absent && default_of(column).is_none()).then_some(column)
        }) {
            return Err(DecodeError(format!("{} is null", column.name)));
        }
        let mut text = String::new();
        let record = self.kind.record(&cells, &mut text).map_err(|error| DecodeError(error.to_string()))?;
        if record.symbol().is_empty() {
            return Err(DecodeError(format!("{} is empty", self.kind.table().partition())));
        }
        record.check().map_err(|error| DecodeError(error.to_string()))?;
        let start = out.len();
        json::encode(&record, out);
        // What the columns cannot say, as that a reading's value is of its type, the canonical form can.
        if json::decode(self.kind, &out[start..]).is_none() {
            out.truncate(start);
            return Err(DecodeError(format!("not a {}", self.kind)));
        }
        Ok(())
    }
}

/// What a type is encoded as, and the index of null in a union; `None` if it is not supported.
fn class(of: &Value) -> Option<(Class, Option<i64>)> {
    if let Some(branches) = of.as_array() {
        let null = branches.iter().position(|branch| branch == "null")?;
        let other = branches.get(1 - null.min(1)).filter(|_| branches.len() == 2)?;
        let (class, nested) = class(other)?;
        return nested.is_none().then_some((class, i64::try_from(null).ok()));
    }
    let name = of.as_str().or_else(|| of["type"].as_str())?;
    let logical = of["logicalType"].as_str().unwrap_or_default();
    let class = match (name, logical) {
        ("bytes", "decimal") => {
            let scale = u32::try_from(of["scale"].as_u64().unwrap_or(0)).ok().filter(|n| *n <= SCALE)?;
            Class::Decimal(10_i128.pow(SCALE - scale))
        }
        ("long", "timestamp-millis") => Class::Time(1_000_000),
        ("long", "timestamp-micros") => Class::Time(1_000),
        ("long", "timestamp-nanos") => Class::Time(1),
        ("long" | "int", _) => Class::Long,
        ("string", _) => Class::Text,
        ("boolean", _) => Class::Boolean,
        ("array", _) if class(&of["items"]) == Some((Class::Text, None)) => Class::Texts,
        ("map", _) if class(&of["values"]) == Some((Class::Text, None)) => Class::TextMap,
        _ => return None,
    };
    Some((class, None))
}

fn fits(column: ColumnType, class: Class) -> bool {
    match column {
        ColumnType::Text => class == Class::Text,
        ColumnType::Codes => class == Class::Texts,
        ColumnType::Tags => class == Class::TextMap,
        ColumnType::Integer | ColumnType::Small => class == Class::Long,
        // Exact decimals come as text as well.
        ColumnType::Decimal => matches!(class, Class::Decimal(_) | Class::Text),
        ColumnType::Boolean => class == Class::Boolean,
        ColumnType::Time => matches!(class, Class::Time(_) | Class::Long),
    }
}

impl ColumnField {
    /// Reads its value; `None` if it is null.
    fn read<'a>(&self, column: &Column, cursor: &mut Cursor<'a>) -> Result<Option<Owned<'a>>, DecodeError> {
        if let Some(null) = self.null {
            let branch = cursor.long()?;
            if branch == null {
                return Ok(None);
            }
            if branch != 1 - null {
                return Err(DecodeError(format!("branch {branch} of a union of two")));
            }
        }
        let class = column.class;
        let too_large = || DecodeError("the number is too large".to_owned());
        let cell = match self.class {
            Class::Text if class == ColumnType::Decimal => {
                let text = cursor.text()?;
                let number = crate::fixed::parse(text.as_bytes())
                    .map_err(|error| DecodeError(format!("`{text}`: {error}")))?;
                Cell::Decimal(number)
            }
            Class::Text => {
                let text = cursor.text()?;
                plain(text)?;
                Cell::Text(text)
            }
            Class::Boolean => match cursor.byte()? {
                0 => Cell::Boolean(false),
                1 => Cell::Boolean(true),
                other => return Err(DecodeError(format!("expected 0 or 1, found {other}"))),
            },
            Class::Decimal(factor) => {
                Cell::Decimal(cursor.decimal()?.checked_mul(factor).ok_or_else(too_large)?)
            }
            Class::Time(factor) => {
                Cell::Time(UnixNanos(cursor.long()?.checked_mul(factor).ok_or_else(too_large)?))
            }
            Class::Long if class == ColumnType::Time => Cell::Time(UnixNanos(cursor.long()?)),
            Class::Long => Cell::Integer(cursor.long()?),
            Class::Texts => {
                let mut codes: Vec<&str> = Vec::new();
                cursor.blocks(|cursor| {
                    codes.push(cursor.text()?);
                    codes.last().map_or(Ok(()), |code| plain(code))
                })?;
                let quoted = codes.join("\",\"");
                return Ok(Some(Owned::Json(if codes.is_empty() {
                    "[]".to_owned()
                } else {
                    format!("[\"{quoted}\"]")
                })));
            }
            Class::TextMap => {
                let mut pairs = Vec::new();
                cursor.blocks(|cursor| {
                    pairs.push((cursor.text()?, cursor.text()?));
                    Ok(())
                })?;
                return Ok(Some(Owned::Json(reading::tags(pairs).map_err(DecodeError)?)));
            }
        };
        Ok(Some(Owned::Cell(cell)))
    }
}

fn plain(text: &str) -> Result<(), DecodeError> {
    match reading::is_plain(text) {
        true => Ok(()),
        false => Err(DecodeError(format!(
            "{text:?}: quotation marks, backslashes and control characters are not allowed in names and codes"
        ))),
    }
}
