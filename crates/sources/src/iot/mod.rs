//! Readings: from lines of text, and from an MQTT broker.
//!
//! | module | contents |
//! |---|---|
//! | [`lines`] | a file or standard input: line protocol, JSON objects, delimited values |
//! | [`mqtt`] | an MQTT broker, at least once |
//! | `options` | the declared mapping, as options of a source URL |

pub mod lines;
pub mod mqtt;
mod options;
