//! Alerts: rules evaluated on trades, quotes, bars and readings in event time.
//!
//! | file | contents |
//! |---|---|
//! | `rule` | a rule as written in TOML |
//! | `span` | durations (`60s`), quiet hours, patterns of symbols |
//! | `condition` | a rule in the form in which it is evaluated |
//! | `validated` | a rule whose parameters are checked |
//! | `settings` | settings of an engine |
//! | `gate` | hysteresis, cooldown, once per bar |
//! | `prints` | recent prints of a series: price windows, volume windows, duplicates |
//! | `filter` | bad prints: conditions, quote band, unconfirmed outliers |
//! | `levels` | VWAP, moving averages, highs and lows of days |
//! | `series` | one symbol of one feed, and the evaluation of its rules |
//! | `retract` | alerts whose cause was canceled or corrected |
//! | `report` | the alert of a rule that fired, its key and its message |
//! | `engine` | all series of a stream; silence detection |
//! | `fold` | folding of storms: many symbols at once become one message |
//!
//! Evaluation is deterministic: the same records of a series in the same order fire the same alerts with the
//! same keys, at any speed and however series are interleaved. So a run loop may replay from an earlier
//! position and drop known keys. A record older than its series' latest cannot be the current price; it
//! counts towards volume and VWAP only, at the time of the latest.

mod condition;
mod engine;
mod filter;
mod fold;
mod gate;
mod levels;
mod prints;
mod report;
mod retract;
mod rule;
mod series;
mod settings;
mod span;
mod validated;

pub use engine::{Engine, EngineState};
pub use filter::FilterSettings;
pub use fold::{Fold, FoldSettings};
pub use rule::{Direction, HaltEvent, RuleConfig, RuleError, RuleKind, Session, Severity};
pub use settings::{EngineSettings, FeedSettings};
pub use span::{QuietHours, SymbolPattern, TimeSpan};
pub use validated::check_rule;

use crate::UnixNanos;
use serde::{Deserialize, Serialize};

/// An alert, or the retraction of one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Idempotency key: 32 hexadecimal digits that depend on rule, feed, symbol and cause alone.
    pub key: String,
    /// Name of the rule.
    pub rule: String,
    /// What happened: `spike`, `drop`, `cross_up`, `volume_surge`, ...
    pub kind: String,
    /// The feed; empty for pipeline lag.
    pub feed: String,
    /// The instrument, the series of readings or the pipeline stage. `*` in a folded alert.
    pub symbol: String,
    /// Its severity.
    pub severity: Severity,
    /// Event time of the cause, nanoseconds since 1970.
    pub event_time: i64,
    /// Measured value, in `unit`.
    pub value: f64,
    /// Value it was compared with, in `unit`.
    pub threshold: f64,
    /// `%`, `x`, `bp`, `s`, or empty for a price or a reading.
    pub unit: String,
    /// Price at the time; absent if the rule does not use prices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<f64>,
    /// One sentence for people.
    pub message: String,
    /// Fired within the rule's quiet hours: recorded, not sent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub quiet: bool,
    /// Channels it is sent to; all if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<String>,
    /// Key of the alert that this one retracts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retracts: Option<String>,
}

impl Alert {
    /// Event time.
    #[must_use]
    pub const fn ts(&self) -> UnixNanos {
        UnixNanos(self.event_time)
    }
}
