//! `tapeline symbols`: what the store holds, from its directory.

use crate::cli::{Format, SymbolsOptions};
use crate::context::Context;
use crate::output::{Out, table};
use market::UnixNanos;
use ports::store::DirectoryEntry;
use ports::{Error, Result};
use std::process::ExitCode;
use tapeline::open;

const HEADER: [&str; 5] = ["kind", "symbol", "feed", "from", "to"];

pub(crate) fn run(context: &Context, options: &SymbolsOptions) -> Result<ExitCode> {
    let store = open::store(&context.config)?;
    let mut entries = context.retry_short(|| store.directory())?;
    entries.retain(|entry| context.kinds.contains(&entry.kind));
    if !context.symbols.is_empty() {
        entries.retain(|entry| context.symbols.contains(&entry.symbol));
    }
    if let Some(search) = options.search.as_ref().map(|text| text.to_lowercase()) {
        entries.retain(|entry| entry.symbol.to_lowercase().contains(&search));
    }
    let header = HEADER.map(str::to_owned).to_vec();
    let mut out = Out::new();
    match options.format {
        Format::Parquet => {
            return Err(Error::usage("--format parquet is not for symbols").hint("table, json or csv"));
        }
        Format::Json => {
            let rows: Vec<_> = entries.iter().map(object).collect();
            out.put(&format!("{}\n", serde_json::Value::Array(rows)))?;
        }
        Format::Csv => {
            out.put(&csv(&header))?;
            for entry in &entries {
                out.put(&csv(&cells(entry)))?;
            }
        }
        Format::Table => {
            let rows: Vec<_> = std::iter::once(header).chain(entries.iter().map(cells)).collect();
            out.put(&table(&rows, HEADER.len()))?;
        }
    }
    out.end()?;
    if entries.is_empty() {
        eprintln!("no symbols in {}; fill it: tapeline run --source 'tape:DIR'", store.describe());
    }
    Ok(ExitCode::SUCCESS)
}

/// Start, inclusive, and end, exclusive: both exact to a bucket.
fn span(entry: &DirectoryEntry) -> [UnixNanos; 2] {
    [entry.first, UnixNanos(entry.last.0.saturating_add(entry.kind.bucket().length()))]
}

fn cells(entry: &DirectoryEntry) -> Vec<String> {
    let [from, to] = span(entry).map(|time| time.to_string());
    vec![entry.kind.plural().to_owned(), entry.symbol.clone(), entry.feed.clone(), from, to]
}

/// By RFC 4180: series may have commas in their names.
pub(super) fn csv(cells: &[String]) -> String {
    let quoted = cells.iter().map(|cell| match cell.contains([',', '"']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell.clone(),
    });
    quoted.collect::<Vec<_>>().join(",") + "\n"
}

fn object(entry: &DirectoryEntry) -> serde_json::Value {
    HEADER
        .iter()
        .zip(cells(entry))
        .map(|(name, cell)| ((*name).to_owned(), serde_json::Value::from(cell)))
        .collect()
}
