//! Cooperative cancellation, and the back-off between retries.

use crate::metrics::{METRICS, Port};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Set once by Ctrl-C, SIGTERM or a failing peer thread; polled by every loop. Clones share the state.
#[derive(Debug, Clone, Default)]
pub struct CancelToken {
    cancelled: Arc<AtomicBool>,
    /// Delay before this clone reports the cancellation, and when it first saw it.
    delay: Option<(Duration, Arc<OnceLock<Instant>>)>,
}

impl CancelToken {
    /// Requests that everything holding a clone drains and returns.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
    }

    /// Whether cancellation was requested, and the delay of [`Self::delayed`] has passed.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        let cancelled = self.cancelled.load(Ordering::SeqCst);
        match &self.delay {
            Some((delay, seen)) if cancelled => seen.get_or_init(Instant::now).elapsed() >= *delay,
            _ => cancelled,
        }
    }

    /// A clone for a stage that must outlive the others: it reports the cancellation `delay` after it first sees it.
    #[must_use]
    pub fn delayed(&self, delay: Duration) -> Self {
        Self { cancelled: Arc::clone(&self.cancelled), delay: Some((delay, Arc::default())) }
    }

    /// The flag itself, for a signal handler to set.
    #[must_use]
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.cancelled)
    }

    /// Sleeps for `time` or until cancelled; returns whether it was cancelled.
    pub fn sleep(&self, time: Duration) -> bool {
        let end = Instant::now() + time;
        while !self.is_cancelled() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
        true
    }
}

/// Calls `f`, a request to a port, until it succeeds, fails for good, or `cancel` is set; logs the first failure and then
/// one a minute.
///
/// # Errors
/// A permanent error, or the last temporary one once cancelled.
pub fn retry<T>(
    cancel: &CancelToken,
    port: Port,
    doing: &str,
    mut f: impl FnMut() -> crate::Result<T>,
) -> crate::Result<T> {
    let mut backoff = Backoff::default();
    let mut logged: Option<Instant> = None;
    loop {
        match f() {
            Err(error) if error.retryable() && !cancel.is_cancelled() => {
                METRICS.retried(port);
                if logged.is_none_or(|at| at.elapsed() > Duration::from_secs(60)) {
                    tracing::warn!("{doing}: {error}; retrying");
                    logged = Some(Instant::now());
                }
                if cancel.sleep(backoff.wait()) {
                    return Err(error);
                }
            }
            other => return other,
        }
    }
}

/// Exponential back-off from 100 ms to 10 s with ±25 % jitter, so that many clients do not retry in step.
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
    /// Returns the delay before the next attempt.
    pub fn wait(&mut self) -> Duration {
        let base = 100_u64 << self.tries.min(7);
        self.tries += 1;
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        let base = base.min(10_000);
        Duration::from_millis(base * 3 / 4 + self.seed % (base / 2))
    }

    /// Attempts so far.
    #[must_use]
    pub fn tries(&self) -> u32 {
        self.tries
    }

    /// Starts over after a success.
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
    fn a_delayed_token_reports_after_its_delay() {
        let stop = CancelToken::default();
        let (delayed, at_once) = (stop.delayed(Duration::from_secs(600)), stop.delayed(Duration::ZERO));
        assert!(!delayed.is_cancelled() && !at_once.is_cancelled());
        stop.cancel();
        assert!(stop.is_cancelled() && at_once.is_cancelled() && !delayed.is_cancelled());
        assert!(stop.delayed(Duration::from_millis(60)).sleep(Duration::from_secs(600)));
    }

    #[test]
    fn cancellation_ends_a_sleep() {
        let stop = CancelToken::default();
        let other = stop.clone();
        std::thread::spawn(move || other.cancel());
        assert!(stop.sleep(Duration::from_secs(600)));
    }
}
