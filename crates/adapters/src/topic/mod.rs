//! Topics: [`kafka`] for a cluster, [`sqlite`] for one machine.

pub mod kafka;
pub mod sqlite;
