//! Rows of trades, quotes and bars as table, CSV, JSON, NDJSON or Parquet, to a file or standard output.
//!
//! | file | contents |
//! |---|---|
//! | [`destination`] | a file that appears when it is complete, or standard output |
//! | [`text`] | table, CSV, JSON, NDJSON |
//!
//! The columns and Parquet are in the crate `columnar`. All but the table are streamed: memory does not grow with the number of rows.

pub(crate) mod destination;
mod text;

use crate::time_input::Zone;
use columnar::columns::{OutputColumn as Column, OutputValue as Value};
use columnar::write::{Codec, ParquetWriter};
use destination::{Destination, Written};
use ports::{Error, Result};
use std::path::Path;

/// A format of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum RowFormat {
    Table,
    Csv,
    /// One array
    Json,
    /// One JSON object per line
    #[value(alias = "jsonl")]
    Ndjson,
    Parquet,
}

/// Writes rows in one format.
pub(crate) struct Export {
    writer: Writer,
    rows: u64,
}

enum Writer {
    Text(text::Text),
    Parquet(Box<ParquetWriter<Destination>>),
}

impl Export {
    /// Opens `out` (`-` or nothing is standard output) and writes what precedes the rows.
    ///
    /// # Errors
    /// The file cannot be created, or binary data would go to a terminal.
    pub(crate) fn open(
        columns: &'static [Column],
        format: RowFormat,
        out: Option<&Path>,
        zone: Zone,
    ) -> Result<Self> {
        let destination = Destination::open(out)?;
        if format == RowFormat::Parquet && destination.is_terminal() {
            return Err(Error::usage("parquet cannot be shown on a terminal")
                .hint("write to a file: --out FILE.parquet, or pipe it"));
        }
        let writer = match format {
            RowFormat::Parquet => {
                let file = ParquetWriter::new(columns, Codec::Snappy, &[], destination)?;
                Writer::Parquet(Box::new(file))
            }
            _ => Writer::Text(text::Text::new(columns, format, destination, zone)?),
        };
        Ok(Self { writer, rows: 0 })
    }

    /// Writes a row; returns false once the reader of a pipe is gone.
    pub(crate) fn row(&mut self, values: &[Value<'_>]) -> Result<bool> {
        self.rows += 1;
        match &mut self.writer {
            Writer::Text(writer) => writer.row(values),
            Writer::Parquet(writer) => writer.row(values).map(|()| true),
        }
    }

    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Writes what follows the rows and closes the file. Returns the file, unless on standard output.
    pub(crate) fn finish(self) -> Result<Written> {
        match self.writer {
            Writer::Text(writer) => writer.finish(),
            Writer::Parquet(writer) => writer.finish()?.finish(),
        }
    }
}

/// The format of `--format`, otherwise that of the file's extension, otherwise a table.
pub(crate) fn format(format: Option<RowFormat>, out: Option<&Path>) -> Result<RowFormat> {
    if let Some(format) = format {
        return Ok(format);
    }
    let Some(out) = out.filter(|out| *out != Path::new("-")) else { return Ok(RowFormat::Table) };
    let ending = out.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    match ending.as_str() {
        "csv" => Ok(RowFormat::Csv),
        "json" => Ok(RowFormat::Json),
        "ndjson" | "jsonl" => Ok(RowFormat::Ndjson),
        "parquet" => Ok(RowFormat::Parquet),
        "txt" => Ok(RowFormat::Table),
        _ => Err(Error::usage(format!(
            "--out {}: expected a name ending in .csv, .json, .ndjson, .jsonl, .parquet or .txt",
            out.display()
        ))
        .hint("or name the format: --format csv")),
    }
}
