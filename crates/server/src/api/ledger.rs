//! `GET /api/v1/gaps` and `/api/v1/dead-letters`: data known to be missing or unusable.

use crate::app::App;
use crate::http::params::{self, Params};
use crate::http::reply::{Answer, Format, List, list};
use axum::extract::State;
use axum::http::HeaderMap;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::IntoParams;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct GapParams {
    /// Only gaps of this symbol.
    symbol: Option<String>,
    /// Only open gaps.
    #[serde(default)]
    open: bool,
    /// Format of the list.
    #[serde(default)]
    format: Format,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeadLetterParams {
    /// Maximum number of rows; 100 if absent. The last 1,000 are kept in memory; all are on their topic.
    limit: Option<u64>,
    /// Format of the list.
    #[serde(default)]
    format: Format,
}

fn objects(values: Vec<Value>) -> Vec<Map<String, Value>> {
    let object = |value| match value {
        Value::Object(map) => Some(map),
        _ => None,
    };
    values.into_iter().filter_map(object).collect()
}

/// The gap ledger.
#[utoipa::path(get, path = "/api/v1/gaps", params(GapParams), tag = "proof",
    responses((status = 200, description = "Gaps, oldest first, with cause, state and proof")))]
pub(crate) async fn gaps(
    State(app): State<App>,
    headers: HeaderMap,
    Params(params): Params<GapParams>,
) -> Answer {
    let mut rows = objects(app.hub.state().gaps());
    rows.retain(|gap| {
        let of_symbol = params.symbol.as_ref().is_none_or(|symbol| {
            gap.get("symbols")
                .and_then(Value::as_array)
                .is_some_and(|all| all.iter().any(|one| one == symbol))
        });
        of_symbol && (!params.open || gap.get("state").and_then(Value::as_str) == Some("open"))
    });
    let columns = vec!["id", "feed", "symbols", "from", "to", "cause", "state", "note"];
    Ok(list(&headers, params.format, &List { columns, rows, next: None }))
}

/// The last dead letters.
#[utoipa::path(get, path = "/api/v1/dead-letters", params(DeadLetterParams), tag = "proof",
    responses((status = 200, description = "Dead letters, newest first, with reason, origin and an excerpt")))]
pub(crate) async fn dead_letters(
    State(app): State<App>,
    headers: HeaderMap,
    Params(params): Params<DeadLetterParams>,
) -> Answer {
    let limit = params::limit(params.limit, 100, 1_000)?;
    let mut rows = objects(app.hub.state().dead_letters());
    rows.reverse();
    rows.truncate(limit);
    let columns = vec!["time", "stage", "kind", "key", "reason", "origin", "offset", "bytes", "payload"];
    Ok(list(&headers, params.format, &List { columns, rows, next: None }))
}
