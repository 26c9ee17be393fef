//! Writes Parquet: exact decimals, times in nanoseconds UTC, conditions as lists. Written one row group at a time, so
//! that memory does not grow with the number of rows. The same rows give the same bytes.

use crate::columns::{OutputColumn, OutputType, OutputValue};
use market::codec::json::conditions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::{ByteArray, FixedLenByteArray};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;
use ports::{Error, Result};
use std::io::Write;
use std::sync::Arc;

/// Rows in a row group: a few MiB of memory, and small enough for readers to skip what they do not need.
const GROUP: usize = 65_536;

/// Level of Zstandard: its own default.
const LEVEL: i32 = 3;

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// Snappy: fast, for exports.
    Snappy,
    /// Zstandard: small, for the archive.
    Zstd,
}

/// A Parquet file being written.
pub struct ParquetWriter<W: Write + Send> {
    columns: &'static [OutputColumn],
    buffers: Vec<Buffer>,
    rows: usize,
    file: SerializedFileWriter<W>,
}

/// The values of one column of a row group, and for each row (or element of a list) whether there is one.
struct Buffer {
    values: Values,
    definition: Vec<i16>,
    repetition: Vec<i16>,
}

enum Values {
    Numbers(Vec<i64>),
    Small(Vec<i32>),
    Decimals(Vec<FixedLenByteArray>),
    Text(Vec<ByteArray>),
    Flags(Vec<bool>),
}

fn failed(error: &ParquetError) -> Error {
    Error::user(format!("write parquet: {error}"))
}

/// Whether the values of a column are expected to differ from row to row: times, numbers and ids.
fn is_distinct(column: &OutputColumn) -> bool {
    matches!(column.of, OutputType::Time | OutputType::Nanos | OutputType::Integer) || column.name == "id"
}

/// The schema of a list of columns, in Parquet's own notation.
fn schema(columns: &[OutputColumn]) -> String {
    let mut text = String::from("message rows { ");
    for OutputColumn { name, of, required } in columns {
        let repetition = if *required { "required" } else { "optional" };
        text.push_str(&match of {
            OutputType::Time | OutputType::Start => format!("{repetition} int64 {name} (TIMESTAMP(NANOS,true)); "),
            OutputType::Nanos => format!("{repetition} int64 {name}; "),
            OutputType::Small => format!("{repetition} int32 {name}; "),
            OutputType::Text => format!("{repetition} binary {name} (UTF8); "),
            OutputType::Decimal | OutputType::Average => {
                format!("{repetition} fixed_len_byte_array(16) {name} (DECIMAL(38,18)); ")
            }
            OutputType::Integer => format!("{repetition} int64 {name}; "),
            OutputType::Flag => format!("{repetition} boolean {name}; "),
            OutputType::Codes => format!(
                "required group {name} (LIST) {{ repeated group list {{ required binary element (UTF8); }} }} "
            ),
        });
    }
    text + "}"
}

/// Appends a decimal, which shares the memory of the one before if it is equal.
fn push_decimal(decimals: &mut Vec<FixedLenByteArray>, raw: i128) {
    let bytes = raw.to_be_bytes();
    match decimals.last() {
        Some(last) if last.data() == bytes => decimals.push(last.clone()),
        _ => decimals.push(FixedLenByteArray::from(ByteArray::from(bytes.to_vec()))),
    }
}

impl Buffer {
    fn new(of: OutputType) -> Self {
        let values = match of {
            OutputType::Time | OutputType::Nanos | OutputType::Start | OutputType::Integer => {
                Values::Numbers(Vec::new())
            }
            OutputType::Small => Values::Small(Vec::new()),
            OutputType::Decimal | OutputType::Average => Values::Decimals(Vec::new()),
            OutputType::Text | OutputType::Codes => Values::Text(Vec::new()),
            OutputType::Flag => Values::Flags(Vec::new()),
        };
        Self { values, definition: Vec::new(), repetition: Vec::new() }
    }

    /// Appends a value; returns false if it does not have the column's type.
    fn push(&mut self, value: &OutputValue<'_>) -> bool {
        match (&mut self.values, value) {
            (Values::Text(texts), OutputValue::Codes(codes)) => {
                let before = texts.len();
                texts.extend(conditions(codes).map(|code| ByteArray::from(code.to_string().as_str())));
                let added = texts.len() - before;
                // An empty list is one entry without a value; of a longer one, all but the first repeat.
                self.definition.extend(std::iter::repeat_n(i16::from(added > 0), added.max(1)));
                self.repetition.extend((0..added.max(1)).map(|index| i16::from(index > 0)));
                return true;
            }
            (_, OutputValue::Absent) => {
                self.definition.push(0);
                return true;
            }
            (Values::Numbers(numbers), OutputValue::Time(time)) => numbers.push(time.0),
            (Values::Numbers(numbers), OutputValue::Integer(number)) => numbers.push(*number),
            (Values::Small(numbers), OutputValue::Integer(number)) => {
                let Ok(number) = i32::try_from(*number) else { return false };
                numbers.push(number);
            }
            (Values::Decimals(decimals), OutputValue::Price(price)) => push_decimal(decimals, price.raw()),
            (Values::Decimals(decimals), OutputValue::Size(size)) => push_decimal(decimals, size.raw()),
            (Values::Text(texts), OutputValue::Text(text)) => match texts.last() {
                // Rows are sorted: most texts repeat the one before, and share its memory.
                Some(last) if last.data() == text.as_bytes() => texts.push(last.clone()),
                _ => texts.push(ByteArray::from(*text)),
            },
            (Values::Flags(flags), OutputValue::Flag(flag)) => flags.push(*flag),
            _ => return false,
        }
        self.definition.push(1);
        true
    }

    fn clear(&mut self) {
        self.definition.clear();
        self.repetition.clear();
        match &mut self.values {
            Values::Numbers(values) => values.clear(),
            Values::Small(values) => values.clear(),
            Values::Decimals(values) => values.clear(),
            Values::Text(values) => values.clear(),
            Values::Flags(values) => values.clear(),
        }
    }
}

impl<W: Write + Send> ParquetWriter<W> {
    /// Begins a file. `about` are names and values for its metadata.
    ///
    /// # Errors
    /// `out` cannot be written.
    pub fn new(
        columns: &'static [OutputColumn],
        codec: Codec,
        about: &[(&str, String)],
        out: W,
    ) -> Result<Self> {
        let schema = parse_message_type(&schema(columns)).map_err(|error| failed(&error))?;
        let compression = match codec {
            Codec::Snappy => Compression::SNAPPY,
            Codec::Zstd => Compression::ZSTD(ZstdLevel::try_new(LEVEL).map_err(|error| failed(&error))?),
        };
        let about = about.iter().map(|(name, value)| KeyValue::new((*name).to_owned(), value.clone()));
        let mut properties = WriterProperties::builder()
            .set_compression(compression)
            .set_key_value_metadata(Some(about.collect()));
        if codec == Codec::Zstd {
            // Nearly every value is another one: a dictionary would be longer, and scatter what Zstandard finds in rising
            // numbers. The delta encodings would be a third shorter still, but not every reader has them.
            for column in columns.iter().filter(|column| is_distinct(column)) {
                properties = properties.set_column_dictionary_enabled(ColumnPath::from(column.name), false);
            }
        }
        let properties = properties.build();
        let file = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties))
            .map_err(|error| failed(&error))?;
        let buffers = columns.iter().map(|column| Buffer::new(column.of)).collect();
        Ok(Self { columns, buffers, rows: 0, file })
    }

    /// Adds a row, its values in the order of the columns.
    ///
    /// # Errors
    /// A value is not of its column's type, or the output cannot be written.
    pub fn row(&mut self, values: &[OutputValue<'_>]) -> Result<()> {
        for ((column, buffer), value) in self.columns.iter().zip(&mut self.buffers).zip(values) {
            if !buffer.push(value) {
                return Err(Error::internal(format!("column {}: {value:?} has the wrong type", column.name)));
            }
        }
        self.rows += 1;
        if self.rows == GROUP {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        if self.rows > 0 {
            self.group().map_err(|error| failed(&error))?;
            self.buffers.iter_mut().for_each(Buffer::clear);
            self.rows = 0;
        }
        Ok(())
    }

    fn group(&mut self) -> std::result::Result<(), ParquetError> {
        let mut group = self.file.next_row_group()?;
        let mut columns = self.columns.iter().zip(&self.buffers);
        while let Some(mut writer) = group.next_column()? {
            let mismatch = || ParquetError::General("schema and columns differ".to_owned());
            let (column, buffer) = columns.next().ok_or_else(mismatch)?;
            let list = column.of == OutputType::Codes;
            let definition = (list || !column.required).then_some(&buffer.definition[..]);
            let repetition = list.then_some(&buffer.repetition[..]);
            match (writer.untyped(), &buffer.values) {
                (ColumnWriter::Int64ColumnWriter(w), Values::Numbers(values)) => {
                    w.write_batch(values, definition, repetition)?;
                }
                (ColumnWriter::Int32ColumnWriter(w), Values::Small(values)) => {
                    w.write_batch(values, definition, repetition)?;
                }
                (ColumnWriter::FixedLenByteArrayColumnWriter(w), Values::Decimals(values)) => {
                    w.write_batch(values, definition, repetition)?;
                }
                (ColumnWriter::ByteArrayColumnWriter(w), Values::Text(values)) => {
                    w.write_batch(values, definition, repetition)?;
                }
                (ColumnWriter::BoolColumnWriter(w), Values::Flags(values)) => {
                    w.write_batch(values, definition, repetition)?;
                }
                _ => return Err(mismatch()),
            }
            writer.close()?;
        }
        group.close()?;
        Ok(())
    }

    /// Writes what is left and returns the output.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn finish(mut self) -> Result<W> {
        self.flush()?;
        self.file.into_inner().map_err(|error| failed(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use market::{Price, UnixNanos};
    use parquet::file::reader::{FileReader, SerializedFileReader};

    #[test]
    fn rows_beyond_a_group_begin_another() {
        const COLUMNS: [OutputColumn; 3] = [
            OutputColumn { name: "ts", of: OutputType::Time, required: true },
            OutputColumn { name: "price", of: OutputType::Decimal, required: false },
            OutputColumn { name: "conditions", of: OutputType::Codes, required: true },
        ];
        let mut file = ParquetWriter::new(&COLUMNS, Codec::Snappy, &[], Vec::new()).unwrap();
        let rows = GROUP + 10;
        for index in 0..rows {
            let price = if index % 2 == 0 {
                OutputValue::Absent
            } else {
                OutputValue::Price(Price::from_whole(index as i64))
            };
            let codes = ["[]", r#"["@"]"#, r#"["@","T"]"#][index % 3];
            let row = [OutputValue::Time(UnixNanos(index as i64)), price, OutputValue::Codes(codes)];
            file.row(&row).unwrap();
        }
        let bytes = Bytes::from(file.finish().unwrap());
        let reader = SerializedFileReader::new(bytes).unwrap();
        assert_eq!(reader.num_row_groups(), 2);
        let sizes: Vec<i64> = (0..2).map(|group| reader.metadata().row_group(group).num_rows()).collect();
        assert_eq!(sizes, [GROUP as i64, 10]);
        let last = reader.get_row_iter(None).unwrap().last().unwrap().unwrap().to_string();
        assert!(last.contains(&format!("price: {}", rows - 1)), "{last}");
    }
}
