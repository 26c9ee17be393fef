//! The time axis of candles: one slot per bar, ticks at round local times.

use crate::time_input::Zone;
use market::UnixNanos;
use market::time::{DAY, HOUR, MINUTE, SECOND};
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, ValueFormatter};
use plotters::prelude::Ranged;
use std::ops::Range;

/// Steps of ticks within a day.
const STEPS: [i64; 16] = [
    SECOND,
    5 * SECOND,
    10 * SECOND,
    15 * SECOND,
    30 * SECOND,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
];

/// Slots from left to right, with labelled ticks at some.
#[derive(Debug, Clone)]
pub(super) struct TimeAxis {
    pub(super) ticks: Vec<(f64, String)>,
    /// The end of the last slot.
    pub(super) width: f64,
}

impl Ranged for TimeAxis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let share = (value + 1.0) / (self.width + 1.0);
        limit.0 + (share * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<H: KeyPointHint>(&self, _: H) -> Vec<f64> {
        self.ticks.iter().map(|(x, _)| *x).collect()
    }

    fn range(&self) -> Range<f64> {
        -1.0..self.width
    }
}

impl ValueFormatter<f64> for TimeAxis {
    fn format_ext(&self, value: &f64) -> String {
        let tick = self.ticks.iter().find(|(x, _)| (x - value).abs() < 1e-9);
        tick.map_or_else(String::new, |(_, label)| label.clone())
    }
}

/// A bar's slot and when it starts.
pub(super) type Slot = (f64, UnixNanos);

/// Minimum distance between labels in pixels.
const APART: f64 = 80.0;

/// Ticks for an axis of `pixels`, at round times: times of day, with the date where a day starts if the bars cover more than
/// one, or days alone; for daily bars days, weeks, months, quarters or years.
pub(super) fn ticks(slots: &[Slot], zone: &Zone, daily: bool, pixels: f64) -> Vec<(f64, String)> {
    let local: Vec<(f64, i64)> = slots.iter().map(|(x, start)| (*x, zone.local(*start))).collect();
    let day = |time: i64| time.div_euclid(DAY);
    let one_day = local.first().map(|(_, time)| day(*time)) == local.last().map(|(_, time)| day(*time));
    let most = ((pixels / APART) as usize).max(2);
    let candidates: Vec<Vec<(f64, String)>> = if daily {
        let week = |time: i64| (day(time) + 3).div_euclid(7);
        let month = |time: i64| {
            let text = date(time, "%Y %m");
            let number = |part: Option<&str>| part.and_then(|part| part.parse().ok()).unwrap_or(0_i64);
            let mut parts = text.split(' ');
            number(parts.next()) * 12 + number(parts.next()) - 1
        };
        vec![
            changes(&local, day, "%Y-%m-%d"),
            changes(&local, week, "%Y-%m-%d"),
            changes(&local, month, "%Y-%m"),
            changes(&local, |time| month(time).div_euclid(3), "%Y-%m"),
            changes(&local, |time| month(time).div_euclid(12), "%Y"),
            changes(&local, |time| month(time).div_euclid(60), "%Y"),
        ]
    } else if one_day {
        STEPS.iter().map(|step| times(&local, *step)).collect()
    } else {
        let days = changes(&local, day, "%m-%d");
        let thin = |every: usize| days.iter().step_by(every).cloned().collect();
        let within = STEPS.iter().filter(|step| **step >= MINUTE).map(|step| days_and_times(&local, *step));
        // The first day is labelled even if its midnight is not shown.
        within.chain([1, 2, 5, 10, 20, 50].map(thin)).collect()
    };
    let last = candidates.len().saturating_sub(1);
    let fits = |(index, ticks): &(usize, Vec<(f64, String)>)| ticks.len() <= most || *index == last;
    let mut ticks = candidates.into_iter().enumerate().find(fits).map(|(_, ticks)| ticks).unwrap_or_default();
    // Silent hours take no room, so round times may be close together there.
    let slots = slots.last().map_or(1.0, |(x, _)| x + 2.0);
    let mut last = f64::NEG_INFINITY;
    ticks.retain(|(x, _)| {
        let fits = (x - last) * pixels / slots >= APART * 0.75;
        if fits {
            last = *x;
        }
        fits
    });
    ticks
}

/// The first slot, and those where a new period starts.
fn changes(slots: &[(f64, i64)], period: impl Fn(i64) -> i64, pattern: &str) -> Vec<(f64, String)> {
    let mut last = None;
    let mut out = Vec::new();
    for (x, time) in slots {
        let of = period(*time);
        if last != Some(of) {
            out.push((*x, date(*time, pattern)));
        }
        last = Some(of);
    }
    out
}

/// Where the time of day passes a multiple of `step`.
fn times(slots: &[(f64, i64)], step: i64) -> Vec<(f64, String)> {
    let pattern = if step < MINUTE { "%H:%M:%S" } else { "%H:%M" };
    let mut out = Vec::new();
    let mut last: Option<(f64, i64)> = None;
    for (x, time) in slots {
        let round = time.div_euclid(step) * step;
        match last {
            // The bar at the round time itself may be missing: the tick is between its neighbours.
            Some((before, earlier)) if earlier < round => {
                let share = (round - earlier) as f64 / (time - earlier) as f64;
                out.push((before + (x - before) * share, date(round, pattern)));
            }
            None if round == *time => out.push((*x, date(round, pattern))),
            _ => {}
        }
        last = Some((*x, *time));
    }
    out
}

/// The date at the first slot and those where a day starts, and between them where the time of day passes a multiple of `step`.
fn days_and_times(slots: &[(f64, i64)], step: i64) -> Vec<(f64, String)> {
    let days = changes(slots, |time| time.div_euclid(DAY), "%m-%d");
    let mut out = Vec::new();
    let mut rest = slots;
    for (index, (x, label)) in days.iter().enumerate() {
        let end = days.get(index + 1).map_or(f64::INFINITY, |(next, _)| *next);
        let (of_day, behind) = rest.split_at(rest.partition_point(|(slot, _)| *slot < end));
        out.push((*x, label.clone()));
        out.extend(times(of_day, step).into_iter().filter(|(at, _)| at > x));
        rest = behind;
    }
    out
}

/// Formats a local time, in nanoseconds as if it were UTC, with a `strftime` pattern.
fn date(local: i64, pattern: &str) -> String {
    UnixNanos(local).local(pattern, "UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(start: &str, step: i64, count: i64) -> Vec<Slot> {
        let start = UnixNanos::parse(start).unwrap().0;
        (0..count).map(|index| (index as f64, UnixNanos(start + index * step))).collect()
    }

    fn labels(slots: &[Slot], daily: bool, most: u32) -> Vec<String> {
        let zone = Zone::parse("America/New_York").unwrap();
        ticks(slots, &zone, daily, f64::from(most) * APART).into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_on_round_times_of_the_zone() {
        // A session in five minutes: the hours.
        let session = slots("2013-10-08T13:30:00Z", 5 * MINUTE, 78);
        assert_eq!(labels(&session, false, 8), ["10:00", "11:00", "12:00", "13:00", "14:00", "15:00"]);
        let minute = slots("2013-10-08T13:30:00Z", SECOND, 60);
        assert_eq!(
            labels(&minute, false, 7),
            ["09:30:00", "09:30:10", "09:30:20", "09:30:30", "09:30:40", "09:30:50"]
        );
        let days = slots("2013-09-03T04:00:00Z", DAY, 60);
        assert_eq!(labels(&days, true, 4), ["2013-09", "2013-10", "2013-11"]);
        let two = slots("2013-10-08T18:00:00Z", HOUR, 24);
        assert_eq!(labels(&two, false, 8), ["10-08", "18:00", "10-09", "06:00", "12:00"]);
        let month = slots("2013-10-07T13:30:00Z", HOUR, 24 * 20);
        assert_eq!(labels(&month, false, 6), ["10-07", "10-12", "10-17", "10-22", "10-27"]);
    }

    #[test]
    fn labels_do_not_lie_over_each_other() {
        // Three hours in three slots, then a bar a minute.
        let mut few = slots("2013-10-08T11:00:00Z", HOUR, 3);
        let many = slots("2013-10-08T14:00:00Z", MINUTE, 120);
        few.extend(many.into_iter().map(|(x, start)| (x + 3.0, start)));
        assert_eq!(labels(&few, false, 8), ["07:00", "10:30", "11:00", "11:30"]);
    }

    #[test]
    fn a_missing_bar_moves_no_tick_to_another_time() {
        let mut session = slots("2013-10-08T13:58:00Z", MINUTE, 10);
        session.remove(2);
        let zone = Zone::parse("America/New_York").unwrap();
        let ticks = ticks(&session, &zone, false, 2.0 * APART);
        assert_eq!(ticks, [(2.0, "10:00".to_owned()), (7.0, "10:05".to_owned())]);
    }
}
