//! The notifier port.

use crate::message::AlertMessage;
use std::time::Duration;

/// Why a message was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotifyError {
    /// It may be accepted later: the server is unreachable or busy, or the login or certificate is wrong and
    /// may be corrected.
    #[error("{reason}")]
    Retryable {
        /// The server's reply, without secrets.
        reason: String,
        /// How long the server requests to wait.
        after: Option<Duration>,
    },
    /// Permanent failure: a rejected address, an invalid message.
    #[error("{0}")]
    Permanent(String),
}

impl NotifyError {
    pub(crate) fn retryable(reason: impl Into<String>) -> Self {
        Self::Retryable { reason: reason.into(), after: None }
    }

    /// Whether a retry is pointless.
    #[must_use]
    pub const fn is_permanent(&self) -> bool {
        matches!(self, Self::Permanent(_))
    }
}

/// A channel to people. Calls block and must not retry.
pub trait Notifier: Send {
    /// Name of the channel, as configured.
    fn name(&self) -> &str;

    /// Sends one message. On success the server has accepted it.
    ///
    /// # Errors
    /// [`NotifyError`]: what to do with the message.
    fn send(&mut self, message: &AlertMessage) -> Result<(), NotifyError>;

    /// Checks whether the channel could send: connects and authenticates if the service allows it, and sends
    /// nothing.
    ///
    /// # Errors
    /// Like [`Notifier::send`].
    fn check(&mut self) -> Result<(), NotifyError>;
}
