//! What the verbs of `alert` have in common: rules, engine, files, rows.

use crate::cli::Span;
use crate::time_input::Zone;
use market::alert::{Alert, Engine, EngineSettings, FeedSettings, RuleConfig, TimeSpan, check_rule};
use market::bar::Bar;
use market::interval::{Interval, MINUTE};
use market::{Kind, UnixNanos};
use notify::alert_log::{AlertLogFile, SqliteAlertLog};
use notify::outbox::SqliteOutbox;
use ports::alert_log::{AlertLog, SavedRule};
use ports::store::{BarScan, Store};
use ports::{Error, Result};
use server::settings::AlertRules;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tapeline::config::Config;
use tapeline::open;

/// An engine with some rules, and the bars' policies and calendars by feed.
pub(super) fn engine(config: &Config, rules: &[RuleConfig]) -> Result<Engine> {
    let feeds = open::bars(config)?.feeds.into_iter();
    let feeds =
        feeds.map(|feed| FeedSettings { prefix: feed.prefix, policy: feed.policy, calendar: feed.calendar });
    let settings = EngineSettings {
        feeds: feeds.collect(),
        filter: config.alert.filter,
        retract_within: TimeSpan(15 * MINUTE),
        splits: splits(&config.alert.factors)?,
    };
    let hint = "rules are described in docs/alerts.md";
    Engine::new(rules, settings).map_err(|error| Error::user(error.to_string()).hint(hint))
}

/// The factor files of a folder, `aapl.csv`, by symbol.
fn splits(folder: &str) -> Result<rustc_hash::FxHashMap<String, market::adjust::Factors>> {
    let mut out = rustc_hash::FxHashMap::default();
    if folder.is_empty() {
        return Ok(out);
    }
    let folder = Path::new(folder);
    let fail = ports::error::io("read `alert.factors`", folder);
    for entry in std::fs::read_dir(folder).map_err(&fail)? {
        let path = entry.map_err(&fail)?.path();
        let Some(symbol) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
        if path.extension().is_none_or(|extension| extension != "csv") {
            continue;
        }
        let text = std::fs::read_to_string(&path).map_err(ports::error::io("read factors", &path))?;
        let factors = market::adjust::Factors::parse(&text)
            .map_err(|error| Error::user(format!("{}: {error}", path.display())))?;
        out.insert(symbol.to_ascii_uppercase(), factors);
    }
    Ok(out)
}

/// Daily bars of a series from the store: at least the last `days` sessions before a time, if there are as many.
pub(super) fn days_before(
    store: &dyn Store,
    feed: &str,
    symbol: &str,
    before: UnixNanos,
    days: usize,
) -> Result<Vec<Bar>> {
    // Five sessions a week, and no closure of a market is longer than two weeks.
    let span = i64::try_from(days).unwrap_or(i64::MAX).saturating_mul(7) / 5 + 14;
    let scan = BarScan {
        kind: Kind::TRADE,
        symbol: symbol.to_owned(),
        interval: Interval::D1,
        feed: Some(feed.to_owned()),
        from: UnixNanos(before.0.saturating_sub(span.saturating_mul(market::time::DAY))),
        to: before,
        limit: None,
    };
    let mut bars = Vec::new();
    store.scan_bars(&scan, &mut |bar| {
        bars.push(bar);
        ControlFlow::Continue(())
    })?;
    Ok(bars)
}

/// Opens the outbox of the configuration.
pub(super) fn outbox(config: &Config) -> Result<SqliteOutbox> {
    SqliteOutbox::open(Path::new(&config.alert.file), config.alert.most).map_err(Error::user)
}

/// The rules that were added on the dashboard, if that is allowed.
pub(super) fn saved_rules(config: &Config) -> Result<Vec<SavedRule>> {
    if config.alert.editable {
        AlertLogFile(PathBuf::from(&config.alert.file)).rules()
    } else {
        Ok(Vec::new())
    }
}

/// The rules of the configuration, and those of the dashboard that can be evaluated with it: it may be newer.
pub(super) fn rules_with(config: &Config, saved: &[SavedRule]) -> Vec<RuleConfig> {
    let problem = |rule: &RuleConfig| {
        if config.alert.rules.iter().any(|known| known.name == rule.name) {
            return Some("the configuration has a rule of this name".to_owned());
        }
        let is_known = |name: &String| config.alert.channels.iter().any(|channel| channel.name == *name);
        if let Some(missing) = rule.channels.iter().find(|name| !is_known(name)) {
            return Some(format!("there is no channel `{missing}`"));
        }
        check_rule(rule).err().map(|error| error.problem)
    };
    let is_usable = |rule: &&RuleConfig| {
        let problem = problem(rule);
        if let Some(problem) = &problem {
            tracing::warn!("alert rule `{}` of the dashboard is skipped: {problem}", rule.name);
        }
        problem.is_none()
    };
    let saved = saved.iter().map(|saved| &saved.rule).filter(is_usable);
    config.alert.rules.iter().chain(saved).cloned().collect()
}

/// All rules.
pub(super) fn rules(config: &Config) -> Result<Vec<RuleConfig>> {
    Ok(rules_with(config, &saved_rules(config)?))
}

/// What the server needs to know about rules.
pub(crate) fn served(config: &Config) -> AlertRules {
    AlertRules {
        configured: config.alert.rules.clone(),
        channels: config.alert.channels.iter().map(|channel| channel.name.clone()).collect(),
        is_editable: config.alert.editable,
    }
}

/// Checks the rules and channels of the configuration.
pub(crate) fn check(config: &Config) -> Result<()> {
    engine(config, &config.alert.rules)?;
    check_channels(config)
}

/// Opens the alert log, which is in the outbox's file.
pub(super) fn alert_log(config: &Config) -> Result<SqliteAlertLog> {
    SqliteAlertLog::open(Path::new(&config.alert.file)).map_err(Error::user)
}

/// Fails if there is no alert file: verbs that only read create none.
pub(super) fn require_file(config: &Config) -> Result<()> {
    let file = &config.alert.file;
    if Path::new(file).is_file() {
        return Ok(());
    }
    Err(Error::user(format!("no alert file {file}"))
        .hint("check `alert.file`; `tapeline alert run`, and `tapeline run` with alert rules, create it"))
}

/// The alert log for the dashboard; `None` if nothing is evaluated.
pub(crate) fn log(config: &Config) -> Option<Arc<dyn AlertLog>> {
    let file = AlertLogFile(PathBuf::from(&config.alert.file));
    (config.alert.editable || !config.alert.rules.is_empty()).then(|| Arc::new(file) as Arc<dyn AlertLog>)
}

/// The name of the person at the terminal.
pub(super) fn author(by: Option<&str>) -> String {
    let login = || ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    by.map(str::to_owned).or_else(login).unwrap_or_else(|| "unknown".to_owned())
}

/// Checks that all channels exist to which rules send, and that channel names are unique.
pub(super) fn check_channels(config: &Config) -> Result<()> {
    let mut names = BTreeSet::new();
    for channel in &config.alert.channels {
        if !names.insert(channel.name.as_str()) {
            return Err(Error::user(format!("`alert.channels`: two channels are named `{}`", channel.name)));
        }
    }
    for rule in &config.alert.rules {
        if let Some(missing) = rule.channels.iter().find(|name| !names.contains(name.as_str())) {
            let known: Vec<&str> = names.iter().copied().collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(Error::user(format!(
                "alert rule `{}` sends to unknown channel `{missing}`; known: {known}",
                rule.name
            )));
        }
    }
    Ok(())
}

/// The zone in which times are read and printed: that of `--tz`, otherwise that of messages, `alert.zone`.
pub(super) fn zone(config: &Config, span: &Span) -> Result<Zone> {
    let configured =
        || Zone::parse(&config.alert.zone).map_err(|why| Error::user(format!("`alert.zone`: {why}")));
    span.tz.clone().map_or_else(configured, Ok)
}

/// Columns of an alert in a table.
pub(super) const HEADER: [&str; 7] = ["time", "severity", "rule", "kind", "symbol", "value", "message"];

pub(super) fn cells(alert: &Alert, zone: &str) -> Vec<String> {
    vec![
        alert.ts().local("%Y-%m-%d %H:%M:%S%.3f %Z", zone),
        alert.severity.to_string(),
        alert.rule.clone(),
        alert.kind.clone(),
        alert.symbol.clone(),
        format!("{:.4} {}", alert.value, alert.unit).trim_end().to_owned(),
        alert.message.clone(),
    ]
}

pub(super) fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::internal(error.to_string()))
}
