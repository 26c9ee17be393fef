//! `tapeline alert ack`: records who has seen an alert.

use super::setup;
use crate::cli::AlertAckOptions;
use crate::context::Context;
use crate::output::thousands;
use crate::print;
use market::UnixNanos;
use notify::alert_log::SqliteAlertLog;
use ports::alert_log::{Acknowledgement, AlertQuery};
use ports::{Error, Result, clock};
use std::process::ExitCode;

/// Fewest digits of a key.
const DIGITS: usize = 4;

pub(crate) fn run(context: &Context, options: &AlertAckOptions) -> Result<ExitCode> {
    let by = setup::author(options.by.as_deref());
    let acknowledgement = Acknowledgement::new(&by, clock::now().millis(), &options.note)?;
    let mut log = setup::alert_log(&context.config)?;
    let keys = match options.keys.as_slice() {
        [] => open_alerts(&log, options)?,
        given => given.iter().map(|key| complete(&log, key)).collect::<Result<_>>()?,
    };
    let unknown = log.acknowledge(&keys, &acknowledgement).map_err(Error::user)?;
    if let Some(key) = unknown.first() {
        return Err(
            Error::user(format!("no alert has the key {key}")).hint("list them: tapeline alert history")
        );
    }
    print::json(|| serde_json::json!({ "acknowledged": keys, "by": acknowledgement.by }));
    let noun = if keys.len() == 1 { "alert" } else { "alerts" };
    println!("{} {noun} acknowledged by {}", thousands(keys.len() as u64), acknowledgement.by);
    Ok(ExitCode::SUCCESS)
}

/// The alerts of a rule or symbol that nobody has acknowledged.
fn open_alerts(log: &SqliteAlertLog, options: &AlertAckOptions) -> Result<Vec<String>> {
    let query = AlertQuery {
        rule: options.rule.clone(),
        symbol: options.symbol.clone(),
        ..AlertQuery::of(UnixNanos(i64::MIN)..UnixNanos(i64::MAX))
    };
    let alerts = log.alerts(&query).map_err(Error::user)?.into_iter();
    Ok(alerts.filter(|logged| logged.acknowledged.is_none()).map(|logged| logged.alert.key).collect())
}

/// The full key of its first digits.
fn complete(log: &SqliteAlertLog, key: &str) -> Result<String> {
    if key.len() < DIGITS {
        return Err(Error::user(format!("expected at least {DIGITS} digits of a key, found `{key}`")));
    }
    let found = log.keys(key, 2).map_err(Error::user)?;
    let hint = "list them: tapeline alert history --format json";
    match <[String; 1]>::try_from(found) {
        Ok([key]) => Ok(key),
        Err(found) if found.is_empty() => {
            Err(Error::user(format!("no alert has a key that begins with {key}")).hint(hint))
        }
        Err(_) => {
            Err(Error::user(format!("several alerts have keys that begin with {key}; give more digits"))
                .hint(hint))
        }
    }
}
