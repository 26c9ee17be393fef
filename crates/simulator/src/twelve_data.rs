//! Simulates Twelve Data's REST API: errors with HTTP 200, numbers as text, exchange-local time.

use super::vendor_api::{Refused, Request, VendorApi};
use super::{Shared, bars};
use serde_json::{Value, json};

#[derive(Debug)]
pub(super) struct TwelveData;

const ZONE: &str = "America/New_York";

impl VendorApi for TwelveData {
    fn history(&self, shared: &Shared, request: &Request<'_>) -> Result<String, Refused> {
        let text = |name: &str| request.text(name).unwrap_or_default();
        let refuse =
            |code: u16, what: &str| Ok(json!({"code": code, "message": what, "status": "error"}).to_string());
        if request.path != "/time_series" {
            return refuse(404, "not found");
        }
        if !shared.admits_key(text("apikey")) {
            return refuse(401, "**apikey** parameter is incorrect or not specified.");
        }
        let words = [("1min", "1m"), ("5min", "5m"), ("15min", "15m"), ("1h", "1h"), ("1day", "1d")];
        let Ok(interval) = bars::interval(text("interval"), &words) else {
            return refuse(400, "Invalid **interval** provided.");
        };
        if !bars::knows(shared, text("symbol")) {
            return refuse(404, "**symbol** or **figi** parameter is missing or invalid.");
        }
        let pattern = if interval.is_day() { "%Y-%m-%d" } else { "%Y-%m-%d %H:%M:%S" };
        let rows = request.number("outputsize", 30_usize)?.clamp(1, 5_000);
        let within = |time: &str| {
            // Times are compared as text: a date alone is its first instant.
            request.text("start_date").is_none_or(|from| time >= &from[..from.len().min(time.len())])
                && request.text("end_date").is_none_or(|to| time <= to)
        };
        // Dates are in exchange time, whatever was requested.
        let zone = if interval.is_day() { ZONE } else { request.text("timezone").unwrap_or(ZONE) };
        let all = bars::between(shared, text("symbol"), interval, i64::MIN, i64::MAX);
        let ascending = text("order").eq_ignore_ascii_case("asc");
        let mut values: Vec<Value> = Vec::new();
        let put = |(at, bar): (String, &market::bar::TradeValues)| {
            let [o, h, l, c] = bar.ohlc.map(|price| price.to_string());
            json!({"datetime": at, "open": o, "high": h, "low": l, "close": c, "volume": bar.volume.to_string()})
        };
        let all = all.map(|(at, bar)| (at.local(pattern, zone), bar)).filter(|(at, _)| within(at));
        if ascending {
            values.extend(all.take(rows).map(put));
        } else {
            values.extend(all.rev().take(rows).map(put));
        }
        let meta = json!({"symbol": text("symbol"), "interval": text("interval"), "exchange_timezone": ZONE, "type": "Common Stock"});
        Ok(json!({"meta": meta, "values": values, "status": "ok"}).to_string())
    }
}
