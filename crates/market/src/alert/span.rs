//! Durations, quiet hours and symbol patterns, as written in rules.

use crate::UnixNanos;
use crate::interval::{MINUTE, SECOND};
use crate::time::{DAY, HOUR, MILLI};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A duration in whole nanoseconds, written as a number and a unit: `500ms`, `60s`, `5m`, `2h`, `1d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeSpan(pub i64);

const UNITS: [(&str, i64); 5] = [("ms", MILLI), ("s", SECOND), ("m", MINUTE), ("h", HOUR), ("d", DAY)];

impl FromStr for TimeSpan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let nanos = UNITS
            .iter()
            .find(|(name, _)| *name == unit.trim())
            .and_then(|(_, nanos)| number.parse::<i64>().ok()?.checked_mul(*nanos))
            .filter(|nanos| *nanos > 0);
        nanos
            .map(Self)
            .ok_or_else(|| format!("expected a duration such as 500ms, 60s, 5m, 2h or 1d, found `{text}`"))
    }
}

impl TryFrom<String> for TimeSpan {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, nanos) = UNITS.iter().rev().find(|(_, nanos)| self.0 % nanos == 0).unwrap_or(&UNITS[0]);
        write!(f, "{}{name}", self.0 / nanos)
    }
}

impl From<TimeSpan> for String {
    fn from(span: TimeSpan) -> Self {
        span.to_string()
    }
}

/// Time of day in which alerts are recorded but not sent: `22:00-07:00 Europe/Berlin`, or in UTC without a zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct QuietHours {
    /// Minutes after local midnight, inclusive.
    from: u16,
    /// Minutes after local midnight, exclusive; before `from` if it spans midnight.
    to: u16,
    zone: String,
}

impl QuietHours {
    /// Whether a time is within the quiet hours.
    #[must_use]
    pub fn contains(&self, ts: UnixNanos) -> bool {
        let clock = ts.local("%H:%M", &self.zone);
        let Some(now) = minutes(&clock) else { return false };
        if self.from <= self.to {
            self.from <= now && now < self.to
        } else {
            now >= self.from || now < self.to
        }
    }
}

fn minutes(text: &str) -> Option<u16> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let (hours, minutes) = (hours.parse::<u16>().ok()?, minutes.parse::<u16>().ok()?);
    (hours < 24 && minutes < 60).then(|| hours * 60 + minutes)
}

impl FromStr for QuietHours {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (hours, zone) = text.trim().split_once(' ').unwrap_or((text.trim(), "UTC"));
        let zone = zone.trim();
        if jiff::tz::TimeZone::get(zone).is_err() {
            return Err(format!("quiet hours `{text}`: unknown time zone `{zone}`"));
        }
        hours
            .split_once('-')
            .and_then(|(from, to)| Some((minutes(from)?, minutes(to)?)))
            .filter(|(from, to)| from != to)
            .map(|(from, to)| Self { from, to, zone: zone.to_owned() })
            .ok_or_else(|| {
                format!("expected quiet hours such as `22:00-07:00 Europe/Berlin`, found `{text}`")
            })
    }
}

impl TryFrom<String> for QuietHours {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<QuietHours> for String {
    fn from(quiet: QuietHours) -> Self {
        let QuietHours { from, to, zone } = quiet;
        format!("{:02}:{:02}-{:02}:{:02} {zone}", from / 60, from % 60, to / 60, to % 60)
    }
}

/// A symbol, or a pattern in which `*` matches any text: `SPY`, `*/USD`, `*`. A leading `!` excludes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SymbolPattern {
    text: String,
    excludes: bool,
}

impl SymbolPattern {
    /// Parses a pattern.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let text = text.trim();
        match text.strip_prefix('!') {
            Some(rest) => Self { text: rest.trim().to_owned(), excludes: true },
            None => Self { text: text.to_owned(), excludes: false },
        }
    }

    fn matches(&self, symbol: &str) -> bool {
        let mut parts = self.text.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = symbol.strip_prefix(first) else { return false };
        let mut parts = parts.peekable();
        if parts.peek().is_none() {
            return rest.is_empty();
        }
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return rest.ends_with(part);
            }
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        true
    }

    /// Whether a list of patterns matches a symbol: one includes it and none excludes it. A list of only
    /// exclusions matches all other symbols.
    #[must_use]
    pub fn any(patterns: &[Self], symbol: &str) -> bool {
        let mut included = patterns.iter().all(|pattern| pattern.excludes);
        for pattern in patterns.iter().filter(|pattern| pattern.matches(symbol)) {
            if pattern.excludes {
                return false;
            }
            included = true;
        }
        included
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, nanos, shown) in [
            ("500ms", 500 * MILLI, "500ms"),
            ("60s", 60 * SECOND, "1m"),
            ("90 s", 90 * SECOND, "90s"),
            ("1d", DAY, "1d"),
        ] {
            assert_eq!(text.parse::<TimeSpan>(), Ok(TimeSpan(nanos)));
            assert_eq!(TimeSpan(nanos).to_string(), shown);
        }
        for bad in ["", "s", "60", "-1s", "0s", "1w", "1.5s", "9999999999999d"] {
            assert!(bad.parse::<TimeSpan>().unwrap_err().contains("expected a duration"), "{bad}");
        }
    }

    #[test]
    fn quiet_hours_across_midnight_and_the_change_of_clocks() {
        let at = |text| UnixNanos::parse(text).unwrap();
        let quiet: QuietHours = "22:00-07:00 Europe/Berlin".parse().unwrap();
        for (time, expected) in [
            ("2013-10-08T19:59:59Z", false),
            ("2013-10-08T20:00:00Z", true),
            ("2013-10-08T04:59:59Z", true),
            ("2013-10-08T05:00:00Z", false),
            ("2013-12-08T05:30:00Z", true),
            ("2013-12-08T06:00:00Z", false),
        ] {
            assert_eq!(quiet.contains(at(time)), expected, "{time}");
        }
        assert!("12:00-13:00".parse::<QuietHours>().unwrap().contains(at("2013-10-08T12:30:00Z")));
        assert_eq!(String::from(quiet.clone()).parse(), Ok(quiet));
        for bad in ["", "22-7", "24:00-07:00", "2013:00-07:00", "07:00-07:00", "22:00-07:00 Mars/Base"] {
            assert!(bad.parse::<QuietHours>().is_err(), "{bad}");
        }
    }

    #[test]
    fn patterns() {
        for (patterns, symbol, expected) in [
            (&["*"][..], "SPY", true),
            (&["SPY"], "SPY", true),
            (&["SPY"], "SPYX", false),
            (&["SP*"], "SPYX", true),
            (&["*/USD"], "BTC/USD", true),
            (&["*/USD"], "BTC/USDT", false),
            (&["B*/*D"], "BTC/USD", true),
            (&["a*a"], "a", false),
            (&["IBM", "SPY"], "SPY", true),
            (&["*", "!SPY"], "SPY", false),
            (&["!SPY"], "IBM", true),
            (&[], "IBM", true),
            (&[""], "IBM", false),
        ] {
            let patterns: Vec<_> = patterns.iter().map(|text| SymbolPattern::new(text)).collect();
            assert_eq!(SymbolPattern::any(&patterns, symbol), expected, "{patterns:?} {symbol}");
        }
    }
}
