//! Bars as input of the models.

use forecast::Ohlcv;
use market::bar::{Bar, Values};
use market::calendar::Calendar;
use market::interval::{Interval, MINUTE};
use market::time::DAY;
use market::{Kind, UnixNanos};
use ports::store::{BarScan, Store};
use ports::{Result, clock};
use std::ops::ControlFlow;

/// The first span searched is this many times as long as the bars would fill without a pause; each further one eight
/// times as long as the one before.
const SPARSITY: i64 = 4;
/// Number of spans searched.
const SEARCHES: u32 = 4;

/// A bar of trades in local time of the exchange; `None` for another one.
#[must_use]
pub fn ohlcv(calendar: Calendar, bar: &Bar) -> Option<Ohlcv> {
    let Values::Trades(values) = &bar.values else { return None };
    let day = calendar.day(bar.start);
    // Noon of a day has the same date in New York and in UTC.
    let date = UnixNanos(day.start + DAY / 2).epoch_day();
    let [open, high, low, close] = values.ohlc.map(market::Price::to_f64);
    let start_ns = date * DAY + (bar.start.0 - day.start);
    Some(Ohlcv { start_ns, open, high, low, close, volume: values.volume.to_f64() })
}

/// Which bars to read.
#[derive(Debug, Clone, Copy)]
pub(super) struct SeriesName<'a> {
    pub(super) symbol: &'a str,
    pub(super) interval: Interval,
    pub(super) feed: &'a str,
}

/// Stored bars of trades of one feed: those from `from`, and at least `before` earlier ones, if there are so many in the
/// spans searched.
pub(super) fn stored(
    store: &dyn Store,
    name: SeriesName<'_>,
    from: UnixNanos,
    before: usize,
) -> Result<Vec<Bar>> {
    let length = name.interval.nanos().unwrap_or(24 * 60 * MINUTE);
    let mut span = length.saturating_mul(before as i64).saturating_mul(SPARSITY);
    let mut found = Vec::new();
    for _ in 0..SEARCHES {
        found = scan(store, name, UnixNanos(from.0.saturating_sub(span)))?;
        if found.partition_point(|bar: &Bar| bar.start < from) >= before {
            break;
        }
        span = span.saturating_mul(8);
    }
    Ok(found)
}

/// A time after every stored bar. A bounded range spares a look at which partitions there are.
pub(super) fn end() -> UnixNanos {
    UnixNanos(clock::now().0.saturating_add(DAY))
}

fn scan(store: &dyn Store, name: SeriesName<'_>, from: UnixNanos) -> Result<Vec<Bar>> {
    let scan = BarScan {
        kind: Kind::TRADE,
        symbol: name.symbol.to_owned(),
        interval: name.interval,
        feed: Some(name.feed.to_owned()),
        from: from.max(market::record::EARLIEST),
        to: end(),
        limit: None,
    };
    let mut found = Vec::new();
    store.scan_bars(&scan, &mut |bar| {
        found.push(bar);
        ControlFlow::Continue(())
    })?;
    Ok(found)
}
