//! Parquet: exact decimals, times in nanoseconds UTC, conditions as lists. Written one row group at a time, so that
//! memory does not grow with the number of rows.

use super::columns::{Column, Type, Value};
use super::destination::{Destination, Written};
use market::codec::json::conditions;
use parquet::basic::Compression;
use parquet::column::writer::ColumnWriter;
use parquet::data_type::{ByteArray, FixedLenByteArray};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use ports::{Error, Result};
use std::sync::Arc;

/// Rows in a row group: a few MiB of memory, and small enough for readers to skip what they do not need.
const GROUP: usize = 65_536;

/// A Parquet file being written.
pub(super) struct Parquet {
    columns: &'static [Column],
    buffers: Vec<Buffer>,
    rows: usize,
    file: SerializedFileWriter<Destination>,
}

/// The values of one column of a row group, and for each row (or element of a list) whether there is one.
struct Buffer {
    values: Values,
    definition: Vec<i16>,
    repetition: Vec<i16>,
}

enum Values {
    Numbers(Vec<i64>),
    Decimals(Vec<FixedLenByteArray>),
    Text(Vec<ByteArray>),
    Flags(Vec<bool>),
}

fn failed(error: &ParquetError) -> Error {
    Error::user(format!("write parquet: {error}"))
}

/// The schema of a list of columns, in Parquet's own notation.
fn schema(columns: &[Column]) -> String {
    let mut text = String::from("message rows { ");
    for Column { name, of, required } in columns {
        let repetition = if *required { "required" } else { "optional" };
        text.push_str(&match of {
            Type::Time | Type::Start => format!("{repetition} int64 {name} (TIMESTAMP(NANOS,true)); "),
            Type::Text => format!("{repetition} binary {name} (UTF8); "),
            Type::Decimal | Type::Average => {
                format!("{repetition} fixed_len_byte_array(16) {name} (DECIMAL(38,18)); ")
            }
            Type::Integer => format!("{repetition} int64 {name}; "),
            Type::Flag => format!("{repetition} boolean {name}; "),
            Type::Codes => format!(
                "required group {name} (LIST) {{ repeated group list {{ required binary element (UTF8); }} }} "
            ),
        });
    }
    text + "}"
}

impl Buffer {
    fn new(of: Type) -> Self {
        let values = match of {
            Type::Time | Type::Start | Type::Integer => Values::Numbers(Vec::new()),
            Type::Decimal | Type::Average => Values::Decimals(Vec::new()),
            Type::Text | Type::Codes => Values::Text(Vec::new()),
            Type::Flag => Values::Flags(Vec::new()),
        };
        Self { values, definition: Vec::new(), repetition: Vec::new() }
    }

    /// Appends a value; returns false if it does not have the column's type.
    fn push(&mut self, value: &Value<'_>) -> bool {
        let decimal = |raw: i128| FixedLenByteArray::from(ByteArray::from(raw.to_be_bytes().to_vec()));
        match (&mut self.values, value) {
            (Values::Text(texts), Value::Codes(codes)) => {
                let before = texts.len();
                texts.extend(conditions(codes).map(|code| ByteArray::from(code.to_string().as_str())));
                let added = texts.len() - before;
                // An empty list is one entry without a value; of a longer one, all but the first repeat.
                self.definition.extend(std::iter::repeat_n(i16::from(added > 0), added.max(1)));
                self.repetition.extend((0..added.max(1)).map(|index| i16::from(index > 0)));
                return true;
            }
            (_, Value::Absent) => {
                self.definition.push(0);
                return true;
            }
            (Values::Numbers(numbers), Value::Time(time)) => numbers.push(time.0),
            (Values::Numbers(numbers), Value::Integer(number)) => numbers.push(*number),
            (Values::Decimals(decimals), Value::Price(price)) => decimals.push(decimal(price.raw())),
            (Values::Decimals(decimals), Value::Size(size)) => decimals.push(decimal(size.raw())),
            (Values::Text(texts), Value::Text(text)) => texts.push(ByteArray::from(*text)),
            (Values::Flags(flags), Value::Flag(flag)) => flags.push(*flag),
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
            Values::Decimals(values) => values.clear(),
            Values::Text(values) => values.clear(),
            Values::Flags(values) => values.clear(),
        }
    }
}

impl Parquet {
    pub(super) fn new(columns: &'static [Column], out: Destination) -> Result<Self> {
        let schema = parse_message_type(&schema(columns)).map_err(|error| failed(&error))?;
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let file = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties))
            .map_err(|error| failed(&error))?;
        let buffers = columns.iter().map(|column| Buffer::new(column.of)).collect();
        Ok(Self { columns, buffers, rows: 0, file })
    }

    pub(super) fn row(&mut self, values: &[Value<'_>]) -> Result<bool> {
        for ((column, buffer), value) in self.columns.iter().zip(&mut self.buffers).zip(values) {
            if !buffer.push(value) {
                return Err(Error::internal(format!("column {}: {value:?} has the wrong type", column.name)));
            }
        }
        self.rows += 1;
        if self.rows == GROUP {
            self.flush()?;
        }
        Ok(true)
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
            let list = column.of == Type::Codes;
            let definition = (list || !column.required).then_some(&buffer.definition[..]);
            let repetition = list.then_some(&buffer.repetition[..]);
            match (writer.untyped(), &buffer.values) {
                (ColumnWriter::Int64ColumnWriter(w), Values::Numbers(values)) => {
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

    pub(super) fn finish(mut self) -> Result<Written> {
        self.flush()?;
        self.file.into_inner().map_err(|error| failed(&error))?.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use market::{Price, UnixNanos};
    use parquet::file::reader::{FileReader, SerializedFileReader};

    #[test]
    fn rows_beyond_a_group_begin_another() {
        const COLUMNS: [Column; 3] = [
            Column { name: "ts", of: Type::Time, required: true },
            Column { name: "price", of: Type::Decimal, required: false },
            Column { name: "conditions", of: Type::Codes, required: true },
        ];
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.parquet");
        let mut file = Parquet::new(&COLUMNS, Destination::open(Some(&path)).unwrap()).unwrap();
        let rows = GROUP + 10;
        for index in 0..rows {
            let price =
                if index % 2 == 0 { Value::Absent } else { Value::Price(Price::from_whole(index as i64)) };
            let codes = ["[]", r#"["@"]"#, r#"["@","T"]"#][index % 3];
            let row = [Value::Time(UnixNanos(index as i64)), price, Value::Codes(codes)];
            assert!(file.row(&row).unwrap());
        }
        file.finish().unwrap();
        let reader = SerializedFileReader::new(std::fs::File::open(&path).unwrap()).unwrap();
        assert_eq!(reader.num_row_groups(), 2);
        let sizes: Vec<i64> = (0..2).map(|group| reader.metadata().row_group(group).num_rows()).collect();
        assert_eq!(sizes, [GROUP as i64, 10]);
        let last = reader.get_row_iter(None).unwrap().last().unwrap().unwrap().to_string();
        assert!(last.contains(&format!("price: {}", rows - 1)), "{last}");
    }
}
