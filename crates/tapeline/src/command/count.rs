//! `tapeline count`: the number of records in the store.

use crate::cli::{CountOptions, Format};
use crate::context::Context;
use crate::output::{Out, note, table, thousands};
use ports::Result;
use std::process::ExitCode;
use tapeline::open;

pub(crate) fn run(context: &Context, options: &CountOptions) -> Result<ExitCode> {
    let store = open::store(&context.config)?;
    if context.kinds.is_empty() {
        return Err(ports::Error::usage("--kinds: expected trades, quotes or trades,quotes"));
    }
    let mut counts = context.retry_short(|| store.count())?;
    counts.retain(|kind, _| context.kinds.contains(kind));
    if !context.symbols.is_empty() {
        // A requested symbol is shown even if its count is 0.
        for by_symbol in counts.values_mut() {
            by_symbol.retain(|symbol, _| context.symbols.contains(symbol));
            for symbol in &context.symbols {
                by_symbol.entry(symbol.clone()).or_default();
            }
        }
    }
    let mut out = Out::new();
    match options.format {
        Format::Parquet => {
            return Err(ports::Error::usage("--format parquet does not support counts")
                .hint("use table, json or csv"));
        }
        Format::Json => {
            let by_kind: serde_json::Map<_, _> = counts
                .iter()
                .map(|(kind, symbols)| (kind.plural().to_owned(), serde_json::json!(symbols)))
                .collect();
            out.put(&format!("{}\n", serde_json::Value::Object(by_kind)))?;
        }
        Format::Csv => {
            out.put("kind,symbol,count\n")?;
            for (kind, symbols) in &counts {
                for (symbol, count) in symbols {
                    out.put(&super::symbols::csv(&[
                        kind.plural().to_owned(),
                        symbol.clone(),
                        count.to_string(),
                    ]))?;
                }
            }
        }
        Format::Table => {
            let mut rows = vec![vec!["kind".to_owned(), "symbol".to_owned(), "count".to_owned()]];
            for (kind, symbols) in &counts {
                for (symbol, count) in symbols {
                    rows.push(vec![kind.plural().to_owned(), symbol.clone(), thousands(*count)]);
                }
                let total = symbols.values().sum();
                rows.push(vec![kind.plural().to_owned(), "all".to_owned(), thousands(total)]);
            }
            out.put(&table(&rows, 2))?;
        }
    }
    out.end()?;
    if counts.values().flat_map(|symbols| symbols.values()).all(|count| *count == 0) {
        note(&format!(
            "no records in {place}; list bars with: tapeline symbols --bars --store {place}",
            place = store.describe()
        ));
    }
    Ok(ExitCode::SUCCESS)
}
