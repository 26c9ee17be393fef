//! The domain of Tapeline: what a trade and a quote are, what they cost, when they happened.
//!
//! Pure: no I/O, no clock, no async. Everything that can be tested data-in, expectation-out lives here.
//!
//! | module | holds |
//! |---|---|
//! | [`fixed`] | exact decimals: [`Price`] and [`Size`], 128-bit fixed point at 1e-18 |
//! | [`time`] | [`UnixNanos`], RFC 3339 in and out, the exchange's session day |
//! | [`record`] | [`Trade`], [`Quote`] and [`Record`], generic over how they hold text |
//! | [`reading`] | [`Reading`]: sensors and any other time series |
//! | [`table`] | the columns of each record type, from which stores and outputs derive theirs |
//! | [`codec::json`] | the canonical JSON of the Kafka messages |
//! | [`codec::lean`] | rows of recorded tick files |
//! | [`codec::lines`] | readings: line protocol, JSON objects, delimited values |
//! | [`alert`] | rules that watch the stream, evaluated in event time |
//! | [`digest`] | an order-free fingerprint of a set of records: how `verify` proves equality |
//! | [`version`] | which of two versions of a record replaces the other |
#![deny(missing_docs)]

pub mod adjust;
pub mod alert;
pub mod bar;
pub mod calendar;
pub mod codec;
pub mod digest;
mod digits;
pub mod explain;
pub mod fixed;
pub mod indicator;
pub mod interval;
pub mod policy;
pub mod reading;
pub mod record;
pub mod returns;
pub mod table;
pub mod time;
pub mod version;
mod wide;

pub use fixed::{Price, Size};
pub use reading::Reading;
pub use record::{Kind, Quote, QuoteSide, Record, Side, Trade};
pub use time::UnixNanos;
