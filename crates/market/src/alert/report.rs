//! Builds an alert from a rule and a measurement.

use super::Alert;
use super::condition::Condition;
use super::rule::RuleConfig;
use super::span::TimeSpan;
use super::validated::Rule;
use crate::UnixNanos;
use xxhash_rust::xxh3::Xxh3;

/// Where and when a rule fired.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event<'a> {
    pub(super) feed: &'a str,
    pub(super) symbol: &'a str,
    pub(super) ts: i64,
    /// Identity of the record that triggered it; 0 for none.
    pub(super) cause: u64,
    pub(super) up: bool,
    /// Signed, for display.
    pub(super) value: f64,
    pub(super) threshold: f64,
    pub(super) price: Option<f64>,
}

fn key(parts: &[&str], ts: i64, cause: u64) -> String {
    let mut hasher = Xxh3::new();
    for part in parts {
        hasher.update(part.as_bytes());
        hasher.update(&[0]);
    }
    hasher.update(&ts.to_le_bytes());
    hasher.update(&cause.to_le_bytes());
    format!("{:032x}", hasher.digest128())
}

const fn kind(condition: &Condition, up: bool) -> &'static str {
    match (condition, up) {
        (Condition::PercentMove { .. }, true) => "spike",
        (Condition::PercentMove { .. }, false) => "drop",
        (Condition::Level { .. } | Condition::Average { .. }, true) => "cross_up",
        (Condition::Level { .. } | Condition::Average { .. }, false) => "cross_down",
        (Condition::VolumeSurge { .. }, _) => "volume_surge",
        (Condition::VwapDeviation { .. }, true) => "above_vwap",
        (Condition::VwapDeviation { .. }, false) => "below_vwap",
        (Condition::Spread { .. }, _) => "spread",
        (Condition::NewExtreme { .. }, true) => "new_high",
        (Condition::NewExtreme { .. }, false) => "new_low",
        (Condition::Halt { .. }, true) => "resume",
        (Condition::Halt { .. }, false) => "halt",
        (Condition::Stall { .. }, _) => "stall",
        (Condition::OpenGap { .. }, true) => "gap_up",
        (Condition::OpenGap { .. }, false) => "gap_down",
        (Condition::PipelineLag { .. }, _) => "pipeline_lag",
        (Condition::Threshold { .. }, true) => "above",
        (Condition::Threshold { .. }, false) => "below",
        (Condition::RateOfChange { .. }, true) => "rise",
        (Condition::RateOfChange { .. }, false) => "fall",
        (Condition::Silence { .. }, _) => "silence",
    }
}

const fn unit(condition: &Condition) -> &'static str {
    match condition {
        Condition::PercentMove { .. } | Condition::VwapDeviation { .. } | Condition::OpenGap { .. } => "%",
        Condition::VolumeSurge { .. } => "x",
        Condition::Spread { .. } => "bp",
        Condition::Stall { .. } | Condition::Silence { .. } | Condition::PipelineLag { .. } => "s",
        _ => "",
    }
}

fn message(condition: &Condition, config: &RuleConfig, event: &Event<'_>) -> String {
    let Event { symbol, value, threshold, up, .. } = *event;
    let price = event.price.map_or_else(String::new, |price| format!(" to {price}"));
    let at = event.price.map_or_else(String::new, |price| format!(" at {price}"));
    let way = |rising: &'static str, falling: &'static str| if up { rising } else { falling };
    match condition {
        Condition::PercentMove { window, .. } => format!(
            "{symbol} {} {:.2} % within {}{price} (limit {threshold} %)",
            way("rose", "fell"),
            value.abs(),
            TimeSpan(*window)
        ),
        Condition::Level { .. } => {
            format!("{symbol} crossed {threshold} {}{at}", way("upwards", "downwards"))
        }
        Condition::Average { .. } => format!(
            "{symbol} crossed its {} of {threshold:.4} {}{at}",
            config.indicator.as_deref().unwrap_or("average"),
            way("upwards", "downwards")
        ),
        Condition::VolumeSurge { window, baseline, .. } => format!(
            "{symbol} traded {value:.1} times its usual volume in {} (mean of {} before, limit {threshold})",
            TimeSpan(*window),
            TimeSpan(*baseline)
        ),
        Condition::VwapDeviation { .. } => format!(
            "{symbol} is {:.2} % {} its VWAP{at} (limit {threshold} %)",
            value.abs(),
            way("above", "below")
        ),
        Condition::Spread { .. } => {
            format!("{symbol} has a spread of {value:.1} bp{at} (limit {threshold} bp)")
        }
        Condition::NewExtreme { days } => format!(
            "{symbol} made a new {} of {days} {}{at} (before: {threshold})",
            way("high", "low"),
            if *days == 1 { "day" } else { "days" }
        ),
        Condition::Halt { .. } => format!("{symbol} {}", way("resumed trading", "was halted")),
        Condition::Stall { window } => {
            format!("{symbol} has not traded for {} while the market is open", TimeSpan(*window))
        }
        Condition::OpenGap { .. } => format!(
            "{symbol} opened {:.2} % {} its last close{at} (limit {threshold} %)",
            value.abs(),
            way("above", "below")
        ),
        Condition::PipelineLag { .. } => {
            format!("{symbol} is {value:.1} s behind (limit {threshold} s)")
        }
        Condition::Threshold { .. } => {
            format!("{symbol} is {value}, {} {threshold}", way("at or above", "at or below"))
        }
        Condition::RateOfChange { window, .. } => format!(
            "{symbol} {} by {} within {}{price} (limit {threshold})",
            way("rose", "fell"),
            value.abs(),
            TimeSpan(*window)
        ),
        Condition::Silence { window } => format!("{symbol} has sent nothing for {}", TimeSpan(*window)),
    }
}

/// The alert of a rule.
#[cold]
pub(super) fn alert(rule: &Rule, event: &Event<'_>) -> Alert {
    let config = &rule.config;
    let kind = kind(&rule.condition, event.up);
    Alert {
        key: key(&[&config.name, kind, event.feed, event.symbol], event.ts, event.cause),
        rule: config.name.clone(),
        kind: kind.to_owned(),
        feed: event.feed.to_owned(),
        symbol: event.symbol.to_owned(),
        severity: config.severity,
        event_time: event.ts,
        value: event.value,
        threshold: event.threshold,
        unit: unit(&rule.condition).to_owned(),
        price: event.price,
        message: message(&rule.condition, config, event),
        quiet: config.quiet_hours.as_ref().is_some_and(|quiet| quiet.contains(UnixNanos(event.ts))),
        channels: config.channels.clone(),
        retracts: None,
    }
}

/// The retraction of an alert.
#[cold]
pub(super) fn retraction(alert: Alert, canceled: bool) -> Alert {
    let why = if canceled { "was canceled" } else { "was corrected" };
    Alert {
        key: key(&["retract", &alert.key], alert.event_time, 0),
        message: format!("retracted: {} (the trade {why})", alert.message),
        retracts: Some(alert.key.clone()),
        ..alert
    }
}
