//! Adapters of the topic, store and archive ports: Apache Kafka, Apache Cassandra and S3, and SQLite and a folder where
//! nothing is to be installed.
//!
//! | module | contents |
//! |---|---|
//! | [`topic`] | [`topic::kafka`] on librdkafka; [`topic::sqlite`], a log in one file |
//! | [`store`] | [`store::cassandra`]; [`store::sqlite`], one file |
//! | [`archive`] | [`archive::s3`]; [`archive::folder`] |
//! | [`warehouse`] | [`warehouse::redshift`] |
//! | `refusal` | how servers refuse connections |
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

pub mod archive;
mod refusal;
pub mod store;
pub mod topic;
pub mod warehouse;
