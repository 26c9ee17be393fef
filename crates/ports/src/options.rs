//! Options of a source URL: `scheme:rest?name=value&name=value`, percent-decoded.

use crate::{Error, Result};
use percent_encoding::percent_decode_str;

/// Splits a URL into what precedes the first `?` and its options.
#[must_use]
pub fn split(url: &str) -> (&str, Options<'_>) {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    (base, Options(query))
}

/// The options of a URL, in the order they are written.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a>(&'a str);

/// One option, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlOption {
    /// What precedes the `=`.
    pub name: String,
    /// What follows it; empty without a `=`.
    pub value: String,
}

impl<'a> Options<'a> {
    /// Parses the part of a URL after `?`.
    #[must_use]
    pub fn new(query: &'a str) -> Self {
        Self(query)
    }

    /// Whether there are no options.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Calls `f` with each option.
    ///
    /// # Errors
    /// An option is not valid percent-encoded UTF-8, or whatever `f` returns.
    pub fn each(self, mut f: impl FnMut(&UrlOption) -> Result<()>) -> Result<()> {
        for option in self.0.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            f(&UrlOption { name: decode(option, name)?, value: decode(option, value)? })?;
        }
        Ok(())
    }
}

impl UrlOption {
    /// An error about this option: what was expected instead.
    pub fn error(&self, expected: &str) -> Error {
        Error::usage(format!("source option `{}={}`: {expected}", self.name, self.value))
    }

    /// The elements of a comma-separated value, trimmed; empty ones are left out.
    #[must_use]
    pub fn list(&self) -> Vec<String> {
        list(&self.value)
    }
}

/// The elements of a comma-separated list, trimmed; empty ones are left out. A comma that is part of an element is written
/// `\,`.
#[must_use]
pub fn list(text: &str) -> Vec<String> {
    let mut items = vec![String::new()];
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match (c, items.last_mut()) {
            ('\\', Some(item)) if rest.peek() == Some(&',') => item.extend(rest.next()),
            (',', _) => items.push(String::new()),
            (c, Some(item)) => item.push(c),
            (_, None) => {}
        }
    }
    items.iter().map(|item| item.trim()).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

/// The list of [`list`] that has these elements.
pub fn joined<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> String {
    let escaped: Vec<String> = items.into_iter().map(|item| item.as_ref().replace(',', "\\,")).collect();
    escaped.join(",")
}

fn decode(option: &str, text: &str) -> Result<String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(std::borrow::Cow::into_owned).map_err(|_| {
        Error::usage(format!("source option `{option}`: expected percent-encoded UTF-8"))
            .hint("write a literal `%` as %25 and a literal `&` as %26")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Vec<(String, String)>> {
        let mut all = Vec::new();
        split(url).1.each(|option| {
            all.push((option.name.clone(), option.value.clone()));
            Ok(())
        })?;
        Ok(all)
    }

    #[test]
    fn options_are_percent_decoded() {
        assert_eq!(split("tape:a/b?x=1").0, "tape:a/b");
        for (url, expected) in [
            ("a:", vec![]),
            ("a:?", vec![]),
            ("a:?x=1&y", vec![("x", "1"), ("y", "")]),
            ("a:?symbols=M%26M.NS,BRK%20B", vec![("symbols", "M&M.NS,BRK B")]),
            ("a:?symbols=BTC+USD", vec![("symbols", "BTC+USD")]),
            ("a:?symbols=%E5%B8%81USDT", vec![("symbols", "\u{5e01}USDT")]),
        ] {
            let expected: Vec<(String, String)> =
                expected.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            assert_eq!(parse(url).unwrap(), expected, "{url}");
        }
        assert!(parse("a:?x=%ff").unwrap_err().to_string().contains("percent-encoded"));
    }

    #[test]
    fn lists_keep_case_and_inner_spaces() {
        assert_eq!(list(" BACpL, BRK B ,,x"), ["BACpL", "BRK B", "x"]);
        assert_eq!(list(""), [""; 0]);
    }

    #[test]
    fn a_comma_of_an_element_is_escaped() {
        for items in [&["A,B", "C"][..], &["a\\b", "c\\,d"], &[",", "x,"]] {
            assert_eq!(list(&joined(items)), items);
        }
        assert_eq!(joined(["A,B", "C"]), r"A\,B,C");
    }
}
