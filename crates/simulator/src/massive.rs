//! Simulates Massive (Polygon.io): `ev` messages, topics such as `T.SPY`; history by symbol with a
//! `next_url`.

use super::vendor_api::{Client, Disconnect, Refused, Request, StreamResponse, VendorApi, last_segment};
use super::{Item, Shared, bars};
use market::bar::TradeValues;
use market::codec::json::conditions;
use market::interval::Interval;
use market::{Kind, QuoteSide, Record, UnixNanos};
use serde_json::{Value, json};
use std::fmt::Write;

#[derive(Debug)]
pub(super) struct Massive;

/// Exchanges are numbers: a letter's position in the alphabet.
fn venue(letters: &str) -> u32 {
    letters.bytes().next().map_or(0, |letter| u32::from(letter.to_ascii_uppercase().saturating_sub(b'@')))
}

/// Condition codes are numbers: a hex mask becomes its value, capped to the range of the vendor's clients.
fn codes(array: &str) -> String {
    let numbers: Vec<String> = conditions(array)
        .map(|code| (u32::from_str_radix(code, 16).unwrap_or(0) & 0x7fff_ffff).to_string())
        .collect();
    format!("[{}]", numbers.join(","))
}

fn status(status: &str, message: &str) -> String {
    json!([{"ev": "status", "status": status, "message": message}]).to_string()
}

impl VendorApi for Massive {
    fn hello(&self) -> Option<String> {
        Some(status("connected", "Connected Successfully"))
    }

    fn receive(&self, shared: &Shared, client: &mut Client, message: Option<&Value>) -> StreamResponse {
        let Some(message) = message else { return StreamResponse::of(status("error", "invalid message")) };
        let (action, params) = (message["action"].as_str(), message["params"].as_str().unwrap_or_default());
        match action {
            Some("auth") if shared.admits_key(params) => {
                client.authenticated = true;
                StreamResponse::of(status("auth_success", "authenticated"))
            }
            Some("auth") => StreamResponse::last(status("auth_failed", "authentication failed")),
            Some("subscribe" | "unsubscribe") if client.authenticated => {
                let wanted = action == Some("subscribe");
                let sent = params.split(',').map(str::trim).filter(|topic| !topic.is_empty()).map(|topic| {
                    match topic.split_once('.') {
                        Some(("T", symbol)) => client.set(Kind::TRADE, symbol, wanted),
                        Some(("Q", symbol)) => client.set(Kind::QUOTE, symbol, wanted),
                        Some((class @ ("A" | "AM"), symbol)) => {
                            let interval = if class == "A" { Interval::S1 } else { Interval::M1 };
                            if wanted {
                                client.bars.insert((interval, symbol.to_owned()));
                            } else {
                                client.bars.remove(&(interval, symbol.to_owned()));
                            }
                        }
                        Some(("LULD", _)) => {}
                        _ => return status("error", &format!("unknown topic: {topic}")),
                    }
                    let word = if wanted { "subscribed" } else { "unsubscribed" };
                    status("success", &format!("{word} to: {topic}"))
                });
                StreamResponse { frames: sent.collect(), end: false }
            }
            _ => StreamResponse::of(status("error", "not authorized")),
        }
    }

    fn bar(
        &self,
        symbol: &str,
        interval: Interval,
        start: UnixNanos,
        values: &TradeValues,
    ) -> Option<String> {
        let class = if interval == Interval::S1 { "A" } else { "AM" };
        let mut bar = bars::short(&Value::Null, values);
        (bar["ev"], bar["sym"]) = (class.into(), symbol.into());
        let end = start.millis() + interval.nanos().unwrap_or(0) / 1_000_000;
        (bar["s"], bar["e"]) = (start.millis().into(), end.into());
        Some(bar.to_string())
    }

    fn live(&self, item: &Item, record: &Record<&str>, out: &mut String) {
        let ms = record.ts().millis();
        let _ = match record {
            Record::Trade(trade) => write!(
                out,
                "{{\"ev\":\"T\",\"sym\":\"{}\",\"x\":{},\"i\":\"{}\",\"z\":1,\"p\":{},\"s\":{},\"c\":{},\"t\":{ms},\"q\":{}}}",
                trade.symbol,
                venue(trade.venue),
                trade.id,
                trade.price,
                trade.size,
                codes(trade.conditions),
                item.number
            ),
            Record::Quote(quote) => {
                let _ = write!(out, "{{\"ev\":\"Q\",\"sym\":\"{}\",", quote.symbol);
                for (side, [at, of, many]) in
                    [(&quote.bid, ["bx", "bp", "bs"]), (&quote.ask, ["ax", "ap", "as"])]
                {
                    if let Some(QuoteSide { venue: letters, price, size }) = side {
                        let _ =
                            write!(out, "\"{at}\":{},\"{of}\":{price},\"{many}\":{size},", venue(letters));
                    }
                }
                let list = codes(quote.conditions);
                let one = list.trim_matches(['[', ']']).split(',').next().filter(|code| !code.is_empty());
                write!(out, "\"c\":{},\"t\":{ms},\"q\":{},\"z\":1}}", one.unwrap_or("0"), item.number)
            }
            _ => Ok(()),
        };
    }

    fn frames(&self, _: &mut Client, messages: Vec<String>) -> Vec<String> {
        vec![format!("[{}]", messages.join(","))]
    }

    fn disconnect(&self, disconnect: Disconnect) -> Option<String> {
        match disconnect {
            Disconnect::Limit => Some(status("max_connections", "Maximum number of connections exceeded.")),
            // A client that waits too long is disconnected without its queue.
            Disconnect::Slow => None,
        }
    }

    fn history(&self, shared: &Shared, request: &Request<'_>) -> Result<String, Refused> {
        let key = request.header("authorization").trim_start_matches("Bearer ");
        if !shared.admits_key(request.text("apiKey").unwrap_or(key)) {
            return Err((401, "Unknown API Key".to_owned()));
        }
        if request.path.starts_with("/v2/aggs/ticker/") {
            return bars::massive(shared, request);
        }
        let (head, symbol) = last_segment(request.path);
        let kind = match head {
            "/v3/trades" => Kind::TRADE,
            "/v3/quotes" => Kind::QUOTE,
            _ => return Err((404, "not found".to_owned())),
        };
        let (from, to) =
            (request.number("timestamp.gte", i64::MIN)?, request.number("timestamp.lte", i64::MAX)?);
        let limit = request.number("limit", 1_000_usize)?.clamp(1, 50_000);
        // A cursor says where to resume: the number of records returned so far, and the first page's query.
        let skip = request.number("cursor", 0_usize)?;
        let mut items = shared.of(kind, symbol, from, to).skip(skip).peekable();
        let mut rows = Vec::new();
        for item in items.by_ref().take(limit) {
            let (mut row, mut number) = (String::from("{"), item.number.to_string());
            item.read(|record| match record {
                Record::Trade(trade) => {
                    let _ = write!(
                        row,
                        "\"conditions\":{},\"exchange\":{},\"id\":\"{}\",\"participant_timestamp\":{ts},\"price\":{},\"sequence_number\":{number},\"sip_timestamp\":{ts},\"size\":{},\"tape\":1",
                        codes(trade.conditions), venue(trade.venue), trade.id, trade.price, trade.size, ts = trade.ts.0
                    );
                }
                Record::Quote(quote) => {
                    for (side, name) in [(&quote.bid, "bid"), (&quote.ask, "ask")] {
                        if let Some(QuoteSide { venue: letters, price, size }) = side {
                            let _ = write!(
                                row,
                                "\"{name}_exchange\":{},\"{name}_price\":{price},\"{name}_size\":{size},",
                                venue(letters)
                            );
                        }
                    }
                    let list = codes(quote.conditions);
                    let list = if list == "[]" { "[0]" } else { &list };
                    let _ = write!(row, "\"conditions\":{list},\"sequence_number\":{number},\"sip_timestamp\":{},\"tape\":1", quote.ts.0);
                }
                _ => {}
            });
            number.clear();
            rows.push(row + "}");
        }
        let next = if items.peek().is_some() {
            let at = skip + rows.len();
            let url = format!(
                "http://{}{}?cursor={at}&timestamp.gte={from}&timestamp.lte={to}&limit={limit}",
                request.host, request.path
            );
            format!(",\"next_url\":{}", Value::from(url))
        } else {
            String::new()
        };
        Ok(format!(
            "{{\"results\":[{}],\"status\":\"OK\",\"request_id\":\"simulated\"{next}}}",
            rows.join(",")
        ))
    }

    fn refused(&self, (_, message): &Refused) -> String {
        json!({"status": "ERROR", "request_id": "simulated", "error": message}).to_string()
    }
}
