//! Folding of alert storms: if one rule fires for many symbols at once, people get the first few alerts and
//! one summary.

use super::span::TimeSpan;
use super::{Alert, Severity};
use crate::interval::SECOND;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_128;

/// When alerts are folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FoldSettings {
    /// Length of the window over which alerts of a rule are counted, from the first.
    pub window: TimeSpan,
    /// Number of alerts sent individually; 0 sends all.
    pub limit: u32,
}

impl Default for FoldSettings {
    fn default() -> Self {
        Self { window: TimeSpan(30 * SECOND), limit: 5 }
    }
}

/// Number of symbols that a summary names.
const NAMED: usize = 20;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Group {
    start: i64,
    sent: u32,
    folded: Vec<Alert>,
}

/// Alerts of each rule in its current window.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Fold {
    #[serde(skip)]
    settings: FoldSettings,
    groups: BTreeMap<String, Group>,
}

impl Fold {
    /// Creates a folder without alerts.
    #[must_use]
    pub const fn new(settings: FoldSettings) -> Self {
        Self { settings, groups: BTreeMap::new() }
    }

    /// Replaces the settings of a restored state.
    #[must_use]
    pub fn with(self, settings: FoldSettings) -> Self {
        Self { settings, ..self }
    }

    /// Its settings.
    #[must_use]
    pub const fn settings(&self) -> FoldSettings {
        self.settings
    }

    /// Adds an alert, and emits what is to be sent now: the alert, or nothing if it waits for the summary.
    pub fn push(&mut self, alert: Alert, out: &mut Vec<Alert>) {
        self.advance(alert.event_time, out);
        if self.settings.limit == 0 || alert.quiet {
            out.push(alert);
            return;
        }
        let name = format!("{}{}", alert.rule, if alert.retracts.is_some() { "\n" } else { "" });
        let start = alert.event_time;
        let group = self.groups.entry(name).or_insert_with(|| Group { start, sent: 0, folded: Vec::new() });
        if group.sent < self.settings.limit {
            group.sent += 1;
            out.push(alert);
        } else {
            group.folded.push(alert);
        }
    }

    /// Advances event time: emits the summaries of the windows that are over.
    pub fn advance(&mut self, now: i64, out: &mut Vec<Alert>) {
        let window = self.settings.window.0;
        if self.groups.values().all(|group| now.saturating_sub(group.start) < window) {
            return;
        }
        self.groups.retain(|_, group| {
            let open = now.saturating_sub(group.start) < window;
            if !open {
                out.extend(summary(group, self.settings.window));
            }
            open
        });
    }

    /// Number of alerts waiting for a summary.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.groups.values().map(|group| group.folded.len()).sum()
    }
}

/// One alert unchanged; several as a summary.
fn summary(group: &Group, window: TimeSpan) -> Option<Alert> {
    let first = group.folded.first()?;
    if group.folded.len() == 1 {
        return Some(first.clone());
    }
    let mut keys = String::new();
    let mut symbols: Vec<&str> = Vec::new();
    for alert in &group.folded {
        keys.push_str(&alert.key);
        if !symbols.contains(&alert.symbol.as_str()) {
            symbols.push(&alert.symbol);
        }
    }
    let named = symbols.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    let rest = symbols.len().saturating_sub(NAMED);
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    let (count, sent) = (group.folded.len(), group.sent);
    let what = if first.retracts.is_some() { "retractions" } else { "alerts" };
    Some(Alert {
        key: format!("{:032x}", xxh3_128(keys.as_bytes())),
        kind: "storm".to_owned(),
        symbol: "*".to_owned(),
        event_time: group.start.saturating_add(window.0),
        severity: group.folded.iter().map(|alert| alert.severity).max().unwrap_or(Severity::Info),
        value: count as f64,
        threshold: f64::from(sent),
        unit: String::new(),
        price: None,
        message: format!("{count} more {what} of {} within {window}: {named}{more}", first.rule),
        retracts: None,
        ..first.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(rule: &str, number: i64, ts: i64) -> Alert {
        Alert {
            key: format!("{number:032x}"),
            rule: rule.to_owned(),
            kind: "drop".to_owned(),
            feed: "f".to_owned(),
            symbol: format!("S{number}"),
            severity: Severity::Warning,
            event_time: ts * SECOND,
            value: -2.0,
            threshold: 1.0,
            unit: "%".to_owned(),
            price: Some(1.0),
            message: String::new(),
            quiet: false,
            channels: Vec::new(),
            retracts: None,
        }
    }

    #[test]
    fn a_storm_becomes_a_few_alerts_and_a_summary() {
        let mut fold = Fold::new(FoldSettings { window: TimeSpan(10 * SECOND), limit: 2 });
        let mut out = Vec::new();
        for number in 0..30 {
            fold.push(alert("crash", number, 100), &mut out);
        }
        fold.push(alert("other", 99, 101), &mut out);
        let symbols = |out: &[Alert]| out.iter().map(|alert| alert.symbol.clone()).collect::<Vec<_>>();
        assert_eq!(symbols(&out), ["S0", "S1", "S99"]);
        assert_eq!(fold.waiting(), 28);
        // The state survives its text.
        let text = serde_json::to_string(&fold).unwrap();
        let settings = fold.settings;
        let mut fold = serde_json::from_str::<Fold>(&text).unwrap().with(settings);
        out.clear();
        fold.advance(109 * SECOND, &mut out);
        assert!(out.is_empty());
        fold.advance(110 * SECOND, &mut out);
        assert_eq!((out.len(), out[0].value, out[0].event_time), (1, 28.0, 110 * SECOND));
        assert!(
            out[0].message.starts_with("28 more alerts of crash within 10s: S2, S3"),
            "{}",
            out[0].message
        );
        assert!(out[0].message.ends_with("S21 and 8 more"), "{}", out[0].message);
        // The next window starts empty.
        out.clear();
        fold.push(alert("crash", 1, 200), &mut out);
        assert_eq!(out.len(), 1);
    }

    #[test]
    fn one_alert_over_the_limit_stays_itself() {
        let mut fold = Fold::new(FoldSettings { window: TimeSpan(10 * SECOND), limit: 1 });
        let mut out = Vec::new();
        fold.push(alert("r", 1, 0), &mut out);
        fold.push(alert("r", 2, 1), &mut out);
        fold.advance(10 * SECOND, &mut out);
        assert_eq!(out, [alert("r", 1, 0), alert("r", 2, 1)]);
    }
}
