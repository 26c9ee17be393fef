//! Duplicate detection: exact for the newest records, by sequence number for old ones.

use super::accumulator::EventOrder;

/// The records of a series seen so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    last: Option<EventOrder>,
    /// Start of each of the last sessions, and the numbers seen in it.
    sessions: Vec<(i64, NumberRanges)>,
}

/// Numbers seen, as ranges. Feeds with consecutive numbers per symbol need only a few; if they become many,
/// or a number repeats, the ranges are unusable.
#[derive(Debug, Clone, Default)]
struct NumberRanges {
    ranges: Vec<(u64, u64)>,
    useless: bool,
}

/// Limit on ranges, beyond which they are discarded.
const RANGES: usize = 64;

impl NumberRanges {
    /// Returns false if it was already present.
    #[inline]
    fn add(&mut self, number: u64) {
        match self.ranges.last_mut() {
            Some((_, to)) if *to + 1 == number => *to = number,
            _ => self.insert(number),
        }
    }

    #[cold]
    fn insert(&mut self, number: u64) {
        if self.useless {
            return;
        }
        let place = self.ranges.partition_point(|(_, to)| *to < number);
        if self.ranges.get(place).is_some_and(|(from, _)| *from <= number) {
            self.useless = true;
            return;
        }
        let before = place > 0 && self.ranges[place - 1].1 + 1 == number;
        let after = self.ranges.get(place).is_some_and(|(from, _)| *from == number + 1);
        match (before, after) {
            (true, true) => {
                self.ranges[place - 1].1 = self.ranges[place].1;
                self.ranges.remove(place);
            }
            (true, false) => self.ranges[place - 1].1 = number,
            (false, true) => self.ranges[place].0 = number,
            (false, false) => self.ranges.insert(place, (number, number)),
        }
        self.useless = self.ranges.len() > RANGES;
    }

    fn has(&self, number: u64) -> bool {
        let place = self.ranges.partition_point(|(_, to)| *to < number);
        !self.useless && self.ranges.get(place).is_some_and(|(from, _)| *from <= number)
    }
}

impl Seen {
    /// Whether it follows all others: the usual case, and then certainly new.
    #[inline]
    pub(super) fn is_next(&mut self, at: EventOrder) -> bool {
        let next = self.last.is_none_or(|last| at > last);
        if next {
            self.last = Some(at);
        }
        next
    }

    /// It is new.
    #[inline]
    pub(super) fn add(&mut self, number: u64, session: i64) {
        match self.sessions.last_mut() {
            Some((start, numbers)) if *start == session => numbers.add(number),
            _ => self.elsewhere(number, session),
        }
    }

    #[cold]
    fn elsewhere(&mut self, number: u64, session: i64) {
        if let Some((_, numbers)) = self.sessions.iter_mut().find(|(start, _)| *start == session) {
            return numbers.add(number);
        }
        self.sessions.push((session, NumberRanges { ranges: vec![(number, number)], useless: false }));
        if self.sessions.len() > 8 {
            self.sessions.remove(0);
        }
    }

    /// Whether an old record was certainly counted.
    pub(super) fn contains(&self, number: u64, session: i64) -> bool {
        self.sessions.iter().any(|(start, numbers)| *start == session && numbers.has(number))
    }
}
