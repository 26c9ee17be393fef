//! The REST API, version 1. Its OpenAPI description is at `/api/v1/openapi.json`.

pub(crate) mod alert_rules;
pub(crate) mod alerts;
pub(crate) mod bars;
pub(crate) mod explain;
pub(crate) mod forecasts;
pub(crate) mod lag;
pub(crate) mod ledger;
mod openapi;
pub(crate) mod pipeline;
pub(crate) mod push;
pub(crate) mod readings;
pub(crate) mod records;
pub(crate) mod stream;
pub(crate) mod symbols;
pub(crate) mod verify;

use crate::app::App;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{delete, get, post};

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/api/v1/symbols", get(symbols::symbols))
        .route("/api/v1/trades", get(records::trades))
        .route("/api/v1/quotes", get(records::quotes))
        .route("/api/v1/bars", get(bars::bars))
        .route("/api/v1/alerts", get(alerts::alerts))
        .route("/api/v1/alerts/acknowledge", post(alerts::acknowledge))
        .route("/api/v1/alerts/silences", get(alerts::silences).post(alerts::silence))
        .route("/api/v1/alerts/silences/{id}", delete(alerts::end_silence))
        .route("/api/v1/alerts/rules", get(alert_rules::rules).post(alert_rules::save))
        .route("/api/v1/alerts/rules/{name}", delete(alert_rules::remove))
        .route("/api/v1/forecasts", get(forecasts::forecasts))
        .route("/api/v1/forecasts/record", get(forecasts::record))
        .route("/api/v1/forecasts/series", get(forecasts::series))
        .route("/api/v1/explain", get(explain::explain))
        .route("/api/v1/gaps", get(ledger::gaps))
        .route("/api/v1/dead-letters", get(ledger::dead_letters))
        .route("/api/v1/series", get(readings::series))
        .route("/api/v1/reading-bars", get(readings::reading_bars))
        .route(
            "/api/v1/readings",
            get(readings::readings).post(push::push).layer(DefaultBodyLimit::max(push::BODY)),
        )
        .route("/api/v2/write", post(push::write).layer(DefaultBodyLimit::max(push::BODY)))
        .route("/api/v1/health", get(pipeline::health))
        .route("/api/v1/pipeline", get(pipeline::pipeline))
        .route("/api/v1/lag", get(lag::lag))
        .route("/api/v1/verify", get(verify::result).post(verify::start))
        .route("/api/v1/stream", get(stream::stream))
        .route("/api/v1/openapi.json", get(openapi::openapi))
}
