//! The seconds and bars of one series that may still change.
//!
//! Records are added to one accumulator per second. The current second is `hot`; when another starts it is
//! merged into the bars of every interval, so that a record in order costs one addition, however many
//! intervals there are. A second is kept until the allowed lateness has passed; it then belongs to its bars
//! permanently (`base`), and a bar whose seconds all do is final.

use super::accumulator::Accumulator;
use super::interval_bars::{Emitted, IntervalBars, OpenBar, Times};
use crate::UnixNanos;
use crate::calendar::{Calendar, Day};
use crate::interval::{Interval, SECOND};
use std::collections::VecDeque;

#[derive(Debug, Clone)]
pub(crate) struct Timeline<C> {
    times: Times,
    calendar: Calendar,
    /// A bar waits for volume that may be carried back to it.
    carries: bool,
    /// The series' own time.
    now: i64,
    day: Day,
    hot_start: i64,
    hot: C,
    /// A bar of the hot second is closed.
    hot_closed: bool,
    seconds: VecDeque<(i64, C)>,
    intervals: Vec<IntervalBars<C>>,
    /// Next deadline of the series' own clock.
    next: i64,
    /// Next deadline of the market's clock.
    due: i64,
    dirty: bool,
}

const NONE: i64 = i64::MIN;

/// Start of the second that contains a time.
#[inline]
pub(crate) fn second_of(ts: i64) -> i64 {
    ts.saturating_sub(ts.rem_euclid(SECOND))
}

impl<C: Accumulator> Timeline<C> {
    pub(crate) fn new(intervals: &[Interval], times: Times, calendar: Calendar, carries: bool) -> Self {
        Self {
            times,
            calendar,
            carries,
            now: NONE,
            day: Day { yyyymmdd: 0, start: 0, end: 0, parts: [0; 4] },
            hot_start: NONE,
            hot: C::default(),
            hot_closed: false,
            seconds: VecDeque::new(),
            intervals: intervals
                .iter()
                .map(|interval| IntervalBars::new(*interval, calendar.is_continuous()))
                .collect(),
            next: i64::MAX,
            due: i64::MAX,
            dirty: false,
        }
    }

    /// Seconds that end by then can no longer change.
    #[inline]
    pub(crate) fn bound(&self) -> i64 {
        self.now.saturating_sub(self.times.allowed_lateness)
    }

    /// The session day that contains a time.
    #[inline]
    pub(crate) fn day(&mut self, ts: i64) -> &Day {
        if !self.day.holds(ts) {
            self.day = self.calendar.day(UnixNanos(ts));
        }
        &self.day
    }

    /// Adds to the second that contains a time and is not sealed.
    #[inline]
    pub(crate) fn add(&mut self, ts: i64, f: impl Fn(&mut C)) {
        let second = second_of(ts);
        if second == self.hot_start && !self.hot_closed {
            f(&mut self.hot);
        } else if second == self.hot_start {
            let before = self.hot.clone();
            f(&mut self.hot);
            if self.hot != before {
                self.restate(ts, 1);
            }
        } else {
            self.elsewhere(ts, second, &f);
        }
    }

    /// Advances the series' time to `now`.
    #[inline]
    pub(crate) fn advance(&mut self, now: i64) {
        self.now = now;
        if now >= self.next {
            self.turn();
        }
    }

    /// Index of a second, or where to insert it.
    #[inline]
    fn at(&self, second: i64) -> Result<usize, usize> {
        match self.seconds.back() {
            Some((last, _)) if *last >= second => {
                self.seconds.binary_search_by_key(&second, |(start, _)| *start)
            }
            _ => Err(self.seconds.len()),
        }
    }

    #[inline(never)]
    fn elsewhere(&mut self, ts: i64, second: i64, f: &dyn Fn(&mut C)) {
        if let Ok(place) = self.at(second) {
            let before = self.seconds[place].1.clone();
            f(&mut self.seconds[place].1);
            if self.seconds[place].1 == before {
                return;
            }
            let day = *self.day(ts);
            for interval_bars in &mut self.intervals {
                let (start, _) = interval_bars.interval.bounds(ts, &day);
                if let Some(bar) = interval_bars.find(start) {
                    f(&mut bar.acc);
                }
            }
            self.restate(ts, 1);
            return;
        }
        self.cool();
        self.hot_start = second;
        f(&mut self.hot);
        let day = *self.day(ts);
        let mut closed = false;
        for interval_bars in &mut self.intervals {
            let bar = interval_bars.find_or_open(ts, &day, self.now, self.times.emit_delay);
            closed |= bar.closed;
            let end = bar.end;
            self.next = self.next.min(end.saturating_add(self.times.emit_delay));
            self.due = self.due.min(end.saturating_add(self.times.emit_delay));
        }
        self.next = self.next.min((second + SECOND).saturating_add(self.times.allowed_lateness));
        self.hot_closed = closed;
        if closed {
            self.restate(ts, 1);
        }
    }

    /// Merges the hot second into its bars.
    fn cool(&mut self) {
        if self.hot_start == NONE {
            return;
        }
        let (second, acc) = (self.hot_start, std::mem::take(&mut self.hot));
        let day = *self.day(second);
        for interval_bars in &mut self.intervals {
            let (start, _) = interval_bars.interval.bounds(second, &day);
            if let Some(bar) = interval_bars.find(start) {
                bar.acc.merge(&acc);
            }
        }
        let place = self.at(second).unwrap_or_else(|place| place);
        self.seconds.insert(place, (second, acc));
        self.hot_start = NONE;
        self.hot_closed = false;
    }

    /// A record changed the data at `ts`: closed bars are to be emitted again.
    fn restate(&mut self, ts: i64, late: u32) {
        let day = *self.day(ts);
        for interval_bars in &mut self.intervals {
            let (start, _) = interval_bars.interval.bounds(ts, &day);
            let Ok(place) = interval_bars.place(start) else { continue };
            let IntervalBars { bars, dirty_from, continuous, .. } = interval_bars;
            let (continuous, day_end) = (*continuous, bars[place].day_end);
            let mut touch = |bar: &mut OpenBar<C>, late: u32| {
                if bar.closed {
                    bar.late += late;
                    bar.revision += 1;
                }
                if bar.emitted || bar.closed {
                    bar.dirty = true;
                    *dirty_from = (*dirty_from).min(bar.start);
                    self.dirty = true;
                }
            };
            touch(&mut bars[place], late);
            if self.carries
                && let Some(earlier) = bars.range_mut(..place).rev().find(|bar| bar.acc.is_bar())
            {
                touch(earlier, 0);
            }
            // The next quote bars open with what this one closes with.
            for later in bars.range_mut(place + 1..) {
                if C::ALONE || !(continuous || later.day_end == day_end) {
                    break;
                }
                touch(later, 0);
                if later.acc.shields() {
                    break;
                }
            }
        }
    }

    /// Replaces a second's accumulator, and restates its bars.
    pub(crate) fn replace(&mut self, ts: i64, acc: C) {
        let second = second_of(ts);
        self.cool();
        let Ok(place) = self.at(second) else { return };
        self.seconds[place].1 = acc;
        let day = *self.day(ts);
        for interval_bars in &mut self.intervals {
            let (start, end) = interval_bars.interval.bounds(ts, &day);
            if let Some(bar) = interval_bars.find(start) {
                bar.acc = bar.base.as_deref().cloned().unwrap_or_default();
                let first = self.seconds.partition_point(|(at, _)| *at < start);
                self.seconds
                    .range(first..)
                    .take_while(|(at, _)| *at < end)
                    .for_each(|(_, c)| bar.acc.merge(c));
            }
        }
        self.restate(ts, 0);
    }

    /// A deadline of the own clock has passed: bars close, seconds are sealed, bars settle.
    fn turn(&mut self) {
        let now = self.now;
        let Times { emit_delay, allowed_lateness } = self.times;
        self.next = i64::MAX;
        let bound = self.bound();
        if self.hot_start != NONE && self.hot_start + SECOND <= bound {
            self.cool();
        }
        while let Some((second, _)) = self.seconds.front() {
            if second + SECOND > bound {
                self.next = (second + SECOND).saturating_add(allowed_lateness);
                break;
            }
            let Some((second, acc)) = self.seconds.pop_front() else { break };
            let day = *self.day(second);
            for interval_bars in &mut self.intervals {
                let (start, end) = interval_bars.interval.bounds(second, &day);
                // A fully sealed bar is never summed again.
                if end <= bound {
                    continue;
                }
                if let Some(bar) =
                    interval_bars.bars.range_mut(interval_bars.settled..).find(|bar| bar.start == start)
                {
                    bar.base.get_or_insert_default().merge(&acc);
                }
            }
        }
        if self.hot_start != NONE {
            self.next = self.next.min((self.hot_start + SECOND).saturating_add(allowed_lateness));
        }
        for interval_bars in &mut self.intervals {
            for bar in interval_bars.bars.range_mut(interval_bars.settled..) {
                let settles = bar.end.saturating_add(allowed_lateness);
                if settles > now {
                    self.next = self.next.min(settles);
                    break;
                }
                (bar.settled, bar.closed, self.dirty) = (true, true, true);
                interval_bars.settled += 1;
            }
            for bar in interval_bars.bars.iter_mut().rev().take_while(|bar| !bar.closed) {
                let closes = bar.end.saturating_add(emit_delay);
                if closes > now {
                    self.next = self.next.min(closes);
                    continue;
                }
                (bar.closed, bar.dirty, self.dirty) = (true, true, true);
                self.hot_closed |= bar.start <= self.hot_start && self.hot_start < bar.end;
                interval_bars.dirty_from = interval_bars.dirty_from.min(bar.start);
            }
        }
    }

    /// Emits what has changed, as of the market's clock.
    #[inline]
    pub(crate) fn take(&mut self, market: i64, emit: &mut dyn FnMut(Emitted<'_, C>)) {
        // The market's clock may be the one that waits for confirmation.
        let market = market.max(self.now);
        if self.dirty || market >= self.due {
            self.emit(market, false, emit);
        }
    }

    /// What a market without sessions carries across the end of a completed session day.
    pub(crate) fn carried(&self, day_end: i64) -> Option<C> {
        let hot = (self.hot_start != NONE).then_some((self.hot_start, &self.hot));
        self.intervals.first().and_then(|interval_bars| interval_bars.carried(day_end, hot))
    }

    /// Starts with what an earlier run carried across the end of a session day.
    pub(crate) fn resume(&mut self, day_end: i64, carried: &C) {
        for interval_bars in self.intervals.iter_mut().filter(|interval_bars| interval_bars.continuous) {
            interval_bars.resume(day_end, carried.clone());
        }
    }

    /// Emits everything, as final.
    pub(crate) fn finish(&mut self, emit: &mut dyn FnMut(Emitted<'_, C>)) {
        self.intervals.iter_mut().for_each(|interval_bars| interval_bars.dirty_from = NONE);
        self.emit(i64::MAX, true, emit);
    }

    #[inline(never)]
    fn emit(&mut self, market: i64, end: bool, emit: &mut dyn FnMut(Emitted<'_, C>)) {
        self.dirty = false;
        self.due = i64::MAX;
        let hot = (self.hot_start != NONE).then_some((self.hot_start, &self.hot));
        for interval_bars in &mut self.intervals {
            interval_bars.emit(market, end, self.carries, self.times, hot, emit);
            interval_bars.release(self.carries);
            let due = interval_bars.due(self.times);
            self.due = self.due.min(due);
        }
        // Bars emitted by the market's clock are closed from now on.
        if self.hot_start != NONE {
            let (second, day) = (self.hot_start, *self.day(self.hot_start));
            self.hot_closed = self.intervals.iter().any(|interval_bars| {
                interval_bars
                    .place(interval_bars.interval.bounds(second, &day).0)
                    .is_ok_and(|at| interval_bars.bars[at].closed)
            });
        }
    }
}
