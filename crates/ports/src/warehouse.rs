//! The warehouse port: tables for analysis, which a warehouse fills itself from the archive's files.
//!
//! A load is one transaction that may be repeated: a record that is loaded twice is in its table once, in the version that
//! stores keep.

use crate::Result;
use market::Kind;

/// Offsets of one partition whose records are in the warehouse.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LoadedRange {
    /// The topic's name.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// First offset.
    pub first: i64,
    /// Last offset, inclusive.
    pub last: i64,
}

/// Files of one kind to be loaded together.
#[derive(Debug, Clone)]
pub struct Load<'a> {
    /// The archive, as `s3://bucket/prefix`.
    pub archive: &'a str,
    /// Kind of the records.
    pub kind: Kind,
    /// URL of the list of files.
    pub manifest: &'a str,
    /// The ranges of their records.
    pub ranges: &'a [LoadedRange],
}

/// A warehouse.
pub trait Warehouse: Send + Sync {
    /// Creates the tables that are missing.
    ///
    /// # Errors
    /// The warehouse is unreachable, or refuses.
    fn init(&self) -> Result<()>;

    /// The ranges of a kind that were loaded from an archive, in any order.
    ///
    /// # Errors
    /// The warehouse is unreachable, or refuses.
    fn loaded(&self, archive: &str, kind: Kind) -> Result<Vec<LoadedRange>>;

    /// Loads files. When it returns, their records and the note that they are loaded are committed, both or neither.
    ///
    /// # Errors
    /// The warehouse is unreachable, refuses, or does not finish in time.
    fn load(&self, load: &Load<'_>) -> Result<()>;

    /// Display name.
    fn describe(&self) -> String;
}
