//! What all formats of lines have in common: their names, the fields of a row, and the callback for readings.

use crate::reading::{Reading, ValueType};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineFormat {
    /// InfluxDB line protocol.
    Influx,
    /// A JSON object per line.
    Ndjson,
    /// Values between delimiters, below a header.
    Csv,
    /// The line is the value: a bare number or word, as many devices publish.
    Bare,
}

impl LineFormat {
    const ALL: [Self; 4] = [Self::Influx, Self::Ndjson, Self::Csv, Self::Bare];

    /// `influx`, `ndjson`, `csv`, `bare`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Influx => "influx",
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            Self::Bare => "bare",
        }
    }
}

impl fmt::Display for LineFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for LineFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|format| format.name() == text);
        found.ok_or_else(|| format!("expected one of {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// A name of a row and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name of a column, a member, a tag or a field.
    pub name: Cow<'a, str>,
    /// What it holds, without quotation marks.
    pub text: Cow<'a, str>,
    /// The type that the format gives it; `None` where any text might be a number.
    pub class: Option<ValueType>,
}

/// Called with each reading of a line, or with the reason why a part of it is none.
pub type ReadingSink<'s> = &'s mut dyn FnMut(Result<Reading<&str>, String>);
