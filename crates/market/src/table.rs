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
//! let trade = json::decode(Kind::Trade, text).ok_or("not a trade")?;
//! let table = Kind::Trade.table();
//! let cells: Vec<Cell<'_>> = table.columns.iter().map(|column| (column.get)(&trade)).collect();
//! assert_eq!(table.record(&cells)?, trade);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::reading::{Reading, ReadingValue, ValueType};
use crate::record::{Bucket, Kind, Quote, QuoteSide, Record, Side, Trade};
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// Its value in a record of the table's kind; [`Cell::Absent`] in one of another kind.
    pub get: for<'r, 'a> fn(&'r Record<&'a str>) -> Cell<'a>,
}

/// The description of a record type.
#[derive(Debug)]
pub struct Table {
    /// The kind of its records.
    pub kind: Kind,
    /// `trade`: the word in message headers.
    pub singular: &'static str,
    /// `trades`: the name of table and topic.
    pub plural: &'static str,
    /// The span of event time in one partition.
    pub bucket: Bucket,
    /// The columns in the order of the table.
    pub columns: &'static [Column],
    /// Names of all columns in the order in which people are shown them.
    pub shown: &'static [&'static str],
    read: for<'c, 'a> fn(Cells<'c, 'a>) -> Result<Record<&'a str>, CellError>,
}

/// Most columns of any table: the length of a buffer of cells.
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
    /// The record of a row, its cells in the order of [`Table::columns`].
    ///
    /// # Errors
    /// A cell is missing or of another type.
    #[inline]
    pub fn record<'a>(&self, cells: &[Cell<'a>]) -> Result<Record<&'a str>, CellError> {
        (self.read)(Cells { columns: self.columns, cells, at: 0 })
    }

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

impl Kind {
    /// The description of its records.
    #[must_use]
    #[inline]
    pub const fn table(self) -> &'static Table {
        match self {
            Self::Trade => &TRADES,
            Self::Quote => &QUOTES,
            Self::Reading => &READINGS,
        }
    }
}

/// Reads cells one after the other.
struct Cells<'c, 'a> {
    columns: &'static [Column],
    cells: &'c [Cell<'a>],
    at: usize,
}

impl<'a> Cells<'_, 'a> {
    fn next(&mut self) -> Cell<'a> {
        let cell = self.cells.get(self.at).copied().unwrap_or(Cell::Absent);
        self.at += 1;
        cell
    }

    /// An error about the cell that was read last.
    fn error(&self, reason: String) -> CellError {
        CellError { column: self.columns.get(self.at - 1).map_or("", |column| column.name), reason }
    }

    fn unexpected(&self, expected: &str, found: Cell<'_>) -> CellError {
        self.error(format!("expected {expected}, found {found:?}"))
    }

    fn text(&mut self) -> Result<&'a str, CellError> {
        match self.next() {
            Cell::Text(text) => Ok(text),
            Cell::Absent => Ok(""),
            other => Err(self.unexpected("a text", other)),
        }
    }

    fn codes(&mut self) -> Result<&'a str, CellError> {
        let codes = self.text()?;
        Ok(if codes.is_empty() { "[]" } else { codes })
    }

    fn integer(&mut self) -> Result<i64, CellError> {
        match self.next() {
            Cell::Integer(value) => Ok(value),
            Cell::Absent => Ok(0),
            other => Err(self.unexpected("an integer", other)),
        }
    }

    fn boolean(&mut self) -> Result<bool, CellError> {
        match self.next() {
            Cell::Boolean(value) => Ok(value),
            Cell::Absent => Ok(false),
            other => Err(self.unexpected("a boolean", other)),
        }
    }

    fn time(&mut self) -> Result<UnixNanos, CellError> {
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

    fn decimal(&mut self) -> Result<i128, CellError> {
        self.optional_decimal()?.ok_or_else(|| self.error("expected a decimal, found none".to_owned()))
    }

    fn quote_side(&mut self) -> Result<Option<QuoteSide<&'a str>>, CellError> {
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

/// A column of a kind: `column!(Trade, name, type, role, presence, |record| cell)`.
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
}

static TRADES: Table = Table {
    kind: Kind::Trade,
    singular: "trade",
    plural: "trades",
    bucket: Bucket::Hour,
    columns: &[
        column!(Trade, "symbol", Text, Partition, Always, |trade| Cell::Text(trade.symbol)),
        column!(Trade, "ts", Time, Clustering, Always, |trade| Cell::Time(trade.ts)),
        column!(Trade, "feed", Text, Clustering, Always, |trade| Cell::Text(trade.feed)),
        column!(Trade, "venue", Text, Clustering, Always, |trade| Cell::Text(trade.venue)),
        column!(Trade, "id", Text, Clustering, Always, |trade| Cell::Text(trade.id)),
        column!(Trade, "price", Decimal, Value, Always, |trade| Cell::Decimal(trade.price.raw())),
        column!(Trade, "size", Decimal, Value, Always, |trade| Cell::Decimal(trade.size.raw())),
        column!(Trade, "side", Text, Value, OrDefault, |trade| Cell::Text(trade.side.name())),
        column!(Trade, "conditions", Codes, Value, Always, |trade| Cell::Text(trade.conditions)),
        column!(Trade, "tape", Text, Value, OrDefault, |trade| Cell::Text(trade.tape)),
        column!(Trade, "seq", Integer, Value, OrDefault, |trade| Cell::Integer(trade.seq)),
        column!(Trade, "recv_ts", Time, Value, Always, |trade| Cell::Time(trade.recv_ts)),
        column!(Trade, "revision", Small, Value, Always, |trade| Cell::Integer(trade.revision.into())),
        column!(Trade, "canceled", Boolean, Value, Always, |trade| Cell::Boolean(trade.canceled)),
    ],
    shown: &[
        "ts",
        "symbol",
        "feed",
        "venue",
        "price",
        "size",
        "side",
        "conditions",
        "tape",
        "id",
        "seq",
        "recv_ts",
        "revision",
        "canceled",
    ],
    read: |mut cells| {
        Ok(Record::Trade(Trade {
            symbol: cells.text()?,
            ts: cells.time()?,
            feed: cells.text()?,
            venue: cells.text()?,
            id: cells.text()?,
            price: Price::from_raw(cells.decimal()?),
            size: Size::from_raw(cells.decimal()?),
            side: {
                let name = cells.text()?;
                Side::from_name(name).ok_or_else(|| cells.error(format!("unknown side `{name}`")))?
            },
            conditions: cells.codes()?,
            tape: cells.text()?,
            seq: cells.integer()?,
            recv_ts: cells.time()?,
            revision: {
                let revision = cells.integer()?;
                u32::try_from(revision).map_err(|_| cells.error(format!("{revision} is not a revision")))?
            },
            canceled: cells.boolean()?,
        }))
    },
};

/// A column of one side of a quote.
macro_rules! side {
    ($side:ident, $name:literal, $class:ident, |$present:ident| $cell:expr) => {
        column!(Quote, $name, $class, Value, Optional, |quote| match &quote.$side {
            Some($present) => $cell,
            None => Cell::Absent,
        })
    };
}

static QUOTES: Table = Table {
    kind: Kind::Quote,
    singular: "quote",
    plural: "quotes",
    bucket: Bucket::Hour,
    columns: &[
        column!(Quote, "symbol", Text, Partition, Always, |quote| Cell::Text(quote.symbol)),
        column!(Quote, "ts", Time, Clustering, Always, |quote| Cell::Time(quote.ts)),
        column!(Quote, "feed", Text, Clustering, Always, |quote| Cell::Text(quote.feed)),
        column!(Quote, "seq", Integer, Clustering, Always, |quote| Cell::Integer(quote.seq)),
        side!(bid, "bid", Decimal, |side| Cell::Decimal(side.price.raw())),
        side!(bid, "bid_size", Decimal, |side| Cell::Decimal(side.size.raw())),
        side!(bid, "bid_venue", Text, |side| Cell::Text(side.venue)),
        side!(ask, "ask", Decimal, |side| Cell::Decimal(side.price.raw())),
        side!(ask, "ask_size", Decimal, |side| Cell::Decimal(side.size.raw())),
        side!(ask, "ask_venue", Text, |side| Cell::Text(side.venue)),
        column!(Quote, "conditions", Codes, Value, Always, |quote| Cell::Text(quote.conditions)),
        column!(Quote, "recv_ts", Time, Value, Always, |quote| Cell::Time(quote.recv_ts)),
    ],
    shown: &[
        "ts",
        "symbol",
        "feed",
        "bid",
        "bid_size",
        "bid_venue",
        "ask",
        "ask_size",
        "ask_venue",
        "conditions",
        "seq",
        "recv_ts",
    ],
    read: |mut cells| {
        Ok(Record::Quote(Quote {
            symbol: cells.text()?,
            ts: cells.time()?,
            feed: cells.text()?,
            seq: cells.integer()?,
            bid: cells.quote_side()?,
            ask: cells.quote_side()?,
            conditions: cells.codes()?,
            recv_ts: cells.time()?,
        }))
    },
};

static READINGS: Table = Table {
    kind: Kind::Reading,
    singular: "reading",
    plural: "readings",
    bucket: Bucket::Day,
    columns: &[
        column!(Reading, "series", Text, Partition, Always, |reading| Cell::Text(reading.series)),
        column!(Reading, "ts", Time, Clustering, Always, |reading| Cell::Time(reading.ts)),
        column!(Reading, "feed", Text, Clustering, Always, |reading| Cell::Text(reading.feed)),
        column!(Reading, "seq", Integer, Clustering, Always, |reading| Cell::Integer(reading.seq)),
        column!(Reading, "value", Text, Value, Always, |reading| Cell::Text(reading.value.text)),
        column!(Reading, "type", Text, Value, Always, |reading| Cell::Text(reading.value.class.name())),
        column!(Reading, "unit", Text, Value, OrDefault, |reading| Cell::Text(reading.unit)),
        column!(Reading, "quality", Text, Value, OrDefault, |reading| Cell::Text(reading.quality)),
        column!(Reading, "tags", Tags, Value, OrDefault, |reading| Cell::Text(reading.tags)),
        column!(Reading, "recv_ts", Time, Value, Always, |reading| Cell::Time(reading.recv_ts)),
    ],
    shown: &["ts", "series", "feed", "value", "type", "unit", "quality", "tags", "seq", "recv_ts"],
    read: |mut cells| {
        Ok(Record::Reading(Reading {
            series: cells.text()?,
            ts: cells.time()?,
            feed: cells.text()?,
            seq: cells.integer()?,
            value: {
                let text = cells.text()?;
                let name = cells.text()?;
                let class = ValueType::from_name(name)
                    .ok_or_else(|| cells.error(format!("unknown value type `{name}`")))?;
                ReadingValue { class, text }
            },
            unit: cells.text()?,
            quality: cells.text()?,
            tags: cells.text()?,
            recv_ts: cells.time()?,
        }))
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::json;

    const RECORDS: [(Kind, &str); 6] = [
        (
            Kind::Trade,
            r#"{"symbol":"SPY","feed":"f","venue":"P","id":"1","ts":1,"recv_ts":2,"price":"-1.5","size":"3","side":"sell","conditions":["@","I"],"tape":"B","seq":-7,"revision":3,"canceled":true}"#,
        ),
        (
            Kind::Trade,
            r#"{"symbol":"SPY","feed":"f","venue":"","id":"1","ts":1,"recv_ts":2,"price":"1","size":"0","conditions":[]}"#,
        ),
        (
            Kind::Quote,
            r#"{"symbol":"IBM","feed":"f","seq":9,"ts":1,"recv_ts":2,"bid":"180.01","bid_size":"200","bid_venue":"P","conditions":["1"]}"#,
        ),
        (
            Kind::Quote,
            r#"{"symbol":"IBM","feed":"f","seq":9,"ts":1,"recv_ts":2,"ask":"0","ask_size":"0","ask_venue":"","conditions":[]}"#,
        ),
        (
            Kind::Reading,
            r#"{"series":"boiler.temperature","feed":"f","seq":9,"ts":1,"recv_ts":2,"type":"decimal","value":"21.5","unit":"°C","quality":"good","tags":{"room":"a","site":"b"}}"#,
        ),
        (Kind::Reading, r#"{"series":"s","feed":"f","seq":-9,"ts":1,"recv_ts":2,"type":"text","value":""}"#),
    ];

    #[test]
    fn a_record_is_its_cells() {
        for (kind, text) in RECORDS {
            let record = json::decode(kind, text.as_bytes()).unwrap_or_else(|| panic!("{text}"));
            let cells: Vec<_> = kind.table().columns.iter().map(|column| (column.get)(&record)).collect();
            assert_eq!(kind.table().record(&cells).unwrap(), record);
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
    fn descriptions_are_whole() {
        for kind in Kind::ALL {
            let table = kind.table();
            assert_eq!((table.kind, table.bucket), (kind, kind.bucket()));
            assert!(table.columns.len() <= MAX_COLUMNS);
            let mut names: Vec<_> = table.columns.iter().map(|column| column.name).collect();
            let mut shown = table.shown.to_vec();
            names.sort_unstable();
            shown.sort_unstable();
            assert_eq!(names, shown, "{kind}");
            names.dedup();
            assert_eq!(names.len(), table.columns.len(), "{kind}");
            assert_eq!(table.of_role(Role::Partition).count(), 1);
            let clustering: Vec<_> = table.of_role(Role::Clustering).map(|column| column.name).collect();
            assert_eq!(clustering[..2], ["ts", "feed"], "{kind}");
            assert!(table.of_role(Role::Clustering).all(|column| column.presence == Presence::Always));
            let key = 1 + clustering.len();
            assert!(table.columns[key..].iter().all(|column| column.role == Role::Value), "{kind}");
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
            assert_eq!(kind.table().record(&changed).unwrap_err().to_string(), part);
        }
    }
}
