//! Simulates Alpaca: a JSON or MessagePack stream with handshake, subscriptions and numbered errors; history
//! in pages, sorted by symbol and then by time. Crypto has addresses of its own, no venues, conditions or
//! amendments.

mod amend;

use super::vendor_api::{Client, Disconnect, Refused, Request, StreamResponse, VendorApi};
use super::{Fault, Item, Shared, bars};
use market::bar::TradeValues;
use market::interval::Interval;
use market::{Kind, QuoteSide, Record, UnixNanos};
use serde_json::{Value, json};
use std::fmt::Write;

#[derive(Debug)]
pub(super) struct Alpaca {
    pub(super) crypto: bool,
}

/// Path of crypto.
const CRYPTO: &str = "/v1beta3/crypto/us";

/// The same for crypto.
fn crypto_members(record: &Record<&str>, out: &mut String) {
    let _ = match record {
        Record::Trade(trade) => {
            out.push_str("\"i\":");
            out.push_str(trade.id);
            write!(out, ",\"p\":{},\"s\":{},\"tks\":\"B\",\"t\":\"{}\"", trade.price, trade.size, trade.ts)
        }
        Record::Quote(quote) => {
            for (side, [price, size]) in [(&quote.bid, ["bp", "bs"]), (&quote.ask, ["ap", "as"])] {
                let (of, many) = side
                    .as_ref()
                    .map_or(("0".into(), "0".into()), |side| (side.price.to_string(), side.size.to_string()));
                let _ = write!(out, "\"{price}\":{of},\"{size}\":{many},");
            }
            write!(out, "\"t\":\"{}\"", quote.ts)
        }
        _ => Ok(()),
    };
}

/// Members shared by stream and history. Writing to memory does not fail.
fn stock_members(record: &Record<&str>, out: &mut String) {
    match record {
        Record::Trade(trade) => {
            out.push_str("\"i\":");
            out.push_str(trade.id);
            let _ = write!(
                out,
                ",\"x\":\"{}\",\"p\":{},\"s\":{},\"c\":{},\"z\":\"{}\",\"t\":\"{}\"",
                trade.venue, trade.price, trade.size, trade.conditions, trade.tape, trade.ts
            );
        }
        Record::Quote(quote) => {
            for (side, [venue, price, size]) in
                [(&quote.bid, ["bx", "bp", "bs"]), (&quote.ask, ["ax", "ap", "as"])]
            {
                let _ = match side {
                    Some(QuoteSide { venue: at, price: of, size: many }) => {
                        write!(out, "\"{venue}\":\"{at}\",\"{price}\":{of},\"{size}\":{many},")
                    }
                    None => write!(out, "\"{venue}\":\"\",\"{price}\":0,\"{size}\":0,"),
                };
            }
            let _ = write!(out, "\"c\":{},\"z\":\"\",\"t\":\"{}\"", quote.conditions, quote.ts);
        }
        _ => {}
    }
}

fn error(code: u32, text: &str) -> String {
    json!([{"T": "error", "code": code, "msg": text}]).to_string()
}

const CHANNELS: [(&str, Kind); 2] = [("trades", Kind::TRADE), ("quotes", Kind::QUOTE)];

impl Alpaca {
    fn members(&self) -> fn(&Record<&str>, &mut String) {
        if self.crypto { crypto_members } else { stock_members }
    }
}

impl VendorApi for Alpaca {
    fn admits(&self, _: &Shared, path: &str) -> bool {
        path.contains(CRYPTO) == self.crypto
    }

    fn hello(&self) -> Option<String> {
        Some(r#"[{"T":"success","msg":"connected"}]"#.to_owned())
    }

    fn receive(&self, shared: &Shared, client: &mut Client, message: Option<&Value>) -> StreamResponse {
        let Some(message) = message else { return StreamResponse::of(error(400, "invalid syntax")) };
        let text = |name: &str| message[name].as_str().unwrap_or_default();
        match text("action") {
            "auth" if client.authenticated => StreamResponse::of(error(403, "already authenticated")),
            "auth" if shared.admits(text("key"), text("secret")) => {
                client.authenticated = true;
                StreamResponse::of(r#"[{"T":"success","msg":"authenticated"}]"#)
            }
            "auth" => StreamResponse::last(error(402, "auth failed")),
            _ if !client.authenticated => StreamResponse::of(error(401, "not authenticated")),
            action @ ("subscribe" | "unsubscribe") => {
                let mut state = json!({"T": "subscription"});
                for name in ["updatedBars", "dailyBars", "lulds"] {
                    state[name] = json!([]);
                }
                let named = |channel: &str| {
                    let list = message[channel].as_array().into_iter().flatten();
                    list.filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
                };
                if CHANNELS.iter().any(|(channel, _)| named(channel).len() > shared.settings.symbols) {
                    return StreamResponse::of(error(405, "symbol limit exceeded"));
                }
                if action == "subscribe" {
                    client.statuses.extend(named("statuses"));
                    client.bars.extend(named("bars").into_iter().map(|symbol| (Interval::M1, symbol)));
                } else {
                    let [statuses, bars] = ["statuses", "bars"].map(named);
                    client.statuses.retain(|symbol| !statuses.contains(symbol));
                    client.bars.retain(|(_, symbol)| !bars.contains(symbol));
                }
                state["bars"] = client.bars.iter().map(|(_, symbol)| symbol.clone()).collect();
                state["statuses"] = client.statuses.iter().cloned().collect();
                for (channel, kind) in CHANNELS {
                    for symbol in named(channel) {
                        client.set(kind, &symbol, action == "subscribe");
                    }
                    state[channel] = client.symbols[kind.index()].iter().cloned().collect();
                }
                state["corrections"] = state["trades"].clone();
                state["cancelErrors"] = state["trades"].clone();
                StreamResponse::of(Value::Array(vec![state]).to_string())
            }
            _ => StreamResponse::of(error(400, "invalid syntax")),
        }
    }

    fn live(&self, item: &Item, record: &Record<&str>, out: &mut String) {
        let class = match item.kind {
            Kind::TRADE => 't',
            Kind::QUOTE => 'q',
            _ => return,
        };
        let _ = write!(out, "{{\"T\":\"{class}\",\"S\":\"{}\",", record.symbol());
        self.members()(record, out);
        out.push('}');
    }

    fn status(&self, symbol: &str, halted: bool, at: UnixNanos) -> Option<String> {
        let (code, meaning, reason) =
            if halted { ("H", "Trading Halt", "T1") } else { ("T", "Trading Resumption", "T3") };
        let message = json!({
            "T": "s", "S": symbol, "sc": code, "sm": meaning, "rc": reason, "rm": "", "z": "C", "t": at.to_string(),
        });
        Some(message.to_string())
    }

    fn bar(&self, symbol: &str, _: Interval, start: UnixNanos, values: &TradeValues) -> Option<String> {
        let mut bar = bars::short(&start.to_string().into(), values);
        (bar["T"], bar["S"]) = ("b".into(), symbol.into());
        Some(bar.to_string())
    }

    fn amends(&self) -> bool {
        !self.crypto
    }

    fn amended(&self, amended: Fault, item: &Item, record: &Record<&str>) -> [Vec<String>; 2] {
        amend::streamed(amended, record, &|record, out| self.live(item, record, out))
    }

    fn frames(&self, _: &mut Client, messages: Vec<String>) -> Vec<String> {
        vec![format!("[{}]", messages.join(","))]
    }

    fn disconnect(&self, disconnect: Disconnect) -> Option<String> {
        Some(match disconnect {
            Disconnect::Limit => error(406, "connection limit exceeded"),
            Disconnect::Slow => error(407, "slow client"),
        })
    }

    fn history(&self, shared: &Shared, request: &Request<'_>) -> Result<String, Refused> {
        if !shared.admits(request.header("apca-api-key-id"), request.header("apca-api-secret-key")) {
            return Err((403, "forbidden.".to_owned()));
        }
        let base = if self.crypto { CRYPTO } else { "/v2/stocks" };
        if request.path.strip_prefix(base) == Some("/bars") {
            return bars::alpaca(shared, request);
        }
        let kind = match request.path.strip_prefix(base) {
            Some("/trades") => Kind::TRADE,
            Some("/quotes") => Kind::QUOTE,
            _ => return Err((404, "endpoint not found".to_owned())),
        };
        let members = self.members();
        let time = |name: &str, or: i64| match request.text(name) {
            Some(text) => UnixNanos::parse(text).map(|ts| ts.0).map_err(|_| (400, format!("invalid {name}"))),
            None => Ok(or),
        };
        let (start, end) = (time("start", i64::MIN)?, time("end", i64::MAX)?);
        let mut room = request.number("limit", 1_000_usize)?.clamp(1, 10_000);
        let mut symbols: Vec<&str> =
            request.text("symbols").unwrap_or_default().split(',').filter(|s| !s.is_empty()).collect();
        if symbols.is_empty() {
            return Err((400, "symbols is required".to_owned()));
        }
        symbols.sort_unstable();
        symbols.dedup();
        // A page resumes after this many records of a symbol.
        let (after, skip) = match request.text("page_token").and_then(|token| token.rsplit_once('|')) {
            Some((symbol, count)) => {
                (symbol, count.parse().map_err(|_| (400, "invalid page_token".to_owned()))?)
            }
            None => ("", 0_usize),
        };
        let (mut lists, mut next, amended) = (Vec::new(), Value::Null, shared.amended().clone());
        for symbol in symbols.into_iter().filter(|symbol| *symbol >= after) {
            let skip = if symbol == after { skip } else { 0 };
            let mut items = shared.placed(kind, symbol, start, end).skip(skip).peekable();
            if items.peek().is_none() {
                continue;
            }
            let taken: Vec<String> = items
                .by_ref()
                .take(room)
                .map(|(place, item)| {
                    amend::past(item, amended.get(&place).copied().filter(|_| kind == Kind::TRADE), members)
                })
                .collect();
            room -= taken.len();
            if !taken.is_empty() {
                lists.push(format!("{}:[{}]", Value::from(symbol), taken.join(",")));
            }
            if items.peek().is_some() {
                next = format!("{symbol}|{}", skip + taken.len()).into();
                break;
            }
        }
        Ok(format!("{{\"{}\":{{{}}},\"next_page_token\":{next}}}", kind.plural(), lists.join(",")))
    }
}
