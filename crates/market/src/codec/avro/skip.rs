//! Values of fields that no column holds: read past, whatever their type.

use super::cursor::Cursor;
use crate::codec::json::DecodeError;
use serde_json::Value;
use std::cell::Cell;
use std::collections::HashMap;

/// Maximum depth of values: types may contain themselves.
const DEPTH: u32 = 64;
/// Maximum number of values without a byte in one field: records of records of nothing may be any number.
const EMPTY: usize = 4_096;

/// How the values of a type are read past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Skip {
    /// A number of bytes: null, boolean, float, double, fixed.
    Length(usize),
    /// An int, a long, or the index in an enum.
    Long,
    /// Bytes or a string.
    Bytes,
    Array(Box<Skip>),
    Map(Box<Skip>),
    Union(Vec<Skip>),
    Record(Vec<Skip>),
    /// A type that is defined elsewhere in the schema.
    Named(String),
}

/// The types of a schema that have names.
#[derive(Debug, Clone, Default)]
pub(super) struct Names(HashMap<String, Skip>);

impl Names {
    /// How a type is read past; remembers what it defines. `None` if it is no type.
    pub(super) fn read(&mut self, of: &Value) -> Option<Skip> {
        if let Some(branches) = of.as_array() {
            return branches.iter().map(|branch| self.read(branch)).collect::<Option<_>>().map(Skip::Union);
        }
        let name = match of.as_str() {
            Some(name) => name,
            // A type in an object of its own: `{"type": {"type": "map", …}}`.
            None if of["type"].is_object() || of["type"].is_array() => return self.read(&of["type"]),
            None => of["type"].as_str()?,
        };
        let skip = match name {
            "null" => Skip::Length(0),
            "boolean" => Skip::Length(1),
            "float" => Skip::Length(4),
            "double" => Skip::Length(8),
            "int" | "long" => Skip::Long,
            "bytes" | "string" => Skip::Bytes,
            "array" => Skip::Array(Box::new(self.read(&of["items"])?)),
            "map" => Skip::Map(Box::new(self.read(&of["values"])?)),
            "enum" => self.define(of, Skip::Long),
            "fixed" => {
                let length = usize::try_from(of["size"].as_u64()?).ok()?;
                self.define(of, Skip::Length(length))
            }
            "record" | "error" => {
                let fields = of["fields"].as_array()?;
                let fields = fields.iter().map(|field| self.read(&field["type"])).collect::<Option<_>>()?;
                self.define(of, Skip::Record(fields))
            }
            other => Skip::Named(last(other).to_owned()),
        };
        Some(skip)
    }

    fn define(&mut self, of: &Value, skip: Skip) -> Skip {
        if let Some(name) = of["name"].as_str() {
            self.0.insert(last(name).to_owned(), skip.clone());
        }
        skip
    }

    /// Reads past a value.
    pub(super) fn skip(&self, of: &Skip, cursor: &mut Cursor<'_>) -> Result<(), DecodeError> {
        // A value of some bytes has no more values around it than its depth.
        let steps = Cell::new(EMPTY + cursor.0.len().saturating_mul(DEPTH as usize));
        self.within(of, cursor, DEPTH, &steps)
    }

    fn within(
        &self,
        of: &Skip,
        cursor: &mut Cursor<'_>,
        depth: u32,
        steps: &Cell<usize>,
    ) -> Result<(), DecodeError> {
        let depth = depth.checked_sub(1).ok_or_else(|| DecodeError("it is nested too deeply".to_owned()))?;
        steps
            .set(steps.get().checked_sub(1).ok_or_else(|| DecodeError("it has too many values".to_owned()))?);
        match of {
            Skip::Length(length) => cursor.take(*length).map(drop),
            Skip::Long => cursor.long().map(drop),
            Skip::Bytes => cursor.bytes().map(drop),
            Skip::Array(item) => self.blocks(cursor, |cursor| self.within(item, cursor, depth, steps)),
            Skip::Map(value) => self.blocks(cursor, |cursor| {
                cursor.bytes()?;
                self.within(value, cursor, depth, steps)
            }),
            Skip::Union(branches) => {
                let branch = cursor.long()?;
                let found = usize::try_from(branch).ok().and_then(|branch| branches.get(branch));
                let known = || DecodeError(format!("branch {branch} of a union of {}", branches.len()));
                self.within(found.ok_or_else(known)?, cursor, depth, steps)
            }
            Skip::Record(fields) => {
                fields.iter().try_for_each(|field| self.within(field, cursor, depth, steps))
            }
            Skip::Named(name) => {
                let found = self.0.get(name);
                let found = found.ok_or_else(|| DecodeError(format!("its schema has no type `{name}`")))?;
                self.within(found, cursor, depth, steps)
            }
        }
    }

    fn blocks(
        &self,
        cursor: &mut Cursor<'_>,
        mut item: impl FnMut(&mut Cursor<'_>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        loop {
            let (count, length) = cursor.block()?;
            if count == 0 {
                return Ok(());
            }
            if let Some(length) = length {
                cursor.take(length)?;
                continue;
            }
            for _ in 0..count {
                let before = cursor.0.len();
                item(cursor)?;
                // Items without a byte, as nulls: any number of them is read.
                if cursor.0.len() == before {
                    break;
                }
            }
        }
    }
}

/// A name without its namespace.
fn last(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}
