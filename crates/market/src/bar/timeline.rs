//! The seconds and bars of one series that may still change.
//!
//! Records go into cells of a second. The second being filled is `hot`; when another begins it is merged into the bars
//! of every interval, so that a record in order costs one cell whatever the number of intervals. A second stays at hand
//! until the horizon is past; then it is part of its bars for good (`base`), and a bar whose seconds all are is final.

use super::cell::Cell;
use super::level::{Level, Open, Told};
use crate::UnixNanos;
use crate::calendar::{Calendar, Day};
use crate::interval::{Interval, SECOND};
use std::collections::VecDeque;

/// When bars close and when they can no longer change, nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) grace: i64,
    pub(crate) horizon: i64,
}

#[derive(Debug, Clone)]
pub(crate) struct Timeline<C> {
    times: Times,
    calendar: Calendar,
    /// A bar waits for the volume that may be carried back to it.
    carries: bool,
    /// The series' own time.
    now: i64,
    day: Day,
    hot_start: i64,
    hot: C,
    /// A bar of the hot second is closed.
    hot_closed: bool,
    seconds: VecDeque<(i64, C)>,
    levels: Vec<Level<C>>,
    /// The own clock's next duty.
    next: i64,
    /// The market clock's next duty.
    due: i64,
    dirty: bool,
}

const NONE: i64 = i64::MIN;

/// Where the second of a time begins.
#[inline]
pub(crate) fn second_of(ts: i64) -> i64 {
    ts.saturating_sub(ts.rem_euclid(SECOND))
}

impl<C: Cell> Timeline<C> {
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
            levels: intervals.iter().copied().map(Level::new).collect(),
            next: i64::MAX,
            due: i64::MAX,
            dirty: false,
        }
    }

    /// Seconds that end by then can no longer change.
    #[inline]
    pub(crate) fn bound(&self) -> i64 {
        self.now.saturating_sub(self.times.horizon)
    }

    /// The session day of a time.
    #[inline]
    pub(crate) fn day(&mut self, ts: i64) -> &Day {
        if !self.day.holds(ts) {
            self.day = self.calendar.day(UnixNanos(ts));
        }
        &self.day
    }

    /// Adds to the second of a time that is not sealed.
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

    /// The series' time has come to `now`.
    #[inline]
    pub(crate) fn advance(&mut self, now: i64) {
        self.now = now;
        if now >= self.next {
            self.turn();
        }
    }

    /// Where a second is, or belongs.
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
            for level in &mut self.levels {
                let (start, _) = level.interval.bounds(ts, &day);
                if let Some(bar) = level.find(start) {
                    f(&mut bar.cell);
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
        for level in &mut self.levels {
            let bar = level.find_or_open(ts, &day, self.now, self.times.grace);
            closed |= bar.closed;
            let end = bar.end;
            self.next = self.next.min(end.saturating_add(self.times.grace));
            self.due = self.due.min(end.saturating_add(self.times.grace));
        }
        self.next = self.next.min((second + SECOND).saturating_add(self.times.horizon));
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
        let (second, cell) = (self.hot_start, std::mem::take(&mut self.hot));
        let day = *self.day(second);
        for level in &mut self.levels {
            let (start, _) = level.interval.bounds(second, &day);
            if let Some(bar) = level.find(start) {
                bar.cell.merge(&cell);
            }
        }
        let place = self.at(second).unwrap_or_else(|place| place);
        self.seconds.insert(place, (second, cell));
        self.hot_start = NONE;
        self.hot_closed = false;
    }

    /// A record changed what is at `ts`: bars that were closed are to be told again.
    fn restate(&mut self, ts: i64, late: u32) {
        let day = *self.day(ts);
        for level in &mut self.levels {
            let (start, _) = level.interval.bounds(ts, &day);
            let Ok(place) = level.place(start) else { continue };
            let Level { bars, dirty_from, .. } = level;
            let mut touch = |bar: &mut Open<C>, late: u32| {
                if bar.closed {
                    bar.late += late;
                    bar.revision += 1;
                }
                if bar.told || bar.closed {
                    bar.dirty = true;
                    *dirty_from = (*dirty_from).min(bar.start);
                    self.dirty = true;
                }
            };
            touch(&mut bars[place], late);
            if self.carries
                && let Some(earlier) = bars.range_mut(..place).rev().find(|bar| bar.cell.is_bar())
            {
                touch(earlier, 0);
            }
            // What a bar of quotes closes with is what the next ones begin with.
            for later in bars.range_mut(place + 1..) {
                if C::ALONE {
                    break;
                }
                touch(later, 0);
                if later.cell.shields() {
                    break;
                }
            }
        }
    }

    /// Replaces a second's cell, and restates its bars.
    pub(crate) fn replace(&mut self, ts: i64, cell: C) {
        let second = second_of(ts);
        self.cool();
        let Ok(place) = self.at(second) else { return };
        self.seconds[place].1 = cell;
        let day = *self.day(ts);
        for level in &mut self.levels {
            let (start, end) = level.interval.bounds(ts, &day);
            if let Some(bar) = level.find(start) {
                bar.cell = bar.base.as_deref().cloned().unwrap_or_default();
                let first = self.seconds.partition_point(|(at, _)| *at < start);
                self.seconds
                    .range(first..)
                    .take_while(|(at, _)| *at < end)
                    .for_each(|(_, c)| bar.cell.merge(c));
            }
        }
        self.restate(ts, 0);
    }

    /// The own clock has come to something: bars close, seconds are sealed, bars settle.
    fn turn(&mut self) {
        let now = self.now;
        let Times { grace, horizon } = self.times;
        self.next = i64::MAX;
        let bound = self.bound();
        if self.hot_start != NONE && self.hot_start + SECOND <= bound {
            self.cool();
        }
        while let Some((second, _)) = self.seconds.front() {
            if second + SECOND > bound {
                self.next = (second + SECOND).saturating_add(horizon);
                break;
            }
            let Some((second, cell)) = self.seconds.pop_front() else { break };
            let day = *self.day(second);
            for level in &mut self.levels {
                let (start, end) = level.interval.bounds(second, &day);
                // A bar that is sealed whole is never added up anew.
                if end <= bound {
                    continue;
                }
                if let Some(bar) = level.bars.range_mut(level.settled..).find(|bar| bar.start == start) {
                    bar.base.get_or_insert_default().merge(&cell);
                }
            }
        }
        if self.hot_start != NONE {
            self.next = self.next.min((self.hot_start + SECOND).saturating_add(horizon));
        }
        for level in &mut self.levels {
            for bar in level.bars.range_mut(level.settled..) {
                let settles = bar.end.saturating_add(horizon);
                if settles > now {
                    self.next = self.next.min(settles);
                    break;
                }
                (bar.settled, bar.closed, self.dirty) = (true, true, true);
                level.settled += 1;
            }
            for bar in level.bars.iter_mut().rev().take_while(|bar| !bar.closed) {
                let closes = bar.end.saturating_add(grace);
                if closes > now {
                    self.next = self.next.min(closes);
                    continue;
                }
                (bar.closed, bar.dirty, self.dirty) = (true, true, true);
                self.hot_closed |= bar.start <= self.hot_start && self.hot_start < bar.end;
                level.dirty_from = level.dirty_from.min(bar.start);
            }
        }
    }

    /// Tells what has changed, as of the market's clock.
    #[inline]
    pub(crate) fn take(&mut self, market: i64, tell: &mut dyn FnMut(Told<'_, C>)) {
        // The market's clock may be the one that waits for confirmation.
        let market = market.max(self.now);
        if self.dirty || market >= self.due {
            self.tell(market, false, tell);
        }
    }

    /// Tells all there is, as final.
    pub(crate) fn finish(&mut self, tell: &mut dyn FnMut(Told<'_, C>)) {
        self.levels.iter_mut().for_each(|level| level.dirty_from = NONE);
        self.tell(i64::MAX, true, tell);
    }

    #[inline(never)]
    fn tell(&mut self, market: i64, end: bool, tell: &mut dyn FnMut(Told<'_, C>)) {
        self.dirty = false;
        self.due = i64::MAX;
        let hot = (self.hot_start != NONE).then_some((self.hot_start, &self.hot));
        for level in &mut self.levels {
            level.tell(market, end, self.carries, self.times, hot, tell);
            level.leave(self.carries);
            let due = level.due(self.times);
            self.due = self.due.min(due);
        }
        // Those told by the market's clock are closed from now on.
        if self.hot_start != NONE {
            let (second, day) = (self.hot_start, *self.day(self.hot_start));
            self.hot_closed = self.levels.iter().any(|level| {
                level.place(level.interval.bounds(second, &day).0).is_ok_and(|at| level.bars[at].closed)
            });
        }
    }
}
