//! Alert rules as written in TOML.

use super::span::{QuietHours, TimeSpan};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Kind of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleKind {
    /// The price moved by `threshold` percent within `window`, from the lowest or highest price in it.
    PercentMove,
    /// The price crosses `level`, or the moving average `indicator` (`sma:20`, `ema:50`) of `interval` closes.
    Cross,
    /// The volume of `window` is `threshold` times the mean of `baseline` before it.
    VolumeSurge,
    /// The price is `threshold` percent from the session's VWAP.
    VwapDeviation,
    /// The bid-ask spread is at least `threshold` basis points of the mid price.
    Spread,
    /// A price above (below) all of the `days` sessions before; once a session.
    NewExtreme,
    /// Trading was halted or resumed.
    Halt,
    /// No trade for `window` while the market is open and the symbol is not halted.
    Stall,
    /// The regular session opens `threshold` percent from the last regular close.
    OpenGap,
    /// A stage of the pipeline is `threshold` seconds behind.
    PipelineLag,
    /// A reading is at or above (below) `threshold`.
    Threshold,
    /// A reading rose (fell) by `threshold` within `window`.
    RateOfChange,
    /// No reading for `window`.
    Silence,
}

/// Direction of a movement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Rising, above.
    Up,
    /// Falling, below.
    Down,
    /// Either direction.
    #[default]
    Both,
}

/// Severity of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Look at it.
    #[default]
    Warning,
    /// Act now.
    Critical,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        })
    }
}

/// Part of the session in which a rule is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Session {
    /// At any time.
    #[default]
    Any,
    /// In the regular session.
    Regular,
    /// Before and after it.
    Extended,
}

impl Session {
    #[inline]
    pub(super) const fn takes(self, regular: bool) -> bool {
        match self {
            Self::Any => true,
            Self::Regular => regular,
            Self::Extended => !regular,
        }
    }
}

/// Which changes a halt rule reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HaltEvent {
    /// Halts.
    Halt,
    /// Resumptions.
    Resume,
    /// Both.
    #[default]
    Both,
}

/// A rule: one `[[alert.rules]]` of the configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    /// Its name, unique.
    pub name: String,
    /// Kind of the rule.
    pub kind: RuleKind,
    /// Symbols and patterns (`SPY`, `*/USD`, `!TEST*`); all if empty.
    #[serde(default)]
    pub symbols: Vec<String>,
    /// Severity of its alerts.
    #[serde(default)]
    pub severity: Severity,
    /// Direction.
    #[serde(default)]
    pub direction: Direction,
    /// The limit, in the unit of the kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// Length of time evaluated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<TimeSpan>,
    /// Volume surge: the time before the window used as reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<TimeSpan>,
    /// Cross: a price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<f64>,
    /// Cross: a moving average.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub indicator: Option<String>,
    /// Cross: interval of the bars whose closes are averaged; `1m` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<TimeSpan>,
    /// New extreme: number of sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<u32>,
    /// Halt: which changes to report.
    #[serde(default)]
    pub on: HaltEvent,
    /// Part of the session.
    #[serde(default)]
    pub session: Session,
    /// How far the value must return before the rule fires again, in the unit of the threshold.
    #[serde(default)]
    pub hysteresis: f64,
    /// Time after an alert during which the rule does not fire again for the symbol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooldown: Option<TimeSpan>,
    /// Fires at most one alert per bar of this length (whole multiples since 1970 UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub once_per: Option<TimeSpan>,
    /// When alerts are recorded but not sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet_hours: Option<QuietHours>,
    /// Names of the channels it is sent to; all if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<String>,
    /// Whether the rule is disabled.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
}

impl RuleConfig {
    /// Its parameters as one line, for people.
    #[must_use]
    pub fn summary(&self) -> String {
        let number = |name: &str, value: Option<f64>| value.map(|value| format!("{name} {value}"));
        let span = |name: &str, value: Option<TimeSpan>| value.map(|value| format!("{name} {value}"));
        let direction = match self.direction {
            Direction::Up => Some("up".to_owned()),
            Direction::Down => Some("down".to_owned()),
            Direction::Both => None,
        };
        let session = match self.session {
            Session::Any => None,
            Session::Regular => Some("regular session".to_owned()),
            Session::Extended => Some("extended hours".to_owned()),
        };
        let parts = [
            direction,
            number("threshold", self.threshold),
            number("level", self.level),
            self.indicator.clone(),
            span("interval", self.interval),
            span("window", self.window),
            span("baseline", self.baseline),
            self.days.map(|days| format!("days {days}")),
            session,
            number("hysteresis", Some(self.hysteresis).filter(|value| *value > 0.0)),
            span("cooldown", self.cooldown),
            span("once per", self.once_per),
            self.quiet_hours.clone().map(|hours| format!("quiet {}", String::from(hours))),
            self.disabled.then(|| "disabled".to_owned()),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// A rule that cannot be evaluated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("alert rule `{rule}`: {problem}")]
pub struct RuleError {
    /// Name of the rule.
    pub rule: String,
    /// The problem, and what to write instead.
    pub problem: String,
}
