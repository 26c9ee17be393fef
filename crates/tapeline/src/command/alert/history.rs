//! `tapeline alert history`: alerts that fired, and whether they were delivered.

use crate::cli::{AlertHistoryOptions, Format};
use crate::command::bars;
use crate::context::Context;
use crate::output::{Out, table, thousands};
use notify::outbox::OutboxStore;
use ports::{Error, Result};
use std::process::ExitCode;

pub(crate) fn run(context: &Context, options: &AlertHistoryOptions) -> Result<ExitCode> {
    let (from, to) = bars::range(&options.span)?;
    let mut outbox = super::outbox(&context.config)?;
    let mut alerts = outbox.history(from.0, to.0).map_err(Error::user)?;
    alerts.retain(|alert| options.rule.as_ref().is_none_or(|rule| alert.rule == *rule));
    let mut out = Out::new();
    match options.format {
        Format::Json => {
            out.put(&format!("{}\n", super::json(&alerts)?))?;
        }
        Format::Table => {
            let head = ["time", "severity", "rule", "kind", "symbol", "value", "message", "delivery"];
            let mut rows = vec![head.map(str::to_owned).to_vec()];
            for alert in &alerts {
                let mut row = super::cells(alert, &context.config.alert.zone);
                let states = outbox.delivery(&alert.key).map_err(Error::user)?;
                let states: Vec<String> = states
                    .iter()
                    .map(|delivery| {
                        format!("{}: {} ({})", delivery.channel, delivery.state, delivery.attempts)
                    })
                    .collect();
                row.push(states.join(", "));
                rows.push(row);
            }
            out.put(&table(&rows, 8))?;
            let counts = outbox.counts().map_err(Error::user)?;
            out.put(&format!(
                "{} alerts; messages: {} sent ({} of them resent after a crash), {} pending, {} abandoned\n",
                thousands(alerts.len() as u64),
                thousands(counts.sent),
                thousands(counts.repeated),
                thousands(counts.pending),
                thousands(counts.dead)
            ))?;
        }
        Format::Csv | Format::Parquet => {
            return Err(Error::user("alerts can be printed only as table or json").hint("--format json"));
        }
    }
    out.end()?;
    Ok(ExitCode::SUCCESS)
}
