//! The run loops: each wires one port to another and holds no rules of its own.
//!
//! ```text
//! source ─► produce ─► topic ─► consume ─► store
//!                        ├────► aggregate ─► bars
//!                        ├────► alert ─────► outbox ─► people
//!                        └────► archive ───► Parquet
//! bars   ─► forecast ─► forecasts
//! ```
//! The guarantee is at-least-once delivery with idempotent writes, which leaves every record in the store exactly
//! once: [`consume`] commits an offset only after the store has acknowledged everything before it, and a row's key and
//! write timestamp are pure functions of its message, so a replay changes nothing.
//!
//! | module | contents |
//! |---|---|
//! | [`produce`] | source to topic |
//! | [`consume`] | topic to store |
//! | [`vendor_bars`] | a vendor's own bars, from their topic to the store |
//! | [`aggregate`] | topic to bars |
//! | [`alert`] | topic to alerts |
//! | [`forecast`] | bars to forecasts, scored when their truth arrives |
//! | [`archive`] | topic to archive, and back to a store |
//! | [`dead_letters`] | dead letters back to their topics |
//! | [`verify`] | compares source, topic and store record by record |
//!
//! ```no_run
//! use pipeline::produce::{self, ProduceSettings};
//! use ports::{CancelToken, source::Source, telemetry::Telemetry, topic::Topics};
//!
//! fn publish(source: &mut dyn Source, topics: &dyn Topics, settings: &ProduceSettings) -> ports::Result<bool> {
//!     let report = produce::run(source, topics, settings, &Telemetry::default(), &CancelToken::default())?;
//!     Ok(report.finished)
//! }
//! ```

pub mod aggregate;
pub mod alert;
pub mod archive;
pub mod consume;
pub mod dead_letters;
pub mod forecast;
pub mod produce;
pub mod vendor_bars;
pub mod verify;
