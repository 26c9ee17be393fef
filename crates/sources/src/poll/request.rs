//! Requests to each vendor.

use super::settings::PollSettings;
use crate::http::segment;
use market::UnixNanos;
use market::codec::poll::PollVendor;
use market::interval::{Interval, MINUTE, SECOND};

/// A request: address, query, headers. The address never contains the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) url: String,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) headers: Vec<(&'static str, String)>,
    /// End of the span it covers; the rest needs another request.
    pub(super) until: UnixNanos,
}

const DAY: i64 = 24 * 60 * MINUTE;
const NEW_YORK: &str = "America/New_York";
/// Alpha Vantage returns the last thirty days; older bars must be requested by month.
const RECENT: i64 = 25 * DAY;

/// A compact reply of Alpha Vantage has a hundred sessions: no more than this many days.
const COMPACT: i64 = 130 * DAY;

/// Longest span of one request, so that no plan's reply limit can truncate it: some truncate the oldest bars.
fn longest(vendor: PollVendor, interval: Interval) -> i64 {
    let length = interval.nanos().unwrap_or(DAY);
    // Both ends are included.
    let bars = |count: i64| length.saturating_mul(count - 1);
    match vendor {
        PollVendor::Alpaca => bars(10_000),
        // It counts the minutes, or days, that make up a bar.
        PollVendor::Massive => {
            length.min(if interval.is_day() { DAY } else { MINUTE }).saturating_mul(49_999)
        }
        PollVendor::TwelveData => bars(5_000),
        PollVendor::Yahoo if length == MINUTE => 7 * DAY,
        PollVendor::AlphaVantage | PollVendor::Yahoo => i64::MAX,
    }
}

/// Start of the next month, in New York.
fn next_month(at: UnixNanos) -> UnixNanos {
    let month = at.local("%Y-%m", NEW_YORK);
    let (year, month) = month.split_once('-').unwrap_or_default();
    let (year, month) = (year.parse().unwrap_or(1970_i32), month.parse().unwrap_or(1_i32));
    let (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    UnixNanos::parse(&format!("{year:04}-{month:02}-01T00:00[{NEW_YORK}]")).unwrap_or(UnixNanos(i64::MAX))
}

/// The vendor's name of an interval; `None` if it has no such interval.
pub(super) fn word(vendor: PollVendor, interval: Interval) -> Option<&'static str> {
    let minutes = interval.nanos().map_or(1_440, |nanos| nanos / MINUTE);
    let words = match (vendor, minutes) {
        (PollVendor::Alpaca, 1) => "1Min",
        (PollVendor::Alpaca, 5) => "5Min",
        (PollVendor::Alpaca, 15) => "15Min",
        (PollVendor::Alpaca, 60) => "1Hour",
        (PollVendor::Alpaca, 1_440) => "1Day",
        (PollVendor::Massive, 1) => "1/minute",
        (PollVendor::Massive, 5) => "5/minute",
        (PollVendor::Massive, 15) => "15/minute",
        (PollVendor::Massive, 60) => "1/hour",
        (PollVendor::Massive, 1_440) => "1/day",
        (PollVendor::AlphaVantage | PollVendor::TwelveData, 1) => "1min",
        (PollVendor::AlphaVantage | PollVendor::TwelveData, 5) => "5min",
        (PollVendor::AlphaVantage | PollVendor::TwelveData, 15) => "15min",
        (PollVendor::AlphaVantage, 60) => "60min",
        (PollVendor::TwelveData, 60) => "1h",
        (PollVendor::AlphaVantage, 1_440) => "daily",
        (PollVendor::TwelveData, 1_440) => "1day",
        (PollVendor::Yahoo, 1) => "1m",
        (PollVendor::Yahoo, 5) => "5m",
        (PollVendor::Yahoo, 15) => "15m",
        (PollVendor::Yahoo, 60) => "1h",
        (PollVendor::Yahoo, 1_440) => "1d",
        _ => return None,
    };
    interval.nanos().is_none_or(|nanos| nanos >= MINUTE).then_some(words)
}

/// Requests bars of a symbol that start between two times, or the first part of them. From a vendor without
/// span parameters, its newest bars, or the month of the first.
pub(super) fn request(
    settings: &PollSettings,
    symbol: &str,
    (from, to): (UnixNanos, UnixNanos),
    now: UnixNanos,
) -> Request {
    let until = UnixNanos(from.0.saturating_add(longest(settings.vendor, settings.interval))).min(to);
    let rest = settings.rest.trim_end_matches('/');
    let word = word(settings.vendor, settings.interval).unwrap_or_default();
    let (key, secret) = (settings.key.reveal().to_owned(), settings.secret.reveal().to_owned());
    let symbol = symbol.to_owned();
    match settings.vendor {
        PollVendor::Alpaca => Request {
            url: format!("{rest}/v2/stocks/bars"),
            query: vec![
                ("symbols", symbol),
                ("timeframe", word.to_owned()),
                ("start", from.to_string()),
                ("end", until.to_string()),
                ("limit", "10000".to_owned()),
                ("feed", "iex".to_owned()),
            ],
            headers: vec![("APCA-API-KEY-ID", key), ("APCA-API-SECRET-KEY", secret)],
            until,
        },
        PollVendor::Massive => Request {
            url: format!(
                "{rest}/v2/aggs/ticker/{}/range/{word}/{}/{}",
                segment(&symbol),
                from.millis(),
                until.millis()
            ),
            query: vec![
                ("adjusted", "false".to_owned()),
                ("sort", "asc".to_owned()),
                ("limit", "50000".to_owned()),
            ],
            headers: vec![("Authorization", format!("Bearer {key}"))],
            until,
        },
        PollVendor::AlphaVantage => {
            let mut until = until;
            // A free key has daily bars only in compact replies.
            let compact = word == "daily" && now.0.saturating_sub(from.0) <= COMPACT;
            let size = if compact { "compact" } else { "full" };
            let mut query = vec![("symbol", symbol), ("outputsize", size.to_owned()), ("apikey", key)];
            if word == "daily" {
                query.push(("function", "TIME_SERIES_DAILY".to_owned()));
            } else {
                query.extend([
                    ("function", "TIME_SERIES_INTRADAY".to_owned()),
                    ("interval", word.to_owned()),
                    ("adjusted", "false".to_owned()),
                    ("extended_hours", "true".to_owned()),
                ]);
                if now.0.saturating_sub(from.0) > RECENT {
                    query.push(("month", from.local("%Y-%m", NEW_YORK)));
                    until = next_month(from).min(to);
                }
            }
            Request { url: format!("{rest}/query"), query, headers: Vec::new(), until }
        }
        PollVendor::TwelveData => {
            // Daily bars are dated in exchange time; times are requested and returned in UTC, whatever the
            // instrument.
            let day = settings.interval.is_day();
            let (pattern, zone) = ("%Y-%m-%d %H:%M:%S", if day { NEW_YORK } else { "UTC" });
            let mut query = vec![
                ("symbol", symbol),
                ("interval", word.to_owned()),
                ("outputsize", "5000".to_owned()),
                ("start_date", from.local(pattern, zone)),
                ("end_date", until.local(pattern, zone)),
                ("order", "ASC".to_owned()),
                ("apikey", key),
            ];
            if !day {
                query.push(("timezone", "UTC".to_owned()));
            }
            Request { url: format!("{rest}/time_series"), query, headers: Vec::new(), until }
        }
        PollVendor::Yahoo => Request {
            url: format!("{rest}/v8/finance/chart/{}", segment(&symbol)),
            query: vec![
                ("interval", word.to_owned()),
                ("period1", (from.0 / SECOND).to_string()),
                ("period2", (until.0 / SECOND).to_string()),
                ("includePrePost", "true".to_owned()),
            ],
            headers: Vec::new(),
            until,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The requests for a span, and what each covers.
    fn requests(url: &str, from: &str, to: &str) -> Vec<(Request, UnixNanos)> {
        let keys = ["alpaca.key", "massive.key", "poll.alphavantage.key", "poll.twelvedata.key"];
        let mut changes: Vec<(&str, &str)> = keys.map(|name| (name, "k")).to_vec();
        changes.push(("url", url));
        let settings = super::super::open(&crate::settings::with(&changes)).unwrap().unwrap();
        let [mut from, to, now] = [from, to, "2026-11-24"].map(|text| UnixNanos::parse(text).unwrap());
        let mut out = Vec::new();
        loop {
            let request = request(&settings, "SPY", (from, to), now);
            let until = request.until;
            assert!(from < until && until <= to, "{request:?}");
            out.push((request, from));
            if until == to {
                return out;
            }
            from = until;
        }
    }

    #[test]
    fn a_long_span_is_requested_in_pieces_that_fit_a_reply() {
        // Vendor, interval, maximum bars per reply, number of requests for two months.
        for (vendor, interval, most, count) in [
            ("alpaca", "1m", 10_000, 9),
            ("alpaca", "1d", 10_000, 1),
            ("massive", "1m", 50_000, 2),
            ("massive", "1h", 50_000, 2),
            ("massive", "1d", 50_000, 1),
            ("twelvedata", "1m", 5_000, 18),
            ("twelvedata", "1h", 5_000, 1),
            ("yahoo", "1m", 8 * 1_440, 9),
            ("yahoo", "1h", 50_000, 1),
            ("alphavantage", "1m", 50_000, 3),
            ("alphavantage", "1d", 50_000, 1),
        ] {
            let url = format!("poll:{vendor}?symbols=SPY&interval={interval}");
            let list = requests(&url, "2013-10-08", "2013-12-08");
            assert_eq!(list.len(), count, "{url}");
            let length = interval.parse::<Interval>().unwrap().nanos().unwrap_or(DAY);
            let fits = |(request, from): &(Request, UnixNanos)| (request.until.0 - from.0) / length < most;
            assert!(list.iter().all(fits), "{url}");
        }
    }

    #[test]
    fn twelve_data_is_queried_in_utc_and_alpha_vantage_for_no_more_than_needed() {
        let value = |request: &Request, name: &str| {
            request.query.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
        };
        let list = requests(
            "poll:twelvedata?symbols=EUR/USD&interval=1m",
            "2025-06-10T00:00:00Z",
            "2025-06-10T06:00:00Z",
        );
        let [(request, _)] = &list[..] else { panic!("{list:?}") };
        assert_eq!(value(request, "timezone").as_deref(), Some("UTC"));
        assert_eq!(value(request, "start_date").as_deref(), Some("2025-06-10 00:00:00"));
        assert_eq!(value(request, "end_date").as_deref(), Some("2025-06-10 06:00:00"));
        let url = "poll:alphavantage?symbols=SPY&interval=1d";
        for (from, size) in [("2026-10-24", "compact"), ("2026-01-01", "full")] {
            let list = requests(url, from, "2026-11-24");
            assert_eq!(value(&list[0].0, "outputsize").as_deref(), Some(size), "{from}");
        }
    }

    #[test]
    fn months_of_the_past_are_named_to_alpha_vantage() {
        let url = "poll:alphavantage?symbols=SPY&interval=1m";
        let months = |from, to| -> Vec<Option<String>> {
            let month = |(request, _): (Request, _)| {
                request.query.into_iter().find(|(name, _)| *name == "month").map(|(_, value)| value)
            };
            requests(url, from, to).into_iter().map(month).collect()
        };
        let named = |list: &[&str]| list.iter().map(|text| Some((*text).to_owned())).collect::<Vec<_>>();
        assert_eq!(months("2013-10-08", "2013-10-09"), named(&["2013-10"]));
        assert_eq!(months("2013-11-08", "2014-01-09"), named(&["2013-11", "2013-12", "2014-01"]));
        // The last request has no month.
        assert_eq!(months("2026-10-20", "2026-11-24"), [named(&["2026-10"]), vec![None]].concat());
    }
}
