//! The feeds that a store has of a symbol, for messages about one that it lacks.

use market::interval::Interval;
use market::{Kind, UnixNanos};
use ports::store::{BarScan, Store};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// Maximum number of bars read to find their feeds.
const BARS: u64 = 10_000;

/// `; its feeds there: a, b` if a feed was requested and the store has others of the symbol, otherwise nothing.
pub(crate) fn others(
    store: &dyn Store,
    kind: Kind,
    symbol: &str,
    interval: Option<Interval>,
    requested: Option<&str>,
) -> String {
    let Some(requested) = requested else { return String::new() };
    let mut feeds = BTreeSet::new();
    // It is only advice: if the store cannot be read now, the message is complete without it.
    if let Some(interval) = interval {
        let scan = BarScan {
            kind,
            symbol: symbol.to_owned(),
            interval,
            feed: None,
            from: UnixNanos(i64::MIN),
            to: UnixNanos(i64::MAX),
            limit: Some(BARS),
        };
        let _ = store.scan_bars(&scan, &mut |bar| {
            feeds.insert(bar.feed);
            ControlFlow::Continue(())
        });
    } else {
        let entries = store.directory().unwrap_or_default().into_iter();
        let of_symbol = entries.filter(|entry| entry.kind == kind && entry.symbol == symbol);
        feeds.extend(of_symbol.map(|entry| entry.feed));
    }
    if feeds.is_empty() || feeds.contains(requested) {
        return String::new();
    }
    format!("; its feeds there: {}", feeds.into_iter().collect::<Vec<_>>().join(", "))
}
