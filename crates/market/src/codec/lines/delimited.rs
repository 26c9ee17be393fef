//! Values between delimiters, as RFC 4180 has them, one row per line: a value may stand in quotation marks, in which a
//! quotation mark is doubled. A value cannot hold a line break.

use std::borrow::Cow;

/// The values of a line.
///
/// # Errors
/// A quotation mark is not closed, or something follows one.
pub fn split(line: &str, delimiter: char) -> Result<Vec<Cow<'_, str>>, String> {
    let mut values = Vec::new();
    let mut rest = line;
    loop {
        let (value, tail) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_value(quoted, values.len() + 1)?,
            None => {
                let end = rest.find(delimiter).unwrap_or(rest.len());
                (rest[..end].into(), &rest[end..])
            }
        };
        values.push(value);
        match tail.strip_prefix(delimiter) {
            Some(next) => rest = next,
            None if tail.is_empty() => return Ok(values),
            None => {
                return Err(format!(
                    "expected `{delimiter}` behind the quotation mark of column {}",
                    values.len()
                ));
            }
        }
    }
}

/// The value that a quotation mark began, and what follows it.
fn quoted_value(text: &str, column: usize) -> Result<(Cow<'_, str>, &str), String> {
    let mut doubled = false;
    let mut from = 0;
    loop {
        let Some(at) = text[from..].find('"').map(|at| from + at) else {
            return Err(format!("column {column}: a quotation mark is not closed"));
        };
        if text[at + 1..].starts_with('"') {
            doubled = true;
            from = at + 2;
        } else {
            let value = &text[..at];
            let value = if doubled { value.replace("\"\"", "\"").into() } else { value.into() };
            return Ok((value, &text[at + 1..]));
        }
    }
}
