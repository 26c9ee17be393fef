//! Replies of all vendors: what a request gets, and how the values of its rows are read.

use crate::bar::{Bar, TradeValues, Values};
use crate::fixed::{self, FixedError};
use crate::interval::Interval;
use crate::{Kind, Price, Size, UnixNanos};
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use serde_json::Value;

/// The request that a reply belongs to.
#[derive(Debug, Clone, Copy)]
pub struct PendingRequest<'a> {
    /// Symbol of the bars.
    pub symbol: &'a str,
    /// Feed label of the bars.
    pub feed: &'a str,
    /// Interval of the bars.
    pub interval: Interval,
    /// Bars that ended before this time are final.
    pub settled: UnixNanos,
}

/// Bars of a reply.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reply {
    /// In the vendor's order.
    pub bars: Vec<Bar>,
    /// Rows that are not bars: reason and text.
    pub wrong: Vec<(String, String)>,
    /// How to request the rest of the span, if there is more.
    pub next: Option<NextPage>,
}

/// How to request the rest of a span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextPage {
    /// The same request with this `page_token`.
    Token(String),
    /// A request to this address.
    Url(String),
}

/// Why a reply has no bars.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// Rate limited: a later request may succeed.
    Later(String),
    /// This symbol is unknown or delisted; others are not affected.
    Symbol(String),
    /// Rejected because of the key or the plan: a retry does not help.
    Never(String),
    /// The reply is not one of this vendor.
    Unreadable(String),
}

/// The numbers of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::codec) struct Row {
    pub(in crate::codec) start: i64,
    /// Open, high, low, close.
    pub(in crate::codec) ohlc: [Price; 4],
    pub(in crate::codec) volume: Size,
    pub(in crate::codec) vwap: Option<Price>,
    pub(in crate::codec) trades: u64,
}

impl Reply {
    /// Adds a row to the bars.
    pub(super) fn put(
        &mut self,
        request: &PendingRequest<'_>,
        row: Result<Row, String>,
        raw: &dyn Fn() -> String,
    ) {
        match row.and_then(|row| make(request, &row)) {
            Ok(bar) => self.bars.push(bar),
            Err(reason) => self.wrong.push((reason, raw())),
        }
    }
}

pub(in crate::codec) fn make(request: &PendingRequest<'_>, row: &Row) -> Result<Bar, String> {
    let [open, high, low, close] = row.ohlc;
    if low > open.min(close) || high < open.max(close) || row.volume < Size::ZERO {
        return Err(format!("no bar: open {open} high {high} low {low} close {close}"));
    }
    const DAY: i64 = 24 * 3_600 * crate::interval::SECOND;
    let end = row.start.saturating_add(request.interval.nanos().unwrap_or(DAY));
    Ok(Bar {
        kind: Kind::TRADE,
        symbol: request.symbol.to_owned(),
        feed: request.feed.to_owned(),
        interval: request.interval,
        start: UnixNanos(row.start),
        values: Values::Trades(TradeValues {
            ohlc: row.ohlc,
            volume: row.volume,
            vwap: row.vwap,
            trades: row.trades,
        }),
        late: 0,
        revision: 0,
        is_final: end <= request.settled.0,
        complete: true,
    })
}

/// Raw value of a number. Doubles have no digits beyond the shortest that identify them; finer ones are
/// rounded.
fn decimal(value: &Value, name: &str) -> Result<i128, String> {
    let text = match value {
        Value::String(text) => text.clone(),
        // Shortest digits that identify this number.
        Value::Number(number) => number.to_string(),
        Value::Null => return Err(format!("no `{name}`")),
        other => return Err(format!("`{name}`: expected a number, found {other}")),
    };
    fixed::parse_number(text.as_bytes())
        .or_else(|error| match (error, text.parse::<f64>()) {
            (FixedError::TooFine, Ok(float)) => fixed::parse(format!("{float:.18}").as_bytes()),
            _ => Err(error),
        })
        .map_err(|error| format!("`{name}` {text}: {error}"))
}

pub(in crate::codec) fn price(value: &Value, name: &str) -> Result<Price, String> {
    decimal(value, name).map(Price::from_raw)
}

pub(super) fn volume(value: &Value, name: &str) -> Result<Size, String> {
    decimal(value, name).map(Size::from_raw)
}

/// Open, high, low and close under these names.
pub(super) fn ohlc(row: &Value, names: [&str; 4]) -> Result<[Price; 4], String> {
    let mut out = [Price::ZERO; 4];
    for (slot, name) in out.iter_mut().zip(names) {
        *slot = price(&row[name], name)?;
    }
    Ok(out)
}

/// A row with single-letter names: Alpaca's and Massive's, from REST and streams.
pub(in crate::codec) fn short(row: &Value, start: i64) -> Result<Row, String> {
    Ok(Row {
        start,
        ohlc: ohlc(row, ["o", "h", "l", "c"])?,
        // The fractional volume is given next to the whole one.
        volume: match &row["dv"] {
            Value::Null => volume(&row["v"], "v")?,
            exact => volume(exact, "dv")?,
        },
        vwap: match &row["vw"] {
            Value::Null => None,
            vwap => Some(price(vwap, "vw")?),
        },
        trades: row["n"].as_u64().unwrap_or(0),
    })
}

/// The time of `2021-08-26 15:59:00` or `2021-08-26` in a time zone.
pub(super) fn local(text: &str, zone: &TimeZone) -> Result<i64, String> {
    let fail = |error: jiff::Error| format!("`{text}` is not a time: {error}");
    let civil = if text.len() == 10 {
        text.parse::<Date>().map_err(fail)?.at(0, 0, 0, 0)
    } else {
        text.parse::<DateTime>().map_err(fail)?
    };
    let stamp = zone.to_timestamp(civil).map_err(fail)?;
    i64::try_from(stamp.as_nanosecond()).map_err(|_| format!("`{text}` is out of range"))
}

pub(super) fn zone(name: &str) -> Result<TimeZone, Refused> {
    TimeZone::get(name).map_err(|error| Refused::Unreadable(format!("time zone `{name}`: {error}")))
}
