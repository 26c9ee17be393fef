//! Time zone for input about a symbol: that of its exchange.

use crate::time_input::Zone;
use market::bar::Bar;
use market::calendar::Calendar;
use market::interval::Interval;
use market::kind::Subject;
use market::{Kind, UnixNanos};
use ports::Result;
use ports::store::{BarScan, Scan, Store};
use std::ops::ControlFlow;

/// What is known of the symbol.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About<'a> {
    pub(crate) symbol: &'a str,
    /// Its feed, if the command names one.
    pub(crate) feed: Option<&'a str>,
    /// The interval of its bars, if the command is about bars.
    pub(crate) interval: Option<Interval>,
}

/// The zone of `--tz`, otherwise that of the symbol's exchange. The store is queried for the symbol's feed only if one of `times`
/// needs a zone.
pub(crate) fn of(
    given: Option<&Zone>,
    times: &[Option<&str>],
    store: &dyn Store,
    settings: &market::bar::AggregatorSettings,
    about: About<'_>,
) -> Result<Zone> {
    if let Some(zone) = given {
        return Ok(zone.clone());
    }
    if !times.iter().flatten().any(|time| Zone::is_needed(time)) {
        return Ok(Zone::utc());
    }
    let feed = match about.feed {
        Some(feed) => feed.to_owned(),
        None => feed_of(store, about)?.unwrap_or_default(),
    };
    let calendar = settings.rules(&feed, about.symbol).map_or(Calendar::XNYS, |rules| rules.calendar);
    Zone::parse(calendar.zone()).map_err(ports::Error::internal)
}

/// The feed of the first record or bar that the store has of a symbol.
fn feed_of(store: &dyn Store, about: About<'_>) -> Result<Option<String>> {
    let mut feed = None;
    for kind in Kind::about(Subject::Instrument) {
        if let Some(interval) = about.interval {
            let scan = BarScan {
                kind,
                symbol: about.symbol.to_owned(),
                interval,
                feed: None,
                from: UnixNanos(i64::MIN),
                to: UnixNanos(i64::MAX),
                limit: Some(1),
            };
            store.scan_bars(&scan, &mut |bar| {
                feed = Some(bar.feed);
                ControlFlow::Break(())
            })?;
        }
        if feed.is_none() {
            let scan = Scan { symbol: Some(about.symbol.to_owned()), limit: Some(1), ..Scan::all(kind) };
            store.scan(&scan, &mut |record| {
                feed = Some((*record.feed()).to_owned());
                ControlFlow::Break(())
            })?;
        }
        if feed.is_some() {
            break;
        }
    }
    Ok(feed)
}

/// The date of a bar's start.
pub(crate) fn date(zone: &Zone, bar: &Bar) -> String {
    zone.write(bar.start, 0).split('T').next().unwrap_or_default().to_owned()
}
