//! What a vendor's side of a live feed must say of itself. A file for each vendor; `docs/sources.md` tells how to add one.

use crate::http::Http;
use crate::shown::Mask;
use market::codec::feed::Decode;
use market::{Kind, UnixNanos};
use ports::cancel::CancelToken;
use ports::secret::Secret;
use ports::{Error, Result};
use std::fmt::Debug;

/// Where, as whom, and what is wanted.
#[derive(Debug, Clone)]
pub struct Account {
    /// As `wss://stream.data.alpaca.markets`.
    pub stream: String,
    /// As `https://data.alpaca.markets`.
    pub rest: String,
    /// The key; empty where none is needed.
    pub key: Secret,
    /// What goes with the key.
    pub secret: Secret,
    /// Which of the vendor's feeds, as `iex`; empty where there is one.
    pub feed: String,
    /// Whose records.
    pub symbols: Vec<String>,
    /// Which records.
    pub kinds: Vec<Kind>,
    /// The vendor's own bars as well.
    pub bars: bool,
    /// Limit up and limit down as well.
    pub bands: bool,
}

impl Account {
    /// Keeps its key out of whatever is shown.
    pub(crate) fn mask(&self) -> Mask {
        Mask::new([&self.key, &self.secret])
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub enum Refusal {
    /// Trying again can help.
    Again(String),
    /// It cannot.
    Fatal(Error),
}

/// A step of the greeting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Wait for so many acknowledgements.
    Hear(usize),
    /// Say this.
    Say(String),
}

/// A part of history, both ends included.
#[derive(Debug, Clone, Copy)]
pub struct Span<'a> {
    /// Which records.
    pub kind: Kind,
    /// Whose.
    pub symbols: &'a [String],
    /// From when on.
    pub from: UnixNanos,
    /// Until when.
    pub to: UnixNanos,
}

/// Takes a record of history: its symbol and its text.
pub type Take<'t> = &'t mut dyn FnMut(&str, &str) -> Result<()>;

/// Done, or why the vendor does not tell.
pub type Told = Result<std::result::Result<(), String>>;

/// A vendor.
pub trait Vendor: Send + Sync + Debug {
    /// For people, as `Alpaca`.
    fn name(&self) -> &'static str;

    /// Where, as whom, and what is wanted.
    fn account(&self) -> &Account;

    /// The stream's whole address.
    fn url(&self) -> String {
        self.account().stream.clone()
    }

    /// What is said and heard until the subscriptions stand.
    fn greeting(&self) -> Vec<Step>;

    /// How many acknowledgements an answer holds; one with none may be data already.
    ///
    /// # Errors
    /// It is a refusal.
    fn answered(&self, answer: &str) -> std::result::Result<usize, Refusal>;

    /// An error in the stream.
    fn told(&self, frame: &str) -> Option<Refusal>;

    /// Why the handshake was answered with this HTTP status.
    fn status(&self, code: u16) -> Refusal {
        match code {
            401 | 403 => self.fatal(&format!("HTTP {code}"), "check the key"),
            404 => self.fatal("HTTP 404", "the stream's address is wrong: see docs/sources.md"),
            _ => Refusal::Again(format!("HTTP {code} to the handshake")),
        }
    }

    /// Said every ten seconds, where the vendor wants more than a ping.
    fn beat(&self) -> Option<String> {
        None
    }

    /// Reads its frames, labelled with `label`.
    fn decoder(&self, label: &str) -> Box<dyn Decode>;

    /// Hands over all records of a span, in any order.
    ///
    /// # Errors
    /// What `take` says.
    fn history(&self, http: &Http, span: &Span<'_>, stop: &CancelToken, take: Take<'_>) -> Told;

    /// Where and for whom.
    fn describe(&self) -> String {
        format!("{} for {}", self.url(), self.account().symbols.join(","))
    }

    /// A refusal that waiting cannot mend.
    fn fatal(&self, what: &str, hint: &str) -> Refusal {
        let what = self.account().mask().shown(what);
        Refusal::Fatal(Error::user(format!("{} refuses {}: {what}", self.name(), self.describe())).hint(hint))
    }
}
