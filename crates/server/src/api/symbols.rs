//! `GET /api/v1/symbols`: the watchlist.

use crate::app::App;
use crate::http::params::Params;
use crate::http::reply::{Answer, Format, List, list};
use crate::query;
use axum::extract::State;
use axum::http::HeaderMap;
use market::Kind;
use market::kind::Subject;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use utoipa::IntoParams;

const COLUMNS: [&str; 22] = [
    "symbol",
    "feed",
    "ts",
    "recv_ts",
    "last",
    "open",
    "high",
    "low",
    "previous_close",
    "change",
    "change_percent",
    "change_from",
    "volume",
    "trades",
    "bid",
    "ask",
    "spread",
    "session",
    "calendar",
    "zone",
    "stored_trades",
    "stored_quotes",
];

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SymbolParams {
    /// Only symbols that contain this text, case-insensitive.
    search: Option<String>,
    /// Whether to count the stored records of each symbol. Reads the whole store.
    #[serde(default)]
    stored: bool,
    /// Format of the list.
    #[serde(default)]
    format: Format,
}

/// Symbols seen on the topics, with their last prices.
#[utoipa::path(get, path = "/api/v1/symbols", params(SymbolParams), tag = "market",
    responses((status = 200, description = "Symbols in alphabetical order, with last price, change, volume, spread and session")))]
pub(crate) async fn symbols(
    State(app): State<App>,
    headers: HeaderMap,
    Params(params): Params<SymbolParams>,
) -> Answer {
    let mut rows: BTreeMap<String, Map<String, Value>> = app.hub.state().rows().into_iter().collect();
    if params.stored {
        let counts = query::run(&app, |store, _| Ok(store.count()?)).await?;
        let of_instruments = |kind: &Kind| kind.subject() == Subject::Instrument;
        for (kind, symbols) in counts.into_iter().filter(|(kind, _)| of_instruments(kind)) {
            let name = format!("stored_{}", kind.plural());
            for (symbol, count) in symbols {
                let row = rows.entry(symbol.clone()).or_insert_with(|| {
                    let mut row = Map::new();
                    row.insert("symbol".to_owned(), symbol.into());
                    row
                });
                row.insert(name.clone(), count.into());
            }
        }
    }
    if let Some(search) = params.search.as_ref().map(|search| search.to_ascii_uppercase()) {
        rows.retain(|symbol, _| symbol.to_ascii_uppercase().contains(&search));
    }
    let rows = rows.into_values().collect();
    Ok(list(&headers, params.format, &List { columns: COLUMNS.to_vec(), rows, next: None }))
}
