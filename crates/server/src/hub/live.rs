//! Every new record and bar, for clients that need each of them. Frames hold only the last trades of a symbol.
//!
//! Batches go through a bounded channel; a client that falls behind it by [`CHANNEL`] batches is too slow.

use market::Record;
use market::bar::Bar;
use std::sync::{Arc, OnceLock};

/// Maximum number of batches that a client may be behind.
pub(crate) const CHANNEL: usize = 32;

/// What is new.
#[derive(Debug)]
pub(crate) enum LiveContent {
    /// A trade or a quote.
    Record(Record<String>),
    /// A bar of trades.
    Bar(Bar),
}

/// A record or bar, and the forms in which it is sent.
#[derive(Debug)]
pub(crate) struct LiveItem {
    pub(crate) content: LiveContent,
    /// JSON and MessagePack, made for the first client that needs them.
    pub(crate) encoded: [OnceLock<Vec<u8>>; 2],
}

/// What was read since the last batch.
pub(crate) type LiveBatch = Arc<Vec<LiveItem>>;

impl LiveItem {
    pub(crate) fn new(content: LiveContent) -> Self {
        Self { content, encoded: [const { OnceLock::new() }; 2] }
    }

    pub(crate) fn feed(&self) -> &str {
        match &self.content {
            LiveContent::Record(record) => record.feed(),
            LiveContent::Bar(bar) => &bar.feed,
        }
    }

    pub(crate) fn symbol(&self) -> &str {
        match &self.content {
            LiveContent::Record(record) => record.symbol(),
            LiveContent::Bar(bar) => &bar.symbol,
        }
    }
}
