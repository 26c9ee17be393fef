//! `/v2/stocks/bars`: `{"bars":{"SPY":[{"t":"2022-05-27T10:18:00Z","o":153.6,"h","l","c","v":6,"n":2,"vw":153.6}]}}`.

use super::reply::{NextPage, PendingRequest, Refused, Reply, short};
use crate::UnixNanos;
use serde_json::Value;

pub(super) fn read(value: &Value, request: &PendingRequest<'_>) -> Result<Reply, Refused> {
    if let Some(message) = value["message"].as_str() {
        return Err(Refused::Never(message.to_owned()));
    }
    let bars = value.get("bars").ok_or_else(|| Refused::Unreadable("missing `bars`".to_owned()))?;
    let token = value["next_page_token"].as_str().filter(|token| !token.is_empty());
    let mut reply = Reply { next: token.map(|token| NextPage::Token(token.to_owned())), ..Reply::default() };
    for row in bars[request.symbol].as_array().into_iter().flatten().filter(|row| !row.is_null()) {
        let read = || {
            let start = UnixNanos::parse(row["t"].as_str().unwrap_or_default())
                .map_err(|error| format!("`t`: {error}"))?;
            short(row, start.0)
        };
        reply.put(request, read(), &|| row.to_string());
    }
    Ok(reply)
}
