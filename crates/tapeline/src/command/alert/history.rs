//! `tapeline alert history`: alerts that fired, and whether they were delivered.

use super::setup;
use crate::cli::{AlertHistoryOptions, Format};
use crate::context::Context;
use crate::output::{Out, counted, note, table, thousands};
use market::UnixNanos;
use notify::outbox::OutboxStore;
use ports::alert_log::{Acknowledgement, AlertQuery, LoggedAlert};
use ports::{Error, Result};
use std::process::ExitCode;

/// Digits of a key in a table: enough to tell apart the alerts of a history.
const KEY: usize = 10;

pub(crate) fn run(context: &Context, options: &AlertHistoryOptions) -> Result<ExitCode> {
    let zone = setup::zone(&context.config, &options.span)?;
    let (from, to) = options.span.range_in(&zone)?;
    setup::require_file(&context.config)?;
    let mut outbox = setup::outbox(&context.config)?;
    let query = AlertQuery { rule: options.rule.clone(), ..AlertQuery::of(from..to) };
    let mut alerts = setup::alert_log(&context.config)?.alerts(&query).map_err(Error::user)?;
    // Oldest first, so that the newest are at the end of the screen.
    alerts.reverse();
    let mut out = Out::new();
    match options.format {
        Format::Json => {
            out.put(&format!("{}\n", setup::json(&alerts)?))?;
        }
        Format::Table => {
            let head = [
                "time",
                "severity",
                "rule",
                "kind",
                "symbol",
                "value",
                "message",
                "delivery",
                "acknowledged",
                "key",
            ];
            let mut rows = vec![head.map(str::to_owned).to_vec()];
            for LoggedAlert { alert, acknowledged } in &alerts {
                let mut row = setup::cells(alert, zone.name());
                let states = outbox.delivery(&alert.key).map_err(Error::user)?;
                let states: Vec<String> = states
                    .iter()
                    .map(|delivery| {
                        format!("{}: {} ({})", delivery.channel, delivery.state, delivery.attempts)
                    })
                    .collect();
                row.push(states.join(", "));
                row.push(
                    acknowledged.as_ref().map(|by| acknowledgement(by, zone.name())).unwrap_or_default(),
                );
                row.push(alert.key.chars().take(KEY).collect());
                rows.push(row);
            }
            out.put(&table(&rows, 10))?;
            let counts = outbox.counts().map_err(Error::user)?;
            out.put(&format!(
                "{}; messages: {} sent ({} of them resent after a crash), {} pending, {} abandoned\n",
                counted(alerts.len() as u64, "alert"),
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
    if alerts.is_empty() {
        let next = if context.config.alert.rules.is_empty() {
            "there are no rules: add [[alert.rules]] to the configuration (docs/alerts.md)"
        } else {
            "evaluate the rules: tapeline alert run"
        };
        note(&format!("no such alerts in {}; {next}", context.config.alert.file));
    }
    Ok(ExitCode::SUCCESS)
}

/// `ann 2013-10-08 09:31:00 EDT: note`.
fn acknowledgement(by: &Acknowledgement, zone: &str) -> String {
    let at = UnixNanos(by.at_ms.saturating_mul(1_000_000)).local("%Y-%m-%d %H:%M:%S %Z", zone);
    let note = if by.note.is_empty() { String::new() } else { format!(": {}", by.note) };
    format!("{} {at}{note}", by.by)
}
