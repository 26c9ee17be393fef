//! `/api/v1/alerts/rules`: the rules of the configuration, and those that were added here.

use super::alerts::{author, invalid, log, wall};
use crate::app::App;
use crate::http::params::Params;
use crate::http::problem::Problem;
use crate::http::reply::{Answer, Format, List, list};
use crate::query;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use market::alert::RuleConfig;
use ports::alert_log::SavedRule;
use ports::clock;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::IntoParams;

/// Maximum number of rules that can be added.
const RULES: usize = 1_000;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RulesParams {
    /// Format of the list.
    #[serde(default)]
    format: Format,
}

/// The rules: those of the configuration first.
#[utoipa::path(get, path = "/api/v1/alerts/rules", params(RulesParams), tag = "market",
    responses((status = 200, description = "Rules; `rule` is the rule itself, `editable` whether it can be replaced or removed here")))]
pub(crate) async fn rules(
    State(app): State<App>,
    headers: HeaderMap,
    Params(params): Params<RulesParams>,
) -> Answer {
    let log = log(&app)?;
    let saved = query::run(&app, move |_, _| Ok(log.rules()?)).await?;
    let configured = &app.settings.alerts.configured;
    let mut rows: Vec<_> = configured.iter().map(|rule| row(rule, None, false)).collect();
    let is_editable = app.settings.alerts.is_editable;
    rows.extend(saved.iter().map(|saved| row(&saved.rule, Some(saved), is_editable)));
    let columns =
        vec!["name", "kind", "symbols", "severity", "parameters", "channels", "by", "at", "editable", "rule"];
    Ok(list(&headers, params.format, &List { columns, rows, next: None }))
}

fn row(rule: &RuleConfig, saved: Option<&SavedRule>, is_editable: bool) -> Map<String, Value> {
    let symbols = if rule.symbols.is_empty() { "*".to_owned() } else { rule.symbols.join(", ") };
    let row = json!({
        "name": rule.name, "kind": rule.kind, "symbols": symbols, "severity": rule.severity,
        "parameters": rule.summary(), "channels": rule.channels.join(", "),
        "by": saved.map(|saved| &saved.by), "at": saved.map(|saved| wall(saved.at_ms).to_string()),
        "editable": is_editable, "rule": rule,
    });
    if let Value::Object(row) = row { row } else { Map::new() }
}

/// Fails unless rules can be changed here, and this one is not part of the configuration.
fn check_editable(app: &App, name: &str) -> Result<(), Problem> {
    let alerts = &app.settings.alerts;
    if !alerts.is_editable {
        return Err(Problem::new(StatusCode::FORBIDDEN, "alert rules cannot be changed on this server")
            .hint("set `alert.editable = true` in the configuration"));
    }
    if alerts.configured.iter().any(|rule| rule.name == name) {
        let shown: String = name.chars().take(64).collect();
        return Err(Problem::new(
            StatusCode::CONFLICT,
            format!("alert rule `{shown}` is part of the configuration"),
        )
        .hint("change it there"));
    }
    Ok(())
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SaveParams {
    /// Name of the person; if absent, the user name of basic authentication.
    by: Option<String>,
}

/// Adds a rule, or replaces the one of its name. The body is the rule as JSON, with the keys of `[[alert.rules]]`.
#[utoipa::path(post, path = "/api/v1/alerts/rules", params(SaveParams), tag = "market",
    responses((status = 201, description = "`name`; it is evaluated from the next records on"),
        (status = 400, body = Problem), (status = 403, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn save(
    State(app): State<App>,
    headers: HeaderMap,
    Params(params): Params<SaveParams>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let log = log(&app)?;
    let body = body.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
    let rule: RuleConfig = serde_json::from_slice(&body)
        .map_err(|error| Problem::bad(format!("the body is not an alert rule: {error}")))?;
    check_editable(&app, &rule.name)?;
    let channels = &app.settings.alerts.channels;
    if let Some(unknown) = rule.channels.iter().find(|name| !channels.contains(name)) {
        let known = if channels.is_empty() { "none".to_owned() } else { channels.join(", ") };
        return Err(Problem::bad(format!("unknown channel `{unknown}`; known: {known}")));
    }
    let saved = SavedRule::new(rule, &author(&headers, params.by), clock::now().millis()).map_err(invalid)?;
    let name = saved.rule.name.clone();
    let is_full = query::run(&app, move |_, _| {
        let known = log.rules()?;
        if known.len() >= RULES && known.iter().all(|known| known.rule.name != saved.rule.name) {
            return Ok(true);
        }
        log.save_rule(&saved)?;
        Ok(false)
    })
    .await?;
    if is_full {
        return Err(Problem::bad(format!("there are {RULES} rules already")).hint("remove one first"));
    }
    Ok((StatusCode::CREATED, axum::Json(json!({ "name": name }))).into_response())
}

/// Removes a rule that was added here.
#[utoipa::path(delete, path = "/api/v1/alerts/rules/{name}", tag = "market",
    params(("name" = String, Path, description = "Name of the rule")),
    responses((status = 204, description = "Removed"), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn remove(State(app): State<App>, Path(name): Path<String>) -> Result<Response, Problem> {
    let log = log(&app)?;
    check_editable(&app, &name)?;
    let shown: String = name.chars().take(64).collect();
    if !query::run(&app, move |_, _| Ok(log.remove_rule(&name)?)).await? {
        return Err(
            Problem::missing(format!("no alert rule `{shown}`")).hint("they are in /api/v1/alerts/rules")
        );
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}
