//! Simulates Finnhub: the key in the address, no acknowledgements, an occasional `ping`; a day of ticks in
//! columns.

use super::vendor_api::{Client, Refused, Request, StreamResponse, VendorApi, query};
use super::{Item, Shared};
use market::codec::json::conditions;
use market::{Kind, Record};
use serde_json::{Value, json};

#[derive(Debug)]
pub(super) struct Finnhub;

fn codes(array: &str) -> Value {
    conditions(array).map(Value::from).collect()
}

impl VendorApi for Finnhub {
    fn identified(&self) -> bool {
        false
    }

    fn admits(&self, shared: &Shared, path: &str) -> bool {
        let query = query(path.split_once('?').map_or("", |(_, query)| query));
        query.get("token").is_some_and(|key| shared.admits_key(key))
    }

    fn receive(&self, shared: &Shared, client: &mut Client, message: Option<&Value>) -> StreamResponse {
        let message = message.unwrap_or(&Value::Null);
        let symbol = message["symbol"].as_str().unwrap_or_default();
        let wanted = message["type"].as_str() == Some("subscribe");
        if wanted && !shared.symbols.iter().any(|known| known == symbol) {
            return StreamResponse::of(
                json!({"msg": format!("Invalid symbol {symbol}"), "type": "error"}).to_string(),
            );
        }
        client.set(Kind::TRADE, symbol, wanted);
        StreamResponse::default()
    }

    fn live(&self, item: &Item, record: &Record<&str>, out: &mut String) {
        if let Record::Trade(trade) = record {
            out.push_str(&format!(
                "{{\"c\":{},\"p\":{},\"s\":\"{}\",\"t\":{},\"v\":{}}}",
                codes(trade.conditions),
                trade.price,
                trade.symbol,
                item.ts.div_euclid(1_000_000),
                trade.size
            ));
        }
    }

    fn frames(&self, _: &mut Client, messages: Vec<String>) -> Vec<String> {
        vec![format!("{{\"data\":[{}],\"type\":\"trade\"}}", messages.join(","))]
    }

    fn keepalive(&self, _: &mut Client) -> Option<String> {
        Some("{\"type\":\"ping\"}".to_owned())
    }

    fn history(&self, shared: &Shared, request: &Request<'_>) -> Result<String, Refused> {
        let key = request.text("token").unwrap_or_else(|| request.header("x-finnhub-token"));
        if !shared.admits_key(key) {
            return Err((401, "Invalid API key".to_owned()));
        }
        let symbol = request.text("symbol").unwrap_or_default();
        // One of the vendor's clients writes two slashes.
        match request.path.trim_start_matches("/api/v1").trim_start_matches('/') {
            "quote" => {
                let newest = shared.played().iter().rev().find(|item| shared.symbol(item) == symbol);
                let price = newest.and_then(|item| {
                    item.read(|record| match record {
                        Record::Trade(trade) => trade.price.to_string(),
                        _ => "0".to_owned(),
                    })
                });
                let (price, ts) = (price.unwrap_or_else(|| "0".to_owned()), newest.map_or(0, |item| item.ts));
                Ok(format!(
                    "{{\"c\":{price},\"d\":null,\"dp\":null,\"h\":0,\"l\":0,\"o\":0,\"pc\":0,\"t\":{}}}",
                    ts / 1_000_000_000
                ))
            }
            "stock/tick" => {
                let date = request.text("date").unwrap_or_default().to_owned();
                let (limit, skip) =
                    (request.number("limit", 25_000_usize)?, request.number("skip", 0_usize)?);
                let of_day =
                    |item: &&Item| market::UnixNanos(item.ts).local("%Y-%m-%d", "America/New_York") == date;
                let all: Vec<&Item> =
                    shared.of(Kind::TRADE, symbol, i64::MIN, i64::MAX).filter(of_day).collect();
                let (mut p, mut v, mut t, mut x, mut c) = (vec![], vec![], vec![], vec![], vec![]);
                for item in all.iter().skip(skip).take(limit.min(25_000)) {
                    item.read(|record| {
                        if let Record::Trade(trade) = record {
                            p.push(trade.price.to_string());
                            v.push(trade.size.to_string());
                            t.push((item.ts / 1_000_000).to_string());
                            x.push(Value::from(trade.venue).to_string());
                            c.push(codes(trade.conditions).to_string());
                        }
                    });
                }
                Ok(format!(
                    "{{\"s\":\"{symbol}\",\"skip\":{skip},\"count\":{},\"total\":{},\"p\":[{}],\"v\":[{}],\"t\":[{}],\"x\":[{}],\"c\":[{}]}}",
                    t.len(),
                    all.len(),
                    p.join(","),
                    v.join(","),
                    t.join(","),
                    x.join(","),
                    c.join(",")
                ))
            }
            _ => Err((404, "not found".to_owned())),
        }
    }

    fn refused(&self, (_, message): &Refused) -> String {
        json!({"error": message}).to_string()
    }
}
