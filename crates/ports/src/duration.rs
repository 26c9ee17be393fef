//! Durations of settings, written as a number and a unit: `0s`, `500ms`, `60s`, `5m`, `2h`, `1d`.
//!
//! For `#[serde(with = "ports::duration")]`.

use market::alert::TimeSpan;
use serde::{Deserialize, Deserializer};
use std::time::Duration;

/// Parses a duration, which may be zero: of any unit, as `0s`.
///
/// # Errors
/// Not a whole number with one of the units ms, s, m, h and d, or more than 292 years.
pub fn parse(text: &str) -> Result<Duration, String> {
    let zero = text.strip_prefix('0').is_some_and(|unit| matches!(unit, "ms" | "s" | "m" | "h" | "d"));
    if zero {
        return Ok(Duration::ZERO);
    }
    let span: TimeSpan = text.parse()?;
    Ok(Duration::from_nanos(span.0.unsigned_abs()))
}

/// Deserialises a duration.
///
/// # Errors
/// As for [`parse`].
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::parse;
    use std::time::Duration;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(parse("0s").unwrap(), Duration::ZERO);
        assert_eq!(parse("250ms").unwrap(), Duration::from_millis(250));
        assert_eq!(parse("15m").unwrap(), Duration::from_secs(900));
        for text in ["", "0", "5", "s", "-1s", "1.5s", "5 weeks", "999999999d"] {
            assert!(parse(text).unwrap_err().contains("expected a duration such as 500ms"), "{text}");
        }
    }
}
