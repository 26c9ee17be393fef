//! The interface of a simulated vendor. Each has a file.

use super::faults::{ALL, Fault};
use super::shared::{Item, Shared};
use market::bar::TradeValues;
use market::interval::Interval;
use market::{Kind, Record, UnixNanos};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};

/// State of a stream client.
#[derive(Debug, Default)]
pub(super) struct Client {
    pub(super) authenticated: bool,
    /// Symbols subscribed to trades and to quotes; `*` is all.
    pub(super) symbols: [BTreeSet<String>; market::Kind::COUNT],
    /// Symbols subscribed to halts.
    pub(super) statuses: BTreeSet<String>,
    /// Symbols subscribed to bars of each interval.
    pub(super) bars: BTreeSet<(Interval, String)>,
    /// Messages sent so far, if the vendor counts them.
    pub(super) sent: u64,
}

impl Client {
    /// Subscribes or unsubscribes.
    pub(super) fn set(&mut self, kind: Kind, symbol: &str, wanted: bool) {
        let symbols = &mut self.symbols[kind.index()];
        if wanted {
            symbols.insert(symbol.to_owned());
        } else {
            symbols.remove(symbol);
        }
    }

    pub(super) fn wants(&self, kind: Kind, symbol: &str) -> bool {
        let symbols = &self.symbols[kind.index()];
        symbols.contains("*") || symbols.contains(symbol)
    }

    pub(super) fn subscribed(&self) -> bool {
        self.symbols.iter().any(|symbols| !symbols.is_empty()) || !self.bars.is_empty()
    }
}

/// The response, and whether the connection then ends.
#[derive(Debug, Default)]
pub(super) struct StreamResponse {
    pub(super) frames: Vec<String>,
    pub(super) end: bool,
}

impl StreamResponse {
    pub(super) fn of(frame: impl Into<String>) -> Self {
        Self { frames: vec![frame.into()], end: false }
    }

    pub(super) fn last(frame: impl Into<String>) -> Self {
        Self { frames: vec![frame.into()], end: true }
    }
}

/// Why a well-behaved connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disconnect {
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
    /// Header names in lower case.
    pub(super) headers: HashMap<String, String>,
    /// The host name that the client used.
    pub(super) host: String,
}

impl Request<'_> {
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// An integer parameter, or its default.
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
pub(super) trait VendorApi: Send + Sync + std::fmt::Debug {
    /// Sent first.
    fn hello(&self) -> Option<String> {
        None
    }

    /// Whether the stream has this path and query.
    fn admits(&self, _shared: &Shared, _path: &str) -> bool {
        true
    }

    /// Whether trade numbers are consecutive, so that a client can detect a gap.
    fn numbered(&self) -> bool {
        false
    }

    /// Whether trades have an id, so that duplicates can be distinguished from equal trades.
    fn identified(&self) -> bool {
        true
    }

    /// Whether trades are corrected and canceled.
    fn amends(&self) -> bool {
        false
    }

    /// Messages of an amended trade: what is sent first in its place, and what amends it.
    fn amended(&self, _amended: Fault, _item: &Item, _record: &Record<&str>) -> [Vec<String>; 2] {
        [Vec::new(), Vec::new()]
    }

    /// Reports that a symbol is halted or resumes; `None` if the vendor does not report halts.
    fn status(&self, _symbol: &str, _halted: bool, _at: UnixNanos) -> Option<String> {
        None
    }

    /// A bar that has just ended; `None` if the vendor's stream has no bars.
    fn bar(
        &self,
        _symbol: &str,
        _interval: Interval,
        _start: UnixNanos,
        _values: &TradeValues,
    ) -> Option<String> {
        None
    }

    /// Responds to a client's message; `None` is an unreadable one. A vendor with only REST has no stream.
    fn receive(&self, _shared: &Shared, _client: &mut Client, _said: Option<&Value>) -> StreamResponse {
        StreamResponse::last("there is no stream")
    }

    /// Appends a message of the stream.
    fn live(&self, _item: &Item, _record: &Record<&str>, _out: &mut String) {}

    /// Frames for messages.
    fn frames(&self, _client: &mut Client, messages: Vec<String>) -> Vec<String> {
        messages
    }

    /// Sent before a connection is closed; `None` closes it silently.
    fn disconnect(&self, _trouble: Disconnect) -> Option<String> {
        None
    }

    /// Sent once a second.
    fn keepalive(&self, _client: &mut Client) -> Option<String> {
        None
    }

    /// A page of history.
    fn history(&self, shared: &Shared, request: &Request<'_>) -> Result<String, Refused>;

    /// Body of a refused request.
    fn refused(&self, (status, message): &Refused) -> String {
        serde_json::json!({"code": status, "message": message}).to_string()
    }
}

/// Splits the last segment off the path of a request.
pub(super) fn last_segment(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// A query such as `?a=b&c=d`, decoded.
pub(super) fn query(text: &str) -> HashMap<String, String> {
    form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

/// Faults that a client can notice: a sequence gap only if trades are numbered, a duplicate only if they have
/// an id, an amendment only if the vendor sends any.
pub(super) fn faults(api: &dyn VendorApi) -> Vec<Fault> {
    let noticed = |fault: &Fault| match fault {
        Fault::Hole => api.numbered(),
        Fault::Duplicate => api.identified(),
        fault if fault.amends() => api.amends(),
        _ => true,
    };
    ALL.into_iter().filter(noticed).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{alpaca::Alpaca, finnhub::Finnhub, kraken::Kraken};
    use super::*;

    #[test]
    fn a_vendor_has_the_faults_that_its_clients_notice() {
        let has = |api: &dyn VendorApi, fault| faults(api).contains(&fault);
        assert!(
            has(&Alpaca { crypto: false }, Fault::Cancel) && !has(&Alpaca { crypto: true }, Fault::Cancel)
        );
        assert!(has(&Kraken, Fault::Hole) && !has(&Kraken, Fault::Correction));
        assert!(!has(&Finnhub, Fault::Duplicate) && has(&Finnhub, Fault::Giant));
    }
}
