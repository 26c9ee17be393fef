//! The kind of a record: an index into the list of tables in [`crate::kinds`].
//!
//! What holds for a kind is a field of its table. Code asks for that and names no kind, except where it needs the values of
//! one, as a vendor's decoder does.

use crate::{UnixNanos, time};
use std::fmt;
use std::str::FromStr;

/// Kind of a record: the topic of its message and the table that stores it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind(u8);

impl Kind {
    /// Something was bought and sold.
    pub const TRADE: Self = Self(0);
    /// The best bid or ask changed.
    pub const QUOTE: Self = Self(1);
    /// A sensor, or whatever else yields a time series, was read.
    pub const READING: Self = Self(2);

    /// The kind of an index.
    pub(crate) const fn at(index: usize) -> Self {
        Self(index as u8)
    }

    /// Its position in [`Kind::ALL`].
    #[must_use]
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// `trade`, `quote`, `reading`: its name.
    #[must_use]
    #[inline]
    pub const fn name(self) -> &'static str {
        self.table().singular
    }

    /// `trades`, `quotes`, `readings`: the word for topics, tables and people.
    #[must_use]
    #[inline]
    pub const fn plural(self) -> &'static str {
        self.table().plural
    }

    /// The span of event time that one partition of its table holds.
    #[must_use]
    #[inline]
    pub const fn bucket(self) -> Bucket {
        self.table().bucket
    }

    /// What its records are about: an instrument of an exchange, or a series of its own.
    #[must_use]
    #[inline]
    pub const fn subject(self) -> Subject {
        self.table().subject
    }

    /// Values of the bars that its records are aggregated into; `None` if they are not aggregated.
    #[must_use]
    #[inline]
    pub const fn bars(self) -> Option<BarShape> {
        self.table().bars
    }

    /// The kind of a name.
    #[must_use]
    #[inline]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name().as_bytes() == name)
    }

    /// The kinds whose records are about a subject.
    pub fn about(subject: Subject) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |kind| kind.subject() == subject)
    }

    /// The kinds whose records are aggregated into bars.
    pub fn aggregated() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|kind| kind.bars().is_some())
    }
}

/// What records of a kind are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// An instrument, traded on an exchange that has a calendar and a time zone.
    Instrument,
    /// A series without an exchange, as of a sensor: its times are in UTC, and its name may contain commas.
    Series,
}

/// Which numbers the bars of a kind have: the variant of [`crate::bar::Values`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BarShape {
    /// [`crate::bar::TradeValues`].
    Trades,
    /// [`crate::bar::QuoteValues`].
    Quotes,
    /// [`crate::bar::ReadingValues`].
    Readings,
}

impl BarShape {
    /// `bars`, `quote-bars`, `reading-bars`: the word for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trades => "bars",
            Self::Quotes => "quote-bars",
            Self::Readings => "reading-bars",
        }
    }

    /// `bars`, `quote_bars`, `reading_bars`: the name of the table.
    #[must_use]
    pub const fn table(self) -> &'static str {
        match self {
            Self::Trades => "bars",
            Self::Quotes => "quote_bars",
            Self::Readings => "reading_bars",
        }
    }
}

/// A span of event time that a partition of a table holds, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bucket {
    /// An hour: for what comes many times a second.
    Hour,
    /// A day: for what comes every few seconds or minutes.
    Day,
}

impl Bucket {
    /// `hour`, `day`: the name of the column.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// Nanoseconds.
    #[must_use]
    #[inline]
    pub const fn length(self) -> i64 {
        match self {
            Self::Hour => time::HOUR,
            Self::Day => time::DAY,
        }
    }

    /// Start of the bucket that a time falls in.
    #[must_use]
    #[inline]
    pub const fn start(self, time: UnixNanos) -> UnixNanos {
        // The first bucket of all begins before the earliest time there is.
        UnixNanos(time.0.div_euclid(self.length()).saturating_mul(self.length()))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kind({self})")
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let found = Self::ALL.into_iter().find(|kind| [kind.name(), kind.plural()].contains(&text));
        found.ok_or_else(|| {
            format!(
                "unknown record kind `{text}`; expected one of {}",
                Self::ALL.map(Self::plural).join(", ")
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_name_the_tables_at_their_index() {
        let named = [Kind::TRADE, Kind::QUOTE, Kind::READING].map(Kind::name);
        assert_eq!(named, ["trade", "quote", "reading"]);
        assert_eq!(Kind::ALL.map(Kind::index)[..3], [0, 1, 2]);
        for kind in Kind::ALL {
            assert_eq!(Kind::from_name(kind.name().as_bytes()), Some(kind));
            assert_eq!(kind.plural().parse(), Ok(kind));
        }
    }
}
