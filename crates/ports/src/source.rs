//! The source port: a stream of records in the topic's canonical form, and of input that could not be read.

use crate::Result;
use crate::cancel::CancelToken;
use crate::check::Chain;
use crate::dead_letter::DeadLetter;
use crate::gap::Gap;
use crate::telemetry::Latency;
pub use crate::topic::Positions;
use market::bar::Bar;
use market::{Kind, UnixNanos};

/// An event of a source; valid only during the call.
#[derive(Debug)]
pub enum Event<'a> {
    /// A record as canonical JSON.
    Record {
        /// Trade or quote.
        kind: Kind,
        /// Trade or quote.
        symbol: &'a str,
        /// Receive time: the message's timestamp.
        recv_ts: UnixNanos,
        /// Canonical JSON.
        payload: &'a [u8],
    },
    /// A vendor's own bar.
    Bar(&'a Bar),
    /// A halt or price bands.
    Notice(&'a crate::notice::Notice),
    /// Input that could not be read.
    Dead(DeadLetter),
    /// A span in which records may be missing, or were fetched since.
    Gap(&'a Gap),
}

/// A stream of records.
pub trait Source: Send {
    /// Resumes at the saved positions. Returns the number of rows skipped.
    ///
    /// # Errors
    /// The source cannot be opened.
    fn resume(&mut self, positions: &Positions) -> Result<u64>;

    /// Whether it needs the gaps that are open in the ledger, to close them ([`Source::resume_gaps`]).
    fn needs_gaps(&self) -> bool {
        false
    }

    /// The open gaps of the ledger, of all feeds: before the first call of [`Source::next`].
    fn resume_gaps(&mut self, _gaps: Vec<Gap>) {}

    /// Emits some events; returns false once the source is exhausted. Paces itself, and returns early when
    /// cancelled.
    ///
    /// # Errors
    /// The source failed permanently.
    fn next(&mut self, stop: &CancelToken, sink: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<bool>;

    /// Positions that changed since the last call; everything emitted so far lies before them.
    fn positions(&mut self) -> Positions;

    /// Whether its positions should be saved now and not only every few seconds: without them, a later run would not know
    /// what it may have missed.
    fn has_urgent_positions(&self) -> bool {
        false
    }

    /// Whether it waits for the topic to acknowledge what it emitted, so that it can acknowledge that to its own sender.
    fn awaits_acknowledgement(&self) -> bool {
        false
    }

    /// The topic has acknowledged everything that was emitted so far.
    ///
    /// # Errors
    /// The source is broken for good.
    fn acknowledge(&mut self) -> Result<()> {
        Ok(())
    }

    /// Inputs that could not be read to their end so far: each with what was expected and what was found. A source that
    /// has any is incomplete, even if everything readable was emitted.
    fn incomplete(&self) -> &[String] {
        &[]
    }

    /// Total number of rows, if known: for progress.
    fn size(&self) -> Option<u64>;

    /// Records the lag of each record (receive time minus event time) since the last call. A recording has
    /// none.
    fn lag(&mut self, _into: &mut Latency) {}

    /// Checks what must hold before records come, up to the first broken link. Does not log in: some vendors allow one
    /// connection, which a running feed has.
    fn check(&self) -> Chain {
        let mut chain = Chain::new();
        chain.ok("opened", self.describe());
        chain
    }

    /// Display name.
    fn describe(&self) -> String;
}
