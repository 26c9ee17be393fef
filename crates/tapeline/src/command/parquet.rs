//! Bars as a Parquet file: exact decimals, times in nanoseconds UTC.

use market::Kind;
use market::bar::{Bar, TradeValues, Values};
use parquet::basic::Compression;
use parquet::column::writer::ColumnWriter;
use parquet::data_type::{ByteArray, FixedLenByteArray};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use ports::error::io;
use ports::{Error, Result};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// Prices, sizes and volume: exact.
const DECIMAL: &str = "fixed_len_byte_array(16) {} (DECIMAL(38,18)); ";

fn schema(kind: Kind) -> String {
    let price = |name: &str, repetition: &str| format!("{repetition} {}", DECIMAL.replace("{}", name));
    let mut text = String::from(
        "message bars { required int64 start (TIMESTAMP(NANOS,true)); required binary feed (UTF8); ",
    );
    match kind {
        Kind::Trade => {
            for name in ["open", "high", "low", "close"] {
                text.push_str(&price(name, "required"));
            }
            text.push_str(&price("volume", "required"));
            text.push_str(&price("vwap", "optional"));
            text.push_str("required int64 trades; ");
        }
        Kind::Quote => {
            for side in ["bid", "ask"] {
                for name in ["open", "high", "low", "close", "size"] {
                    text.push_str(&price(&format!("{side}_{name}"), "optional"));
                }
            }
        }
    }
    text + "required int32 revision; required boolean final; required boolean complete; }"
}

/// Values of one column: numbers that may be absent, or something else.
enum Column {
    Numbers(Vec<Option<i64>>),
    Small(Vec<i32>),
    /// Raw values; a column without absent values is encoded like the others.
    Decimals {
        values: Vec<Option<i128>>,
        optional: bool,
    },
    Text(Vec<String>),
    Flags(Vec<bool>),
}

fn columns(kind: Kind, bars: &[Bar]) -> Vec<Column> {
    let mut out = vec![
        Column::Numbers(bars.iter().map(|bar| Some(bar.start.0)).collect()),
        Column::Text(bars.iter().map(|bar| bar.feed.clone()).collect()),
    ];
    let trades = |pick: &dyn Fn(&TradeValues) -> Option<i128>, optional: bool| {
        let value = |bar: &Bar| match &bar.values {
            Values::Trades(values) => pick(values),
            _ => None,
        };
        Column::Decimals { values: bars.iter().map(value).collect(), optional }
    };
    match kind {
        Kind::Trade => {
            for index in 0..4 {
                out.push(trades(&|values| Some(values.ohlc[index].raw()), false));
            }
            out.push(trades(&|values| Some(values.volume.raw()), false));
            out.push(trades(&|values| values.vwap.map(market::Price::raw), true));
            let count = |bar: &Bar| match &bar.values {
                Values::Trades(values) => i64::try_from(values.trades).ok(),
                _ => None,
            };
            out.push(Column::Numbers(bars.iter().map(count).collect()));
        }
        Kind::Quote => {
            for ask in [false, true] {
                for index in 0..5 {
                    let value = |bar: &Bar| match &bar.values {
                        Values::Quotes(values) => (if ask { values.ask } else { values.bid })
                            .map(|(ohlc, size)| ohlc.get(index).map_or(size.raw(), |price| price.raw())),
                        _ => None,
                    };
                    out.push(Column::Decimals { values: bars.iter().map(value).collect(), optional: true });
                }
            }
        }
    }
    out.push(Column::Small(bars.iter().map(|bar| i32::try_from(bar.revision).unwrap_or(i32::MAX)).collect()));
    out.push(Column::Flags(bars.iter().map(|bar| bar.is_final).collect()));
    out.push(Column::Flags(bars.iter().map(|bar| bar.complete).collect()));
    out
}

/// The file's bytes.
fn encode(kind: Kind, bars: &[Bar]) -> std::result::Result<Vec<u8>, ParquetError> {
    let schema = Arc::new(parse_message_type(&schema(kind))?);
    let properties = Arc::new(WriterProperties::builder().set_compression(Compression::SNAPPY).build());
    let mut file = SerializedFileWriter::new(Vec::new(), schema, properties)?;
    let mut group = file.next_row_group()?;
    let mut columns = columns(kind, bars).into_iter();
    while let Some(mut writer) = group.next_column()? {
        let unexpected = || ParquetError::General("schema and columns differ".to_owned());
        match (writer.untyped(), columns.next().ok_or_else(unexpected)?) {
            (ColumnWriter::Int64ColumnWriter(w), Column::Numbers(numbers)) => {
                let levels: Vec<i16> = numbers.iter().map(|number| i16::from(number.is_some())).collect();
                let values: Vec<i64> = numbers.into_iter().flatten().collect();
                w.write_batch(&values, Some(&levels), None)?;
            }
            (ColumnWriter::Int32ColumnWriter(w), Column::Small(values)) => {
                w.write_batch(&values, None, None)?;
            }
            (ColumnWriter::FixedLenByteArrayColumnWriter(w), Column::Decimals { values, optional }) => {
                let levels: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
                let bytes =
                    |value: i128| FixedLenByteArray::from(ByteArray::from(value.to_be_bytes().to_vec()));
                let values: Vec<FixedLenByteArray> = values.into_iter().flatten().map(bytes).collect();
                w.write_batch(&values, optional.then_some(&levels[..]), None)?;
            }
            (ColumnWriter::ByteArrayColumnWriter(w), Column::Text(texts)) => {
                w.write_batch(
                    &texts.iter().map(|t| ByteArray::from(t.as_str())).collect::<Vec<_>>(),
                    None,
                    None,
                )?;
            }
            (ColumnWriter::BoolColumnWriter(w), Column::Flags(flags)) => {
                w.write_batch(&flags, None, None)?;
            }
            _ => return Err(unexpected()),
        }
        writer.close()?;
    }
    group.close()?;
    file.into_inner()
}

/// Writes to a file, or to standard output unless that is a terminal.
pub(crate) fn write(kind: Kind, bars: &[Bar], out: Option<&Path>) -> Result<ExitCode> {
    let bytes = encode(kind, bars).map_err(|error| Error::internal(format!("write parquet: {error}")))?;
    match out {
        Some(path) => {
            std::fs::write(path, bytes).map_err(io("write", path))?;
            println!("{} bars in {}", crate::output::thousands(bars.len() as u64), path.display());
        }
        None if std::io::IsTerminal::is_terminal(&std::io::stdout()) => {
            return Err(Error::user("refusing to write Parquet to a terminal")
                .hint("use --out FILE.parquet or a pipe"));
        }
        None => std::io::stdout()
            .write_all(&bytes)
            .map_err(|error| Error::user(format!("write parquet to standard output: {error}")))?,
    }
    Ok(ExitCode::SUCCESS)
}
