//! Reading a range of records or bars, forward or backward.
//!
//! Stores scan forward only. Backward queries scan ranges before the end, each twice as long as the later
//! one, until the page is full.

use super::page::{Ascending, Cursor, Descending, Row};
use crate::http::problem::Problem;
use crate::hub::json;
use crate::settings::ServerSettings;
use market::bar::Bar;
use market::codec::bar::to_json;
use market::interval::{Interval, SECOND};
use market::kind::Subject;
use market::{Kind, Record, UnixNanos};
use ports::store::{BarScan, Scan, Store};
use serde_json::{Map, Value};
use std::ops::ControlFlow;
use std::time::Instant;

const DAY: i64 = market::time::DAY;
/// How far back a page of records without a start reaches.
const RECORDS_BACK: i64 = 10 * DAY;
/// How far back a page of bars without a start reaches, in bars, and at least ten days.
const BARS_BACK: i64 = 4_000;
/// Rows between two checks of the deadline.
const CLOCK: u64 = 512;

/// Direction of a page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Order {
    /// Oldest first.
    #[default]
    Asc,
    /// Newest first.
    Desc,
}

/// Rows of a symbol to read.
#[derive(Debug, Clone)]
pub(crate) struct Range {
    pub(crate) from: Option<i64>,
    pub(crate) to: Option<i64>,
    pub(crate) order: Order,
    pub(crate) limit: usize,
    pub(crate) cursor: Option<Cursor>,
    /// Where a backward query without `to` and cursor starts; if unknown, [`Range::end_by_directory`] finds it.
    pub(crate) newest: Option<i64>,
    /// Maximum duration of the query.
    pub(crate) deadline: std::time::Duration,
    /// Deadline of the query.
    pub(crate) end: Instant,
}

impl Range {
    /// Where a backward query starts that the topics do not tell: at the end of what the store holds of a symbol.
    pub(crate) fn end_by_directory(
        &mut self,
        store: &dyn Store,
        kind: Kind,
        symbol: &str,
    ) -> Result<(), Problem> {
        let is_known = self.newest.is_some() || self.to.is_some() || self.cursor.is_some();
        if self.order == Order::Desc && !is_known {
            let entries = store.directory()?;
            let mine = entries.iter().filter(|entry| entry.kind == kind && entry.symbol == symbol);
            self.newest = mine.map(|entry| entry.last.0.saturating_add(kind.bucket().length() - 1)).max();
        }
        Ok(())
    }
}

/// Callback for each row; false ends the scan.
type Push<'a, T> = &'a mut dyn FnMut(Row<T>) -> bool;
/// Scans [from, to).
type ScanRange<'a, T> = &'a mut dyn FnMut(i64, i64, Push<'_, T>) -> Result<(), Problem>;
/// Rows, and the cursor of the next page.
pub(crate) type Page<T> = (Vec<Row<T>>, Option<String>);

/// One page of a range.
fn page<T>(range: &Range, first: i64, back: i64, scan: ScanRange<'_, T>) -> Result<Page<T>, Problem> {
    let mut rows = 0_u64;
    let mut late = false;
    let end = range.end;
    let mut in_time = move || {
        rows += 1;
        !rows.is_multiple_of(CLOCK) || Instant::now() < end
    };
    let cursor = range.cursor.clone();
    if range.order == Order::Asc {
        let from = cursor.as_ref().map(|cursor| cursor.ts).into_iter().chain(range.from).max();
        let mut page = Ascending::new(range.limit, cursor);
        let mut failed = None;
        scan(from.unwrap_or(i64::MIN), range.to.unwrap_or(i64::MAX), &mut |row| {
            late |= !in_time();
            match page.push(row) {
                Ok(more) => more && !late,
                Err(problem) => {
                    failed = Some(problem);
                    false
                }
            }
        })?;
        if let Some(problem) = failed {
            return Err(problem);
        }
        if late {
            return Err(super::late(range.deadline));
        }
        return Ok(page.finish());
    }
    let ends = [cursor.as_ref().map(|cursor| cursor.ts.saturating_add(1)), range.to];
    let mut to = ends.into_iter().flatten().min().or(range.newest.map(|newest| newest.saturating_add(1)));
    let mut page = Descending::new(range.limit, cursor);
    let top = *to.get_or_insert_with(|| ports::clock::now().0);
    let floor = range.from.unwrap_or(top.saturating_sub(back));
    let (mut to, mut width) = (top, first.max(1));
    while to > floor && !page.is_full() && !late {
        let from = to.saturating_sub(width).max(floor);
        scan(from, to, &mut |row| {
            late |= !in_time();
            page.push(row);
            !late
        })?;
        if Instant::now() >= end {
            late = true;
        }
        to = from;
        width = width.saturating_mul(2);
    }
    if late {
        // A truncated range would leave a gap between it and the later rows.
        return Err(super::late(range.deadline));
    }
    Ok(page.finish(false))
}

/// A page of trades or quotes; `shown` makes what is shown of each.
pub(crate) fn records<T>(
    store: &dyn Store,
    kind: Kind,
    symbol: &str,
    feed: Option<&str>,
    range: &Range,
    shown: &mut dyn FnMut(&Record<&str>) -> T,
) -> Result<Page<T>, Problem> {
    page(range, SECOND, RECORDS_BACK, &mut |from, to, push| {
        let scan = Scan {
            kind,
            symbol: Some(symbol.to_owned()),
            from: UnixNanos(from),
            to: UnixNanos(to),
            limit: None,
        };
        store.scan(&scan, &mut |record| {
            if feed.is_some_and(|feed| *record.feed() != feed) {
                return ControlFlow::Continue(());
            }
            let (ts, identity) = (record.ts().0, json::identity(record));
            if push(Row { ts, identity, value: shown(record) }) {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        Ok(())
    })
}

/// Part of the day to show bars of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Session {
    /// All bars.
    #[default]
    All,
    /// Those that start in the regular session; daily bars are always shown.
    Regular,
    /// Those that start before or after it.
    Extended,
}

/// Bars of a symbol to read.
#[derive(Debug, Clone)]
pub(crate) struct BarQuery {
    pub(crate) kind: Kind,
    pub(crate) symbol: String,
    pub(crate) interval: Interval,
    pub(crate) feed: Option<String>,
    pub(crate) session: Session,
}

impl BarQuery {
    /// Whether to show a bar, and the part of the session it starts in; empty for readings, which have no sessions.
    pub(crate) fn session(&self, settings: &ServerSettings, bar: &Bar) -> (bool, &'static str) {
        if bar.kind.subject() == Subject::Series {
            return (true, "");
        }
        let day = settings.calendar(&bar.feed, &bar.symbol).day(bar.start);
        // A daily bar starts at midnight and belongs to the regular session.
        let phase = if bar.interval.is_day() && day.is_session() {
            "regular"
        } else {
            crate::hub::forming::phase(&day, bar.start.0)
        };
        let show = match self.session {
            Session::All => true,
            Session::Regular => phase == "regular",
            Session::Extended => matches!(phase, "pre" | "post"),
        };
        (show, phase)
    }

    /// Length of the first scan backwards for a number of bars.
    fn width(&self, bars: i64) -> i64 {
        self.interval.nanos().unwrap_or(DAY).saturating_mul(bars)
    }
}

/// A bar as an object.
pub(crate) fn bar_object(bar: Bar, session: &'static str) -> Map<String, Value> {
    // By value, as `bars` passes it.
    let mut value = to_json(&bar);
    drop(bar);
    if !session.is_empty() {
        value.insert("session".to_owned(), session.into());
    }
    value
}

/// Source of bars: the store, or a rebuild from the store's trades.
pub(crate) type BarScanner<'a> =
    &'a mut dyn FnMut(i64, i64, &mut dyn FnMut(Bar) -> ControlFlow<()>) -> Result<(), Problem>;

/// A page of bars; `shown` makes what is shown of each, given the part of the session in which it starts.
pub(crate) fn bars<T>(
    settings: &ServerSettings,
    query: &BarQuery,
    range: &Range,
    scan: BarScanner<'_>,
    shown: &mut dyn FnMut(Bar, &'static str) -> T,
) -> Result<Page<T>, Problem> {
    let back = query.width(BARS_BACK).max(10 * DAY);
    let first = query.width(i64::try_from(range.limit).unwrap_or(1).saturating_add(1));
    page(range, first, back, &mut |from, to, push| {
        scan(from, to, &mut |bar| {
            let (show, session) = query.session(settings, &bar);
            if !show {
                return ControlFlow::Continue(());
            }
            let (ts, identity) = (bar.start.0, bar.feed.clone());
            if push(Row { ts, identity, value: shown(bar, session) }) {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })
    })
}

/// Bars as they are stored.
pub(crate) fn stored_bars<'a>(
    store: &'a dyn Store,
    query: &'a BarQuery,
) -> impl FnMut(i64, i64, &mut dyn FnMut(Bar) -> ControlFlow<()>) -> Result<(), Problem> + 'a {
    move |from, to, sink| {
        let scan = BarScan {
            kind: query.kind,
            symbol: query.symbol.clone(),
            interval: query.interval,
            feed: query.feed.clone(),
            from: UnixNanos(from),
            to: UnixNanos(to),
            limit: None,
        };
        store.scan_bars(&scan, &mut |bar| sink(bar))?;
        Ok(())
    }
}

/// Renders the times of rows in a zone.
pub(crate) fn in_zone(rows: &mut [Map<String, Value>], zone: &str, names: &[&str]) {
    for row in rows {
        for name in names {
            let time = row.get(*name).and_then(Value::as_str).and_then(|text| UnixNanos::parse(text).ok());
            if let Some(time) = time {
                row.insert((*name).to_owned(), json::local(time, zone).into());
            }
        }
    }
}
