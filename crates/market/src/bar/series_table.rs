//! All series of trades, of quotes or of readings.
//!
//! The state that decides whether to accept a record is small and contiguous (`SeriesState`): that of ten
//! thousand series stays in the processor's cache. The series themselves are large. So accepted records wait,
//! at most until bars are requested, and are processed series by series: each series keeps its own order and
//! is fetched once for many records. The number of series that wait together is limited so that they stay in
//! the cache too.

use super::Bar;
use super::checkpoint::{LowWatermark, StreamPosition};
use super::clock::Clock;
use super::series::{Effected, Name, Series, Verdict};
use super::timeline::second_of;
use crate::interval::SECOND;
use hashbrown::HashTable;
use rustc_hash::{FxHashMap, FxHasher};
use std::collections::VecDeque;
use std::hash::Hasher;

/// Number of series that wait together, and of their records: 256 kB, so that the series themselves stay in a
/// core's cache as well. There are enough records of each series that fetching it is cheap.
const TOGETHER: usize = 32;
const WAITING: usize = 4_096;

/// After this long without a record of a series, its bars are final although its own clock stands still.
const STALE_MS: i64 = 24 * 3_600_000;

/// State of a series: what every record needs, in one cache line.
#[derive(Debug, Clone)]
#[repr(align(64))]
pub(super) struct SeriesState {
    /// The symbol; nothing if longer than 15 bytes.
    symbol: u128,
    clock: Clock,
    /// Records before this are in final bars.
    low_watermark: i64,
    stamp_ms: i64,
    feed: u32,
    /// Index of the last record's session in `SeriesTable::days`.
    day: u32,
}

const _: () = assert!(size_of::<SeriesState>() == 64);

/// Start and end of a session, and of its regular hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hours {
    session: (i64, i64),
    regular: (i64, i64),
}

/// A waiting record.
#[derive(Debug, Clone)]
struct Waiting<I> {
    item: I,
    /// The series' time after it.
    now: i64,
    series: u32,
}

/// Sessions of a series that may still change: start, end, position of the first record.
type OpenSessions = VecDeque<(i64, i64, u64)>;

#[derive(Debug, Clone)]
pub(super) struct SeriesTable<S: Series> {
    allowed_lateness: i64,
    /// Series by symbol and feed. The symbol is in its state, which is fetched anyway.
    short: HashTable<u32>,
    /// Series of all feeds of a symbol of more than 15 bytes.
    long: FxHashMap<Box<str>, Vec<u32>>,
    states: Vec<SeriesState>,
    days: Vec<Hours>,
    series: Vec<S>,
    open: Vec<OpenSessions>,
    /// From which position on records before the low watermark are late.
    late_from: Vec<u64>,
    /// Waiting records of the first [`TOGETHER`] series, of the next, and so on.
    waiting: Vec<Vec<Waiting<S::Item>>>,
    /// Processing order.
    order: Vec<u32>,
    pub(super) duplicates: u64,
    pub(super) amended: u64,
    /// Session that the last record began in its series: start and end.
    pub(super) entered: Option<(i64, i64)>,
    /// Session of the last record that came too late, if that session has ended or never began: start and end.
    pub(super) missed: Option<(i64, i64)>,
}

/// Where a series starts: records before the time are in final bars; from the position on they are late.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resumed {
    time: i64,
    late_from: u64,
}

impl Resumed {
    pub(super) fn of(low_watermark: Option<&LowWatermark>) -> Self {
        low_watermark.map_or(Self { time: i64::MIN, late_from: 0 }, |low_watermark| Self {
            time: low_watermark.time,
            late_from: low_watermark.position.unwrap_or(u64::MAX),
        })
    }
}

/// A symbol of up to 15 bytes as a number: compared without reading text elsewhere in memory.
#[inline]
fn packed(symbol: &str) -> Option<u128> {
    let length = symbol.len();
    let bytes = symbol.as_bytes();
    (length < 16).then(|| bytes.iter().fold(length as u128, |sum, byte| (sum << 8) | u128::from(*byte)))
}

#[inline]
fn hash(symbol: u128, feed: u32) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write_u128(symbol);
    hasher.write_u32(feed);
    hasher.finish()
}

/// Position up to which nothing can change any more.
fn bound(now: i64, allowed_lateness: i64) -> i64 {
    now.saturating_sub(allowed_lateness)
}

/// Callback with a series, the first position it still needs, and the end of its final bars.
type Emit<'a> = &'a mut dyn FnMut(&Name, Option<u64>, Option<LowWatermark>);

impl<S: Series> SeriesTable<S> {
    pub(super) fn new(allowed_lateness: i64) -> Self {
        Self {
            allowed_lateness,
            short: HashTable::new(),
            long: FxHashMap::default(),
            states: Vec::new(),
            // No session yet.
            days: vec![Hours { session: (0, 0), regular: (0, 0) }],
            series: Vec::new(),
            open: Vec::new(),
            late_from: Vec::new(),
            waiting: Vec::new(),
            order: Vec::new(),
            duplicates: 0,
            amended: 0,
            entered: None,
            missed: None,
        }
    }

    /// The series of a symbol and feed; `make` creates a new one with where it starts.
    #[inline]
    pub(super) fn find(&mut self, symbol: &str, feed: u32, make: impl FnOnce() -> (S, Resumed)) -> u32 {
        let packed = packed(symbol);
        let known = match packed {
            Some(packed) => self.short.find(hash(packed, feed), |at| {
                let state = &self.states[*at as usize];
                state.symbol == packed && state.feed == feed
            }),
            None => {
                let mut all = self.long.get(symbol).into_iter().flatten();
                all.find(|at| self.states[**at as usize].feed == feed)
            }
        };
        match known {
            Some(at) => *at,
            None => self.begin(symbol, packed, feed, make()),
        }
    }

    #[cold]
    fn begin(
        &mut self,
        symbol: &str,
        packed: Option<u128>,
        feed: u32,
        (series, resumed): (S, Resumed),
    ) -> u32 {
        let at = self.states.len() as u32;
        self.series.push(series);
        self.open.push(OpenSessions::new());
        self.late_from.push(resumed.late_from);
        if (at as usize).is_multiple_of(TOGETHER) {
            self.waiting.push(Vec::new());
        }
        let (symbol_or_none, clock) = (packed.unwrap_or_default(), Clock::default());
        self.states.push(SeriesState {
            symbol: symbol_or_none,
            clock,
            low_watermark: resumed.time,
            stamp_ms: 0,
            feed,
            day: 0,
        });
        match packed {
            Some(packed) => {
                let states = &self.states;
                self.short.insert_unique(hash(packed, feed), at, |other| {
                    let state = &states[*other as usize];
                    hash(state.symbol, state.feed)
                });
            }
            None => self.long.entry(symbol.into()).or_default().push(at),
        }
        at
    }

    /// Whether a record may change bars: its series' time after it, and whether it is in the regular session.
    #[inline]
    pub(super) fn admit(
        &mut self,
        series: u32,
        ts: i64,
        place: StreamPosition,
        known: impl FnOnce(&mut S) -> bool,
    ) -> Result<(i64, bool), Verdict> {
        let mut hours = self.days[self.states[series as usize].day as usize];
        if !(hours.session.0 <= ts && ts < hours.session.1) {
            hours = self.enter(series, ts, place);
        }
        let allowed_lateness = self.allowed_lateness;
        let state = &mut self.states[series as usize];
        state.stamp_ms = place.stamp_ms;
        if ts < state.low_watermark {
            return Err(self.past(series, hours.session, place, known));
        }
        if second_of(ts).saturating_add(SECOND) <= bound(state.clock.now(), allowed_lateness) {
            return Err(self.too_late(series, hours.session, known));
        }
        state.clock.observe(ts);
        Ok((state.clock.now(), hours.regular.0 <= ts && ts < hours.regular.1))
    }

    /// A record whose bars are final: read again after a restart, or late.
    #[cold]
    fn past(
        &mut self,
        series: u32,
        session: (i64, i64),
        place: StreamPosition,
        known: impl FnOnce(&mut S) -> bool,
    ) -> Verdict {
        if place.position >= self.late_from[series as usize] {
            return self.too_late(series, session, known);
        }
        self.duplicates += 1;
        Verdict::Past
    }

    #[cold]
    fn too_late(&mut self, series: u32, session: (i64, i64), known: impl FnOnce(&mut S) -> bool) -> Verdict {
        // The waiting record may be the same one, seen for the first time.
        self.work(series as usize / TOGETHER);
        if known(&mut self.series[series as usize]) {
            self.duplicates += 1;
            Verdict::Duplicate
        } else {
            let final_before = bound(self.states[series as usize].clock.now(), self.allowed_lateness);
            let may_change = |open: &(i64, i64, u64)| open.0 == session.0 && open.1 > final_before;
            let is_open = self.open[series as usize].iter().any(may_change);
            self.missed = (!is_open).then_some(session);
            Verdict::TooLate
        }
    }

    #[cold]
    fn enter(&mut self, series: u32, ts: i64, place: StreamPosition) -> Hours {
        let index = series as usize;
        let day = self.series[index].day(ts);
        let (state, open) = (&mut self.states[index], &mut self.open[index]);
        let hours = Hours { session: (day.start, day.end), regular: (day.parts[1], day.parts[2]) };
        let known = self.days.iter().rposition(|other| *other == hours).unwrap_or_else(|| {
            self.days.push(hours);
            self.days.len() - 1
        });
        state.day = known as u32;
        if day.end > bound(state.clock.now(), self.allowed_lateness)
            && ts >= state.low_watermark
            && !open.iter().any(|(other, ..)| *other == day.start)
        {
            open.push_back((day.start, day.end, place.position));
            self.entered = Some((day.start, day.end));
        }
        hours
    }

    /// Adds a record that was admitted.
    #[inline]
    pub(super) fn push(&mut self, series: u32, now: i64, item: S::Item) {
        let together = series as usize / TOGETHER;
        let waiting = &mut self.waiting[together];
        waiting.push(Waiting { series, now, item });
        if waiting.len() >= WAITING {
            self.work(together);
        }
    }

    /// Processes the waiting records, series by series.
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

    /// Emits bars that have closed, changed or become final as of the market's time; at the end of the stream
    /// all.
    pub(super) fn take(&mut self, market: Option<i64>, emit: &mut dyn FnMut(Bar)) {
        // The series processed last is in the cache.
        for together in 0..self.waiting.len() {
            self.work(together);
            let (from, to) = (together * TOGETHER, self.series.len().min((together + 1) * TOGETHER));
            self.series[from..to].iter_mut().for_each(|series| series.take(market, emit));
        }
    }

    /// For each series, the first position it still needs, and the time before which its bars are final.
    /// `next` is the position after the last record.
    pub(super) fn checkpoint(&mut self, market: i64, (latest_ms, next): (i64, u64), emit: Emit<'_>) {
        let states = self.states.iter_mut().zip(&mut self.late_from);
        for (((state, late_from), open), series) in states.zip(&mut self.open).zip(&mut self.series) {
            let stale = state.stamp_ms < latest_ms.saturating_sub(STALE_MS);
            let sealed = bound(state.clock.now(), self.allowed_lateness);
            let done = |end: i64| end <= sealed || (stale && end <= bound(market, self.allowed_lateness));
            if let Some(last) = open.iter().filter(|(_, end, _)| done(*end)).map(|(_, end, _)| *end).max() {
                if last > state.low_watermark {
                    (state.low_watermark, *late_from) = (last, next);
                }
                open.retain(|(_, end, _)| !done(*end));
            }
            let position = open.iter().map(|(.., position)| *position).min();
            let time = state.low_watermark;
            let low_watermark = (time > i64::MIN).then(|| LowWatermark {
                time,
                position: (*late_from < u64::MAX).then_some(*late_from),
                carried: series.carried(time),
            });
            emit(series.name(), position, low_watermark);
        }
    }
}
