//! What each vendor is asked, and how.

use super::Settings;
use market::UnixNanos;
use market::codec::poll::Vendor;
use market::interval::{Interval, MINUTE, SECOND};

/// A request: address, query, headers. The address holds no key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) url: String,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) headers: Vec<(&'static str, String)>,
    /// A reply of so many bars may have more behind it.
    pub(super) page: usize,
}

/// An interval in a vendor's words; nothing where it has none such.
pub(super) fn word(vendor: Vendor, interval: Interval) -> Option<&'static str> {
    let minutes = interval.nanos().map_or(1_440, |nanos| nanos / MINUTE);
    let words = match (vendor, minutes) {
        (Vendor::Alpaca, 1) => "1Min",
        (Vendor::Alpaca, 5) => "5Min",
        (Vendor::Alpaca, 15) => "15Min",
        (Vendor::Alpaca, 60) => "1Hour",
        (Vendor::Alpaca, 1_440) => "1Day",
        (Vendor::Massive, 1) => "1/minute",
        (Vendor::Massive, 5) => "5/minute",
        (Vendor::Massive, 15) => "15/minute",
        (Vendor::Massive, 60) => "1/hour",
        (Vendor::Massive, 1_440) => "1/day",
        (Vendor::AlphaVantage | Vendor::TwelveData, 1) => "1min",
        (Vendor::AlphaVantage | Vendor::TwelveData, 5) => "5min",
        (Vendor::AlphaVantage | Vendor::TwelveData, 15) => "15min",
        (Vendor::AlphaVantage, 60) => "60min",
        (Vendor::TwelveData, 60) => "1h",
        (Vendor::AlphaVantage, 1_440) => "daily",
        (Vendor::TwelveData, 1_440) => "1day",
        (Vendor::Yahoo, 1) => "1m",
        (Vendor::Yahoo, 5) => "5m",
        (Vendor::Yahoo, 15) => "15m",
        (Vendor::Yahoo, 60) => "1h",
        (Vendor::Yahoo, 1_440) => "1d",
        _ => return None,
    };
    interval.nanos().is_none_or(|nanos| nanos >= MINUTE).then_some(words)
}

/// Bars of a symbol that begin between two instants. Where the vendor cannot be asked for that, what it has newest.
pub(super) fn request(settings: &Settings, symbol: &str, from: UnixNanos, to: UnixNanos) -> Request {
    let rest = settings.rest.trim_end_matches('/');
    let word = word(settings.vendor, settings.interval).unwrap_or_default();
    let (key, secret) = (settings.key.reveal().to_owned(), settings.secret.reveal().to_owned());
    let symbol = symbol.to_owned();
    match settings.vendor {
        Vendor::Alpaca => Request {
            url: format!("{rest}/v2/stocks/bars"),
            query: vec![
                ("symbols", symbol),
                ("timeframe", word.to_owned()),
                ("start", from.to_string()),
                ("end", to.to_string()),
                ("limit", "10000".to_owned()),
                ("feed", "iex".to_owned()),
            ],
            headers: vec![("APCA-API-KEY-ID", key), ("APCA-API-SECRET-KEY", secret)],
            page: 10_000,
        },
        Vendor::Massive => Request {
            url: format!("{rest}/v2/aggs/ticker/{symbol}/range/{word}/{}/{}", from.millis(), to.millis()),
            query: vec![
                ("adjusted", "false".to_owned()),
                ("sort", "asc".to_owned()),
                ("limit", "50000".to_owned()),
            ],
            headers: vec![("Authorization", format!("Bearer {key}"))],
            page: 50_000,
        },
        Vendor::AlphaVantage => {
            let mut query = vec![("symbol", symbol), ("outputsize", "full".to_owned()), ("apikey", key)];
            if word == "daily" {
                query.push(("function", "TIME_SERIES_DAILY".to_owned()));
            } else {
                query.extend([
                    ("function", "TIME_SERIES_INTRADAY".to_owned()),
                    ("interval", word.to_owned()),
                    ("adjusted", "false".to_owned()),
                    ("extended_hours", "true".to_owned()),
                ]);
                // The last thirty days come without; a month of the past must be named.
                if to.0 - from.0 > 25 * 24 * 60 * MINUTE {
                    query.push(("month", from.local("%Y-%m", "America/New_York")));
                }
            }
            Request { url: format!("{rest}/query"), query, headers: Vec::new(), page: usize::MAX }
        }
        Vendor::TwelveData => Request {
            url: format!("{rest}/time_series"),
            query: vec![
                ("symbol", symbol),
                ("interval", word.to_owned()),
                ("outputsize", "5000".to_owned()),
                ("start_date", from.local("%Y-%m-%d %H:%M:%S", "America/New_York")),
                ("end_date", to.local("%Y-%m-%d %H:%M:%S", "America/New_York")),
                ("order", "ASC".to_owned()),
                ("apikey", key),
            ],
            headers: Vec::new(),
            page: 5_000,
        },
        Vendor::Yahoo => Request {
            url: format!("{rest}/v8/finance/chart/{symbol}"),
            query: vec![
                ("interval", word.to_owned()),
                ("period1", (from.0 / SECOND).to_string()),
                ("period2", (to.0 / SECOND).to_string()),
                ("includePrePost", "true".to_owned()),
            ],
            headers: Vec::new(),
            page: usize::MAX,
        },
    }
}
