//! Bars for `query` and `plot`: read from the store, or rebuilt from its records; adjusted.

use crate::cli::BarOptions;
use crate::context::Context;
use market::adjust::{Adjust, Factors};
use market::bar::{Aggregator, Bar, StreamPosition, Values};
use market::calendar::Calendar;
use market::kind::{BarShape, Subject};
use market::policy::Policy;
use market::{Kind, UnixNanos};
use ports::store::{BarScan, Scan, Store};
use ports::{Error, Result};
use std::cell::Cell;
use std::ops::ControlFlow;
use tapeline::open;

/// Start, inclusive, and end, exclusive.
pub(crate) type Range = (UnixNanos, UnixNanos);

/// Bars of one symbol in order of their start.
pub(crate) fn load(
    context: &Context,
    store: &dyn Store,
    kind: Kind,
    symbol: &str,
    range: Range,
    options: &BarOptions,
) -> Result<Vec<Bar>> {
    let mut bars = Vec::new();
    each(context, store, kind, symbol, (range, None), options, &mut |bar| {
        bars.push(bar);
        Ok(true)
    })?;
    Ok(bars)
}

/// Calls `sink` with the bars of one symbol in the order of their start, at most as many as the limit, until it returns
/// false. Stored bars are streamed; bars rebuilt under a policy are collected first.
pub(crate) fn each(
    context: &Context,
    store: &dyn Store,
    kind: Kind,
    symbol: &str,
    ((from, to), limit): (Range, Option<u64>),
    options: &BarOptions,
    sink: &mut dyn FnMut(Bar) -> Result<bool>,
) -> Result<()> {
    let adjustment = adjustment(context, symbol, options)?;
    let mut emit = |mut bar: Bar| {
        if let Some((factors, calendar)) = &adjustment {
            let date = calendar(&bar).day(bar.start).yyyymmdd;
            factors.apply(&mut bar, options.adjust(), date);
        }
        sink(bar)
    };
    if let Some(policy) = &options.policy {
        let bars =
            context.retry_short(|| rebuild(context, store, kind, symbol, (from, to), options, policy))?;
        let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        for bar in bars.into_iter().take(limit) {
            if !emit(bar)? {
                break;
            }
        }
        return Ok(());
    }
    let scan = BarScan {
        kind,
        symbol: symbol.to_owned(),
        interval: options.interval(),
        feed: options.feed.clone(),
        from,
        to,
        limit,
    };
    let (begun, mut failed) = (Cell::new(false), None);
    context.retry_before(&begun, || {
        store.scan_bars(&scan, &mut |bar| {
            begun.set(true);
            match emit(bar) {
                Ok(true) if !context.stop.is_cancelled() => ControlFlow::Continue(()),
                Ok(_) => ControlFlow::Break(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })
    })?;
    failed.map_or(Ok(()), Err)
}

/// Message for an empty result.
pub(crate) fn none(store: &dyn Store, kind: Kind, symbol: &str, options: &BarOptions) -> String {
    let what = kind.bars().map_or("bars", BarShape::name).replace('-', " ");
    let place = store.describe();
    let of = options.feed.as_ref().map(|feed| format!(" of feed {feed}")).unwrap_or_default();
    let rebuild = match kind.bars() {
        Some(BarShape::Trades) => ", or from the stored trades: --policy lean|sip|all|official",
        Some(BarShape::Readings) => ", or from the stored readings: --policy all",
        Some(BarShape::Quotes) | None => "",
    };
    let others = super::feeds::others(store, kind, symbol, Some(options.interval()), options.feed.as_deref());
    format!(
        "no {} {what} of {symbol}{of} in that time range in {place}{others}; build them from the topic: tapeline aggregate --until-end \
         --store {place}{rebuild}",
        options.interval()
    )
}

/// Bars rebuilt from the stored records.
fn rebuild(
    context: &Context,
    store: &dyn Store,
    kind: Kind,
    symbol: &str,
    (from, to): (UnixNanos, UnixNanos),
    options: &BarOptions,
    policy: &Policy,
) -> Result<Vec<Bar>> {
    let mut settings = open::bars(&context.config)?;
    settings.intervals = vec![options.interval()];
    for feed in &mut settings.feeds {
        feed.policy = policy.clone();
        if kind.subject() == Subject::Series {
            feed.calendar = Calendar::ALWAYS;
        }
    }
    // A bar needs all of its records, and what carries over into it, whatever part of it was requested.
    let (first, last) = settings.reading_span(from, to);
    let start_of_first = |feed: &str| match from.0 {
        i64::MIN => from,
        ts => {
            let calendar = settings.rules(feed, symbol).map_or(Calendar::XNYS, |rules| rules.calendar);
            UnixNanos(options.interval().bounds(ts, &calendar.day(from)).0)
        }
    };
    let mut aggregator = Aggregator::new(settings.clone());
    let mut bars = Vec::new();
    let scan = Scan { kind, symbol: Some(symbol.to_owned()), from: first, to: last, limit: None };
    let mut place = StreamPosition::default();
    store.scan(&scan, &mut |record| {
        let feed = *record.feed();
        if options.feed.as_ref().is_none_or(|only| only == feed) {
            aggregator.add(record, place);
            place.position += 1;
        }
        ControlFlow::Continue(())
    })?;
    aggregator.finish(&mut |bar| {
        if bar.start >= start_of_first(&bar.feed) && bar.start < to && bar.values != Values::Empty {
            bars.push(bar);
        }
    });
    let conditions = aggregator.condition_counts();
    let all = kind.bars() == Some(BarShape::Trades) && bars.is_empty();
    for line in super::aggregate::unpriced(&conditions, all) {
        eprintln!("{line}");
    }
    bars.sort_by(|a, b| (a.start, &a.feed).cmp(&(b.start, &b.feed)));
    Ok(bars)
}

/// The factors of `--factors`.
pub(crate) fn factors(symbol: &str, options: &BarOptions) -> Result<Factors> {
    let Some(dir) = &options.factors else {
        return Err(Error::usage("--adjust needs factor files")
            .hint("--factors DIR, a folder of SYMBOL.csv files; their form: docs/bars.md"));
    };
    let path = dir.join(format!("{}.csv", symbol.to_ascii_lowercase()));
    let text = std::fs::read_to_string(&path).map_err(ports::error::io("read factor file", &path))?;
    Factors::parse(&text).map_err(|error| Error::user(format!("factor file {}: {error}", path.display())))
}

/// Factors, and the calendar of a bar's feed.
type Adjustment = (Factors, Box<dyn Fn(&Bar) -> Calendar>);

fn adjustment(context: &Context, symbol: &str, options: &BarOptions) -> Result<Option<Adjustment>> {
    if options.adjust() == Adjust::None {
        return Ok(None);
    }
    let factors = factors(symbol, options)?;
    let settings = open::bars(&context.config)?;
    let calendar = move |bar: &Bar| {
        settings.rules(&bar.feed, &bar.symbol).map_or(Calendar::XNYS, |rules| rules.calendar)
    };
    Ok(Some((factors, Box::new(calendar))))
}
