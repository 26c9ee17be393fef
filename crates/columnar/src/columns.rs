//! The columns of trades, quotes and bars: one list each for the exports (docs/exports.md), and one for the files of
//! the archive (docs/archive.md).

use market::bar::{Bar, Values};
use market::kind::BarShape;
use market::table::{self, Cell, ColumnType, Presence};
use market::{Kind, Price, Record, Size, UnixNanos};
use std::sync::OnceLock;

/// Type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputType {
    /// A time to the nanosecond.
    Time,
    /// The same as a plain number of nanoseconds since 1970, UTC.
    Nanos,
    /// A time to the second: the start of a bar.
    Start,
    /// Text.
    Text,
    /// An exact decimal of at most 18 places.
    Decimal,
    /// A computed decimal: tables show two more places than in neighbouring columns.
    Average,
    /// A signed 64-bit number.
    Integer,
    /// A signed 32-bit number.
    Small,
    /// True or false.
    Flag,
    /// Condition codes: text of a JSON array.
    Codes,
}

/// A column of every format.
#[derive(Debug, Clone, Copy)]
pub struct OutputColumn {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub of: OutputType,
    /// Whether every row has a value.
    pub required: bool,
}

/// A value of a row.
#[derive(Debug, Clone, Copy)]
pub enum OutputValue<'a> {
    /// None.
    Absent,
    /// A time.
    Time(UnixNanos),
    /// Text.
    Text(&'a str),
    /// A price.
    Price(Price),
    /// A size or volume.
    Size(Size),
    /// A number.
    Integer(i64),
    /// True or false.
    Flag(bool),
    /// A canonical JSON array of codes.
    Codes(&'a str),
}

const fn required(name: &'static str, of: OutputType) -> OutputColumn {
    OutputColumn { name, of, required: true }
}

const fn optional(name: &'static str, of: OutputType) -> OutputColumn {
    OutputColumn { name, of, required: false }
}

const BARS: [OutputColumn; 14] = [
    required("start", OutputType::Start),
    required("symbol", OutputType::Text),
    required("feed", OutputType::Text),
    required("interval", OutputType::Text),
    required("open", OutputType::Decimal),
    required("high", OutputType::Decimal),
    required("low", OutputType::Decimal),
    required("close", OutputType::Decimal),
    required("volume", OutputType::Decimal),
    optional("vwap", OutputType::Average),
    required("trades", OutputType::Integer),
    required("revision", OutputType::Integer),
    required("final", OutputType::Flag),
    required("complete", OutputType::Flag),
];

const QUOTE_BARS: [OutputColumn; 17] = [
    required("start", OutputType::Start),
    required("symbol", OutputType::Text),
    required("feed", OutputType::Text),
    required("interval", OutputType::Text),
    optional("bid_open", OutputType::Decimal),
    optional("bid_high", OutputType::Decimal),
    optional("bid_low", OutputType::Decimal),
    optional("bid_close", OutputType::Decimal),
    optional("bid_size", OutputType::Decimal),
    optional("ask_open", OutputType::Decimal),
    optional("ask_high", OutputType::Decimal),
    optional("ask_low", OutputType::Decimal),
    optional("ask_close", OutputType::Decimal),
    optional("ask_size", OutputType::Decimal),
    required("revision", OutputType::Integer),
    required("final", OutputType::Flag),
    required("complete", OutputType::Flag),
];

const READING_BARS: [OutputColumn; 14] = [
    required("start", OutputType::Start),
    required("series", OutputType::Text),
    required("feed", OutputType::Text),
    required("interval", OutputType::Text),
    required("first", OutputType::Decimal),
    required("max", OutputType::Decimal),
    required("min", OutputType::Decimal),
    required("last", OutputType::Decimal),
    optional("sum", OutputType::Decimal),
    optional("mean", OutputType::Average),
    required("count", OutputType::Integer),
    required("revision", OutputType::Integer),
    required("final", OutputType::Flag),
    required("complete", OutputType::Flag),
];

/// The columns of records of a kind: those of its description.
#[must_use]
pub fn of_records(kind: Kind) -> &'static [OutputColumn] {
    static COLUMNS: [OnceLock<Vec<OutputColumn>>; Kind::COUNT] = [const { OnceLock::new() }; Kind::COUNT];
    COLUMNS[kind.index()].get_or_init(|| kind.table().shown_columns().map(column).collect())
}

fn column(column: &table::Column) -> OutputColumn {
    let of = match column.class {
        // Tags are the text of a JSON object.
        ColumnType::Text | ColumnType::Tags => OutputType::Text,
        ColumnType::Codes => OutputType::Codes,
        ColumnType::Integer | ColumnType::Small => OutputType::Integer,
        ColumnType::Decimal => OutputType::Decimal,
        ColumnType::Boolean => OutputType::Flag,
        ColumnType::Time => OutputType::Time,
    };
    OutputColumn { name: column.name, of, required: column.presence == Presence::Always }
}

/// The columns of the archive's files: those of the table in its order, then the position of the message on its topic.
///
/// Every reader supports their types: times are plain nanoseconds (`ts` becomes `ts_ns`), because Spark and Redshift have
/// no timestamp of that precision, and condition codes are the text of a JSON array.
#[must_use]
pub fn of_archive(kind: Kind) -> &'static [OutputColumn] {
    static COLUMNS: [OnceLock<Vec<OutputColumn>>; Kind::COUNT] = [const { OnceLock::new() }; Kind::COUNT];
    COLUMNS[kind.index()].get_or_init(|| {
        let of_table = kind.table().columns.iter().map(|column| {
            let (name, of) = match column.class {
                ColumnType::Time if column.name == "ts" => ("ts_ns", OutputType::Nanos),
                ColumnType::Time if column.name == "recv_ts" => ("recv_ns", OutputType::Nanos),
                ColumnType::Time => (column.name, OutputType::Nanos),
                ColumnType::Text | ColumnType::Tags | ColumnType::Codes => (column.name, OutputType::Text),
                ColumnType::Integer => (column.name, OutputType::Integer),
                ColumnType::Small => (column.name, OutputType::Small),
                ColumnType::Decimal => (column.name, OutputType::Decimal),
                ColumnType::Boolean => (column.name, OutputType::Flag),
            };
            OutputColumn { name, of, required: column.presence == Presence::Always }
        });
        of_table.chain(TOPIC).collect()
    })
}

/// Where the message of an archived record was: partition, offset, and timestamp in milliseconds since 1970.
pub const TOPIC: [OutputColumn; 3] = [
    required("topic_partition", OutputType::Small),
    required("topic_offset", OutputType::Integer),
    required("topic_ms", OutputType::Integer),
];

/// The columns of bars of a kind; none if it is not aggregated.
#[must_use]
pub fn of_bars(kind: Kind) -> &'static [OutputColumn] {
    match kind.bars() {
        Some(BarShape::Trades) => &BARS,
        Some(BarShape::Quotes) => &QUOTE_BARS,
        Some(BarShape::Readings) => &READING_BARS,
        None => &[],
    }
}

/// The values of a record, in the order of [`of_records`].
pub fn record<'a>(record: &Record<&'a str>, out: &mut Vec<OutputValue<'a>>) {
    out.clear();
    out.extend(record.kind().table().shown_columns().map(|column| value(column, (column.get)(record))));
}

/// The values of an archived record, in the order of [`of_archive`]: its own, then partition, offset and timestamp of its
/// message.
pub fn archived<'a>(record: &Record<&'a str>, message: [i64; 3], out: &mut Vec<OutputValue<'a>>) {
    out.clear();
    out.extend(record.kind().table().columns.iter().map(|column| {
        match value(column, (column.get)(record)) {
            OutputValue::Codes(array) => OutputValue::Text(array),
            other => other,
        }
    }));
    out.extend(message.map(OutputValue::Integer));
}

fn value<'a>(column: &table::Column, cell: Cell<'a>) -> OutputValue<'a> {
    match cell {
        Cell::Absent => OutputValue::Absent,
        Cell::Text("") | Cell::Integer(0) if column.presence == Presence::OrDefault => OutputValue::Absent,
        Cell::Text(array) if column.class == ColumnType::Codes => OutputValue::Codes(array),
        Cell::Text(text) => OutputValue::Text(text),
        Cell::Integer(value) => OutputValue::Integer(value),
        Cell::Decimal(raw) => OutputValue::Price(Price::from_raw(raw)),
        Cell::Boolean(value) => OutputValue::Flag(value),
        Cell::Time(time) => OutputValue::Time(time),
    }
}

/// The values of a bar, in the order of [`of_bars`]. `interval` is that of the bar, as text.
pub fn bar<'a>(bar: &'a Bar, interval: &'a str, out: &mut Vec<OutputValue<'a>>) {
    out.clear();
    out.extend([
        OutputValue::Time(bar.start),
        OutputValue::Text(&bar.symbol),
        OutputValue::Text(&bar.feed),
        OutputValue::Text(interval),
    ]);
    match &bar.values {
        Values::Trades(values) => {
            out.extend(values.ohlc.map(OutputValue::Price));
            out.push(OutputValue::Size(values.volume));
            out.push(values.vwap.map_or(OutputValue::Absent, OutputValue::Price));
            out.push(OutputValue::Integer(i64::try_from(values.trades).unwrap_or(i64::MAX)));
        }
        Values::Quotes(values) => {
            for side in [&values.bid, &values.ask] {
                match side {
                    Some((ohlc, size)) => {
                        out.extend(ohlc.map(OutputValue::Price));
                        out.push(OutputValue::Size(*size));
                    }
                    None => out.extend([OutputValue::Absent; 5]),
                }
            }
        }
        Values::Readings(values) => {
            out.extend(values.first_max_min_last.map(OutputValue::Price));
            out.push(values.sum.map_or(OutputValue::Absent, OutputValue::Price));
            out.push(values.mean().map_or(OutputValue::Absent, OutputValue::Price));
            out.push(OutputValue::Integer(i64::try_from(values.count).unwrap_or(i64::MAX)));
        }
        // Stores contain no bar without prices.
        Values::Empty => out.resize(of_bars(bar.kind).len().saturating_sub(3), OutputValue::Absent),
    }
    out.extend([
        OutputValue::Integer(i64::from(bar.revision)),
        OutputValue::Flag(bar.is_final),
        OutputValue::Flag(bar.complete),
    ]);
}
