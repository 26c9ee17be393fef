//! Readings: from lines of text, and from an MQTT broker.
//!
//! | module | contents |
//! |---|---|
//! | [`lines`] | a file or standard input: line protocol, JSON objects, delimited values |
//! | `options` | the declared mapping, as options of a source URL |

pub mod lines;
mod options;
