//! Bars of the tape, for vendors that offer them over REST; built on first request. The whole tape is
//! available at once: no stream sets a clock.

use super::shared::{Made, Shared};
use super::vendor_api::{Refused, Request};
use market::bar::{Aggregator, Bar, StreamPosition, TradeValues, Values};
use market::interval::Interval;
use market::{Kind, UnixNanos};
use serde_json::{Map, Value, json};

/// Builds the bars of a tape.
pub(super) fn make(shared: &Shared) -> Made {
    let mut aggregator = Aggregator::new(shared.bars.clone());
    let mut made = Made::new();
    for (position, item) in shared.items.iter().enumerate().filter(|(_, item)| item.kind == Kind::TRADE) {
        let place = StreamPosition { position: position as u64, stamp_ms: item.ts / 1_000_000 };
        item.read(|record| aggregator.add(record, place));
    }
    aggregator.finish(&mut |bar: Bar| {
        if let Values::Trades(values) = bar.values {
            made.insert((bar.symbol, bar.interval, bar.start.0), values);
        }
    });
    made
}

/// Bars of a symbol that start between two times, both included.
pub(super) fn between<'a>(
    shared: &'a Shared,
    symbol: &str,
    interval: Interval,
    from: i64,
    to: i64,
) -> impl DoubleEndedIterator<Item = (UnixNanos, &'a TradeValues)> {
    let made = shared.made.get_or_init(|| make(shared));
    let key = |ts: i64| (symbol.to_owned(), interval, ts);
    made.range(key(from)..=key(to.max(from))).map(|((.., start), values)| (UnixNanos(*start), values))
}

/// Whether the tape has a symbol.
pub(super) fn knows(shared: &Shared, symbol: &str) -> bool {
    shared.symbols.iter().any(|known| known == symbol)
}

/// An interval by a vendor's name for it.
pub(super) fn interval(word: &str, words: &[(&str, &str)]) -> Result<Interval, Refused> {
    let found = words.iter().find(|(theirs, _)| *theirs == word).and_then(|(_, ours)| ours.parse().ok());
    found.ok_or_else(|| (400, format!("invalid interval {word}")))
}

fn number(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// As JSON numbers: open, high, low, close.
pub(super) fn ohlc(values: &TradeValues) -> [Value; 4] {
    values.ohlc.map(|price| number(&price.to_string()))
}

pub(super) fn volume(values: &TradeValues) -> Value {
    number(&values.volume.to_string())
}

/// The members that stream and history share.
pub(super) fn short(start: &Value, values: &TradeValues) -> Value {
    let [o, h, l, c] = ohlc(values);
    let mut row =
        json!({"t": start, "o": o, "h": h, "l": l, "c": c, "v": volume(values), "n": values.trades});
    if let Some(vwap) = values.vwap {
        row["vw"] = number(&vwap.to_string());
    }
    row
}

/// Alpaca's `/v2/stocks/bars`: pages by symbol in order, then time.
pub(super) fn alpaca(shared: &Shared, request: &Request<'_>) -> Result<String, Refused> {
    let words = [("1Min", "1m"), ("5Min", "5m"), ("15Min", "15m"), ("1Hour", "1h"), ("1Day", "1d")];
    let interval = interval(request.text("timeframe").unwrap_or_default(), &words)?;
    let time = |name: &str, or: i64| match request.text(name) {
        Some(text) => UnixNanos::parse(text).map(|ts| ts.0).map_err(|_| (400, format!("invalid {name}"))),
        None => Ok(or),
    };
    let (start, end) = (time("start", i64::MIN)?, time("end", i64::MAX)?);
    let limit = request.number("limit", 1_000_usize)?.clamp(1, 10_000);
    let skip = request.number("page_token", 0_usize)?;
    let mut symbols: Vec<&str> =
        request.text("symbols").unwrap_or_default().split(',').filter(|s| !s.is_empty()).collect();
    symbols.sort_unstable();
    let rows = symbols
        .iter()
        .flat_map(|symbol| between(shared, symbol, interval, start, end).map(move |row| (*symbol, row)));
    let mut rows = rows.skip(skip).peekable();
    let (mut bars, mut taken) = (Map::new(), 0);
    for (symbol, (at, values)) in rows.by_ref().take(limit) {
        let list = bars.entry(symbol).or_insert_with(|| json!([]));
        if let Some(list) = list.as_array_mut() {
            list.push(short(&at.to_string().into(), values));
        }
        taken += 1;
    }
    let next = rows.peek().map(|_| (skip + taken).to_string());
    Ok(json!({"bars": bars, "next_page_token": next}).to_string())
}

/// Massive's `/v2/aggs/ticker/SYMBOL/range/1/minute/FROM/TO`.
pub(super) fn massive(shared: &Shared, request: &Request<'_>) -> Result<String, Refused> {
    let parts: Vec<&str> = request.path.split('/').skip(4).collect();
    let [symbol, "range", count, unit, from, to] = parts[..] else {
        return Err((404, "not found".to_owned()));
    };
    let words =
        [("1/minute", "1m"), ("5/minute", "5m"), ("15/minute", "15m"), ("1/hour", "1h"), ("1/day", "1d")];
    let interval = interval(&format!("{count}/{unit}"), &words)?;
    let time = |text: &str| match text.parse::<i64>() {
        Ok(ms) => Ok(ms.saturating_mul(1_000_000)),
        Err(_) => UnixNanos::parse(text).map(|ts| ts.0).map_err(|_| (400, format!("invalid time {text}"))),
    };
    let limit = request.number("limit", 5_000_usize)?.clamp(1, 50_000);
    let mut rows: Vec<Value> = between(shared, symbol, interval, time(from)?, time(to)?)
        .take(limit)
        .map(|(at, values)| short(&at.millis().into(), values))
        .collect();
    if request.text("sort") == Some("desc") {
        rows.reverse();
    }
    let count = rows.len();
    Ok(json!({
        "ticker": symbol, "queryCount": count, "resultsCount": count, "adjusted": false, "results": rows,
        "status": "OK", "request_id": "simulated", "count": count,
    })
    .to_string())
}
