//! `tapeline query`: records or bars of symbols in time order.

use super::bars::{self, Range};
use super::feeds;
use super::zone::{self, About};
use crate::cli::{QueryOptions, What, usage};
use crate::context::Context;
use crate::export::{self, Export, RowFormat};
use crate::output::counted;
use crate::time_input::Zone;
use columnar::columns;
use market::Kind;
use market::kind::Subject;
use ports::store::{Scan, Store};
use ports::{Error, Result};
use std::cell::Cell;
use std::ops::ControlFlow;
use std::process::ExitCode;
use tapeline::open;

/// Maximum number of table rows without --limit.
const TABLE: u64 = 100;

pub(crate) fn run(context: &Context, options: &QueryOptions) -> Result<ExitCode> {
    let What { kind, of_bars } = options.what;
    if let Some(flag) = options.bars.about_bars().filter(|_| !of_bars) {
        usage(&format!("{flag} applies only to bars: `query {}` does not support it", kind.plural()));
    }
    let out = options.out.as_deref();
    let format = export::format(options.format, out)?;
    let limit = options.limit.or_else(|| (format == RowFormat::Table && out.is_none()).then_some(TABLE));
    options.span.check()?;
    let store = open::store(&context.config)?;
    let settings = open::bars(&context.config)?;
    let span = &options.span;
    // All times are parsed before a file is created: an invalid one leaves nothing behind.
    let mut ranges = Vec::new();
    let symbols = match kind.subject() {
        // A series may have commas in its name, as those of line protocol do.
        Subject::Series => vec![options.symbols.join(" ").trim().to_owned()],
        Subject::Instrument => ports::options::list(&options.symbols.join(",")),
    };
    if symbols.is_empty() {
        return Err(Error::usage(format!("expected a symbol, found `{}`", options.symbols.join(" "))));
    }
    for symbol in symbols {
        // Named twice, its rows are not written twice.
        if ranges.iter().any(|(known, _)| *known == symbol) {
            continue;
        }
        let interval = of_bars.then(|| options.bars.interval());
        let about = About { symbol: &symbol, feed: options.bars.feed.as_deref(), interval };
        let times = [span.from.as_deref(), span.to.as_deref()];
        let read = || zone::of(span.tz.as_ref(), &times, &*store, &settings, about);
        // Sensors have no exchange: their times are in UTC.
        let zone = match kind.subject() {
            Subject::Series => span.tz.clone().unwrap_or_else(Zone::utc),
            Subject::Instrument => context.retry_short(read)?,
        };
        ranges.push((symbol, span.range_in(&zone)?));
    }
    let shape = if of_bars { columns::of_bars(kind) } else { columns::of_records(kind) };
    // Output for other programs is in UTC unless --tz names a zone.
    let mut export = Export::open(shape, format, out, span.tz.clone().unwrap_or_else(Zone::utc))?;
    let (mut missing, mut cut) = (Vec::new(), false);
    for (symbol, range) in &ranges {
        let before = export.rows();
        if of_bars {
            bars_of(context, &*store, kind, symbol, (*range, limit), options, &mut export)?;
        } else {
            records_of(context, &*store, kind, symbol, (*range, limit), options, &mut export)?;
        }
        if context.stop.is_cancelled() {
            return Err(Error::user("stopped before the end of the rows")
                .hint("the output is incomplete; the file of --out is not created"));
        }
        let shown = export.rows() - before;
        cut |= options.limit.is_none() && limit == Some(shown);
        if shown == 0 {
            missing.push(none(&*store, kind, of_bars, symbol, options));
        }
    }
    let rows = export.rows();
    if let Some(path) = export.finish()?.0 {
        println!("{} in {}", counted(rows, "row"), path.display());
    }
    for line in missing {
        eprintln!("{line}");
    }
    if cut {
        eprintln!(
            "showing the first {TABLE} rows; use --limit N for more, or --out FILE or --format csv for all"
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn none(store: &dyn Store, kind: Kind, of_bars: bool, symbol: &str, options: &QueryOptions) -> String {
    if of_bars {
        return bars::none(store, kind, symbol, &options.bars);
    }
    let place = store.describe();
    let of = options.bars.feed.as_ref().map(|feed| format!(" of feed {feed}")).unwrap_or_default();
    let others = feeds::others(store, kind, symbol, None, options.bars.feed.as_deref());
    format!(
        "no {} of {symbol}{of} in that time range in {place}{others}; list the contents: tapeline symbols --store {place}",
        kind.plural()
    )
}

fn bars_of(
    context: &Context,
    store: &dyn Store,
    kind: Kind,
    symbol: &str,
    range: (Range, Option<u64>),
    options: &QueryOptions,
    export: &mut Export,
) -> Result<()> {
    let interval = options.bars.interval().to_string();
    bars::each(context, store, kind, symbol, range, &options.bars, &mut |bar| {
        let mut values = Vec::new();
        columns::bar(&bar, &interval, &mut values);
        export.row(&values)
    })
}

fn records_of(
    context: &Context,
    store: &dyn Store,
    kind: Kind,
    symbol: &str,
    ((from, to), limit): (Range, Option<u64>),
    options: &QueryOptions,
    export: &mut Export,
) -> Result<()> {
    let feed = options.bars.feed.as_deref();
    // The store limits rows of all feeds together: with --feed they are counted here.
    let scan =
        Scan { kind, symbol: Some(symbol.to_owned()), from, to, limit: limit.filter(|_| feed.is_none()) };
    let (begun, mut failed, mut left) = (Cell::new(false), None, limit.unwrap_or(u64::MAX));
    context.retry_before(&begun, || {
        store.scan(&scan, &mut |record| {
            if feed.is_some_and(|feed| feed != *record.feed()) {
                return ControlFlow::Continue(());
            }
            begun.set(true);
            let mut values = Vec::with_capacity(16);
            columns::record(record, &mut values);
            left -= 1;
            match export.row(&values) {
                Ok(true) if left > 0 && !context.stop.is_cancelled() => ControlFlow::Continue(()),
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
