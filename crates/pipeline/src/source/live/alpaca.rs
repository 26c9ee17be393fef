//! Alpaca's side: addresses, greeting, what its errors mean, and its history over REST.
//!
//! Stream and history as in docs.alpaca.markets (market data v2) and alpacahq/alpaca-py; error codes as there:
//! 402 401 403 409 410 411 cannot be mended by waiting, 404 406 407 408 429 500 can.

use super::channels;
use crate::stop::Stop;
use crate::{Error, Result};
use market::{Kind, UnixNanos};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// A key or secret: never printed.
#[derive(Clone, Default)]
pub struct Secret(String);

impl Secret {
    /// Of a text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where and as whom.
#[derive(Debug, Clone)]
pub struct Alpaca {
    /// As `wss://stream.data.alpaca.markets/v2/iex`.
    pub stream: String,
    /// As `https://data.alpaca.markets`.
    pub rest: String,
    /// `iex`, `sip`.
    pub feed: String,
    /// Whose records.
    pub symbols: Vec<String>,
    /// Which records.
    pub kinds: Vec<Kind>,
    /// `APCA_API_KEY_ID`.
    pub key: Secret,
    /// `APCA_API_SECRET_KEY`.
    pub secret: Secret,
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Trying again can help.
    Again(String),
    /// It cannot.
    Fatal(Error),
}

#[derive(Deserialize)]
struct Told {
    #[serde(rename = "T")]
    class: String,
    #[serde(default)]
    code: u32,
    #[serde(default)]
    msg: String,
}

/// Records of a page of history, by symbol.
pub(super) type Page = BTreeMap<String, Vec<Box<RawValue>>>;

/// Times a request is tried when the vendor says to wait.
const TRIES: u32 = 6;

impl Alpaca {
    pub(super) fn describe(&self) -> String {
        format!("{} for {}", self.stream, self.symbols.join(","))
    }

    /// Host and port of the stream.
    pub(super) fn stream_address(&self) -> (String, u16) {
        let (scheme, rest) = self.stream.split_once("://").unwrap_or(("wss", &self.stream));
        let host = rest.split('/').next().unwrap_or(rest);
        let port = if scheme == "ws" { 80 } else { 443 };
        match host.rsplit_once(':') {
            Some((name, number)) => (name.to_owned(), number.parse().unwrap_or(port)),
            None => (host.to_owned(), port),
        }
    }

    /// What is said after `connected`, a line for each answer.
    pub(super) fn greeting(&self) -> Vec<String> {
        let auth = serde_json::json!({"action": "auth", "key": self.key.0, "secret": self.secret.0});
        let mut subscribe = serde_json::json!({"action": "subscribe"});
        for channel in channels(&self.kinds) {
            subscribe[channel] = self.symbols.clone().into();
        }
        vec![auth.to_string(), subscribe.to_string()]
    }

    /// Whether an answer to the greeting is a good one.
    pub(super) fn answered(&self, answer: &str) -> std::result::Result<(), Refusal> {
        let told: Vec<Told> = serde_json::from_str(answer)
            .map_err(|error| Refusal::Again(format!("an answer that cannot be read: {error}: {answer}")))?;
        match told.into_iter().find(|told| told.class == "error") {
            Some(told) => Err(self.meant(told.code, &told.msg)),
            None => Ok(()),
        }
    }

    /// An error in the stream after which the vendor closes it: the cause.
    pub(super) fn told(frame: &str) -> Option<String> {
        // Errors are arrays of one; data is not looked at twice.
        if !frame.starts_with("[{\"T\":\"error\"") {
            return None;
        }
        let told: Vec<Told> = serde_json::from_str(frame).ok()?;
        told.first().map(|told| format!("Alpaca says {}: {}", told.code, told.msg))
    }

    fn meant(&self, code: u32, text: &str) -> Refusal {
        let fatal = |hint: &str| {
            let what = format!("Alpaca refuses {}: {code} {text}", self.describe());
            Refusal::Fatal(Error::user(what).hint(hint))
        };
        match code {
            401..=403 => fatal("check APCA_API_KEY_ID and APCA_API_SECRET_KEY; paper and live keys differ"),
            405 => fatal("the plan allows fewer symbols: shorten symbols=; the free plan has 30"),
            409 | 411 => fatal("the plan does not include this feed: try alpaca:iex"),
            400 | 410 => fatal("the feed does not know this subscription; see docs/sources.md"),
            406 => Refusal::Again("406 connection limit exceeded: another program uses this key".to_owned()),
            _ => Refusal::Again(format!("Alpaca says {code}: {text}")),
        }
    }

    /// Why the handshake failed.
    pub(super) fn refused<S>(
        &self,
        error: &tungstenite::HandshakeError<tungstenite::ClientHandshake<S>>,
    ) -> Refusal
    where
        S: std::io::Read + std::io::Write,
    {
        match error {
            tungstenite::HandshakeError::Failure(tungstenite::Error::Http(response)) => {
                match response.status().as_u16() {
                    code @ (401 | 403) => self.meant(402, &format!("HTTP {code}")),
                    404 => self.meant(410, "HTTP 404"),
                    code => Refusal::Again(format!("HTTP {code} to the handshake")),
                }
            }
            tungstenite::HandshakeError::Failure(error) => Refusal::Again(format!("handshake: {error}")),
            tungstenite::HandshakeError::Interrupted(_) => Refusal::Again("handshake: no answer".to_owned()),
        }
    }

    /// Hands over all pages of history of a span, both ends included.
    pub(super) fn history(
        &self,
        kind: Kind,
        from: UnixNanos,
        to: UnixNanos,
        stop: &Stop,
        page: &mut dyn FnMut(Page) -> Result<()>,
    ) -> Result<std::result::Result<(), String>> {
        #[derive(Deserialize)]
        struct Reply {
            #[serde(alias = "trades", alias = "quotes", default)]
            records: Option<Page>,
            #[serde(default)]
            next_page_token: Option<String>,
        }
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(30)))
            .http_status_as_error(false)
            .build()
            .into();
        let url = format!("{}/v2/stocks/{}", self.rest.trim_end_matches('/'), kind.plural());
        let (mut token, mut tries) = (None::<String>, 0);
        loop {
            let mut request = agent
                .get(&url)
                .header("APCA-API-KEY-ID", &self.key.0)
                .header("APCA-API-SECRET-KEY", &self.secret.0)
                .query("symbols", self.symbols.join(","))
                .query("start", from.to_string())
                .query("end", to.to_string())
                .query("limit", "10000")
                .query("feed", &self.feed);
            if let Some(token) = &token {
                request = request.query("page_token", token);
            }
            let answer = request.call().map_err(|error| error.to_string()).and_then(|mut response| {
                let code = response.status().as_u16();
                let wait =
                    response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
                let body = response.body_mut().with_config().limit(256 << 20).read_to_string();
                Ok((code, wait, body.map_err(|error| error.to_string())?))
            });
            let (wait, reason) = match answer {
                Ok((200, _, body)) => {
                    let reply: Reply = match serde_json::from_str(&body) {
                        Ok(reply) => reply,
                        Err(error) => return Ok(Err(format!("{url}: a reply that cannot be read: {error}"))),
                    };
                    page(reply.records.unwrap_or_default())?;
                    token = reply.next_page_token;
                    tries = 0;
                    if token.is_none() {
                        return Ok(Ok(()));
                    }
                    continue;
                }
                Ok((code @ (429 | 500..), wait, _)) => (wait, format!("{url}: HTTP {code}")),
                Ok((code, _, body)) => {
                    return Ok(Err(format!(
                        "{url}: HTTP {code}: {}",
                        body.chars().take(200).collect::<String>()
                    )));
                }
                Err(error) => (None, format!("{url}: {error}")),
            };
            tries += 1;
            if tries >= TRIES || stop.sleep(Duration::from_secs(wait.unwrap_or(1 << tries).min(60))) {
                return Ok(Err(reason));
            }
        }
    }
}
