//! `/api/v1/alerts`: alerts that fired, who acknowledged them, and silences.

use crate::app::App;
use crate::http::guard;
use crate::http::params::{self, Params};
use crate::http::problem::Problem;
use crate::http::reply::{Answer, Format, List, list};
use crate::hub::json;
use crate::query;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use market::UnixNanos;
use market::alert::TimeSpan;
use ports::alert_log::{Acknowledgement, AlertLog, AlertQuery, LoggedAlert, Silence};
use ports::clock;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use utoipa::IntoParams;

/// Maximum number of keys in one request.
const KEYS: usize = 50;
/// Longest silence in days.
const DAYS: i64 = 366;

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
    let log = log(&app)?;
    let (from, to) = params::range(params.from.as_deref(), params.to.as_deref())?;
    let query = AlertQuery {
        range: UnixNanos(from.unwrap_or(i64::MIN))..UnixNanos(to.unwrap_or(i64::MAX)),
        rule: params.rule,
        symbol: params.symbol,
        limit: params::limit(params.limit, 1_000, app.settings.limits.rows)?,
    };
    let zone = params::zone(params.tz.as_deref())?.unwrap_or_else(|| "UTC".to_owned());
    let alerts = query::run(&app, move |_, _| Ok(log.alerts(&query)?)).await?;
    let rows = alerts.iter().map(|alert| row(alert, &zone)).collect();
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
        "acknowledged_by",
        "acknowledged_at",
        "acknowledged_note",
        "key",
    ];
    Ok(list(&headers, params.format, &List { columns, rows, next: None }))
}

fn row(logged: &LoggedAlert, zone: &str) -> Map<String, Value> {
    let mut row = match serde_json::to_value(&logged.alert) {
        Ok(Value::Object(row)) => row,
        _ => Map::new(),
    };
    row.remove("event_time");
    row.remove("channels");
    row.insert("time".to_owned(), json::local(logged.alert.ts(), zone).into());
    if let Some(by) = &logged.acknowledged {
        row.insert("acknowledged_by".to_owned(), by.by.clone().into());
        row.insert("acknowledged_at".to_owned(), json::local(wall(by.at_ms), zone).into());
        row.insert("acknowledged_note".to_owned(), by.note.clone().into());
    }
    row
}

/// A wall-clock time.
pub(crate) fn wall(ms: i64) -> UnixNanos {
    UnixNanos(ms.saturating_mul(1_000_000))
}

pub(crate) fn log(app: &App) -> Result<Arc<dyn AlertLog>, Problem> {
    app.engines.alerts.clone().ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, "this server evaluates no alert rules")
            .hint("add [[alert.rules]] to the configuration, or set `alert.editable`; see docs/alerts.md")
    })
}

/// The name in the request, or else that of the password prompt.
pub(crate) fn author(headers: &HeaderMap, by: Option<String>) -> String {
    let given = by.filter(|by| !by.trim().is_empty()).or_else(|| guard::user(headers));
    given.unwrap_or_else(|| "unknown".to_owned())
}

/// A text of the request is invalid.
pub(crate) fn invalid(error: ports::Error) -> Problem {
    // By value, as `map_err` passes it.
    let problem = Problem::bad(error.to_string());
    drop(error);
    problem
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AcknowledgeParams {
    /// Keys of alerts, separated by commas, at most 50.
    key: String,
    /// Name of the person; if absent, the user name of basic authentication.
    by: Option<String>,
    /// Note.
    #[serde(default)]
    note: String,
}

/// Acknowledges alerts: all of the keys or none. An alert keeps its first acknowledgement.
#[utoipa::path(post, path = "/api/v1/alerts/acknowledge", params(AcknowledgeParams), tag = "market",
    responses((status = 200, description = "`acknowledged`: number of keys"),
        (status = 404, description = "No alert has one of the keys", body = Problem)))]
pub(crate) async fn acknowledge(
    State(app): State<App>,
    headers: HeaderMap,
    Params(params): Params<AcknowledgeParams>,
) -> Result<Response, Problem> {
    let log = log(&app)?;
    let keys: Vec<String> = params.key.split(',').filter(|key| !key.is_empty()).map(str::to_owned).collect();
    if keys.is_empty() || keys.len() > KEYS {
        let found = keys.len();
        return Err(Problem::bad(format!(
            "key: expected 1 to {KEYS} keys separated by commas, found {found}"
        )));
    }
    let by = Acknowledgement::new(&author(&headers, params.by), clock::now().millis(), &params.note)
        .map_err(invalid)?;
    let count = keys.len();
    let unknown = query::run(&app, move |_, _| Ok(log.acknowledge(&keys, &by)?)).await?;
    if let Some(key) = unknown.first() {
        let key: String = key.chars().take(40).collect();
        return Err(Problem::missing(format!("no alert has the key {key}; none was acknowledged"))
            .hint("keys are in /api/v1/alerts"));
    }
    Ok(axum::Json(json!({ "acknowledged": count })).into_response())
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SilencesParams {
    /// Format of the list.
    #[serde(default)]
    format: Format,
}

/// Silences that have not ended.
#[utoipa::path(get, path = "/api/v1/alerts/silences", params(SilencesParams), tag = "market",
    responses((status = 200, description = "Silences by number; `until` is wall-clock time")))]
pub(crate) async fn silences(
    State(app): State<App>,
    headers: HeaderMap,
    Params(params): Params<SilencesParams>,
) -> Answer {
    let log = log(&app)?;
    let silences = query::run(&app, move |_, _| Ok(log.silences(clock::now().millis())?)).await?;
    let row = |(id, silence): (i64, Silence)| {
        let row = json!({ "id": id, "rule": silence.rule, "symbol": silence.symbol,
            "until": wall(silence.until_ms).to_string(), "by": silence.by, "reason": silence.reason });
        if let Value::Object(row) = row { row } else { Map::new() }
    };
    let rows = silences.into_iter().map(row).collect();
    let columns = vec!["id", "rule", "symbol", "until", "by", "reason"];
    Ok(list(&headers, params.format, &List { columns, rows, next: None }))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SilenceParams {
    /// Name of a rule, or `*`, which is the default if a symbol is given.
    rule: Option<String>,
    /// A symbol, or `*`, which is the default if a rule is given.
    symbol: Option<String>,
    /// Duration from now: `30m`, `2h`, `1d`.
    r#for: String,
    /// Reason.
    #[serde(default)]
    reason: String,
    /// Name of the person; if absent, the user name of basic authentication.
    by: Option<String>,
}

/// Starts a silence: its alerts are recorded and not sent.
#[utoipa::path(post, path = "/api/v1/alerts/silences", params(SilenceParams), tag = "market",
    responses((status = 201, description = "`id` and `until`"), (status = 400, body = Problem)))]
pub(crate) async fn silence(
    State(app): State<App>,
    headers: HeaderMap,
    Params(params): Params<SilenceParams>,
) -> Result<Response, Problem> {
    let log = log(&app)?;
    if params.rule.is_none() && params.symbol.is_none() {
        return Err(Problem::bad("expected rule, symbol or both, found neither")
            .hint("rule=*&symbol=* silences everything"));
    }
    let span: TimeSpan = params.r#for.parse().map_err(|error| Problem::bad(format!("for: {error}")))?;
    if span.0 <= 0 || span.0 > DAYS * market::time::DAY {
        return Err(Problem::bad(format!("for: expected up to {DAYS} days, found {span}")));
    }
    let until = clock::now().millis().saturating_add(span.0 / 1_000_000);
    let [rule, symbol] = [params.rule, params.symbol].map(|text| text.unwrap_or_else(|| "*".to_owned()));
    let by = author(&headers, params.by);
    let silence = Silence::new(&rule, &symbol, until, &params.reason, &by).map_err(invalid)?;
    let id = query::run(&app, move |_, _| Ok(log.silence(&silence)?)).await?;
    let body = json!({ "id": id, "until": wall(until).to_string() });
    Ok((StatusCode::CREATED, axum::Json(body)).into_response())
}

/// Ends a silence.
#[utoipa::path(delete, path = "/api/v1/alerts/silences/{id}", tag = "market",
    params(("id" = i64, Path, description = "Number of the silence")),
    responses((status = 204, description = "Ended"), (status = 404, body = Problem)))]
pub(crate) async fn end_silence(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Problem> {
    let log = log(&app)?;
    let shown: String = id.chars().take(40).collect();
    let missing =
        || Problem::missing(format!("no silence {shown}")).hint("they are in /api/v1/alerts/silences");
    let id: i64 = id.parse().map_err(|_| missing())?;
    if !query::run(&app, move |_, _| Ok(log.end_silence(id)?)).await? {
        return Err(missing());
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}
