//! CQL values as cells of a record.

use super::cql::from_stamp;
use market::table::{Cell, Column, ColumnType};
use market::{UnixNanos, fixed, reading};
use ports::{Error, Result};
use scylla::value::{CqlDecimal, CqlValue};

/// The raw value of a decimal.
pub(super) fn decimal(value: &CqlDecimal) -> Result<i128> {
    let (bytes, scale) = value.as_signed_be_bytes_slice_and_exponent();
    if bytes.len() > 16 {
        return Err(Error::user("a decimal in the table does not fit: 1e20 or beyond"));
    }
    let negative = bytes.first().is_some_and(|b| b & 0x80 != 0);
    let unscaled = bytes.iter().fold(if negative { -1_i128 } else { 0 }, |n, b| (n << 8) | i128::from(*b));
    fixed::from_unscaled(unscaled, scale)
        .map_err(|error| Error::user(format!("a decimal in the table: {error}")))
}

/// A list of codes as a canonical JSON array.
pub(super) fn array(codes: &[String]) -> String {
    if codes.is_empty() { "[]".to_owned() } else { format!("[\"{}\"]", codes.join("\",\"")) }
}

/// A cell that holds its text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum OwnedCell {
    Text(String),
    Other(Cell<'static>),
}

impl OwnedCell {
    /// Of a column's value. `midnight` is the start of the day of its partition. An absent value is null, or empty where a
    /// null would have been a tombstone.
    pub(super) fn new(
        column: &Column,
        value: Option<CqlValue>,
        midnight: i64,
    ) -> std::result::Result<Self, String> {
        let Some(value) = value else { return Ok(Self::Other(Cell::Absent)) };
        let cell = match (column.class, value) {
            (_, CqlValue::Empty) => Cell::Absent,
            (ColumnType::Text, CqlValue::Text(text)) => return Ok(Self::Text(text)),
            (ColumnType::Codes, CqlValue::List(codes)) => {
                return Ok(Self::Text(array(&codes.into_iter().map(text).collect::<Result<Vec<_>, _>>()?)));
            }
            (ColumnType::Tags, CqlValue::Map(pairs)) => {
                let pairs = pairs.into_iter().map(|(name, value)| Ok((text(name)?, text(value)?)));
                let pairs: Vec<(String, String)> = pairs.collect::<std::result::Result<_, String>>()?;
                let tags = reading::tags(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())))?;
                return Ok(Self::Text(tags));
            }
            (ColumnType::Integer, CqlValue::BigInt(value)) => Cell::Integer(value),
            (ColumnType::Small, CqlValue::Int(value)) => Cell::Integer(value.into()),
            (ColumnType::Decimal, CqlValue::Decimal(value)) => {
                Cell::Decimal(decimal(&value).map_err(|error| error.to_string())?)
            }
            (ColumnType::Boolean, CqlValue::Boolean(value)) => Cell::Boolean(value),
            (ColumnType::Time, CqlValue::Time(time)) => Cell::Time(UnixNanos(midnight + time.0)),
            (ColumnType::Time, CqlValue::Tuple(parts)) => match parts.as_slice() {
                [Some(CqlValue::Date(date)), Some(CqlValue::Time(time))] => {
                    Cell::Time(from_stamp(date.0, time.0))
                }
                other => return Err(format!("expected a date and a time, found {other:?}")),
            },
            (class, other) => return Err(format!("expected {class:?}, found {other:?}")),
        };
        Ok(Self::Other(cell))
    }

    pub(super) fn cell(&self) -> Cell<'_> {
        match self {
            Self::Text(text) => Cell::Text(text),
            Self::Other(cell) => *cell,
        }
    }
}

fn text(value: CqlValue) -> std::result::Result<String, String> {
    match value {
        CqlValue::Text(text) => Ok(text),
        other => Err(format!("expected text, found {other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use market::Kind;
    use scylla::value::{CqlDate, CqlTime};

    fn cell(kind: Kind, name: &str, value: Option<CqlValue>) -> std::result::Result<OwnedCell, String> {
        OwnedCell::new(kind.table().column(name).unwrap(), value, 1_000)
    }

    #[test]
    fn values_become_cells() {
        let of = |kind, name: &str, value| cell(kind, name, Some(value)).unwrap();
        let text = |text: &str| CqlValue::Text(text.to_owned());
        for (kind, name, value, expected) in [
            (Kind::QUOTE, "bid", CqlValue::Empty, Cell::Absent),
            (Kind::QUOTE, "seq", CqlValue::BigInt(-7), Cell::Integer(-7)),
            (Kind::QUOTE, "ts", CqlValue::Time(CqlTime(5)), Cell::Time(UnixNanos(1_005))),
            (
                Kind::QUOTE,
                "conditions",
                CqlValue::List(vec![text("@"), text("I")]),
                Cell::Text(r#"["@","I"]"#),
            ),
            (Kind::QUOTE, "conditions", CqlValue::List(vec![]), Cell::Text("[]")),
            (
                Kind::READING,
                "tags",
                CqlValue::Map(vec![(text("b"), text("")), (text("a"), text("x"))]),
                Cell::Text(r#"{"a":"x","b":""}"#),
            ),
            (Kind::TRADE, "revision", CqlValue::Int(3), Cell::Integer(3)),
            (
                Kind::TRADE,
                "recv_ts",
                CqlValue::Tuple(vec![
                    Some(CqlValue::Date(CqlDate(1 << 31))),
                    Some(CqlValue::Time(CqlTime(9))),
                ]),
                Cell::Time(UnixNanos(9)),
            ),
        ] {
            assert_eq!(of(kind, name, value).cell(), expected, "{name}");
        }
        assert_eq!(cell(Kind::QUOTE, "ask", None).unwrap().cell(), Cell::Absent);
        let error = cell(Kind::QUOTE, "seq", Some(text("x"))).unwrap_err();
        assert!(error.contains("expected Integer, found Text"), "{error}");
    }
}
