//! The columns of trades, quotes and bars: one list each, for all formats (docs/exports.md).

use market::bar::{Bar, Values};
use market::{Kind, Price, Quote, QuoteSide, Record, Size, Trade, UnixNanos};

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

const TRADES: [Column; 14] = [
    required("ts", Type::Time),
    required("symbol", Type::Text),
    required("feed", Type::Text),
    required("venue", Type::Text),
    required("price", Type::Decimal),
    required("size", Type::Decimal),
    optional("side", Type::Text),
    required("conditions", Type::Codes),
    optional("tape", Type::Text),
    required("id", Type::Text),
    optional("seq", Type::Integer),
    required("recv_ts", Type::Time),
    required("revision", Type::Integer),
    required("canceled", Type::Flag),
];

const QUOTES: [Column; 12] = [
    required("ts", Type::Time),
    required("symbol", Type::Text),
    required("feed", Type::Text),
    optional("bid", Type::Decimal),
    optional("bid_size", Type::Decimal),
    optional("bid_venue", Type::Text),
    optional("ask", Type::Decimal),
    optional("ask_size", Type::Decimal),
    optional("ask_venue", Type::Text),
    required("conditions", Type::Codes),
    required("seq", Type::Integer),
    required("recv_ts", Type::Time),
];

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

/// The columns of trades or quotes.
pub(crate) fn of_records(kind: Kind) -> &'static [Column] {
    match kind {
        Kind::Trade => &TRADES,
        Kind::Quote => &QUOTES,
    }
}

/// The columns of bars of trades or of quotes.
pub(crate) fn of_bars(kind: Kind) -> &'static [Column] {
    match kind {
        Kind::Trade => &BARS,
        Kind::Quote => &QUOTE_BARS,
    }
}

fn text_or_absent(text: &str) -> Value<'_> {
    if text.is_empty() { Value::Absent } else { Value::Text(text) }
}

/// The values of a record, in the order of [`of_records`].
pub(crate) fn record<'a>(record: &Record<&'a str>, out: &mut Vec<Value<'a>>) {
    out.clear();
    match record {
        Record::Trade(trade) => self::trade(trade, out),
        Record::Quote(quote) => self::quote(quote, out),
    }
}

fn trade<'a>(trade: &Trade<&'a str>, out: &mut Vec<Value<'a>>) {
    out.extend([
        Value::Time(trade.ts),
        Value::Text(trade.symbol),
        Value::Text(trade.feed),
        Value::Text(trade.venue),
        Value::Price(trade.price),
        Value::Size(trade.size),
        text_or_absent(trade.side.name()),
        Value::Codes(trade.conditions),
        text_or_absent(trade.tape),
        Value::Text(trade.id),
        // 0 means that the feed has no sequence numbers.
        if trade.seq == 0 { Value::Absent } else { Value::Integer(trade.seq) },
        Value::Time(trade.recv_ts),
        Value::Integer(i64::from(trade.revision)),
        Value::Flag(trade.canceled),
    ]);
}

fn quote<'a>(quote: &Quote<&'a str>, out: &mut Vec<Value<'a>>) {
    let side = |side: &Option<QuoteSide<&'a str>>| match side {
        Some(side) => [Value::Price(side.price), Value::Size(side.size), Value::Text(side.venue)],
        None => [Value::Absent; 3],
    };
    out.extend([Value::Time(quote.ts), Value::Text(quote.symbol), Value::Text(quote.feed)]);
    out.extend(side(&quote.bid));
    out.extend(side(&quote.ask));
    out.extend([Value::Codes(quote.conditions), Value::Integer(quote.seq), Value::Time(quote.recv_ts)]);
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
        // Stores contain no bar without prices.
        Values::Empty => out.resize(of_bars(bar.kind).len() - 3, Value::Absent),
    }
    out.extend([
        Value::Integer(i64::from(bar.revision)),
        Value::Flag(bar.is_final),
        Value::Flag(bar.complete),
    ]);
}
