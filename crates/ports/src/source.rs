//! The source port: a stream of records, in the canonical form of the topic, and of what could not be read.

use crate::Result;
use crate::cancel::CancelToken;
use crate::check::Chain;
use crate::dead_letter::DeadLetter;
use crate::telemetry::Latency;
use market::bar::Bar;
use market::{Kind, UnixNanos};
use std::collections::BTreeMap;

/// What a source hands over; valid only during the call.
#[derive(Debug)]
pub enum Event<'a> {
    /// A record as canonical JSON.
    Record {
        /// Trade or quote.
        kind: Kind,
        /// The message key.
        symbol: &'a str,
        /// When we received it: the message's timestamp.
        recv_ts: UnixNanos,
        /// Canonical JSON.
        payload: &'a [u8],
    },
    /// A vendor's own bar.
    Bar(&'a Bar),
    /// A halt, or price bands.
    Notice(&'a crate::notice::Notice),
    /// What could not be read.
    Dead(DeadLetter),
    /// Records may be missing, or were and are fetched.
    Gap(&'a crate::gap::Gap),
}

/// How far a source has been read: names and positions, kept by the topic.
pub type Positions = BTreeMap<String, Vec<u8>>;

/// A stream of records.
pub trait Source: Send {
    /// Goes on where the kept positions say. Returns how many rows are left out.
    ///
    /// # Errors
    /// The source cannot be opened.
    fn resume(&mut self, positions: &Positions) -> Result<u64>;

    /// Hands over some events; false when there will be no more. Paces itself, and ends early when asked to stop.
    ///
    /// # Errors
    /// The source is broken for good.
    fn next(&mut self, stop: &CancelToken, sink: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<bool>;

    /// Positions that have changed since the last call; everything handed over so far is behind them.
    fn positions(&mut self) -> Positions;

    /// Rows in all, where it can be known: for progress.
    fn size(&self) -> Option<u64>;

    /// Adds how far behind the market each record came, receipt less event time, since the last call. A recording has none.
    fn lag(&mut self, _into: &mut Latency) {}

    /// Checks what must hold before records come, up to the first broken link. Does not log in: some vendors allow one
    /// connection, which a running feed has.
    fn check(&self) -> Chain {
        let mut chain = Chain::new();
        chain.ok("opened", self.describe());
        chain
    }

    /// For people.
    fn describe(&self) -> String;
}
