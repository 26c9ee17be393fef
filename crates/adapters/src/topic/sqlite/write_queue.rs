//! A fair queue of writers. SQLite lets one process write at a time and makes the others retry after ever
//! longer sleeps: next to a producer that opens one transaction after another, a writer could sleep for
//! seconds. Within a process, writers queue instead.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Maximum time in the queue; after it SQLite's own lock decides, as between processes.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
struct QueueState {
    /// The next number to be assigned.
    next: u64,
    /// All numbers below this one are done.
    served: u64,
}

/// A queue of writers.
#[derive(Debug, Default)]
pub(super) struct WriteQueue {
    state: Mutex<QueueState>,
    moved: Condvar,
}

/// A turn; dropping it ends the turn.
#[derive(Debug)]
pub(super) struct WriteTurn {
    write_queue: Arc<WriteQueue>,
    number: u64,
}

impl WriteQueue {
    /// Waits for a turn.
    pub(super) fn take(self: &Arc<Self>) -> WriteTurn {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let number = state.next;
        state.next += 1;
        let waited = self.moved.wait_timeout_while(state, PATIENCE, |state| state.served < number);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        WriteTurn { write_queue: Arc::clone(self), number }
    }
}

impl Drop for WriteTurn {
    fn drop(&mut self) {
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
        let (write_queue, order) = (Arc::new(WriteQueue::default()), Arc::new(Mutex::new(Vec::new())));
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
}
