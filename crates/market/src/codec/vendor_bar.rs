//! A vendor's own bars and price bands, as a stream's decoder emits them.

use super::poll::{PendingRequest, Row, make};
use crate::bar::Bar;
use crate::interval::Interval;
use crate::{Price, UnixNanos};

/// A vendor's bar from a stream.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VendorBar<'a> {
    pub(super) symbol: &'a str,
    pub(super) interval: Interval,
    pub(super) row: Row,
    pub(super) revision: u32,
    pub(super) is_final: bool,
}

impl VendorBar<'_> {
    /// Converts it to a bar of a feed.
    ///
    /// # Errors
    /// Its prices contradict each other.
    pub fn bar(&self, feed: &str) -> Result<Bar, String> {
        let (symbol, interval, settled) = (self.symbol, self.interval, UnixNanos(i64::MAX));
        let bar = make(&PendingRequest { symbol, feed, interval, settled }, &self.row)?;
        Ok(Bar { revision: self.revision, is_final: self.is_final, ..bar })
    }
}

/// Limit up-limit down band: the prices between which a symbol may trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bands<'a> {
    /// The symbol.
    pub symbol: &'a str,
    /// Time from which it applies.
    pub ts: UnixNanos,
    /// Upper limit.
    pub upper: Price,
    /// Lower limit.
    pub lower: Price,
    /// The vendor's indicator code.
    pub indicator: &'a str,
}
