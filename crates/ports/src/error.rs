//! Errors for people: what failed, who can fix it, and what to do next.

use std::fmt;

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
}

/// Result of this workspace's fallible functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An invalid argument or setting, for example `--from noon`.
    pub fn usage(what: impl Into<String>) -> Self {
        Self { domain: Domain::Usage, what: what.into(), hint: None }
    }

    /// An error that the user can fix.
    pub fn user(what: impl Into<String>) -> Self {
        Self { domain: Domain::User, what: what.into(), hint: None }
    }

    /// An error of a server or the network; a retry can help.
    pub fn external(what: impl Into<String>) -> Self {
        Self { domain: Domain::External, what: what.into(), hint: None }
    }

    /// A bug in Tapeline.
    pub fn internal(what: impl Into<String>) -> Self {
        Self { domain: Domain::Internal, what: what.into(), hint: None }
    }

    /// Work that the user stopped before it was done.
    #[must_use]
    pub fn stopped() -> Self {
        Self { domain: Domain::Stopped, what: "stopped".to_owned(), hint: None }
    }

    /// The likely cause and the next command.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
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

impl std::error::Error for Error {}

/// Adds the file's path to an I/O error.
pub fn io(doing: &str, path: &std::path::Path) -> impl Fn(std::io::Error) -> Error {
    let place = format!("{doing} {}", path.display());
    move |error| Error::user(format!("{place}: {error}"))
}
