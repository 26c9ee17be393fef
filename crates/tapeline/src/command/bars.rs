//! Bars for `query` and `plot`: read from the store, or rebuilt from its trades; adjusted.

use crate::cli::{BarOptions, Span};
use crate::context::Context;
use market::adjust::{Adjust, Factors};
use market::bar::{Aggregator, Bar, Place, Values};
use market::calendar::Calendar;
use market::policy::Policy;
use market::{Kind, UnixNanos};
use ports::store::{BarScan, Scan, Store};
use ports::{Error, Result};
use std::ops::ControlFlow;
use tapeline::open;

/// Start and end of a span of time.
pub(crate) fn range(span: &Span) -> Result<(UnixNanos, UnixNanos)> {
    let time = |flag: &str, text: &Option<String>, default: i64| match text {
        Some(text) => UnixNanos::parse(text).map_err(|error| Error::user(format!("{flag}: {error}"))),
        None => Ok(UnixNanos(default)),
    };
    let (from, to) = (time("--from", &span.from, i64::MIN)?, time("--to", &span.to, i64::MAX)?);
    if from >= to {
        return Err(Error::user(format!("--from {from} is not before --to {to}")));
    }
    Ok((from, to))
}

/// Bars of one symbol in order of their start.
pub(crate) fn load(
    context: &Context,
    store: &dyn Store,
    kind: Kind,
    symbol: &str,
    span: &Span,
    options: &BarOptions,
    limit: Option<u64>,
) -> Result<Vec<Bar>> {
    let (from, to) = range(span)?;
    let mut bars = match &options.policy {
        Some(policy) => remake(context, store, kind, symbol, (from, to), options, policy)?,
        None => {
            let scan = BarScan {
                kind,
                symbol: symbol.to_owned(),
                interval: options.interval,
                feed: options.feed.clone(),
                from,
                to,
                limit,
            };
            let mut bars = Vec::new();
            store.scan_bars(&scan, &mut |bar| {
                bars.push(bar);
                ControlFlow::Continue(())
            })?;
            bars
        }
    };
    if let Some(limit) = limit {
        bars.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    }
    adjust(context, symbol, options, &mut bars)?;
    Ok(bars)
}

/// Message for an empty result.
pub(crate) fn none(store: &dyn Store, symbol: &str, options: &BarOptions) -> String {
    format!(
        "no {} bars of {symbol} in that time in {}; make them: tapeline aggregate --until-end (from the topic), or \
         --policy lean|sip|all|official (from the stored trades)",
        options.interval,
        store.describe()
    )
}

/// Bars rebuilt from the stored records.
fn remake(
    context: &Context,
    store: &dyn Store,
    kind: Kind,
    symbol: &str,
    (from, to): (UnixNanos, UnixNanos),
    options: &BarOptions,
    policy: &str,
) -> Result<Vec<Bar>> {
    let policy = Policy::named(policy).map_err(|error| Error::user(format!("--policy: {error}")))?;
    let mut settings = open::bars(&context.config)?;
    settings.intervals = vec![options.interval];
    settings.feeds.iter_mut().for_each(|feed| feed.policy = policy.clone());
    // A bar needs all of its records, and what carries over into it, whatever part of it was requested.
    let (first, last) = settings.reading_span(from, to);
    let start_of_first = |feed: &str| match from.0 {
        i64::MIN => from,
        ts => {
            let calendar = settings.rules(feed, symbol).map_or(Calendar::XNYS, |rules| rules.calendar);
            UnixNanos(options.interval.bounds(ts, &calendar.day(from)).0)
        }
    };
    let mut aggregator = Aggregator::new(settings.clone());
    let mut bars = Vec::new();
    let scan = Scan { kind, symbol: Some(symbol.to_owned()), from: first, to: last, limit: None };
    let mut place = Place::default();
    store.scan(&scan, &mut |record| {
        let feed = match record {
            market::Record::Trade(trade) => trade.feed,
            market::Record::Quote(quote) => quote.feed,
        };
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
    let all = kind == Kind::Trade && bars.is_empty();
    for line in super::aggregate::unpriced(&conditions, all) {
        eprintln!("{line}");
    }
    bars.sort_by(|a, b| (a.start, &a.feed).cmp(&(b.start, &b.feed)));
    Ok(bars)
}

fn adjust(context: &Context, symbol: &str, options: &BarOptions, bars: &mut [Bar]) -> Result<()> {
    if options.adjust == Adjust::None || bars.is_empty() {
        return Ok(());
    }
    let Some(dir) = &options.factors else {
        return Err(Error::user("--adjust needs factor files")
            .hint("--factors DIR: a folder of SYMBOL.csv files; their format: docs/bars.md"));
    };
    let path = dir.join(format!("{}.csv", symbol.to_ascii_lowercase()));
    let text = std::fs::read_to_string(&path).map_err(ports::error::io("read factor file", &path))?;
    let factors = Factors::parse(&text)
        .map_err(|error| Error::user(format!("factor file {}: {error}", path.display())))?;
    let settings = open::bars(&context.config)?;
    for bar in bars {
        let rules = settings.rules(&bar.feed, &bar.symbol);
        let calendar = rules.map_or(Calendar::XNYS, |feed| feed.calendar);
        factors.apply(bar, options.adjust, calendar.day(bar.start).yyyymmdd);
    }
    Ok(())
}

const TRADES: [&str; 12] = [
    "start", "feed", "open", "high", "low", "close", "volume", "vwap", "trades", "revision", "final",
    "complete",
];
const QUOTES: [&str; 15] = [
    "start",
    "feed",
    "bid_open",
    "bid_high",
    "bid_low",
    "bid_close",
    "bid_size",
    "ask_open",
    "ask_high",
    "ask_low",
    "ask_close",
    "ask_size",
    "revision",
    "final",
    "complete",
];

/// The columns, in order.
pub(crate) fn header(kind: Kind) -> Vec<String> {
    let names: &[&str] = match kind {
        Kind::Trade => &TRADES,
        Kind::Quote => &QUOTES,
    };
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Values of a bar in the order of the header, as text; empty if absent.
pub(crate) fn cells(bar: &Bar) -> Vec<String> {
    let object = market::codec::bar::to_json(bar);
    header(bar.kind)
        .iter()
        .map(|name| match object.get(name) {
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        })
        .collect()
}

/// A bar as a JSON object of the same columns.
pub(crate) fn object(bar: &Bar) -> String {
    let mut whole = market::codec::bar::to_json(bar);
    let names = header(bar.kind);
    whole.retain(|name, _| names.contains(name));
    serde_json::Value::Object(whole).to_string()
}
