//! Simulates Alpha Vantage: always HTTP 200, numbers as text, newest first, exchange-local time.

use super::vendor_api::{Refused, Request, VendorApi};
use super::{Shared, bars};
use market::UnixNanos;
use market::interval::MINUTE;
use serde_json::{Map, Value, json};

#[derive(Debug)]
pub(super) struct AlphaVantage;

const ZONE: &str = "US/Eastern";
/// Rows of a compact reply.
const COMPACT: usize = 100;
/// How far back a reply without a month goes.
const RECENT: i64 = 30 * 24 * 60 * MINUTE;

impl VendorApi for AlphaVantage {
    fn history(&self, shared: &Shared, request: &Request<'_>) -> Result<String, Refused> {
        let text = |name: &str| request.text(name).unwrap_or_default();
        let refuse = |what: &str| Ok(json!({"Error Message": what}).to_string());
        if request.path != "/query" || !shared.admits_key(text("apikey")) {
            return refuse("the parameter apikey is invalid or missing.");
        }
        let (word, name, pattern) = match text("function") {
            "TIME_SERIES_INTRADAY" => {
                (text("interval"), format!("Time Series ({})", text("interval")), "%Y-%m-%d %H:%M:%S")
            }
            "TIME_SERIES_DAILY" => ("daily", "Time Series (Daily)".to_owned(), "%Y-%m-%d"),
            _ => return refuse("This API function does not exist."),
        };
        let words = [("1min", "1m"), ("5min", "5m"), ("15min", "15m"), ("60min", "1h"), ("daily", "1d")];
        let Ok(interval) = bars::interval(word, &words) else { return refuse("Invalid API call: interval.") };
        if !bars::knows(shared, text("symbol")) {
            return refuse("Invalid API call: symbol.");
        }
        let rows = if text("outputsize") == "full" { usize::MAX } else { COMPACT };
        let mut series = Map::new();
        let mut all = bars::between(shared, text("symbol"), interval, i64::MIN, i64::MAX).rev().peekable();
        // Without a month: the newest.
        let newest = all.peek().map_or(0, |(at, _)| at.0);
        let recent =
            |at: UnixNanos| interval.is_day() || request.text("month").is_some() || at.0 > newest - RECENT;
        let month = |time: &str| request.text("month").is_none_or(|month| time.starts_with(month));
        for (at, values) in all
            .filter(|(at, _)| recent(*at))
            .map(|(at, values)| (at.local(pattern, ZONE), values))
            .filter(|(at, _)| month(at))
            .take(rows)
        {
            let [o, h, l, c] = values.ohlc.map(|price| price.to_string());
            series.insert(at, json!({"1. open": o, "2. high": h, "3. low": l, "4. close": c, "5. volume": values.volume.to_string()}));
        }
        let meta = json!({"1. Information": "simulated", "2. Symbol": text("symbol"), "6. Time Zone": ZONE});
        let mut out = Map::new();
        out.insert("Meta Data".to_owned(), meta);
        out.insert(name, series.into());
        Ok(Value::Object(out).to_string())
    }
}
