//! `tapeline alert list`: checks and lists the rules and channels of the configuration.

use super::setup;
use crate::cli::{AlertListOptions, Format};
use crate::context::Context;
use crate::output::{Out, counted, note, table};
use ports::{Error, Result};
use std::process::ExitCode;

pub(crate) fn run(context: &Context, options: &AlertListOptions) -> Result<ExitCode> {
    let alert = &context.config.alert;
    setup::engine(&context.config, &alert.rules)?;
    let rules = setup::rules(&context.config)?;
    setup::check_channels(&context.config)?;
    let mut out = Out::new();
    match options.format {
        Format::Json => {
            out.put(&format!("{}\n", setup::json(&rules)?))?;
        }
        Format::Table => {
            let mut rows =
                vec![["rule", "kind", "symbols", "severity", "condition"].map(str::to_owned).to_vec()];
            for rule in &rules {
                let kind = setup::json(&rule.kind)?.trim_matches('"').to_owned();
                let symbols = if rule.symbols.is_empty() { "*".to_owned() } else { rule.symbols.join(",") };
                rows.push(vec![rule.name.clone(), kind, symbols, rule.severity.to_string(), rule.summary()]);
            }
            out.put(&table(&rows, 5))?;
            let channels: Vec<&str> = alert.channels.iter().map(|channel| channel.name.as_str()).collect();
            let channels = if channels.is_empty() { "none".to_owned() } else { channels.join(", ") };
            out.put(&format!("{}; channels: {channels}\n", counted(rules.len() as u64, "rule")))?;
        }
        Format::Csv | Format::Parquet => {
            return Err(Error::user("rules can be printed only as table or json").hint("--format json"));
        }
    }
    out.end()?;
    if rules.is_empty() {
        note("no rules; add [[alert.rules]] to the configuration (docs/alerts.md)");
    }
    Ok(ExitCode::SUCCESS)
}
