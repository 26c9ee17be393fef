//! Kraken's side: spot trades of its websocket, version 2; no key. History over `/0/public/Trades`.
//!
//! As in docs.kraken.com and python-kraken-sdk.

use super::vendor::{Account, Refusal, Span, Step, Take, Told, Vendor};
use crate::http::{Http, read, untold};
use market::codec::feed::Decode;
use market::codec::kraken::{Decoder, seconds};
use market::codec::scan::{Scanner, Value};
use ports::cancel::CancelToken;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Kraken spot.
#[derive(Debug)]
pub(super) struct Kraken(pub(super) Account);

#[derive(Deserialize)]
struct Control {
    #[serde(default)]
    method: Option<String>,
    #[serde(default)]
    success: Option<bool>,
    #[serde(default, alias = "Error")]
    error: Option<String>,
}

impl Vendor for Kraken {
    fn name(&self) -> &'static str {
        "Kraken"
    }

    fn account(&self) -> &Account {
        &self.0
    }

    fn greeting(&self) -> Vec<Step> {
        // A snapshot would repeat trades of before the subscription.
        let params = serde_json::json!({"channel": "trade", "symbol": self.0.symbols, "snapshot": false});
        let subscribe = serde_json::json!({"method": "subscribe", "params": params, "req_id": 1});
        // An answer for each symbol.
        vec![Step::Say(subscribe.to_string()), Step::Hear(self.0.symbols.len())]
    }

    fn answered(&self, answer: &str) -> Result<usize, Refusal> {
        let told: Control = serde_json::from_str(answer)
            .map_err(|error| Refusal::Again(format!("an answer that cannot be read: {error}: {answer}")))?;
        match (told.method.as_deref(), told.success, told.error) {
            (Some("subscribe"), Some(true), _) => Ok(1),
            (_, _, Some(error)) if error.contains("rate") => {
                Err(Refusal::Again(format!("Kraken says {error}")))
            }
            (_, _, Some(error)) => Err(self.fatal(&error, "symbols are as BTC/USD: see docs/sources.md")),
            _ => Ok(0),
        }
    }

    fn told(&self, frame: &str) -> Option<Refusal> {
        frame.starts_with("{\"Error\"").then(|| Refusal::Again(format!("Kraken says {frame}")))
    }

    fn beat(&self) -> Option<String> {
        Some("{\"method\":\"ping\"}".to_owned())
    }

    fn decoder(&self, label: &str) -> Box<dyn Decode> {
        Box::new(Decoder::new(label))
    }

    fn history(&self, http: &Http, span: &Span<'_>, stop: &CancelToken, take: Take<'_>) -> Told {
        #[derive(Deserialize)]
        struct Reply<'a> {
            #[serde(default)]
            error: Vec<String>,
            #[serde(borrow, default)]
            result: Option<BTreeMap<String, &'a RawValue>>,
        }
        let url = format!("{}/0/public/Trades", self.0.rest.trim_end_matches('/'));
        for symbol in span.symbols {
            // `since` leaves out its own instant.
            let mut since = span.from.0.saturating_sub(1);
            // A pair's trade numbers leave none out: the next one is known from the second trade on.
            let mut next: Option<i64> = None;
            loop {
                let from = since.to_string();
                let query = [("pair", symbol.as_str()), ("since", &from), ("count", "1000")];
                let body = match http.get(&url, &query, &[], stop) {
                    Ok(body) => body,
                    Err(reason) => return untold(reason),
                };
                let reply: Reply<'_> = match read(&url, &body) {
                    Ok(reply) => reply,
                    Err(reason) => return untold(reason),
                };
                let result = match reply.result {
                    Some(result) if reply.error.is_empty() => result,
                    _ => return untold(format!("{url}: {}", reply.error.join(", "))),
                };
                let last =
                    result.get("last").and_then(|last| last.get().trim_matches('"').parse::<i64>().ok());
                let (mut fresh, mut beyond) = (0, false);
                for (_, rows) in result.iter().filter(|(name, _)| *name != "last") {
                    let rows: Vec<&RawValue> = match read(&url, rows.get()) {
                        Ok(rows) => rows,
                        Err(reason) => return untold(reason),
                    };
                    for raw in rows {
                        let (ts, number) = key(raw.get());
                        match (next, number) {
                            // Of the page before: it shares the instant of that page's end.
                            (Some(next), Some(number)) if number < next => continue,
                            (Some(next), Some(number)) if number > next => {
                                return untold(format!(
                                    "{url}: trades {next} to {} of {symbol} are missing",
                                    number - 1
                                ));
                            }
                            _ => {}
                        }
                        next = number.map(|number| number + 1).or(next);
                        fresh += 1;
                        match ts {
                            Some(ts) if ts > span.to.0 => beyond = true,
                            _ => take(symbol, raw.get())?,
                        }
                    }
                }
                // Trades that share the last instant may be beyond the page's end: it is asked for again.
                match last {
                    Some(last) if fresh > 0 && !beyond => since = last.saturating_sub(1).max(since),
                    _ => break,
                }
            }
        }
        Ok(Ok(()))
    }
}

/// The instant of a row, nanoseconds, and its trade number.
fn key(row: &str) -> (Option<i64>, Option<i64>) {
    let (mut at, mut ts, mut number) = (0, None, None);
    let read = Scanner::new(row).array(|scanner| {
        match (at, scanner.value()?) {
            (2, Value::Number(digits)) => ts = seconds(digits).ok().map(|ts| ts.0),
            (6, Value::Number(digits)) => number = digits.parse().ok(),
            _ => {}
        }
        at += 1;
        Ok::<(), String>(())
    });
    if read.is_ok() { (ts, number) } else { (None, None) }
}
