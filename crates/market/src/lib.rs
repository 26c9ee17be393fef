//! The domain of Tapeline: trades, quotes, bars and alert rules, with exact prices and times.
//!
//! Pure: no I/O, no clock, no async.
//!
//! | module | contents, in the order data flows |
//! |---|---|
//! | `swar` | digits parsed eight at a time |
//! | `wide` | exact 256-bit sums of products |
//! | [`fixed`] | exact decimals: [`Price`] and [`Size`], 128-bit fixed point at 1e-18 |
//! | [`time`] | [`UnixNanos`], RFC 3339 in and out, the exchange's session day |
//! | [`calendar`] | exchange calendars: sessions, holidays, half days |
//! | [`record`] | [`Trade`], [`Quote`] and [`Record`], generic over their text |
//! | [`reading`] | [`Reading`]: sensors and any other time series |
//! | [`described`] | a record of a kind without a type of its own |
//! | [`kind`] | [`Kind`]: what is asked of a record type |
//! | [`table`] | the columns of a record type, from which stores and outputs derive theirs |
//! | [`kinds`] | the list of record types, each with its table |
//! | [`codec`] | decoders of vendors' formats; [`codec::json`], the canonical JSON of the messages; [`codec::lines`], readings |
//! | [`version`] | which of two versions of a record replaces the other |
//! | [`digest`] | an order-independent fingerprint of a set of records: how `verify` proves equality |
//! | [`interval`] | bar intervals |
//! | [`policy`] | condition policies: which print may update what |
//! | [`bar`] | bars of trades and quotes, restated and made final |
//! | [`explain`] | what each print contributed to a bar |
//! | [`adjust`] | split and dividend adjustment |
//! | [`returns`] | returns and correlations |
//! | [`indicator`] | streaming indicators |
//! | [`alert`] | alert rules, evaluated in event time |
//!
//! ```
//! use market::{Price, UnixNanos};
//!
//! let price = Price::parse(b"167.41")?;
//! assert_eq!(price.to_string(), "167.41");
//! assert_eq!(UnixNanos::parse("1970-01-01T00:00:01Z")?.0, 1_000_000_000);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![deny(missing_docs)]

pub mod adjust;
pub mod alert;
pub mod bar;
pub mod calendar;
pub mod codec;
pub mod described;
pub mod digest;
pub mod explain;
pub mod fixed;
pub mod indicator;
pub mod interval;
pub mod kind;
pub mod kinds;
pub mod policy;
pub mod reading;
pub mod record;
pub mod returns;
mod swar;
pub mod table;
pub mod time;
pub mod version;
mod wide;

pub use fixed::{Price, Size};
pub use kind::Kind;
pub use reading::Reading;
pub use record::{Quote, QuoteSide, Record, Side, Trade};
pub use time::UnixNanos;
