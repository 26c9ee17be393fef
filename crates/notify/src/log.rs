//! The program's own log as a channel.

use crate::message::AlertMessage;
use crate::notifier::{Notifier, NotifyError};
use market::alert::Severity;

/// Writes each message as one log event.
#[derive(Debug)]
pub struct Log(String);

impl Log {
    /// Creates a channel of this name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.to_owned())
    }
}

impl Notifier for Log {
    fn name(&self) -> &str {
        &self.0
    }

    fn send(&mut self, message: &AlertMessage) -> Result<(), NotifyError> {
        let (key, subject) = (&message.key, &message.subject);
        match message.severity {
            Severity::Info => tracing::info!(%key, "alert: {subject}"),
            Severity::Warning => tracing::warn!(%key, "alert: {subject}"),
            Severity::Critical => tracing::error!(%key, "alert: {subject}"),
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), NotifyError> {
        Ok(())
    }
}
