//! `/v2/aggs/ticker/…`: `{"results":[{"v":642646396.0,"vw":1.469,"o","c","h","l","t":ms,"n":82132}],"status":"OK"}`.

use super::reply::{NextPage, PendingRequest, Refused, Reply, short};
use serde_json::Value;

pub(super) fn read(value: &Value, request: &PendingRequest<'_>) -> Result<Reply, Refused> {
    let text = |name: &str| value[name].as_str().unwrap_or_default();
    match text("status") {
        "OK" | "DELAYED" => {}
        "ERROR" if text("error").contains("exceeded") => {
            return Err(Refused::Later(text("error").to_owned()));
        }
        "NOT_FOUND" => return Err(Refused::Symbol(format!("{}{}", text("error"), text("message")))),
        "ERROR" | "NOT_AUTHORIZED" => {
            return Err(Refused::Never(format!("{}{}", text("error"), text("message"))));
        }
        other => return Err(Refused::Unreadable(format!("status `{other}`"))),
    }
    let url = value["next_url"].as_str().filter(|url| !url.is_empty());
    let mut reply = Reply { next: url.map(|url| NextPage::Url(url.to_owned())), ..Reply::default() };
    // Absent if there are no bars.
    for row in value["results"].as_array().into_iter().flatten().filter(|row| !row.is_null()) {
        let read = || {
            let millis = row["t"].as_i64().ok_or("missing `t`")?;
            let start = millis.checked_mul(1_000_000).ok_or("`t` is out of range")?;
            // Indices (`I:NDX`) have no volume; anything else must have one.
            if request.symbol.starts_with("I:") && row["v"].is_null() {
                let mut with_volume = row.clone();
                with_volume["v"] = 0.into();
                return short(&with_volume, start);
            }
            short(row, start)
        };
        reply.put(request, read(), &|| row.to_string());
    }
    Ok(reply)
}
