//! Rows of trades, quotes and bars as table, CSV, JSON, NDJSON, Parquet or Arrow IPC, to a file or standard output.
//!
//! | file | contents |
//! |---|---|
//! | [`destination`] | a file that appears when it is complete, or standard output |
//! | [`row_format`] | the formats |
//! | [`text`] | table, CSV, JSON, NDJSON |
//!
//! The columns, Parquet and Arrow are in the crate `columnar`. All but the table are streamed: memory does not grow with the number of rows.

pub(crate) mod destination;
mod row_format;
mod text;

use crate::time_input::Zone;
use columnar::arrow::{ArrowWriter, Layout};
use columnar::columns::{OutputColumn as Column, OutputValue as Value};
use columnar::write::{Codec, ParquetWriter};
use destination::{Destination, Gone, Written};
use ports::{Error, Result};
pub(crate) use row_format::RowFormat;
use std::path::Path;

/// Writes rows in one format.
pub(crate) struct Export {
    writer: Writer,
    gone: Gone,
    rows: u64,
}

enum Writer {
    Text(text::Text),
    Parquet(Box<ParquetWriter<Destination>>),
    Arrow(Box<ArrowWriter<Destination>>),
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
        if format.is_binary() && destination.is_terminal() {
            let name = if format == RowFormat::Parquet { "parquet" } else { "arrow" };
            return Err(Error::usage(format!("{name} cannot be shown on a terminal"))
                .hint(format!("write to a file: --out FILE.{name}, or pipe it")));
        }
        let gone = destination.gone();
        let writer = match format {
            RowFormat::Parquet => {
                let file = ParquetWriter::new(columns, Codec::Snappy, &[], destination)?;
                Writer::Parquet(Box::new(file))
            }
            RowFormat::Arrow => {
                let is_file = ending(out).is_some_and(|ending| ending != "arrows");
                let layout = if is_file { Layout::File } else { Layout::Stream };
                Writer::Arrow(Box::new(ArrowWriter::new(columns, layout, destination)?))
            }
            _ => Writer::Text(text::Text::new(columns, format, destination, zone)?),
        };
        Ok(Self { writer, gone, rows: 0 })
    }

    /// Writes a row; returns false once the reader of a pipe is gone.
    pub(crate) fn row(&mut self, values: &[Value<'_>]) -> Result<bool> {
        self.rows += 1;
        match &mut self.writer {
            Writer::Text(writer) => writer.row(values).map(drop),
            Writer::Parquet(writer) => writer.row(values),
            Writer::Arrow(writer) => writer.row(values).map(drop),
        }?;
        Ok(!self.gone.is_gone())
    }

    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Writes what follows the rows and closes the file. Returns the file, unless on standard output.
    pub(crate) fn finish(self) -> Result<Written> {
        match self.writer {
            Writer::Text(writer) => writer.finish(),
            Writer::Parquet(writer) => writer.finish()?.finish(),
            Writer::Arrow(writer) => writer.finish()?.finish(),
        }
    }
}

/// The extension of a file in lower case; `None` for standard output.
fn ending(out: Option<&Path>) -> Option<String> {
    let out = out.filter(|out| *out != Path::new("-"))?;
    Some(out.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase())
}

/// The format of `--format`, otherwise that of the file's extension, otherwise a table.
pub(crate) fn format(format: Option<RowFormat>, out: Option<&Path>) -> Result<RowFormat> {
    if let Some(format) = format {
        return Ok(format);
    }
    let (Some(ending), Some(out)) = (ending(out), out) else { return Ok(RowFormat::Table) };
    match ending.as_str() {
        "csv" => Ok(RowFormat::Csv),
        "json" => Ok(RowFormat::Json),
        "ndjson" | "jsonl" => Ok(RowFormat::Ndjson),
        "parquet" => Ok(RowFormat::Parquet),
        "arrow" | "arrows" | "feather" => Ok(RowFormat::Arrow),
        "txt" => Ok(RowFormat::Table),
        _ => Err(Error::usage(format!(
            "--out {}: expected a name ending in .csv, .json, .ndjson, .jsonl, .parquet, .arrow, .arrows, .feather or .txt",
            out.display()
        ))
        .hint("or name the format: --format csv")),
    }
}
