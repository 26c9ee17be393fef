//! A fair queue of writers. SQLite lets one process write at a time and makes the others retry after ever
//! longer sleeps: next to a producer that opens one transaction after another, a writer could sleep for
//! seconds. So writers queue: within a process here, and between processes by [`FileTurns`].

use super::file_turns::FileTurns;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Maximum time in each queue; after it SQLite's own lock decides.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
struct QueueState {
    /// The next number to be assigned.
    next: u64,
    /// All numbers below this one are done.
    served: u64,
}

/// A queue of writers.
#[derive(Debug)]
pub(super) struct WriteQueue {
    state: Mutex<QueueState>,
    moved: Condvar,
    /// The file that is written.
    path: PathBuf,
    /// Created with the first turn; `None` where no file can be.
    files: OnceLock<Option<FileTurns>>,
}

/// A turn; dropping it ends the turn.
#[derive(Debug)]
pub(super) struct WriteTurn {
    write_queue: Arc<WriteQueue>,
    number: u64,
}

impl WriteQueue {
    /// A queue of the writers of a file.
    pub(super) fn new(path: &Path) -> Arc<Self> {
        let (state, moved, files) = (Mutex::default(), Condvar::new(), OnceLock::new());
        Arc::new(Self { state, moved, path: path.to_owned(), files })
    }

    /// Waits for a turn.
    pub(super) fn take(self: &Arc<Self>) -> WriteTurn {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let number = state.next;
        state.next += 1;
        let waited = self.moved.wait_timeout_while(state, PATIENCE, |state| state.served < number);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        if let Some(files) = self.files.get_or_init(|| FileTurns::open(&self.path)) {
            files.take(Instant::now() + PATIENCE);
        }
        WriteTurn { write_queue: Arc::clone(self), number }
    }
}

impl Drop for WriteTurn {
    fn drop(&mut self) {
        if let Some(Some(files)) = self.write_queue.files.get() {
            files.end();
        }
        let mut state = self.write_queue.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.served = state.served.max(self.number + 1);
        drop(state);
        self.write_queue.moved.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_granted_in_the_order_of_requests() {
        let folder = tempfile::tempdir().unwrap();
        let (write_queue, order) =
            (WriteQueue::new(&folder.path().join("topic.db")), Arc::new(Mutex::new(Vec::new())));
        let mut first = write_queue.take();
        let waiting: Vec<_> = (1..=3)
            .map(|n| {
                let (state, list) = (Arc::clone(&write_queue), Arc::clone(&order));
                let thread = std::thread::spawn(move || {
                    let _held = state.take();
                    list.lock().unwrap().push(n);
                });
                while write_queue.state.lock().unwrap().next <= n {
                    std::thread::yield_now();
                }
                thread
            })
            .collect();
        // A writer that ends its turn and queues again is behind the others.
        drop(first);
        first = write_queue.take();
        order.lock().unwrap().push(4);
        drop(first);
        waiting.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(*order.lock().unwrap(), [1, 2, 3, 4]);
    }

    #[test]
    fn a_writer_of_another_process_waits_for_a_turn_or_two_of_a_busy_one() {
        use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("topic.db");
        // Queues share nothing but the files, as those of two processes.
        let (busy, other) = (WriteQueue::new(&path), WriteQueue::new(&path));
        let (turns, done) = (AtomicU64::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    let _turn = busy.take();
                    turns.fetch_add(1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(2));
                }
            });
            while turns.load(Ordering::SeqCst) == 0 {
                std::thread::yield_now();
            }
            let (mut waited, mut during) = (Vec::new(), 0);
            for _ in 0..21 {
                let before = turns.load(Ordering::SeqCst);
                let _turn = other.take();
                let taken = turns.load(Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(4));
                during += turns.load(Ordering::SeqCst) - taken;
                waited.push(taken - before);
            }
            done.store(true, Ordering::SeqCst);
            assert_eq!(during, 0, "turns of one during those of the other");
            // The middle one: a thread that the system suspends before it queues waits longer.
            waited.sort_unstable();
            assert!(waited[10] <= 3, "turns of the busy writer while the other one waited: {waited:?}");
        });
    }
}
