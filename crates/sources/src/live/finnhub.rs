//! Client for Finnhub: trades; it acknowledges no subscription, and sends `ping` when idle. History over
//! `/stock/tick`, one day in columns, if the plan includes it.
//!
//! According to finnhub.io/docs/api and Finnhub-Stock-API/finnhub-python.

use super::vendor::{
    Account, ConnectError, HandshakeStep, HistoryError, HistoryResult, HistorySink, HistorySpan, Vendor,
    present,
};
use crate::http::{Http, read};
use market::codec::feed::Decode;
use market::codec::finnhub::FinnhubDecoder;
use ports::cancel::CancelToken;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Finnhub.
#[derive(Debug)]
pub(super) struct Finnhub(pub(super) Account);

/// Ticks per page of history.
const LIMIT: usize = 25_000;

impl Vendor for Finnhub {
    fn name(&self) -> &'static str {
        "Finnhub"
    }

    fn account(&self) -> &Account {
        &self.0
    }

    fn url(&self) -> String {
        format!("{}/?token={}", self.0.stream.trim_end_matches('/'), self.0.key.reveal())
    }

    fn handshake(&self) -> Vec<HandshakeStep> {
        let subscribe =
            |symbol: &String| serde_json::json!({"type": "subscribe", "symbol": symbol}).to_string();
        self.0.symbols.iter().map(|symbol| HandshakeStep::Send(subscribe(symbol))).collect()
    }

    fn acknowledgements(&self, _: &str) -> Result<usize, ConnectError> {
        Ok(0)
    }

    fn stream_error(&self, frame: &str) -> Option<ConnectError> {
        #[derive(Deserialize)]
        struct Control {
            #[serde(rename = "type")]
            class: String,
            msg: String,
        }
        if frame.len() > 400 || !frame.contains("\"error\"") {
            return None;
        }
        let control: Control = serde_json::from_str(frame).ok()?;
        (control.class == "error").then(|| {
            let hint = if control.msg.contains("too many") {
                "shorten symbols=; the free plan allows 50"
            } else {
                "expected symbols such as AAPL or BINANCE:BTCUSDT; see docs/sources.md"
            };
            self.permanent(&control.msg, hint)
        })
    }

    fn status(&self, code: u16) -> ConnectError {
        match code {
            401 | 403 => self.permanent(&format!("HTTP {code}"), "check FINNHUB_API_KEY"),
            _ => ConnectError::retryable(format!("HTTP {code} to the handshake")),
        }
    }

    fn decoder(&self, label: &str) -> Box<dyn Decode> {
        Box::new(FinnhubDecoder::new(label))
    }

    fn describe(&self) -> String {
        // The address contains the key.
        format!("{} for {}", self.0.stream, self.0.symbols.join(","))
    }

    fn history(
        &self,
        http: &Http,
        span: &HistorySpan<'_>,
        stop: &CancelToken,
        take: HistorySink<'_>,
    ) -> HistoryResult {
        #[derive(Deserialize)]
        struct Columns<'a> {
            #[serde(borrow, default)]
            p: Option<Vec<&'a RawValue>>,
            #[serde(borrow, default)]
            v: Option<Vec<&'a RawValue>>,
            #[serde(default, deserialize_with = "present")]
            t: Option<Option<Vec<i64>>>,
            #[serde(borrow, default)]
            c: Option<Vec<&'a RawValue>>,
            #[serde(default)]
            error: Option<String>,
        }
        let url = format!("{}/stock/tick", self.0.rest.trim_end_matches('/'));
        let (limit, day) = (LIMIT.to_string(), 86_400_000_000_000_i64);
        let day_of = |ts: i64| market::UnixNanos(ts).local("%Y-%m-%d", "America/New_York");
        let mut days: Vec<String> = (span.from.0..=span.to.0).step_by(day as usize).map(day_of).collect();
        days.push(day_of(span.to.0));
        days.dedup();
        for (symbol, date) in
            span.symbols.iter().flat_map(|symbol| days.iter().map(move |date| (symbol, date)))
        {
            let mut skip = 0;
            loop {
                let after = skip.to_string();
                let query =
                    [("symbol", symbol.as_str()), ("date", date), ("limit", &limit), ("skip", &after)];
                let headers = [("X-Finnhub-Token", self.0.key.reveal())];
                let body = http.get(&url, &query, &headers, stop)?;
                let of: Columns<'_> = read(&url, &body)?;
                let Some(times) = of.t else {
                    // An error with HTTP 200 is not an empty day.
                    let reason = of.error.unwrap_or_else(|| "missing `t`".to_owned());
                    return Err(HistoryError::Unavailable(format!("{url}: {reason}")));
                };
                let times = times.unwrap_or_default();
                let [prices, sizes, codes] = [of.p, of.v, of.c].map(Option::unwrap_or_default);
                let count = times.len();
                if prices.len() != count || sizes.len() != count {
                    return Err(HistoryError::Unavailable(format!("{url}: columns of different lengths")));
                }
                for (at, ts) in times.iter().enumerate() {
                    if (span.from.0..=span.to.0).contains(&ts.saturating_mul(1_000_000)) {
                        let codes = codes.get(at).map_or("null", |codes| codes.get());
                        let (price, size) = (prices[at].get(), sizes[at].get());
                        take(symbol, &format!("{{\"p\":{price},\"v\":{size},\"t\":{ts},\"c\":{codes}}}"))?;
                    }
                }
                skip += count;
                if count < LIMIT {
                    break;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{FakeHttp, ok};
    use crate::live::vendor::tests::history_of;
    use market::Kind;

    #[test]
    fn an_error_under_200_is_no_empty_day() {
        let read = |body: &str| {
            let server = FakeHttp::new(vec![ok(body)]);
            history_of(&server, Kind::TRADE, |account| Box::new(Finnhub(account)))
        };
        for body in [r#"{"error":"You don't have access: KEY-OF-TEST"}"#, "{}", "no access for KEY-OF-TEST"] {
            let (result, _) = read(body);
            let Err(HistoryError::Unavailable(reason)) = result else { panic!("{body}: {result:?}") };
            assert!(!reason.contains("KEY-OF-TEST"), "{reason}");
        }
        for (body, rows) in [
            (r#"{"p":null,"v":null,"t":null,"s":"SPY","count":0}"#, 0),
            (r#"{"p":[1.5],"v":[2],"t":[1749564000500],"s":"SPY","count":1}"#, 1),
        ] {
            let (result, found) = read(body);
            assert_eq!((result.ok(), found.len()), (Some(()), rows), "{body}");
        }
    }
}
