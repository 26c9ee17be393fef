//! Threads of the server.

use ports::{Error, Result};
use std::thread::JoinHandle;

/// Starts a thread.
pub(crate) fn thread(
    name: &str,
    run: impl FnOnce() -> Result<()> + Send + 'static,
) -> Result<JoinHandle<Result<()>>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(|error| Error::internal(format!("start thread {name}: {error}")))
}
