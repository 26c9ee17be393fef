//! Reads the records of a file of the archive.

use crate::columns::{self, OutputColumn, OutputType, TOPIC};
use bytes::Bytes;
use market::table::{Cell, ColumnType};
use market::{Kind, Record, UnixNanos};
use parquet::column::reader::ColumnReader;
use parquet::data_type::{ByteArray, FixedLenByteArray};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use ports::{Error, Result};

/// Where the message of an archived record was on its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchivedAt {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Timestamp of the message, milliseconds since 1970.
    pub stamp_ms: i64,
}

/// The values of one column of a row group; `None` where a row has none.
enum Values {
    Numbers(Vec<Option<i64>>),
    Decimals(Vec<Option<i128>>),
    Text(Vec<Option<ByteArray>>),
    Flags(Vec<Option<bool>>),
}

fn failed(error: &ParquetError) -> Error {
    Error::user(format!("read parquet: {error}"))
}

/// Calls `each` with the records of a file, in the order of its rows. Returns their number.
///
/// # Errors
/// The file is damaged, or its columns are not those of [`columns::of_archive`].
pub fn records(kind: Kind, file: Vec<u8>, each: &mut dyn FnMut(&Record<&str>, ArchivedAt)) -> Result<u64> {
    let reader = SerializedFileReader::new(Bytes::from(file)).map_err(|error| failed(&error))?;
    let wanted = columns::of_archive(kind);
    let schema = reader.metadata().file_metadata().schema_descr();
    let found: Vec<&str> = schema.columns().iter().map(|column| column.name()).collect();
    if !wanted.iter().map(|column| column.name).eq(found.iter().copied()) {
        let wanted: Vec<&str> = wanted.iter().map(|column| column.name).collect();
        return Err(Error::user(format!(
            "expected the columns {}, found {}",
            wanted.join(", "),
            found.join(", ")
        ))
        .hint("the file was not written by `tapeline archive`, or by another version of it"));
    }
    let mut read = 0;
    for index in 0..reader.num_row_groups() {
        let group = reader.get_row_group(index).map_err(|error| failed(&error))?;
        let rows = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
        let values = wanted
            .iter()
            .enumerate()
            .map(|(at, column)| column_values(&*group, at, column, rows))
            .collect::<Result<Vec<_>>>()?;
        for row in 0..rows {
            let mut text = String::new();
            let (record, at) = record(kind, &values, row, &mut text)?;
            each(&record, at);
            read += 1;
        }
    }
    Ok(read)
}

fn record<'v>(
    kind: Kind,
    values: &'v [Values],
    row: usize,
    text: &'v mut String,
) -> Result<(Record<&'v str>, ArchivedAt)> {
    let table = kind.table();
    let own = table.columns.iter().zip(values);
    let cells = own
        .map(|(column, values)| {
            Ok(match values {
                Values::Numbers(numbers) => match (numbers[row], column.class) {
                    (None, _) => Cell::Absent,
                    (Some(nanos), ColumnType::Time) => Cell::Time(UnixNanos(nanos)),
                    (Some(number), _) => Cell::Integer(number),
                },
                Values::Decimals(decimals) => decimals[row].map_or(Cell::Absent, Cell::Decimal),
                Values::Flags(flags) => flags[row].map_or(Cell::Absent, Cell::Boolean),
                Values::Text(texts) => match &texts[row] {
                    None => Cell::Absent,
                    Some(text) => {
                        let fail = |_| Error::user(format!("column {}: not UTF-8", column.name));
                        Cell::Text(std::str::from_utf8(text.data()).map_err(fail)?)
                    }
                },
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let number = |at: usize| match values.get(table.columns.len() + at) {
        Some(Values::Numbers(numbers)) => numbers[row].unwrap_or_default(),
        _ => 0,
    };
    let at = ArchivedAt {
        partition: i32::try_from(number(0)).unwrap_or(i32::MAX),
        offset: number(1),
        stamp_ms: number(2),
    };
    debug_assert_eq!(values.len(), table.columns.len() + TOPIC.len());
    let record = kind.record(&cells, text).map_err(|error| {
        Error::user(format!("offset {} of partition {}: {error}", at.offset, at.partition))
    })?;
    Ok((record, at))
}

fn column_values(
    group: &dyn RowGroupReader,
    at: usize,
    column: &OutputColumn,
    rows: usize,
) -> Result<Values> {
    let fail = |error: ParquetError| failed(&error).context(&format!("column {}", column.name));
    let reader = group.get_column_reader(at).map_err(fail)?;
    /// Reads all rows of a column into `Option`s.
    macro_rules! read {
        ($reader:expr, $type:ty) => {{
            let mut reader = $reader;
            let (mut values, mut levels): (Vec<$type>, Vec<i16>) = (Vec::new(), Vec::new());
            let mut have = 0;
            while have < rows {
                let definition = (!column.required).then_some(&mut levels);
                let (records, ..) =
                    reader.read_records(rows - have, definition, None, &mut values).map_err(fail)?;
                if records == 0 {
                    return Err(Error::user(format!(
                        "column {}: expected {rows} rows, found {have}",
                        column.name
                    )));
                }
                have += records;
            }
            if column.required {
                values.into_iter().map(Some).collect::<Vec<Option<$type>>>()
            } else {
                let mut values = values.into_iter();
                levels.iter().map(|level| if *level > 0 { values.next() } else { None }).collect()
            }
        }};
    }
    Ok(match (reader, column.of) {
        (ColumnReader::Int64ColumnReader(reader), OutputType::Nanos | OutputType::Integer) => {
            Values::Numbers(read!(reader, i64))
        }
        (ColumnReader::Int32ColumnReader(reader), OutputType::Small) => {
            Values::Numbers(read!(reader, i32).into_iter().map(|number| number.map(i64::from)).collect())
        }
        (ColumnReader::FixedLenByteArrayColumnReader(reader), OutputType::Decimal) => {
            let raw = |bytes: FixedLenByteArray| {
                bytes.data().try_into().map(i128::from_be_bytes).map_err(|_| {
                    Error::user(format!("column {}: expected decimals of 16 bytes", column.name))
                })
            };
            let values = read!(reader, FixedLenByteArray).into_iter();
            Values::Decimals(values.map(|value| value.map(raw).transpose()).collect::<Result<_>>()?)
        }
        (ColumnReader::ByteArrayColumnReader(reader), OutputType::Text) => {
            Values::Text(read!(reader, ByteArray))
        }
        (ColumnReader::BoolColumnReader(reader), OutputType::Flag) => Values::Flags(read!(reader, bool)),
        _ => return Err(Error::user(format!("column {}: its type is not the archive's", column.name))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::{Codec, ParquetWriter};
    use market::codec::json;

    const ROWS: [(Kind, &str); 5] = [
        (
            Kind::TRADE,
            r#"{"symbol":"SPY","feed":"f","venue":"P","id":"1","ts":1,"recv_ts":2,"price":"1.5","size":"1000000000000000","side":"buy","conditions":["@","T"],"tape":"B","seq":7,"revision":2,"canceled":true}"#,
        ),
        (
            Kind::TRADE,
            r#"{"symbol":"BTT","feed":"f","venue":"","id":"","ts":-1,"recv_ts":0,"price":"0.00000000000001","size":"0","conditions":[]}"#,
        ),
        (
            Kind::QUOTE,
            r#"{"symbol":"SPY","feed":"f","seq":1,"ts":1,"recv_ts":1,"bid":"1","bid_size":"2","bid_venue":"","conditions":["R"]}"#,
        ),
        (Kind::QUOTE, r#"{"symbol":"SPY","feed":"f","seq":2,"ts":1,"recv_ts":1,"conditions":[]}"#),
        (
            Kind::READING,
            r#"{"series":"s","feed":"f","seq":1,"ts":1,"recv_ts":1,"type":"decimal","value":"1.25","unit":"V","tags":{"a":"b"}}"#,
        ),
    ];

    #[test]
    fn every_field_of_every_kind_returns() {
        for kind in Kind::ALL {
            let mut file =
                ParquetWriter::new(columns::of_archive(kind), Codec::Zstd, &[], Vec::new()).unwrap();
            let rows: Vec<_> = ROWS.iter().filter(|(of, _)| *of == kind).collect();
            let mut values = Vec::new();
            for (index, (_, text)) in rows.iter().enumerate() {
                let record = json::decode(kind, text.as_bytes()).unwrap();
                columns::archived(&record, [3, index as i64, 99], &mut values);
                file.row(&values).unwrap();
            }
            let mut found = Vec::new();
            let count = records(kind, file.finish().unwrap(), &mut |record, at| {
                let mut text = Vec::new();
                json::encode(record, &mut text);
                assert_eq!((at.partition, at.offset, at.stamp_ms), (3, found.len() as i64, 99));
                found.push(text);
            })
            .unwrap();
            assert_eq!(count, rows.len() as u64);
            for ((_, text), found) in rows.iter().zip(&found) {
                let (expected, found) =
                    (json::decode(kind, text.as_bytes()).unwrap(), json::decode(kind, found).unwrap());
                assert_eq!(expected, found);
            }
        }
    }

    #[test]
    fn another_file_is_refused() {
        let error = records(Kind::TRADE, b"PAR1".to_vec(), &mut |_, _| {}).unwrap_err();
        assert!(error.to_string().contains("read parquet"), "{error}");
        let file =
            ParquetWriter::new(columns::of_archive(Kind::QUOTE), Codec::Zstd, &[], Vec::new()).unwrap();
        let error = records(Kind::TRADE, file.finish().unwrap(), &mut |_, _| {}).unwrap_err();
        assert!(error.to_string().contains("expected the columns symbol, ts_ns"), "{error}");
    }
}
