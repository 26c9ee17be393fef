//! Trading notices from a vendor: halts, and limit up-limit down price bands. They are messages of the
//! notices topic, keyed by symbol:
//!
//! ```text
//! {"feed":"alpaca.sip","symbol":"IONM","what":"bands","ts":"2022-04-06T20:06:09.9Z","upper":"3.24","lower":"2.65","indicator":"B"}
//! {"feed":"alpaca.sip","symbol":"IONM","what":"halted","ts":"2022-04-06T20:06:10.1Z"}      or "resumed"
//! ```

use crate::Result;
use crate::topic::{Names, Producer, send_json};
use market::UnixNanos;
use market::codec::vendor_bar::Bands;
use serde::Serialize;

/// A notice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notice {
    feed: String,
    symbol: String,
    what: &'static str,
    ts: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    upper: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lower: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    indicator: Option<String>,
}

impl Notice {
    /// A symbol is halted or resumes trading.
    #[must_use]
    pub fn halt(feed: &str, symbol: &str, ts: UnixNanos, halted: bool) -> Self {
        let what = if halted { "halted" } else { "resumed" };
        let (feed, symbol, ts) = (feed.to_owned(), symbol.to_owned(), ts.to_string());
        Self { feed, symbol, what, ts, upper: None, lower: None, indicator: None }
    }

    /// Price bands.
    #[must_use]
    pub fn bands(feed: &str, bands: &Bands<'_>) -> Self {
        Self {
            feed: feed.to_owned(),
            symbol: bands.symbol.to_owned(),
            what: "bands",
            ts: bands.ts.to_string(),
            upper: Some(bands.upper.to_string()),
            lower: Some(bands.lower.to_string()),
            indicator: Some(bands.indicator.to_owned()),
        }
    }

    /// Publishes the notice.
    ///
    /// # Errors
    /// The topic rejected it.
    pub fn send(&self, names: &Names, producer: &mut dyn Producer) -> Result<()> {
        send_json(producer, &names.notices(), &self.symbol, "notice", self)
    }
}
