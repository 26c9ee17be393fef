//! `GET /api/v1/alerts`: alerts that fired.

use super::App;
use crate::http::params::{self, Params};
use crate::http::problem::Problem;
use crate::http::reply::{Answer, Format, List, list};
use crate::hub::json;
use crate::query;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use market::UnixNanos;
use market::alert::Alert;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::ops::Range;
use std::sync::Arc;
use utoipa::IntoParams;

/// Reads the alerts of a span of event time, oldest first.
pub type AlertLog = Arc<dyn Fn(Range<UnixNanos>) -> ports::Result<Vec<Alert>> + Send + Sync>;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AlertParams {
    /// Only alerts of this symbol.
    symbol: Option<String>,
    /// Only alerts of this rule.
    rule: Option<String>,
    /// Start of event time, inclusive.
    from: Option<String>,
    /// End, exclusive.
    to: Option<String>,
    /// Maximum number of rows; 1,000 if absent.
    limit: Option<u64>,
    /// Time zone of times in the reply, for example `America/New_York`; UTC if absent.
    tz: Option<String>,
    /// Format of the list.
    #[serde(default)]
    format: Format,
}

/// Alerts that fired.
#[utoipa::path(get, path = "/api/v1/alerts", params(AlertParams), tag = "market",
    responses((status = 200, description = "Alerts, newest first"),
        (status = 404, description = "This server evaluates no rules", body = Problem)))]
pub(crate) async fn alerts(
    State(app): State<App>,
    headers: HeaderMap,
    Params(params): Params<AlertParams>,
) -> Answer {
    let Some(log) = app.engines.alerts.clone() else {
        return Err(Problem::new(StatusCode::NOT_FOUND, "this server evaluates no alert rules")
            .hint("add [[alert.rules]] to the configuration; see docs/alerts.md"));
    };
    let (from, to) = params::range(params.from.as_deref(), params.to.as_deref())?;
    let range = UnixNanos(from.unwrap_or(i64::MIN))..UnixNanos(to.unwrap_or(i64::MAX));
    let limit = params::limit(params.limit, 1_000, app.settings.limits.rows)?;
    let zone = params::zone(params.tz.as_deref())?.unwrap_or_else(|| "UTC".to_owned());
    let mut alerts = query::run(&app, move |_, _| Ok(log(range)?)).await?;
    alerts.retain(|alert| {
        params.symbol.as_ref().is_none_or(|symbol| *symbol == alert.symbol)
            && params.rule.as_ref().is_none_or(|rule| *rule == alert.rule)
    });
    let rows = alerts.iter().rev().take(limit).map(|alert| row(alert, &zone)).collect();
    let columns = vec![
        "time",
        "severity",
        "rule",
        "kind",
        "symbol",
        "feed",
        "value",
        "threshold",
        "unit",
        "price",
        "message",
        "quiet",
        "retracts",
        "key",
    ];
    Ok(list(&headers, params.format, &List { columns, rows, next: None }))
}

fn row(alert: &Alert, zone: &str) -> Map<String, Value> {
    let mut row = match serde_json::to_value(alert) {
        Ok(Value::Object(row)) => row,
        _ => Map::new(),
    };
    row.remove("event_time");
    row.remove("channels");
    row.insert("time".to_owned(), json::local(alert.ts(), zone).into());
    row
}
