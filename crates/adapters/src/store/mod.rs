//! Stores: [`cassandra`] for a cluster, [`sqlite`] for one machine.

pub mod cassandra;
pub mod sqlite;
mod sqlite_bars;
