//! `/v2/stocks/bars`: `{"bars":{"SPY":[{"t":"2022-05-27T10:18:00Z","o":153.6,"h","l","c","v":6,"n":2,"vw":153.6}]}}`.

use super::{Asked, Refused, Reply, Row, ohlc, price, volume};
use crate::UnixNanos;
use serde_json::Value;

pub(super) fn read(value: &Value, asked: &Asked<'_>) -> Result<Reply, Refused> {
    if let Some(message) = value["message"].as_str() {
        return Err(Refused::Never(message.to_owned()));
    }
    let bars = value.get("bars").ok_or_else(|| Refused::Unreadable("no `bars`".to_owned()))?;
    let mut reply = Reply::default();
    for row in bars[asked.symbol].as_array().into_iter().flatten() {
        let read = || {
            let start = UnixNanos::parse(row["t"].as_str().unwrap_or_default())
                .map_err(|error| format!("`t`: {error}"))?;
            Ok(Row {
                start: start.0,
                ohlc: ohlc(row, ["o", "h", "l", "c"])?,
                volume: volume(&row["v"], "v")?,
                vwap: row.get("vw").map(|value| price(value, "vw")).transpose()?,
                trades: row["n"].as_u64().unwrap_or(0),
            })
        };
        reply.put(asked, read(), &|| row.to_string());
    }
    Ok(reply)
}
