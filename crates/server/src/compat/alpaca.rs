//! `/v2/stocks/{bars,trades,quotes}` in the format of Alpaca's market data API: its clients can read this
//! store.

use super::number;
use crate::api::App;
use crate::http::params::{self, Params};
use crate::http::problem::Problem;
use crate::http::reply::{Answer, tagged};
use crate::hub::json;
use crate::query;
use crate::query::page::Cursor;
use crate::query::range::{self, BarQuery, Order, Page, Range, Session};
use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::get;
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

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Bars(Interval),
    Records(Kind),
}

type Fields = BTreeMap<&'static str, Box<RawValue>>;

async fn bars(State(app): State<App>, headers: HeaderMap, Params(params): Params<StockParams>) -> Answer {
    let text =
        params.timeframe.as_deref().ok_or_else(|| Problem::bad("timeframe: expected 1Min, 1Hour or 1Day"))?;
    let interval = timeframe(text)?;
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

/// `5Min`, `1Hour`, `1Day`, and their short forms.
fn timeframe(text: &str) -> Result<Interval, Problem> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let unit = match &text[digits..] {
        "Min" | "T" => "m",
        "Hour" | "H" => "h",
        "Day" | "D" => "d",
        other => return Err(Problem::bad(format!("timeframe: expected Min, Hour or Day, found `{other}`"))),
    };
    format!("{}{unit}", &text[..digits])
        .parse::<Interval>()
        .map_err(|error| Problem::bad(format!("timeframe: {error}")))
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
            found.insert(symbol.clone(), rows.iter().map(|row| fields(what, &row.value)).collect());
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

/// Alpaca's one-letter names of our columns.
fn fields(what: What, row: &Map<String, Value>) -> Fields {
    let names: &[(&'static str, &str)] = match what {
        What::Bars(_) => &[
            ("t", "start"),
            ("o", "open"),
            ("h", "high"),
            ("l", "low"),
            ("c", "close"),
            ("v", "volume"),
            ("n", "trades"),
            ("vw", "vwap"),
        ],
        What::Records(Kind::TRADE) => &[
            ("t", "ts"),
            ("x", "venue"),
            ("p", "price"),
            ("s", "size"),
            ("c", "conditions"),
            ("i", "id"),
            ("z", "tape"),
        ],
        What::Records(Kind::QUOTE) => &[
            ("t", "ts"),
            ("ax", "ask_venue"),
            ("ap", "ask"),
            ("as", "ask_size"),
            ("bx", "bid_venue"),
            ("bp", "bid"),
            ("bs", "bid_size"),
            ("c", "conditions"),
        ],
        // Its API has none.
        What::Records(_) => &[],
    };
    let raw = |name: &str, value: &Value| match value {
        Value::String(text)
            if matches!(name, "o" | "h" | "l" | "c" | "v" | "vw" | "p" | "s" | "ap" | "as" | "bp" | "bs") =>
        {
            number(text)
        }
        Value::String(text) if name == "i" => number(&id(text).to_string()),
        other => serde_json::value::to_raw_value(other).unwrap_or_else(|_| RawValue::NULL.to_owned()),
    };
    names.iter().filter_map(|(short, long)| row.get(*long).map(|value| (*short, raw(short, value)))).collect()
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

    #[test]
    fn timeframes_are_intervals() {
        for (text, interval) in
            [("1Min", "1m"), ("15T", "15m"), ("1Hour", "1h"), ("1Day", "1d"), ("1D", "1d")]
        {
            assert_eq!(timeframe(text).unwrap().to_string(), interval);
        }
        for bad in ["", "Min", "1Week", "7Min", "0Min", "1Minute"] {
            assert!(timeframe(bad).is_err(), "{bad}");
        }
    }
}
