//! Bars as JSON: the messages of the bars topic, and what `query bars --format json` prints.
//!
//! ```text
//! {"symbol":"SPY","feed":"lean.sip","kind":"trade","interval":"1m","start":"2013-10-08T13:30:00Z",
//!  "open":"167.4","high":"167.52","low":"167.4","close":"167.5","volume":"525557","vwap":"167.44…","trades":2031,
//!  "late":0,"revision":0,"final":true,"complete":true}
//! {… "kind":"quote" … "bid_open":…,"bid_high":…,"bid_low":…,"bid_close":…,"bid_size":…, the same with ask_ …}
//! {… "kind":"reading" … "first":"21.5","max":"21.7","min":"21.4","last":"21.6","sum":"86.2","mean":"21.55","count":4, …}
//! ```
//! Prices, sizes and volume are exact decimals in strings; numbers that do not apply are omitted. A bar whose
//! prints were all canceled has no prices: it is to be deleted.

use crate::bar::{Bar, QuoteValues, ReadingValues, TradeValues, Values};
use crate::kind::BarShape;
use crate::{Kind, Price, Size, UnixNanos};
use serde_json::{Map, Value};

const OHLC: [&str; 4] = ["open", "high", "low", "close"];
const READING: [&str; 4] = ["first", "max", "min", "last"];

/// Message key of a bar: the same for all of its revisions, so that the topic can be compacted.
#[must_use]
pub fn key(bar: &Bar) -> String {
    format!("{}|{}|{}|{}|{}", bar.symbol, bar.feed, bar.kind.name(), bar.interval, bar.start)
}

/// Encodes a bar as a JSON object.
#[must_use]
pub fn to_json(bar: &Bar) -> Map<String, Value> {
    let mut map = Map::new();
    let mut text = |name: &str, value: String| {
        map.insert(name.to_owned(), Value::String(value));
    };
    text("symbol", bar.symbol.clone());
    text("feed", bar.feed.clone());
    text("kind", bar.kind.name().to_owned());
    text("interval", bar.interval.to_string());
    text("start", bar.start.to_string());
    match &bar.values {
        Values::Trades(trades) => {
            OHLC.iter().zip(trades.ohlc).for_each(|(name, price)| text(name, price.to_string()));
            text("volume", trades.volume.to_string());
            if let Some(vwap) = trades.vwap {
                text("vwap", vwap.to_string());
            }
        }
        Values::Quotes(quotes) => {
            for (side, values) in [("bid", &quotes.bid), ("ask", &quotes.ask)] {
                let Some((ohlc, size)) = values else { continue };
                OHLC.iter()
                    .zip(ohlc)
                    .for_each(|(name, price)| text(&format!("{side}_{name}"), price.to_string()));
                text(&format!("{side}_size"), size.to_string());
            }
        }
        Values::Readings(readings) => {
            let values = readings.first_max_min_last;
            READING.iter().zip(values).for_each(|(name, value)| text(name, value.to_string()));
            for (name, value) in [("sum", readings.sum), ("mean", readings.mean())] {
                if let Some(value) = value {
                    text(name, value.to_string());
                }
            }
        }
        Values::Empty => {}
    }
    match &bar.values {
        Values::Trades(trades) => drop(map.insert("trades".to_owned(), trades.trades.into())),
        Values::Readings(readings) => drop(map.insert("count".to_owned(), readings.count.into())),
        Values::Quotes(_) | Values::Empty => {}
    }
    map.insert("late".to_owned(), bar.late.into());
    map.insert("revision".to_owned(), bar.revision.into());
    map.insert("final".to_owned(), bar.is_final.into());
    map.insert("complete".to_owned(), bar.complete.into());
    map
}

/// Decodes a message of the bars topic.
///
/// # Errors
/// Names the missing or invalid field.
pub fn from_json(bytes: &[u8]) -> Result<Bar, String> {
    let map: Map<String, Value> =
        serde_json::from_slice(bytes).map_err(|error| format!("not a bar: {error}"))?;
    let fail = |name: &str| format!("not a bar: `{name}` is missing or invalid");
    let text = |name: &str| map.get(name).and_then(Value::as_str).ok_or_else(|| fail(name));
    let price = |name: &str| Price::parse(text(name)?.as_bytes()).map_err(|_| fail(name));
    let number = |name: &str| map.get(name).and_then(Value::as_u64).ok_or_else(|| fail(name));
    let small = |name: &str| number(name).and_then(|n| u32::try_from(n).map_err(|_| fail(name)));
    let flag = |name: &str| map.get(name).and_then(Value::as_bool).ok_or_else(|| fail(name));
    let side = |side: &str| -> Result<Option<([Price; 4], Size)>, String> {
        if !map.contains_key(&format!("{side}_open")) {
            return Ok(None);
        }
        let mut ohlc = [Price::ZERO; 4];
        for (slot, name) in ohlc.iter_mut().zip(OHLC) {
            *slot = price(&format!("{side}_{name}"))?;
        }
        let name = format!("{side}_size");
        Ok(Some((ohlc, Size::parse(text(&name)?.as_bytes()).map_err(|_| fail(&name))?)))
    };
    let kind: Kind = text("kind")?.parse()?;
    let shape = kind.bars().ok_or_else(|| fail("kind"))?;
    let values = match shape {
        BarShape::Trades if !map.contains_key("open") => Values::Empty,
        BarShape::Trades => Values::Trades(TradeValues {
            ohlc: [price("open")?, price("high")?, price("low")?, price("close")?],
            volume: Size::parse(text("volume")?.as_bytes()).map_err(|_| fail("volume"))?,
            vwap: map.contains_key("vwap").then(|| price("vwap")).transpose()?,
            trades: number("trades")?,
        }),
        BarShape::Quotes => match (side("bid")?, side("ask")?) {
            (None, None) => Values::Empty,
            (bid, ask) => Values::Quotes(QuoteValues { bid, ask }),
        },
        BarShape::Readings if !map.contains_key("first") => Values::Empty,
        // The mean follows from sum and count.
        BarShape::Readings => Values::Readings(ReadingValues {
            first_max_min_last: [price("first")?, price("max")?, price("min")?, price("last")?],
            sum: map.contains_key("sum").then(|| price("sum")).transpose()?,
            count: number("count")?,
        }),
    };
    Ok(Bar {
        kind,
        symbol: text("symbol")?.to_owned(),
        feed: text("feed")?.to_owned(),
        interval: text("interval")?.parse()?,
        start: UnixNanos::parse(text("start")?).map_err(|error| error.to_string())?,
        values,
        late: small("late")?,
        revision: small("revision")?,
        is_final: flag("final")?,
        complete: flag("complete")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Other programs read this format: it must not change without a new schema version.
    #[test]
    fn bars_have_one_form() {
        let lines = [
            r#"{"symbol":"SPY","feed":"lean.sip","kind":"trade","interval":"1m","start":"2013-10-08T13:30:00Z","open":"167.4","high":"167.52","low":"167.4","close":"167.5","volume":"525557","vwap":"167.441234567","trades":2031,"late":1,"revision":2,"final":true,"complete":true}"#,
            r#"{"symbol":"BTC/USD","feed":"kraken","kind":"quote","interval":"1s","start":"2013-10-08T13:30:00Z","bid_open":"1","bid_high":"2","bid_low":"0.5","bid_close":"1.5","bid_size":"0.001","late":0,"revision":0,"final":false,"complete":false}"#,
            r#"{"symbol":"boiler.temperature","feed":"mqtt","kind":"reading","interval":"1m","start":"2013-10-08T13:30:00Z","first":"-1","max":"2","min":"-1","last":"0.5","sum":"1.5","mean":"0.5","count":3,"late":0,"revision":0,"final":true,"complete":true}"#,
            r#"{"symbol":"X","feed":"f","kind":"trade","interval":"1d","start":"2013-10-08T04:00:00Z","late":0,"revision":1,"final":false,"complete":true}"#,
        ];
        for line in lines {
            let bar = from_json(line.as_bytes()).unwrap();
            let value: Value = serde_json::from_str(line).unwrap();
            assert_eq!(Value::Object(to_json(&bar)), value);
            assert_eq!(from_json(Value::Object(to_json(&bar)).to_string().as_bytes()).unwrap(), bar);
        }
        assert_eq!(
            key(&from_json(lines[0].as_bytes()).unwrap()),
            "SPY|lean.sip|trade|1m|2013-10-08T13:30:00Z"
        );
        for (from, to, part) in [
            ("\"167.52\"", "167.52", "`high`"),
            ("true", "1", "`final`"),
            ("1m", "7m", "divide"),
            ("{", "", "not a bar"),
        ] {
            let error = from_json(lines[0].replacen(from, to, 1).as_bytes()).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
