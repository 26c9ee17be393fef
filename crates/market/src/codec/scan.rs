//! Parses JSON in one pass without allocating: the parser of vendors' frames.
//!
//! Values are passed as their text, so that no number goes through a float. Texts with a backslash are passed
//! as written ([`Value::Escaped`]): names, codes and times have none. The grammar is checked only where it is
//! walked; an unused value is skipped by its brackets and quotes.

use crate::{Price, Size, UnixNanos, fixed};
use std::borrow::Cow;

/// A value as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Value<'a> {
    /// The member is absent.
    #[default]
    Absent,
    /// The text between the quotes, without a backslash.
    Text(&'a str),
    /// The text between the quotes, with a backslash.
    Escaped(&'a str),
    /// The digits of a number.
    Number(&'a str),
    /// An array, with its brackets.
    Array(&'a str),
    /// An object, with its braces.
    Object(&'a str),
    /// `true`, `false`.
    Bool(bool),
    /// `null`.
    Null,
}

/// Invalid JSON, and where it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken {
    /// Byte offset in the text.
    pub at: usize,
}

impl From<Broken> for String {
    fn from(broken: Broken) -> Self {
        format!("not JSON from byte {}", broken.at)
    }
}

type Walk<T> = Result<T, Broken>;

/// Position of the parser.
#[derive(Debug, Clone)]
pub struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    /// Starts at the beginning of a text.
    #[must_use]
    pub const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Current byte offset.
    #[must_use]
    pub const fn at(&self) -> usize {
        self.at
    }

    /// The text from a byte offset to the current one.
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

    /// Checks that only spaces are left.
    ///
    /// # Errors
    /// Something else is left.
    pub fn end(&mut self) -> Walk<()> {
        if self.peek().is_none() { Ok(()) } else { self.broken() }
    }

    /// Passes each element of an array to `f`, which must walk it.
    ///
    /// # Errors
    /// Invalid JSON, or the error of `f`.
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

    /// Passes each member of an object to `f`; anything else is skipped and returned.
    ///
    /// # Errors
    /// Invalid JSON.
    #[inline]
    pub fn object_or_value(&mut self, f: impl FnMut(&'a str, Value<'a>)) -> Walk<Option<Value<'a>>> {
        if self.peek() == Some(b'{') { self.object(f).map(|()| None) } else { self.value().map(Some) }
    }

    /// Passes each member of an object to `f`.
    ///
    /// # Errors
    /// Invalid JSON.
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
    /// Invalid JSON.
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

    /// A nested value, skipped.
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
    /// A text that can be used as it is; empty if the member is absent or null.
    ///
    /// # Errors
    /// The value is not a text, or contains a backslash.
    pub fn text(self, name: &str) -> Result<&'a str, String> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Absent | Self::Null => Ok(""),
            other => Err(format!("`{name}`: expected plain text, found {}", other.written())),
        }
    }

    /// A text that must be present.
    ///
    /// # Errors
    /// It is absent, or as in [`Self::text`].
    pub fn needed(self, name: &str) -> Result<&'a str, String> {
        self.text(name)
            .and_then(|text| if text.is_empty() { Err(format!("missing `{name}`")) } else { Ok(text) })
    }

    /// An id: a text, or the digits of a number.
    ///
    /// # Errors
    /// The value is neither.
    pub fn id(self, name: &str) -> Result<&'a str, String> {
        match self {
            Self::Number(digits) => Ok(digits),
            other => other.needed(name),
        }
    }

    /// Raw value of a decimal, from a number or from digits in a text; exponents are applied to the digits.
    ///
    /// # Errors
    /// The value is not a decimal, or does not fit.
    #[inline]
    pub fn decimal(self, name: &str) -> Result<i128, String> {
        let (Self::Number(digits) | Self::Text(digits)) = self else {
            return Err(match self {
                Self::Absent => format!("missing `{name}`"),
                other => format!("`{name}`: expected a number, found {}", other.written()),
            });
        };
        // Nearly always plain digits; only if those are rejected does the reason matter.
        fixed::parse(digits.as_bytes())
            .or_else(|_| fixed::parse_number(digits.as_bytes()))
            .map_err(|error| format!("`{name}`: {error}: {digits}"))
    }

    /// A price.
    ///
    /// # Errors
    /// Like [`Self::decimal`].
    #[inline]
    pub fn price(self, name: &str) -> Result<Price, String> {
        self.decimal(name).map(Price::from_raw)
    }

    /// A size.
    ///
    /// # Errors
    /// Like [`Self::decimal`].
    #[inline]
    pub fn size(self, name: &str) -> Result<Size, String> {
        self.decimal(name).map(Size::from_raw)
    }

    /// An integer.
    ///
    /// # Errors
    /// The value is not an integer.
    pub fn whole(self, name: &str) -> Result<i64, String> {
        match self {
            Self::Number(digits) | Self::Text(digits) => {
                digits.parse().map_err(|_| format!("`{name}`: expected a whole number, found {digits}"))
            }
            Self::Absent => Err(format!("missing `{name}`")),
            other => Err(format!("`{name}`: expected a number, found {}", other.written())),
        }
    }

    /// A time in RFC 3339.
    ///
    /// # Errors
    /// The value is not a time.
    pub fn time(self, name: &str) -> Result<UnixNanos, String> {
        let text = self.needed(name)?;
        UnixNanos::parse(text).map_err(|error| format!("`{name}`: {error}"))
    }

    /// A time in milliseconds since 1970; microseconds and nanoseconds are recognised by their magnitude.
    ///
    /// # Errors
    /// The value is not a time.
    pub fn epoch(self, name: &str) -> Result<UnixNanos, String> {
        let number = self.whole(name)?;
        // Milliseconds of 1973 are the seconds of the year 5138.
        if (1..100_000_000_000).contains(&number) {
            return Err(format!(
                "`{name}`: expected milliseconds, found {number}, which is in seconds or long ago"
            ));
        }
        // Until the year 5138 milliseconds are below 1e14.
        let unit = match number.unsigned_abs() {
            0..100_000_000_000_000 => 1_000_000,
            100_000_000_000_000..100_000_000_000_000_000 => 1_000,
            _ => 1,
        };
        number.checked_mul(unit).map(UnixNanos).ok_or_else(|| format!("`{name}`: {number} is out of range"))
    }

    /// The value as written, for messages.
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

/// The same JSON without escapes in its texts (`\\u0026`, `\\/`, `\\ud83d\\ude00`), so that names and codes
/// are plain text. Escapes of quotes, backslashes and control characters, which records do not contain, are
/// kept. A byte-order mark is dropped.
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
                // The escaped character is part of the text: it does not end it.
                None => 1 + from[1..].chars().next().map_or(0, char::len_utf8),
            }
        };
        out.push_str(&from[..length]);
        rest = &from[length..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The character that an escape represents, and the escape's length.
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

/// Condition codes as a canonical array of texts. Most vendors send exactly that: it is then used as it is;
/// numbers, spaces and a single code are rewritten into `scratch`.
///
/// # Errors
/// The value is not a list of codes.
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
        other => return Err(format!("`{name}`: expected a list of codes, found {}", other.written())),
    };
    scratch.clear();
    scratch.push('[');
    Scanner::new(array).array(|scanner| {
        let (Value::Text(code) | Value::Number(code)) = scanner.value()? else {
            return Err(format!("`{name}`: expected a list of codes, found {array}"));
        };
        scratch.extend([if scratch.len() > 1 { ",\"" } else { "\"" }, code, "\""]);
        Ok(())
    })?;
    scratch.push(']');
    Ok(scratch)
}

/// `["a","b"]`, without spaces.
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
mod tests;
