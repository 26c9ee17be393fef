//! Settings of an engine.

use super::filter::FilterSettings;
use super::span::TimeSpan;
use crate::adjust::Factors;
use crate::calendar::Calendar;
use crate::interval::MINUTE;
use crate::policy::Policy;
use rustc_hash::FxHashMap;

/// How the records of some feeds are interpreted.
#[derive(Debug, Clone)]
pub struct FeedSettings {
    /// Feed-name prefix; empty for all others.
    pub prefix: String,
    /// Condition policy.
    pub policy: Policy,
    /// Exchange calendar.
    pub calendar: Calendar,
}

/// Settings of an engine.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// By feed name, the first that matches; the last is for all others. At least one.
    pub feeds: Vec<FeedSettings>,
    /// Implausible prices.
    pub filter: FilterSettings,
    /// How long after an alert a cancel or correction retracts it, in event time.
    pub retract_within: TimeSpan,
    /// Splits by symbol: earlier prices are scaled when the day changes, so that a split triggers no alert.
    pub splits: FxHashMap<String, Factors>,
}

impl EngineSettings {
    /// One policy and calendar for all feeds.
    #[must_use]
    pub fn new(policy: Policy, calendar: Calendar) -> Self {
        Self {
            feeds: vec![FeedSettings { prefix: String::new(), policy, calendar }],
            filter: FilterSettings::default(),
            retract_within: TimeSpan(15 * MINUTE),
            splits: FxHashMap::default(),
        }
    }
}
