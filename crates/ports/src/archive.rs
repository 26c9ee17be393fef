//! The archive port: named objects that are created once, whole, and never changed; only compaction removes some.
//!
//! Names are paths of plain ASCII, as `kind=trades/date=2013-10-08/bucket=3/NAME.parquet`. An object appears with all of
//! its bytes or not at all, and creating one that exists changes nothing: a retry is harmless. Transient failures are
//! returned as retryable errors; the caller retries.

use crate::Result;
use crate::check::Chain;

/// What became of a creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// The object is new and durable.
    New,
    /// An object of this name existed; it is unchanged.
    Existed,
}

/// Name and size of an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectInfo {
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
}

/// An archive engine.
pub trait Archive: Send + Sync {
    /// Creates an object if there is none of this name. When it returns, the object is durable.
    ///
    /// # Errors
    /// The archive cannot be written, or the name is not a valid one.
    fn create(&self, name: &str, bytes: &[u8]) -> Result<Created>;

    /// The bytes of an object; `None` if there is no object of this name.
    ///
    /// # Errors
    /// The archive cannot be read.
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>>;

    /// The objects whose names start with `prefix`, which is empty or ends with a slash, in the order of their names.
    /// Names that others gave may not be valid ones ([`check_name`]); those with a part that begins with a dot are left out.
    ///
    /// # Errors
    /// The archive cannot be read; with an empty prefix, it is a folder that does not exist.
    fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>>;

    /// Removes an object; nothing happens if there is none of this name. Only for objects that another one replaces.
    ///
    /// # Errors
    /// The archive cannot be written, or the name is not a valid one.
    fn remove(&self, name: &str) -> Result<()>;

    /// Checks everything that must hold, from the address to the right to read, up to the first broken link. Creates
    /// nothing.
    fn check(&self) -> Chain;

    /// Display name: `s3://bucket/prefix`.
    fn describe(&self) -> String;
}

/// Checks a name: parts of letters, digits and `._=-`, separated by slashes, none of them `.` or `..`.
///
/// # Errors
/// It is not a valid name.
pub fn check_name(name: &str) -> Result<()> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '=' | '-');
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && part.chars().all(fits);
    if name.len() <= 900 && name.split('/').all(part) {
        return Ok(());
    }
    Err(crate::Error::internal(format!(
        "`{}` is not an object name: expected parts of a-z A-Z 0-9 . _ = - separated by slashes",
        name.escape_debug()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_within_the_archive() {
        for name in
            ["a", "kind=trades/date=2013-10-08/bucket=3/t.trades-00003-0-9.parquet", "_ranges/x/0.json"]
        {
            check_name(name).unwrap();
        }
        for name in ["", "/a", "a/", "a//b", "../a", "a/../b", "a/./b", "a b", "a\nb", "ü", "a/.tmp"] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
