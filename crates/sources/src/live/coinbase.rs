//! Client for Coinbase Advanced Trade: `market_trades`, with `heartbeats` to keep the connection open; no
//! key. History over a product's public `ticker`, which returns the newest trades of a span first.
//!
//! According to docs.cdp.coinbase.com and coinbase-advanced-py.

use super::vendor::{Account, Refusal, Span, Step, Take, Told, Vendor};
use crate::http::{Http, read, segment, untold};
use market::UnixNanos;
use market::codec::coinbase::Decoder;
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

    fn greeting(&self) -> Vec<Step> {
        let subscribe = |channel: &str| {
            let text =
                serde_json::json!({"type": "subscribe", "product_ids": self.0.symbols, "channel": channel});
            Step::Say(text.to_string())
        };
        vec![subscribe("heartbeats"), subscribe("market_trades"), Step::Hear(2)]
    }

    fn answered(&self, answer: &str) -> Result<usize, Refusal> {
        let told: Control = serde_json::from_str(answer)
            .map_err(|error| Refusal::Again(format!("unreadable response: {error}: {answer}")))?;
        match (told.class.as_str(), told.channel.as_str()) {
            ("error", _) if told.message.contains("rate") => {
                Err(Refusal::Again(format!("Coinbase says {}", told.message)))
            }
            ("error", _) => {
                Err(self.fatal(&told.message, "expected symbols such as BTC-USD; see docs/sources.md"))
            }
            (_, "subscriptions") => Ok(1),
            _ => Ok(0),
        }
    }

    fn told(&self, frame: &str) -> Option<Refusal> {
        frame.starts_with("{\"type\":\"error\"").then(|| Refusal::Again(format!("Coinbase says {frame}")))
    }

    fn decoder(&self, label: &str) -> Box<dyn Decode> {
        Box::new(Decoder::new(label))
    }

    fn history(&self, http: &Http, span: &Span<'_>, stop: &CancelToken, take: Take<'_>) -> Told {
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
                let body = match http.get(&url, &query, &[], stop) {
                    Ok(body) => body,
                    Err(reason) => return untold(reason),
                };
                let reply: Reply<'_> = match read(&url, &body) {
                    Ok(reply) => reply,
                    Err(reason) => return untold(reason),
                };
                let mut oldest = i64::MAX;
                for raw in &reply.trades {
                    let row: Row = match read(&url, raw.get()) {
                        Ok(row) => row,
                        Err(reason) => return untold(reason),
                    };
                    let Ok(ts) = UnixNanos::parse(&row.time) else {
                        return untold(format!("{url}: invalid time {}", row.time));
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
                    return untold(format!(
                        "{url}: more than {LIMIT} trades in one second, the limit of the endpoint"
                    ));
                }
                end = next;
            }
        }
        Ok(Ok(()))
    }
}
