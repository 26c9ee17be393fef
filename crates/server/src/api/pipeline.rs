//! `GET /api/v1/pipeline` and `/api/v1/health`: rates, lag and liveness.

use crate::app::App;
use crate::http::reply::{Answer, json_body};
use crate::hub::state::Read;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use ports::metrics::METRICS;
use ports::telemetry::{Latency, Telemetry};
use serde_json::{Value, json};
use std::time::Instant;

/// Computes rates between two samples.
pub(crate) struct Rates {
    at: Instant,
    read: Read,
    published: u64,
    stored: u64,
    aggregated: u64,
}

fn rate(now: u64, before: u64, seconds: f64) -> f64 {
    (now.saturating_sub(before) as f64 / seconds).round()
}

fn latency(latency: &Latency) -> Value {
    if latency.count() == 0 {
        return Value::Null;
    }
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| latency.percentile(share));
    json!({ "count": latency.count(), "p50_us": p50, "p99_us": p99, "p999_us": p999 })
}

impl Rates {
    pub(crate) fn new(now: Instant) -> Self {
        Self { at: now, read: Read::default(), published: 0, stored: 0, aggregated: 0 }
    }

    /// State of the pipeline; call once a second.
    pub(crate) fn status(&mut self, app: &App, ahead: u64, now: Instant) -> Value {
        let seconds = now.duration_since(self.at).as_secs_f64().max(0.001);
        self.at = now;
        let (read, live, error, open_gaps, symbols) = {
            let state = app.hub.state();
            (state.read, state.live, state.error.clone(), state.open_gaps(), state.symbol_count())
        };
        let before = std::mem::replace(&mut self.read, read);
        let loops = app.engines.telemetry.as_deref().map(|telemetry| self.loops(telemetry, seconds));
        json!({
            "time": ports::clock::now().to_string(),
            "uptime_s": app.started.elapsed().as_secs(),
            "live": live,
            "error": error,
            "topic": {
                "url": app.engines.topics.describe(),
                "unread": ahead,
                "trades": read.trades, "trades_per_second": rate(read.trades, before.trades, seconds),
                "quotes": read.quotes, "quotes_per_second": rate(read.quotes, before.quotes, seconds),
                "readings": read.readings,
                "readings_per_second": rate(read.readings, before.readings, seconds),
                "bars": read.bars, "bars_per_second": rate(read.bars, before.bars, seconds),
                "repeats": read.repeats, "unreadable": read.unreadable,
            },
            "store": { "url": app.engines.store.describe() },
            "symbols": symbols,
            "open_gaps": open_gaps,
            "dead_letters": read.dead_letters,
            "alerts": app.engines.alerts.is_some(),
            "streams": app.hub.streams(),
            "loops": loops,
        })
    }

    fn loops(&mut self, telemetry: &Telemetry, seconds: f64) -> Value {
        let get = |counter| telemetry.get(counter);
        let (published, stored) = (get(&telemetry.published), get(&telemetry.stored));
        let aggregated = get(&telemetry.aggregated);
        let value = json!({
            "read": get(&telemetry.read),
            "published": published, "published_per_second": rate(published, self.published, seconds),
            "stored": stored, "stored_per_second": rate(stored, self.stored, seconds),
            "not_stored": published.saturating_sub(stored),
            "aggregated": aggregated, "aggregated_per_second": rate(aggregated, self.aggregated, seconds),
            "bars": get(&telemetry.bars),
            "late": get(&telemetry.late),
            "duplicates": get(&telemetry.duplicates),
            "retries": METRICS.retries(),
            "dead_letters": get(&telemetry.dead),
            "lost_ranges": get(&telemetry.lost_ranges),
            "lost_messages": get(&telemetry.lost_messages),
            "gaps": get(&telemetry.gaps),
            "gaps_closed": get(&telemetry.gaps_closed),
            "receipt_to_stored": latency(&telemetry.latency()),
            "event_to_receipt": latency(&telemetry.lag()),
        });
        (self.published, self.stored, self.aggregated) = (published, stored, aggregated);
        value
    }
}

/// State of the pipeline, updated once a second.
#[utoipa::path(get, path = "/api/v1/pipeline", tag = "pipeline",
    responses((status = 200, description = "Rates, lag and latency from source to store; `loops` is null if no run loop is in this process")))]
pub(crate) async fn pipeline(State(app): State<App>, headers: HeaderMap) -> Answer {
    let text = app.hub.state().status.clone();
    Ok(json_body(&headers, &serde_json::from_str(&text).unwrap_or_else(|_| json!({ "live": false }))))
}

/// Whether the topics are readable and fully read.
#[utoipa::path(get, path = "/api/v1/health", tag = "pipeline",
    responses((status = 200, description = "Live"), (status = 503, description = "Catching up, or the topics cannot be read")))]
pub(crate) async fn health(State(app): State<App>) -> impl IntoResponse {
    let (live, error) = {
        let state = app.hub.state();
        (state.live, state.error.clone())
    };
    let healthy = live && error.is_none();
    let status = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(json!({ "healthy": healthy, "live": live, "error": error })))
}
