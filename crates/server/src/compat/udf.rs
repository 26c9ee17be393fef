//! `/udf/*`: TradingView's Universal Data Feed, so that its charting library can read this store.

use super::intervals::{of_resolution, resolution};
use super::number::number;
use crate::app::App;
use crate::http::params::{self, Params};
use crate::http::problem::Problem;
use crate::http::reply::{Answer, json_body, tagged};
use crate::query;
use crate::query::range::{self, BarQuery, Order, Range, Session};
use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::get;
use market::Kind;
use market::interval::SECOND;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Instant;

/// Session hours in the library's format, by calendar.
const STOCK_HOURS: &str = "0400-2000";
/// Maximum number of symbols in one search.
const FOUND: usize = 50;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/udf/config", get(config))
        .route("/udf/time", get(time))
        .route("/udf/symbols", get(symbol))
        .route("/udf/search", get(search))
        .route("/udf/history", get(history))
}

async fn config(State(app): State<App>, headers: HeaderMap) -> Answer {
    let resolutions: Vec<String> = app.settings.bars.intervals.iter().map(resolution).collect();
    let value = json!({
        "supported_resolutions": resolutions, "supports_search": true, "supports_group_request": false,
        "supports_marks": false, "supports_timescale_marks": false, "supports_time": true,
        "exchanges": [], "symbols_types": [],
    });
    Ok(json_body(&headers, &value))
}

async fn time() -> String {
    (ports::clock::now().0 / SECOND).to_string()
}

#[derive(Deserialize)]
struct SymbolParams {
    symbol: String,
}

/// The row of a symbol that is known.
fn row(app: &App, symbol: &str) -> Option<Map<String, Value>> {
    app.hub.state().rows().into_iter().find(|(name, _)| name == symbol).map(|(_, row)| row)
}

async fn symbol(State(app): State<App>, headers: HeaderMap, Params(params): Params<SymbolParams>) -> Answer {
    let symbol = params::symbol(&params.symbol)?;
    let row = row(&app, &symbol).ok_or_else(|| Problem::missing(format!("unknown symbol `{symbol}`")))?;
    let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default();
    let always = text("calendar") == "24/7";
    let places = text("last").split_once('.').map_or(0, |(_, places)| places.len()).clamp(2, 15);
    let intervals = &app.settings.bars.intervals;
    let seconds: Vec<String> = intervals
        .iter()
        .filter_map(|interval| interval.nanos().filter(|nanos| nanos % (60 * SECOND) != 0))
        .map(|nanos| (nanos / SECOND).to_string())
        .collect();
    let value = json!({
        "name": symbol, "ticker": symbol, "description": symbol, "exchange": text("feed"), "listed_exchange": text("feed"),
        "type": if always { "crypto" } else { "stock" }, "session": if always { "24x7" } else { STOCK_HOURS },
        "timezone": if always { "Etc/UTC" } else { text("zone") }, "minmov": 1, "pricescale": 10_u64.pow(places as u32),
        "has_intraday": true, "has_daily": true, "has_seconds": !seconds.is_empty(), "seconds_multipliers": seconds,
        "supported_resolutions": intervals.iter().map(resolution).collect::<Vec<_>>(), "data_status": "streaming",
        "format": "price",
    });
    Ok(json_body(&headers, &value))
}

#[derive(Deserialize)]
struct SearchParams {
    #[serde(default)]
    query: String,
    limit: Option<usize>,
}

async fn search(State(app): State<App>, headers: HeaderMap, Params(params): Params<SearchParams>) -> Answer {
    let wanted = params.query.to_ascii_uppercase();
    let rows = app.hub.state().rows();
    let found: Vec<Value> = rows
        .iter()
        .filter(|(name, _)| name.to_ascii_uppercase().contains(&wanted))
        .take(params.limit.unwrap_or(FOUND).min(FOUND))
        .map(|(name, row)| {
            let crypto = row.get("calendar").and_then(Value::as_str) == Some("24/7");
            json!({ "symbol": name, "full_name": name, "description": name, "ticker": name, "exchange": row.get("feed"),
                    "type": if crypto { "crypto" } else { "stock" } })
        })
        .collect();
    Ok(json_body(&headers, &Value::Array(found)))
}

#[derive(Deserialize)]
struct HistoryParams {
    symbol: String,
    from: Option<i64>,
    to: i64,
    resolution: String,
    countback: Option<u64>,
}

async fn history(
    State(app): State<App>,
    headers: HeaderMap,
    Params(params): Params<HistoryParams>,
) -> Answer {
    let symbol = params::symbol(&params.symbol)?;
    let feed = app.hub.state().feed(&symbol);
    let query = BarQuery {
        kind: Kind::TRADE,
        symbol,
        interval: of_resolution(&params.resolution).map_err(Problem::bad)?,
        feed,
        session: Session::All,
    };
    let nanos = |seconds: i64| seconds.saturating_mul(SECOND);
    let limit = params::limit(params.countback, app.settings.limits.rows, app.settings.limits.rows)?;
    let deadline = app.settings.limits.query_deadline;
    let mut range = Range {
        // The count, if given, decides how far back.
        from: if params.countback.is_some() { None } else { params.from.map(nanos) },
        to: Some(nanos(params.to)),
        order: Order::Desc,
        limit,
        cursor: None,
        newest: None,
        deadline,
        end: Instant::now(),
    };
    let settings = std::sync::Arc::clone(&app.settings);
    let (rows, _) = query::run(&app, move |store, end| {
        range.end = end;
        let scan = &mut range::stored_bars(store, &query);
        range::bars(&settings, &query, &range, scan, &mut range::bar_object)
    })
    .await?;
    if rows.is_empty() {
        return Ok(json_body(&headers, &json!({ "s": "no_data" })));
    }
    let mut columns: BTreeMap<&str, Vec<Box<RawValue>>> = BTreeMap::new();
    for row in rows.iter().rev() {
        columns.entry("t").or_default().push(number(&(row.ts / SECOND).to_string()));
        for (short, long) in [("o", "open"), ("h", "high"), ("l", "low"), ("c", "close"), ("v", "volume")] {
            let text = row.value.get(long).and_then(Value::as_str).unwrap_or_default();
            columns.entry(short).or_default().push(number(text));
        }
    }
    let lists = serde_json::to_string(&columns).unwrap_or_default();
    let body = format!("{{\"s\":\"ok\",{}", lists.trim_start_matches('{'));
    Ok(tagged(&headers, "application/json", body.into_bytes()))
}
