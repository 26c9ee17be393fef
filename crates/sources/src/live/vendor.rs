//! The interface of a live feed's vendor. Each vendor has a file; `docs/sources.md` explains how to add one.

use crate::http::Http;
use crate::mask::Mask;
use market::codec::feed::Decode;
use market::{Kind, UnixNanos};
use ports::cancel::CancelToken;
use ports::secret::Secret;
use ports::{Error, Result};
use std::fmt::Debug;

/// Address, credentials and subscriptions.
#[derive(Debug, Clone)]
pub struct Account {
    /// Stream address, for example `wss://stream.data.alpaca.markets`.
    pub stream: String,
    /// REST address, for example `https://data.alpaca.markets`.
    pub rest: String,
    /// The key; empty if none is needed.
    pub key: Secret,
    /// The secret that belongs to the key.
    pub secret: Secret,
    /// The vendor's feed, for example `iex`; empty if there is only one.
    pub feed: String,
    /// Symbols.
    pub symbols: Vec<String>,
    /// Record kinds.
    pub kinds: Vec<Kind>,
    /// Whether to subscribe to the vendor's own bars.
    pub bars: bool,
    /// Whether to subscribe to limit up-limit down price bands.
    pub bands: bool,
}

impl Account {
    /// Masks the key in displayed text.
    pub(crate) fn mask(&self) -> Mask {
        Mask::new([&self.key, &self.secret])
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub enum ConnectError {
    /// A retry can help.
    Retryable(Error),
    /// A retry cannot help.
    Permanent(Error),
}

impl ConnectError {
    /// A failure after which a retry can help.
    pub fn retryable(what: impl Into<String>) -> Self {
        Self::Retryable(Error::external(what))
    }
}

/// A step of the handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandshakeStep {
    /// Wait for this many acknowledgements.
    Expect(usize),
    /// Send this text.
    Send(String),
}

/// A span of history, both ends included.
#[derive(Debug, Clone, Copy)]
pub struct HistorySpan<'a> {
    /// Record kinds.
    pub kind: Kind,
    /// Symbols.
    pub symbols: &'a [String],
    /// Start, inclusive.
    pub from: UnixNanos,
    /// End, inclusive.
    pub to: UnixNanos,
}

/// Callback for a record of history: its symbol and its text.
pub type HistorySink<'t> = &'t mut dyn FnMut(&str, &str) -> Result<()>;

/// Why history was not read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The vendor cannot provide the data, and why: the gap stays open.
    #[error("{0}")]
    Unavailable(String),
    /// A record could not be handed on: the run ends.
    #[error(transparent)]
    Failed(#[from] ports::Error),
}

impl From<String> for HistoryError {
    fn from(reason: String) -> Self {
        Self::Unavailable(reason)
    }
}

/// Deserializes a member that may be null: `None` only if it is absent.
pub(super) fn present<'de, D, T>(deserializer: D) -> std::result::Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// Passes all records of a span to `take`, in any order. The reason of a failure is displayable: a reply may echo the key.
///
/// # Errors
/// See [`Vendor::history`].
pub(super) fn history(
    vendor: &dyn Vendor,
    http: &Http,
    span: &HistorySpan<'_>,
    stop: &CancelToken,
    take: HistorySink<'_>,
) -> HistoryResult {
    vendor.history(http, span, stop, take).map_err(|error| match error {
        HistoryError::Unavailable(reason) => HistoryError::Unavailable(http.displayed(&reason)),
        failed @ HistoryError::Failed(_) => failed,
    })
}

/// What was read of a vendor's history.
pub type HistoryResult<T = ()> = std::result::Result<T, HistoryError>;

/// A vendor.
pub trait Vendor: Send + Sync + Debug {
    /// Display name, for example `Alpaca`.
    fn name(&self) -> &'static str;

    /// Address, credentials and subscriptions.
    fn account(&self) -> &Account;

    /// The stream's full address.
    fn url(&self) -> String {
        self.account().stream.clone()
    }

    /// Messages exchanged until the subscriptions are confirmed.
    fn handshake(&self) -> Vec<HandshakeStep>;

    /// Number of acknowledgements in a response; one with none may already be data.
    ///
    /// # Errors
    /// The response is an error.
    fn acknowledgements(&self, response: &str) -> std::result::Result<usize, ConnectError>;

    /// An error in the stream.
    fn stream_error(&self, frame: &str) -> Option<ConnectError>;

    /// Classifies an HTTP status received in the handshake.
    fn status(&self, code: u16) -> ConnectError {
        match code {
            401 | 403 => self.permanent(&format!("HTTP {code}"), "check the key"),
            404 => self.permanent("HTTP 404", "the stream's address is wrong: see docs/sources.md"),
            _ => ConnectError::retryable(format!("HTTP {code} to the handshake")),
        }
    }

    /// Keep-alive message sent every ten seconds, if the vendor needs more than a ping.
    fn keepalive(&self) -> Option<String> {
        None
    }

    /// The decoder for its frames, labelled with `label`.
    fn decoder(&self, label: &str) -> Box<dyn Decode>;

    /// Passes all records of a span to `take`, in any order.
    ///
    /// # Errors
    /// The error of `take`.
    fn history(
        &self,
        http: &Http,
        span: &HistorySpan<'_>,
        stop: &CancelToken,
        take: HistorySink<'_>,
    ) -> HistoryResult;

    /// Address and symbols, for display.
    fn describe(&self) -> String {
        format!("{} for {}", self.url(), self.account().symbols.join(","))
    }

    /// A permanent refusal.
    fn permanent(&self, what: &str, hint: &str) -> ConnectError {
        let what = self.account().mask().displayed(what);
        ConnectError::Permanent(
            Error::user(format!("{} refuses {}: {what}", self.name(), self.describe())).hint(hint),
        )
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::fake::FakeHttp;

    /// Rows of SPY that a vendor's history has of a minute, from a server that plays a script.
    pub(crate) fn history_of(
        server: &FakeHttp,
        kind: Kind,
        vendor: impl Fn(Account) -> Box<dyn Vendor>,
    ) -> (HistoryResult, Vec<String>) {
        let symbols = ["SPY".to_owned()];
        let account = Account {
            stream: String::new(),
            rest: server.url.clone(),
            key: Secret::from("KEY-OF-TEST".to_owned()),
            secret: Secret::from("SECRET-OF-TEST".to_owned()),
            feed: "iex".to_owned(),
            symbols: symbols.to_vec(),
            kinds: vec![kind],
            bars: false,
            bands: false,
        };
        let http = Http::new(account.mask());
        let [from, to] =
            ["2025-06-10T14:00:00Z", "2025-06-10T14:01:00Z"].map(|text| UnixNanos::parse(text).unwrap());
        let span = HistorySpan { kind, symbols: &symbols, from, to };
        let mut rows = Vec::new();
        let result = history(&*vendor(account), &http, &span, &CancelToken::default(), &mut |_, raw| {
            rows.push(raw.to_owned());
            Ok(())
        });
        (result, rows)
    }
}
