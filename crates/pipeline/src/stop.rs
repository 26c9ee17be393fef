//! The wish to stop, shared by everything that runs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Set once by Ctrl-C, SIGTERM or a failing neighbour; looked at by every loop.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    asked: Arc<AtomicBool>,
    /// How long after the wish it holds, and when the wish was first seen.
    grace: Option<(Duration, Arc<OnceLock<Instant>>)>,
}

impl Stop {
    /// Asks everything that shares this to drain and end.
    pub fn ask(&self) {
        self.asked.store(true, Ordering::SeqCst);
    }

    /// Whether to end.
    #[must_use]
    pub fn asked(&self) -> bool {
        let asked = self.asked.load(Ordering::SeqCst);
        match &self.grace {
            Some((grace, seen)) if asked => seen.get_or_init(Instant::now).elapsed() >= *grace,
            _ => asked,
        }
    }

    /// The same wish for one that must end after the others: it holds only `grace` after it was first
    /// looked at.
    #[must_use]
    pub fn later(&self, grace: Duration) -> Self {
        Self { asked: Arc::clone(&self.asked), grace: Some((grace, Arc::default())) }
    }

    /// The flag itself, for a signal handler to set.
    #[must_use]
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.asked)
    }

    /// Sleeps, but not past a wish to stop. True when there was one.
    pub fn sleep(&self, time: Duration) -> bool {
        let end = Instant::now() + time;
        while !self.asked() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
        true
    }
}

/// Waits between tries: doubles from 100 ms to 10 s, each spread by +-25 % so that many clients do not try as one.
#[derive(Debug)]
pub struct Backoff {
    tries: u32,
    seed: u64,
}

impl Default for Backoff {
    fn default() -> Self {
        // The address of a fresh allocation differs between processes: enough to spread retries.
        let seed = Box::new(0_u8);
        Self { tries: 0, seed: std::ptr::from_ref(&*seed) as u64 | 1 }
    }
}

impl Backoff {
    /// The next wait.
    pub fn wait(&mut self) -> Duration {
        let base = 100_u64 << self.tries.min(7);
        self.tries += 1;
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        let base = base.min(10_000);
        Duration::from_millis(base * 3 / 4 + self.seed % (base / 2))
    }

    /// Tries so far.
    #[must_use]
    pub fn tries(&self) -> u32 {
        self.tries
    }

    /// It worked: the next failure starts from the beginning.
    pub fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_ten_seconds_and_no_further() {
        let mut backoff = Backoff::default();
        let waits: Vec<u128> = (0..12).map(|_| backoff.wait().as_millis()).collect();
        assert!((75..=125).contains(&waits[0]), "{waits:?}");
        assert!(waits.iter().all(|ms| *ms <= 12_500), "{waits:?}");
        assert!(waits[11] >= 7_500, "{waits:?}");
        backoff.reset();
        assert!(backoff.wait().as_millis() <= 125);
    }

    #[test]
    fn a_later_wish_holds_after_its_grace() {
        let stop = Stop::default();
        let (later, at_once) = (stop.later(Duration::from_secs(600)), stop.later(Duration::ZERO));
        assert!(!later.asked() && !at_once.asked());
        stop.ask();
        assert!(stop.asked() && at_once.asked() && !later.asked());
        assert!(stop.later(Duration::from_millis(60)).sleep(Duration::from_secs(600)));
    }

    #[test]
    fn a_wish_to_stop_ends_a_sleep() {
        let stop = Stop::default();
        let other = stop.clone();
        std::thread::spawn(move || other.ask());
        assert!(stop.sleep(Duration::from_secs(600)));
    }
}
