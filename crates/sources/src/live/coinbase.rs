//! Client for Coinbase Advanced Trade: `market_trades`, with `heartbeats` to keep the connection open; no
//! key. History over a product's public `ticker`, which returns the newest trades of a span first.
//!
//! According to docs.cdp.coinbase.com and coinbase-advanced-py.

use super::vendor::{
    Account, ConnectError, HandshakeStep, HistoryError, HistoryResult, HistorySink, HistorySpan, Vendor,
};
use crate::http::{Http, read, segment};
use market::UnixNanos;
use market::codec::coinbase::CoinbaseDecoder;
use market::codec::feed::Decode;
use ports::cancel::CancelToken;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashSet;

/// Coinbase Advanced Trade.
#[derive(Debug)]
pub(super) struct Coinbase(pub(super) Account);

#[derive(Deserialize)]
struct Control {
    #[serde(default)]
    channel: String,
    #[serde(default, rename = "type")]
    class: String,
    #[serde(default)]
    message: String,
}

/// Trades per page of history.
const LIMIT: usize = 1_000;

impl Vendor for Coinbase {
    fn name(&self) -> &'static str {
        "Coinbase"
    }

    fn account(&self) -> &Account {
        &self.0
    }

    fn handshake(&self) -> Vec<HandshakeStep> {
        let subscribe = |channel: &str| {
            let text =
                serde_json::json!({"type": "subscribe", "product_ids": self.0.symbols, "channel": channel});
            HandshakeStep::Send(text.to_string())
        };
        vec![subscribe("heartbeats"), subscribe("market_trades"), HandshakeStep::Expect(2)]
    }

    fn acknowledgements(&self, response: &str) -> Result<usize, ConnectError> {
        let control: Control = serde_json::from_str(response)
            .map_err(|error| ConnectError::retryable(format!("unreadable response: {error}: {response}")))?;
        match (control.class.as_str(), control.channel.as_str()) {
            ("error", _) if control.message.contains("rate") => {
                Err(ConnectError::retryable(format!("Coinbase says {}", control.message)))
            }
            ("error", _) => {
                Err(self.permanent(&control.message, "expected symbols such as BTC-USD; see docs/sources.md"))
            }
            (_, "subscriptions") => Ok(1),
            _ => Ok(0),
        }
    }

    fn stream_error(&self, frame: &str) -> Option<ConnectError> {
        frame
            .starts_with("{\"type\":\"error\"")
            .then(|| ConnectError::retryable(format!("Coinbase says {frame}")))
    }

    fn decoder(&self, label: &str) -> Box<dyn Decode> {
        Box::new(CoinbaseDecoder::new(label))
    }

    fn history(
        &self,
        http: &Http,
        span: &HistorySpan<'_>,
        stop: &CancelToken,
        take: HistorySink<'_>,
    ) -> HistoryResult {
        #[derive(Deserialize)]
        struct Reply<'a> {
            #[serde(borrow)]
            trades: Vec<&'a RawValue>,
        }
        #[derive(Deserialize)]
        struct Row {
            trade_id: String,
            time: String,
        }
        let limit = LIMIT.to_string();
        let start = span.from.0.div_euclid(1_000_000_000).to_string();
        for symbol in span.symbols {
            let rest = self.0.rest.trim_end_matches('/');
            let url = format!("{rest}/api/v3/brokerage/market/products/{}/ticker", segment(symbol));
            let (mut end, mut seen) = (span.to.0.div_euclid(1_000_000_000) + 1, HashSet::new());
            loop {
                let until = end.to_string();
                let query = [("limit", limit.as_str()), ("start", &start), ("end", &until)];
                let body = http.get(&url, &query, &[], stop)?;
                let reply: Reply<'_> = read(&url, &body)?;
                let mut oldest = i64::MAX;
                for raw in &reply.trades {
                    let row: Row = read(&url, raw.get())?;
                    let Ok(ts) = UnixNanos::parse(&row.time) else {
                        return Err(HistoryError::Unavailable(format!("{url}: invalid time {}", row.time)));
                    };
                    oldest = oldest.min(ts.0);
                    if seen.insert(row.trade_id) && (span.from..=span.to).contains(&ts) {
                        take(symbol, raw.get())?;
                    }
                }
                if reply.trades.len() < LIMIT {
                    break;
                }
                // Older trades are before the oldest one; its whole second is requested again.
                let next = oldest.div_euclid(1_000_000_000) + 1;
                if next >= end {
                    return Err(HistoryError::Unavailable(format!(
                        "{url}: more than {LIMIT} trades in one second, the limit of the endpoint"
                    )));
                }
                end = next;
            }
        }
        Ok(())
    }
}
