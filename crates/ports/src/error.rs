//! What went wrong, whose it is to mend, and what to do next.

use std::fmt;

/// Whose it is to mend: decides whether waiting can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Domain {
    /// A flag, a setting, a missing table: waiting does not help.
    User,
    /// A server that is down or slow: waiting can help.
    External,
    /// Ours.
    Internal,
}

/// An error for people: what failed and where, why, and the next command.
#[derive(Debug, Clone)]
pub struct Error {
    /// Whose it is.
    pub domain: Domain,
    what: String,
    hint: Option<String>,
}

/// The result of everything here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The user can mend it.
    pub fn user(what: impl Into<String>) -> Self {
        Self { domain: Domain::User, what: what.into(), hint: None }
    }

    /// A server or the network; trying again can help.
    pub fn external(what: impl Into<String>) -> Self {
        Self { domain: Domain::External, what: what.into(), hint: None }
    }

    /// A fault of ours.
    pub fn internal(what: impl Into<String>) -> Self {
        Self { domain: Domain::Internal, what: what.into(), hint: None }
    }

    /// The likely cause and the next command.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What was being done when it happened, put before the rest.
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

    /// Whether trying again later can help.
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
