//! What all clients share.

use super::frame::Frame;
use super::live::{self, LiveBatch};
use super::state::State;
use crate::settings::ServerSettings;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::broadcast;

/// Maximum number of frames a client may be behind before it must fetch everything again.
const CHANNEL: usize = 64;

/// Frames kept for clients that reconnect, if they fit in [`REPLAY_BYTES`].
const REPLAY: usize = 600;

/// Bytes of frames kept for clients that reconnect.
const REPLAY_BYTES: usize = 16 << 20;

/// State shared by clients.
pub(crate) struct Hub {
    /// Distinguishes this server from earlier ones: event ids of another are invalid.
    pub(crate) epoch: u64,
    state: Mutex<State>,
    replay: Mutex<Replay>,
    frames: broadcast::Sender<Arc<Frame>>,
    live: broadcast::Sender<LiveBatch>,
    sockets: Arc<AtomicUsize>,
}

/// An open websocket, as long as it is kept.
#[derive(Debug)]
pub(crate) struct SocketCount(Arc<AtomicUsize>);

impl Drop for SocketCount {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Default)]
struct Replay {
    frames: VecDeque<Arc<Frame>>,
    bytes: usize,
}

/// Start of a stream.
pub(crate) struct Subscription {
    /// Frames after the event id the client named.
    pub(crate) missed: Vec<Arc<Frame>>,
    /// Whether the client must fetch everything again, because its event id is unknown or too old.
    pub(crate) resync: bool,
    /// Number of the newest frame before `frames`; 0 if there is none.
    pub(crate) newest: u64,
    /// Frames from now on.
    pub(crate) frames: broadcast::Receiver<Arc<Frame>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    pub(crate) fn new(settings: &ServerSettings) -> Self {
        let epoch = ports::clock::now().millis().unsigned_abs();
        let (frames, _) = broadcast::channel(CHANNEL);
        let (live, _) = broadcast::channel(live::CHANNEL);
        let state = Mutex::new(State::new(settings));
        Self { epoch, state, replay: Mutex::default(), frames, live, sockets: Arc::default() }
    }

    /// The state; hold the lock only briefly.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Number of open streams: of server-sent events, and websockets.
    pub(crate) fn streams(&self) -> usize {
        self.frames.receiver_count() + self.sockets.load(Ordering::Relaxed)
    }

    /// Counts a websocket as an open stream.
    pub(crate) fn count_socket(&self) -> SocketCount {
        self.sockets.fetch_add(1, Ordering::Relaxed);
        SocketCount(Arc::clone(&self.sockets))
    }

    /// Whether any client needs every record.
    pub(crate) fn has_live_clients(&self) -> bool {
        self.live.receiver_count() > 0
    }

    /// Every record and bar from now on.
    pub(crate) fn subscribe_live(&self) -> broadcast::Receiver<LiveBatch> {
        self.live.subscribe()
    }

    /// Sends a batch to the clients that need every record.
    pub(crate) fn publish_live(&self, batch: LiveBatch) {
        // Fails if there is no client.
        let _ = self.live.send(batch);
    }

    /// Sends a frame to all clients.
    pub(crate) fn publish(&self, frame: Frame) {
        let frame = Arc::new(frame);
        let mut replay = lock(&self.replay);
        replay.bytes += frame.bytes();
        replay.frames.push_back(Arc::clone(&frame));
        while replay.frames.len() > REPLAY || (replay.bytes > REPLAY_BYTES && replay.frames.len() > 1) {
            if let Some(old) = replay.frames.pop_front() {
                replay.bytes -= old.bytes();
            }
        }
        // Sent under the lock, so that a subscriber sees each frame either as missed or as new.
        let _ = self.frames.send(frame);
    }

    /// Subscribes after the event `last_event_id`, if the client has seen one.
    pub(crate) fn subscribe(&self, last_event_id: Option<&str>) -> Subscription {
        let replay = lock(&self.replay);
        let frames = self.frames.subscribe();
        let newest = replay.frames.back().map_or(0, |frame| frame.number);
        let Some(text) = last_event_id else {
            return Subscription { missed: Vec::new(), resync: false, frames, newest };
        };
        let seen = text
            .split_once('-')
            .filter(|(epoch, _)| epoch.parse() == Ok(self.epoch))
            .and_then(|(_, number)| number.parse::<u64>().ok());
        let oldest = replay.frames.front().map_or(newest + 1, |frame| frame.number);
        match seen {
            Some(seen) if seen <= newest && seen + 1 >= oldest => {
                let missed = replay.frames.iter().filter(|frame| frame.number > seen).cloned().collect();
                Subscription { missed, resync: false, frames, newest }
            }
            _ => Subscription { missed: Vec::new(), resync: true, frames, newest },
        }
    }
}
