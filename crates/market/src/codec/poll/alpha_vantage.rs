//! `TIME_SERIES_INTRADAY`, `TIME_SERIES_DAILY`: `{"Meta Data":{"6. Time Zone":"US/Eastern"},"Time Series
//! (1min)": {"2017-12-18 14:56:00":{"1. open":"86.4900",…,"5. volume":"10494"}}}`. Errors arrive with HTTP
//! 200, as `Note`, `Information` or `Error Message`.

use super::reply::{PendingRequest, Refused, Reply, Row, local, ohlc, volume, zone};
use serde_json::Value;

pub(super) fn read(value: &Value, request: &PendingRequest<'_>) -> Result<Reply, Refused> {
    for name in ["Note", "Information"] {
        if let Some(text) = value[name].as_str() {
            // Unavailable functions and exhausted limits use the same names, and both mention "premium
            // plans".
            let premium = text.contains("premium endpoint") || text.contains("premium feature");
            return Err(if premium {
                Refused::Never(text.to_owned())
            } else {
                Refused::Later(text.to_owned())
            });
        }
    }
    if let Some(text) = value["Error Message"].as_str() {
        let of_key = text.to_ascii_lowercase().contains("apikey");
        return Err(if of_key { Refused::Never(text.to_owned()) } else { Refused::Symbol(text.to_owned()) });
    }
    let object = value.as_object().ok_or_else(|| Refused::Unreadable("expected an object".to_owned()))?;
    let series = object.iter().find(|(name, _)| name.starts_with("Time Series"));
    let (_, series) = series.ok_or_else(|| Refused::Unreadable("missing `Time Series`".to_owned()))?;
    let meta = value["Meta Data"].as_object();
    let named = meta.and_then(|meta| meta.iter().find(|(name, _)| name.ends_with("Time Zone"))?.1.as_str());
    let zone = zone(named.unwrap_or("US/Eastern"))?;
    let mut reply = Reply::default();
    for (time, row) in series.as_object().into_iter().flatten() {
        let read = || {
            Ok(Row {
                start: local(time, &zone)?,
                ohlc: ohlc(row, ["1. open", "2. high", "3. low", "4. close"])?,
                volume: volume(&row["5. volume"], "5. volume")?,
                vwap: None,
                trades: 0,
            })
        };
        reply.put(request, read(), &|| format!("{time}: {row}"));
    }
    Ok(reply)
}
