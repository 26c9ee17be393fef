//! How a vendor speaks. A file for each.

use super::{Fault, Item, Shared};
use market::bar::TradeValues;
use market::interval::Interval;
use market::{Kind, Record, UnixNanos};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};

/// What is known of a client of the stream.
#[derive(Debug, Default)]
pub(super) struct Client {
    pub(super) authenticated: bool,
    /// Of trades and of quotes; `*` is all.
    pub(super) symbols: [BTreeSet<String>; market::Kind::COUNT],
    /// Whose halts it wants to be told of.
    pub(super) statuses: BTreeSet<String>,
    /// Whose bars of which length it wants.
    pub(super) bars: BTreeSet<(Interval, String)>,
    /// Messages sent so far, where the vendor counts them.
    pub(super) sent: u64,
}

impl Client {
    /// Subscribes, or the contrary.
    pub(super) fn set(&mut self, kind: Kind, symbol: &str, wanted: bool) {
        let symbols = &mut self.symbols[kind as usize];
        if wanted {
            symbols.insert(symbol.to_owned());
        } else {
            symbols.remove(symbol);
        }
    }

    pub(super) fn wants(&self, kind: Kind, symbol: &str) -> bool {
        let symbols = &self.symbols[kind as usize];
        symbols.contains("*") || symbols.contains(symbol)
    }

    pub(super) fn subscribed(&self) -> bool {
        self.symbols.iter().any(|symbols| !symbols.is_empty()) || !self.bars.is_empty()
    }
}

/// What is answered, and whether the connection ends then.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) frames: Vec<String>,
    pub(super) end: bool,
}

impl Answer {
    pub(super) fn of(frame: impl Into<String>) -> Self {
        Self { frames: vec![frame.into()], end: false }
    }

    pub(super) fn last(frame: impl Into<String>) -> Self {
        Self { frames: vec![frame.into()], end: true }
    }
}

/// Why a connection is ended that was well-behaved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Too many connections.
    Limit,
    /// The client reads too slowly.
    Slow,
}

/// A request for history.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) path: &'a str,
    pub(super) query: HashMap<String, String>,
    /// Names in small letters.
    pub(super) headers: HashMap<String, String>,
    /// What the client takes us for.
    pub(super) host: String,
}

impl Request<'_> {
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// A whole number, or what is assumed.
    pub(super) fn number<T: std::str::FromStr>(&self, name: &str, or: T) -> Result<T, Refused> {
        match self.text(name) {
            Some(text) => text.parse().map_err(|_| (400, format!("invalid {name}"))),
            None => Ok(or),
        }
    }
}

/// HTTP status and message.
pub(super) type Refused = (u16, String);

/// A vendor.
pub(super) trait Face: Send + Sync + std::fmt::Debug {
    /// Said first.
    fn hello(&self) -> Option<String> {
        None
    }

    /// Whether the stream's address is answered, by its path and query.
    fn admits(&self, _shared: &Shared, _path: &str) -> bool {
        true
    }

    /// Trades are numbered without leaving one out, so that a client knows of a hole.
    fn numbered(&self) -> bool {
        false
    }

    /// Trades have an id, so that one sent twice can be told from two equal ones.
    fn identified(&self) -> bool {
        true
    }

    /// Trades are corrected and taken back.
    fn amends(&self) -> bool {
        false
    }

    /// The messages of a trade that is amended: what comes first, in its place, and what amends it.
    fn amended(&self, _amended: Fault, _item: &Item, _record: &Record<&str>) -> [Vec<String>; 2] {
        [Vec::new(), Vec::new()]
    }

    /// Says that a symbol is halted, or traded again; `None` where the vendor does not say.
    fn status(&self, _symbol: &str, _halted: bool, _at: UnixNanos) -> Option<String> {
        None
    }

    /// A bar that has just ended; `None` where the vendor's stream has none.
    fn bar(
        &self,
        _symbol: &str,
        _interval: Interval,
        _start: UnixNanos,
        _values: &TradeValues,
    ) -> Option<String> {
        None
    }

    /// Answers what a client says; `None` is what cannot be read. A vendor that is only asked has no stream.
    fn hear(&self, _shared: &Shared, _client: &mut Client, _said: Option<&Value>) -> Answer {
        Answer::last("there is no stream")
    }

    /// Appends a message of the stream.
    fn live(&self, _item: &Item, _record: &Record<&str>, _out: &mut String) {}

    /// Frames of messages.
    fn frames(&self, _client: &mut Client, messages: Vec<String>) -> Vec<String> {
        messages
    }

    /// Said before a connection is ended; `None` ends it without a word.
    fn trouble(&self, _trouble: Trouble) -> Option<String> {
        None
    }

    /// Said once a second.
    fn beat(&self, _client: &mut Client) -> Option<String> {
        None
    }

    /// A page of history.
    fn history(&self, shared: &Shared, request: &Request<'_>) -> Result<String, Refused>;

    /// The body of a refused request.
    fn refused(&self, (status, message): &Refused) -> String {
        serde_json::json!({"code": status, "message": message}).to_string()
    }
}

/// The path of a request with its last segment taken off, and that.
pub(super) fn last_segment(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// As `?a=b&c=d`, decoded.
pub(super) fn query(text: &str) -> HashMap<String, String> {
    form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}
