//! `tapeline explain`: what each print contributed to a bar, and why.

use super::zone::{self, About};
use crate::cli::ExplainOptions;
use crate::context::Context;
use crate::output::{Out, table, thousands};
use crate::print;
use crate::time_input::Zone;
use market::bar::{Aggregator, Bar, StreamPosition, Values};
use market::interval::Interval;
use market::{Kind, Record, Trade, UnixNanos};
use ports::store::Scan;
use ports::{Error, Result};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::process::ExitCode;
use tapeline::open;

/// Maximum number of prints in a table.
const LIMIT: usize = 200;

pub(crate) fn run(context: &Context, options: &ExplainOptions) -> Result<ExitCode> {
    // Checks that it is a valid time before the store is queried for the symbol's zone.
    Zone::utc().read(&options.time, ports::clock::now()).map_err(Error::usage)?;
    let symbol = options.symbol.clone();
    let store = open::store(&context.config)?;
    let mut settings = open::bars(&context.config)?;
    let about = About { symbol: &symbol, feed: options.feed.as_deref(), interval: Some(options.interval) };
    let times = [Some(options.time.as_str())];
    let zone = context.retry_short(|| zone::of(options.tz.as_ref(), &times, &*store, &settings, about))?;
    let time = zone.read(&options.time, ports::clock::now()).map_err(Error::usage)?;
    let printed = options.tz.clone().unwrap_or_else(Zone::utc);
    settings.intervals = vec![options.interval];
    if let Some(policy) = &options.policy {
        settings.feeds.iter_mut().for_each(|feed| feed.policy = policy.clone());
    }
    // The calendar depends on the feed of each trade; volume may be carried over from elsewhere in the
    // session.
    let (from, to) = settings.reading_span(time, UnixNanos(time.0.saturating_add(1)));
    let mut trades: Vec<Trade<String>> = Vec::new();
    let scan = Scan { kind: Kind::TRADE, symbol: Some(symbol.clone()), from, to, limit: None };
    context.retry_short(|| {
        trades.clear();
        store.scan(&scan, &mut |record| {
            if let Record::Trade(trade) = record
                && options.feed.as_ref().is_none_or(|feed| feed == trade.feed)
            {
                trades.push(trade.map(str::to_owned));
            }
            ControlFlow::Continue(())
        })
    })?;
    if trades.is_empty() {
        let place = store.describe();
        let of = options.feed.as_ref().map(|feed| format!(" of feed {feed}")).unwrap_or_default();
        let others = super::feeds::others(&*store, Kind::TRADE, &symbol, None, options.feed.as_deref());
        eprintln!(
            "no trades of {symbol}{of} from {from} to {to} in {place}{others}; list the contents: tapeline symbols --store {place}"
        );
        print::json(|| serde_json::json!([]));
        return Ok(ExitCode::SUCCESS);
    }
    if print::is_json() {
        print::json(|| object(options, &settings, &trades, time));
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = Out::new();
    let mut any = false;
    let mut by_feed: BTreeMap<&str, Vec<&Trade<String>>> = BTreeMap::new();
    for trade in &trades {
        by_feed.entry(&trade.feed).or_default().push(trade);
    }
    for (feed, trades) in by_feed {
        let Some(rules) = settings.rules(feed, &symbol) else { continue };
        let calendar = rules.calendar;
        let (from, to) = options.interval.bounds(time.0, &calendar.day(time));
        let bar = bar_of(&settings, &trades, from);
        let trades: Vec<&Trade<String>> =
            trades.into_iter().filter(|trade| (from..to).contains(&trade.ts.0)).collect();
        if trades.is_empty() {
            continue;
        }
        any = true;
        out.put(&format!(
            "{symbol} on {feed}, {} from {}, policy {}, calendar {}\n",
            options.interval,
            printed.write(UnixNanos(from), 0),
            rules.policy.name(),
            rules.calendar.name()
        ))?;
        match bar.as_ref().map(|bar| &bar.values) {
            Some(Values::Trades(values)) => out.put(&format!(
                "  open {} high {} low {} close {} volume {} trades {}\n",
                values.ohlc[0], values.ohlc[1], values.ohlc[2], values.ohlc[3], values.volume, values.trades
            ))?,
            _ => out.put("  no bar: none of its prints may set a price\n")?,
        };
        let mut rows =
            vec![["ts", "venue", "id", "price", "size", "updates", "because"].map(str::to_owned).to_vec()];
        let limit = options.limit.unwrap_or(LIMIT);
        for trade in trades.iter().take(limit) {
            rows.push(row(rules, options.interval, &trade.as_str(), &printed));
        }
        out.put(&table(&rows, 7))?;
        if trades.len() > limit {
            out.put(&format!(
                "  … and {} more; all with --limit {}\n",
                thousands((trades.len() - limit) as u64),
                trades.len()
            ))?;
        }
        if rules.policy.carries_volume {
            out.put("  under this policy a bar also takes the volume of later prints, up to the next bar with a price\n")?;
        }
    }
    out.end()?;
    if !any {
        let place = store.describe();
        eprintln!(
            "no trades of {symbol} in its {} bar of {time} in {place}; list the contents: tapeline symbols --store {place}",
            options.interval
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// The bars as JSON, one per feed, each with its prints.
fn object(
    options: &ExplainOptions,
    settings: &market::bar::AggregatorSettings,
    trades: &[Trade<String>],
    time: UnixNanos,
) -> serde_json::Value {
    let zone = options.tz.clone().unwrap_or_else(Zone::utc);
    let mut by_feed: BTreeMap<&str, Vec<&Trade<String>>> = BTreeMap::new();
    for trade in trades {
        by_feed.entry(&trade.feed).or_default().push(trade);
    }
    let mut bars = Vec::new();
    for (feed, trades) in by_feed {
        let Some(rules) = settings.rules(feed, &options.symbol) else { continue };
        let (from, to) = options.interval.bounds(time.0, &rules.calendar.day(time));
        let bar = bar_of(settings, &trades, from).and_then(|bar| match bar.values {
            Values::Trades(values) => {
                let [open, high, low, close] = values.ohlc.map(|price| price.to_string());
                Some(serde_json::json!({
                    "open": open, "high": high, "low": low, "close": close,
                    "volume": values.volume.to_string(), "trades": values.trades,
                }))
            }
            _ => None,
        });
        let within = trades.into_iter().filter(|trade| (from..to).contains(&trade.ts.0));
        let prints: Vec<_> = within
            .take(options.limit.unwrap_or(usize::MAX))
            .map(|trade| print_object(rules, options.interval, &trade.as_str(), &zone))
            .collect();
        if !prints.is_empty() {
            bars.push(serde_json::json!({
                "symbol": options.symbol,
                "feed": feed,
                "interval": options.interval.to_string(),
                "start": zone.write(UnixNanos(from), 0),
                "policy": rules.policy.name(),
                "calendar": rules.calendar.name(),
                "bar": bar,
                "prints": prints,
            }));
        }
    }
    bars.into()
}

fn print_object(
    rules: &market::bar::Feed,
    interval: Interval,
    trade: &Trade<&str>,
    zone: &Zone,
) -> serde_json::Value {
    let print = market::explain::print(rules, interval, trade);
    serde_json::json!({
        "ts": zone.write(trade.ts, 9),
        "venue": trade.venue,
        "id": trade.id,
        "price": trade.price.to_string(),
        "size": trade.size.to_string(),
        "updates": print.updates.to_string(),
        "because": print.reasons,
    })
}

/// The bar that starts at a time, built from the trades of its session.
fn bar_of(settings: &market::bar::AggregatorSettings, trades: &[&Trade<String>], start: i64) -> Option<Bar> {
    let mut aggregator = Aggregator::new(settings.clone());
    for (position, trade) in trades.iter().enumerate() {
        let place = StreamPosition { position: position as u64, stamp_ms: 0 };
        aggregator.add(&Record::Trade(trade.as_str()), place);
    }
    let mut found = None;
    aggregator.finish(&mut |bar| {
        if bar.start.0 == start {
            found = Some(bar);
        }
    });
    found
}

fn row(rules: &market::bar::Feed, interval: Interval, trade: &Trade<&str>, zone: &Zone) -> Vec<String> {
    let print = market::explain::print(rules, interval, trade);
    vec![
        zone.write(trade.ts, 9),
        trade.venue.to_owned(),
        trade.id.to_owned(),
        trade.price.to_string(),
        trade.size.to_string(),
        print.updates.to_string(),
        print.reasons.join("; "),
    ]
}
