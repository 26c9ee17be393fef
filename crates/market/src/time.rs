//! Time is nanoseconds since 1970 in UTC. Civil time appears only at the edges: in text, and in the exchange's
//! session day, which is not a UTC day.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use std::fmt;

/// Nanoseconds in an hour: the width of a store partition.
pub const HOUR: i64 = 3_600_000_000_000;
/// Nanoseconds in a day.
pub const DAY: i64 = 24 * HOUR;
/// Nanoseconds in a millisecond.
pub const MILLI: i64 = 1_000_000;
/// Nanoseconds in a second.
pub const SECOND: i64 = 1_000_000_000;
/// Nanoseconds in a minute.
pub const MINUTE: i64 = 60 * SECOND;

/// Nanoseconds since 1970-01-01T00:00:00Z, without leap seconds as in Unix time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixNanos(pub i64);

/// Why a text is not a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a time: {reason}; expected 2013-10-08T13:30:00.123456789Z, 2013-10-08 (midnight UTC) or 2013-10-08T09:30[America/New_York]"
)]
pub struct TimeError {
    text: String,
    reason: String,
}

impl UnixNanos {
    /// Start of its hour: the bucket of a store partition.
    #[must_use]
    pub const fn hour(self) -> Self {
        Self(self.0.div_euclid(HOUR) * HOUR)
    }

    /// Nanoseconds since the UTC midnight before it.
    #[must_use]
    pub const fn since_midnight(self) -> i64 {
        self.0.rem_euclid(DAY)
    }

    /// Days since 1970-01-01, UTC.
    #[must_use]
    pub const fn epoch_day(self) -> i64 {
        self.0.div_euclid(DAY)
    }

    /// Milliseconds since 1970, rounded down.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(MILLI)
    }

    /// Formats it with a `strftime` pattern in a zone's time; in UTC if the zone is unknown.
    #[must_use]
    pub fn local(self, pattern: &str, zone: &str) -> String {
        let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
        Timestamp::from_nanosecond(i128::from(self.0))
            .map_or_else(|_| self.to_string(), |stamp| stamp.to_zoned(zone).strftime(pattern).to_string())
    }

    /// Its date in UTC.
    #[must_use]
    pub fn date(self) -> Date {
        Timestamp::from_nanosecond(i128::from(self.0))
            .map_or(Date::ZERO, |stamp| TimeZone::UTC.to_datetime(stamp).date())
    }

    /// Midnight UTC of the first of a month.
    #[must_use]
    pub fn from_date(year: i16, month: i8) -> Self {
        let civil = Date::new(year, month, 1).unwrap_or(Date::ZERO).at(0, 0, 0, 0);
        let stamp = TimeZone::UTC.to_timestamp(civil).map_or(0, Timestamp::as_nanosecond);
        Self(i64::try_from(stamp).unwrap_or(0))
    }

    /// Parses RFC 3339 (`2013-10-08T13:30:00Z`), a date (midnight UTC), or a time with a zone's name
    /// (`2013-10-08T09:30[America/New_York]`). A time without a zone is rejected, because it is ambiguous.
    ///
    /// # Errors
    /// [`TimeError`] with the text and the expected format.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        if let Some(instant) = zulu(text.as_bytes()) {
            return Ok(instant);
        }
        let fail = |reason: String| TimeError { text: text.to_owned(), reason };
        let stamp = if text.contains('[') {
            text.parse::<Zoned>().map(|zoned| zoned.timestamp())
        } else if let Ok(stamp) = text.parse::<Timestamp>() {
            Ok(stamp)
        } else {
            let civil = text.parse::<jiff::civil::DateTime>();
            // A time of day is a different instant in each zone.
            if civil.is_ok() && text.contains(':') {
                return Err(fail("it has no time zone".to_owned()));
            }
            civil.and_then(|civil| TimeZone::UTC.to_timestamp(civil))
        };
        let stamp = stamp.map_err(|error| fail(error.to_string()))?;
        i64::try_from(stamp.as_nanosecond())
            .map(Self)
            .map_err(|_| fail("outside 1677..2262, the range of nanoseconds in 64 bits".to_owned()))
    }
}

/// Fast path for `2021-01-27T10:35:34[.82840127]Z`, the common format of vendors' streams, without the
/// generality of [`UnixNanos::parse`]; `None` for anything else. Days by H. Hinnant's `days_from_civil`.
fn zulu(text: &[u8]) -> Option<UnixNanos> {
    let (head, tail) = text.split_at_checked(19)?;
    let digit = |at: usize| Some(i64::from(head[at].wrapping_sub(b'0'))).filter(|digit| *digit < 10);
    let two = |at: usize| Some(digit(at)? * 10 + digit(at + 1)?);
    if [head[4], head[7], head[10], head[13], head[16]] != *b"--T::" {
        return None;
    }
    let (year, month, day) = (two(0)? * 100 + two(2)?, two(5)?, two(8)?);
    let (hour, minute, second) = (two(11)?, two(14)?, two(17)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 59 || !(1678..2262).contains(&year)
    {
        return None;
    }
    let nanos = match tail {
        b"Z" => 0,
        [b'.', places @ .., b'Z'] if (1..=9).contains(&places.len()) => {
            let mut value = 0;
            for byte in places {
                value = value * 10 + Some(i64::from(byte.wrapping_sub(b'0'))).filter(|digit| *digit < 10)?;
            }
            value * 10_i64.pow(9 - places.len() as u32)
        }
        _ => return None,
    };
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let of_era = y % 400;
    let of_year = (153 * m + 2) / 5 + day - 1;
    let date = y / 400 * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some(UnixNanos((date * 86_400 + hour * 3_600 + minute * 60 + second) * 1_000_000_000 + nanos))
}

impl fmt::Display for UnixNanos {
    /// RFC 3339 in UTC with as many of nine decimals as it needs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(stamp) => f.pad(&stamp.to_string()),
            Err(_) => write!(f, "{}ns", self.0),
        }
    }
}

impl fmt::Debug for UnixNanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnixNanos({self})")
    }
}

/// One session day of an exchange: converts "time since local midnight" to UTC, correctly across
/// daylight-saving changes.
///
/// Clocks change on the hour, so one offset per hour of the day is exact.
#[derive(Debug, Clone)]
pub struct SessionDay {
    date: Date,
    /// UTC nanoseconds of local 00:00, 01:00, … 24:00 and a few hours past it.
    hours: [i64; 32],
}

impl SessionDay {
    /// The session of `yyyymmdd` (as `20131008`) on an exchange in `zone` (as `America/New_York`).
    ///
    /// # Errors
    /// Either is invalid.
    pub fn new(yyyymmdd: u32, zone: &str) -> Result<Self, String> {
        let date = Date::new(
            i16::try_from(yyyymmdd / 10_000).unwrap_or(0),
            (yyyymmdd / 100 % 100) as i8,
            (yyyymmdd % 100) as i8,
        )
        .map_err(|error| format!("{yyyymmdd} is not a date (yyyymmdd): {error}"))?;
        let zone = TimeZone::get(zone).map_err(|error| format!("unknown time zone {zone}: {error}"))?;
        let mut hours = [0; 32];
        for (hour, slot) in hours.iter_mut().enumerate() {
            let civil = date.at(0, 0, 0, 0) + jiff::Span::new().hours(hour as i64);
            let stamp = zone.to_timestamp(civil).map_err(|error| error.to_string())?;
            *slot =
                i64::try_from(stamp.as_nanosecond()).map_err(|_| format!("{yyyymmdd} is out of range"))?;
        }
        Ok(Self { date, hours })
    }

    /// The session's date as `yyyymmdd`.
    #[must_use]
    pub fn yyyymmdd(&self) -> u32 {
        self.date.year().unsigned_abs() as u32 * 10_000
            + self.date.month().unsigned_abs() as u32 * 100
            + self.date.day().unsigned_abs() as u32
    }

    /// UTC of the local time `nanos` after midnight; `None` beyond the day and its tail of 8 hours.
    #[must_use]
    #[inline]
    pub fn at(&self, nanos: i64) -> Option<UnixNanos> {
        let hour = usize::try_from(nanos.div_euclid(HOUR)).ok()?;
        Some(UnixNanos(self.hours.get(hour)? + nanos.rem_euclid(HOUR)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_times() {
        let cases = [
            ("2013-10-08T13:30:00.123456789Z", 1_381_239_000_123_456_789, "2013-10-08T13:30:00.123456789Z"),
            ("2013-10-08T09:30:00-04:00", 1_381_239_000_000_000_000, "2013-10-08T13:30:00Z"),
            ("2013-10-08T09:30[America/New_York]", 1_381_239_000_000_000_000, "2013-10-08T13:30:00Z"),
            ("2013-10-08", 1_381_190_400_000_000_000, "2013-10-08T00:00:00Z"),
            ("1969-12-31T23:59:59.5Z", -500_000_000, "1969-12-31T23:59:59.5Z"),
        ];
        for (text, nanos, shown) in cases {
            let time = UnixNanos::parse(text).unwrap();
            assert_eq!((time.0, time.to_string().as_str()), (nanos, shown), "{text}");
        }
        for bad in ["", "now", "2013-13-01", "9999-01-01T00:00:00Z", "13:30", "2013-10-08T09:30"] {
            let error = UnixNanos::parse(bad).unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{bad}` is not a time")), "{error}");
        }
    }

    #[test]
    fn a_time_before_1970_falls_in_the_hour_before() {
        let time = UnixNanos(-1);
        assert_eq!(time.hour().0, -HOUR);
        assert_eq!(time.since_midnight(), DAY - 1);
        assert_eq!(time.epoch_day(), -1);
        assert_eq!(time.millis(), -1);
    }

    #[test]
    fn the_session_is_right_across_both_changes_of_clocks() {
        let nine_thirty = 9 * HOUR + HOUR / 2;
        // Summer, winter; then the Sundays of the daylight-saving changes, before and after 02:00.
        let cases = [
            (20131008, nine_thirty, "2013-10-08T13:30:00Z"),
            (20131204, nine_thirty, "2013-12-04T14:30:00Z"),
            (20131103, HOUR / 2, "2013-11-03T04:30:00Z"),
            (20131103, nine_thirty, "2013-11-03T14:30:00Z"),
            (20140309, HOUR, "2014-03-09T06:00:00Z"),
            (20140309, nine_thirty, "2014-03-09T13:30:00Z"),
            (20131008, 24 * HOUR, "2013-10-09T04:00:00Z"),
        ];
        for (day, nanos, expected) in cases {
            let session = SessionDay::new(day, "America/New_York").unwrap();
            assert_eq!(session.at(nanos).unwrap().to_string(), expected, "{day}");
            assert_eq!(session.yyyymmdd(), day);
        }
        let session = SessionDay::new(20131008, "America/New_York").unwrap();
        assert_eq!(session.at(-1), None);
        assert_eq!(session.at(33 * HOUR), None);
        assert!(SessionDay::new(20131308, "America/New_York").is_err());
        assert!(SessionDay::new(20131008, "Mars/Olympus").is_err());
    }

    proptest::proptest! {
        #[test]
        fn the_short_way_to_read_an_instant_is_the_long_way(
            text in "(16|19|20|22)[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{0,10})?Z",
            nanos in -8_000_000_000_000_000_000_i64..8_000_000_000_000_000_000,
        ) {
            if let Some(instant) = zulu(text.as_bytes()) {
                let long: Timestamp = text.parse().unwrap();
                proptest::prop_assert_eq!(i128::from(instant.0), long.as_nanosecond(), "{}", text);
            }
            let text = UnixNanos(nanos).to_string();
            let year: i32 = text[..4].parse().unwrap();
            let short = zulu(text.as_bytes());
            proptest::prop_assert_eq!(short.is_some(), (1678..2262).contains(&year));
            proptest::prop_assert!(short.is_none_or(|instant| instant.0 == nanos));
        }
    }
}
