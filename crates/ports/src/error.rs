//! Errors for people: what failed, who can fix it, and what to do next.

use std::fmt;
use std::sync::Arc;

/// Who can fix an error: decides whether a retry can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Domain {
    /// An invalid argument or setting, whatever the state of files and servers.
    Usage,
    /// A missing file, table or permission: retries do not help.
    User,
    /// A server that is down or slow: retries can help.
    External,
    /// A bug in Tapeline.
    Internal,
    /// The user stopped the program.
    Stopped,
}

/// An error for people: what failed, where and why, and the next command.
#[derive(Debug, Clone)]
pub struct Error {
    /// Who can fix it.
    pub domain: Domain,
    what: String,
    hint: Option<String>,
    cause: Option<Cause>,
}

/// An error of a driver or of the system.
type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// Result of this workspace's fallible functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    fn of(domain: Domain, what: String) -> Self {
        Self { domain, what, hint: None, cause: None }
    }

    /// An invalid argument or setting, for example `--from noon`.
    pub fn usage(what: impl Into<String>) -> Self {
        Self::of(Domain::Usage, what.into())
    }

    /// An error that the user can fix.
    pub fn user(what: impl Into<String>) -> Self {
        Self::of(Domain::User, what.into())
    }

    /// An error of a server or the network; a retry can help.
    pub fn external(what: impl Into<String>) -> Self {
        Self::of(Domain::External, what.into())
    }

    /// A bug in Tapeline.
    pub fn internal(what: impl Into<String>) -> Self {
        Self::of(Domain::Internal, what.into())
    }

    /// Work that the user stopped before it was done.
    #[must_use]
    pub fn stopped() -> Self {
        Self::of(Domain::Stopped, "stopped".to_owned())
    }

    /// The likely cause and the next command.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Keeps the error that caused it, whose words are part of the message already: [`Error::cause`] finds it by its type.
    #[must_use]
    pub fn because(mut self, cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.cause = Some(Arc::new(cause));
        self
    }

    /// The error of this type among its causes.
    #[must_use]
    pub fn cause<T: std::error::Error + 'static>(&self) -> Option<&T> {
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            if let Some(found) = cause.downcast_ref() {
                return Some(found);
            }
            next = cause.source();
        }
        None
    }

    /// Prepends what was being done when the error occurred.
    #[must_use]
    pub fn context(mut self, doing: &str) -> Self {
        self.what = format!("{doing}: {}", self.what);
        self
    }

    /// What failed, without the hint.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The hint.
    #[must_use]
    pub fn next(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Whether a later retry can help.
    #[must_use]
    pub fn retryable(&self) -> bool {
        self.domain == Domain::External
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// The message names the causes, so that printing it alone says everything, once.
impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

/// Adds the file's path to an I/O error.
pub fn io(doing: &str, path: &std::path::Path) -> impl Fn(std::io::Error) -> Error {
    let place = format!("{doing} {}", path.display());
    move |error| Error::user(format!("{place}: {error}")).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;

    #[test]
    fn causes_are_found_by_type_and_their_words_are_not_repeated() {
        let denied = std::io::Error::from(ErrorKind::PermissionDenied);
        let error = io("open", std::path::Path::new("x"))(denied).hint("chmod").context("start");
        assert_eq!(error.to_string(), "start: open x: permission denied\n  hint: chmod");
        assert_eq!(
            error.cause::<std::io::Error>().map(std::io::Error::kind),
            Some(ErrorKind::PermissionDenied)
        );
        assert!(error.cause::<std::fmt::Error>().is_none());
        let outer = Error::external(format!("read: {}", error.what())).because(error);
        assert!(outer.cause::<std::io::Error>().is_some() && outer.cause::<Error>().is_some());
    }
}
