//! Client for Alpaca: addresses, handshake, error classification, and its history over REST.
//!
//! Stream and history according to docs.alpaca.markets (market data v2) and alpacahq/alpaca-py, and so are
//! the error codes: 402 401 403 409 410 411 are permanent, 404 406 407 408 429 500 are not.

use super::vendor::{
    Account, ConnectError, HandshakeStep, HistoryError, HistoryResult, HistorySink, HistorySpan, Vendor,
    present,
};
use crate::http::{Http, read};
use market::codec::alpaca::AlpacaDecoder;
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

/// Records by symbol; null if a symbol has none.
type BySymbol<'a> = BTreeMap<String, Option<Vec<&'a RawValue>>>;

impl Alpaca {
    fn crypto(&self) -> bool {
        self.0.feed == "crypto"
    }

    fn meant(&self, code: u32, text: &str) -> ConnectError {
        let permanent = |hint: &str| self.permanent(&format!("{code} {text}"), hint);
        match code {
            401..=403 => {
                permanent("check APCA_API_KEY_ID and APCA_API_SECRET_KEY; paper and live keys differ")
            }
            405 => permanent("the plan allows fewer symbols: shorten symbols=; the free plan allows 30"),
            409 | 411 => permanent("the plan does not include this feed: try alpaca:iex"),
            400 | 410 => permanent("the feed does not know this subscription; see docs/sources.md"),
            406 => ConnectError::retryable(
                "406 connection limit exceeded: another program uses this key".to_owned(),
            ),
            _ => ConnectError::retryable(format!("Alpaca says {code}: {text}")),
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

    fn handshake(&self) -> Vec<HandshakeStep> {
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
            HandshakeStep::Expect(1),
            HandshakeStep::Send(auth.to_string()),
            HandshakeStep::Expect(1),
            HandshakeStep::Send(subscribe.to_string()),
            HandshakeStep::Expect(1),
        ]
    }

    fn acknowledgements(&self, response: &str) -> Result<usize, ConnectError> {
        let control: Vec<Control> = serde_json::from_str(response)
            .map_err(|error| ConnectError::retryable(format!("unreadable response: {error}: {response}")))?;
        match control.iter().find(|control| control.class == "error") {
            Some(control) => Err(self.meant(control.code, &control.msg)),
            None => Ok(control
                .iter()
                .filter(|control| matches!(&*control.class, "success" | "subscription"))
                .count()),
        }
    }

    fn stream_error(&self, frame: &str) -> Option<ConnectError> {
        // Errors are arrays of one element; data is not parsed twice.
        if !frame.starts_with("[{\"T\":\"error\"") {
            return None;
        }
        let control: Vec<Control> = serde_json::from_str(frame).ok()?;
        control.first().map(|control| match self.meant(control.code, &control.msg) {
            // The subscription was accepted: what is refused now was allowed before.
            ConnectError::Permanent(_) => {
                ConnectError::retryable(format!("Alpaca says {}: {}", control.code, control.msg))
            }
            retryable @ ConnectError::Retryable(_) => retryable,
        })
    }

    fn status(&self, code: u16) -> ConnectError {
        match code {
            401 | 403 => self.meant(402, &format!("HTTP {code}")),
            404 => self.meant(410, "HTTP 404"),
            _ => ConnectError::retryable(format!("HTTP {code} to the handshake")),
        }
    }

    fn decoder(&self, label: &str) -> Box<dyn Decode> {
        Box::new(AlpacaDecoder::new(label))
    }

    fn history(
        &self,
        http: &Http,
        span: &HistorySpan<'_>,
        stop: &CancelToken,
        take: HistorySink<'_>,
    ) -> HistoryResult {
        #[derive(Deserialize)]
        struct Reply<'a> {
            #[serde(borrow, alias = "trades", alias = "quotes", default, deserialize_with = "present")]
            records: Option<Option<BySymbol<'a>>>,
            #[serde(default)]
            next_page_token: Option<String>,
            #[serde(default)]
            message: Option<String>,
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
            let body = http.get(&url, &query, &headers, stop)?;
            let reply: Reply<'_> = read(&url, &body)?;
            let Some(records) = reply.records else {
                // An error with HTTP 200 is not an empty span.
                let reason = reply.message.unwrap_or_else(|| format!("missing `{}`", span.kind.plural()));
                return Err(HistoryError::Unavailable(format!("{url}: {reason}")));
            };
            for (symbol, records) in records.unwrap_or_default() {
                for raw in records.into_iter().flatten().filter(|raw| raw.get() != "null") {
                    take(&symbol, raw.get())?;
                }
            }
            let next = reply.next_page_token.filter(|next| !next.is_empty());
            if next.is_none() {
                return Ok(());
            }
            if next == token {
                return Err(HistoryError::Unavailable(format!("{url}: the next page is this page again")));
            }
            token = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{FakeHttp, ok};
    use crate::live::vendor::tests::history_of;
    use market::Kind;

    const ROW: &str = r#"{"t":"2025-06-10T14:00:00.5Z","x":"V","p":1,"s":1,"i":1,"z":"B","c":["@"]}"#;

    fn read(bodies: &[&str]) -> (HistoryResult, Vec<String>, usize) {
        let server = FakeHttp::new(bodies.iter().map(|body| ok(body)).collect());
        let (result, rows) = history_of(&server, Kind::TRADE, |account| Box::new(Alpaca(account)));
        (result, rows, server.lines().len())
    }

    #[test]
    fn an_error_under_200_is_no_empty_span() {
        for body in [r#"{"message":"forbidden: KEY-OF-TEST"}"#, "{}"] {
            let (result, ..) = read(&[body]);
            let Err(HistoryError::Unavailable(reason)) = result else { panic!("{body}: {result:?}") };
            assert!(reason.contains("forbidden") || reason.contains("missing `trades`"), "{reason}");
            assert!(!reason.contains("KEY-OF-TEST"), "{reason}");
        }
        for body in [r#"{"trades":{}}"#, r#"{"trades":null}"#, r#"{"trades":{"SPY":null}}"#] {
            assert_eq!(read(&[body]).0.ok(), Some(()), "{body}");
        }
    }

    #[test]
    fn pages_end_with_an_empty_token_and_never_repeat() {
        let page = |token: &str| format!(r#"{{"trades":{{"SPY":[{ROW}]}},"next_page_token":{token}}}"#);
        let (result, rows, requests) = read(&[&page("\"two\""), &page("\"\"")]);
        assert_eq!((result.is_ok(), rows.len(), requests), (true, 2, 2));
        let (result, _, requests) = read(&[&page("\"two\"")]);
        assert!(result.unwrap_err().to_string().contains("this page again"));
        assert_eq!(requests, 2);
    }
}
