//! `tapeline backfill`: fetches a span, or the ledger's open gaps, from the vendor's history.

use super::flow;
use crate::cli::{BackfillOptions, ProduceOptions};
use crate::context::Context;
use crate::output::thousands;
use crate::print;
use pipeline::produce;
use ports::gap::{self, GapState};
use ports::telemetry::Telemetry;
use ports::{Error, Result, clock};
use sources::live::{self, Fetch};
use std::process::ExitCode;
use std::time::Instant;
use tapeline::open;

const HINT: &str = "tapeline backfill SPY --source alpaca:iex --from 2026-11-20T14:30:00Z --to 2026-11-20T15:00:00Z, or --open";

pub(crate) fn run(context: &Context, options: &BackfillOptions) -> Result<ExitCode> {
    let mut config = context.config.clone();
    let topics = open::topics(&config, &context.stop)?;
    let names = open::names(&config);
    let mut gaps = Vec::new();
    if options.open {
        gaps = context.retry_short(|| gap::ledger(&*topics, &names))?;
        gaps.retain(|gap| gap.state == GapState::Open && gap.to.is_some() && gap.offsets.is_none());
        gaps.retain(|gap| gap.session_kind().is_none());
    }
    let named = options.symbols.as_deref().map(ports::options::list).unwrap_or_default();
    let has_symbols = config.source.url.contains("symbols=");
    if !named.is_empty() && !context.symbols.is_empty() {
        return Err(Error::usage("symbols are named twice: as argument and with --symbols").hint(HINT));
    }
    if named.is_empty() && !has_symbols && !options.open {
        return Err(Error::usage("no symbols to backfill").hint(HINT));
    }
    // Of several lists in a URL the last counts.
    let replaces = !named.is_empty() || !has_symbols;
    let mut symbols = named;
    symbols.extend(gaps.iter().flat_map(|gap| gap.symbols.clone()));
    symbols.sort();
    symbols.dedup();
    if options.open && (gaps.is_empty() || (replaces && symbols.is_empty())) {
        println!("no open gap with a known end");
        print::json(|| serde_json::json!({ "published": 0, "gaps": [] }));
        return Ok(ExitCode::SUCCESS);
    }
    if replaces {
        let symbols = ports::options::joined(&symbols);
        config.source.url = crate::context::with(&config.source.url, "symbols", &symbols);
    }
    let settings = live::open(&config.source).unwrap_or_else(|| {
        Err(Error::user(format!("`{}` is not a live source: it has no history", config.source.url))
            .hint(HINT))
    })?;
    let mut source = if options.open {
        gaps.retain(|gap| gap.feed == settings.feed);
        Fetch::new(settings, gaps)
    } else {
        if options.span.from.is_none() {
            return Err(Error::usage("--from is missing: the start of the span to fetch").hint(HINT));
        }
        let (from, to) = options.span.range()?;
        let to = if options.span.to.is_some() { to } else { clock::now() };
        if to <= from {
            return Err(Error::usage(format!("--from {from} is in the future")).hint(HINT));
        }
        Fetch::span(settings, from, to)
    };
    crate::command::prepare::prepare(context, &config, &*topics)?;
    let (telemetry, start) = (Telemetry::default(), Instant::now());
    let settings = flow::produce_settings(&config, &ProduceOptions { replay: false });
    produce::run(&mut source, &*topics, &settings, &telemetry, &context.stop)?;
    flow::summary(&telemetry, start.elapsed(), false);
    let mut open = 0;
    for gap in &source.done {
        let (from, to) = (&gap.from, gap.to.as_deref().unwrap_or("?"));
        match (&gap.proof, &gap.note) {
            (Some(proof), _) => {
                println!("  {from} to {to}: {} fetched and confirmed", thousands(proof.fetched))
            }
            (None, note) => {
                open += 1;
                println!("  {from} to {to}: open: {}", note.as_deref().unwrap_or("stopped"));
            }
        }
    }
    print::json(|| {
        let gaps: Vec<_> = source
            .done
            .iter()
            .map(|gap| {
                serde_json::json!({
                    "from": gap.from,
                    "to": gap.to,
                    "symbols": gap.symbols,
                    "fetched": gap.proof.as_ref().map(|proof| proof.fetched),
                    "open": gap.proof.is_none(),
                    "note": gap.note,
                })
            })
            .collect();
        serde_json::json!({ "published": telemetry.get(&telemetry.published), "gaps": gaps })
    });
    println!("a running consume stores them; otherwise run: tapeline consume --until-end");
    Ok(if open == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
