//! `GET /api/v1/openapi.json`: the description of the API.

use super::{
    alert_rules, alerts, bars, explain, forecasts, lag, ledger, pipeline, push, readings, records, stream,
    symbols, verify,
};
use crate::http::problem::Problem;
use crate::http::reply::{Answer, Format, tagged};
use crate::http::rows::RowFormat;
use crate::query::range::{Order, Session};
use axum::http::HeaderMap;
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(title = "Tapeline", version = "1", description = "Market data from the pipeline's own store and topics. \
        Decimals are strings, exact to the last digit; times are RFC 3339 in UTC unless `tz` says otherwise. \
        Lists are JSON or CSV, trades, quotes and bars also Arrow IPC and Parquet; `next` is the cursor of the next page. Errors are RFC 9457 problem details."),
    paths(
        symbols::symbols, records::trades, records::quotes, bars::bars, readings::series, readings::readings,
        readings::reading_bars, alerts::alerts, alerts::acknowledge, alerts::silences, alerts::silence,
        alerts::end_silence, alert_rules::rules, alert_rules::save, alert_rules::remove, forecasts::forecasts,
        forecasts::record, forecasts::series, explain::explain, ledger::gaps, ledger::dead_letters, verify::result,
        verify::start, pipeline::pipeline, pipeline::health, lag::lag, push::push, stream::stream,
    ),
    components(schemas(Problem, Format, RowFormat, Order, Session, bars::Of)),
    tags(
        (name = "market", description = "Symbols, trades, quotes, bars, live stream"),
        (name = "readings", description = "Series of sensors: last values, readings, bars"),
        (name = "proof", description = "Comparison of source, topic and store; gaps; dead letters"),
        (name = "pipeline", description = "Rates, lag, latency"),
    )
)]
struct Api;

pub(crate) async fn openapi(headers: HeaderMap) -> Answer {
    let text = Api::openapi().to_json().unwrap_or_default();
    Ok(tagged(&headers, "application/json", text.into_bytes()))
}
