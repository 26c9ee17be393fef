//! Event time, as derived from a stream of records.

/// Maximum advance by a single record: a print dated further ahead must be confirmed.
const STEP: i64 = 10 * crate::interval::SECOND;
/// Number of consecutive records that must be that far ahead before the clock follows them.
const CONFIRM: u8 = 3;

/// The latest trusted event time. One future-dated print does not advance it: a jump of more than ten seconds
/// needs three records in a row, none of them back at the old time, and then advances to the earliest of the
/// three. It depends only on the order of records.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    now: i64,
    ahead: i64,
    seen: u8,
}

impl Default for Clock {
    fn default() -> Self {
        Self { now: i64::MIN, ahead: 0, seen: 0 }
    }
}

impl Clock {
    /// Current event time; [`i64::MIN`] before it is known.
    #[must_use]
    #[inline]
    pub const fn now(&self) -> i64 {
        self.now
    }

    /// Advances with a record's time.
    #[inline]
    pub fn observe(&mut self, ts: i64) {
        if ts <= self.now.saturating_add(STEP) {
            self.now = self.now.max(ts);
            self.seen = 0;
        } else {
            self.leap(ts);
        }
    }

    #[cold]
    fn leap(&mut self, ts: i64) {
        self.ahead = if self.seen == 0 { ts } else { self.ahead.min(ts) };
        self.seen += 1;
        if self.seen >= CONFIRM {
            self.now = self.ahead;
            self.seen = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interval::SECOND;

    fn after(seconds: &[i64]) -> i64 {
        let mut clock = Clock::default();
        seconds.iter().for_each(|s| clock.observe(s * SECOND));
        clock.now() / SECOND
    }

    #[test]
    fn one_future_print_does_not_poison_and_a_real_leap_is_followed() {
        assert_eq!(after(&[100, 101, 102, 103]), 103);
        assert_eq!(after(&[100, 101, 102, 103, 90_000, 104]), 104);
        assert_eq!(after(&[100, 101, 102, 103, 90_000, 104, 90_000, 105, 90_000, 90_000, 106]), 106);
        // The next morning.
        assert_eq!(after(&[100, 101, 102, 60_000, 60_001, 60_005]), 60_000);
        assert_eq!(after(&[100, 101, 102, 60_000, 60_001, 60_005, 60_006]), 60_006);
        // The very first record may be the wrong one.
        assert_eq!(after(&[90_000, 100, 101, 102]), 102);
        // Late records do not move it back.
        assert_eq!(after(&[100, 101, 102, 103, 50]), 103);
    }
}
