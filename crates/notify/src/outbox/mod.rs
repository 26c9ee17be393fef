//! Messages that are not delivered yet.
//!
//! A message is in the outbox, durably, before the position of the records that caused it is committed. It is sent
//! until the server accepts it, then noted as sent. Before each attempt the start of the attempt is noted, too: an
//! attempt that was begun and never ended is one where the program died, and the only case in which a message may
//! arrive twice, with the same key. So a message is never lost, and never repeated but there.

mod sqlite;

pub use sqlite::{Delivery, Silence, SqliteOutbox};

use crate::message::Message;
use crate::notifier::{Notifier, NotifyError};
use market::alert::Alert;
use std::time::Duration;

/// A message on its way to one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Place in the order of delivery.
    pub id: i64,
    /// Name of the channel.
    pub channel: String,
    /// What is sent.
    pub message: Message,
    /// Attempts that were begun.
    pub attempts: u32,
    /// The last attempt was begun by a program that died before it knew the outcome.
    pub uncertain: bool,
}

/// What the outbox holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutboxCounts {
    /// Not delivered yet.
    pub pending: u64,
    /// Accepted by their servers.
    pub sent: u64,
    /// Given up: their servers will never take them.
    pub dead: u64,
    /// Sent again because a crash hid the outcome of an attempt.
    pub repeated: u64,
}

/// Where messages wait. Every method that changes something is durable when it returns.
pub trait OutboxStore: Send {
    /// Adds an alert's messages, one for each channel, with the alert for the history. A key that is known is left out:
    /// so records may be evaluated again.
    ///
    /// # Errors
    /// What the storage says.
    fn append(&mut self, alert: &Alert, messages: &[(String, Message)]) -> Result<bool, String>;

    /// The oldest messages of a channel that are due at a time (Unix milliseconds).
    ///
    /// # Errors
    /// What the storage says.
    fn due(&mut self, channel: &str, now_ms: i64, most: usize) -> Result<Vec<Pending>, String>;

    /// An attempt begins.
    ///
    /// # Errors
    /// What the storage says.
    fn begin(&mut self, id: i64) -> Result<(), String>;

    /// The server has accepted it.
    ///
    /// # Errors
    /// What the storage says.
    fn sent(&mut self, id: i64, now_ms: i64) -> Result<(), String>;

    /// It is tried again at a time.
    ///
    /// # Errors
    /// What the storage says.
    fn retry(&mut self, id: i64, at_ms: i64, reason: &str) -> Result<(), String>;

    /// It is given up.
    ///
    /// # Errors
    /// What the storage says.
    fn dead(&mut self, id: i64, reason: &str) -> Result<(), String>;

    /// What it holds.
    ///
    /// # Errors
    /// What the storage says.
    fn counts(&mut self) -> Result<OutboxCounts, String>;
}

/// How deliveries are retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Wait after the first failure; doubled after each.
    pub first: Duration,
    /// Longest wait.
    pub most: Duration,
    /// Attempts after which a message that still fails is given up, so that it does not hold up those behind it.
    pub attempts: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        // Nearly four days.
        Self { first: Duration::from_secs(1), most: Duration::from_secs(300), attempts: 1_000 }
    }
}

impl RetryPolicy {
    /// Wait after so many attempts, spread by ±25 % so that channels do not retry in step.
    #[must_use]
    pub fn wait(&self, attempts: u32, seed: u64) -> Duration {
        let doubled = self.first.saturating_mul(1_u32 << attempts.saturating_sub(1).min(20));
        let spread = 750 + (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % 501;
        doubled.min(self.most).mul_f64(spread as f64 / 1_000.0)
    }
}

/// Messages handed over in one turn.
const TURN: usize = 32;

/// Hands what is due to one channel. Stops at the first failure that may pass: the server is asked again after the
/// wait, not once for each message. Returns how many were accepted.
///
/// # Errors
/// What the storage says; failures of the channel are noted in the outbox.
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
                tracing::error!(channel = channel.name(), key = %pending.message.key, "alert given up: {reason}");
                store.dead(id, &reason)?;
            }
            Err(NotifyError::Retryable { reason, .. }) if attempts + 1 >= policy.attempts => {
                tracing::error!(channel = channel.name(), attempts, "alert given up: {reason}");
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
                store.retry(id, at, &reason)?;
                return Ok(accepted);
            }
        }
    }
    Ok(accepted)
}
