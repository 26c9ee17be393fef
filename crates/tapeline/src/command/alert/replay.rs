//! `tapeline alert replay RULE`: shows when a rule would have fired on stored records. Nothing is sent.

use super::setup;
use crate::cli::{AlertReplayOptions, Format};
use crate::context::Context;
use crate::output::{Out, counted, table};
use market::alert::Alert;
use market::kind::Subject;
use market::{Kind, Record, UnixNanos};
use ports::store::{Scan, Store};
use ports::{Error, Result};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::process::ExitCode;
use tapeline::open;

pub(crate) fn run(context: &Context, options: &AlertReplayOptions) -> Result<ExitCode> {
    let config = &context.config;
    let all = setup::rules(config)?;
    let rules: Vec<_> = all.iter().filter(|rule| rule.name == options.rule).cloned().collect();
    if rules.is_empty() {
        let known: Vec<&str> = all.iter().map(|rule| rule.name.as_str()).collect();
        let known = if known.is_empty() { "none is configured".to_owned() } else { known.join(", ") };
        return Err(Error::user(format!("unknown alert rule `{}`; known: {known}", options.rule))
            .hint("[[alert.rules]] in the configuration; see docs/alerts.md"));
    }
    let zone = setup::zone(config, &options.span)?;
    let (from, to) = options.span.range_in(&zone)?;
    let store = open::store(config)?;
    let entries = context.retry_short(|| store.directory())?;
    let of_instruments = entries.iter().filter(|entry| entry.kind.subject() == Subject::Instrument);
    let symbols: BTreeSet<&String> = of_instruments.map(|entry| &entry.symbol).collect();
    let mut alerts: Vec<Alert> = Vec::new();
    let mut records = 0;
    for symbol in symbols {
        if !context.symbols.is_empty() && !context.symbols.contains(symbol) {
            continue;
        }
        // One symbol at a time: only its own records decide its alerts. Silences are measured within it, too.
        let mut engine = setup::engine(config, &rules)?;
        let (trades, quotes) =
            (load(&*store, Kind::TRADE, symbol, from, to)?, load(&*store, Kind::QUOTE, symbol, from, to)?);
        let (mut trades, mut quotes) = (trades.iter().peekable(), quotes.iter().peekable());
        loop {
            let quote_first = match (trades.peek(), quotes.peek()) {
                (Some(trade), Some(quote)) => quote.ts() <= trade.ts(),
                (None, Some(_)) => true,
                (Some(_), None) => false,
                (None, None) => break,
            };
            let Some(record) = (if quote_first { quotes.next() } else { trades.next() }) else { break };
            records += 1;
            engine.advance(record.ts(), &mut alerts);
            match record.as_str() {
                Record::Trade(trade) => {
                    if let Some((days, before)) = engine.missing_days(trade.feed, trade.symbol, trade.ts) {
                        let bars = setup::days_before(&*store, trade.feed, trade.symbol, before, days)?;
                        bars.iter().for_each(|bar| engine.past_day(bar, before));
                    }
                    engine.trade(&trade, &mut alerts);
                }
                Record::Quote(quote) => engine.quote(&quote, &mut alerts),
                _ => {}
            }
        }
    }
    let of_sensors = entries.iter().filter(|entry| entry.kind == Kind::READING);
    for series in of_sensors.map(|entry| &entry.symbol).collect::<BTreeSet<_>>() {
        if !context.symbols.is_empty() && !context.symbols.contains(series) {
            continue;
        }
        let mut engine = setup::engine(config, &rules)?;
        for record in load(&*store, Kind::READING, series, from, to)? {
            let Record::Reading(reading) = record.as_str() else { continue };
            records += 1;
            engine.advance(reading.ts, &mut alerts);
            if let Some(value) = reading.value.to_f64() {
                engine.reading(reading.feed, reading.series, reading.ts, value, &mut alerts);
            }
        }
    }
    alerts.sort_by(|one, other| (one.event_time, &one.key).cmp(&(other.event_time, &other.key)));
    let mut out = Out::new();
    match options.format {
        Format::Json => {
            out.put(&format!("{}\n", setup::json(&alerts)?))?;
        }
        Format::Table => {
            let mut rows = vec![setup::HEADER.map(str::to_owned).to_vec()];
            rows.extend(alerts.iter().map(|alert| setup::cells(alert, zone.name())));
            out.put(&table(&rows, 7))?;
            let count = counted(alerts.len() as u64, "alert");
            let records = counted(records, "record");
            out.put(&format!("{count} of rule {} from {records}\n", options.rule))?;
        }
        Format::Csv | Format::Parquet => {
            return Err(Error::user("alerts can be printed only as table or json").hint("--format json"));
        }
    }
    out.end()?;
    Ok(ExitCode::SUCCESS)
}

/// Records of a symbol in time order; equal times keep the order of the store.
fn load(
    store: &dyn Store,
    kind: Kind,
    symbol: &str,
    from: UnixNanos,
    to: UnixNanos,
) -> Result<Vec<Record<String>>> {
    let scan = Scan { kind, symbol: Some(symbol.to_owned()), from, to, limit: None };
    let mut out = Vec::new();
    store.scan(&scan, &mut |record| {
        out.push(record.map(str::to_owned));
        ControlFlow::Continue(())
    })?;
    out.sort_by_key(Record::ts);
    Ok(out)
}
