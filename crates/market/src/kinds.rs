//! The list of record types: what [`Kind`] is an index into.
//!
//! | file | kind |
//! |---|---|
//! | `trades` | trades |
//! | `quotes` | quotes |
//! | `readings` | readings |
//! | `levels` | levels of order books: only with the feature `example-kind`, which tests enable |
//!
//! A new kind is one file here and one line of the list
//! ([ADR 20](../../../docs/adr/0020-kinds.md)).

#[cfg(feature = "example-kind")]
mod levels;
mod quotes;
mod readings;
mod trades;

use crate::Kind;
use crate::codec::json;
use crate::record::Record;
use crate::table::{Cell, CellError, CellReader, Table};

/// The tables of all kinds, in the order of [`Kind::ALL`]. Topics are numbered in this order: add at the end.
const TABLES: &[&Table] = &[
    &trades::TABLE,
    &quotes::TABLE,
    &readings::TABLE,
    #[cfg(feature = "example-kind")]
    &levels::TABLE,
];

impl Kind {
    /// Number of kinds.
    pub const COUNT: usize = TABLES.len();

    /// Every kind, in the order of their indexes.
    pub const ALL: [Self; Self::COUNT] = {
        let mut all = [Self::at(0); Self::COUNT];
        let mut index = 0;
        while index < Self::COUNT {
            all[index] = Self::at(index);
            index += 1;
        }
        all
    };

    /// The description of its records.
    #[must_use]
    #[inline]
    pub const fn table(self) -> &'static Table {
        TABLES[self.index()]
    }

    /// The record of a row, its cells in the order of [`Table::columns`]. `text` is a buffer that a record without a type
    /// of its own borrows from.
    ///
    /// # Errors
    /// A cell is missing or of another type.
    #[inline]
    pub fn record<'a>(self, cells: &[Cell<'a>], text: &'a mut String) -> Result<Record<&'a str>, CellError> {
        match self.table().read {
            Some(read) => read(CellReader::new(self.table().columns, cells)),
            None => json::described::from_cells(self, cells, text),
        }
    }
}
