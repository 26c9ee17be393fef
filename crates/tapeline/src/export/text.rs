//! Table, CSV, JSON and NDJSON.

use super::RowFormat;
use super::destination::{Destination, Written};
use crate::output::{Align, aligned, printable};
use crate::time_input::Zone;
use columnar::columns::{OutputColumn as Column, OutputType as Type, OutputValue as Value};
use market::codec::json::conditions;
use ports::Result;
use std::fmt::Write;

/// Decimal places of times in formats for other programs.
const NANOSECONDS: u8 = 9;
/// Maximum number of characters of a text in a table.
const CELL: usize = 120;

pub(super) struct Text {
    columns: &'static [Column],
    format: RowFormat,
    zone: Zone,
    out: Destination,
    line: String,
    rows: u64,
    /// Rows of a table, collected until their widths are known.
    table: Vec<Vec<String>>,
    /// Maximum number of decimal places of the times in each column of a table.
    digits: Vec<u8>,
}

impl Text {
    pub(super) fn new(
        columns: &'static [Column],
        format: RowFormat,
        mut out: Destination,
        zone: Zone,
    ) -> Result<Self> {
        if matches!(format, RowFormat::Csv | RowFormat::CsvSafe) {
            let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
            out.put(&(names.join(",") + "\n"))?;
        }
        let digits = vec![0; columns.len()];
        Ok(Self { columns, format, zone, out, line: String::new(), rows: 0, table: Vec::new(), digits })
    }

    pub(super) fn row(&mut self, values: &[Value<'_>]) -> Result<bool> {
        self.rows += 1;
        self.line.clear();
        match self.format {
            RowFormat::Csv | RowFormat::CsvSafe => self.csv(values),
            RowFormat::Ndjson => self.object(values),
            RowFormat::Json => {
                self.line.push_str(if self.rows == 1 { "[\n" } else { ",\n" });
                self.object(values);
            }
            RowFormat::Table | RowFormat::Parquet | RowFormat::Arrow => {
                self.table_row(values);
                return Ok(true);
            }
        }
        if self.format != RowFormat::Json {
            self.line.push('\n');
        }
        self.out.put(&self.line)
    }

    pub(super) fn finish(mut self) -> Result<Written> {
        match self.format {
            RowFormat::Json => {
                self.out.put(if self.rows == 0 { "[]\n" } else { "\n]\n" })?;
            }
            RowFormat::Table | RowFormat::Parquet | RowFormat::Arrow => {
                let text = self.table();
                self.out.put(&text)?;
            }
            RowFormat::Csv | RowFormat::CsvSafe | RowFormat::Ndjson => {}
        }
        self.out.finish()
    }

    fn csv(&mut self, values: &[Value<'_>]) {
        let field = if self.format == RowFormat::CsvSafe { safe_field } else { csv_field };
        for (index, (column, value)) in self.columns.iter().zip(values).enumerate() {
            if index > 0 {
                self.line.push(',');
            }
            match value {
                Value::Absent => {}
                Value::Time(time) => self.line.push_str(&self.zone.write(*time, digits(column.of))),
                Value::Text(text) => field(text, &mut self.line),
                Value::Codes(codes) => {
                    let codes: Vec<_> = conditions(codes).collect();
                    field(&codes.join("|"), &mut self.line);
                }
                plain => push_plain(plain, &mut self.line),
            }
        }
    }

    fn object(&mut self, values: &[Value<'_>]) {
        let mut first = true;
        self.line.push('{');
        for (column, value) in self.columns.iter().zip(values) {
            if matches!(value, Value::Absent) {
                continue;
            }
            if !first {
                self.line.push(',');
            }
            first = false;
            self.line.push('"');
            self.line.push_str(column.name);
            self.line.push_str("\":");
            match value {
                Value::Time(time) => {
                    let time = self.zone.write(*time, digits(column.of));
                    let _ = write!(self.line, "\"{time}\"");
                }
                Value::Text(text) => json_text(text, &mut self.line),
                Value::Price(_) | Value::Size(_) => {
                    self.line.push('"');
                    push_plain(value, &mut self.line);
                    self.line.push('"');
                }
                // Stored as a JSON array of text.
                Value::Codes(codes) => self.line.push_str(if codes.is_empty() { "[]" } else { codes }),
                plain => push_plain(plain, &mut self.line),
            }
        }
        self.line.push('}');
    }

    fn table_row(&mut self, values: &[Value<'_>]) {
        let cell = |((column, value), digits): ((&Column, &Value<'_>), &mut u8)| {
            let mut cell = String::new();
            match value {
                Value::Absent => {}
                // Written once the number of decimals is known.
                Value::Time(time) => {
                    if column.of == Type::Time {
                        *digits = needed(time.0).max(*digits);
                    }
                    cell = time.0.to_string();
                }
                // A vendor's text goes to a terminal here.
                Value::Text(text) => cell = printable(text, CELL),
                Value::Codes(codes) => {
                    let codes: Vec<_> = conditions(codes).collect();
                    cell = printable(&codes.join(" "), CELL);
                }
                plain => push_plain(plain, &mut cell),
            }
            cell
        };
        let row = self.columns.iter().zip(values).zip(&mut self.digits).map(cell).collect();
        self.table.push(row);
    }

    fn table(&mut self) -> String {
        let mut rows = std::mem::take(&mut self.table);
        let mut most = 0;
        for (index, column) in self.columns.iter().enumerate() {
            let digits = self.digits[index];
            let decimals = |row: &Vec<String>| row[index].split_once('.').map_or(0, |(_, part)| part.len());
            let places = match column.of {
                Type::Decimal => rows.iter().map(decimals).max().unwrap_or(0),
                Type::Average => rows.iter().map(decimals).max().unwrap_or(0).min(most + 2),
                _ => 0,
            };
            if column.of == Type::Decimal && !column.name.ends_with("size") && column.name != "volume" {
                most = most.max(places);
            }
            for row in &mut rows {
                let cell = &mut row[index];
                match column.of {
                    Type::Time | Type::Start => {
                        if let Ok(nanos) = cell.parse() {
                            *cell = self.zone.write(market::UnixNanos(nanos), digits);
                        }
                    }
                    Type::Decimal | Type::Average if !cell.is_empty() => fix(cell, places),
                    _ => {}
                }
            }
        }
        let align = |column: &Column| match column.of {
            Type::Decimal | Type::Average | Type::Integer => Align::Right,
            _ => Align::Left,
        };
        let alignment: Vec<Align> = self.columns.iter().map(align).collect();
        // A column without any value is omitted.
        let kept: Vec<bool> = (0..alignment.len())
            .map(|index| rows.is_empty() || rows.iter().any(|row| !row[index].is_empty()))
            .collect();
        rows.insert(0, self.columns.iter().map(|column| column.name.to_owned()).collect());
        let keep =
            |row: Vec<String>| row.into_iter().zip(&kept).filter(|(_, keep)| **keep).map(|(cell, _)| cell);
        let rows: Vec<Vec<String>> = rows.into_iter().map(|row| keep(row).collect()).collect();
        let alignment: Vec<Align> =
            alignment.into_iter().zip(&kept).filter(|(_, keep)| **keep).map(|(align, _)| align).collect();
        aligned(&rows, &alignment)
    }
}

fn digits(of: Type) -> u8 {
    if of == Type::Time { NANOSECONDS } else { 0 }
}

/// Decimal places of a second that a time needs: 0, 3, 6 or 9.
fn needed(nanos: i64) -> u8 {
    match nanos.rem_euclid(1_000_000_000) {
        0 => 0,
        n if n % 1_000_000 == 0 => 3,
        n if n % 1_000 == 0 => 6,
        _ => 9,
    }
}

/// Rounds (half away from zero) or pads a decimal to a number of places.
fn fix(cell: &mut String, places: usize) {
    let (whole, part) = cell.split_once('.').unwrap_or((cell, ""));
    if part.len() <= places {
        let padding = "0".repeat(places - part.len());
        let dot = if part.is_empty() && places > 0 { "." } else { "" };
        *cell = format!("{cell}{dot}{padding}");
        return;
    }
    let up = part.as_bytes().get(places).is_some_and(|digit| *digit >= b'5');
    let kept = format!("{whole}{}", &part[..places]);
    let negative = kept.starts_with('-');
    let Ok(number) = kept.trim_start_matches('-').parse::<u128>() else { return };
    let digits = format!("{:0>width$}", number + u128::from(up), width = places + 1);
    let (whole, part) = digits.split_at(digits.len() - places);
    let dot = if places > 0 { "." } else { "" };
    *cell = format!("{}{whole}{dot}{part}", if negative { "-" } else { "" });
}

fn push_plain(value: &Value<'_>, out: &mut String) {
    // Writing to a String does not fail.
    let _ = match value {
        Value::Price(price) => write!(out, "{price}"),
        Value::Size(size) => write!(out, "{size}"),
        Value::Integer(number) => write!(out, "{number}"),
        Value::Flag(flag) => write!(out, "{flag}"),
        Value::Absent | Value::Time(_) | Value::Text(_) | Value::Codes(_) => Ok(()),
    };
}

/// Quotes a field according to RFC 4180 if necessary.
fn csv_field(text: &str, out: &mut String) {
    if text.contains([',', '"', '\n', '\r']) {
        out.push('"');
        out.push_str(&text.replace('"', "\"\""));
        out.push('"');
    } else {
        out.push_str(text);
    }
}

/// A field that no spreadsheet evaluates: symbols and codes come from outside.
fn safe_field(text: &str, out: &mut String) {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        csv_field(&format!("'{text}"), out);
    } else {
        csv_field(text, out);
    }
}

fn json_text(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_padded_and_rounded() {
        for (cell, places, expected) in [
            ("167.4", 2, "167.40"),
            ("167", 0, "167"),
            ("167", 2, "167.00"),
            ("167.446", 2, "167.45"),
            ("-0.996", 2, "-1.00"),
            ("0.004", 2, "0.00"),
            ("99.95", 1, "100.0"),
            ("0.05", 2, "0.05"),
        ] {
            let mut text = cell.to_owned();
            fix(&mut text, places);
            assert_eq!(text, expected, "{cell}");
        }
        assert_eq!([0, 500_000_000, 1_000, 7].map(needed), [0, 3, 6, 9]);
    }

    #[test]
    fn fields_are_quoted_when_they_have_to_be() {
        for (text, expected) in [("a b", "a b"), ("a,b", "\"a,b\""), ("a\"b", "\"a\"\"b\"")] {
            let mut out = String::new();
            csv_field(text, &mut out);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn what_a_spreadsheet_would_evaluate_is_text_on_request() {
        for (text, expected) in [
            ("=HYPERLINK(\"http://x\",\"y\")", "\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\""),
            ("+1", "'+1"),
            ("-2+3", "'-2+3"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("BRK B", "BRK B"),
            ("", ""),
        ] {
            let mut out = String::new();
            safe_field(text, &mut out);
            assert_eq!(out, expected);
        }
    }
}
