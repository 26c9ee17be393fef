//! Client for Alpaca: addresses, handshake, error classification, and its history over REST.
//!
//! Stream and history according to docs.alpaca.markets (market data v2) and alpacahq/alpaca-py, and so are
//! the error codes: 402 401 403 409 410 411 are permanent, 404 406 407 408 429 500 are not.

use super::vendor::{Account, Refusal, Span, Step, Take, Told, Vendor};
use crate::http::{Http, read, untold};
use market::codec::alpaca::Decoder;
use market::codec::feed::Decode;
use ports::cancel::CancelToken;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Alpaca stocks and crypto.
#[derive(Debug)]
pub(super) struct Alpaca(pub(super) Account);

/// Path of crypto, for stream and history.
const CRYPTO: &str = "/v1beta3/crypto/us";

#[derive(Deserialize)]
struct Control {
    #[serde(rename = "T")]
    class: String,
    #[serde(default)]
    code: u32,
    #[serde(default)]
    msg: String,
}

impl Alpaca {
    fn crypto(&self) -> bool {
        self.0.feed == "crypto"
    }

    fn meant(&self, code: u32, text: &str) -> Refusal {
        let fatal = |hint: &str| self.fatal(&format!("{code} {text}"), hint);
        match code {
            401..=403 => fatal("check APCA_API_KEY_ID and APCA_API_SECRET_KEY; paper and live keys differ"),
            405 => fatal("the plan allows fewer symbols: shorten symbols=; the free plan allows 30"),
            409 | 411 => fatal("the plan does not include this feed: try alpaca:iex"),
            400 | 410 => fatal("the feed does not know this subscription; see docs/sources.md"),
            406 => Refusal::Again("406 connection limit exceeded: another program uses this key".to_owned()),
            _ => Refusal::Again(format!("Alpaca says {code}: {text}")),
        }
    }
}

impl Vendor for Alpaca {
    fn name(&self) -> &'static str {
        "Alpaca"
    }

    fn account(&self) -> &Account {
        &self.0
    }

    fn url(&self) -> String {
        let host = self.0.stream.trim_end_matches('/');
        if self.crypto() { format!("{host}{CRYPTO}") } else { format!("{host}/v2/{}", self.0.feed) }
    }

    fn greeting(&self) -> Vec<Step> {
        let (key, secret) = (self.0.key.reveal(), self.0.secret.reveal());
        let auth = serde_json::json!({"action": "auth", "key": key, "secret": secret});
        let mut subscribe = serde_json::json!({"action": "subscribe"});
        for kind in &self.0.kinds {
            subscribe[kind.plural()] = self.0.symbols.clone().into();
        }
        let mut also = |channel: &str| subscribe[channel] = self.0.symbols.clone().into();
        if self.0.bars {
            ["bars", "updatedBars", "dailyBars"].into_iter().for_each(&mut also);
        }
        if self.0.bands {
            also("lulds");
        }
        // A halted symbol's silence is not a stall.
        if self.0.feed != "test" && !self.crypto() {
            subscribe["statuses"] = self.0.symbols.clone().into();
        }
        vec![
            Step::Hear(1),
            Step::Say(auth.to_string()),
            Step::Hear(1),
            Step::Say(subscribe.to_string()),
            Step::Hear(1),
        ]
    }

    fn answered(&self, answer: &str) -> Result<usize, Refusal> {
        let told: Vec<Control> = serde_json::from_str(answer)
            .map_err(|error| Refusal::Again(format!("unreadable response: {error}: {answer}")))?;
        match told.iter().find(|told| told.class == "error") {
            Some(told) => Err(self.meant(told.code, &told.msg)),
            None => Ok(told.iter().filter(|told| matches!(&*told.class, "success" | "subscription")).count()),
        }
    }

    fn told(&self, frame: &str) -> Option<Refusal> {
        // Errors are arrays of one element; data is not parsed twice.
        if !frame.starts_with("[{\"T\":\"error\"") {
            return None;
        }
        let told: Vec<Control> = serde_json::from_str(frame).ok()?;
        told.first().map(|told| match self.meant(told.code, &told.msg) {
            // The subscription was accepted: what is refused now was allowed before.
            Refusal::Fatal(_) => Refusal::Again(format!("Alpaca says {}: {}", told.code, told.msg)),
            again @ Refusal::Again(_) => again,
        })
    }

    fn status(&self, code: u16) -> Refusal {
        match code {
            401 | 403 => self.meant(402, &format!("HTTP {code}")),
            404 => self.meant(410, "HTTP 404"),
            _ => Refusal::Again(format!("HTTP {code} to the handshake")),
        }
    }

    fn decoder(&self, label: &str) -> Box<dyn Decode> {
        Box::new(Decoder::new(label))
    }

    fn history(&self, http: &Http, span: &Span<'_>, stop: &CancelToken, take: Take<'_>) -> Told {
        #[derive(Deserialize)]
        struct Reply<'a> {
            #[serde(borrow, alias = "trades", alias = "quotes", default)]
            records: Option<BTreeMap<String, Option<Vec<&'a RawValue>>>>,
            #[serde(default)]
            next_page_token: Option<String>,
        }
        let base = if self.crypto() { CRYPTO } else { "/v2/stocks" };
        let url = format!("{}{base}/{}", self.0.rest.trim_end_matches('/'), span.kind.plural());
        let (symbols, from, to) = (span.symbols.join(","), span.from.to_string(), span.to.to_string());
        let headers =
            [("APCA-API-KEY-ID", self.0.key.reveal()), ("APCA-API-SECRET-KEY", self.0.secret.reveal())];
        let mut token = None::<String>;
        loop {
            let mut query =
                vec![("symbols", symbols.as_str()), ("start", &from), ("end", &to), ("limit", "10000")];
            if !self.crypto() {
                query.push(("feed", &self.0.feed));
            }
            query.extend(token.as_deref().map(|token| ("page_token", token)));
            let body = match http.get(&url, &query, &headers, stop) {
                Ok(body) => body,
                Err(reason) => return untold(reason),
            };
            let reply: Reply<'_> = match read(&url, &body) {
                Ok(reply) => reply,
                Err(reason) => return untold(reason),
            };
            for (symbol, records) in reply.records.unwrap_or_default() {
                for raw in records.into_iter().flatten().filter(|raw| raw.get() != "null") {
                    take(&symbol, raw.get())?;
                }
            }
            token = reply.next_page_token;
            if token.is_none() {
                return Ok(Ok(()));
            }
        }
    }
}
