//! `/v8/finance/chart/SPY`:
//! `{"chart":{"result":[{"meta":{"exchangeTimezoneName":"America/New_York"},"timestamp":[s],
//! "indicators":{"quote":[{"open":[],"high":[],"low":[],"close":[],"volume":[]}]}}],"error":null}}`.
//! Intervals without trades have null numbers. Prices are 32-bit floats printed with the digits of 64 bits:
//! the shortest digits of the 32-bit float are used.

use super::reply::{PendingRequest, Refused, Reply, Row, volume, zone};
use crate::bar::{Bar, Values};
use crate::interval::MINUTE;
use crate::{Price, Size};
use jiff::Timestamp;
use serde_json::Value;

pub(super) fn read(value: &Value, request: &PendingRequest<'_>) -> Result<Reply, Refused> {
    let chart = &value["chart"];
    if let Some(error) = chart["error"].as_object() {
        let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
        let reason = format!("{}: {}", text("code"), text("description"));
        return Err(if text("code") == "Not Found" {
            Refused::Symbol(reason)
        } else {
            Refused::Never(reason)
        });
    }
    let result =
        chart["result"].get(0).ok_or_else(|| Refused::Unreadable("missing `chart.result`".to_owned()))?;
    let zone = zone(result["meta"]["exchangeTimezoneName"].as_str().unwrap_or("UTC"))?;
    let quote = &result["indicators"]["quote"][0];
    let length = request.interval.nanos();
    let mut reply = Reply::default();
    for (n, second) in result["timestamp"].as_array().into_iter().flatten().enumerate() {
        let row = ["open", "high", "low", "close", "volume"].map(|name| &quote[name][n]);
        if row[..4].iter().all(|value| value.is_null()) {
            continue;
        }
        let read = || {
            let seconds = second.as_i64().ok_or("`timestamp`: expected a number")?;
            let mut start = seconds.checked_mul(1_000_000_000).ok_or("`timestamp` is out of range")?;
            if request.interval.is_day() {
                let stamp = Timestamp::from_second(seconds).map_err(|error| error.to_string())?;
                let midnight =
                    stamp.to_zoned(zone.clone()).start_of_day().map_err(|error| error.to_string())?;
                start = midnight.timestamp().as_nanosecond().try_into().map_err(|_| "out of range")?;
            }
            if let Some(length) = length {
                start = start_of_bar(start, length, reply.bars.last());
            }
            let mut ohlc = [Price::ZERO; 4];
            for ((slot, value), name) in ohlc.iter_mut().zip(row).zip(["open", "high", "low", "close"]) {
                let float = value.as_f64().ok_or_else(|| format!("`{name}`: expected a number"))?;
                let text = digits(float);
                *slot = Price::parse(text.as_bytes()).map_err(|error| format!("`{name}` {text}: {error}"))?;
            }
            let volume = if row[4].is_null() { Size::ZERO } else { volume(row[4], "volume")? };
            Ok::<_, String>(Row { start, ohlc, volume, vwap: None, trades: 0 })
        };
        reply.put(request, read(), &|| format!("{second} {row:?}"));
        if let [.., before, live] = &reply.bars[..]
            && before.start == live.start
        {
            let joined = join(before, live);
            reply.bars.truncate(reply.bars.len() - 2);
            reply.bars.push(joined);
        }
    }
    Ok(reply)
}

/// Start of the bar that a row belongs to. The last row may be live: its time is that of the last trade, within a bar
/// that has a row of its own, or none yet. Bars of an hour begin at full hours before and after the session, and half
/// past within it, so a row half an hour after another is not live.
fn start_of_bar(time: i64, length: i64, before: Option<&Bar>) -> i64 {
    if time.rem_euclid(length.min(30 * MINUTE)) == 0 {
        return time;
    }
    match before.map(|bar| time.saturating_sub(bar.start.0)) {
        Some(since @ 0..) => time - since % length,
        _ => time - time.rem_euclid(MINUTE),
    }
}

/// The shortest digits of a 32-bit float, `170.36` for 170.36000061035156; any other number as written.
fn digits(float: f64) -> String {
    let short = float as f32;
    if f64::from(short) == float { short.to_string() } else { float.to_string() }
}

/// A bar and the live row that updates it. The row's volume is the whole bar's, or 0.
fn join(bar: &Bar, live: &Bar) -> Bar {
    let mut out = bar.clone();
    if let (Values::Trades(values), Values::Trades(live)) = (&mut out.values, &live.values) {
        let [open, high, low, _] = values.ohlc;
        let [_, live_high, live_low, close] = live.ohlc;
        values.ohlc = [open, high.max(live_high), low.min(live_low), close];
        values.volume = values.volume.max(live.volume);
    }
    out
}
