//! Record types as tables: each kind is described once, by its columns.
//!
//! Table definitions, inserts, selects and schema checks of every store derive from these descriptions, and so do the
//! columns that `query` and the API show. A description lists the columns in the order of the table: partition key,
//! clustering key, values. Stores put the start of the [`Bucket`] behind the partition key where they need it.
//!
//! ```
//! use market::{Kind, codec::json, table::Cell};
//!
//! let text = br#"{"symbol":"SPY","feed":"f","venue":"P","id":"1","ts":1,"recv_ts":1,"price":"1.5","size":"1","conditions":[]}"#;
//! let trade = json::decode(Kind::TRADE, text).ok_or("not a trade")?;
//! let columns = Kind::TRADE.table().columns;
//! let cells: Vec<Cell<'_>> = columns.iter().map(|column| (column.get)(&trade)).collect();
//! assert_eq!(Kind::TRADE.record(&cells, &mut String::new())?, trade);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::kind::{BarShape, Bucket, Subject};
use crate::record::{QuoteSide, Record};
use crate::{Price, Size, UnixNanos};

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// Text.
    Text,
    /// A list of codes: the text of a canonical JSON array of strings.
    Codes,
    /// Names and values: the text of a canonical JSON object of strings, empty if there are none.
    Tags,
    /// A signed 64-bit number.
    Integer,
    /// A number that fits 31 bits.
    Small,
    /// An exact decimal.
    Decimal,
    /// True or false.
    Boolean,
    /// A time in nanoseconds.
    Time,
}

/// What a column is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Part of the partition key, with the bucket.
    Partition,
    /// Part of the clustering key. The first is the event time.
    Clustering,
    /// A value.
    Value,
}

/// Whether a record may lack the value of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Every record has it.
    Always,
    /// A record without it has 0 or an empty text, which is shown as nothing.
    OrDefault,
    /// A record without it has [`Cell::Absent`].
    Optional,
}

/// A value of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cell<'a> {
    /// None.
    Absent,
    /// Of [`ColumnType::Text`], [`ColumnType::Codes`] and [`ColumnType::Tags`].
    Text(&'a str),
    /// Of [`ColumnType::Integer`] and [`ColumnType::Small`].
    Integer(i64),
    /// Of [`ColumnType::Decimal`]: units of 1e-18.
    Decimal(i128),
    /// Of [`ColumnType::Boolean`].
    Boolean(bool),
    /// Of [`ColumnType::Time`].
    Time(UnixNanos),
}

impl Cell<'_> {
    /// The default where a record may have none of its own.
    #[must_use]
    pub const fn or_default(self, presence: Presence, class: ColumnType) -> Self {
        match (self, presence, class) {
            (Self::Absent, Presence::OrDefault, ColumnType::Integer | ColumnType::Small) => Self::Integer(0),
            (Self::Absent, Presence::OrDefault, _) => Self::Text(""),
            (cell, ..) => cell,
        }
    }

    /// Appends bytes that differ from those of any other value of its column, however values follow each other.
    pub(crate) fn write_bytes(&self, out: &mut Vec<u8>) {
        match self {
            Self::Absent => out.push(0),
            Self::Text(text) => {
                out.push(1);
                out.extend_from_slice(text.as_bytes());
                out.push(0);
            }
            Self::Integer(value) => {
                out.push(2);
                out.extend_from_slice(&value.to_le_bytes());
            }
            Self::Decimal(raw) => {
                out.push(3);
                out.extend_from_slice(&raw.to_le_bytes());
            }
            Self::Boolean(value) => out.extend_from_slice(&[4, u8::from(*value)]),
            Self::Time(time) => {
                out.push(5);
                out.extend_from_slice(&time.0.to_le_bytes());
            }
        }
    }
}

/// A column.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its name in every store and output.
    pub name: &'static str,
    /// What it holds.
    pub class: ColumnType,
    /// What it is for.
    pub role: Role,
    /// Whether a record may lack it.
    pub presence: Presence,
    /// Its value in a record of the table's kind; [`Cell::Absent`] in a record of another type.
    pub get: for<'r, 'a> fn(&'r Record<&'a str>) -> Cell<'a>,
}

/// The description of a record type.
#[derive(Debug)]
pub struct Table {
    /// `trade`: the word in message headers.
    pub singular: &'static str,
    /// `trades`: the name of table and topic.
    pub plural: &'static str,
    /// The span of event time in one partition.
    pub bucket: Bucket,
    /// What its records are about.
    pub subject: Subject,
    /// Values of the bars that its records are aggregated into; `None` if they are not aggregated.
    pub bars: Option<BarShape>,
    /// The columns in the order of the table.
    pub columns: &'static [Column],
    /// Names of all columns in the order in which people are shown them.
    pub shown: &'static [&'static str],
    /// Makes a record of the kind's own type; without one, its records are [`Record::Described`].
    pub(crate) read: Option<ReadCells>,
}

/// Makes a record from the cells of a row.
pub(crate) type ReadCells = for<'c, 'a> fn(CellReader<'c, 'a>) -> Result<Record<&'a str>, CellError>;

/// Maximum number of columns of a table: the length of a buffer of cells.
pub const MAX_COLUMNS: usize = 16;

/// Why cells are not a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column `{column}`: {reason}")]
pub struct CellError {
    /// Name of the column.
    pub column: &'static str,
    /// What is wrong with its value.
    pub reason: String,
}

impl Table {
    /// The column of a name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&'static Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The columns in the order in which people are shown them.
    pub fn shown_columns(&self) -> impl Iterator<Item = &'static Column> {
        self.shown.iter().filter_map(|name| self.column(name))
    }

    /// The columns of a role.
    pub fn of_role(&self, role: Role) -> impl Iterator<Item = &'static Column> {
        self.columns.iter().filter(move |column| column.role == role)
    }

    /// The name of the column that picks the partition: `symbol` or `series`.
    #[must_use]
    pub fn partition(&self) -> &'static str {
        self.of_role(Role::Partition).next().map_or("", |column| column.name)
    }
}

/// Reads cells one after the other.
pub(crate) struct CellReader<'c, 'a> {
    columns: &'static [Column],
    cells: &'c [Cell<'a>],
    at: usize,
}

impl<'c, 'a> CellReader<'c, 'a> {
    pub(crate) fn new(columns: &'static [Column], cells: &'c [Cell<'a>]) -> Self {
        Self { columns, cells, at: 0 }
    }

    fn next(&mut self) -> Cell<'a> {
        let cell = self.cells.get(self.at).copied().unwrap_or(Cell::Absent);
        self.at += 1;
        cell
    }

    /// An error about the cell that was read last.
    pub(crate) fn error(&self, reason: String) -> CellError {
        CellError { column: self.columns.get(self.at - 1).map_or("", |column| column.name), reason }
    }

    fn unexpected(&self, expected: &str, found: Cell<'_>) -> CellError {
        self.error(format!("expected {expected}, found {found:?}"))
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, CellError> {
        match self.next() {
            Cell::Text(text) => Ok(text),
            Cell::Absent => Ok(""),
            other => Err(self.unexpected("a text", other)),
        }
    }

    pub(crate) fn codes(&mut self) -> Result<&'a str, CellError> {
        let codes = self.text()?;
        Ok(if codes.is_empty() { "[]" } else { codes })
    }

    pub(crate) fn integer(&mut self) -> Result<i64, CellError> {
        match self.next() {
            Cell::Integer(value) => Ok(value),
            Cell::Absent => Ok(0),
            other => Err(self.unexpected("an integer", other)),
        }
    }

    pub(crate) fn boolean(&mut self) -> Result<bool, CellError> {
        match self.next() {
            Cell::Boolean(value) => Ok(value),
            Cell::Absent => Ok(false),
            other => Err(self.unexpected("a boolean", other)),
        }
    }

    pub(crate) fn time(&mut self) -> Result<UnixNanos, CellError> {
        match self.next() {
            Cell::Time(time) => Ok(time),
            Cell::Absent => Ok(UnixNanos(0)),
            other => Err(self.unexpected("a time", other)),
        }
    }

    fn optional_decimal(&mut self) -> Result<Option<i128>, CellError> {
        match self.next() {
            Cell::Decimal(value) => Ok(Some(value)),
            Cell::Absent => Ok(None),
            other => Err(self.unexpected("a decimal", other)),
        }
    }

    pub(crate) fn decimal(&mut self) -> Result<i128, CellError> {
        self.optional_decimal()?.ok_or_else(|| self.error("expected a decimal, found none".to_owned()))
    }

    pub(crate) fn quote_side(&mut self) -> Result<Option<QuoteSide<&'a str>>, CellError> {
        let price = self.optional_decimal()?;
        let size = self.optional_decimal()?;
        match (price, size) {
            (None, None) => {
                self.text()?;
                Ok(None)
            }
            (Some(price), Some(size)) => Ok(Some(QuoteSide {
                price: Price::from_raw(price),
                size: Size::from_raw(size),
                venue: self.text()?,
            })),
            _ => Err(self.error("a price without a size, or a size without a price".to_owned())),
        }
    }
}

/// A column of a kind: `column!(Trade, name, type, role, presence, |record| cell)`, or, of a kind without a type of its
/// own, `column!(name, type, role, presence)`.
macro_rules! column {
    ($kind:ident, $name:literal, $class:ident, $role:ident, $presence:ident, |$record:ident| $cell:expr) => {
        Column {
            name: $name,
            class: ColumnType::$class,
            role: Role::$role,
            presence: Presence::$presence,
            get: |record| match record {
                Record::$kind($record) => $cell,
                _ => Cell::Absent,
            },
        }
    };
    ($name:literal, $class:ident, $role:ident, $presence:ident) => {
        Column {
            name: $name,
            class: ColumnType::$class,
            role: Role::$role,
            presence: Presence::$presence,
            get: |record| match record {
                Record::Described(record) => record
                    .value($name, ColumnType::$class)
                    .or_default(Presence::$presence, ColumnType::$class),
                _ => Cell::Absent,
            },
        }
    };
}
pub(crate) use column;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;
    use crate::codec::json;

    const RECORDS: [(Kind, &str); 6] = [
        (
            Kind::TRADE,
            r#"{"symbol":"SPY","feed":"f","venue":"P","id":"1","ts":1,"recv_ts":2,"price":"-1.5","size":"3","side":"sell","conditions":["@","I"],"tape":"B","seq":-7,"revision":3,"canceled":true}"#,
        ),
        (
            Kind::TRADE,
            r#"{"symbol":"SPY","feed":"f","venue":"","id":"1","ts":1,"recv_ts":2,"price":"1","size":"0","conditions":[]}"#,
        ),
        (
            Kind::QUOTE,
            r#"{"symbol":"IBM","feed":"f","seq":9,"ts":1,"recv_ts":2,"bid":"180.01","bid_size":"200","bid_venue":"P","conditions":["1"]}"#,
        ),
        (
            Kind::QUOTE,
            r#"{"symbol":"IBM","feed":"f","seq":9,"ts":1,"recv_ts":2,"ask":"0","ask_size":"0","ask_venue":"","conditions":[]}"#,
        ),
        (
            Kind::READING,
            r#"{"series":"boiler.temperature","feed":"f","seq":9,"ts":1,"recv_ts":2,"type":"decimal","value":"21.5","unit":"°C","quality":"good","tags":{"room":"a","site":"b"}}"#,
        ),
        (Kind::READING, r#"{"series":"s","feed":"f","seq":-9,"ts":1,"recv_ts":2,"type":"text","value":""}"#),
    ];

    #[test]
    fn a_record_is_its_cells() {
        for (kind, text) in RECORDS {
            let record = json::decode(kind, text.as_bytes()).unwrap_or_else(|| panic!("{text}"));
            let cells: Vec<_> = kind.table().columns.iter().map(|column| (column.get)(&record)).collect();
            assert_eq!(kind.record(&cells, &mut String::new()).unwrap(), record);
            for (other, _) in RECORDS.iter().filter(|(other, _)| *other != kind) {
                assert!(other.table().columns.iter().all(|column| (column.get)(&record) == Cell::Absent));
            }
        }
    }

    #[test]
    fn cells_are_of_the_type_of_their_column() {
        for (kind, text) in RECORDS {
            let record = json::decode(kind, text.as_bytes()).unwrap();
            for column in kind.table().columns {
                let cell = (column.get)(&record);
                let fits = match column.class {
                    ColumnType::Text | ColumnType::Codes | ColumnType::Tags => matches!(cell, Cell::Text(_)),
                    ColumnType::Integer | ColumnType::Small => matches!(cell, Cell::Integer(_)),
                    ColumnType::Decimal => matches!(cell, Cell::Decimal(_)),
                    ColumnType::Boolean => matches!(cell, Cell::Boolean(_)),
                    ColumnType::Time => matches!(cell, Cell::Time(_)),
                };
                let absent = cell == Cell::Absent && column.presence == Presence::Optional;
                assert!(fits || absent, "{kind} {}: {cell:?}", column.name);
            }
        }
    }

    #[test]
    fn a_cell_of_another_type_is_named() {
        let (kind, text) = RECORDS[0];
        let record = json::decode(kind, text.as_bytes()).unwrap();
        let cells: Vec<_> = kind.table().columns.iter().map(|column| (column.get)(&record)).collect();
        for (name, cell, part) in [
            ("price", Cell::Absent, "column `price`: expected a decimal, found none"),
            ("side", Cell::Text("up"), "column `side`: unknown side `up`"),
            ("seq", Cell::Text("1"), "column `seq`: expected an integer, found Text(\"1\")"),
            ("revision", Cell::Integer(-1), "column `revision`: -1 is not a revision"),
        ] {
            let mut changed = cells.clone();
            changed[kind.table().columns.iter().position(|column| column.name == name).unwrap()] = cell;
            assert_eq!(kind.record(&changed, &mut String::new()).unwrap_err().to_string(), part);
        }
    }
}
