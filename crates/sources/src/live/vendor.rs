//! The interface of a live feed's vendor. Each vendor has a file; `docs/sources.md` explains how to add one.

use crate::http::Http;
use crate::shown::Mask;
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
pub enum Refusal {
    /// A retry can help.
    Again(String),
    /// A retry cannot help.
    Fatal(Error),
}

/// A step of the handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Wait for this many acknowledgements.
    Hear(usize),
    /// Send this text.
    Say(String),
}

/// A span of history, both ends included.
#[derive(Debug, Clone, Copy)]
pub struct Span<'a> {
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
pub type Take<'t> = &'t mut dyn FnMut(&str, &str) -> Result<()>;

/// Success, or why the vendor cannot provide the data.
pub type Told = Result<std::result::Result<(), String>>;

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
    fn greeting(&self) -> Vec<Step>;

    /// Number of acknowledgements in a response; one with none may already be data.
    ///
    /// # Errors
    /// The response is an error.
    fn answered(&self, answer: &str) -> std::result::Result<usize, Refusal>;

    /// An error in the stream.
    fn told(&self, frame: &str) -> Option<Refusal>;

    /// Classifies an HTTP status received in the handshake.
    fn status(&self, code: u16) -> Refusal {
        match code {
            401 | 403 => self.fatal(&format!("HTTP {code}"), "check the key"),
            404 => self.fatal("HTTP 404", "the stream's address is wrong: see docs/sources.md"),
            _ => Refusal::Again(format!("HTTP {code} to the handshake")),
        }
    }

    /// Keep-alive message sent every ten seconds, if the vendor needs more than a ping.
    fn beat(&self) -> Option<String> {
        None
    }

    /// The decoder for its frames, labelled with `label`.
    fn decoder(&self, label: &str) -> Box<dyn Decode>;

    /// Passes all records of a span to `take`, in any order.
    ///
    /// # Errors
    /// The error of `take`.
    fn history(&self, http: &Http, span: &Span<'_>, stop: &CancelToken, take: Take<'_>) -> Told;

    /// Address and symbols, for display.
    fn describe(&self) -> String {
        format!("{} for {}", self.url(), self.account().symbols.join(","))
    }

    /// A permanent refusal.
    fn fatal(&self, what: &str, hint: &str) -> Refusal {
        let what = self.account().mask().shown(what);
        Refusal::Fatal(Error::user(format!("{} refuses {}: {what}", self.name(), self.describe())).hint(hint))
    }
}
