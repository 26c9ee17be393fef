//! `GET /api/v1/trades` and `/api/v1/quotes`.

use crate::app::App;
use crate::http::params::{self, Params};
use crate::http::problem::Problem;
use crate::http::reply::Answer;
use crate::http::rows::{self, RowFormat, Rows};
use crate::hub::json;
use crate::query;
use crate::query::page::Cursor;
use crate::query::range::{self, Order, Range, in_zone};
use axum::extract::State;
use axum::http::HeaderMap;
use columnar::columns;
use market::{Kind, Record};
use serde::Deserialize;
use std::time::Instant;
use utoipa::IntoParams;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RecordParams {
    /// The instrument, for example `SPY`.
    symbol: String,
    /// Start, inclusive: `2013-10-08T13:30:00Z`, `2013-10-08`, `2013-10-08T09:30[America/New_York]`.
    from: Option<String>,
    /// End, exclusive.
    to: Option<String>,
    /// Only records of this feed.
    feed: Option<String>,
    /// Order: oldest or newest first. Newest first without `from` reaches back ten days.
    #[serde(default)]
    order: Order,
    /// Maximum number of rows per page; 1,000 if absent.
    limit: Option<u64>,
    /// `next` of the previous page.
    cursor: Option<String>,
    /// Time zone of times in the reply, for example `America/New_York`; UTC if absent.
    tz: Option<String>,
    /// Format of the rows; the header `Accept` decides if it is absent.
    format: Option<RowFormat>,
}

/// Trades of a symbol.
#[utoipa::path(get, path = "/api/v1/trades", params(RecordParams), tag = "market",
    responses((status = 200, description = "Trades in order of event time; `format` or `Accept` chooses JSON, CSV, Arrow IPC (`application/vnd.apache.arrow.stream`) or Parquet (`application/vnd.apache.parquet`)"), (status = 400, body = Problem)))]
pub(crate) async fn trades(
    State(app): State<App>,
    headers: HeaderMap,
    Params(params): Params<RecordParams>,
) -> Answer {
    records(&app, &headers, Kind::TRADE, params).await
}

/// Quotes of a symbol.
#[utoipa::path(get, path = "/api/v1/quotes", params(RecordParams), tag = "market",
    responses((status = 200, description = "Quotes in order of event time; `format` or `Accept` chooses JSON, CSV, Arrow IPC (`application/vnd.apache.arrow.stream`) or Parquet (`application/vnd.apache.parquet`)"), (status = 400, body = Problem)))]
pub(crate) async fn quotes(
    State(app): State<App>,
    headers: HeaderMap,
    Params(params): Params<RecordParams>,
) -> Answer {
    records(&app, &headers, Kind::QUOTE, params).await
}

async fn records(app: &App, headers: &HeaderMap, kind: Kind, params: RecordParams) -> Answer {
    let symbol = params::symbol(&params.symbol)?;
    let (from, to) = params::range(params.from.as_deref(), params.to.as_deref())?;
    let zone = params::zone(params.tz.as_deref())?;
    let limits = &app.settings.limits;
    let mut range = Range {
        from,
        to,
        order: params.order,
        limit: params::limit(params.limit, 1_000, limits.rows)?,
        cursor: Cursor::parse(params.cursor.as_deref())?,
        newest: app.hub.state().newest(&symbol),
        deadline: limits.query_deadline,
        end: Instant::now(),
    };
    let format = RowFormat::requested(params.format, headers);
    let binary = format.binary(zone.as_deref())?;
    let (rows, next) = query::run(app, move |store, end| {
        range.end = end;
        range.end_by_directory(store, kind, &symbol)?;
        let feed = params.feed.as_deref();
        if let Some(binary) = binary {
            let owned = &mut |record: &Record<&str>| record.map(str::to_owned);
            let (rows, next) = range::records(store, kind, &symbol, feed, &range, owned)?;
            let body = binary.encode(columns::of_records(kind), &rows, |row, values| {
                columns::record(&row.value.as_str(), values);
            })?;
            return Ok((Rows::Encoded(body), next));
        }
        let mut scratch = Vec::new();
        let object = &mut |record: &Record<&str>| json::record(record, &mut scratch);
        let (rows, next) = range::records(store, kind, &symbol, feed, &range, object)?;
        let mut rows: Vec<_> = rows.into_iter().map(|row| row.value).collect();
        if let Some(zone) = zone {
            in_zone(&mut rows, &zone, &["ts", "recv_ts"]);
        }
        Ok((Rows::Objects(rows), next))
    })
    .await?;
    Ok(rows::reply(headers, format, json::columns(kind).to_vec(), rows, next))
}
