//! Avro (specification 1.12) of the records, by the description of their table: for topics with a schema registry.
//!
//! The fields are the columns of the table in its order. What a record may lack is a union with null. Decimals are `bytes`
//! of logical type `decimal(38, 18)`, times are `long` of logical type `timestamp-nanos`, conditions an array and tags a
//! map of strings. [`schema`] is the schema of a kind, [`encode`] writes a record by it; [`WriterSchema`] reads what was written
//! by this or another schema that has the fields, in any order, among others.
//!
//! ```
//! use market::{Kind, codec::{avro, json}};
//!
//! let text = br#"{"symbol":"SPY","feed":"f","venue":"P","id":"1","ts":1,"recv_ts":1,"price":"1.5","size":"1","conditions":[]}"#;
//! let (mut binary, mut back) = (Vec::new(), Vec::new());
//! avro::encode(&json::decode(Kind::TRADE, text).ok_or("not a trade")?, &mut binary);
//! avro::WriterSchema::of(Kind::TRADE, &avro::schema(Kind::TRADE))?.decode(&binary, &mut back)?;
//! assert_eq!(back, text);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cursor;
mod skip;
#[cfg(test)]
mod tests;
mod writer_schema;

use super::json::conditions;
use crate::Kind;
use crate::reading::each_tag;
use crate::record::Record;
use crate::table::{Cell, Column, ColumnType, Presence};
use cursor::{push_bytes, push_decimal, push_long};

use serde_json::{Value, json};
pub use writer_schema::WriterSchema;

/// Decimal places of decimals.
const SCALE: u32 = 18;
/// Digits of decimals: the most that Spark, Flink and Kafka Connect can read.
const PRECISION: u32 = 38;
/// Columns that every row has and that other producers may omit, with the value they then have.
const DEFAULTS: [(&str, Cell<'static>); 2] =
    [("revision", Cell::Integer(0)), ("canceled", Cell::Boolean(false))];

/// The value of a column that a writer's schema lacks; `None` if every record must have the column.
fn default_of(column: &Column) -> Option<Cell<'static>> {
    match column.presence {
        Presence::Always => DEFAULTS.iter().find(|(name, _)| *name == column.name).map(|(_, cell)| *cell),
        Presence::OrDefault | Presence::Optional => Some(Cell::Absent),
    }
}

/// The Avro schema of the records of a kind.
#[must_use]
pub fn schema(kind: Kind) -> Value {
    let table = kind.table();
    let fields: Vec<Value> = table.columns.iter().map(field).collect();
    json!({
        "type": "record",
        "name": table.singular,
        "namespace": "tapeline",
        "doc": format!("A message of the topic <prefix>.{}", table.plural),
        "fields": fields,
    })
}

fn field(column: &Column) -> Value {
    let class = match column.class {
        ColumnType::Text => json!("string"),
        ColumnType::Codes => json!({"type": "array", "items": "string"}),
        ColumnType::Tags => json!({"type": "map", "values": "string"}),
        ColumnType::Integer => json!("long"),
        ColumnType::Small => json!("int"),
        ColumnType::Decimal => {
            json!({"type": "bytes", "logicalType": "decimal", "precision": PRECISION, "scale": SCALE})
        }
        ColumnType::Boolean => json!("boolean"),
        ColumnType::Time => json!({"type": "long", "logicalType": "timestamp-nanos"}),
    };
    if column.presence != Presence::Always {
        return json!({"name": column.name, "type": ["null", class], "default": null});
    }
    match default_of(column) {
        Some(Cell::Integer(number)) => json!({"name": column.name, "type": class, "default": number}),
        Some(Cell::Boolean(value)) => json!({"name": column.name, "type": class, "default": value}),
        _ => json!({"name": column.name, "type": class}),
    }
}

/// Appends a record in the form of [`schema`].
pub fn encode(record: &Record<&str>, out: &mut Vec<u8>) {
    for column in record.kind().table().columns {
        let cell = (column.get)(record);
        if column.presence != Presence::Always {
            let is_null = match column.presence {
                Presence::OrDefault => matches!(cell, Cell::Absent | Cell::Text("") | Cell::Integer(0)),
                _ => cell == Cell::Absent,
            };
            push_long(i64::from(!is_null), out);
            if is_null {
                continue;
            }
        }
        push_cell(column.class, cell, out);
    }
}

fn push_cell(class: ColumnType, cell: Cell<'_>, out: &mut Vec<u8>) {
    match (class, cell) {
        (ColumnType::Codes, Cell::Text(codes)) => {
            let count = conditions(codes).count();
            if count > 0 {
                push_long(i64::try_from(count).unwrap_or(i64::MAX), out);
                conditions(codes).for_each(|code| push_bytes(code.as_bytes(), out));
            }
            push_long(0, out);
        }
        (ColumnType::Tags, Cell::Text(tags)) => {
            let count = each_tag(tags).count();
            if count > 0 {
                push_long(i64::try_from(count).unwrap_or(i64::MAX), out);
                for (name, value) in each_tag(tags) {
                    push_bytes(name.as_bytes(), out);
                    push_bytes(value.as_bytes(), out);
                }
            }
            push_long(0, out);
        }
        (_, Cell::Text(text)) => push_bytes(text.as_bytes(), out),
        (_, Cell::Integer(value)) => push_long(value, out),
        (_, Cell::Time(time)) => push_long(time.0, out),
        (_, Cell::Boolean(value)) => out.push(u8::from(value)),
        (_, Cell::Decimal(raw)) => push_decimal(raw, out),
        // A record always has what is not a union with null.
        (_, Cell::Absent) => push_long(0, out),
    }
}
