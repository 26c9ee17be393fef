//! The columns of trades, quotes and bars: one list each, for all formats (docs/exports.md).

use market::bar::{Bar, Values};
use market::table::{self, Cell, ColumnType, Presence};
use market::{Kind, Price, Record, Size, UnixNanos};
use std::sync::OnceLock;

/// Type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    /// A time to the nanosecond.
    Time,
    /// A time to the second: the start of a bar.
    Start,
    Text,
    /// An exact decimal of at most 18 places.
    Decimal,
    /// A computed decimal: tables show two more places than in neighbouring columns.
    Average,
    Integer,
    Flag,
    /// Condition codes: text of a JSON array.
    Codes,
}

/// A column of every format.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) of: Type,
    /// Whether every row has a value.
    pub(crate) required: bool,
}

/// A value of a row.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    Absent,
    Time(UnixNanos),
    Text(&'a str),
    Price(Price),
    Size(Size),
    Integer(i64),
    Flag(bool),
    Codes(&'a str),
}

const fn required(name: &'static str, of: Type) -> Column {
    Column { name, of, required: true }
}

const fn optional(name: &'static str, of: Type) -> Column {
    Column { name, of, required: false }
}

const BARS: [Column; 14] = [
    required("start", Type::Start),
    required("symbol", Type::Text),
    required("feed", Type::Text),
    required("interval", Type::Text),
    required("open", Type::Decimal),
    required("high", Type::Decimal),
    required("low", Type::Decimal),
    required("close", Type::Decimal),
    required("volume", Type::Decimal),
    optional("vwap", Type::Average),
    required("trades", Type::Integer),
    required("revision", Type::Integer),
    required("final", Type::Flag),
    required("complete", Type::Flag),
];

const QUOTE_BARS: [Column; 17] = [
    required("start", Type::Start),
    required("symbol", Type::Text),
    required("feed", Type::Text),
    required("interval", Type::Text),
    optional("bid_open", Type::Decimal),
    optional("bid_high", Type::Decimal),
    optional("bid_low", Type::Decimal),
    optional("bid_close", Type::Decimal),
    optional("bid_size", Type::Decimal),
    optional("ask_open", Type::Decimal),
    optional("ask_high", Type::Decimal),
    optional("ask_low", Type::Decimal),
    optional("ask_close", Type::Decimal),
    optional("ask_size", Type::Decimal),
    required("revision", Type::Integer),
    required("final", Type::Flag),
    required("complete", Type::Flag),
];

const READING_BARS: [Column; 14] = [
    required("start", Type::Start),
    required("series", Type::Text),
    required("feed", Type::Text),
    required("interval", Type::Text),
    required("first", Type::Decimal),
    required("max", Type::Decimal),
    required("min", Type::Decimal),
    required("last", Type::Decimal),
    optional("sum", Type::Decimal),
    optional("mean", Type::Average),
    required("count", Type::Integer),
    required("revision", Type::Integer),
    required("final", Type::Flag),
    required("complete", Type::Flag),
];

/// The columns of trades, quotes or readings: those of the description of their kind.
pub(crate) fn of_records(kind: Kind) -> &'static [Column] {
    static COLUMNS: [OnceLock<Vec<Column>>; Kind::COUNT] = [const { OnceLock::new() }; Kind::COUNT];
    COLUMNS[kind as usize].get_or_init(|| kind.table().shown_columns().map(column).collect())
}

fn column(column: &table::Column) -> Column {
    let of = match column.class {
        // Tags are the text of a JSON object.
        ColumnType::Text | ColumnType::Tags => Type::Text,
        ColumnType::Codes => Type::Codes,
        ColumnType::Integer | ColumnType::Small => Type::Integer,
        ColumnType::Decimal => Type::Decimal,
        ColumnType::Boolean => Type::Flag,
        ColumnType::Time => Type::Time,
    };
    Column { name: column.name, of, required: column.presence == Presence::Always }
}

/// The columns of bars of a kind.
pub(crate) fn of_bars(kind: Kind) -> &'static [Column] {
    match kind {
        Kind::Trade => &BARS,
        Kind::Quote => &QUOTE_BARS,
        Kind::Reading => &READING_BARS,
    }
}

/// The values of a record, in the order of [`of_records`].
pub(crate) fn record<'a>(record: &Record<&'a str>, out: &mut Vec<Value<'a>>) {
    out.clear();
    out.extend(record.kind().table().shown_columns().map(|column| value(column, (column.get)(record))));
}

fn value<'a>(column: &table::Column, cell: Cell<'a>) -> Value<'a> {
    match cell {
        Cell::Absent => Value::Absent,
        Cell::Text("") | Cell::Integer(0) if column.presence == Presence::OrDefault => Value::Absent,
        Cell::Text(array) if column.class == ColumnType::Codes => Value::Codes(array),
        Cell::Text(text) => Value::Text(text),
        Cell::Integer(value) => Value::Integer(value),
        Cell::Decimal(raw) => Value::Price(Price::from_raw(raw)),
        Cell::Boolean(value) => Value::Flag(value),
        Cell::Time(time) => Value::Time(time),
    }
}

/// The values of a bar, in the order of [`of_bars`]. `interval` is that of the bar, as text.
pub(crate) fn bar<'a>(bar: &'a Bar, interval: &'a str, out: &mut Vec<Value<'a>>) {
    out.clear();
    out.extend([
        Value::Time(bar.start),
        Value::Text(&bar.symbol),
        Value::Text(&bar.feed),
        Value::Text(interval),
    ]);
    match &bar.values {
        Values::Trades(values) => {
            out.extend(values.ohlc.map(Value::Price));
            out.push(Value::Size(values.volume));
            out.push(values.vwap.map_or(Value::Absent, Value::Price));
            out.push(Value::Integer(i64::try_from(values.trades).unwrap_or(i64::MAX)));
        }
        Values::Quotes(values) => {
            for side in [&values.bid, &values.ask] {
                match side {
                    Some((ohlc, size)) => {
                        out.extend(ohlc.map(Value::Price));
                        out.push(Value::Size(*size));
                    }
                    None => out.extend([Value::Absent; 5]),
                }
            }
        }
        Values::Readings(values) => {
            out.extend(values.first_max_min_last.map(Value::Price));
            out.push(values.sum.map_or(Value::Absent, Value::Price));
            out.push(values.mean().map_or(Value::Absent, Value::Price));
            out.push(Value::Integer(i64::try_from(values.count).unwrap_or(i64::MAX)));
        }
        // Stores contain no bar without prices.
        Values::Empty => out.resize(of_bars(bar.kind).len() - 3, Value::Absent),
    }
    out.extend([
        Value::Integer(i64::from(bar.revision)),
        Value::Flag(bar.is_final),
        Value::Flag(bar.complete),
    ]);
}
