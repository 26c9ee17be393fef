//! `GET /api/v1/forecasts`: forecasts with their scores, and how the forecasts of each target and horizon did.

use super::bars::interval;
use crate::app::App;
use crate::http::params::{self, Params};
use crate::http::problem::Problem;
use crate::http::reply::{Answer, Format, List, list};
use crate::hub::json;
use crate::query;
use axum::extract::State;
use axum::http::HeaderMap;
use market::UnixNanos;
use ports::forecast::{ForecastRecord, LEVELS, TrackRecord};
use ports::store::{ForecastScan, Store};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::ops::ControlFlow;
use std::time::Instant;
use utoipa::IntoParams;

const RECORD: [&str; 12] = [
    "target",
    "horizon",
    "model",
    "version",
    "verdict",
    "made",
    "scored",
    "coverage_50",
    "coverage_80",
    "coverage_90",
    "gain",
    "record",
];

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ForecastParams {
    /// The instrument, for example `SPY`.
    symbol: String,
    /// Interval of the bars: `1m`, `1h`, `1d`; `1m` if absent.
    interval: Option<String>,
    /// Only forecasts from bars of this feed.
    feed: Option<String>,
    /// Only this target: `return`, `volatility` or `range`.
    target: Option<String>,
    /// Only this many bars ahead.
    horizon: Option<u32>,
    /// Start of the time they were made, inclusive.
    from: Option<String>,
    /// End, exclusive.
    to: Option<String>,
    /// Maximum number of forecasts, the newest first; 1,000 if absent.
    limit: Option<u64>,
    /// Time zone of times in the reply; UTC if absent.
    tz: Option<String>,
    /// Format of the list.
    #[serde(default)]
    format: Format,
}

impl ForecastParams {
    fn scan(&self) -> Result<ForecastScan, Problem> {
        let (from, to) = params::range(self.from.as_deref(), self.to.as_deref())?;
        Ok(ForecastScan {
            symbol: params::symbol(&self.symbol)?,
            interval: interval(self.interval.as_deref())?,
            feed: self.feed.clone(),
            from: UnixNanos(from.unwrap_or(i64::MIN)),
            to: UnixNanos(to.unwrap_or(i64::MAX)),
        })
    }

    fn accepts(&self, forecast: &ForecastRecord) -> bool {
        self.target.as_ref().is_none_or(|target| *target == forecast.target)
            && self.horizon.is_none_or(|horizon| horizon == forecast.horizon)
    }

    /// The newest forecasts, at most `limit`.
    fn read(&self, store: &dyn Store, limit: usize, end: Instant) -> Result<Vec<ForecastRecord>, Problem> {
        let (mut found, mut is_late) = (Vec::new(), false);
        if limit == 0 {
            return Ok(found);
        }
        store.scan_forecasts(&self.scan()?, &mut |forecast| {
            is_late = Instant::now() > end;
            if self.accepts(&forecast) {
                found.push(forecast);
            }
            if is_late || found.len() == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if is_late {
            return Err(Problem::new(
                axum::http::StatusCode::GATEWAY_TIMEOUT,
                "the query took longer than its deadline",
            )
            .hint("request a shorter range"));
        }
        Ok(found)
    }
}

/// Forecasts of a symbol.
#[utoipa::path(get, path = "/api/v1/forecasts", params(ForecastParams), tag = "market",
    responses((status = 200, description = "Forecasts, newest first; those whose truth is known have their score"),
        (status = 400, body = Problem)))]
pub(crate) async fn forecasts(
    State(app): State<App>,
    headers: HeaderMap,
    Params(params): Params<ForecastParams>,
) -> Answer {
    params.scan()?;
    let limit = params::limit(params.limit, 1_000, app.settings.limits.rows)?;
    let zone = params::zone(params.tz.as_deref())?.unwrap_or_else(|| "UTC".to_owned());
    let format = params.format;
    let found = query::run(&app, move |store, end| params.read(store, limit, end)).await?;
    let rows = found.iter().map(|forecast| row(forecast, &zone)).collect();
    Ok(list(&headers, format, &List { columns: ForecastRecord::COLUMNS.to_vec(), rows, next: None }))
}

/// How the forecasts of each target and horizon did against the random walk.
#[utoipa::path(get, path = "/api/v1/forecasts/record", params(ForecastParams), tag = "market",
    responses((status = 200, description = "One row per target and horizon, over the newest forecasts"),
        (status = 400, body = Problem)))]
pub(crate) async fn record(
    State(app): State<App>,
    headers: HeaderMap,
    Params(params): Params<ForecastParams>,
) -> Answer {
    params.scan()?;
    let most = app.settings.limits.rows;
    let limit = params::limit(params.limit, most, most)?;
    let format = params.format;
    let found = query::run(&app, move |store, end| params.read(store, limit, end)).await?;
    let task = |forecast: &ForecastRecord| (forecast.target.clone(), forecast.horizon);
    let rows = TrackRecord::by_task(&found).into_iter().filter_map(|(key, record)| {
        let newest = found.iter().find(|forecast| task(forecast) == key)?;
        Some(record_row(newest, &record))
    });
    let list_of = List { columns: RECORD.to_vec(), rows: rows.collect(), next: None };
    Ok(list(&headers, format, &list_of))
}

/// Symbols and intervals of which there are forecasts.
#[utoipa::path(get, path = "/api/v1/forecasts/series", tag = "market",
    responses((status = 200, description = "Symbols and intervals")))]
pub(crate) async fn series(State(app): State<App>, headers: HeaderMap) -> Answer {
    let found = query::run(&app, |store, _| Ok(store.forecast_series()?)).await?;
    let object = |(symbol, interval): (String, market::interval::Interval)| {
        Map::from_iter([
            ("symbol".to_owned(), Value::String(symbol)),
            ("interval".to_owned(), Value::String(interval.to_string())),
        ])
    };
    let rows = found.into_iter().map(object).collect();
    Ok(list(&headers, Format::Json, &List { columns: vec!["symbol", "interval"], rows, next: None }))
}

fn row(forecast: &ForecastRecord, zone: &str) -> Map<String, Value> {
    let mut row = forecast.to_json();
    row.insert("made_at".to_owned(), json::local(forecast.made_at, zone).into());
    if let Some(score) = &forecast.score {
        row.insert("settled_at".to_owned(), json::local(score.settled_at, zone).into());
    }
    row
}

fn record_row(newest: &ForecastRecord, record: &TrackRecord) -> Map<String, Value> {
    let mut row = Map::new();
    let mut put = |name: &str, value: Value| {
        row.insert(name.to_owned(), value);
    };
    put("target", json!(newest.target));
    put("horizon", json!(newest.horizon));
    put("model", json!(newest.model));
    put("version", json!(newest.version));
    put("verdict", json!(newest.verdict));
    put("made", json!(record.made));
    put("scored", json!(record.scored));
    if let Some(coverage) = record.coverage() {
        for (level, share) in LEVELS.iter().zip(coverage) {
            put(&format!("coverage_{level}"), json!(share));
        }
    }
    if let Some(gain) = record.gain() {
        put("gain", json!(gain));
    }
    put("record", json!(record.describe()));
    row
}
