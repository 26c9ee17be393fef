//! Simulates Binance: combined streams, numbered trades; history from a number on, and aggregates by time.

use super::vendor_api::{Client, Refused, Request, StreamResponse, VendorApi};
use super::{Item, Shared};
use market::{Kind, Record};
use serde_json::{Value, json};

#[derive(Debug)]
pub(super) struct Binance;

impl VendorApi for Binance {
    fn numbered(&self) -> bool {
        true
    }

    fn receive(&self, _: &Shared, client: &mut Client, message: Option<&Value>) -> StreamResponse {
        let message = message.unwrap_or(&Value::Null);
        let method = message["method"].as_str();
        if !matches!(method, Some("SUBSCRIBE" | "UNSUBSCRIBE")) {
            return StreamResponse::of(
                json!({"error": {"code": 2, "msg": "Invalid request: unknown method"}, "id": message["id"]})
                    .to_string(),
            );
        }
        for stream in message["params"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if let Some((symbol, "trade")) = stream.split_once('@') {
                client.set(Kind::TRADE, &symbol.to_ascii_uppercase(), method == Some("SUBSCRIBE"));
            }
        }
        StreamResponse::of(json!({"result": null, "id": message["id"]}).to_string())
    }

    fn live(&self, item: &Item, record: &Record<&str>, out: &mut String) {
        if let Record::Trade(trade) = record {
            let ms = trade.ts.millis();
            out.push_str(&format!(
                "{{\"stream\":\"{}@trade\",\"data\":{{\"e\":\"trade\",\"E\":{ms},\"s\":\"{}\",\"t\":{},\"p\":\"{}\",\"q\":\"{}\",\"T\":{ms},\"m\":{},\"M\":true}}}}",
                trade.symbol.to_ascii_lowercase(), trade.symbol, item.number, trade.price, trade.size, item.number.is_multiple_of(2)
            ));
        }
    }

    /// One frame per trade.
    fn history(&self, shared: &Shared, request: &Request<'_>) -> Result<String, Refused> {
        let symbol = request.text("symbol").unwrap_or_default();
        if !shared.symbols.iter().any(|known| known == symbol) {
            return Err((400, "Invalid symbol.".to_owned()));
        }
        let limit = request.number("limit", 500_usize)?.clamp(1, 1_000);
        let ms = 1_000_000;
        let mut rows = Vec::new();
        match request.path {
            "/api/v3/aggTrades" => {
                let from = request.number("startTime", 0_i64)?.saturating_mul(ms);
                let to = request.number("endTime", i64::MAX / ms)?.saturating_mul(ms).saturating_add(ms - 1);
                for item in shared.of(Kind::TRADE, symbol, from, to).take(limit) {
                    rows.push(format!(
                        "{{\"a\":{n},\"f\":{n},\"l\":{n},\"T\":{}}}",
                        item.ts / ms,
                        n = item.number
                    ));
                }
            }
            "/api/v3/historicalTrades" => {
                let first = request.number("fromId", 0_u64)?;
                let later =
                    shared.of(Kind::TRADE, symbol, i64::MIN, i64::MAX).filter(|item| item.number >= first);
                for item in later.take(limit) {
                    item.read(|record| {
                        if let Record::Trade(trade) = record {
                            rows.push(format!(
                                "{{\"id\":{},\"price\":\"{}\",\"qty\":\"{}\",\"quoteQty\":\"0\",\"time\":{},\"isBuyerMaker\":{},\"isBestMatch\":true}}",
                                item.number, trade.price, trade.size, item.ts / ms, item.number.is_multiple_of(2)
                            ));
                        }
                    });
                }
            }
            _ => return Err((404, "not found".to_owned())),
        }
        Ok(format!("[{}]", rows.join(",")))
    }

    fn refused(&self, (_, message): &Refused) -> String {
        json!({"code": -1121, "msg": message}).to_string()
    }
}
