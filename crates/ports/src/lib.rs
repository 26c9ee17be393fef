//! The seams of Tapeline: source, topic, store, archive and warehouse as traits, and everything that crosses them.
//!
//! An adapter, a source or a run loop depends on this crate and on [`market`], never on another adapter.
//!
//! | module | contents, in the order data flows |
//! |---|---|
//! | [`options`] | options of a source URL |
//! | [`source`] | the source port: a stream of records, with its resumable positions |
//! | [`gap`] | the gap ledger: spans that a feed may have missed |
//! | [`notice`] | halts and price bands |
//! | [`schema`] | JSON Schema of the messages, those of [`market::codec::schema`] included |
//! | [`dead_letter`] | records that can never be stored, with reason and origin |
//! | [`topic`] | the topic port: keyed append, consumer groups, offsets |
//! | [`batch`] | decoded records on their way to a store |
//! | [`forecast`] | forecasts and their scores |
//! | [`store`] | the store port: idempotent upsert, range scan |
//! | [`archive`] | the archive port: objects created once |
//! | [`warehouse`] | the warehouse port: tables that load the archive |
//! | [`alert_log`] | alerts that fired, acknowledgements, silences |
//! | [`address`] | hosts and ports of addresses and URLs |
//! | [`check`] | what a port found when it was checked |
//! | [`telemetry`] | counters and latencies of a process |
//! | [`metrics`] | the same for Prometheus, and what else is measured |
//! | [`error`] | errors with a domain, a cause and a hint |
//! | [`cancel`] | cooperative cancellation and retry back-off |
//! | [`clock`] | the wall clock |
//! | [`secret`] | strings that are never printed |
//! | [`tls`] | TLS settings of clients |
//! | [`proxy`] | HTTP proxies of outgoing connections |
//! | [`count`] | counts in messages, `1 record` |
//! | [`duration`] | durations of settings, as `60s` |
//!
//! ```
//! use ports::CancelToken;
//! use ports::topic::Names;
//!
//! let cancel = CancelToken::default();
//! cancel.cancel();
//! assert!(cancel.is_cancelled());
//! assert_eq!(Names::new("tapeline").records(market::Kind::TRADE), "tapeline.trades");
//! ```

pub mod address;
pub mod alert_log;
pub mod archive;
pub mod batch;
pub mod cancel;
pub mod check;
pub mod clock;
pub mod count;
pub mod dead_letter;
pub mod duration;
pub mod error;
pub mod forecast;
pub mod gap;
pub mod metrics;
pub mod notice;
pub mod options;
pub mod proxy;
pub mod schema;
pub mod secret;
pub mod source;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod topic;
pub mod warehouse;

pub use cancel::CancelToken;
pub use error::{Error, Result};
