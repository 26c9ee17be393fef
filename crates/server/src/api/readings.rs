//! `GET /api/v1/series`, `/api/v1/readings` and `/api/v1/reading-bars`: sensors and other time series.

use super::bars::interval;
use crate::app::App;
use crate::http::params::{self, Params};
use crate::http::problem::Problem;
use crate::http::reply::{Answer, Format, List, list};
use crate::hub::json;
use crate::hub::series::{After, COLUMNS};
use crate::query;
use crate::query::page::Cursor;
use crate::query::range::{self, BarQuery, Order, Range, Session, in_zone};
use axum::extract::State;
use axum::http::HeaderMap;
use market::{Kind, Record};
use serde::Deserialize;
use std::time::Instant;
use utoipa::IntoParams;

const BARS: [&str; 15] = [
    "start", "series", "feed", "interval", "first", "max", "min", "last", "sum", "mean", "count", "late",
    "revision", "final", "complete",
];

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SeriesParams {
    /// Only series whose name contains this text, case-insensitive.
    search: Option<String>,
    /// Maximum number of rows per page; 1,000 if absent.
    limit: Option<u64>,
    /// `next` of the previous page.
    cursor: Option<String>,
    /// Format of the list.
    #[serde(default)]
    format: Format,
}

/// Series of readings seen on the topic, with their last values.
#[utoipa::path(get, path = "/api/v1/series", params(SeriesParams), tag = "readings",
    responses((status = 200, description = "Series in order of name and feed, with last value, type, unit, quality and times"),
        (status = 400, body = Problem)))]
pub(crate) async fn series(
    State(app): State<App>,
    headers: HeaderMap,
    Params(params): Params<SeriesParams>,
) -> Answer {
    let limit = params::limit(params.limit, 1_000, app.settings.limits.rows)?;
    let after = params.cursor.as_deref().map(parse_after).transpose()?;
    let search = params.search.unwrap_or_default().to_uppercase();
    let (rows, next) = app.hub.state().series.rows(&search, &app.settings.zone, after.as_ref(), limit);
    let next = next.as_ref().map(write_after);
    Ok(list(&headers, params.format, &List { columns: COLUMNS.to_vec(), rows, next }))
}

/// A cursor in hexadecimal digits: names may have characters that a header must not have.
fn write_after((series, feed): &After) -> String {
    use std::fmt::Write;
    let mut out = String::new();
    for byte in series.bytes().chain([0]).chain(feed.bytes()) {
        // Writing to a string cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}

fn parse_after(text: &str) -> Result<After, Problem> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let bytes: Option<Vec<u8>> = text
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::try_from(digit(*pair.first()?)? * 16 + digit(*pair.get(1)?)?).ok())
        .collect();
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| text.split_once('\0').map(|(series, feed)| (series.to_owned(), feed.to_owned())))
        .ok_or_else(|| Problem::bad("cursor: expected the `next` of an earlier reply, unchanged"))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReadingParams {
    /// The series, for example `boiler-7.temperature`.
    series: String,
    /// Start, inclusive: `2026-01-05T13:30:00Z`, `2026-01-05`, `2026-01-05T09:30[Europe/Berlin]`.
    from: Option<String>,
    /// End, exclusive.
    to: Option<String>,
    /// Only readings of this feed.
    feed: Option<String>,
    /// Order: oldest or newest first. Newest first without `from` reaches back ten days.
    #[serde(default)]
    order: Order,
    /// Maximum number of rows per page; 1,000 if absent.
    limit: Option<u64>,
    /// `next` of the previous page.
    cursor: Option<String>,
    /// Time zone of times in the reply, for example `Europe/Berlin`; UTC if absent.
    tz: Option<String>,
    /// Format of the list.
    #[serde(default)]
    format: Format,
}

/// Readings of a series.
#[utoipa::path(get, path = "/api/v1/readings", params(ReadingParams), tag = "readings",
    responses((status = 200, description = "Readings in order of event time"), (status = 400, body = Problem)))]
pub(crate) async fn readings(
    State(app): State<App>,
    headers: HeaderMap,
    Params(params): Params<ReadingParams>,
) -> Answer {
    let series = params::series(&params.series)?;
    let zone = params::zone(params.tz.as_deref())?;
    let mut range = Range {
        order: params.order,
        ..span(&app, &series, [params.from, params.to], params.limit, params.cursor.as_deref())?
    };
    let (rows, next) = query::run(&app, move |store, end| {
        range.end = end;
        range.end_by_directory(store, Kind::READING, &series)?;
        let mut scratch = Vec::new();
        let object = &mut |record: &Record<&str>| json::record(record, &mut scratch);
        range::records(store, Kind::READING, &series, params.feed.as_deref(), &range, object)
    })
    .await?;
    let mut rows: Vec<_> = rows.into_iter().map(|row| row.value).collect();
    if let Some(zone) = zone {
        in_zone(&mut rows, &zone, &["ts", "recv_ts"]);
    }
    let columns = json::columns(Kind::READING).to_vec();
    Ok(list(&headers, params.format, &List { columns, rows, next }))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReadingBarParams {
    /// The series, for example `boiler-7.temperature`.
    series: String,
    /// `1s`, `1m`, `5m`, `1h`, `1d`; `1m` if absent.
    interval: Option<String>,
    /// Start of the first bar, inclusive.
    from: Option<String>,
    /// Start of the last bar, exclusive.
    to: Option<String>,
    /// Only bars of this feed.
    feed: Option<String>,
    /// Order: oldest or newest first.
    #[serde(default)]
    order: Order,
    /// Maximum number of rows per page; 1,000 if absent.
    limit: Option<u64>,
    /// `next` of the previous page.
    cursor: Option<String>,
    /// Time zone of `start` in the reply; UTC if absent.
    tz: Option<String>,
    /// Format of the list.
    #[serde(default)]
    format: Format,
}

/// Bars of a series of readings.
#[utoipa::path(get, path = "/api/v1/reading-bars", params(ReadingBarParams), tag = "readings",
    responses((status = 200, description = "First, highest, lowest and last value, sum, mean and count of each interval"),
        (status = 400, body = Problem)))]
pub(crate) async fn reading_bars(
    State(app): State<App>,
    headers: HeaderMap,
    Params(params): Params<ReadingBarParams>,
) -> Answer {
    let series = params::series(&params.series)?;
    let zone = params::zone(params.tz.as_deref())?;
    let query = BarQuery {
        kind: Kind::READING,
        symbol: series.clone(),
        interval: interval(params.interval.as_deref())?,
        feed: params.feed,
        session: Session::All,
    };
    let mut range = Range {
        order: params.order,
        ..span(&app, &series, [params.from, params.to], params.limit, params.cursor.as_deref())?
    };
    let settings = std::sync::Arc::clone(&app.settings);
    let (rows, next) = query::run(&app, move |store, end| {
        range.end = end;
        range.end_by_directory(store, Kind::READING, &series)?;
        let mut stored = range::stored_bars(store, &query);
        range::bars(&settings, &query, &range, &mut stored, &mut range::bar_object)
    })
    .await?;
    let mut rows: Vec<_> = rows.into_iter().map(|row| row.value).collect();
    for row in &mut rows {
        // The API's readings and bars name the series alike.
        if let Some(name) = row.remove("symbol") {
            row.insert("series".to_owned(), name);
        }
    }
    if let Some(zone) = zone {
        in_zone(&mut rows, &zone, &["start"]);
    }
    Ok(list(&headers, params.format, &List { columns: BARS.to_vec(), rows, next }))
}

/// The range that the parameters of both queries describe, oldest first.
fn span(
    app: &App,
    series: &str,
    [from, to]: [Option<String>; 2],
    limit: Option<u64>,
    cursor: Option<&str>,
) -> Result<Range, Problem> {
    let (from, to) = params::range(from.as_deref(), to.as_deref())?;
    let limits = &app.settings.limits;
    Ok(Range {
        from,
        to,
        order: Order::Asc,
        limit: params::limit(limit, 1_000, limits.rows)?,
        cursor: Cursor::parse(cursor)?,
        newest: app.hub.state().newest_reading(series),
        deadline: limits.query_deadline,
        end: Instant::now(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_of_series_holds_any_name() {
        let after = ("kessel.t[°C]~".to_owned(), "plant".to_owned());
        let text = write_after(&after);
        assert!(text.is_ascii(), "{text}");
        assert!(parse_after(&text).is_ok_and(|read| read == after));
        for bad in ["", "6", "6g", "61", "ff00"] {
            assert!(parse_after(bad).is_err(), "{bad}");
        }
    }
}
