//! Ids for trades that arrive without one: minted once, on first receipt.
//!
//! Some feeds send no id, or the same one (`0`) with every trade. The id is then derived from the trade's
//! content and the number of equal trades of its symbol and time before it: two equal trades are two rows,
//! and history yields the same ids as the stream. A trade that the vendor sent twice cannot be distinguished
//! from two equal ones.

use crate::Trade;
use rustc_hash::FxHashMap;
use std::fmt::Write;
use xxhash_rust::xxh3::Xxh3;

/// Number of trades of a symbol after which those older than ten seconds are forgotten.
const MANY: usize = 8_192;
const TEN_SECONDS: i64 = 10_000_000_000;

/// Counts of equal trades of each symbol and time over the last seconds: trades may arrive in any order.
#[derive(Debug, Default)]
struct Counts(FxHashMap<Box<str>, Recent>);

#[derive(Debug, Default)]
struct Recent {
    newest: i64,
    seen: FxHashMap<(i64, u64), u32>,
}

impl Counts {
    fn next(&mut self, symbol: &str, ts: i64, hash: u64) -> u32 {
        if !self.0.contains_key(symbol) {
            self.0.insert(symbol.into(), Recent::default());
        }
        let Some(recent) = self.0.get_mut(symbol) else { return 0 };
        recent.newest = recent.newest.max(ts);
        if recent.seen.len() > MANY {
            let from = recent.newest.saturating_sub(TEN_SECONDS);
            recent.seen.retain(|(ts, _), _| *ts >= from);
        }
        let count = recent.seen.entry((ts, hash)).or_insert(0);
        *count += 1;
        *count - 1
    }
}

/// Whether the records come from the stream or from history: each has its own counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Stream,
    History,
}

/// Mints ids.
#[derive(Debug, Default)]
pub(super) struct IdMint {
    stream: Counts,
    history: Counts,
    id: String,
}

impl IdMint {
    /// Whether an id identifies nothing.
    pub(super) fn is_placeholder(id: &str) -> bool {
        matches!(id, "" | "0" | "-1" | "null")
    }

    /// The id of a trade whose own is a placeholder.
    pub(super) fn mint(&mut self, trade: &Trade<&str>, origin: Origin) -> &str {
        let mut hasher = Xxh3::new();
        [trade.price.raw(), trade.size.raw()].iter().for_each(|number| hasher.update(&number.to_le_bytes()));
        hasher.update(trade.conditions.as_bytes());
        if !trade.venue.is_empty() {
            hasher.update(trade.venue.as_bytes());
        }
        let hash = hasher.digest();
        let counts = match origin {
            Origin::Stream => &mut self.stream,
            Origin::History => &mut self.history,
        };
        let count = counts.next(trade.symbol, trade.ts.0, hash);
        self.id.clear();
        // Writing to a string does not fail.
        let _ = write!(self.id, "{hash:016x}-{count}");
        &self.id
    }

    /// History is read again from some time on.
    pub(super) fn rewind(&mut self) {
        self.history = Counts::default();
    }
}
