//! The parts of the program that benchmarks share with it: the configuration and the adapters by URL.
//!
//! | module | contents |
//! |---|---|
//! | [`config`] | the settings and their layers |
//! | [`open`] | the one place that knows every adapter |
//!
//! ```
//! let flags = [("topic.url", Some("sqlite:topic.db".to_owned()))];
//! let config = tapeline::config::load(None, std::iter::empty(), &flags)?;
//! let topics = tapeline::open::topics(&config, &ports::CancelToken::default())?;
//! assert_eq!(topics.describe(), "sqlite:topic.db");
//! # Ok::<(), ports::Error>(())
//! ```

pub mod config;
pub mod open;
