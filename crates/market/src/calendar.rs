//! Exchange calendars: which days are sessions, and when each part of a session starts and ends.
//!
//! Holidays and early closes of New York follow NYSE rule 7.2 and its published exceptions; the tests compare every
//! day of 1998-2027 with an independent calendar.

use crate::UnixNanos;
use crate::time::{DAY, HOUR, MINUTE};
use jiff::civil::{Date, Weekday, date};
use jiff::tz::TimeZone;
use std::str::FromStr;

/// The trading calendar of a market.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calendar(Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    NewYork,
    Always,
}

/// Part of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// No trading: night, weekend, holiday.
    Closed,
    /// From 04:00.
    Pre,
    /// From 09:30 to 16:00; to 13:00 on half days.
    Regular,
    /// To 20:00; to 17:00 on half days.
    Post,
}

/// One civil day of an exchange. Times are nanoseconds UTC; each part ends where the next begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day {
    /// Its date, as `20131008`.
    pub yyyymmdd: u32,
    /// Midnight of the exchange.
    pub start: i64,
    /// The next midnight: 23 or 25 hours later on a daylight-saving change.
    pub end: i64,
    /// Start of the pre-market, open and close of the regular session, end of the post-market; all equal on a
    /// day without a session.
    pub parts: [i64; 4],
}

impl Day {
    /// Whether a time is on this day.
    #[must_use]
    #[inline]
    pub const fn holds(&self, ts: i64) -> bool {
        self.start <= ts && ts < self.end
    }

    /// Whether a time is in the regular session.
    #[must_use]
    #[inline]
    pub const fn is_regular(&self, ts: i64) -> bool {
        self.parts[1] <= ts && ts < self.parts[2]
    }

    /// Whether the day has a session.
    #[must_use]
    pub const fn is_session(&self) -> bool {
        self.parts[1] < self.parts[2]
    }

    /// The part of the session that contains a time.
    #[must_use]
    pub fn phase(&self, ts: i64) -> Phase {
        let [pre, open, close, post] = self.parts;
        match ts {
            t if t >= open && t < close => Phase::Regular,
            t if t >= pre && t < open => Phase::Pre,
            t if t >= close && t < post => Phase::Post,
            _ => Phase::Closed,
        }
    }
}

/// Closures outside the rules: attacks, storms, days of mourning.
const CLOSED: &[Date] = &[
    date(2001, 9, 11),
    date(2001, 9, 12),
    date(2001, 9, 13),
    date(2001, 9, 14),
    date(2004, 6, 11),
    date(2007, 1, 2),
    date(2012, 10, 29),
    date(2012, 10, 30),
    date(2018, 12, 5),
    date(2025, 1, 9),
];
/// Early closes outside the rules.
const EARLY: &[Date] = &[date(1999, 12, 31), date(2002, 7, 5), date(2003, 12, 26)];

impl Calendar {
    /// New York stocks.
    pub const XNYS: Self = Self(Kind::NewYork);
    /// Round the clock, in UTC: crypto.
    pub const ALWAYS: Self = Self(Kind::Always);

    /// `XNYS`, `24/7`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self.0 {
            Kind::NewYork => "XNYS",
            Kind::Always => "24/7",
        }
    }

    /// Whether it never closes: each day starts where the previous one ended.
    #[must_use]
    pub const fn is_continuous(self) -> bool {
        matches!(self.0, Kind::Always)
    }

    /// The time zone of its days.
    #[must_use]
    pub const fn zone(self) -> &'static str {
        match self.0 {
            Kind::NewYork => "America/New_York",
            Kind::Always => "UTC",
        }
    }

    /// The day that contains a time.
    #[must_use]
    pub fn day(self, ts: UnixNanos) -> Day {
        if self.0 == Kind::Always {
            let start = ts.0 - ts.since_midnight();
            let end = start.saturating_add(DAY);
            return Day { yyyymmdd: number(ts.date()), start, end, parts: [start, start, end, end] };
        }
        // New York is 4 or 5 hours behind: one of two dates.
        let zone = new_york();
        let late = UnixNanos(ts.0.saturating_sub(4 * HOUR)).date();
        let day = day_of(late, &zone);
        if day.start <= ts.0 { day } else { day_of(late.yesterday().unwrap_or(late), &zone) }
    }

    /// The day of a date.
    #[must_use]
    pub fn day_of(self, date: Date) -> Day {
        match self.0 {
            Kind::NewYork => day_of(date, &new_york()),
            Kind::Always => self.day(midnight(date, &TimeZone::UTC)),
        }
    }
}

impl FromStr for Calendar {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "XNYS" => Ok(Self::XNYS),
            "24/7" => Ok(Self::ALWAYS),
            other => Err(format!("unknown calendar `{other}`; expected XNYS or 24/7")),
        }
    }
}

fn new_york() -> TimeZone {
    // The time zone database is compiled in, so UTC is never used; the type requires it.
    TimeZone::get("America/New_York").unwrap_or(TimeZone::UTC)
}

fn midnight(date: Date, zone: &TimeZone) -> UnixNanos {
    let stamp = zone.to_timestamp(date.at(0, 0, 0, 0)).map_or(0, jiff::Timestamp::as_nanosecond);
    UnixNanos(i64::try_from(stamp).unwrap_or(0))
}

fn number(date: Date) -> u32 {
    date.year().unsigned_abs() as u32 * 10_000
        + date.month().unsigned_abs() as u32 * 100
        + date.day().unsigned_abs() as u32
}

fn day_of(date: Date, zone: &TimeZone) -> Day {
    let start = midnight(date, zone).0;
    let end = midnight(date.tomorrow().unwrap_or(date), zone).0;
    let parts = if is_session(date) {
        let at = |minutes: i64| {
            let civil = date.at((minutes / 60) as i8, (minutes % 60) as i8, 0, 0);
            zone.to_timestamp(civil)
                .ok()
                .and_then(|stamp| i64::try_from(stamp.as_nanosecond()).ok())
                .unwrap_or(start + minutes * MINUTE)
        };
        let early = closes_early(date);
        [
            at(4 * 60),
            at(9 * 60 + 30),
            at(if early { 13 } else { 16 } * 60),
            at(if early { 17 } else { 20 } * 60),
        ]
    } else {
        [start; 4]
    };
    Day { yyyymmdd: number(date), start, end, parts }
}

/// The `nth` given weekday of a month, from 1.
fn nth(date: Date, weekday: Weekday, nth: i8) -> bool {
    date.weekday() == weekday && (date.day() - 1) / 7 + 1 == nth
}

/// Western Easter Sunday, by the anonymous Gregorian computus (Meeus, Astronomical Algorithms, chapter 8).
fn easter(year: i16) -> Option<Date> {
    let y = i32::from(year);
    let (a, b, c) = (y % 19, y / 100, y % 100);
    let h = (19 * a + b - b / 4 - (b - (b + 8) / 25 + 1) / 3 + 15) % 30;
    let l = (32 + 2 * (b % 4) + 2 * (c / 4) - h - c % 4) % 7;
    let m = (a + 11 * h + 22 * l) / 451;
    let day = h + l - 7 * m + 114;
    Date::new(year, (day / 31) as i8, (day % 31 + 1) as i8).ok()
}

/// A fixed holiday on a Saturday is observed on Friday, on a Sunday on Monday.
fn observed(date: Date, month: i8, day: i8) -> bool {
    Date::new(date.year(), month, day).is_ok_and(|holiday| match holiday.weekday() {
        Weekday::Saturday => holiday.yesterday().is_ok_and(|friday| friday == date),
        Weekday::Sunday => holiday.tomorrow().is_ok_and(|monday| monday == date),
        _ => holiday == date,
    })
}

fn is_session(date: Date) -> bool {
    use Weekday::{Friday, Monday, Saturday, Sunday, Thursday};
    let (year, month, day) = (date.year(), date.month(), date.day());
    let holiday = match month {
        // New Year's Day on a Saturday is not observed: the last Friday of the year is the year-end close.
        1 => (day == 1 || (day == 2 && date.weekday() == Monday)) || (year >= 1998 && nth(date, Monday, 3)),
        2 => nth(date, Monday, 3),
        5 => date.weekday() == Monday && day > 24,
        6 => year >= 2022 && observed(date, 6, 19),
        7 => observed(date, 7, 4),
        9 => nth(date, Monday, 1),
        11 => nth(date, Thursday, 4),
        12 => observed(date, 12, 25),
        _ => false,
    };
    let good_friday = date.weekday() == Friday
        && easter(year).is_some_and(|sunday| {
            sunday.yesterday().and_then(Date::yesterday).is_ok_and(|friday| friday == date)
        });
    !(matches!(date.weekday(), Saturday | Sunday) || holiday || good_friday || CLOSED.contains(&date))
}

fn closes_early(date: Date) -> bool {
    use Weekday::{Friday, Thursday};
    let before_thanksgiving_friday = date.month() == 11
        && date.weekday() == Friday
        && date.yesterday().is_ok_and(|thursday| nth(thursday, Thursday, 4));
    let independence_eve = date.month() == 7
        && date.day() == 3
        && date.weekday() != Friday
        && !(date.year() < 2013 && date.tomorrow().is_ok_and(|fourth| fourth.weekday() == Thursday));
    let christmas_eve = date.month() == 12 && date.day() == 24;
    before_thanksgiving_friday || independence_eve || christmas_eve || EARLY.contains(&date)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Session dates and closing times (New York, hhmm) of an independent calendar; see golden/README.md.
    const GOLDEN: &str = include_str!("../tests/golden/xnys.csv");

    #[test]
    fn every_day_agrees_with_an_independent_calendar() {
        let mut golden = GOLDEN.lines().map(|line| line.split_once(',').unwrap()).peekable();
        let mut day = date(1998, 1, 1);
        let mut compared = 0;
        while day < date(2027, 1, 1) {
            let ours = Calendar::XNYS.day_of(day);
            let close = (ours.parts[2] - ours.parts[1]) / MINUTE + 9 * 60 + 30;
            let ours = ours.is_session().then(|| format!("{:02}{:02}", close / 60, close % 60));
            let theirs =
                golden.next_if(|(when, _)| *when == day.to_string()).map(|(_, close)| close.to_owned());
            assert_eq!(ours, theirs, "{day}");
            day = day.tomorrow().unwrap();
            compared += 1;
        }
        assert_eq!(compared, 10_592);
        assert!(golden.next().is_none());
    }

    #[test]
    fn parts_of_a_half_day_and_across_the_change_of_clocks() {
        let at = |text| UnixNanos::parse(text).unwrap();
        for (time, phase) in [
            ("2013-11-29T08:59:59Z", Phase::Closed),
            ("2013-11-29T09:00:00Z", Phase::Pre),
            ("2013-11-29T17:59:59.999Z", Phase::Regular),
            ("2013-11-29T18:00:00Z", Phase::Post),
            ("2013-11-29T22:00:00Z", Phase::Closed),
            // The Fridays and Mondays around both changes: 09:30 is 13:30Z in summer, 14:30Z in winter.
            ("2013-11-01T13:30:00Z", Phase::Regular),
            ("2013-11-04T13:30:00Z", Phase::Pre),
            ("2013-11-04T14:30:00Z", Phase::Regular),
            ("2014-03-07T13:30:00Z", Phase::Pre),
            ("2014-03-10T13:30:00Z", Phase::Regular),
            ("2014-03-09T15:00:00Z", Phase::Closed),
            ("2013-10-09T00:30:00Z", Phase::Closed),
            ("2013-10-08T23:59:59Z", Phase::Post),
        ] {
            assert_eq!(Calendar::XNYS.day(at(time)).phase(at(time).0), phase, "{time}");
        }
        assert_eq!(Calendar::XNYS.day(at("2013-10-09T03:59:59Z")).yyyymmdd, 20131008);
        assert_eq!(Calendar::XNYS.day(at("2014-01-09T04:59:59Z")).yyyymmdd, 20140108);
        assert_eq!(Calendar::XNYS.day(at("2014-01-09T05:00:00Z")).yyyymmdd, 20140109);
        assert_eq!(
            Calendar::ALWAYS.day(at("2013-10-06T23:00:00Z")).phase(at("2013-10-06T23:00:00Z").0),
            Phase::Regular
        );
    }
}
