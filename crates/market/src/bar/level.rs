//! The bars of one interval that may still change, and when each is told.

use super::cell::Cell;
use super::timeline::Times;
use crate::calendar::Day;
use crate::interval::Interval;
use std::collections::VecDeque;

/// A bar that may still change.
#[derive(Debug, Clone)]
pub(crate) struct Open<C> {
    pub(crate) start: i64,
    pub(crate) end: i64,
    /// Its session day's end: volume is not carried across.
    pub(crate) day_end: i64,
    /// Seconds that can no longer change.
    pub(super) base: Option<Box<C>>,
    /// All of its seconds but the hot one.
    pub(super) cell: C,
    pub(crate) late: u32,
    pub(crate) revision: u32,
    /// What comes now restates it.
    pub(super) closed: bool,
    /// Its own clock is past the horizon.
    pub(super) settled: bool,
    /// To be told again.
    pub(super) dirty: bool,
    pub(super) told: bool,
    told_final: bool,
    /// Told with values, not only found empty.
    shown: bool,
}

/// The bars of one interval, oldest first.
#[derive(Debug, Clone)]
pub(crate) struct Level<C> {
    pub(crate) interval: Interval,
    pub(super) bars: VecDeque<Open<C>>,
    /// The last bar that left: quotes go on from it.
    before: Option<C>,
    /// How many of the oldest are settled.
    pub(super) settled: usize,
    /// How many of the oldest are told as final: those before the first that is not.
    finals: usize,
    /// Start of the first bar that is to be told.
    pub(super) dirty_from: i64,
}

/// Hands cells, newest first, to a function until it answers that it has seen enough.
pub(crate) type Before<'a, C> = &'a dyn Fn(&mut dyn FnMut(&C) -> bool);

/// What is told of a bar: its merged cell, and what came before and after it.
pub(crate) struct Told<'a, C> {
    pub(crate) interval: Interval,
    pub(crate) bar: &'a Open<C>,
    pub(crate) cell: C,
    /// The bars before it, newest first.
    pub(crate) before: Before<'a, C>,
    /// Bars after it without a price, up to the next with one or the end of the day, merged.
    pub(crate) unpriced_after: C,
    pub(crate) is_final: bool,
}

impl<C: Cell> Level<C> {
    pub(super) fn new(interval: Interval) -> Self {
        Self { interval, bars: VecDeque::new(), before: None, settled: 0, finals: 0, dirty_from: i64::MAX }
    }

    pub(super) fn place(&self, start: i64) -> Result<usize, usize> {
        // Nearly always the newest.
        match self.bars.back() {
            Some(bar) if bar.start == start => Ok(self.bars.len() - 1),
            Some(bar) if bar.start < start => Err(self.bars.len()),
            _ => self.bars.binary_search_by_key(&start, |bar| bar.start),
        }
    }

    pub(super) fn find(&mut self, start: i64) -> Option<&mut Open<C>> {
        self.place(start).ok().map(|place| &mut self.bars[place])
    }

    /// A bar that begins only when its time is over is closed from the start: its first record is late.
    pub(super) fn find_or_open(&mut self, ts: i64, day: &Day, now: i64, grace: i64) -> &mut Open<C> {
        let (start, end) = self.interval.bounds(ts, day);
        let place = self.place(start).unwrap_or_else(|place| {
            let bar = Open {
                start,
                end,
                day_end: day.end,
                base: None,
                cell: C::default(),
                late: 0,
                revision: 0,
                closed: end.saturating_add(grace) <= now,
                settled: false,
                dirty: false,
                told: false,
                told_final: false,
                shown: false,
            };
            self.bars.insert(place, bar);
            self.finals = self.finals.min(place);
            place
        });
        &mut self.bars[place]
    }

    fn merged(bar: &Open<C>, hot: Option<(i64, &C)>) -> C {
        let mut cell = bar.cell.clone();
        if let Some((second, hot)) = hot
            && bar.start <= second
            && second < bar.end
        {
            cell.merge(hot);
        }
        cell
    }

    pub(super) fn tell(
        &mut self,
        market: i64,
        end: bool,
        carries: bool,
        times: Times,
        hot: Option<(i64, &C)>,
        tell: &mut dyn FnMut(Told<'_, C>),
    ) {
        // Finality by the market's clock goes from the oldest on, what is dirty or untold may lie anywhere after it.
        let oldest = self.finals;
        let dirty = match self.dirty_from {
            i64::MAX => self.bars.len(),
            from => self.bars.partition_point(|bar| bar.start < from),
        };
        self.dirty_from = i64::MAX;
        let untold = self.bars.len() - self.bars.iter().rev().take_while(|bar| !bar.told).count();
        let mut index = oldest;
        while index < self.bars.len() {
            let bar = &self.bars[index];
            let is_final = end || bar.settled || market >= bar.end.saturating_add(times.horizon);
            if index < dirty.min(untold) && !is_final {
                // Nothing to tell before the first that is dirty.
                index = dirty.min(untold).max(index + 1);
                continue;
            }
            self.tell_one(index, market, is_final, carries, times, hot, tell);
            index += 1;
        }
        let more = self.bars.range(self.finals..).take_while(|bar| bar.told_final).count();
        self.finals += more;
    }

    #[allow(clippy::too_many_arguments, reason = "one caller")]
    fn tell_one(
        &mut self,
        index: usize,
        market: i64,
        is_final: bool,
        carries: bool,
        times: Times,
        hot: Option<(i64, &C)>,
        tell: &mut dyn FnMut(Told<'_, C>),
    ) {
        let bar = &self.bars[index];
        let closed = bar.closed || is_final || market >= bar.end.saturating_add(times.grace);
        let changed = bar.dirty || !bar.told || (is_final && !bar.told_final);
        if !closed || !changed {
            return;
        }
        let cell = Self::merged(bar, hot);
        let past = |end: i64| market >= end.saturating_add(times.horizon);
        let (mut unpriced_after, mut next) = (C::default(), None);
        if carries && cell.is_bar() {
            for later in self.bars.range(index + 1..).take_while(|later| later.start < bar.day_end) {
                let later_cell = Self::merged(later, hot);
                if later_cell.is_bar() {
                    next = Some(later);
                    break;
                }
                unpriced_after.merge(&later_cell);
            }
        }
        // Carried volume is known only once the next bar with a price is, or the session is over.
        let known = next.is_some_and(|next| next.settled || past(next.end))
            || past(bar.day_end)
            || market == i64::MAX;
        let is_final = is_final && (!carries || !cell.is_bar() || known);
        let waits = carries && next.is_none() && !is_final && !past(bar.end);
        if bar.told && !bar.dirty && !is_final {
            return;
        }
        let told_before = bar.shown;
        if cell.is_bar() && waits {
            self.bars[index].closed = true;
            return;
        }
        let show = cell.is_bar() || told_before;
        if show {
            let (earlier, last) = (&self.bars, self.before.as_ref());
            let before = |see: &mut dyn FnMut(&C) -> bool| {
                let cells =
                    earlier.range(..index).rev().map(|bar| Self::merged(bar, hot)).chain(last.cloned());
                for cell in cells {
                    if see(&cell) {
                        break;
                    }
                }
            };
            tell(Told { interval: self.interval, bar, cell, before: &before, unpriced_after, is_final });
        }
        let bar = &mut self.bars[index];
        bar.told = true;
        bar.shown = show;
        bar.told_final = is_final;
        bar.closed = true;
        bar.dirty = false;
    }

    /// Lets bars go that are told as final and can no longer change. With carried volume a bar stays until the next one
    /// with a price has settled too.
    pub(super) fn leave(&mut self, carries: bool) {
        while let Some(front) = self.bars.front() {
            if !(front.settled && front.told_final) {
                break;
            }
            if carries {
                let mut later = self.bars.range(1..);
                let settled = later
                    .find(|bar| bar.cell.is_bar() || bar.start >= front.day_end)
                    .is_some_and(|b| b.settled);
                if !settled {
                    break;
                }
            }
            let mut merged = self.before.take().unwrap_or_default();
            if let Some(bar) = self.bars.pop_front() {
                merged.merge(&bar.cell);
                self.settled -= 1;
                self.finals -= 1;
            }
            self.before = Some(merged);
        }
    }

    /// When the market's clock next has something to tell of these bars.
    pub(super) fn due(&self, times: Times) -> i64 {
        let untold = self.bars.iter().rev().take_while(|bar| !bar.told).last();
        let unfinal = self.bars.get(self.finals);
        let untold = untold.map_or(i64::MAX, |bar| bar.end.saturating_add(times.grace));
        untold.min(unfinal.map_or(i64::MAX, |bar| bar.end.saturating_add(times.horizon)))
    }
}
