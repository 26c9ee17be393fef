//! Times as people write them on the command line, and the zones they are read and printed in.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use market::UnixNanos;
use market::time::{DAY, HOUR, MINUTE, SECOND};
use ports::{Error, Result};

/// What `--from`, `--to` and the time of `explain` accept.
pub(crate) const FORMS: &str = "2013-10-08T13:30:00Z, 2013-10-08T09:30[America/New_York], 2013-10-08T09:30, 2013-10-08, \
                                09:30, today, yesterday, now, or -30m, -1h, -2d (ago)";

/// A time zone by its IANA name.
#[derive(Debug, Clone)]
pub(crate) struct Zone(TimeZone);

impl Zone {
    /// Parses an IANA name, as `America/New_York`, or `UTC`.
    pub(crate) fn parse(name: &str) -> std::result::Result<Self, String> {
        let name = if name.eq_ignore_ascii_case("utc") { "UTC" } else { name };
        TimeZone::get(name).map(Self).map_err(|_| {
            format!("unknown time zone `{name}`: expected UTC or an IANA name, as America/New_York")
        })
    }

    pub(crate) fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// Its name, as `America/New_York`.
    pub(crate) fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// Reads a time. One without a zone of its own is in this zone; a date is its midnight.
    pub(crate) fn read(&self, text: &str, now: UnixNanos) -> std::result::Result<UnixNanos, String> {
        let text = text.trim();
        let fail = |reason: &str| format!("`{text}` is not a time: {reason}; expected {FORMS}");
        let at = |zoned: &Zoned| nanos(zoned.timestamp()).ok_or_else(|| fail("outside 1677 to 2262"));
        match text {
            "now" => return Ok(now),
            "today" => return self.midnight(now, 0).ok_or_else(|| fail("out of range")),
            "yesterday" => return self.midnight(now, -1).ok_or_else(|| fail("out of range")),
            _ => {}
        }
        if let Some(ago) = text.strip_prefix('-') {
            let back = duration(ago).ok_or_else(|| fail("expected a number and s, m, h, d or w"))?;
            return Ok(UnixNanos(now.0.saturating_sub(back)));
        }
        if text.contains('[') || text.parse::<Timestamp>().is_ok() {
            return UnixNanos::parse(text).map_err(|error| error.to_string());
        }
        // A time of day is read before a date: jiff takes `09:30` for neither.
        let time_of_day = text.as_bytes().get(2) == Some(&b':');
        let civil = if time_of_day {
            let time: jiff::civil::Time = text.parse().map_err(|error| fail(&format!("{error}")))?;
            self.zoned(now).map(|zoned| zoned.date().to_datetime(time)).ok_or_else(|| fail("out of range"))?
        } else {
            text.parse::<jiff::civil::DateTime>().map_err(|error| fail(&format!("{error}")))?
        };
        at(&self.0.to_zoned(civil).map_err(|error| fail(&format!("{error}")))?)
    }

    /// Whether a time is another instant in each zone.
    pub(crate) fn is_needed(text: &str) -> bool {
        let text = text.trim();
        let own = text == "now" || text.starts_with('-') || text.contains('[');
        !own && text.parse::<Timestamp>().is_err()
    }

    /// The zone's own time, in nanoseconds as if it were UTC.
    pub(crate) fn local(&self, time: UnixNanos) -> i64 {
        let stamp = Timestamp::from_nanosecond(i128::from(time.0));
        let offset = stamp.map_or(0, |stamp| self.0.to_offset(stamp).seconds());
        time.0.saturating_add(i64::from(offset) * SECOND)
    }

    fn zoned(&self, time: UnixNanos) -> Option<Zoned> {
        Timestamp::from_nanosecond(i128::from(time.0)).ok().map(|stamp| stamp.to_zoned(self.0.clone()))
    }

    /// Midnight of the day that `time` is in, `days` later.
    fn midnight(&self, time: UnixNanos, days: i64) -> Option<UnixNanos> {
        let date = self.zoned(time)?.date().checked_add(jiff::Span::new().days(days)).ok()?;
        nanos(self.0.to_zoned(date.at(0, 0, 0, 0)).ok()?.timestamp())
    }

    /// RFC 3339 with `digits` decimals of a second (0 to 9): `…Z` in UTC, else with the zone's offset. Fixed width.
    pub(crate) fn write(&self, time: UnixNanos, digits: u8) -> String {
        let Ok(stamp) = Timestamp::from_nanosecond(i128::from(time.0)) else { return time.to_string() };
        let digits = usize::from(digits);
        if self.0 == TimeZone::UTC {
            return format!("{stamp:.digits$}");
        }
        let offset = self.0.to_offset(stamp);
        let (local, minutes) = (offset.to_datetime(stamp), offset.seconds() / 60);
        let sign = if minutes < 0 { '-' } else { '+' };
        let minutes = minutes.unsigned_abs();
        format!("{local:.digits$}{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

fn nanos(stamp: Timestamp) -> Option<UnixNanos> {
    i64::try_from(stamp.as_nanosecond()).ok().map(UnixNanos)
}

/// `90s`, `30m`, `1h`, `2d`, `1w` in nanoseconds; a day is 24 hours.
fn duration(text: &str) -> Option<i64> {
    let unit = match text.chars().last()? {
        's' => SECOND,
        'm' => MINUTE,
        'h' => HOUR,
        'd' => DAY,
        'w' => 7 * DAY,
        _ => return None,
    };
    let number: i64 = text.get(..text.len() - 1)?.parse().ok().filter(|number| *number >= 0)?;
    number.checked_mul(unit)
}

/// Start, inclusive, and end, exclusive, of what `--from` and `--to` name; everything if neither is given.
pub(crate) fn range(from: Option<&str>, to: Option<&str>, zone: &Zone) -> Result<(UnixNanos, UnixNanos)> {
    let now = ports::clock::now();
    let time = |flag: &str, text: Option<&str>, default: i64| match text {
        Some(text) => zone.read(text, now).map_err(|error| Error::usage(format!("{flag}: {error}"))),
        None => Ok(UnixNanos(default)),
    };
    let (from, to) = (time("--from", from, i64::MIN)?, time("--to", to, i64::MAX)?);
    if from >= to {
        let shown = |time| zone.write(time, 0);
        return Err(Error::usage(format!("--from {} is not before --to {}", shown(from), shown(to))));
    }
    Ok((from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_their_zone() {
        let now = UnixNanos::parse("2013-10-09T02:15:00Z").unwrap();
        for (zone, text, expected) in [
            ("America/New_York", "2013-10-08", "2013-10-08T04:00:00Z"),
            ("UTC", "2013-10-08", "2013-10-08T00:00:00Z"),
            ("America/New_York", "2013-12-04 09:30", "2013-12-04T14:30:00Z"),
            ("America/New_York", "2013-10-08T09:30:00.5", "2013-10-08T13:30:00.5Z"),
            // What names its own zone keeps it.
            ("America/New_York", "2013-10-08T13:30:00Z", "2013-10-08T13:30:00Z"),
            ("America/New_York", "2013-10-08T13:30:00+02:00", "2013-10-08T11:30:00Z"),
            ("UTC", "2013-10-08T09:30[America/New_York]", "2013-10-08T13:30:00Z"),
            // In New York it is still the 8th.
            ("America/New_York", "09:30", "2013-10-08T13:30:00Z"),
            ("UTC", "09:30", "2013-10-09T09:30:00Z"),
            ("America/New_York", "today", "2013-10-08T04:00:00Z"),
            ("UTC", "yesterday", "2013-10-08T00:00:00Z"),
            ("UTC", "now", "2013-10-09T02:15:00Z"),
            ("UTC", "-90s", "2013-10-09T02:13:30Z"),
            ("UTC", "-1h", "2013-10-09T01:15:00Z"),
            ("UTC", "-2d", "2013-10-07T02:15:00Z"),
        ] {
            let time = Zone::parse(zone).unwrap().read(text, now).unwrap();
            assert_eq!(time.to_string(), expected, "{text} in {zone}");
        }
        for bad in ["", "noon", "-1y", "-", "-1", "25:00", "2013-13-01", "2013-10-08T09:30[Mars/Olympus]"] {
            let error = Zone::utc().read(bad, now).unwrap_err();
            assert!(error.contains(&format!("`{bad}` is not a time")), "{error}");
        }
        assert!(Zone::parse("New York").unwrap_err().contains("America/New_York"));
    }

    #[test]
    fn times_are_written_in_a_fixed_width() {
        let time = UnixNanos::parse("2013-10-08T13:30:00.5Z").unwrap();
        assert_eq!(Zone::utc().write(time, 9), "2013-10-08T13:30:00.500000000Z");
        assert_eq!(Zone::utc().write(time, 0), "2013-10-08T13:30:00Z");
        let zone = Zone::parse("America/New_York").unwrap();
        assert_eq!(zone.write(time, 3), "2013-10-08T09:30:00.500-04:00");
        let calcutta = Zone::parse("Asia/Kolkata").unwrap();
        assert_eq!(calcutta.write(time, 0), "2013-10-08T19:00:00+05:30");
    }
}
