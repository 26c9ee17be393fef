//! The player's handle to a session.

use super::faults::Fault;
use crossbeam_channel::{SendTimeoutError, Sender};
use ports::cancel::CancelToken;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Items to send, and the faults to inject.
#[derive(Debug, Clone, Copy)]
pub(super) struct Out {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) fault: Option<Fault>,
}

/// The player's handle to a session.
#[derive(Debug, Clone)]
pub(super) struct Handle {
    pub(super) queue: Sender<Out>,
    pub(super) subscribed: Arc<AtomicBool>,
    pub(super) slow: Arc<AtomicBool>,
}

impl Handle {
    pub(super) fn subscribed(&self) -> bool {
        self.subscribed.load(Ordering::Acquire)
    }

    /// Returns false if the client is too slow.
    pub(super) fn offer(&self, out: Out) -> bool {
        !matches!(self.queue.try_send(out), Err(crossbeam_channel::TrySendError::Full(_)))
    }

    pub(super) fn give(&self, out: Out, stop: &CancelToken) -> bool {
        while !stop.is_cancelled() {
            match self.queue.send_timeout(out, Duration::from_millis(50)) {
                Err(SendTimeoutError::Timeout(_)) => {}
                _ => break,
            }
        }
        true
    }

    pub(super) fn too_slow(&self) {
        self.slow.store(true, Ordering::Release);
    }
}
