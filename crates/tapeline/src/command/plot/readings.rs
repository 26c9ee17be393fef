//! `tapeline plot --kind readings`: a series of readings.

use super::{bars, zone};
use crate::cli::PlotOptions;
use crate::context::Context;
use crate::output::counted;
use crate::plot::lines::{ReadingLines, ReadingSeries};
use crate::plot::save;
use crate::print;
use crate::time_input::Zone;
use market::bar::Bar;
use market::{Kind, Record, UnixNanos};
use ports::store::{Scan, Store};
use ports::{Error, Result};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::process::ExitCode;
use tapeline::open;

/// The series that the arguments name: it may have commas in its name, as those of line protocol do.
fn series(options: &PlotOptions) -> String {
    options.symbols.join(" ").trim().to_owned()
}

/// Whether the store has readings of the series.
pub(super) fn are_there(context: &Context, store: &dyn Store, options: &PlotOptions) -> Result<bool> {
    let series = series(options);
    let entries = context.retry_short(|| store.directory())?;
    Ok(entries.iter().any(|entry| entry.kind == Kind::READING && entry.symbol == series))
}

pub(super) fn run(context: &Context, options: &PlotOptions) -> Result<ExitCode> {
    if !options.indicator.is_empty() {
        return Err(Error::usage("--indicator applies only to candles: readings have no prices"));
    }
    let store = open::store(&context.config)?;
    let series = series(options);
    // Sensors have no exchange: their times are in UTC.
    let zone = options.span.tz.clone().unwrap_or_else(Zone::utc);
    let range = options.span.range_in(&zone)?;
    let mut by_feed: BTreeMap<String, Vec<Bar>> = BTreeMap::new();
    for bar in bars::load(context, &*store, Kind::READING, &series, range, &options.bars)? {
        by_feed.entry(bar.feed.clone()).or_default().push(bar);
    }
    if by_feed.is_empty() {
        return Err(Error::user(bars::none(&*store, Kind::READING, &series, &options.bars)));
    }
    let mut picture = ReadingLines { series: Vec::new() };
    let mut drawn = 0;
    for (feed, bars) in by_feed {
        drawn += bars.len();
        let day = |bar: Option<&Bar>| bar.map_or_else(String::new, |bar| zone::date(&zone, bar));
        let (from, to) = (day(bars.first()), day(bars.last()));
        let days = if from == to { from } else { format!("{from} to {to}") };
        let title = format!("{series} {} {feed}, {days}, {}", options.bars.interval(), zone.name());
        let unit = context.retry_short(|| unit(&*store, &series, &feed, bars.last()))?;
        picture.series.push(ReadingSeries { title, zone: zone.clone(), unit, bars });
    }
    save(&picture, &options.out, options.size)?;
    print::json(|| serde_json::json!({ "file": options.out, "bars": drawn }));
    println!("{} drawn in {}", counted(drawn as u64, "bar"), options.out.display());
    Ok(ExitCode::SUCCESS)
}

/// The unit of the first reading of a bar: bars have none.
fn unit(store: &dyn Store, series: &str, feed: &str, bar: Option<&Bar>) -> Result<String> {
    let Some(bar) = bar else { return Ok(String::new()) };
    let end = bar.start.0.saturating_add(bar.interval.nanos().unwrap_or(market::time::DAY));
    let scan = Scan {
        kind: Kind::READING,
        symbol: Some(series.to_owned()),
        from: bar.start,
        to: UnixNanos(end),
        limit: None,
    };
    let mut unit = String::new();
    store.scan(&scan, &mut |record| match record {
        Record::Reading(reading) if reading.feed == feed => {
            reading.unit.clone_into(&mut unit);
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    })?;
    Ok(unit)
}
