//! The bars of one interval that may still change, and when each is emitted.

use super::accumulator::Accumulator;
use crate::calendar::Day;
use crate::interval::Interval;
use std::collections::VecDeque;

/// When bars close and when they become final, nanoseconds after their end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) emit_delay: i64,
    pub(crate) allowed_lateness: i64,
}

/// Number of session day ends kept: a low watermark is never further behind.
const DAYS: usize = 8;

/// A bar that may still change.
#[derive(Debug, Clone)]
pub(crate) struct OpenBar<C> {
    pub(crate) start: i64,
    pub(crate) end: i64,
    /// End of its session day: volume is not carried across it.
    pub(crate) day_end: i64,
    /// Accumulated seconds that can no longer change.
    pub(super) base: Option<Box<C>>,
    /// All of its seconds except the current one.
    pub(super) acc: C,
    pub(crate) late: u32,
    pub(crate) revision: u32,
    /// Later records restate it.
    pub(super) closed: bool,
    /// Its own clock is past the allowed lateness.
    pub(super) settled: bool,
    /// To be emitted again.
    pub(super) dirty: bool,
    pub(super) emitted: bool,
    emitted_final: bool,
    /// Emitted with values, not just found empty.
    shown: bool,
}

/// The bars of one interval, oldest first.
#[derive(Debug, Clone)]
pub(crate) struct IntervalBars<C> {
    pub(crate) interval: Interval,
    pub(super) bars: VecDeque<OpenBar<C>>,
    /// Whether quotes carry over from one session day to the next: the market never closes.
    pub(super) continuous: bool,
    /// The released bars, merged, and the end of the newest one's session day: quotes continue from them.
    before: Option<(i64, C)>,
    /// Value of `before` at the end of each of the last session days.
    day_ends: VecDeque<(i64, C)>,
    /// Number of oldest bars that are settled.
    pub(super) settled: usize,
    /// Number of oldest bars emitted as final: those before the first that is not.
    finals: usize,
    /// Start of the first bar to emit.
    pub(super) dirty_from: i64,
}

/// Passes accumulators, newest first, to a function until it returns that it has seen enough.
pub(crate) type Before<'a, C> = &'a dyn Fn(&mut dyn FnMut(&C) -> bool);

/// Input for emitting a bar: its merged accumulator, and what came before and after it.
pub(crate) struct Emitted<'a, C> {
    pub(crate) interval: Interval,
    pub(crate) bar: &'a OpenBar<C>,
    pub(crate) acc: C,
    /// The bars before it, newest first.
    pub(crate) before: Before<'a, C>,
    /// Bars after it without a price, up to the next with one or the end of the day, merged.
    pub(crate) unpriced_after: C,
    pub(crate) is_final: bool,
}

impl<C: Accumulator> IntervalBars<C> {
    pub(super) fn new(interval: Interval, continuous: bool) -> Self {
        Self {
            interval,
            bars: VecDeque::new(),
            continuous,
            before: None,
            day_ends: VecDeque::new(),
            settled: 0,
            finals: 0,
            dirty_from: i64::MAX,
        }
    }

    pub(super) fn place(&self, start: i64) -> Result<usize, usize> {
        // Nearly always the newest.
        match self.bars.back() {
            Some(bar) if bar.start == start => Ok(self.bars.len() - 1),
            Some(bar) if bar.start < start => Err(self.bars.len()),
            _ => self.bars.binary_search_by_key(&start, |bar| bar.start),
        }
    }

    pub(super) fn find(&mut self, start: i64) -> Option<&mut OpenBar<C>> {
        self.place(start).ok().map(|place| &mut self.bars[place])
    }

    /// A bar that starts after its end has passed is closed from the start: its first record is late.
    pub(super) fn find_or_open(&mut self, ts: i64, day: &Day, now: i64, emit_delay: i64) -> &mut OpenBar<C> {
        let (start, end) = self.interval.bounds(ts, day);
        let place = self.place(start).unwrap_or_else(|place| {
            let bar = OpenBar {
                start,
                end,
                day_end: day.end,
                base: None,
                acc: C::default(),
                late: 0,
                revision: 0,
                closed: end.saturating_add(emit_delay) <= now,
                settled: false,
                dirty: false,
                emitted: false,
                emitted_final: false,
                shown: false,
            };
            self.bars.insert(place, bar);
            self.finals = self.finals.min(place);
            place
        });
        &mut self.bars[place]
    }

    fn merged(bar: &OpenBar<C>, hot: Option<(i64, &C)>) -> C {
        let mut acc = bar.acc.clone();
        if let Some((second, hot)) = hot
            && bar.start <= second
            && second < bar.end
        {
            acc.merge(hot);
        }
        acc
    }

    pub(super) fn emit(
        &mut self,
        market: i64,
        end: bool,
        carries: bool,
        times: Times,
        hot: Option<(i64, &C)>,
        emit: &mut dyn FnMut(Emitted<'_, C>),
    ) {
        // The market's clock makes bars final from the oldest on; dirty or unemitted bars may be anywhere
        // after it.
        let oldest = self.finals;
        let dirty = match self.dirty_from {
            i64::MAX => self.bars.len(),
            from => self.bars.partition_point(|bar| bar.start < from),
        };
        self.dirty_from = i64::MAX;
        let not_emitted = self.bars.len() - self.bars.iter().rev().take_while(|bar| !bar.emitted).count();
        let mut index = oldest;
        while index < self.bars.len() {
            let bar = &self.bars[index];
            let is_final = end || bar.settled || market >= bar.end.saturating_add(times.allowed_lateness);
            if index < dirty.min(not_emitted) && !is_final {
                // Nothing to emit before the first dirty bar.
                index = dirty.min(not_emitted).max(index + 1);
                continue;
            }
            self.emit_one(index, market, is_final, carries, times, hot, emit);
            index += 1;
        }
        let more = self.bars.range(self.finals..).take_while(|bar| bar.emitted_final).count();
        self.finals += more;
    }

    #[allow(clippy::too_many_arguments, reason = "one caller")]
    fn emit_one(
        &mut self,
        index: usize,
        market: i64,
        is_final: bool,
        carries: bool,
        times: Times,
        hot: Option<(i64, &C)>,
        emit: &mut dyn FnMut(Emitted<'_, C>),
    ) {
        let bar = &self.bars[index];
        let closed = bar.closed || is_final || market >= bar.end.saturating_add(times.emit_delay);
        let changed = bar.dirty || !bar.emitted || (is_final && !bar.emitted_final);
        if !closed || !changed {
            return;
        }
        let acc = Self::merged(bar, hot);
        let past = |end: i64| market >= end.saturating_add(times.allowed_lateness);
        let (mut unpriced_after, mut next) = (C::default(), None);
        if carries && acc.is_bar() {
            for later in self.bars.range(index + 1..).take_while(|later| later.start < bar.day_end) {
                let later_acc = Self::merged(later, hot);
                if later_acc.is_bar() {
                    next = Some(later);
                    break;
                }
                unpriced_after.merge(&later_acc);
            }
        }
        // Carried volume is known only once there is a next bar with a price, or the session is over.
        let known = next.is_some_and(|next| next.settled || past(next.end))
            || past(bar.day_end)
            || market == i64::MAX;
        let is_final = is_final && (!carries || !acc.is_bar() || known);
        let waits = carries && next.is_none() && !is_final && !past(bar.end);
        if bar.emitted && !bar.dirty && !is_final {
            return;
        }
        let emitted_before = bar.shown;
        if acc.is_bar() && waits {
            self.bars[index].closed = true;
            return;
        }
        let show = acc.is_bar() || emitted_before;
        if show {
            let (earlier, day_end) = (&self.bars, self.bars[index].day_end);
            let reaches = |its: i64| self.continuous || its == day_end;
            let last = self.before.as_ref().filter(|(its, _)| reaches(*its)).map(|(_, acc)| acc);
            let before = |see: &mut dyn FnMut(&C) -> bool| {
                let accumulators = earlier
                    .range(..index)
                    .rev()
                    .take_while(|bar| reaches(bar.day_end))
                    .map(|bar| Self::merged(bar, hot))
                    .chain(last.cloned());
                for acc in accumulators {
                    if see(&acc) {
                        break;
                    }
                }
            };
            emit(Emitted { interval: self.interval, bar, acc, before: &before, unpriced_after, is_final });
        }
        let bar = &mut self.bars[index];
        bar.emitted = true;
        bar.shown = show;
        bar.emitted_final = is_final;
        bar.closed = true;
        bar.dirty = false;
    }

    /// Releases bars that are emitted as final and can no longer change. With carried volume a bar stays
    /// until the next one with a price has settled too.
    /// with a price has settled too.
    pub(super) fn release(&mut self, carries: bool) {
        while let Some(front) = self.bars.front() {
            if !(front.settled && front.emitted_final) {
                break;
            }
            if carries {
                let mut later = self.bars.range(1..);
                let settled = later
                    .find(|bar| bar.acc.is_bar() || bar.start >= front.day_end)
                    .is_some_and(|b| b.settled);
                if !settled {
                    break;
                }
            }
            if let Some(bar) = self.bars.pop_front() {
                self.settled -= 1;
                self.finals -= 1;
                if !C::ALONE {
                    self.carry(&bar);
                }
            }
        }
    }

    /// Later bars open with what a released bar ended with.
    fn carry(&mut self, bar: &OpenBar<C>) {
        let mut merged = match self.before.take() {
            Some((day_end, acc)) if day_end == bar.day_end => acc,
            Some((day_end, acc)) if self.continuous => {
                self.day_ends.push_back((day_end, acc.clone()));
                if self.day_ends.len() > DAYS {
                    self.day_ends.pop_front();
                }
                acc
            }
            _ => C::default(),
        };
        merged.merge(&bar.acc);
        self.before = Some((bar.day_end, merged));
    }

    /// What a market without sessions carries across the end of a completed session day.
    pub(super) fn carried(&self, day_end: i64, hot: Option<(i64, &C)>) -> Option<C> {
        if !self.continuous {
            return None;
        }
        let done = |its: &&(i64, C)| its.0 <= day_end;
        let released = self.before.iter().find(done).or_else(|| self.day_ends.iter().rev().find(done));
        let mut carried = released.map(|(_, acc)| acc.clone()).unwrap_or_default();
        for bar in self.bars.iter().take_while(|bar| bar.day_end <= day_end) {
            carried.merge(&Self::merged(bar, hot));
        }
        Some(carried)
    }

    /// Starts with what an earlier run carried across the end of a session day.
    pub(super) fn resume(&mut self, day_end: i64, carried: C) {
        self.before = Some((day_end, carried));
    }

    /// When the market's clock next has something to emit of these bars.
    pub(super) fn due(&self, times: Times) -> i64 {
        let not_emitted = self.bars.iter().rev().take_while(|bar| !bar.emitted).last();
        let unfinal = self.bars.get(self.finals);
        let not_emitted = not_emitted.map_or(i64::MAX, |bar| bar.end.saturating_add(times.emit_delay));
        not_emitted.min(unfinal.map_or(i64::MAX, |bar| bar.end.saturating_add(times.allowed_lateness)))
    }
}
