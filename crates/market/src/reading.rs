//! Readings of sensors and of any other time series: a [`Reading`], its [`ReadingValue`].
//!
//! A value keeps its type and its canonical text, so that nothing is rounded: `21.50` and `21.5` are the same decimal,
//! and the float `0.1` is not the decimal `0.1`. Canonical texts:
//!
//! | type | canonical text |
//! |---|---|
//! | decimal | as [`crate::fixed`] writes it: `21.5`, at most 18 decimals, below 1e20 |
//! | float | the shortest text that reads back as the same 64-bit float: `0.1`, `1e300`; finite |
//! | integer | `-9223372036854775808` to `18446744073709551615` (signed or unsigned, 64 bits) |
//! | boolean | `true`, `false` |
//! | text | itself, without quotation marks, backslashes and control characters |

use crate::fixed;
use crate::time::UnixNanos;
use std::io::Write;

/// Bytes that the texts of a reading may have together: Kafka's default limit is 1,000,000 bytes for a message.
pub const LONGEST: usize = 900_000;

/// A reading: identified by (feed, series, event time, number).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reading<S> {
    /// What was measured where: the name that makes it one series, as `boiler-7.temperature`.
    pub series: S,
    /// The feed it was received from.
    pub feed: S,
    /// The device's own sequence number; else minted from the content ([`minted_seq`]).
    pub seq: i64,
    /// Event time: the device's.
    pub ts: UnixNanos,
    /// Receive time: ours.
    pub recv_ts: UnixNanos,
    /// What was read.
    pub value: ReadingValue<S>,
    /// The unit as sent: `°C`; empty if unknown.
    pub unit: S,
    /// The quality as sent: `good`, `192`; empty if unknown.
    pub quality: S,
    /// Names and values: a canonical JSON object of strings, names in byte order; empty if there are none.
    pub tags: S,
}

/// A typed value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReadingValue<S> {
    /// Its type.
    pub class: ValueType,
    /// Its canonical text.
    pub text: S,
}

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ValueType {
    /// An exact decimal.
    Decimal,
    /// A 64-bit float.
    Float,
    /// A whole number.
    Integer,
    /// True or false.
    Boolean,
    /// Text.
    Text,
}

impl ReadingValue<&str> {
    /// The value as a raw decimal of [`crate::fixed`]: true is 1, false is 0. `None` for text, and for a float that has
    /// more than 18 decimals or is 1e20 or larger.
    #[must_use]
    pub fn decimal(&self) -> Option<i128> {
        match self.class {
            ValueType::Text => None,
            ValueType::Boolean => Some(if self.text == "true" { fixed::ONE } else { 0 }),
            ValueType::Decimal | ValueType::Integer | ValueType::Float => {
                fixed::parse_number(self.text.as_bytes()).ok()
            }
        }
    }
}

impl ReadingValue<&str> {
    /// The value as the nearest float: true is 1, false is 0. `None` for text.
    #[must_use]
    pub fn to_f64(&self) -> Option<f64> {
        match self.class {
            ValueType::Text => None,
            ValueType::Boolean => Some(f64::from(u8::from(self.text == "true"))),
            ValueType::Decimal | ValueType::Integer | ValueType::Float => self.text.parse().ok(),
        }
    }
}

impl ValueType {
    /// Every type.
    pub const ALL: [Self; 5] = [Self::Decimal, Self::Float, Self::Integer, Self::Boolean, Self::Text];

    /// `decimal`, `float`, `integer`, `boolean`, `text`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Decimal => "decimal",
            Self::Float => "float",
            Self::Integer => "integer",
            Self::Boolean => "boolean",
            Self::Text => "text",
        }
    }

    /// The inverse of [`ValueType::name`].
    #[must_use]
    #[inline]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }

    /// Whether a text is the canonical one of a value of this type. Allocates nothing.
    #[must_use]
    pub fn is_canonical(self, text: &str) -> bool {
        match self {
            Self::Decimal => {
                let magnitude = text.strip_prefix('-').unwrap_or(text);
                let (whole, part) =
                    magnitude.split_once('.').map_or((magnitude, None), |(a, b)| (a, Some(b)));
                let part_fits = part.is_none_or(|part| !part.is_empty() && !part.ends_with('0'));
                let whole_fits = whole == "0" || (!whole.is_empty() && !whole.starts_with('0'));
                part_fits && whole_fits && text != "-0" && fixed::parse(text.as_bytes()).is_ok()
            }
            Self::Float => {
                let Some(float) = parse_float(text) else { return false };
                let mut buffer = [0_u8; 64];
                let mut rest = &mut buffer[..];
                let written = write!(rest, "{float:?}").map(|()| rest.len());
                written.is_ok_and(|left| &buffer[..64 - left] == text.as_bytes())
            }
            Self::Integer => {
                let digits = text.strip_prefix('-').unwrap_or(text);
                parse_integer(text).is_some()
                    && !digits.starts_with('+')
                    && (!digits.starts_with('0') || text == "0")
            }
            Self::Boolean => matches!(text, "true" | "false"),
            Self::Text => is_plain(text),
        }
    }

    /// The canonical text of a value written some other way: `+1`, `01`, `1E3`, `21.50`, `TRUE`.
    ///
    /// # Errors
    /// The text is not a value of this type: the error says why.
    pub fn canonical(self, text: &str) -> Result<String, ValueError> {
        let bad = |reason: &str| ValueError { text: shortened(text), class: self, reason: reason.to_owned() };
        match self {
            Self::Decimal => {
                let raw = fixed::parse_number(text.as_bytes()).map_err(|error| bad(&error.to_string()))?;
                let mut out = Vec::new();
                fixed::write(raw, &mut out);
                Ok(String::from_utf8_lossy(&out).into_owned())
            }
            Self::Float => {
                let float = parse_float(text).ok_or_else(|| bad("expected a finite 64-bit float"))?;
                Ok(format!("{float:?}"))
            }
            Self::Integer => {
                let integer = parse_integer(text).ok_or_else(|| bad("expected a whole number of 64 bits"))?;
                Ok(integer.to_string())
            }
            Self::Boolean => match text {
                "true" | "True" | "TRUE" | "t" | "T" => Ok("true".to_owned()),
                "false" | "False" | "FALSE" | "f" | "F" => Ok("false".to_owned()),
                _ => Err(bad("expected true or false")),
            },
            Self::Text if is_plain(text) => Ok(text.to_owned()),
            Self::Text => Err(bad("quotation marks, backslashes and control characters are not supported")),
        }
    }

    /// The type that a bare text looks like: an integer, a decimal, a boolean, else text. Never a float: what is written as
    /// digits is kept exactly.
    #[must_use]
    pub fn guess(text: &str) -> Self {
        if parse_integer(text).is_some() {
            Self::Integer
        } else if fixed::parse_number(text.as_bytes()).is_ok() {
            Self::Decimal
        } else if parse_float(text).is_some() {
            // Beyond what an exact decimal holds, as 1e300.
            Self::Float
        } else if matches!(text, "true" | "false" | "True" | "False" | "TRUE" | "FALSE") {
            Self::Boolean
        } else {
            Self::Text
        }
    }
}

/// Why a text is not a value of a type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("value `{text}` is not of type {}: {reason}", .class.name())]
pub struct ValueError {
    text: String,
    class: ValueType,
    reason: String,
}

/// The beginning of a text that may be long.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(64) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Digits with sign, point and exponent; no `inf`, no `nan`.
fn parse_float(text: &str) -> Option<f64> {
    let numeric = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E');
    text.bytes().all(numeric).then(|| text.parse().ok())?.filter(|float: &f64| float.is_finite())
}

/// Of 64 bits, signed or unsigned.
fn parse_integer(text: &str) -> Option<i128> {
    text.parse().ok().filter(|value| (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(value))
}

/// Whether a text contains no quotation marks, backslashes or control characters.
#[must_use]
pub fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\')
}

/// The canonical object of tags; empty for none. Of a name that comes twice the last value counts, as in JSON.
///
/// # Errors
/// A name or value holds a quotation mark, a backslash or a control character, or a name is empty.
pub fn tags<'t>(pairs: impl IntoIterator<Item = (&'t str, &'t str)>) -> Result<String, String> {
    let pairs: std::collections::BTreeMap<&str, &str> = pairs.into_iter().collect();
    if pairs.is_empty() {
        return Ok(String::new());
    }
    let mut out = String::new();
    for (name, value) in pairs {
        if name.is_empty() {
            return Err("a tag has an empty name".to_owned());
        }
        if !is_plain(name) || !is_plain(value) {
            return Err(format!(
                "tag {name:?}={value:?}: quotation marks, backslashes and control characters are not supported"
            ));
        }
        out.push_str(if out.is_empty() { "{\"" } else { ",\"" });
        for part in [name, "\":\"", value, "\""] {
            out.push_str(part);
        }
    }
    out.push('}');
    Ok(out)
}

/// The names and values of canonical tags, in their order.
pub fn each_tag(tags: &str) -> impl Iterator<Item = (&str, &str)> {
    // Names and values hold no quotation marks, so every second piece between two is one of them.
    let mut pieces = tags.split('"').skip(1).step_by(2);
    std::iter::from_fn(move || Some((pieces.next()?, pieces.next()?)))
}

/// The number of a reading whose device sends none: a hash of its value, unit, quality and tags, not negative. Two events
/// of one series and time stay two where they differ in any of these; the same reading delivered twice stays one.
#[must_use]
pub fn minted_seq<S: AsRef<str>>(reading: &Reading<S>) -> i64 {
    let mut hash = reading.value.class as u64;
    for text in [&reading.value.text, &reading.unit, &reading.quality, &reading.tags] {
        hash = xxhash_rust::xxh3::xxh3_64_with_seed(text.as_ref().as_bytes(), hash);
    }
    (hash >> 1) as i64
}

impl<S> Reading<S> {
    /// The same reading holding its text another way.
    pub fn map<T>(self, mut f: impl FnMut(S) -> T) -> Reading<T> {
        Reading {
            series: f(self.series),
            feed: f(self.feed),
            seq: self.seq,
            ts: self.ts,
            recv_ts: self.recv_ts,
            value: ReadingValue { class: self.value.class, text: f(self.value.text) },
            unit: f(self.unit),
            quality: f(self.quality),
            tags: f(self.tags),
        }
    }
}

impl<S: AsRef<str>> Reading<S> {
    /// Checks that the reading fits into a message.
    ///
    /// # Errors
    /// It is longer than [`LONGEST`].
    pub fn check_length(&self) -> Result<(), String> {
        let texts = [&self.series, &self.feed, &self.value.text, &self.unit, &self.quality, &self.tags];
        let bytes: usize = texts.into_iter().map(|text| text.as_ref().len()).sum();
        if bytes > LONGEST {
            return Err(format!("a reading of {bytes} bytes, expected at most {LONGEST}"));
        }
        Ok(())
    }

    /// The same reading, borrowed.
    pub fn as_str(&self) -> Reading<&str> {
        Reading {
            series: self.series.as_ref(),
            feed: self.feed.as_ref(),
            seq: self.seq,
            ts: self.ts,
            recv_ts: self.recv_ts,
            value: ReadingValue { class: self.value.class, text: self.value.text.as_ref() },
            unit: self.unit.as_ref(),
            quality: self.quality.as_ref(),
            tags: self.tags.as_ref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_one_canonical_text() {
        use ValueType::{Boolean, Decimal, Float, Integer, Text};
        for (class, written, canonical) in [
            (Decimal, "21.50", "21.5"),
            (Decimal, "-0.0", "0"),
            (Decimal, "1e3", "1000"),
            (Float, "0.1", "0.1"),
            (Float, "1E300", "1e300"),
            (Float, "5", "5.0"),
            (Float, "-0", "-0.0"),
            (Integer, "+07", "7"),
            (Integer, "-0", "0"),
            (Integer, "18446744073709551615", "18446744073709551615"),
            (Integer, "-9223372036854775808", "-9223372036854775808"),
            (Boolean, "TRUE", "true"),
            (Text, "on, 20 °C", "on, 20 °C"),
            (Text, "", ""),
        ] {
            assert_eq!(class.canonical(written).unwrap(), canonical, "{written}");
            assert!(class.is_canonical(canonical), "{canonical}");
            assert_eq!(class.is_canonical(written), written == canonical, "{written}");
        }
        for (class, text) in [
            (Decimal, "1e40"),
            (Decimal, "x"),
            (Float, "NaN"),
            (Float, "inf"),
            (Float, "1e999"),
            (Float, ""),
            (Integer, "18446744073709551616"),
            (Integer, "1.0"),
            (Integer, ""),
            (Boolean, "1"),
            (Text, "say \"x\""),
            (Text, "a\nb"),
        ] {
            assert!(class.canonical(text).is_err() && !class.is_canonical(text), "{class:?} {text}");
        }
    }

    #[test]
    fn what_is_written_as_digits_is_kept_exactly() {
        use ValueType::{Boolean, Decimal, Float, Integer, Text};
        for (text, class) in [
            ("42", Integer),
            ("0.1", Decimal),
            ("1e300", Float),
            ("true", Boolean),
            ("on", Text),
            ("nan", Text),
            ("", Text),
        ] {
            assert_eq!(ValueType::guess(text), class, "{text}");
        }
    }

    #[test]
    fn tags_are_sorted_and_come_back() {
        let text = tags([("site", "b"), ("room", ""), ("site", "a")]).unwrap();
        assert_eq!(text, r#"{"room":"","site":"a"}"#);
        assert_eq!(each_tag(&text).collect::<Vec<_>>(), [("room", ""), ("site", "a")]);
        assert_eq!(tags([]).unwrap(), "");
        assert_eq!(each_tag("").count(), 0);
        assert!(tags([("a\"", "b")]).is_err() && tags([("", "b")]).is_err());
    }

    #[test]
    fn a_minted_number_depends_on_the_content_and_not_on_the_receive_time() {
        let reading = Reading {
            series: "s",
            feed: "f",
            seq: 0,
            ts: UnixNanos(1),
            recv_ts: UnixNanos(1),
            value: ReadingValue { class: ValueType::Integer, text: "1" },
            unit: "",
            quality: "",
            tags: "",
        };
        let number = minted_seq(&reading);
        assert!(number >= 0);
        assert_eq!(number, minted_seq(&Reading { recv_ts: UnixNanos(9), seq: 5, ..reading }));
        for other in [
            Reading { value: ReadingValue { class: ValueType::Decimal, text: "1" }, ..reading },
            Reading { value: ReadingValue { class: ValueType::Integer, text: "2" }, ..reading },
            Reading { unit: "V", ..reading },
            Reading { quality: "V", ..reading },
            Reading { tags: r#"{"a":"b"}"#, ..reading },
        ] {
            assert_ne!(number, minted_seq(&other), "{other:?}");
        }
        // A stored row's key depends on it: it must never change.
        assert_eq!(number, MINTED);
    }

    const MINTED: i64 = 2_346_239_463_917_828_730;
}
