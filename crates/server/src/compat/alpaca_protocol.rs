//! Alpaca's stream protocol without I/O: what a client's message changes, what it is sent, and which items it wants.

use crate::http::guard::same;
use crate::http::params;
use crate::hub::live::{LiveContent, LiveItem};
use market::Record;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Maximum number of symbols in a channel.
const SYMBOLS: usize = 500;
/// The symbol that stands for all.
const ALL: &str = "*";
/// Channels that are offered.
const CHANNELS: [&str; 5] = ["trades", "quotes", "bars", "updatedBars", "dailyBars"];
/// Channels of Alpaca that no topic here fills.
const NOT_OFFERED: [&str; 5] = ["statuses", "lulds", "orderbooks", "imbalances", "news"];

const TRADES: usize = 0;
const QUOTES: usize = 1;
const BARS: usize = 2;
const UPDATED_BARS: usize = 3;
const DAILY_BARS: usize = 4;

pub(super) const CONNECTED: &str = r#"[{"T":"success","msg":"connected"}]"#;
pub(super) const AUTHENTICATED: &str = r#"[{"T":"success","msg":"authenticated"}]"#;
pub(super) const AUTH_TIMEOUT: (u16, &str) = (404, "auth timeout");
pub(super) const SLOW_CLIENT: (u16, &str) = (407, "slow client");
pub(super) const TOO_MANY_MESSAGES: (u16, &str) = (429, "too many messages");

/// An error message.
pub(super) fn error((code, text): (u16, &str)) -> String {
    json!([{ "T": "error", "code": code, "msg": text }]).to_string()
}

/// The reply to a message, and whether the connection then ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct StreamReply {
    pub(super) text: String,
    pub(super) end: bool,
}

impl StreamReply {
    fn error(code: u16, text: &str) -> Self {
        Self { text: error((code, text)), end: false }
    }
}

/// State of a client.
#[derive(Debug)]
pub(super) struct ClientSession {
    token: String,
    pub(super) is_authenticated: bool,
    channels: [BTreeSet<String>; CHANNELS.len()],
}

impl ClientSession {
    /// With an empty token any secret is accepted.
    pub(super) fn new(token: &str, is_authenticated: bool) -> Self {
        Self { token: token.to_owned(), is_authenticated, channels: Default::default() }
    }

    /// Handles a message; `None` is one that cannot be decoded.
    pub(super) fn receive(&mut self, message: Option<&Value>) -> StreamReply {
        let Some(message) = message else { return StreamReply::error(400, "invalid syntax") };
        let text = |name: &str| message.get(name).and_then(Value::as_str).unwrap_or_default();
        match text("action") {
            "auth" if self.is_authenticated => StreamReply::error(403, "already authenticated"),
            "auth" if self.token.is_empty() || same(text("secret").as_bytes(), self.token.as_bytes()) => {
                self.is_authenticated = true;
                StreamReply { text: AUTHENTICATED.to_owned(), end: false }
            }
            "auth" => StreamReply { end: true, ..StreamReply::error(402, "auth failed") },
            _ if !self.is_authenticated => StreamReply::error(401, "not authenticated"),
            "subscribe" => {
                self.subscribe(message).unwrap_or_else(|(code, text)| StreamReply::error(code, text))
            }
            "unsubscribe" => {
                for (symbols, channel) in self.channels.iter_mut().zip(CHANNELS) {
                    let list = message.get(channel).and_then(Value::as_array).into_iter().flatten();
                    for symbol in list.filter_map(Value::as_str) {
                        symbols.remove(symbol);
                    }
                }
                self.subscription()
            }
            _ => StreamReply::error(400, "invalid syntax"),
        }
    }

    /// All of a message's symbols, or none.
    fn subscribe(&mut self, message: &Value) -> Result<StreamReply, (u16, &'static str)> {
        let is_named = |channel: &&str| message.get(*channel).is_some_and(|list| *list != json!([]));
        if NOT_OFFERED.iter().any(is_named) {
            return Err((410, "invalid subscribe action for this feed"));
        }
        let mut channels = self.channels.clone();
        for (symbols, channel) in channels.iter_mut().zip(CHANNELS) {
            let Some(list) = message.get(channel) else { continue };
            for symbol in list.as_array().ok_or((400, "invalid syntax"))? {
                let symbol = symbol.as_str().and_then(|symbol| params::symbol(symbol).ok());
                symbols.insert(symbol.ok_or((400, "invalid syntax"))?);
            }
            if symbols.len() > SYMBOLS {
                return Err((405, "symbol limit exceeded"));
            }
        }
        self.channels = channels;
        Ok(self.subscription())
    }

    fn subscription(&self) -> StreamReply {
        let mut state = json!({ "T": "subscription", "statuses": [], "lulds": [] });
        for (symbols, channel) in self.channels.iter().zip(CHANNELS) {
            state[channel] = symbols.iter().cloned().collect();
        }
        // Those who get trades also get what becomes of them.
        state["corrections"] = state["trades"].clone();
        state["cancelErrors"] = state["trades"].clone();
        StreamReply { text: json!([state]).to_string(), end: false }
    }

    pub(super) fn is_subscribed(&self) -> bool {
        self.channels.iter().any(|symbols| !symbols.is_empty())
    }

    /// Whether the client subscribed to an item.
    pub(super) fn wants(&self, item: &LiveItem) -> bool {
        let channel = match &item.content {
            LiveContent::Record(Record::Trade(_)) => TRADES,
            LiveContent::Record(Record::Quote(_)) => QUOTES,
            LiveContent::Record(_) => return false,
            LiveContent::Bar(bar) if bar.interval.is_day() => DAILY_BARS,
            LiveContent::Bar(bar) if bar.revision > 0 => UPDATED_BARS,
            LiveContent::Bar(_) => BARS,
        };
        let symbols = &self.channels[channel];
        symbols.contains(item.symbol()) || symbols.contains(ALL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(session: &mut ClientSession, messages: &[&str]) -> Vec<Value> {
        let reply = |message: &&str| {
            let reply = session.receive(serde_json::from_str(message).ok().as_ref());
            let value: Value = serde_json::from_str(&reply.text).unwrap();
            assert_eq!(reply.end, value[0]["code"] == 402, "{}", reply.text);
            if value[0]["code"].is_null() { value[0]["T"].clone() } else { value[0]["code"].clone() }
        };
        messages.iter().map(reply).collect()
    }

    #[test]
    fn messages_are_answered_as_alpaca_answers_them() {
        let long = format!(r#"{{"action":"subscribe","bars":["{}"]}}"#, "A".repeat(100));
        let many: Vec<String> = (0..SYMBOLS + 1).map(|n| n.to_string()).collect();
        let many = json!({ "action": "subscribe", "quotes": many }).to_string();
        let messages = [
            (r#"{"action":"subscribe","trades":["SPY"]}"#, json!(401)),
            (r#"{"action":"auth","key":"k","secret":"other"}"#, json!(402)),
            (r#"{"action":"auth","key":"k"}"#, json!(402)),
            (r#"{"action":"auth","key":"k","secret":"token"}"#, json!("success")),
            (r#"{"action":"auth","key":"k","secret":"token"}"#, json!(403)),
            (r#"{"action":"subscribe","trades":["SPY"],"bars":["*"]}"#, json!("subscription")),
            (r#"{"action":"unsubscribe","trades":["SPY","IBM"]}"#, json!("subscription")),
            (r#"{"action":"subscribe","statuses":["*"]}"#, json!(410)),
            (r#"{"action":"subscribe","statuses":[]}"#, json!("subscription")),
            (r#"{"action":"subscribe","trades":"SPY"}"#, json!(400)),
            (r#"{"action":"subscribe","trades":[1]}"#, json!(400)),
            (&long, json!(400)),
            (&many, json!(405)),
            (r#"{"action":"shout"}"#, json!(400)),
            (r#"["action"]"#, json!(400)),
            ("not json", json!(400)),
        ];
        let mut session = ClientSession::new("token", false);
        for (message, wanted) in messages {
            assert_eq!(codes(&mut session, &[message]), [wanted], "{message}");
        }
        // What was refused changed nothing.
        let reply = session.receive(Some(&json!({ "action": "unsubscribe" })));
        let state: Value = serde_json::from_str(&reply.text).unwrap();
        assert_eq!((&state[0]["trades"], &state[0]["bars"]), (&json!([]), &json!(["*"])));
        assert_eq!(state[0]["quotes"], json!([]));
    }
}
