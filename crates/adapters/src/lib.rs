//! Adapters of the topic and store ports: Apache Kafka, Apache Cassandra, and SQLite for both.
//!
//! | module | contents |
//! |---|---|
//! | [`topic`] | [`topic::kafka`] on librdkafka; [`topic::sqlite`], a log in one file |
//! | [`store`] | [`store::cassandra`]; [`store::sqlite`], one file |
//!
//! One contract suite per port (`tests/contract`) runs against every adapter.
//!
//! ```no_run
//! use adapters::store::sqlite::SqliteStore;
//! use ports::store::Store;
//!
//! let store = SqliteStore::new("market.db");
//! store.init()?;
//! println!("{:?}", store.count()?);
//! # Ok::<(), ports::Error>(())
//! ```

pub mod store;
pub mod topic;
