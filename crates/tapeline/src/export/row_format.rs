//! Formats of rows.

/// A format of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum RowFormat {
    Table,
    Csv,
    /// CSV for spreadsheets: a text that one would take for a formula begins with an apostrophe
    CsvSafe,
    /// One array
    Json,
    /// One JSON object per line
    #[value(alias = "jsonl")]
    Ndjson,
    Parquet,
    /// Arrow IPC: the file format in a file, the streaming format on standard output and in FILE.arrows
    Arrow,
}

impl RowFormat {
    /// Whether it is binary.
    pub(super) fn is_binary(self) -> bool {
        matches!(self, Self::Parquet | Self::Arrow)
    }
}
