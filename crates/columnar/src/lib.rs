//! Rows of records and bars as columns, and the Parquet and Arrow made of them.
//!
//! | module | contents |
//! |---|---|
//! | [`columns`] | the columns of exports and of the archive, and the values of a record or bar |
//! | [`mod@write`] | Parquet, one row group at a time |
//! | [`arrow`] | Arrow IPC, one record batch at a time |
//! | [`read`] | the records of a file of the archive |
//!
//! ```
//! use columnar::{columns, read, write::{Codec, ParquetWriter}};
//! use market::{Kind, codec::json};
//!
//! let text = br#"{"symbol":"SPY","feed":"f","venue":"P","id":"1","ts":1,"recv_ts":2,"price":"1.5","size":"1","conditions":[]}"#;
//! let trade = json::decode(Kind::TRADE, text).ok_or("not a trade")?;
//! let mut file = ParquetWriter::new(columns::of_archive(Kind::TRADE), Codec::Zstd, &[], Vec::new())?;
//! let mut values = Vec::new();
//! columns::archived(&trade, [3, 42, 1_000], &mut values);
//! file.row(&values)?;
//! read::records(Kind::TRADE, file.finish()?, &mut |record, message| {
//!     assert_eq!((record, message.offset), (&trade, 42));
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod arrow;
pub mod columns;
pub mod read;
pub mod write;
