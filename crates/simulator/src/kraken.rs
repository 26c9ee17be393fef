//! Simulates Kraken (websocket, version 2): one acknowledgement per symbol, heartbeats, numbered trades;
//! history from a time on.

use super::vendor_api::{Client, Disconnect, Refused, Request, StreamResponse, VendorApi};
use super::{Item, Shared};
use market::{Kind, Record};
use serde_json::{Value, json};

#[derive(Debug)]
pub(super) struct Kraken;

/// Maximum number of trades per page of history.
const LIMIT: usize = 1_000;

/// A tape has no aggressor side: even numbers are buys.
const fn side(number: u64) -> [&'static str; 2] {
    if number.is_multiple_of(2) { ["buy", "b"] } else { ["sell", "s"] }
}

impl VendorApi for Kraken {
    fn hello(&self) -> Option<String> {
        let state = json!({"version": "2.0.10", "system": "online", "api_version": "v2", "connection_id": 1});
        Some(json!({"channel": "status", "type": "update", "data": [state]}).to_string())
    }

    fn numbered(&self) -> bool {
        true
    }

    fn receive(&self, shared: &Shared, client: &mut Client, message: Option<&Value>) -> StreamResponse {
        let Some(message) = message else {
            return StreamResponse::of(json!({"error": "Malformed request", "success": false}).to_string());
        };
        let (method, params, id) = (message["method"].as_str(), &message["params"], &message["req_id"]);
        match (method, params["channel"].as_str()) {
            (Some("ping"), _) => StreamResponse::of(json!({"method": "pong", "req_id": id}).to_string()),
            (Some(method @ ("subscribe" | "unsubscribe")), Some("trade")) => {
                let symbols = params["symbol"].as_array().into_iter().flatten().filter_map(Value::as_str);
                let sent = symbols.map(|symbol| {
                    if !shared.symbols.iter().any(|known| known == symbol) {
                        let error = format!("Currency pair not supported {symbol}");
                        return json!({"error": error, "method": method, "req_id": id, "success": false, "symbol": symbol});
                    }
                    client.set(Kind::TRADE, symbol, method == "subscribe");
                    let result = json!({"channel": "trade", "snapshot": false, "symbol": symbol});
                    json!({"method": method, "req_id": id, "result": result, "success": true})
                });
                StreamResponse { frames: sent.map(|sent| sent.to_string()).collect(), end: false }
            }
            _ => StreamResponse::of(
                json!({"error": "Unsupported channel", "method": method, "req_id": id, "success": false})
                    .to_string(),
            ),
        }
    }

    fn live(&self, item: &Item, record: &Record<&str>, out: &mut String) {
        if let Record::Trade(trade) = record {
            out.push_str(&format!(
                "{{\"symbol\":{},\"side\":\"{}\",\"price\":{},\"qty\":{},\"ord_type\":\"market\",\"trade_id\":{},\"timestamp\":\"{}\"}}",
                Value::from(trade.symbol), side(item.number)[0], trade.price, trade.size, item.number, trade.ts
            ));
        }
    }

    fn frames(&self, _: &mut Client, messages: Vec<String>) -> Vec<String> {
        vec![format!("{{\"channel\":\"trade\",\"type\":\"update\",\"data\":[{}]}}", messages.join(","))]
    }

    fn disconnect(&self, disconnect: Disconnect) -> Option<String> {
        (disconnect == Disconnect::Limit).then(|| json!({"Error": "Exceeded msg rate"}).to_string())
    }

    fn keepalive(&self, _: &mut Client) -> Option<String> {
        Some("{\"channel\":\"heartbeat\"}".to_owned())
    }

    fn history(&self, shared: &Shared, request: &Request<'_>) -> Result<String, Refused> {
        if request.path != "/0/public/Trades" {
            return Err((404, "EGeneral:Unknown method".to_owned()));
        }
        let symbol = request.text("pair").unwrap_or_default();
        if !shared.symbols.iter().any(|known| known == symbol) {
            return Ok(json!({"error": ["EQuery:Unknown asset pair"]}).to_string());
        }
        let since = request.number("since", i64::MIN)?;
        let limit = request.number("count", LIMIT)?.clamp(1, LIMIT);
        // Trades with the last time of a page would be skipped by the next: they belong to this one.
        let mut last = since;
        let mut rows = Vec::new();
        for item in shared.of(Kind::TRADE, symbol, since.saturating_add(1), i64::MAX) {
            if rows.len() >= limit && item.ts != last {
                break;
            }
            last = item.ts;
            item.read(|record| {
                if let Record::Trade(trade) = record {
                    let (seconds, rest) =
                        (item.ts.div_euclid(1_000_000_000), item.ts.rem_euclid(1_000_000_000));
                    rows.push(format!(
                        "[\"{}\",\"{}\",{seconds}.{rest:09},\"{}\",\"m\",\"\",{}]",
                        trade.price,
                        trade.size,
                        side(item.number)[1],
                        item.number
                    ));
                }
            });
        }
        Ok(format!(
            "{{\"error\":[],\"result\":{{{}:[{}],\"last\":\"{last}\"}}}}",
            Value::from(symbol),
            rows.join(",")
        ))
    }

    fn refused(&self, (_, message): &Refused) -> String {
        json!({"error": [message]}).to_string()
    }
}
