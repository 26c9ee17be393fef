//! `/v2/aggs/ticker/…`: `{"results":[{"v":642646396.0,"vw":1.469,"o","c","h","l","t":ms,"n":82132}],"status":"OK"}`.

use super::{NextPage, PendingRequest, Refused, Reply, short};
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
            short(row, millis.checked_mul(1_000_000).ok_or("`t` is out of range")?)
        };
        reply.put(request, read(), &|| row.to_string());
    }
    Ok(reply)
}
