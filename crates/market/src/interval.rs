//! Bar intervals: `1s`, `5m`, `1h`, `1d`.

use crate::UnixNanos;
use crate::calendar::Day;
use crate::time::HOUR;
pub use crate::time::{MINUTE, SECOND};
use std::fmt;
use std::str::FromStr;

/// The width of a bar: whole seconds that divide a day evenly, or one session day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Interval {
    /// Nanoseconds; [`i64::MAX`] for the session day, whose length varies with daylight saving.
    nanos: i64,
}

impl Interval {
    /// One second.
    pub const S1: Self = Self { nanos: SECOND };
    /// One minute.
    pub const M1: Self = Self { nanos: MINUTE };
    /// One session day, from midnight to midnight of the exchange.
    pub const D1: Self = Self { nanos: i64::MAX };

    /// Whether it is the session day.
    #[must_use]
    pub const fn is_day(self) -> bool {
        self.nanos == i64::MAX
    }

    /// Its width; `None` for the session day.
    #[must_use]
    pub fn nanos(self) -> Option<i64> {
        (!self.is_day()).then_some(self.nanos)
    }

    /// The bar that contains a time: start, inclusive, and end, exclusive. Bars of up to an hour start at
    /// whole multiples in UTC, as in every zone whose offset is whole hours; longer ones count from midnight
    /// at the exchange, and the last of a day ends with it.
    #[must_use]
    #[inline]
    pub fn bounds(self, ts: i64, day: &Day) -> (i64, i64) {
        if self.is_day() {
            return (day.start, day.end);
        }
        let origin = if self.nanos <= HOUR { 0 } else { day.start };
        let start = origin + (ts - origin).div_euclid(self.nanos) * self.nanos;
        let end = start + self.nanos;
        (start, if origin == 0 { end } else { end.min(day.end) })
    }

    /// Start of the store partition that contains a bar's start: a day for bars below a minute, a month below
    /// an hour, otherwise a year: at most 86,400 rows.
    #[must_use]
    pub fn period(self, start: UnixNanos) -> UnixNanos {
        if self.nanos < MINUTE {
            return UnixNanos(start.0.saturating_sub(start.since_midnight()));
        }
        let date = start.date();
        let month = if self.nanos < HOUR { date.month() } else { 1 };
        UnixNanos::from_date(date.year(), month)
    }

    /// Start of the store partition after the one that starts at `period`.
    #[must_use]
    pub fn next_period(self, period: UnixNanos) -> UnixNanos {
        // Into the next day, month or year, and not beyond it.
        let days = match self.nanos {
            ..MINUTE => 1,
            MINUTE..HOUR => 31,
            _ => 366,
        };
        self.period(UnixNanos(period.0.saturating_add(days * crate::time::DAY)))
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.nanos {
            i64::MAX => "1d".to_owned(),
            n if n % HOUR == 0 => format!("{}h", n / HOUR),
            n if n % MINUTE == 0 => format!("{}m", n / MINUTE),
            n => format!("{}s", n / SECOND),
        };
        f.pad(&text)
    }
}

impl FromStr for Interval {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fail = || format!("`{text}` is not an interval: expected 1s, 30s, 1m, 5m, 15m, 1h, 4h or 1d");
        let text = text.trim();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let count: i64 = text[..digits].parse().map_err(|_| fail())?;
        let unit = match &text[digits..] {
            "s" | "sec" => SECOND,
            "m" | "min" => MINUTE,
            "h" | "hour" => HOUR,
            "d" | "day" if count == 1 => return Ok(Self::D1),
            _ => return Err(fail()),
        };
        let nanos = count.checked_mul(unit).filter(|n| *n > 0).ok_or_else(fail)?;
        if 24 * HOUR % nanos != 0 || (nanos < HOUR && HOUR % nanos != 0) {
            return Err(format!("`{text}` does not divide an hour or a day evenly"));
        }
        if nanos == 24 * HOUR {
            return Ok(Self::D1);
        }
        Ok(Self { nanos })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::Calendar;

    #[test]
    fn texts_are_read_and_written() {
        for (text, shown) in
            [("1s", "1s"), ("60s", "1m"), ("90m", "90m"), ("24h", "1d"), ("1d", "1d"), (" 15min", "15m")]
        {
            let interval: Interval = text.parse().unwrap();
            assert_eq!(interval.to_string(), shown);
        }
        for bad in ["", "m", "0s", "7m", "2d", "1w", "-1m", "5h"] {
            assert!(bad.parse::<Interval>().is_err(), "{bad}");
        }
    }

    #[test]
    fn bars_begin_where_they_should() {
        let calendar = Calendar::XNYS;
        for (text, time, start, end) in [
            ("1m", "2013-10-08T13:30:59.9Z", "2013-10-08T13:30:00Z", "2013-10-08T13:31:00Z"),
            ("1h", "2013-10-08T13:30:00Z", "2013-10-08T13:00:00Z", "2013-10-08T14:00:00Z"),
            ("4h", "2013-10-08T13:30:00Z", "2013-10-08T12:00:00Z", "2013-10-08T16:00:00Z"),
            ("4h", "2013-12-04T13:30:00Z", "2013-12-04T13:00:00Z", "2013-12-04T17:00:00Z"),
            ("1d", "2013-10-09T01:30:00Z", "2013-10-08T04:00:00Z", "2013-10-09T04:00:00Z"),
            // Daylight-saving changes: a day of 25 hours, one of 23.
            ("1d", "2013-11-03T12:00:00Z", "2013-11-03T04:00:00Z", "2013-11-04T05:00:00Z"),
            ("1d", "2014-03-09T12:00:00Z", "2014-03-09T05:00:00Z", "2014-03-10T04:00:00Z"),
        ] {
            let at = |text| UnixNanos::parse(text).unwrap();
            let day = calendar.day(at(time));
            let bounds = text.parse::<Interval>().unwrap().bounds(at(time).0, &day);
            assert_eq!((UnixNanos(bounds.0), UnixNanos(bounds.1)), (at(start), at(end)), "{text} {time}");
        }
    }

    #[test]
    fn a_partition_holds_at_most_a_day_of_seconds() {
        let start = UnixNanos::parse("2013-10-08T13:30:59Z").unwrap();
        for (text, period) in [
            ("1s", "2013-10-08"),
            ("1m", "2013-10-01"),
            ("15m", "2013-10-01"),
            ("1h", "2013-01-01"),
            ("1d", "2013-01-01"),
        ] {
            let interval: Interval = text.parse().unwrap();
            assert_eq!(interval.period(start), UnixNanos::parse(period).unwrap(), "{text}");
        }
    }
}
