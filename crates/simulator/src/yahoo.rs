//! Simulates Yahoo's chart endpoint: parallel arrays, 32-bit prices.

use super::vendor_api::{Refused, Request, VendorApi};
use super::{Shared, bars};
use market::interval::{MINUTE, SECOND};
use serde_json::{Value, json};

#[derive(Debug)]
pub(super) struct Yahoo;

impl VendorApi for Yahoo {
    fn history(&self, shared: &Shared, request: &Request<'_>) -> Result<String, Refused> {
        let symbol = request.path.strip_prefix("/v8/finance/chart/").unwrap_or_default();
        let refuse = |code: &str, what: &str| {
            Ok(json!({"chart": {"result": null, "error": {"code": code, "description": what}}}).to_string())
        };
        if !bars::knows(shared, symbol) {
            return refuse("Not Found", "No data found, symbol may be delisted");
        }
        let words = [("1m", "1m"), ("5m", "5m"), ("15m", "15m"), ("1h", "1h"), ("60m", "1h"), ("1d", "1d")];
        let Ok(interval) = bars::interval(request.text("interval").unwrap_or("1d"), &words) else {
            return refuse("Bad Request", "Invalid input - interval is not supported.");
        };
        let (from, to) = (request.number("period1", 0_i64)?, request.number("period2", i64::MAX / SECOND)?);
        let (from, to) = (from.saturating_mul(SECOND), to.saturating_mul(SECOND));
        // A day is timestamped at its open.
        let opening = if interval.is_day() { 570 * MINUTE } else { 0 };
        let rows: Vec<_> = bars::between(shared, symbol, interval, from, to).collect();
        let times: Vec<i64> = rows.iter().map(|(at, _)| (at.0 + opening) / SECOND).collect();
        let column = |n: usize| -> Vec<f64> {
            rows.iter().map(|(_, values)| f64::from(values.ohlc[n].to_f64() as f32)).collect()
        };
        let volume: Vec<Value> = rows.iter().map(|(_, values)| bars::volume(values)).collect();
        Ok(json!({"chart": {"error": null, "result": [{
            "meta": {"currency": "USD", "symbol": symbol, "exchangeTimezoneName": "America/New_York", "priceHint": 2},
            "timestamp": times,
            "indicators": {"quote": [{"open": column(0), "high": column(1), "low": column(2), "close": column(3), "volume": volume}]},
        }]}})
        .to_string())
    }
}
