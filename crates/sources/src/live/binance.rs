//! Client for Binance: spot trades, combined streams; no key. History over `/api/v3/historicalTrades`, from
//! the number that `/api/v3/aggTrades` returns for a time. It closes each connection after a day, which is a
//! gap like any other.
//!
//! According to binance-spot-api-docs.

use super::vendor::{
    Account, ConnectError, HandshakeStep, HistoryError, HistoryResult, HistorySink, HistorySpan, Vendor,
};
use crate::http::{Http, read};
use market::codec::binance::BinanceDecoder;
use market::codec::feed::Decode;
use ports::cancel::CancelToken;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Binance spot.
#[derive(Debug)]
pub(super) struct Binance(pub(super) Account);

#[derive(Deserialize)]
struct Control {
    #[serde(default)]
    id: Option<u64>,
    #[serde(default)]
    error: Option<serde_json::Value>,
}

/// Trades per page of history.
const LIMIT: usize = 1_000;
/// Length of the span searched for its first trade at a time, ms: the limit of `aggTrades`.
const AHEAD: i64 = 3_600_000;

impl Binance {
    /// The number of the first trade of a span.
    fn first(
        &self,
        http: &Http,
        symbol: &str,
        span: [i64; 2],
        stop: &CancelToken,
    ) -> Result<Option<i64>, String> {
        #[derive(Deserialize)]
        struct Sum {
            f: i64,
        }
        let url = format!("{}/api/v3/aggTrades", self.0.rest.trim_end_matches('/'));
        let mut from = span[0];
        while from <= span[1] {
            let to = span[1].min(from + AHEAD - 1);
            let (start, end) = (from.to_string(), to.to_string());
            let query = [("symbol", symbol), ("startTime", &start), ("endTime", &end), ("limit", "1")];
            let body = http.get(&url, &query, &[], stop)?;
            if let Some(sum) = read::<Vec<Sum>>(&url, &body)?.first() {
                return Ok(Some(sum.f));
            }
            from = to + 1;
        }
        Ok(None)
    }
}

impl Vendor for Binance {
    fn name(&self) -> &'static str {
        "Binance"
    }

    fn account(&self) -> &Account {
        &self.0
    }

    fn url(&self) -> String {
        format!("{}/stream", self.0.stream.trim_end_matches('/'))
    }

    fn handshake(&self) -> Vec<HandshakeStep> {
        let streams: Vec<String> =
            self.0.symbols.iter().map(|symbol| format!("{}@trade", symbol.to_ascii_lowercase())).collect();
        let text = serde_json::json!({"method": "SUBSCRIBE", "params": streams, "id": 1});
        vec![HandshakeStep::Send(text.to_string()), HandshakeStep::Expect(1)]
    }

    fn acknowledgements(&self, response: &str) -> Result<usize, ConnectError> {
        let control: Control = serde_json::from_str(response)
            .map_err(|error| ConnectError::retryable(format!("unreadable response: {error}: {response}")))?;
        match control.error {
            Some(error) => {
                Err(self
                    .permanent(&error.to_string(), "expected symbols such as BTCUSDT; see docs/sources.md"))
            }
            None => Ok(usize::from(control.id.is_some())),
        }
    }

    fn stream_error(&self, frame: &str) -> Option<ConnectError> {
        frame
            .contains("\"serverShutdown\"")
            .then(|| ConnectError::retryable("Binance shuts this server down".to_owned()))
    }

    fn decoder(&self, label: &str) -> Box<dyn Decode> {
        Box::new(BinanceDecoder::new(label))
    }

    fn history(
        &self,
        http: &Http,
        span: &HistorySpan<'_>,
        stop: &CancelToken,
        take: HistorySink<'_>,
    ) -> HistoryResult {
        #[derive(Deserialize)]
        struct Row {
            id: i64,
            time: i64,
        }
        let url = format!("{}/api/v3/historicalTrades", self.0.rest.trim_end_matches('/'));
        let times = [span.from.0.div_euclid(1_000_000), span.to.0.div_euclid(1_000_000)];
        for symbol in span.symbols {
            let mut from = match self.first(http, symbol, times, stop) {
                Ok(Some(first)) => first,
                Ok(None) => continue,
                Err(reason) => return Err(HistoryError::Unavailable(reason)),
            };
            'pages: loop {
                let (number, limit) = (from.to_string(), LIMIT.to_string());
                let query = [("symbol", symbol.as_str()), ("fromId", &number), ("limit", &limit)];
                let body = http.get(&url, &query, &[], stop)?;
                let rows: Vec<&RawValue> = read(&url, &body)?;
                for raw in &rows {
                    let row: Row = read(&url, raw.get())?;
                    // Trade numbers are consecutive.
                    if row.id > from {
                        return Err(HistoryError::Unavailable(format!(
                            "{url}: trades {from} to {} of {symbol} are missing",
                            row.id - 1
                        )));
                    }
                    if row.time > times[1] {
                        break 'pages;
                    }
                    from = row.id + 1;
                    if row.time >= times[0] {
                        take(symbol, raw.get())?;
                    }
                }
                if rows.len() < LIMIT {
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
    fn a_trade_number_that_history_leaves_out_is_named() {
        let row = |id: u32| {
            format!(
                r#"{{"id":{id},"price":"1","qty":"1","time":1749564000500,"isBuyerMaker":true,"isBestMatch":true}}"#
            )
        };
        let read = |ids: &[u32]| {
            let first = r#"[{"a":1,"p":"1","q":"1","f":10,"l":12,"T":1749564000500,"m":true}]"#;
            let rows: Vec<String> = ids.iter().map(|id| row(*id)).collect();
            let server = FakeHttp::new(vec![ok(first), ok(&format!("[{}]", rows.join(",")))]);
            history_of(&server, Kind::TRADE, |account| Box::new(Binance(account)))
        };
        let (result, rows) = read(&[10, 11, 12]);
        assert_eq!((result.ok(), rows.len()), (Some(()), 3));
        for (ids, part) in
            [(&[10, 14][..], "trades 11 to 13 of SPY are missing"), (&[12][..], "trades 10 to 11")]
        {
            let error = read(ids).0.unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
