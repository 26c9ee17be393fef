//! All series of trades, or of quotes.
//!
//! What decides whether a record is taken is small and lies together (`Front`): that of ten thousand series stays in the
//! processor's cache. The series themselves are large. So records that are taken wait, at most until bars are asked
//! for, and are worked in series by series: each series' own order is kept, and it is fetched once for many records.
//! Records of so many series wait together that they stay in the cache too.

use super::clock::Clock;
use super::series::{Effected, Name, Series, Verdict};
use super::timeline::second_of;
use super::{Bar, Place};
use crate::interval::SECOND;
use rustc_hash::FxHashMap;
use std::collections::VecDeque;

/// This many series wait together, and this many of their records at the most: 600 kB.
const TOGETHER: usize = 128;
const WAITING: usize = 8_192;

/// After so long without a record of a series, its bars are done with although its own clock stands still.
const STALE_MS: i64 = 24 * 3_600_000;

/// Where a series stands.
#[derive(Debug, Clone)]
pub(super) struct Front {
    clock: Clock,
    /// Of the last record: start and end.
    session: (i64, i64),
    regular: (i64, i64),
    /// Records before this are in final bars of an earlier run.
    floor: i64,
    stamp_ms: i64,
    /// The next series of the same symbol.
    next: u32,
    feed: u32,
}

/// A record that waits.
#[derive(Debug, Clone)]
struct Waiting<I> {
    series: u32,
    /// The series' time after it.
    now: i64,
    item: I,
}

/// Sessions of a series that may still change: start, end, position of the first record.
type Open = VecDeque<(i64, i64, u64)>;

#[derive(Debug, Clone)]
pub(super) struct Lane<S: Series> {
    horizon: i64,
    /// The newest series of a symbol; symbols of more than 15 bytes apart.
    short: FxHashMap<u128, u32>,
    long: FxHashMap<Box<str>, u32>,
    fronts: Vec<Front>,
    series: Vec<S>,
    open: Vec<Open>,
    /// The first 128 series' records, the next 128's, and so on.
    waiting: Vec<Vec<Waiting<S::Item>>>,
    /// The order to work them in.
    order: Vec<u32>,
    pub(super) duplicates: u64,
    pub(super) amended: u64,
}

const END: u32 = u32::MAX;

/// A symbol of up to 15 bytes as a number: found without a look at text elsewhere in memory.
#[inline]
fn packed(symbol: &str) -> Option<u128> {
    let length = symbol.len();
    let bytes = symbol.as_bytes();
    (length < 16).then(|| bytes.iter().fold(length as u128, |sum, byte| (sum << 8) | u128::from(*byte)))
}

/// What stands before an instant that can no longer change.
fn bound(now: i64, horizon: i64) -> i64 {
    now.saturating_sub(horizon)
}

impl<S: Series> Lane<S> {
    pub(super) fn new(horizon: i64) -> Self {
        Self {
            horizon,
            short: FxHashMap::default(),
            long: FxHashMap::default(),
            fronts: Vec::new(),
            series: Vec::new(),
            open: Vec::new(),
            waiting: Vec::new(),
            order: Vec::new(),
            duplicates: 0,
            amended: 0,
        }
    }

    /// The series of a symbol and feed; `make` tells a new one and its floor.
    #[inline]
    pub(super) fn find(&mut self, symbol: &str, feed: u32, make: impl FnOnce() -> (S, i64)) -> u32 {
        let packed = packed(symbol);
        let first = match packed {
            Some(packed) => self.short.get(&packed),
            None => self.long.get(symbol),
        };
        let first = first.copied().unwrap_or(END);
        let mut at = first;
        while at != END && self.fronts[at as usize].feed != feed {
            at = self.fronts[at as usize].next;
        }
        if at == END {
            at = self.fronts.len() as u32;
            let (series, floor) = make();
            self.series.push(series);
            self.open.push(Open::new());
            if (at as usize).is_multiple_of(TOGETHER) {
                self.waiting.push(Vec::new());
            }
            let none = (0, 0);
            let clock = Clock::default();
            self.fronts.push(Front {
                clock,
                session: none,
                regular: none,
                floor,
                stamp_ms: 0,
                next: first,
                feed,
            });
            match packed {
                Some(packed) => self.short.insert(packed, at),
                None => self.long.insert(symbol.into(), at),
            };
        }
        at
    }

    /// Whether a record may change bars: its series' time after it, and whether it is of the regular session.
    #[inline]
    pub(super) fn admit(
        &mut self,
        series: u32,
        ts: i64,
        place: Place,
        known: impl FnOnce(&mut S) -> bool,
    ) -> Result<(i64, bool), Verdict> {
        let front = &self.fronts[series as usize];
        if !(front.session.0 <= ts && ts < front.session.1) {
            self.enter(series, ts, place);
        }
        let horizon = self.horizon;
        let front = &mut self.fronts[series as usize];
        front.stamp_ms = place.stamp_ms;
        if ts < front.floor {
            self.duplicates += 1;
            return Err(Verdict::Past);
        }
        if second_of(ts).saturating_add(SECOND) <= bound(front.clock.now(), horizon) {
            return Err(self.too_late(series, known));
        }
        front.clock.observe(ts);
        Ok((front.clock.now(), front.regular.0 <= ts && ts < front.regular.1))
    }

    #[cold]
    fn too_late(&mut self, series: u32, known: impl FnOnce(&mut S) -> bool) -> Verdict {
        // What waits may be the record itself, seen the first time.
        self.work(series as usize / TOGETHER);
        if known(&mut self.series[series as usize]) {
            self.duplicates += 1;
            Verdict::Duplicate
        } else {
            Verdict::TooLate
        }
    }

    #[cold]
    fn enter(&mut self, series: u32, ts: i64, place: Place) {
        let index = series as usize;
        let day = self.series[index].day(ts);
        let (front, open) = (&mut self.fronts[index], &mut self.open[index]);
        front.session = (day.start, day.end);
        front.regular = (day.parts[1], day.parts[2]);
        if day.end > bound(front.clock.now(), self.horizon)
            && ts >= front.floor
            && !open.iter().any(|(other, ..)| *other == day.start)
        {
            open.push_back((day.start, day.end, place.position));
        }
    }

    /// Takes a record that was admitted.
    #[inline]
    pub(super) fn push(&mut self, series: u32, now: i64, item: S::Item) {
        let together = series as usize / TOGETHER;
        let waiting = &mut self.waiting[together];
        waiting.push(Waiting { series, now, item });
        if waiting.len() >= WAITING {
            self.work(together);
        }
    }

    /// Works in what waits, series by series.
    #[inline(never)]
    fn work(&mut self, together: usize) {
        let waiting = &mut self.waiting[together];
        if waiting.is_empty() {
            return;
        }
        let mut places = [0_u32; TOGETHER];
        for Waiting { series, .. } in &*waiting {
            places[*series as usize % TOGETHER] += 1;
        }
        let mut from = 0;
        for place in &mut places {
            from += std::mem::replace(place, from);
        }
        self.order.clear();
        self.order.resize(waiting.len(), 0);
        for (index, Waiting { series, .. }) in waiting.iter().enumerate() {
            let place = &mut places[*series as usize % TOGETHER];
            self.order[*place as usize] = index as u32;
            *place += 1;
        }
        for index in &self.order {
            let Waiting { series, now, item } = &waiting[*index as usize];
            match self.series[*series as usize].add(item, *now) {
                Effected::Duplicate => self.duplicates += 1,
                Effected::Amended => self.amended += 1,
                Effected::Counted => {}
            }
        }
        waiting.clear();
    }

    /// Tells the bars that have closed, changed or become final as of the market's time; at the end of the stream all.
    pub(super) fn take(&mut self, market: Option<i64>, tell: &mut dyn FnMut(Bar)) {
        // A series that was just worked on is at hand.
        for together in 0..self.waiting.len() {
            self.work(together);
            let (from, to) = (together * TOGETHER, self.series.len().min((together + 1) * TOGETHER));
            self.series[from..to].iter_mut().for_each(|series| series.take(market, tell));
        }
    }

    /// Of each series the first position needed again, and before when its records are in final bars.
    pub(super) fn needs(
        &mut self,
        market: i64,
        latest_ms: i64,
        tell: &mut dyn FnMut(&Name, Option<u64>, i64),
    ) {
        for ((front, open), series) in self.fronts.iter_mut().zip(&mut self.open).zip(&self.series) {
            let stale = front.stamp_ms < latest_ms.saturating_sub(STALE_MS);
            let sealed = bound(front.clock.now(), self.horizon);
            let done = |end: i64| end <= sealed || (stale && end <= bound(market, self.horizon));
            if let Some(last) = open.iter().filter(|(_, end, _)| done(*end)).map(|(_, end, _)| *end).max() {
                front.floor = front.floor.max(last);
                open.retain(|(_, end, _)| !done(*end));
            }
            tell(series.name(), open.iter().map(|(.., position)| *position).min(), front.floor);
        }
    }
}
