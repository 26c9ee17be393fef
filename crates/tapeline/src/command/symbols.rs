//! `tapeline symbols`: what the store holds, from its directory, or the series of its bars.

use crate::cli::{Format, SymbolsOptions};
use crate::context::Context;
use crate::output::{Out, table};
use market::kind::BarShape;
use market::{Kind, UnixNanos};
use ports::store::{BarSeries, DirectoryEntry, Store};
use ports::{Error, Result};
use std::process::ExitCode;
use tapeline::open;

const HEADER: &[&str] = &["kind", "symbol", "feed", "from", "to"];
const BAR_HEADER: &[&str] = &["kind", "symbol", "feed", "interval", "first", "last"];

pub(crate) fn run(context: &Context, options: &SymbolsOptions) -> Result<ExitCode> {
    let store = open::store(&context.config)?;
    let search = options.search.as_ref().map(|text| text.to_lowercase());
    let wanted = |kind: Kind, symbol: &String| {
        context.kinds.contains(&kind)
            && (context.symbols.is_empty() || context.symbols.contains(symbol))
            && search.as_ref().is_none_or(|search| symbol.to_lowercase().contains(search))
    };
    let (header, rows) = if options.bars {
        let mut series = context.retry_short(|| store.bar_series())?;
        series.retain(|series| wanted(series.kind, &series.symbol));
        (BAR_HEADER, series.iter().map(bar_cells).collect())
    } else {
        let mut entries = context.retry_short(|| store.directory())?;
        entries.retain(|entry| wanted(entry.kind, &entry.symbol));
        (HEADER, entries.iter().map(cells).collect::<Vec<_>>())
    };
    print(header, &rows, options.format)?;
    if rows.is_empty() {
        eprintln!("{}", advice(store.as_ref(), options.bars));
    }
    Ok(ExitCode::SUCCESS)
}

fn print(header: &[&str], rows: &[Vec<String>], format: Format) -> Result<()> {
    let names: Vec<String> = header.iter().map(|name| (*name).to_owned()).collect();
    let mut out = Out::new();
    match format {
        Format::Parquet => {
            return Err(Error::usage("--format parquet is not for symbols").hint("table, json or csv"));
        }
        Format::Json => {
            let objects: Vec<_> = rows.iter().map(|cells| object(header, cells)).collect();
            out.put(&format!("{}\n", serde_json::Value::Array(objects)))?;
        }
        Format::Csv => {
            out.put(&csv(&names))?;
            for cells in rows {
                out.put(&csv(cells))?;
            }
        }
        Format::Table => {
            let rows: Vec<_> = std::iter::once(names).chain(rows.iter().cloned()).collect();
            out.put(&table(&rows, header.len()))?;
        }
    }
    out.end()
}

/// What to do when there is nothing to list.
fn advice(store: &dyn Store, bars: bool) -> String {
    let place = store.describe();
    if bars {
        format!(
            "no bars in {place}; build them from the topic: tapeline aggregate --until-end --store {place}"
        )
    } else {
        format!(
            "no symbols in {place}; fill it: tapeline run --source 'tape:DIR'; or list bars: tapeline symbols --bars --store {place}"
        )
    }
}

/// The span is from the start, inclusive, to the end, exclusive: both exact to a bucket.
fn cells(entry: &DirectoryEntry) -> Vec<String> {
    let end = UnixNanos(entry.last.0.saturating_add(entry.kind.bucket().length()));
    let [from, to] = [entry.first, end].map(|time| time.to_string());
    vec![entry.kind.plural().to_owned(), entry.symbol.clone(), entry.feed.clone(), from, to]
}

/// The span is from the start of the first bar to the start of the last.
fn bar_cells(series: &BarSeries) -> Vec<String> {
    let kind = series.kind.bars().map_or("", BarShape::name);
    let [first, last] = [series.first, series.last].map(|time| time.to_string());
    vec![
        kind.to_owned(),
        series.symbol.clone(),
        series.feed.clone(),
        series.interval.to_string(),
        first,
        last,
    ]
}

/// By RFC 4180: series may have commas in their names.
pub(super) fn csv(cells: &[String]) -> String {
    let quoted = cells.iter().map(|cell| match cell.contains([',', '"']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell.clone(),
    });
    quoted.collect::<Vec<_>>().join(",") + "\n"
}

fn object(header: &[&str], cells: &[String]) -> serde_json::Value {
    header.iter().zip(cells).map(|(name, cell)| ((*name).to_owned(), serde_json::json!(cell))).collect()
}
