//! A rule's condition with its parameters checked.

use super::rule::{Direction, HaltEvent, RuleConfig, RuleKind};
use super::span::TimeSpan;
use crate::interval::MINUTE;
use serde::{Deserialize, Serialize};

/// A moving average of closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AverageSpec {
    /// Exponential; simple otherwise.
    pub(super) exponential: bool,
    /// Over how many closes.
    pub(super) n: usize,
    /// Length of a bar, nanoseconds.
    pub(super) interval: i64,
}

/// Parameters of each kind. Spans are nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Condition {
    PercentMove { window: i64, threshold: f64 },
    Level { level: f64 },
    Average { spec: AverageSpec },
    VolumeSurge { window: i64, baseline: i64, threshold: f64 },
    VwapDeviation { threshold: f64 },
    Spread { threshold: f64 },
    NewExtreme { days: usize },
    Halt { on: HaltEvent },
    Stall { window: i64 },
    OpenGap { threshold: f64 },
    PipelineLag { threshold: f64 },
    Threshold { threshold: f64 },
    RateOfChange { window: i64, threshold: f64 },
    Silence { window: i64 },
}

/// What a condition is evaluated on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    Market,
    Reading,
    Stage,
}

impl Condition {
    pub(super) fn new(config: &RuleConfig) -> Result<Self, String> {
        let kind = config.kind;
        let name = serde_json::to_value(kind).ok().and_then(|value| value.as_str().map(str::to_owned));
        let name = name.unwrap_or_default();
        let missing =
            |key: &str, example: &str| format!("{name} needs `{key}`, for example `{key} = {example}`");
        let number = |key: &str, value: Option<f64>, example: &str| {
            let value = value.ok_or_else(|| missing(key, example))?;
            if value.is_finite() {
                Ok(value)
            } else {
                Err(format!("`{key}`: expected a number, found {value}"))
            }
        };
        let positive = |example: &str| {
            let value = number("threshold", config.threshold, example)?;
            if value > 0.0 {
                Ok(value)
            } else {
                Err(format!("`threshold`: expected more than 0, found {value}"))
            }
        };
        let span = |key: &str, value: Option<TimeSpan>, example: &str| {
            value.map(|span| span.0).ok_or_else(|| missing(key, example))
        };
        let window = |example| span("window", config.window, example);
        let condition = match kind {
            RuleKind::PercentMove => {
                Self::PercentMove { window: window("\"60s\"")?, threshold: positive("1.5")? }
            }
            RuleKind::Cross => match (config.level, &config.indicator) {
                (Some(level), None) => Self::Level { level: number("level", Some(level), "170.0")? },
                (None, Some(text)) => Self::Average { spec: average(text, config.interval)? },
                _ => return Err("cross needs either `level` or `indicator`".to_owned()),
            },
            RuleKind::VolumeSurge => Self::VolumeSurge {
                window: window("\"60s\"")?,
                baseline: span("baseline", config.baseline, "\"30m\"")?,
                threshold: positive("5")?,
            },
            RuleKind::VwapDeviation => Self::VwapDeviation { threshold: positive("1")? },
            RuleKind::Spread => Self::Spread { threshold: positive("20")? },
            RuleKind::NewExtreme => match config.days.unwrap_or(0) {
                0 => return Err(missing("days", "20")),
                days => Self::NewExtreme { days: days as usize },
            },
            RuleKind::Halt => Self::Halt { on: config.on },
            RuleKind::Stall => Self::Stall { window: window("\"60s\"")? },
            RuleKind::OpenGap => Self::OpenGap { threshold: positive("2")? },
            RuleKind::PipelineLag => Self::PipelineLag { threshold: positive("5")? },
            RuleKind::Threshold => {
                Self::Threshold { threshold: number("threshold", config.threshold, "80")? }
            }
            RuleKind::RateOfChange => {
                Self::RateOfChange { window: window("\"60s\"")?, threshold: positive("5")? }
            }
            RuleKind::Silence => Self::Silence { window: window("\"5m\"")? },
        };
        if kind == RuleKind::Threshold && config.direction == Direction::Both {
            return Err("threshold needs `direction = \"up\"` or `\"down\"`".to_owned());
        }
        Ok(condition)
    }

    pub(super) const fn subject(&self) -> Subject {
        match self {
            Self::PipelineLag { .. } => Subject::Stage,
            Self::Threshold { .. } | Self::RateOfChange { .. } | Self::Silence { .. } => Subject::Reading,
            _ => Subject::Market,
        }
    }

    /// Whether rising and falling are distinct for this kind.
    pub(super) const fn has_sides(&self) -> bool {
        matches!(
            self,
            Self::PercentMove { .. }
                | Self::Level { .. }
                | Self::Average { .. }
                | Self::VwapDeviation { .. }
                | Self::NewExtreme { .. }
                | Self::OpenGap { .. }
                | Self::Threshold { .. }
                | Self::RateOfChange { .. }
        )
    }

    /// Number of sessions before today that it needs.
    pub(super) const fn days(&self) -> usize {
        match self {
            Self::NewExtreme { days } => *days,
            Self::OpenGap { .. } => 1,
            _ => 0,
        }
    }

    /// Length of the history it needs, nanoseconds.
    pub(super) const fn horizon(&self) -> i64 {
        match self {
            Self::PercentMove { window, .. } | Self::RateOfChange { window, .. } => *window,
            Self::VolumeSurge { window, baseline, .. } => window.saturating_add(*baseline),
            _ => 0,
        }
    }
}

fn average(text: &str, interval: Option<TimeSpan>) -> Result<AverageSpec, String> {
    let (word, n) = text.split_once(':').unwrap_or((text, "20"));
    let exponential = match word.trim() {
        "sma" => false,
        "ema" => true,
        _ => return Err(format!("`indicator`: expected sma:20 or ema:20, found `{text}`")),
    };
    let n = n.trim().parse().ok().filter(|n| (1..=1_000).contains(n));
    let n = n.ok_or_else(|| format!("`indicator`: expected 1 to 1000 bars, found `{text}`"))?;
    Ok(AverageSpec { exponential, n, interval: interval.map_or(MINUTE, |span| span.0) })
}
