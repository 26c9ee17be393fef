//! The notifier port.

use crate::message::Message;
use std::time::Duration;

/// Why a message was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotifyError {
    /// It may be taken later: the server is away or busy, or the login or certificate is at fault and may be mended.
    #[error("{reason}")]
    Retryable {
        /// What the server said, without secrets.
        reason: String,
        /// How long the server asks to wait.
        after: Option<Duration>,
    },
    /// It will never be taken as it is: a refused address, a faulty message.
    #[error("{0}")]
    Permanent(String),
}

impl NotifyError {
    pub(crate) fn retryable(reason: impl Into<String>) -> Self {
        Self::Retryable { reason: reason.into(), after: None }
    }

    /// Whether trying again is of no use.
    #[must_use]
    pub const fn is_permanent(&self) -> bool {
        matches!(self, Self::Permanent(_))
    }
}

/// A channel to people. It blocks; it is not asked to retry.
pub trait Notifier: Send {
    /// Name of the channel, as configured.
    fn name(&self) -> &str;

    /// Hands one message over. On success the server has accepted it.
    ///
    /// # Errors
    /// [`NotifyError`]: what to do with the message.
    fn send(&mut self, message: &Message) -> Result<(), NotifyError>;

    /// Whether the channel could send: connects and authenticates where the service allows it, and sends nothing.
    ///
    /// # Errors
    /// As [`Notifier::send`].
    fn check(&mut self) -> Result<(), NotifyError>;
}
