//! Request budget of a vendor's plan: a limit for any minute, and one per day, across restarts.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);

/// Requests made and allowed.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    per_minute: usize,
    /// 0: no limit.
    per_day: u64,
    recent: VecDeque<Instant>,
    /// Days since 1970, UTC, and the requests made on that day.
    day: (i64, u64),
}

/// Why to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// For the minute to pass.
    Minute(Duration),
    /// The day's requests are used up.
    Day,
}

impl Budget {
    pub(super) fn new(per_minute: u32, per_day: u64) -> Self {
        let per_minute = usize::try_from(per_minute.max(1)).unwrap_or(usize::MAX);
        Self { per_minute, per_day, recent: VecDeque::new(), day: (0, 0) }
    }

    /// Uses one request, or returns what to wait for. `day` is the number of today.
    pub(super) fn take(&mut self, now: Instant, day: i64) -> Result<(), Wait> {
        if self.day.0 != day {
            self.day = (day, 0);
        }
        if self.per_day > 0 && self.day.1 >= self.per_day {
            return Err(Wait::Day);
        }
        while self.recent.front().is_some_and(|at| now.saturating_duration_since(*at) >= MINUTE) {
            self.recent.pop_front();
        }
        if self.recent.len() >= self.per_minute
            && let Some(first) = self.recent.front()
        {
            return Err(Wait::Minute(MINUTE - now.saturating_duration_since(*first)));
        }
        self.recent.push_back(now);
        self.day.1 += 1;
        Ok(())
    }

    /// The vendor reports that the minute's requests are used up, whoever made them.
    pub(super) fn exhaust(&mut self, now: Instant) {
        self.recent.clear();
        self.recent.extend(std::iter::repeat_n(now, self.per_minute));
    }

    /// Its saved form.
    pub(super) fn kept(&self) -> String {
        format!("{} {}", self.day.0, self.day.1)
    }

    /// Requests that an earlier run used today.
    pub(super) fn restore(&mut self, text: &str) {
        let numbers: Vec<i64> = text.split(' ').filter_map(|part| part.parse().ok()).collect();
        if let [day, count] = numbers[..] {
            self.day = (day, count.unsigned_abs());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_minute_and_no_day_has_more_than_is_allowed() {
        let (start, mut budget) = (Instant::now(), Budget::new(5, 12));
        let mut made = Vec::new();
        let mut now = start;
        loop {
            match budget.take(now, 100) {
                Ok(()) => made.push(now),
                Err(Wait::Minute(wait)) => now += wait,
                Err(Wait::Day) => break,
            }
        }
        assert_eq!(made.len(), 12);
        assert!(made.windows(6).all(|six| six[5] - six[0] >= MINUTE));
        // Another run on the same day, and the next day.
        let mut again = Budget::new(5, 12);
        again.restore(&budget.kept());
        assert_eq!(again.take(now, 100), Err(Wait::Day));
        assert_eq!(again.take(now, 101), Ok(()));
        again.exhaust(now);
        assert_eq!(again.take(now + MINUTE / 2, 101), Err(Wait::Minute(MINUTE / 2)));
    }
}
