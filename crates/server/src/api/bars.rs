//! `GET /api/v1/bars`.

use crate::app::App;
use crate::http::params::{self, Params};
use crate::http::problem::Problem;
use crate::http::reply::Answer;
use crate::http::rows::{self, RowFormat, Rows};
use crate::query;
use crate::query::page::Cursor;
use crate::query::range::{self, BarQuery, BarScanner, Order, Range, Session, in_zone};
use crate::settings::ServerSettings;
use axum::extract::State;
use axum::http::HeaderMap;
use columnar::columns;
use market::Kind;
use market::adjust::{Adjust, Factors};
use market::bar::Bar;
use market::interval::Interval;
use serde::Deserialize;
use std::time::Instant;
use utoipa::IntoParams;

const TRADES: [&str; 16] = [
    "start", "symbol", "feed", "interval", "open", "high", "low", "close", "volume", "vwap", "trades",
    "late", "revision", "final", "complete", "session",
];
const QUOTES: [&str; 19] = [
    "start",
    "symbol",
    "feed",
    "interval",
    "bid_open",
    "bid_high",
    "bid_low",
    "bid_close",
    "bid_size",
    "ask_open",
    "ask_high",
    "ask_low",
    "ask_close",
    "ask_size",
    "late",
    "revision",
    "final",
    "complete",
    "session",
];

/// Kind of bars.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Of {
    /// Trades.
    #[default]
    Trades,
    /// Quotes: bid and ask.
    Quotes,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct BarParams {
    /// The instrument, for example `SPY`.
    symbol: String,
    /// `1s`, `1m`, `5m`, `1h`, `1d`; `1m` if absent.
    interval: Option<String>,
    /// Bars of trades or of quotes.
    #[serde(default)]
    of: Of,
    /// Start of the first bar, inclusive.
    from: Option<String>,
    /// Start of the last bar, exclusive.
    to: Option<String>,
    /// Only bars of this feed.
    feed: Option<String>,
    /// Rebuild from the stored trades under this condition policy: `sip`, `lean`, `all` or `official`. Needs `from` and `to`.
    policy: Option<String>,
    /// `none`, `split` or `all` (splits and dividends); needs `serve.factors`.
    adjust: Option<String>,
    /// Part of the day.
    #[serde(default)]
    session: Session,
    /// Order: oldest or newest first.
    #[serde(default)]
    order: Order,
    /// Maximum number of rows per page; 1,000 if absent.
    limit: Option<u64>,
    /// `next` of the previous page.
    cursor: Option<String>,
    /// Time zone of `start` in the reply; UTC if absent.
    tz: Option<String>,
    /// Format of the rows; the header `Accept` decides if it is absent.
    format: Option<RowFormat>,
}

/// Bars of a symbol.
#[utoipa::path(get, path = "/api/v1/bars", params(BarParams), tag = "market",
    responses((status = 200, description = "Bars in order of their start; `format` or `Accept` chooses JSON, CSV, Arrow IPC (`application/vnd.apache.arrow.stream`) or Parquet (`application/vnd.apache.parquet`)"), (status = 400, body = Problem)))]
pub(crate) async fn bars(
    State(app): State<App>,
    headers: HeaderMap,
    Params(params): Params<BarParams>,
) -> Answer {
    let (kind, names) = match params.of {
        Of::Trades => (Kind::TRADE, TRADES.to_vec()),
        Of::Quotes => (Kind::QUOTE, QUOTES.to_vec()),
    };
    let query = BarQuery {
        kind,
        symbol: params::symbol(&params.symbol)?,
        interval: interval(params.interval.as_deref())?,
        feed: params.feed.clone(),
        session: params.session,
    };
    let (from, to) = params::range(params.from.as_deref(), params.to.as_deref())?;
    let zone = params::zone(params.tz.as_deref())?;
    let adjustment = Adjustment::new(&app.settings, params.adjust.as_deref())?;
    let rebuild = crate::query::rebuild::Rebuild::new(&app.settings, params.policy.as_deref(), from, to)?;
    let limits = &app.settings.limits;
    let mut range = Range {
        from,
        to,
        order: params.order,
        limit: params::limit(params.limit, 1_000, limits.rows)?,
        cursor: Cursor::parse(params.cursor.as_deref())?,
        newest: app.hub.state().newest(&query.symbol),
        deadline: limits.query_deadline,
        end: Instant::now(),
    };
    let settings = std::sync::Arc::clone(&app.settings);
    let format = RowFormat::requested(params.format, &headers);
    let binary = format.binary(zone.as_deref())?;
    let (rows, next) = query::run(&app, move |store, end| {
        range.end = end;
        range.end_by_directory(store, kind, &query.symbol)?;
        let factors = adjustment.factors(&query.symbol)?;
        let mut stored = range::stored_bars(store, &query);
        let mut rebuilt = rebuild.as_ref().map(|rebuild| rebuild.scanner(store, &query, end));
        let scan: BarScanner<'_> = &mut |from, to, sink| {
            let mut adjusted = |mut bar: Bar| {
                factors.apply(&settings, &mut bar);
                sink(bar)
            };
            match &mut rebuilt {
                Some(rebuilt) => rebuilt(from, to, &mut adjusted),
                None => stored(from, to, &mut adjusted),
            }
        };
        if let Some(binary) = binary {
            let (rows, next) = range::bars(&settings, &query, &range, scan, &mut |bar, _| bar)?;
            let interval = query.interval.to_string();
            let body = binary.encode(columns::of_bars(kind), &rows, |row, values| {
                columns::bar(&row.value, &interval, values);
            })?;
            return Ok((Rows::Encoded(body), next));
        }
        let (rows, next) = range::bars(&settings, &query, &range, scan, &mut range::bar_object)?;
        let mut rows: Vec<_> = rows.into_iter().map(|row| row.value).collect();
        if let Some(zone) = zone {
            in_zone(&mut rows, &zone, &["start"]);
        }
        Ok((Rows::Objects(rows), next))
    })
    .await?;
    Ok(rows::reply(&headers, format, names, rows, next))
}

/// An interval; one minute if absent.
pub(crate) fn interval(text: Option<&str>) -> Result<Interval, Problem> {
    text.map_or(Ok(Interval::M1), str::parse).map_err(|error| Problem::bad(format!("interval: {error}")))
}

/// Whether and how bars are adjusted for splits and dividends.
struct Adjustment {
    adjust: Adjust,
    folder: std::path::PathBuf,
}

/// The factors of one symbol; none if bars are unadjusted.
struct SymbolFactors(Option<(Adjust, Factors)>);

impl Adjustment {
    fn new(settings: &ServerSettings, text: Option<&str>) -> Result<Self, Problem> {
        let adjust = text.map_or(Ok(Adjust::None), str::parse);
        let adjust: Adjust = adjust.map_err(|error| Problem::bad(format!("adjust: {error}")))?;
        match (&settings.factors, adjust) {
            (Some(folder), _) => Ok(Self { adjust, folder: folder.clone() }),
            (None, Adjust::None) => Ok(Self { adjust, folder: std::path::PathBuf::new() }),
            (None, _) => Err(Problem::bad("adjust: this server has no split and dividend factors")
                .hint("set `serve.factors` to a folder of SYMBOL.csv files; their format: docs/bars.md")),
        }
    }

    fn factors(&self, symbol: &str) -> Result<SymbolFactors, Problem> {
        if self.adjust == Adjust::None {
            return Ok(SymbolFactors(None));
        }
        // The symbol is part of a file name here: only letters, digits, dot and dash may reach the file
        // system.
        let plain = symbol.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
        let missing = || Problem::missing(format!("no split and dividend factors for {symbol}"));
        if !plain || symbol.starts_with('.') {
            return Err(missing());
        }
        let path = self.folder.join(format!("{}.csv", symbol.to_ascii_lowercase()));
        let text = std::fs::read_to_string(path).map_err(|_| missing())?;
        let factors = Factors::parse(&text).map_err(|error| missing().hint(error))?;
        Ok(SymbolFactors(Some((self.adjust, factors))))
    }
}

impl SymbolFactors {
    fn apply(&self, settings: &ServerSettings, bar: &mut Bar) {
        if let Some((adjust, factors)) = &self.0 {
            let date = settings.calendar(&bar.feed, &bar.symbol).day(bar.start).yyyymmdd;
            factors.apply(bar, *adjust, date);
        }
    }
}
