//! Walks JSON once, from left to right, without allocating: what a vendor's frames are read with.
//!
//! Values are handed over as the text they have, so that no number goes through a float. Texts with a backslash are
//! handed over as they are written ([`Value::Escaped`]): names, codes and times have none. Grammar is checked as far as
//! it is walked; a value that nobody asks for is passed over by its brackets and quotes.

use crate::{Price, Size, UnixNanos, fixed};
use std::borrow::Cow;

/// A value as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Value<'a> {
    /// The member is not there.
    #[default]
    Absent,
    /// What is between the quotes, without a backslash.
    Text(&'a str),
    /// What is between the quotes, with one.
    Escaped(&'a str),
    /// The digits of a number.
    Number(&'a str),
    /// With its brackets.
    Array(&'a str),
    /// With its braces.
    Object(&'a str),
    /// `true`, `false`.
    Bool(bool),
    /// `null`.
    Null,
}

/// Not JSON, and from where on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken {
    /// Byte of the text.
    pub at: usize,
}

impl From<Broken> for String {
    fn from(broken: Broken) -> Self {
        format!("not JSON from byte {} on", broken.at)
    }
}

type Walk<T> = Result<T, Broken>;

/// Where the walk is.
#[derive(Debug, Clone)]
pub struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    /// At the beginning of a text.
    #[must_use]
    pub const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The byte it is at.
    #[must_use]
    pub const fn at(&self) -> usize {
        self.at
    }

    /// The text since a byte.
    #[must_use]
    pub fn since(&self, from: usize) -> &'a str {
        self.text.get(from..self.at).unwrap_or_default()
    }

    const fn broken<T>(&self) -> Walk<T> {
        Err(Broken { at: self.at })
    }

    #[inline]
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.text.as_bytes().get(self.at) {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                byte => return byte.copied(),
            }
        }
    }

    #[inline]
    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Walk<()> {
        if self.eat(byte) { Ok(()) } else { self.broken() }
    }

    /// Nothing but spaces is left.
    ///
    /// # Errors
    /// Something is.
    pub fn end(&mut self) -> Walk<()> {
        if self.peek().is_none() { Ok(()) } else { self.broken() }
    }

    /// Hands each element of an array to `f`, which must walk it.
    ///
    /// # Errors
    /// Not JSON; or what `f` says.
    #[inline]
    pub fn array<E: From<Broken>>(&mut self, mut f: impl FnMut(&mut Self) -> Result<(), E>) -> Result<(), E> {
        self.expect(b'[')?;
        if self.eat(b']') {
            return Ok(());
        }
        loop {
            self.peek();
            f(self)?;
            if !self.eat(b',') {
                return Ok(self.expect(b']')?);
            }
        }
    }

    /// Hands each member of an object to `f`; anything else is passed over and returned.
    ///
    /// # Errors
    /// Not JSON.
    #[inline]
    pub fn object_or_value(&mut self, f: impl FnMut(&'a str, Value<'a>)) -> Walk<Option<Value<'a>>> {
        if self.peek() == Some(b'{') { self.object(f).map(|()| None) } else { self.value().map(Some) }
    }

    /// Hands each member of an object to `f`.
    ///
    /// # Errors
    /// Not JSON.
    #[inline]
    pub fn object(&mut self, mut f: impl FnMut(&'a str, Value<'a>)) -> Walk<()> {
        self.expect(b'{')?;
        if self.eat(b'}') {
            return Ok(());
        }
        loop {
            let (Value::Text(name) | Value::Escaped(name)) = self.value()? else { return self.broken() };
            self.expect(b':')?;
            let value = self.value()?;
            f(name, value);
            if !self.eat(b',') {
                return self.expect(b'}');
            }
        }
    }

    /// The next value.
    ///
    /// # Errors
    /// Not JSON.
    #[inline]
    pub fn value(&mut self) -> Walk<Value<'a>> {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'[') => self.nested().map(Value::Array),
            Some(b'{') => self.nested().map(Value::Object),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            _ => self.broken(),
        }
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Walk<Value<'a>> {
        match self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            true => {
                self.at += word.len();
                Ok(value)
            }
            false => self.broken(),
        }
    }

    #[inline]
    fn number(&mut self) -> Walk<Value<'a>> {
        let (start, bytes) = (self.at, self.text.as_bytes());
        while matches!(bytes.get(self.at), Some(b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E')) {
            self.at += 1;
        }
        Ok(Value::Number(&self.text[start..self.at]))
    }

    #[inline]
    fn string(&mut self) -> Walk<Value<'a>> {
        let (start, bytes) = (self.at + 1, self.text.as_bytes());
        let (mut end, mut escaped) = (start, false);
        loop {
            match bytes.get(end) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    end += 2;
                }
                Some(0..=0x1f) | None => {
                    self.at = end.min(bytes.len());
                    return self.broken();
                }
                Some(_) => end += 1,
            }
        }
        self.at = end + 1;
        let text = &self.text[start..end];
        Ok(if escaped { Value::Escaped(text) } else { Value::Text(text) })
    }

    /// A nested value, passed over.
    fn nested(&mut self) -> Walk<&'a str> {
        let start = self.at;
        let mut depth = 0_u32;
        loop {
            match self.text.as_bytes().get(self.at) {
                Some(b'[' | b'{') => depth += 1,
                Some(b']' | b'}') => {
                    depth -= 1;
                    if depth == 0 {
                        self.at += 1;
                        return Ok(&self.text[start..self.at]);
                    }
                }
                Some(b'"') => {
                    self.string()?;
                    continue;
                }
                Some(_) => {}
                None => return self.broken(),
            }
            self.at += 1;
        }
    }
}

impl<'a> Value<'a> {
    /// A text that may be kept as it is; empty when the member is absent or null.
    ///
    /// # Errors
    /// Something else, or a text with a backslash.
    pub fn text(self, name: &str) -> Result<&'a str, String> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Absent | Self::Null => Ok(""),
            other => Err(format!("`{name}` is no plain text: {}", other.written())),
        }
    }

    /// A text that must be there.
    ///
    /// # Errors
    /// It is not, or as [`Self::text`].
    pub fn needed(self, name: &str) -> Result<&'a str, String> {
        self.text(name).and_then(|text| if text.is_empty() { Err(format!("no `{name}`")) } else { Ok(text) })
    }

    /// An id: a text, or the digits of a number.
    ///
    /// # Errors
    /// Neither.
    pub fn id(self, name: &str) -> Result<&'a str, String> {
        match self {
            Self::Number(digits) => Ok(digits),
            other => other.needed(name),
        }
    }

    /// The raw value of a decimal, of a number or of digits in a text; exponents are worked out on the digits.
    ///
    /// # Errors
    /// It is none, or does not fit.
    #[inline]
    pub fn decimal(self, name: &str) -> Result<i128, String> {
        let (Self::Number(digits) | Self::Text(digits)) = self else {
            return Err(match self {
                Self::Absent => format!("no `{name}`"),
                other => format!("`{name}` is no number: {}", other.written()),
            });
        };
        // Digits nearly always; only if they are refused it matters why.
        fixed::parse(digits.as_bytes())
            .or_else(|_| fixed::parse_number(digits.as_bytes()))
            .map_err(|error| format!("`{name}`: {error}: {digits}"))
    }

    /// A price.
    ///
    /// # Errors
    /// As [`Self::decimal`].
    #[inline]
    pub fn price(self, name: &str) -> Result<Price, String> {
        self.decimal(name).map(Price::from_raw)
    }

    /// A size.
    ///
    /// # Errors
    /// As [`Self::decimal`].
    #[inline]
    pub fn size(self, name: &str) -> Result<Size, String> {
        self.decimal(name).map(Size::from_raw)
    }

    /// A whole number.
    ///
    /// # Errors
    /// It is none.
    pub fn whole(self, name: &str) -> Result<i64, String> {
        match self {
            Self::Number(digits) | Self::Text(digits) => {
                digits.parse().map_err(|_| format!("`{name}` is no whole number: {digits}"))
            }
            Self::Absent => Err(format!("no `{name}`")),
            other => Err(format!("`{name}` is no number: {}", other.written())),
        }
    }

    /// An instant, written as RFC 3339.
    ///
    /// # Errors
    /// It is none.
    pub fn time(self, name: &str) -> Result<UnixNanos, String> {
        let text = self.needed(name)?;
        UnixNanos::parse(text).map_err(|error| format!("`{name}`: {error}"))
    }

    /// An instant, written as milliseconds since 1970; microseconds and nanoseconds are known by their size.
    ///
    /// # Errors
    /// It is none.
    pub fn epoch(self, name: &str) -> Result<UnixNanos, String> {
        let number = self.whole(name)?;
        // Milliseconds of 1973 are the seconds of the year 5138.
        if (1..100_000_000_000).contains(&number) {
            return Err(format!("`{name}` is in seconds, or long ago: {number}; milliseconds are expected"));
        }
        // Until the year 5138 milliseconds are below 1e14.
        let unit = match number.unsigned_abs() {
            0..100_000_000_000_000 => 1_000_000,
            100_000_000_000_000..100_000_000_000_000_000 => 1_000,
            _ => 1,
        };
        number.checked_mul(unit).map(UnixNanos).ok_or_else(|| format!("`{name}` is no instant: {number}"))
    }

    /// As it is written, for messages.
    #[must_use]
    pub fn written(self) -> String {
        match self {
            Self::Absent => "nothing".to_owned(),
            Self::Null => "null".to_owned(),
            Self::Bool(flag) => flag.to_string(),
            Self::Text(text) | Self::Escaped(text) => format!("\"{text}\""),
            Self::Number(text) | Self::Array(text) | Self::Object(text) => text.to_owned(),
        }
    }
}

/// The same JSON without escapes in its texts (`\\u0026`, `\\/`, `\\ud83d\\ude00`), so that names and codes are plain text. Escapes
/// of quotes, backslashes and control characters, which records do not hold, stay. A byte-order mark is dropped.
#[must_use]
pub fn unescaped(text: &str) -> Cow<'_, str> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if memchr::memchr(b'\\', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let (mut out, mut rest, mut in_text) = (String::with_capacity(text.len()), text, false);
    while let Some(at) = rest.find(['"', '\\']) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let length = if from.starts_with('"') {
            in_text = !in_text;
            1
        } else {
            match escape(from).filter(|_| in_text) {
                Some((character, length)) => {
                    out.push(character);
                    rest = &from[length..];
                    continue;
                }
                // The escaped character belongs to it: it does not end the text.
                None => 1 + from[1..].chars().next().map_or(0, char::len_utf8),
            }
        };
        out.push_str(&from[..length]);
        rest = &from[length..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The character that an escape stands for, and the escape's length.
fn escape(text: &str) -> Option<(char, usize)> {
    if text.starts_with("\\/") {
        return Some(('/', 2));
    }
    let unit = |text: &str| {
        let digits = text.strip_prefix("\\u")?.get(..4)?;
        digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
    };
    let first = unit(text)?;
    let second = text.get(6..).and_then(unit);
    let mut decoded = char::decode_utf16([first].into_iter().chain(second));
    let character = decoded.next()?.ok()?;
    (!character.is_control() && !matches!(character, '"' | '\\'))
        .then_some((character, 6 * character.len_utf16()))
}

/// Condition codes as the canonical array of texts. Most vendors write just that: then it is taken as it stands; numbers,
/// spaces and a lone code are rewritten into `scratch`.
///
/// # Errors
/// Something else than codes.
pub fn conditions<'s>(value: Value<'s>, name: &str, scratch: &'s mut String) -> Result<&'s str, String> {
    let array = match value {
        Value::Absent | Value::Null => return Ok("[]"),
        Value::Array(text) if canonical(text) => return Ok(text),
        Value::Array(text) => text,
        Value::Text(code) | Value::Number(code) => {
            scratch.clear();
            scratch.extend(["[\"", code, "\"]"]);
            return Ok(scratch);
        }
        other => return Err(format!("`{name}` is no list of codes: {}", other.written())),
    };
    scratch.clear();
    scratch.push('[');
    Scanner::new(array).array(|scanner| {
        let (Value::Text(code) | Value::Number(code)) = scanner.value()? else {
            return Err(format!("`{name}` is no list of codes: {array}"));
        };
        scratch.extend([if scratch.len() > 1 { ",\"" } else { "\"" }, code, "\""]);
        Ok(())
    })?;
    scratch.push(']');
    Ok(scratch)
}

/// `["a","b"]`, without a space between.
fn canonical(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes == b"[]" {
        return true;
    }
    let mut at = 1;
    loop {
        if bytes.get(at) != Some(&b'"') {
            return false;
        }
        at += 1;
        loop {
            match bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\' | 0..=0x1f) | None => return false,
                Some(_) => at += 1,
            }
        }
        match bytes.get(at + 1) {
            Some(b',') => at += 2,
            end => return end == Some(&b']') && at + 2 == bytes.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn members(text: &str) -> Result<Vec<(String, String)>, String> {
        let (mut out, mut scanner) = (Vec::new(), Scanner::new(text));
        scanner.object(|name, value| out.push((name.to_owned(), value.written())))?;
        scanner.end()?;
        Ok(out)
    }

    #[test]
    fn members_are_handed_over_as_they_are_written() {
        let text =
            r#" {"a":"x","b" : -1.50,"c":[1,["]"],{"d":"\""}],"e":{},"f":true,"g":null,"h":"\u0041"} "#;
        let found = members(text).unwrap();
        let found: Vec<(&str, &str)> = found.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let array = r#"[1,["]"],{"d":"\""}]"#;
        assert_eq!(
            found,
            [
                ("a", "\"x\""),
                ("b", "-1.50"),
                ("c", array),
                ("e", "{}"),
                ("f", "true"),
                ("g", "null"),
                ("h", r#""\u0041""#)
            ]
        );
        for broken in [
            "",
            "{",
            "{}x",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{\"a\":\"x}",
            "{a:1}",
            "[]",
            "{\"a\":tru}",
            "{\"a\":\"\\",
        ] {
            assert!(members(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn numbers_keep_their_digits_and_exponents_are_exact() {
        let of = |digits| Value::Number(digits).decimal("p").map_err(|error| error.contains("`p`"));
        for (digits, raw) in [
            ("1e3", 1_000 * fixed::ONE),
            ("1.5E-3", 1_500_000_000_000_000),
            ("-2.5e+1", -25 * fixed::ONE),
            ("1e-18", 1),
            ("0.1", fixed::ONE / 10),
        ] {
            assert_eq!(of(digits), Ok(raw), "{digits}");
        }
        for digits in ["1e-19", "1e99", "1e", "e1", "--1", "1.2.3"] {
            assert_eq!(of(digits), Err(true), "{digits}");
        }
        assert_eq!(Value::Number("1536036818784").epoch("t"), Ok(UnixNanos(1_536_036_818_784_000_000)));
        assert_eq!(Value::Number("1601316752683746").epoch("t"), Ok(UnixNanos(1_601_316_752_683_746_000)));
        assert_eq!(Value::Number("1601318039223013600").epoch("t"), Ok(UnixNanos(1_601_318_039_223_013_600)));
    }

    #[test]
    fn escapes_of_plain_characters_are_resolved() {
        for (text, plain) in [
            (r#"{"s":"M\u0026M.NS","\u0070":"\/"}"#, r#"{"s":"M&M.NS","p":"/"}"#),
            (r#"{"s":"\u5e01\u5b89USDT"}"#, r#"{"s":"币安USDT"}"#),
            (r#"{"s":"\ud83d\ude00"}"#, r#"{"s":"😀"}"#),
            ("\u{feff}{}", "{}"),
        ] {
            assert_eq!(unescaped(text), plain);
        }
        // Those that would change what the text says, or that are none, stay.
        for text in [
            r#"{"s":"a\"b\\"}"#,
            r#"{"s":"\u0022\u005c\u000a\n"}"#,
            r#"{"s":"\ud83d"}"#,
            r#"\u007b"#,
            r#"{"s":"\u00"}"#,
            r#"{"s":"\"#,
            r#"{"s":"\é"}"#,
        ] {
            assert_eq!(unescaped(text), text);
        }
    }

    #[test]
    fn seconds_are_not_milliseconds() {
        let of = |digits| Value::Number(digits).epoch("t");
        assert!(of("1672348887").is_err_and(|error| error.contains("seconds")));
        assert_eq!(of("0"), Ok(UnixNanos(0)));
        assert!(of("9223372036854775808").is_err());
    }

    #[test]
    fn codes_become_the_canonical_array() {
        let mut scratch = String::new();
        for (value, want) in [
            (Value::Array(r#"["@","I"]"#), r#"["@","I"]"#),
            (Value::Array(r#"[ "@", "I" ]"#), r#"["@","I"]"#),
            (Value::Array("[0,12]"), r#"["0","12"]"#),
            (Value::Text("R"), r#"["R"]"#),
            (Value::Number("7"), r#"["7"]"#),
            (Value::Null, "[]"),
            (Value::Absent, "[]"),
            (Value::Array("[ ]"), "[]"),
        ] {
            assert_eq!(conditions(value, "c", &mut scratch), Ok(want));
        }
        for value in
            [Value::Bool(true), Value::Array(r#"["\""]"#), Value::Array("[[1]]"), Value::Array("[\"a\"")]
        {
            assert!(conditions(value, "c", &mut scratch).is_err(), "{value:?}");
        }
    }

    proptest! {
        /// What serde_json takes for an object we walk to its end, and see the same members.
        #[test]
        fn walks_what_serde_json_reads(text in "\\{(\"[a-c]{1,2}\":(1|-2.5|\"x\"|true|null|\\[1,\"\\]\"\\]|\\{\"a\":1\\}),?){0,4}\\}") {
            match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text) {
                Ok(map) => {
                    let names: std::collections::BTreeSet<String> = members(&text).unwrap().into_iter().map(|(name, _)| name).collect();
                    prop_assert!(map.keys().all(|name| names.contains(name)) && names.len() == map.len());
                }
                Err(_) => prop_assert!(members(&text).is_err()),
            }
        }

        #[test]
        fn unescaping_changes_no_meaning(text in "\\{\"a\":\"([a-z\"é ]|\\\\u[0-9a-f]{4}|\\\\[\"/nu\\\\]){0,8}\"\\}") {
            let value = serde_json::from_str::<serde_json::Value>(&text);
            let plain = serde_json::from_str::<serde_json::Value>(&unescaped(&text));
            match (value, plain) {
                (Ok(value), Ok(plain)) => prop_assert_eq!(value, plain),
                (value, plain) => prop_assert!(value.is_err() && plain.is_err(), "{} {}", text, unescaped(&text)),
            }
        }

        #[test]
        fn any_text_is_walked_or_refused(text in "\\PC{0,80}") {
            let _ = members(&text);
            let _ = Scanner::new(&text).array(|scanner| scanner.value().map(drop));
        }
    }
}
