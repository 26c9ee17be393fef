//! Simulates Coinbase Advanced Trade: counted messages, a snapshot first, heartbeats; history newest first.

use super::vendor_api::{Client, Disconnect, Refused, Request, StreamResponse, VendorApi, last_segment};
use super::{Item, Shared};
use market::{Kind, Record};
use serde_json::{Value, json};

#[derive(Debug)]
pub(super) struct Coinbase;

/// A tape has no aggressor side: even numbers are buys. The maker's side is sent.
const fn side(number: u64) -> &'static str {
    if number.is_multiple_of(2) { "SELL" } else { "BUY" }
}

fn trade(item: &Item, record: &Record<&str>) -> Option<String> {
    let Record::Trade(trade) = record else { return None };
    Some(format!(
        "{{\"trade_id\":\"{}\",\"product_id\":{},\"price\":\"{}\",\"size\":\"{}\",\"side\":\"{}\",\"time\":\"{}\"}}",
        item.number,
        Value::from(trade.symbol),
        trade.price,
        trade.size,
        side(item.number),
        trade.ts
    ))
}

/// A message with the next number.
fn sent(client: &mut Client, channel: &str, events: &str) -> String {
    let number = client.sent;
    client.sent += 1;
    format!(
        "{{\"channel\":\"{channel}\",\"client_id\":\"\",\"timestamp\":\"{}\",\"sequence_num\":{number},\"events\":[{events}]}}",
        ports::clock::now()
    )
}

impl VendorApi for Coinbase {
    fn numbered(&self) -> bool {
        true
    }

    fn receive(&self, shared: &Shared, client: &mut Client, message: Option<&Value>) -> StreamResponse {
        let message = message.unwrap_or(&Value::Null);
        let (class, channel) = (message["type"].as_str(), message["channel"].as_str().unwrap_or_default());
        let Some(class @ ("subscribe" | "unsubscribe")) = class else {
            return StreamResponse::of(
                json!({"type": "error", "message": "failure to read message"}).to_string(),
            );
        };
        let wanted = class == "subscribe";
        let products = message["product_ids"].as_array().into_iter().flatten().filter_map(Value::as_str);
        match channel {
            "heartbeats" => client.authenticated = wanted,
            "market_trades" => {
                for product in products {
                    if !shared.symbols.iter().any(|known| known == product) {
                        let message = format!("{product} is not a valid product");
                        return StreamResponse::of(json!({"type": "error", "message": message}).to_string());
                    }
                    client.set(Kind::TRADE, product, wanted);
                }
            }
            _ => {
                return StreamResponse::of(
                    json!({"type": "error", "message": "channel is not supported"}).to_string(),
                );
            }
        }
        let mut frames = Vec::new();
        if channel == "market_trades" && wanted {
            // The newest trades from before the subscription.
            let before =
                shared.played().iter().rev().filter(|item| client.wants(item.kind, shared.symbol(item)));
            let trades: Vec<String> =
                before.take(3).filter_map(|item| item.read(|record| trade(item, record))?).collect();
            let event = format!("{{\"type\":\"snapshot\",\"trades\":[{}]}}", trades.join(","));
            frames.push(sent(client, "market_trades", &event));
        }
        let mut state = json!({});
        if client.authenticated {
            state["heartbeats"] = json!(["heartbeats"]);
        }
        if client.subscribed() {
            state["market_trades"] = client.symbols[0].iter().cloned().collect();
        }
        frames.push(sent(client, "subscriptions", &json!({"subscriptions": state}).to_string()));
        StreamResponse { frames, end: false }
    }

    fn live(&self, item: &Item, record: &Record<&str>, out: &mut String) {
        out.push_str(&trade(item, record).unwrap_or_default());
    }

    fn frames(&self, client: &mut Client, messages: Vec<String>) -> Vec<String> {
        let event = format!("{{\"type\":\"update\",\"trades\":[{}]}}", messages.join(","));
        vec![sent(client, "market_trades", &event)]
    }

    fn disconnect(&self, disconnect: Disconnect) -> Option<String> {
        (disconnect == Disconnect::Limit)
            .then(|| json!({"type": "error", "message": "rate limit exceeded"}).to_string())
    }

    fn keepalive(&self, client: &mut Client) -> Option<String> {
        // `authenticated` means that heartbeats were requested: this vendor has no other state.
        let event =
            format!("{{\"current_time\":\"{}\",\"heartbeat_counter\":{}}}", ports::clock::now(), client.sent);
        client.authenticated.then(|| sent(client, "heartbeats", &event))
    }

    fn history(&self, shared: &Shared, request: &Request<'_>) -> Result<String, Refused> {
        let (head, last) = last_segment(request.path);
        let (head, symbol) = last_segment(head);
        if (head, last) != ("/api/v3/brokerage/market/products", "ticker") {
            return Err((404, "not found".to_owned()));
        }
        if !shared.symbols.iter().any(|known| known == symbol) {
            return Err((404, format!("product {symbol} not found")));
        }
        let second = |seconds: i64| seconds.saturating_mul(1_000_000_000);
        let (start, end) = (second(request.number("start", 0)?), second(request.number("end", i64::MAX)?));
        let limit = request.number("limit", 100_usize)?.clamp(1, 1_000);
        let mut items: Vec<&Item> = shared.of(Kind::TRADE, symbol, start, end).collect();
        items.reverse();
        let trades: Vec<String> =
            items.iter().take(limit).filter_map(|item| item.read(|record| trade(item, record))?).collect();
        Ok(format!("{{\"trades\":[{}],\"best_bid\":\"\",\"best_ask\":\"\"}}", trades.join(",")))
    }

    fn refused(&self, (_, message): &Refused) -> String {
        json!({"error": "NOT_FOUND", "message": message}).to_string()
    }
}
