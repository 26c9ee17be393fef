//! Any other JSON form of a record, as other producers write it: another order, spaces, escapes, bare numbers.

use super::cursor::DecodeError;
use crate::reading::{self, Reading, ReadingValue, ValueType};
use crate::record::{Quote, QuoteSide, Record, Side, Trade};
use crate::{Kind, Price, Size, UnixNanos};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LooseTrade<'a> {
    #[serde(borrow)]
    symbol: Cow<'a, str>,
    #[serde(borrow)]
    feed: Cow<'a, str>,
    #[serde(borrow)]
    venue: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    ts: i64,
    recv_ts: i64,
    #[serde(borrow)]
    price: &'a RawValue,
    #[serde(borrow)]
    size: &'a RawValue,
    #[serde(default)]
    side: String,
    conditions: Vec<String>,
    #[serde(default)]
    tape: String,
    #[serde(default)]
    seq: i64,
    #[serde(default)]
    revision: u32,
    #[serde(default)]
    canceled: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LooseQuote<'a> {
    #[serde(borrow)]
    symbol: Cow<'a, str>,
    #[serde(borrow)]
    feed: Cow<'a, str>,
    seq: i64,
    ts: i64,
    recv_ts: i64,
    #[serde(borrow)]
    bid: Option<&'a RawValue>,
    #[serde(borrow)]
    bid_size: Option<&'a RawValue>,
    bid_venue: Option<String>,
    #[serde(borrow)]
    ask: Option<&'a RawValue>,
    #[serde(borrow)]
    ask_size: Option<&'a RawValue>,
    ask_venue: Option<String>,
    conditions: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LooseReading<'a> {
    #[serde(borrow)]
    series: Cow<'a, str>,
    #[serde(borrow)]
    feed: Cow<'a, str>,
    seq: Option<i64>,
    ts: i64,
    recv_ts: i64,
    #[serde(default, rename = "type")]
    class: Option<String>,
    #[serde(borrow)]
    value: &'a RawValue,
    #[serde(default)]
    unit: String,
    #[serde(default)]
    quality: String,
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

pub(super) fn number(field: &str, raw: &RawValue) -> Result<i128, DecodeError> {
    let text = raw.get().trim_matches('"');
    crate::fixed::parse_number(text.as_bytes())
        .map_err(|error| DecodeError(format!("{field} `{text}`: {error}")))
}

pub(super) fn plain(field: &str, text: &str) -> Result<(), DecodeError> {
    match text.chars().find(|c| matches!(c, '"' | '\\' | '\0'..='\x1f')) {
        Some(c) => Err(DecodeError(format!(
            "{field} {text:?} contains {c:?}, which is not allowed in names and codes"
        ))),
        None => Ok(()),
    }
}

pub(super) fn array(codes: &[String]) -> Result<String, DecodeError> {
    for code in codes {
        plain("condition", code)?;
    }
    Ok(if codes.is_empty() { "[]".to_owned() } else { format!("[\"{}\"]", codes.join("\",\"")) })
}

fn side(
    name: &str,
    price: Option<&RawValue>,
    size: Option<&RawValue>,
    venue: Option<String>,
) -> Result<Option<QuoteSide<String>>, DecodeError> {
    let (price, size, venue) = match (price, size, venue) {
        (None, None, None) => return Ok(None),
        (Some(price), Some(size), Some(venue)) => (price, size, venue),
        _ => return Err(DecodeError(format!("{name} needs all of {name}, {name}_size and {name}_venue"))),
    };
    plain(name, &venue)?;
    Ok(Some(QuoteSide {
        price: Price::from_raw(number(name, price)?),
        size: Size::from_raw(number(name, size)?),
        venue,
    }))
}

fn loose_trade(loose: LooseTrade<'_>) -> Result<Trade<String>, DecodeError> {
    for (field, text) in [
        ("symbol", &*loose.symbol),
        ("feed", &*loose.feed),
        ("venue", &*loose.venue),
        ("id", &*loose.id),
        ("tape", &*loose.tape),
    ] {
        plain(field, text)?;
    }
    Ok(Trade {
        price: Price::from_raw(number("price", loose.price)?),
        size: Size::from_raw(number("size", loose.size)?),
        side: Side::from_name(&loose.side)
            .ok_or_else(|| DecodeError(format!("side {:?}: expected \"buy\" or \"sell\"", loose.side)))?,
        conditions: array(&loose.conditions)?,
        symbol: loose.symbol.into_owned(),
        feed: loose.feed.into_owned(),
        venue: loose.venue.into_owned(),
        id: loose.id.into_owned(),
        ts: UnixNanos(loose.ts),
        recv_ts: UnixNanos(loose.recv_ts),
        tape: loose.tape,
        seq: loose.seq,
        revision: loose.revision,
        canceled: loose.canceled,
    })
}

fn loose_quote(loose: LooseQuote<'_>) -> Result<Quote<String>, DecodeError> {
    plain("symbol", &loose.symbol)?;
    plain("feed", &loose.feed)?;
    Ok(Quote {
        bid: side("bid", loose.bid, loose.bid_size, loose.bid_venue)?,
        ask: side("ask", loose.ask, loose.ask_size, loose.ask_venue)?,
        conditions: array(&loose.conditions)?,
        symbol: loose.symbol.into_owned(),
        feed: loose.feed.into_owned(),
        seq: loose.seq,
        ts: UnixNanos(loose.ts),
        recv_ts: UnixNanos(loose.recv_ts),
    })
}

/// A JSON scalar as a value: of the type that is named, else of the one that it has in JSON.
///
/// # Errors
/// It is not a scalar, or not a value of the type.
pub fn value(class: Option<ValueType>, raw: &RawValue) -> Result<ReadingValue<String>, DecodeError> {
    let bad = |reason: String| DecodeError(format!("value: {reason}"));
    let json = raw.get();
    let (text, found): (Cow<'_, str>, ValueType) = match json.as_bytes().first() {
        Some(b'"') => {
            let text: String = serde_json::from_str(json).map_err(|error| bad(error.to_string()))?;
            (text.into(), ValueType::Text)
        }
        Some(b't' | b'f') => (json.into(), ValueType::Boolean),
        Some(b'-' | b'0'..=b'9') => (json.into(), ValueType::guess(json)),
        _ => return Err(bad(format!("expected a number, a text, true or false, found {json}"))),
    };
    let class = class.unwrap_or(found);
    let text = class.canonical(&text).map_err(|error| bad(error.to_string()))?;
    Ok(ReadingValue { class, text })
}

fn loose_reading(loose: LooseReading<'_>) -> Result<Reading<String>, DecodeError> {
    let texts = [
        ("series", &*loose.series),
        ("feed", &*loose.feed),
        ("unit", loose.unit.as_str()),
        ("quality", loose.quality.as_str()),
    ];
    for (field, text) in texts {
        plain(field, text)?;
    }
    let class = loose.class.as_deref().map(|name| {
        ValueType::from_name(name).ok_or_else(|| {
            let known = ValueType::ALL.map(ValueType::name).join(", ");
            DecodeError(format!("type {name:?}: expected one of {known}"))
        })
    });
    let tags = loose.tags.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let mut reading = Reading {
        series: loose.series.into_owned(),
        feed: loose.feed.into_owned(),
        seq: loose.seq.unwrap_or(0),
        ts: UnixNanos(loose.ts),
        recv_ts: UnixNanos(loose.recv_ts),
        value: value(class.transpose()?, loose.value)?,
        unit: loose.unit,
        quality: loose.quality,
        tags: reading::tags(tags).map_err(DecodeError)?,
    };
    if loose.seq.is_none() {
        reading.seq = reading::minted_seq(&reading);
    }
    Ok(reading)
}

/// A record of a kind with a type of its own.
pub(super) fn record(kind: Kind, text: &str) -> Result<Record<String>, DecodeError> {
    let bad = |error: serde_json::Error| DecodeError(format!("not a {kind}: {error}"));
    let record = match kind {
        Kind::TRADE => Record::Trade(loose_trade(serde_json::from_str(text).map_err(bad)?)?),
        Kind::QUOTE => Record::Quote(loose_quote(serde_json::from_str(text).map_err(bad)?)?),
        Kind::READING => Record::Reading(loose_reading(serde_json::from_str(text).map_err(bad)?)?),
        _ => return Err(DecodeError(format!("unknown record kind `{kind}`"))),
    };
    if record.symbol().is_empty() {
        return Err(DecodeError(format!("{} is empty", kind.table().partition())));
    }
    record.check().map_err(|error| DecodeError(error.to_string()))?;
    Ok(record)
}
