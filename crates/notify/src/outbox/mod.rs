//! The outbox: messages that are not delivered yet.
//!
//! A message is stored durably in the outbox before the position of the records that caused it is committed.
//! It is sent until the server accepts it, then marked as sent. The start of each attempt is recorded first:
//! an attempt that started and never ended is one during which the program crashed, and the only case in
//! which a message may arrive twice, with the same key. So a message is never lost, and never duplicated
//! otherwise.

mod sqlite;

pub use sqlite::{Delivery, SqliteOutbox};

use crate::message::AlertMessage;
use crate::notifier::{Notifier, NotifyError};
use market::alert::Alert;
use ports::metrics::METRICS;
use std::time::Duration;

/// A message to be delivered to one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Position in the order of delivery.
    pub id: i64,
    /// Name of the channel.
    pub channel: String,
    /// The message.
    pub message: AlertMessage,
    /// Attempts started.
    pub attempts: u32,
    /// Whether the program crashed during the last attempt.
    pub uncertain: bool,
}

/// Counts of messages by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutboxCounts {
    /// Pending.
    pub pending: u64,
    /// Accepted by the server.
    pub sent: u64,
    /// Abandoned: the server will never accept them.
    pub dead: u64,
    /// Sent again because a crash hid the outcome of an attempt.
    pub repeated: u64,
}

/// Storage of messages. Every method that changes something is durable when it returns.
pub trait OutboxStore: Send {
    /// Adds an alert's messages, one for each channel, with the alert for the history. A known key is
    /// skipped, so records may be evaluated again.
    ///
    /// # Errors
    /// An error of the storage.
    fn append(&mut self, alert: &Alert, messages: &[(String, AlertMessage)]) -> Result<bool, String>;

    /// The oldest messages of a channel that are due at a time (Unix milliseconds).
    ///
    /// # Errors
    /// An error of the storage.
    fn due(&mut self, channel: &str, now_ms: i64, most: usize) -> Result<Vec<Pending>, String>;

    /// Marks the start of an attempt.
    ///
    /// # Errors
    /// An error of the storage.
    fn begin(&mut self, id: i64) -> Result<(), String>;

    /// Marks a message as accepted by the server.
    ///
    /// # Errors
    /// An error of the storage.
    fn sent(&mut self, id: i64, now_ms: i64) -> Result<(), String>;

    /// Schedules a retry.
    ///
    /// # Errors
    /// An error of the storage.
    fn retry(&mut self, id: i64, at_ms: i64, reason: &str) -> Result<(), String>;

    /// Marks a message as abandoned.
    ///
    /// # Errors
    /// An error of the storage.
    fn dead(&mut self, id: i64, reason: &str) -> Result<(), String>;

    /// Counts the messages.
    ///
    /// # Errors
    /// An error of the storage.
    fn counts(&mut self) -> Result<OutboxCounts, String>;
}

/// How deliveries are retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Wait after the first failure; doubled after each.
    pub first: Duration,
    /// Longest wait.
    pub most: Duration,
    /// Attempts after which a failing message is abandoned, so that it does not block those behind it.
    pub attempts: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        // Nearly four days.
        Self { first: Duration::from_secs(1), most: Duration::from_secs(300), attempts: 1_000 }
    }
}

impl RetryPolicy {
    /// Delay after a number of attempts, with ±25 % jitter so that channels do not retry in step.
    #[must_use]
    pub fn wait(&self, attempts: u32, seed: u64) -> Duration {
        let doubled = self.first.saturating_mul(1_u32 << attempts.saturating_sub(1).min(20));
        let spread = 750 + (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % 501;
        doubled.min(self.most).mul_f64(spread as f64 / 1_000.0)
    }
}

/// Maximum number of messages sent per call.
const TURN: usize = 32;

/// Sends due messages to one channel. Stops at the first retryable failure: the server is contacted again
/// after the delay, not once for each message. Returns the number of accepted messages.
///
/// # Errors
/// An error of the storage; failures of the channel are recorded in the outbox.
pub fn deliver(
    store: &mut dyn OutboxStore,
    channel: &mut dyn Notifier,
    policy: &RetryPolicy,
    now_ms: &dyn Fn() -> i64,
) -> Result<usize, String> {
    let mut accepted = 0;
    for pending in store.due(channel.name(), now_ms(), TURN)? {
        let Pending { id, attempts, uncertain, .. } = pending;
        if uncertain {
            tracing::warn!(channel = channel.name(), key = %pending.message.key, "sending again after a crash");
        }
        store.begin(id)?;
        match channel.send(&pending.message) {
            Ok(()) => {
                store.sent(id, now_ms())?;
                accepted += 1;
            }
            Err(NotifyError::Permanent(reason)) => {
                tracing::error!(channel = channel.name(), key = %pending.message.key, "alert abandoned: {reason}");
                METRICS.alert_failed(channel.name(), true);
                store.dead(id, &reason)?;
            }
            Err(NotifyError::Retryable { reason, .. }) if attempts + 1 >= policy.attempts => {
                tracing::error!(channel = channel.name(), attempts, "alert abandoned: {reason}");
                METRICS.alert_failed(channel.name(), true);
                store.dead(id, &format!("after {} attempts: {reason}", attempts + 1))?;
            }
            Err(NotifyError::Retryable { reason, after }) => {
                let wait = policy.wait(attempts + 1, id as u64).max(after.unwrap_or_default());
                let at = now_ms().saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
                tracing::warn!(
                    channel = channel.name(),
                    wait_s = wait.as_secs(),
                    "alert not sent yet: {reason}"
                );
                METRICS.alert_failed(channel.name(), false);
                store.retry(id, at, &reason)?;
                return Ok(accepted);
            }
        }
    }
    Ok(accepted)
}
