//! The one reader of the topics, and what all clients share: state of each symbol, gaps, dead letters, frames.
//!
//! Clients never read a topic. Every [`crate::settings::Limits::frame_every`] the reader publishes what has
//! changed as one [`frame::Frame`]; a bounded channel holds the last of them, and a client that falls behind it
//! receives `lagged`. Clients that need every record get them from a second channel ([`live`]).

mod clients;
mod collector;
pub(crate) mod forming;
pub(crate) mod frame;
pub(crate) mod json;
pub(crate) mod live;
pub(crate) mod reader;
pub(crate) mod recent;
pub(crate) mod series;
pub(crate) mod state;

pub(crate) use clients::{Hub, SocketCount, Subscription};
