//! Readings from lines of text: InfluxDB line protocol, JSON objects, delimited values.
//!
//! | module | contents |
//! |---|---|
//! | [`mapping`] | which names of a row are series, time, value, …: declared by the user |
//! | [`influx`] | `weather,site=a temperature=21.5,state="on" 1700000000000000000` |
//! | [`ndjson`] | `{"device":"boiler-7","time":"2026-01-05T10:00:00Z","value":21.5}` |
//! | [`delimited`] | a header line, then rows of values: CSV |
//!
//! ```
//! use market::codec::lines::{LineFormat, LineDecoder, mapping::Mapping};
//! use market::UnixNanos;
//!
//! let mapping = Mapping { series: "{device}.temperature".to_owned(), ..Mapping::new(LineFormat::Ndjson, "plant") };
//! let mut decoder = LineDecoder::new(LineFormat::Ndjson, mapping)?;
//! let mut series = Vec::new();
//! decoder.line(r#"{"device":"boiler-7","time":"2026-01-05T10:00:00Z","value":21.5}"#, UnixNanos(1), &mut |reading| {
//!     series.push(reading.map(|reading| reading.series.to_owned()));
//! });
//! assert_eq!(series, [Ok("boiler-7.temperature".to_owned())]);
//! # Ok::<(), String>(())
//! ```

pub mod delimited;
pub mod influx;
pub mod mapping;
pub mod ndjson;
mod row;

use crate::UnixNanos;
use crate::reading::ValueType;
use mapping::Mapping;
pub use row::{Field, LineFormat, ReadingSink};

/// Turns lines into readings.
#[derive(Debug)]
pub struct LineDecoder {
    format: LineFormat,
    mapping: Mapping,
    /// Names of the columns of delimited values.
    columns: Vec<String>,
}

impl LineDecoder {
    /// A decoder of a format, by a declared mapping.
    ///
    /// # Errors
    /// The mapping cannot be used with the format: which option, and what is expected.
    pub fn new(format: LineFormat, mapping: Mapping) -> Result<Self, String> {
        mapping.check(format)?;
        let columns = mapping.columns.clone();
        Ok(Self { format, mapping, columns })
    }

    /// Whether the next line has to be the header of delimited values.
    #[must_use]
    pub fn expects_header(&self) -> bool {
        self.format == LineFormat::Csv && self.columns.is_empty()
    }

    /// Takes the header of delimited values.
    ///
    /// # Errors
    /// It has a column twice, a quotation mark is not closed, or a column of the mapping is missing.
    pub fn header(&mut self, line: &str) -> Result<(), String> {
        let columns = delimited::split(line.trim_start_matches('\u{feff}'), self.mapping.delimiter)?;
        let columns: Vec<String> = columns.into_iter().map(|name| name.trim().to_owned()).collect();
        if let Some(twice) = columns.iter().enumerate().find(|(at, name)| columns[..*at].contains(name)) {
            return Err(format!("the header has the column `{}` twice", twice.1));
        }
        for name in self.mapping.names() {
            if !columns.iter().any(|column| column == name) {
                return Err(format!("the header has no column `{name}`; it has {}", columns.join(", ")));
            }
        }
        self.columns = columns;
        Ok(())
    }

    /// Decodes a line. `recv_ts` is when it was received. Blank lines and comments of line protocol hold nothing.
    pub fn line(&mut self, line: &str, recv_ts: UnixNanos, sink: ReadingSink<'_>) {
        self.line_with(&[], line, recv_ts, sink);
    }

    /// As [`LineDecoder::line`], with fields known from elsewhere, as the parts of a topic's name.
    pub fn line_with(&mut self, known: &[Field<'_>], line: &str, recv_ts: UnixNanos, sink: ReadingSink<'_>) {
        let line = line.trim_end_matches(['\r', '\n']);
        if line.trim().is_empty() && self.format != LineFormat::Bare {
            return;
        }
        if let Err(reason) = self.read(known, line, recv_ts, sink) {
            sink(Err(reason));
        }
    }

    fn read(
        &mut self,
        known: &[Field<'_>],
        line: &str,
        recv_ts: UnixNanos,
        sink: ReadingSink<'_>,
    ) -> Result<(), String> {
        let mapping = &self.mapping;
        match self.format {
            LineFormat::Influx => {
                let Some(point) = influx::parse(line)? else { return Ok(()) };
                let mut context = known.to_vec();
                context.push(Field {
                    name: "measurement".into(),
                    text: point.measurement.clone(),
                    class: Some(ValueType::Text),
                });
                context.extend(point.tags.iter().cloned());
                let default_series;
                let series = if mapping.series.is_empty() {
                    default_series = point.series();
                    Some(default_series.as_str())
                } else {
                    None
                };
                let row = mapping::Row {
                    fields: &context,
                    values: &point.fields,
                    tags: &point.tags,
                    time: point.time,
                    series,
                };
                mapping.readings(&row, recv_ts, sink)
            }
            LineFormat::Ndjson => {
                let mut fields = known.to_vec();
                ndjson::parse(line, &mut fields)?;
                mapping.row(&fields, known.len(), recv_ts, sink)
            }
            LineFormat::Csv => {
                let cells = delimited::split(line, mapping.delimiter)?;
                if cells.len() != self.columns.len() {
                    return Err(format!("expected {} columns, found {}", self.columns.len(), cells.len()));
                }
                let mut fields = known.to_vec();
                for (name, text) in self.columns.iter().zip(cells) {
                    // An empty cell is an absent value.
                    if !text.is_empty() {
                        fields.push(Field { name: name.as_str().into(), text, class: None });
                    }
                }
                mapping.row(&fields, known.len(), recv_ts, sink)
            }
            LineFormat::Bare => {
                let value = Field { name: "value".into(), text: line.trim().into(), class: None };
                let row = mapping::Row { fields: known, values: &[value], ..mapping::Row::default() };
                mapping.readings(&row, recv_ts, sink)
            }
        }
    }
}

#[cfg(test)]
mod tests;
