//! InfluxDB line protocol: `measurement[,tag=value…] field=value[,field=value…] [timestamp]`.
//!
//! Source: "Line protocol reference", InfluxDB v2 documentation. Commas, spaces and equals signs of names are escaped by a
//! backslash; string values stand in quotation marks, in which `\"` and `\\` are escapes; a line that begins with `#` is a
//! comment. Values: `1.5` a float, `1i` an integer, `1u` an unsigned integer, `"text"`, `t`/`true`/`f`/`false`.

use super::row::Field;
use crate::reading::{ValueError, ValueType};
use std::borrow::Cow;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point<'a> {
    /// The measurement.
    pub measurement: Cow<'a, str>,
    /// Its tags, as written.
    pub tags: Vec<Field<'a>>,
    /// Its fields, as written.
    pub fields: Vec<Field<'a>>,
    /// The digits of the timestamp, if there is one.
    pub time: Option<&'a str>,
}

impl Point<'_> {
    /// The series without the field: `weather,site=a,station=1`, tags in byte order.
    #[must_use]
    pub fn series(&self) -> String {
        let mut tags: Vec<(&str, &str)> = self.tags.iter().map(|tag| (&*tag.name, &*tag.text)).collect();
        tags.sort_unstable();
        let mut series = self.measurement.to_string();
        for (name, value) in tags {
            series.push(',');
            series.push_str(name);
            series.push('=');
            series.push_str(value);
        }
        series
    }
}

/// Parses a line; `None` for a comment.
///
/// # Errors
/// What was expected and where, by byte.
pub fn parse(line: &str) -> Result<Option<Point<'_>>, String> {
    let line = line.trim_start_matches([' ', '\t']).trim_end_matches([' ', '\t', '\r', '\n']);
    if line.starts_with('#') {
        return Ok(None);
    }
    let mut cursor = Cursor { line, at: 0 };
    let measurement = cursor.name(b", ")?;
    if measurement.is_empty() {
        return Err("expected a measurement at byte 0".to_owned());
    }
    let mut tags = Vec::new();
    while cursor.take(b',') {
        let name = cursor.named("tag", b"=, ")?;
        let text = cursor.name(b", =")?;
        if text.is_empty() {
            return Err(cursor.expected("a value of the tag"));
        }
        tags.push(Field { name, text, class: Some(ValueType::Text) });
    }
    cursor.spaces("the fields")?;
    let mut fields = Vec::new();
    loop {
        let name = cursor.named("field", b"=, ")?;
        let (text, class) = cursor.value()?;
        fields.push(Field { name, text, class: Some(class) });
        if !cursor.take(b',') {
            break;
        }
    }
    let time = match cursor.rest().trim_start_matches(' ') {
        "" => None,
        _ => {
            cursor.spaces("a timestamp")?;
            let digits = cursor.rest();
            let unsigned = digits.strip_prefix('-').unwrap_or(digits);
            if unsigned.is_empty() || !unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(cursor.expected("a whole number as the timestamp"));
            }
            Some(digits)
        }
    };
    Ok(Some(Point { measurement, tags, fields, time }))
}

struct Cursor<'a> {
    line: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a str {
        &self.line[self.at..]
    }

    fn expected(&self, what: &str) -> String {
        format!("expected {what} at byte {}", self.at)
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.rest().as_bytes().first() == Some(&byte);
        self.at += usize::from(found);
        found
    }

    /// One space or more.
    fn spaces(&mut self, before: &str) -> Result<(), String> {
        let spaces = self.rest().bytes().take_while(|byte| *byte == b' ').count();
        if spaces == 0 {
            return Err(self.expected(&format!("a space before {before}")));
        }
        self.at += spaces;
        Ok(())
    }

    /// Up to one of `ends`, which are ASCII, without the backslashes that escape them.
    fn name(&mut self, ends: &[u8]) -> Result<Cow<'a, str>, String> {
        let rest = self.rest();
        let bytes = rest.as_bytes();
        let mut end = 0;
        let mut escaped = false;
        while let Some(byte) = bytes.get(end) {
            match byte {
                b'\\' if bytes.get(end + 1).is_some_and(|next| b", =\\".contains(next)) => {
                    escaped = true;
                    end += 2;
                }
                byte if ends.contains(byte) => break,
                _ => end += 1,
            }
        }
        self.at += end;
        let text = &rest[..end];
        Ok(if escaped { unescaped(text, b", =\\").into() } else { text.into() })
    }

    /// A name that is not empty, and the equals sign behind it.
    fn named(&mut self, what: &str, ends: &[u8]) -> Result<Cow<'a, str>, String> {
        let start = self.at;
        let name = self.name(ends)?;
        if name.is_empty() {
            return Err(format!("expected the name of a {what} at byte {start}"));
        }
        if !self.take(b'=') {
            return Err(self.expected(&format!("`=` behind the {what} `{name}`")));
        }
        Ok(name)
    }

    fn value(&mut self) -> Result<(Cow<'a, str>, ValueType), String> {
        if self.take(b'"') {
            return Ok((self.quoted()?, ValueType::Text));
        }
        let rest = self.rest();
        let end = rest.bytes().position(|byte| matches!(byte, b',' | b' ')).unwrap_or(rest.len());
        let text = &rest[..end];
        let integer = |digits: &'a str| -> Result<(Cow<'a, str>, ValueType), ValueError> {
            ValueType::Integer.canonical(digits).map(|_| (digits.into(), ValueType::Integer))
        };
        let value = match text.as_bytes() {
            [b't' | b'T', ..] | [b'f' | b'F', ..] if ValueType::Boolean.canonical(text).is_ok() => {
                Ok((text.into(), ValueType::Boolean))
            }
            [.., b'i'] => integer(&text[..end - 1]),
            [digits @ .., b'u'] if !digits.starts_with(b"-") => integer(&text[..end - 1]),
            // A float there, an exact decimal here wherever it is one.
            _ if ValueType::Decimal.canonical(text).is_ok() => Ok((text.into(), ValueType::Decimal)),
            _ => ValueType::Float.canonical(text).map(|_| (text.into(), ValueType::Float)),
        };
        let value = value.map_err(|_| {
            self.expected("a number, an integer with `i` or `u`, true, false or a text in quotation marks")
        })?;
        self.at += end;
        Ok(value)
    }

    /// The rest of a text in quotation marks.
    fn quoted(&mut self) -> Result<Cow<'a, str>, String> {
        let rest = self.rest();
        let bytes = rest.as_bytes();
        let mut end = 0;
        let mut escaped = false;
        loop {
            match bytes.get(end) {
                None => return Err(self.expected("a closing quotation mark")),
                Some(b'"') => break,
                Some(b'\\') if matches!(bytes.get(end + 1), Some(b'"' | b'\\')) => {
                    escaped = true;
                    end += 2;
                }
                Some(_) => end += 1,
            }
        }
        self.at += end + 1;
        let text = &rest[..end];
        Ok(if escaped { unescaped(text, b"\"\\").into() } else { text.into() })
    }
}

/// Without the backslashes before these ASCII characters.
fn unescaped(text: &str, special: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let escapes = |next: &char| u8::try_from(*next).is_ok_and(|next| special.contains(&next));
        match chars.peek().copied().filter(escapes) {
            Some(next) if c == '\\' => {
                out.push(next);
                chars.next();
            }
            _ => out.push(c),
        }
    }
    out
}
