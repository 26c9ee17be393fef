//! The alert log: alerts that fired, who acknowledged them, silences, and rules that were added on the dashboard.

use crate::{Error, Result};
use market::UnixNanos;
use market::alert::{Alert, RuleConfig, check_rule};
use serde::Serialize;
use std::ops::Range;

/// Maximum length of a name in characters.
const NAME: usize = 64;
/// Maximum length of a note or a reason in characters.
const NOTE: usize = 500;

/// Who has seen an alert, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Acknowledgement {
    /// Name as stated by the person; not proven.
    pub by: String,
    /// Wall-clock time, Unix milliseconds.
    pub at_ms: i64,
    /// Note; may be empty.
    pub note: String,
}

impl Acknowledgement {
    /// Checks name and note.
    ///
    /// # Errors
    /// The name is empty, one of them is too long, or holds control characters.
    pub fn new(by: &str, at_ms: i64, note: &str) -> Result<Self> {
        Ok(Self { by: line("by", by, 1, NAME)?, at_ms, note: line("note", note, 0, NOTE)? })
    }
}

/// An alert and its acknowledgement.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LoggedAlert {
    /// The alert.
    #[serde(flatten)]
    pub alert: Alert,
    /// The first acknowledgement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Acknowledgement>,
}

/// Which alerts to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertQuery {
    /// Range of event time.
    pub range: Range<UnixNanos>,
    /// Only alerts of this rule.
    pub rule: Option<String>,
    /// Only alerts of this symbol.
    pub symbol: Option<String>,
    /// Maximum number of alerts.
    pub limit: usize,
}

impl AlertQuery {
    /// All alerts of a range.
    #[must_use]
    pub fn of(range: Range<UnixNanos>) -> Self {
        Self { range, rule: None, symbol: None, limit: usize::MAX }
    }
}

/// A period in which alerts are recorded and not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silence {
    /// Name of a rule, or `*`.
    pub rule: String,
    /// A symbol, or `*`.
    pub symbol: String,
    /// End, Unix milliseconds.
    pub until_ms: i64,
    /// Reason; may be empty.
    pub reason: String,
    /// Name of its author, as stated; may be empty.
    pub by: String,
}

impl Silence {
    /// Checks all texts.
    ///
    /// # Errors
    /// A text is too long or holds control characters, or rule or symbol is empty.
    pub fn new(rule: &str, symbol: &str, until_ms: i64, reason: &str, by: &str) -> Result<Self> {
        Ok(Self {
            rule: line("rule", rule, 1, NOTE)?,
            symbol: line("symbol", symbol, 1, NOTE)?,
            until_ms,
            reason: line("reason", reason, 0, NOTE)?,
            by: line("by", by, 0, NAME)?,
        })
    }

    /// Whether it covers alerts of a rule for a symbol.
    #[must_use]
    pub fn covers(&self, rule: &str, symbol: &str) -> bool {
        let matches = |pattern: &str, text: &str| pattern == "*" || pattern == text;
        matches(&self.rule, rule) && matches(&self.symbol, symbol)
    }
}

/// A rule that was added on the dashboard.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SavedRule {
    /// The rule.
    #[serde(flatten)]
    pub rule: RuleConfig,
    /// Name of its author, as stated.
    pub by: String,
    /// When it was added or replaced, Unix milliseconds.
    pub at_ms: i64,
}

impl SavedRule {
    /// Checks rule and name.
    ///
    /// # Errors
    /// The rule cannot be evaluated, or a text is too long or holds control characters.
    pub fn new(rule: RuleConfig, by: &str, at_ms: i64) -> Result<Self> {
        check_rule(&rule).map_err(|error| Error::user(error.to_string()))?;
        line("name", &rule.name, 1, NAME)?;
        for symbol in &rule.symbols {
            line("symbols", symbol, 1, NAME)?;
        }
        Ok(Self { rule, by: line("by", by, 1, NAME)?, at_ms })
    }
}

/// Reads and changes the alert log. Each change is durable when the method returns.
pub trait AlertLog: Send + Sync {
    /// Alerts, newest first.
    ///
    /// # Errors
    /// An error of the storage.
    fn alerts(&self, query: &AlertQuery) -> Result<Vec<LoggedAlert>>;

    /// Acknowledges alerts by their full keys; one that is already acknowledged keeps its first acknowledgement.
    /// Acknowledges none and returns the unknown keys if there are any.
    ///
    /// # Errors
    /// An error of the storage.
    fn acknowledge(&self, keys: &[String], acknowledgement: &Acknowledgement) -> Result<Vec<String>>;

    /// Silences that have not ended, by number.
    ///
    /// # Errors
    /// An error of the storage.
    fn silences(&self, now_ms: i64) -> Result<Vec<(i64, Silence)>>;

    /// Adds a silence and returns its number.
    ///
    /// # Errors
    /// An error of the storage.
    fn silence(&self, silence: &Silence) -> Result<i64>;

    /// Ends a silence; returns whether it existed.
    ///
    /// # Errors
    /// An error of the storage.
    fn end_silence(&self, id: i64) -> Result<bool>;

    /// The rules that were added, by name.
    ///
    /// # Errors
    /// An error of the storage.
    fn rules(&self) -> Result<Vec<SavedRule>>;

    /// Adds a rule, or replaces the one of its name.
    ///
    /// # Errors
    /// An error of the storage.
    fn save_rule(&self, rule: &SavedRule) -> Result<()>;

    /// Removes a rule; returns whether it existed.
    ///
    /// # Errors
    /// An error of the storage.
    fn remove_rule(&self, name: &str) -> Result<bool>;
}

/// A text of one line.
fn line(name: &str, text: &str, least: usize, most: usize) -> Result<String> {
    let (text, count) = (text.trim(), text.trim().chars().count());
    if count < least || count > most {
        return Err(Error::user(format!("{name}: expected {least} to {most} characters, found {count}")));
    }
    if let Some(at) = text.chars().position(char::is_control) {
        return Err(Error::user(format!(
            "{name}: expected one line, found a control character (at {})",
            at + 1
        )));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_one_line_and_of_limited_length() {
        assert_eq!(Acknowledgement::new(" ann ", 1, "").map(|ack| ack.by).ok(), Some("ann".to_owned()));
        for (by, note) in [("", ""), ("a\nb", ""), (&*"x".repeat(65), ""), ("ann", &*"x".repeat(501))] {
            assert!(Acknowledgement::new(by, 1, note).is_err(), "{by} {note}");
        }
        let silence = Silence::new("r", "*", 1, "", "").ok();
        assert!(silence.is_some_and(|silence| silence.covers("r", "any") && !silence.covers("q", "any")));
    }
}
