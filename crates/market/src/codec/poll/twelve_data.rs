//! `/time_series`: `{"meta":{"exchange_timezone":"America/New_York"},"values":[{"datetime":"2021-08-26
//! 15:59:00", "open":"148.372","high","low","close","volume":"1234"}],"status":"ok"}`, newest first. Errors
//! arrive with HTTP 200.

use super::reply::{PendingRequest, Refused, Reply, Row, local, ohlc, volume, zone};
use crate::Size;
use serde_json::Value;

pub(super) fn read(value: &Value, request: &PendingRequest<'_>) -> Result<Reply, Refused> {
    if value["status"] == "error" {
        let text = format!("{} {}", value["code"], value["message"].as_str().unwrap_or_default());
        return match value["code"].as_u64() {
            // A weekend, a holiday.
            Some(400) if text.contains("No data is available") || text.contains("no data") => {
                Ok(Reply::default())
            }
            Some(404) => Err(Refused::Symbol(text)),
            Some(429 | 500..) => Err(Refused::Later(text)),
            _ => Err(Refused::Never(text)),
        };
    }
    let rows =
        value["values"].as_array().ok_or_else(|| Refused::Unreadable("missing `values`".to_owned()))?;
    // Times are requested in UTC; dates are in exchange time.
    let days = value["meta"]["exchange_timezone"].as_str().filter(|_| request.interval.is_day());
    let zone = zone(days.unwrap_or("UTC"))?;
    let mut reply = Reply::default();
    for row in rows.iter().filter(|row| !row.is_null()) {
        let read = || {
            Ok(Row {
                start: local(row["datetime"].as_str().unwrap_or_default(), &zone)?,
                ohlc: ohlc(row, ["open", "high", "low", "close"])?,
                // Currencies and indices have no volume.
                volume: if row["volume"].is_null() { Size::ZERO } else { volume(&row["volume"], "volume")? },
                vwap: None,
                trades: 0,
            })
        };
        reply.put(request, read(), &|| row.to_string());
    }
    Ok(reply)
}
