//! Topics: [`kafka`] for a cluster, [`sqlite`] for one machine; [`avro`] encodes the records of either.

pub mod avro;
pub mod kafka;
pub mod sqlite;
