//! Delivery of alerts to people: the notifier port, its adapters, and the outbox.
//!
//! | module | contents, in the order data flows |
//! |---|---|
//! | [`message`] | an alert as subject, text, HTML and SMS |
//! | [`template`] | a channel's own subject and text |
//! | `database` | the file of outbox and alert log |
//! | [`outbox`] | undelivered messages: durable, bounded, retried, dead-lettered |
//! | [`alert_log`] | history, acknowledgements and silences, in the same file |
//! | [`notifier`] | the port: send one message, check the channel |
//! | [`config`] | configuration of a channel, and how to open it |
//! | [`log`] | the program's own log |
//! | `http` | requests of the channels below |
//! | [`smtp`] | e-mail, over TLS |
//! | [`webhook`] | Slack, Discord, Teams, and signed JSON |
//! | [`twilio`], [`sns`] | SMS |
//!
//! ```
//! use notify::message::AlertMessage;
//! use notify::notifier::Notifier;
//!
//! let mut channel = notify::log::Log::new("log");
//! channel.send(&AlertMessage::test("log", 0)).unwrap();
//! ```
#![deny(missing_docs)]

pub mod alert_log;
pub mod config;
mod database;
mod http;
pub mod log;
pub mod message;
pub mod notifier;
pub mod outbox;
pub mod smtp;
pub mod sns;
pub mod template;
pub mod twilio;
pub mod webhook;

pub use config::ChannelConfig;
pub use message::AlertMessage;
pub use notifier::{Notifier, NotifyError};
