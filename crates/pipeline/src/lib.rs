//! All I/O of Tapeline: sources, topics, stores, and the run loops that wire one port to another.
//!
//! ```text
//! source ─► produce ─► topic ─► consume ─► store ─► query, count, verify
//! ```
//! The guarantee is at-least-once delivery with idempotent writes, which leaves every record in the store exactly
//! once: [`consume`] commits an offset only after the store has answered for everything before it, and a row's key
//! and write timestamp are pure functions of its message, so a replay changes nothing.
//!
//! | module | holds |
//! |---|---|
//! | [`source`] | the source port; [`source::tape`] plays recorded sessions |
//! | [`topic`] | the topic port; [`topic::local`] in SQLite, [`topic::kafka`] on Apache Kafka |
//! | [`store`] | the store port; [`store::sqlite`], [`store::cassandra`] |
//! | [`produce`], [`consume`], [`verify`] | the run loops: they wire ports and hold no rules of their own |
//! | [`batch`] | records on their way to a store, in one arena |
//! | [`config`] | the settings and their layers |
//! | [`telemetry`] | every count and latency there is |

pub mod aggregate;
pub mod batch;
pub mod clock;
pub mod config;
pub mod consume;
pub mod engine;
pub mod error;
pub mod gap;
pub mod letter;
pub mod notice;
pub mod produce;
pub mod simulate;
pub mod source;
pub mod stop;
pub mod store;
pub mod telemetry;
pub mod topic;
pub mod vendor_bars;
pub mod verify;

pub use error::{Error, Result};
pub use stop::Stop;
