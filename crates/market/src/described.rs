//! Records of kinds without a type of their own.
//!
//! Such a record is its canonical JSON, with the fields that every record has parsed in advance. It is small, so that it is
//! passed by value, and needs no allocation. Its other values are read from the text on each use, by the description of its
//! kind. A kind with millions of records a minute deserves a type and a codec of its own.

use crate::{Kind, UnixNanos};

/// A record that only the table of its kind describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DescribedRecord<S> {
    /// Its kind.
    pub kind: Kind,
    /// The value of the column that picks the partition.
    pub symbol: S,
    /// The feed it was received from.
    pub feed: S,
    /// Event time.
    pub ts: UnixNanos,
    /// Receive time: ours.
    pub recv_ts: UnixNanos,
    /// Its canonical JSON; `recv_ts` counts where the two differ.
    pub text: S,
}

impl<S> DescribedRecord<S> {
    /// Converts the text of a record.
    pub fn map<T>(self, mut f: impl FnMut(S) -> T) -> DescribedRecord<T> {
        DescribedRecord {
            kind: self.kind,
            symbol: f(self.symbol),
            feed: f(self.feed),
            ts: self.ts,
            recv_ts: self.recv_ts,
            text: f(self.text),
        }
    }
}

impl<S: AsRef<str>> DescribedRecord<S> {
    /// Borrows the record.
    pub fn as_str(&self) -> DescribedRecord<&str> {
        DescribedRecord {
            kind: self.kind,
            symbol: self.symbol.as_ref(),
            feed: self.feed.as_ref(),
            ts: self.ts,
            recv_ts: self.recv_ts,
            text: self.text.as_ref(),
        }
    }
}
