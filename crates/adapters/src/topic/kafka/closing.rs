//! Closing a consumer.

use super::membership::Membership;
use rdkafka::consumer::BaseConsumer;
use std::ops::Deref;
use std::time::Duration;

/// How long a client may take to close.
const CLOSE: Duration = Duration::from_secs(5);

/// A consumer that is closed in a bounded time when it is dropped. Closing can hang: the binding serves a rebalance that
/// was announced before, while librdkafka drops the response to a group that has ended meanwhile. The thread that hangs
/// then holds nothing that matters.
pub(super) struct Closing(Option<BaseConsumer<Membership>>);

impl Closing {
    pub(super) fn new(consumer: BaseConsumer<Membership>) -> Self {
        Self(Some(consumer))
    }
}

impl Deref for Closing {
    type Target = BaseConsumer<Membership>;
    fn deref(&self) -> &Self::Target {
        match &self.0 {
            Some(consumer) => consumer,
            None => unreachable!("taken only when dropped"),
        }
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        let consumer = self.0.take();
        let (closed, wait) = std::sync::mpsc::sync_channel(1);
        std::thread::spawn(move || {
            drop(consumer);
            // Nobody waits any more: it took too long.
            let _ = closed.send(());
        });
        if wait.recv_timeout(CLOSE).is_err() {
            tracing::debug!("a Kafka client does not close; left as it is");
        }
    }
}
