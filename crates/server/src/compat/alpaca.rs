//! `/v2/stocks/{bars,trades,quotes}` in the format of Alpaca's market data API: its clients can read this
//! store. Its stream is in [`super::alpaca_stream`].

use super::intervals::of_timeframe;
use super::number::number;
use crate::app::App;
use crate::http::params::{self, Params};
use crate::http::problem::Problem;
use crate::http::reply::{Answer, tagged};
use crate::hub::json;
use crate::hub::live::LiveContent;
use crate::query;
use crate::query::page::Cursor;
use crate::query::range::{self, BarQuery, Order, Page, Range, Session};
use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::get;
use market::codec::bar::to_json;
use market::interval::Interval;
use market::{Kind, Record};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Instant;

/// Maximum number of symbols in one request.
const SYMBOLS: usize = 100;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/v2/stocks/bars", get(bars))
        .route("/v2/stocks/trades", get(trades))
        .route("/v2/stocks/quotes", get(quotes))
}

/// Parameters that Alpaca's clients send; those without meaning here are ignored.
#[derive(Deserialize)]
struct StockParams {
    symbols: String,
    timeframe: Option<String>,
    start: Option<String>,
    end: Option<String>,
    limit: Option<u64>,
    page_token: Option<String>,
    sort: Option<String>,
    adjustment: Option<String>,
    #[serde(rename = "feed")]
    _feed: Option<String>,
    #[serde(rename = "asof")]
    _asof: Option<String>,
    #[serde(rename = "currency")]
    _currency: Option<String>,
}

#[derive(Clone, Copy)]
enum What {
    Bars(Interval),
    Records(Kind),
}

type Fields = BTreeMap<&'static str, Box<RawValue>>;

async fn bars(State(app): State<App>, headers: HeaderMap, Params(params): Params<StockParams>) -> Answer {
    let text =
        params.timeframe.as_deref().ok_or_else(|| Problem::bad("timeframe: expected 1Min, 1Hour or 1Day"))?;
    let interval = of_timeframe(text).map_err(Problem::bad)?;
    if params.adjustment.as_deref().is_some_and(|adjustment| adjustment != "raw") {
        return Err(
            Problem::bad("adjustment: expected raw").hint("use /api/v1/bars with adjust=split or all")
        );
    }
    answer(&app, &headers, "bars", What::Bars(interval), &params).await
}

async fn trades(State(app): State<App>, headers: HeaderMap, Params(params): Params<StockParams>) -> Answer {
    answer(&app, &headers, "trades", What::Records(Kind::TRADE), &params).await
}

async fn quotes(State(app): State<App>, headers: HeaderMap, Params(params): Params<StockParams>) -> Answer {
    answer(&app, &headers, "quotes", What::Records(Kind::QUOTE), &params).await
}

async fn answer(app: &App, headers: &HeaderMap, name: &str, what: What, params: &StockParams) -> Answer {
    let mut symbols: Vec<String> = params.symbols.split(',').map(params::symbol).collect::<Result<_, _>>()?;
    symbols.sort();
    symbols.dedup();
    if symbols.len() > SYMBOLS {
        return Err(Problem::bad(format!("symbols: expected at most {SYMBOLS}, found {}", symbols.len())));
    }
    let order = match params.sort.as_deref() {
        None | Some("asc") => Order::Asc,
        Some("desc") => Order::Desc,
        Some(other) => return Err(Problem::bad(format!("sort: expected asc or desc, found `{other}`"))),
    };
    let from = params::time("start", params.start.as_deref())?.map(|time| time.0);
    // Alpaca's end is inclusive.
    let to = params::time("end", params.end.as_deref())?.map(|time| time.0.saturating_add(1));
    let limit = params::limit(params.limit, 1_000, app.settings.limits.rows)?;
    let (first, mut cursor) = match &params.page_token {
        None => (0, None),
        Some(token) => {
            let bad =
                || Problem::bad("page_token: expected the next_page_token of an earlier reply, unchanged");
            let (symbol, cursor) = token.split_once(' ').ok_or_else(bad)?;
            let first = symbols.iter().position(|one| one == symbol).ok_or_else(bad)?;
            (first, Cursor::parse(Some(cursor).filter(|cursor| !cursor.is_empty()))?)
        }
    };
    let mut found: BTreeMap<String, Vec<Fields>> = BTreeMap::new();
    let (mut left, mut token) = (limit, None);
    for symbol in symbols.into_iter().skip(first) {
        if left == 0 {
            // The page is full; the next one starts with this symbol.
            token = Some(format!("{symbol} "));
            break;
        }
        let newest = app.hub.state().newest(&symbol);
        let deadline = app.settings.limits.query_deadline;
        let range = Range {
            from,
            to,
            order,
            limit: left,
            cursor: cursor.take(),
            newest,
            deadline,
            end: Instant::now(),
        };
        let (rows, next) = rows(app, what, &symbol, range).await?;
        left -= rows.len();
        if !rows.is_empty() {
            let names = if let What::Records(kind) = what { names(kind) } else { BAR };
            found.insert(symbol.clone(), rows.iter().map(|row| fields(names, &row.value)).collect());
        }
        if let Some(next) = next {
            token = Some(format!("{symbol} {next}"));
            break;
        }
    }
    let body = serde_json::to_vec(&Reply { name, found, token }).unwrap_or_default();
    Ok(tagged(headers, "application/json", body))
}

async fn rows(
    app: &App,
    what: What,
    symbol: &str,
    mut range: Range,
) -> Result<Page<Map<String, Value>>, Problem> {
    let (symbol, settings) = (symbol.to_owned(), std::sync::Arc::clone(&app.settings));
    query::run(app, move |store, end| {
        range.end = end;
        let kind = if let What::Records(kind) = what { kind } else { Kind::TRADE };
        range.end_by_directory(store, kind, &symbol)?;
        match what {
            What::Records(kind) => {
                let mut scratch = Vec::new();
                let object = &mut |record: &Record<&str>| json::record(record, &mut scratch);
                range::records(store, kind, &symbol, None, &range, object)
            }
            What::Bars(interval) => {
                let query =
                    BarQuery { kind: Kind::TRADE, symbol, interval, feed: None, session: Session::All };
                let scan = &mut range::stored_bars(store, &query);
                range::bars(&settings, &query, &range, scan, &mut range::bar_object)
            }
        }
    })
    .await
}

struct Reply<'a> {
    name: &'a str,
    found: BTreeMap<String, Vec<Fields>>,
    token: Option<String>,
}

impl Serialize for Reply<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry(self.name, &self.found)?;
        map.serialize_entry("next_page_token", &self.token)?;
        map.end()
    }
}

/// Alpaca's name of a column, ours, and what a row without it has.
type Name = (&'static str, &'static str, Option<&'static str>);

const BAR: &[Name] = &[
    ("t", "start", None),
    ("o", "open", None),
    ("h", "high", None),
    ("l", "low", None),
    ("c", "close", None),
    ("v", "volume", None),
    ("n", "trades", None),
    ("vw", "vwap", None),
];
const TRADE: &[Name] = &[
    ("t", "ts", None),
    ("x", "venue", Some("\"\"")),
    ("p", "price", None),
    ("s", "size", None),
    ("c", "conditions", None),
    ("i", "id", None),
    ("z", "tape", Some("\"\"")),
];
/// A side that is absent is zero there.
const QUOTE: &[Name] = &[
    ("t", "ts", None),
    ("ax", "ask_venue", Some("\"\"")),
    ("ap", "ask", Some("0")),
    ("as", "ask_size", Some("0")),
    ("bx", "bid_venue", Some("\"\"")),
    ("bp", "bid", Some("0")),
    ("bs", "bid_size", Some("0")),
    ("c", "conditions", None),
];

const fn names(kind: Kind) -> &'static [Name] {
    match kind {
        Kind::TRADE => TRADE,
        Kind::QUOTE => QUOTE,
        // Its API has none.
        _ => &[],
    }
}

/// A message of the stream, as JSON; `None` if the stream has no such message.
pub(super) fn message(content: &LiveContent) -> Option<String> {
    let text = |text: &str| serde_json::value::to_raw_value(text).ok();
    let (class, symbol, mut fields) = match content {
        LiveContent::Record(record) => {
            let row = json::record(&record.as_str(), &mut Vec::new());
            let class = match record {
                Record::Trade(trade) if trade.canceled => "x",
                Record::Trade(_) => "t",
                Record::Quote(_) => "q",
                Record::Reading(_) | Record::Described(_) => return None,
            };
            (class, record.symbol(), fields(names(record.kind()), &row))
        }
        LiveContent::Bar(bar) => {
            let class = match bar {
                bar if bar.interval.is_day() => "d",
                bar if bar.revision > 0 => "u",
                _ => "b",
            };
            (class, &bar.symbol, fields(BAR, &to_json(bar)))
        }
    };
    if class == "x" {
        fields.remove("c");
        fields.insert("a", text("C")?);
    }
    fields.insert("T", text(class)?);
    fields.insert("S", text(symbol)?);
    serde_json::to_string(&fields).ok()
}

/// Alpaca's one-letter names of our columns.
fn fields(names: &[Name], row: &Map<String, Value>) -> Fields {
    let raw = |name: &str, value: &Value| match value {
        Value::String(text)
            if matches!(name, "o" | "h" | "l" | "c" | "v" | "vw" | "p" | "s" | "ap" | "as" | "bp" | "bs") =>
        {
            number(text)
        }
        Value::String(text) if name == "i" => number(&id(text).to_string()),
        other => serde_json::value::to_raw_value(other).unwrap_or_else(|_| RawValue::NULL.to_owned()),
    };
    let absent = |text: &str| RawValue::from_string(text.to_owned()).ok();
    names
        .iter()
        .filter_map(|(short, long, default)| {
            let value = row.get(*long).map(|value| raw(short, value));
            value.or_else(|| absent((*default)?)).map(|value| (*short, value))
        })
        .collect()
}

/// Alpaca's ids are numbers, and its clients read nothing else: an id that is not a number is replaced by 53
/// bits of its hash.
fn id(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| xxhash_rust::xxh3::xxh3_64(text.as_bytes()) >> 11)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_numbers() {
        assert_eq!((id("0"), id("007"), id("52983525029461")), (0, 7, 52_983_525_029_461));
        assert!(id("20131008-7") < 1 << 53 && id("20131008-7") != id("20131008-8"));
    }
}
