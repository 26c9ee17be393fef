//! `tapeline gaps`: what live feeds missed, and whether it was backfilled.

use crate::cli::{Format, GapsOptions};
use crate::context::Context;
use crate::output::{Out, counted, table, thousands};
use ports::gap::{self, GapState};
use ports::{Error, Result};
use std::process::ExitCode;
use tapeline::open;

pub(crate) fn run(context: &Context, options: &GapsOptions) -> Result<ExitCode> {
    let topics = open::topics(&context.config, &context.stop)?;
    let names = open::names(&context.config);
    let mut gaps = context.retry_short(|| gap::ledger(&*topics, &names))?;
    gaps.retain(|gap| !options.open || gap.state == GapState::Open);
    let mut out = Out::new();
    match options.format {
        Format::Json => {
            let text = serde_json::to_string(&gaps).map_err(|error| Error::internal(error.to_string()))?;
            out.put(&format!("{text}\n"))?;
        }
        Format::Table => {
            let head = ["state", "feed", "from", "to", "fetched", "cause"];
            let mut rows = vec![head.map(str::to_owned).to_vec()];
            for gap in &gaps {
                let open = gap.note.as_deref().filter(|_| gap.state == GapState::Open);
                let note = open.map(|note| format!("; open: {note}")).unwrap_or_default();
                rows.push(vec![
                    if gap.state == GapState::Open { "open" } else { "closed" }.to_owned(),
                    gap.feed.clone(),
                    gap.from.clone(),
                    gap.to.clone().unwrap_or_else(|| "?".to_owned()),
                    gap.proof.as_ref().map_or_else(String::new, |proof| thousands(proof.fetched)),
                    format!("{}{note}", gap.cause),
                ]);
            }
            out.put(&table(&rows, 6))?;
            let open = gaps.iter().filter(|gap| gap.state == GapState::Open).count();
            out.put(&format!("{}, {open} open\n", counted(gaps.len() as u64, "gap")))?;
        }
        Format::Csv | Format::Parquet => {
            return Err(Error::usage("gaps can be printed only as table or json").hint("--format json"));
        }
    }
    out.end()?;
    Ok(ExitCode::SUCCESS)
}
