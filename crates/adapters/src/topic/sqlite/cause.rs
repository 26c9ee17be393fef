//! Why SQLite failed, and whose fault that is.

use ports::Error;
use std::path::Path;

/// Turns an error of SQLite into one that says what failed in which file.
pub(super) fn sql(path: &Path, doing: &str) -> impl Fn(rusqlite::Error) -> Error + use<> {
    let place = format!("{doing} in topic file {}", path.display());
    move |error| {
        let explained = match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
            Error::external(format!("{place}: {error}")).hint("another process has locked the file; retrying")
        }
        Some(rusqlite::ErrorCode::DiskFull) => {
            Error::external(format!("{place}: {error}")).hint("free some disk space")
        }
        Some(rusqlite::ErrorCode::ReadOnly) => Error::user(format!("{place}: {error}")).hint(
            "SQLite writes index files next to a file even to read it: obtain write permission, or copy the file",
        ),
        _ => Error::user(format!("{place}: {error}"))
            .hint("check the path, its permissions, and that it is a Tapeline topic file"),
        };
        explained.because(error)
    }
}

pub(super) fn missing(name: &str, path: &Path) -> Error {
    Error::user(format!("no topic `{name}` in {}", path.display()))
        .hint(format!("create it: tapeline init --topic sqlite:{}", path.display()))
}
