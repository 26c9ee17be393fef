//! Where records come from. Each source turns what it reads into canonical messages and reports what it may have missed.
//!
//! | module | contents |
//! |---|---|
//! | [`settings`] | the `[source]` section of the configuration |
//! | [`tape`] | recorded sessions from disk |
//! | [`capture`] | captured websocket frames of a vendor |
//! | [`live`] | vendors' streams, with gap detection and backfill |
//! | [`poll`] | vendors' bars, requested on a schedule |
//! | [`iot`] | readings: files, standard input, MQTT |
//! | [`http`] | the HTTP client of `live` and `poll` |
//! | `files` | input files: regular ones, zips with one file in them |
//! | `mask` | vendors' text without secrets and control characters |
//! | `unknown` | counts messages of unknown types |
//! | [`bounded`] | ends any source after a number of records |
//!
//! ```
//! let feeds: Vec<&str> = sources::live::examples().collect();
//! assert!(feeds.iter().any(|url| url.starts_with("kraken:")));
//! ```

pub mod bounded;
pub mod capture;
#[cfg(test)]
mod fake;
mod files;
pub mod http;
pub mod iot;
pub mod live;
mod mask;
pub mod poll;
pub mod settings;
pub mod tape;
mod unknown;
