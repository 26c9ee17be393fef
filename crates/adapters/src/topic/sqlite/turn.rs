//! A fair queue of writers. SQLite lets one process write at a time and makes the others retry after ever
//! longer sleeps: next to a producer that opens one transaction after another, a writer could sleep for
//! seconds. Within a process, writers queue instead.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Maximum time in the queue; after it SQLite's own lock decides, as between processes.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
struct Line {
    /// The next number to be assigned.
    next: u64,
    /// All numbers below this one are done.
    served: u64,
}

/// A queue of writers.
#[derive(Debug, Default)]
pub(super) struct Turn {
    line: Mutex<Line>,
    moved: Condvar,
}

/// A turn; dropping it ends the turn.
#[derive(Debug)]
pub(super) struct Held {
    turn: Arc<Turn>,
    number: u64,
}

impl Turn {
    /// Waits for a turn.
    pub(super) fn take(self: &Arc<Self>) -> Held {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let number = line.next;
        line.next += 1;
        let waited = self.moved.wait_timeout_while(line, PATIENCE, |line| line.served < number);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        Held { turn: Arc::clone(self), number }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut line = self.turn.line.lock().unwrap_or_else(PoisonError::into_inner);
        line.served = line.served.max(self.number + 1);
        drop(line);
        self.turn.moved.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_come_in_the_order_they_were_asked_for() {
        let (turn, order) = (Arc::new(Turn::default()), Arc::new(Mutex::new(Vec::new())));
        let mut first = turn.take();
        let waiting: Vec<_> = (1..=3)
            .map(|n| {
                let (line, list) = (Arc::clone(&turn), Arc::clone(&order));
                let thread = std::thread::spawn(move || {
                    let _held = line.take();
                    list.lock().unwrap().push(n);
                });
                while turn.line.lock().unwrap().next <= n {
                    std::thread::yield_now();
                }
                thread
            })
            .collect();
        // A writer that ends its turn and queues again is behind the others.
        drop(first);
        first = turn.take();
        order.lock().unwrap().push(4);
        drop(first);
        waiting.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(*order.lock().unwrap(), [1, 2, 3, 4]);
    }
}
