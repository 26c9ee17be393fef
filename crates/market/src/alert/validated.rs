//! A rule whose parameters are checked.

use super::condition::Condition;
use super::gate::Pace;
use super::rule::{RuleConfig, RuleError, Severity};
use super::span::{SymbolPattern, TimeSpan};

/// Checks that a rule can be evaluated.
///
/// # Errors
/// The problem, and what to write instead.
pub fn check_rule(config: &RuleConfig) -> Result<(), RuleError> {
    Rule::new(config).map(drop)
}

/// A validated rule.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) config: RuleConfig,
    pub(super) condition: Condition,
    pub(super) pace: Pace,
    pub(super) patterns: Vec<SymbolPattern>,
    /// Changes with anything that affects when it fires: state with another fingerprint is not restored.
    pub(super) fingerprint: u64,
}

impl Rule {
    /// Validates a rule.
    pub(super) fn new(config: &RuleConfig) -> Result<Self, RuleError> {
        let fail = |problem: String| RuleError { rule: config.name.clone(), problem };
        if config.name.trim().is_empty() || config.name.chars().any(char::is_control) {
            return Err(fail("expected a name without control characters".to_owned()));
        }
        if !config.hysteresis.is_finite() || config.hysteresis < 0.0 {
            return Err(fail(format!("`hysteresis`: expected 0 or more, found {}", config.hysteresis)));
        }
        let condition = Condition::new(config).map_err(fail)?;
        let once = |span: Option<TimeSpan>| span.map_or(0, |span| span.0);
        let pace = Pace {
            cooldown: once(config.cooldown),
            once_per: once(config.once_per),
            crossing: matches!(condition, Condition::Level { .. } | Condition::Average { .. }),
        };
        let deciding = RuleConfig {
            severity: Severity::Info,
            symbols: Vec::new(),
            channels: Vec::new(),
            quiet_hours: None,
            ..config.clone()
        };
        let text = serde_json::to_string(&deciding).unwrap_or_default();
        Ok(Self {
            condition,
            pace,
            patterns: config.symbols.iter().map(|text| SymbolPattern::new(text)).collect(),
            fingerprint: xxhash_rust::xxh3::xxh3_64(text.as_bytes()),
            config: config.clone(),
        })
    }

    pub(super) fn takes(&self, symbol: &str) -> bool {
        !self.config.disabled && SymbolPattern::any(&self.patterns, symbol)
    }
}
