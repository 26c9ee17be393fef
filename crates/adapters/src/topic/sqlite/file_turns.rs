//! Turns of the processes that write a file, by two locks next to it.
//!
//! A process holds the first lock, `FILE-queue`, until it has the second, `FILE-writer`, and that one during its turn. A writer
//! that ends its turn and wants the next one needs the first lock again, which whoever waits holds: it cannot overtake. The
//! locks are advisory and end with their process; SQLite's own lock is what protects the file.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often a lock that another process holds is tried again.
const RETRY: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub(super) struct FileTurns {
    queue: File,
    writer: File,
}

impl FileTurns {
    /// `None` if the files cannot be created or opened, or cannot be locked.
    pub(super) fn open(path: &Path) -> Option<Self> {
        let turns = Self { queue: open(path, "-queue")?, writer: open(path, "-writer")? };
        match turns.queue.try_lock() {
            Ok(()) => turns.queue.unlock().ok()?,
            Err(TryLockError::WouldBlock) => {}
            // A file system without locks.
            Err(TryLockError::Error(_)) => return None,
        }
        Some(turns)
    }

    /// Waits for a turn, at most until the deadline: a process that is stopped may hold it.
    pub(super) fn take(&self, deadline: Instant) {
        if lock(&self.queue, deadline) {
            lock(&self.writer, deadline);
            let _ = self.queue.unlock();
        }
    }

    pub(super) fn end(&self) {
        let _ = self.writer.unlock();
    }
}

fn open(path: &Path, suffix: &str) -> Option<File> {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    let name = PathBuf::from(name);
    let create = OpenOptions::new().create(true).append(true).open(&name);
    // Another user's file can be locked without the right to write to it.
    create.or_else(|_| File::open(&name)).ok()
}

fn lock(file: &File, deadline: Instant) -> bool {
    loop {
        match file.try_lock() {
            Ok(()) => return true,
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(RETRY),
            Err(_) => return false,
        }
    }
}
