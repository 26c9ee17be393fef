//! `tapeline query`: trades, quotes, readings or bars of one symbol in time order.

use super::bars;
use crate::cli::{Format, QueryOptions, What};
use crate::context::Context;
use crate::output::{Out, table};
use market::codec::json::conditions;
use market::reading::each_tag;
use market::table::{Cell, Column, ColumnType, Presence};
use market::{Kind, Record};
use ports::store::Scan;
use ports::{Error, Result};
use std::ops::ControlFlow;
use std::process::ExitCode;
use tapeline::open;

/// Maximum number of table rows without --limit.
const TABLE: u64 = 100;

pub(crate) fn run(context: &Context, options: &QueryOptions) -> Result<ExitCode> {
    let store = open::store(&context.config)?;
    let limit = options.limit.or_else(|| (options.format == Format::Table).then_some(TABLE));
    let symbol = options.symbol.clone();
    let kind = match options.what {
        What::Trades | What::Bars => Kind::Trade,
        What::Quotes | What::QuoteBars => Kind::Quote,
        What::Readings => Kind::Reading,
    };
    let mut lines = Lines::new(options.format);
    let nothing = match options.what {
        What::Bars | What::QuoteBars => {
            let load = || bars::load(context, &*store, kind, &symbol, &options.span, &options.bars, limit);
            let found = context.retry_short(load)?;
            if options.format == Format::Parquet {
                return super::parquet::write(kind, &found, options.out.as_deref());
            }
            lines.head(bars::header(kind))?;
            for bar in &found {
                if !lines.put(|| bars::cells(bar), || bars::object(bar))? {
                    break;
                }
            }
            bars::none(&*store, &symbol, &options.bars)
        }
        What::Trades | What::Quotes | What::Readings if options.format == Format::Parquet => {
            return Err(Error::user("--format parquet supports only bars")
                .hint("use csv or json for trades, quotes and readings"));
        }
        What::Trades | What::Quotes | What::Readings => {
            let (from, to) = bars::range(&options.span)?;
            let scan = Scan { kind, symbol: Some(symbol.clone()), from, to, limit };
            lines.head(header(kind))?;
            let mut failed = None;
            store.scan(&scan, &mut |record| match lines.put(|| cells(record), || object(record)) {
                Ok(true) => ControlFlow::Continue(()),
                Ok(false) => ControlFlow::Break(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            })?;
            if let Some(error) = failed {
                return Err(error);
            }
            let place = store.describe();
            format!(
                "no {} of {symbol} in that time range in {place}; list the contents: tapeline symbols --store {place}",
                kind.plural()
            )
        }
    };
    let shown = lines.end()?;
    if shown == 0 {
        eprintln!("{nothing}");
    } else if options.limit.is_none() && limit == Some(shown) {
        eprintln!("showing the first {shown} rows; use --limit N for more, or --format csv or json for all");
    }
    Ok(ExitCode::SUCCESS)
}

/// Rows to print: collected for a table, otherwise written immediately.
struct Lines {
    format: Format,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    out: Out,
    shown: u64,
}

impl Lines {
    fn new(format: Format) -> Self {
        Self { format, header: Vec::new(), rows: Vec::new(), out: Out::new(), shown: 0 }
    }

    fn head(&mut self, header: Vec<String>) -> Result<()> {
        if self.format == Format::Csv {
            self.out.put(&csv(&header))?;
        }
        self.header = header;
        Ok(())
    }

    /// Returns false once the reader is gone.
    fn put(&mut self, cells: impl FnOnce() -> Vec<String>, object: impl FnOnce() -> String) -> Result<bool> {
        self.shown += 1;
        match self.format {
            Format::Json => {
                let lead = if self.shown == 1 { "[\n" } else { ",\n" };
                self.out.put(&format!("{lead}{}", object()))
            }
            Format::Csv => self.out.put(&csv(&cells())),
            Format::Table | Format::Parquet => {
                self.rows.push(cells());
                Ok(true)
            }
        }
    }

    fn end(mut self) -> Result<u64> {
        match self.format {
            Format::Json => self.out.put(if self.shown == 0 { "[]\n" } else { "\n]\n" })?,
            Format::Csv => true,
            Format::Table | Format::Parquet => {
                self.rows.insert(0, self.header);
                self.out.put(&table(&self.rows, 3))?
            }
        };
        self.out.end()?;
        Ok(self.shown)
    }
}

/// The columns, in order.
fn header(kind: Kind) -> Vec<String> {
    kind.table().shown.iter().map(|name| (*name).to_owned()).collect()
}

/// A record's values in the order of the header, as text; what is absent is empty.
fn cells(record: &Record<&str>) -> Vec<String> {
    record.kind().table().shown_columns().map(|column| shown(column, (column.get)(record))).collect()
}

fn shown(column: &Column, cell: Cell<'_>) -> String {
    match cell {
        Cell::Absent => String::new(),
        Cell::Integer(0) if column.presence == Presence::OrDefault => String::new(),
        Cell::Text(array) if column.class == ColumnType::Codes => {
            conditions(array).collect::<Vec<_>>().join(" ")
        }
        Cell::Text(text) => text.to_owned(),
        Cell::Integer(value) => value.to_string(),
        Cell::Decimal(raw) => market::Price::from_raw(raw).to_string(),
        Cell::Boolean(value) => value.to_string(),
        Cell::Time(time) => time.to_string(),
    }
}

pub(super) fn csv(cells: &[String]) -> String {
    let quoted: Vec<String> = cells
        .iter()
        .map(|cell| match cell.contains([',', '"', '\n']) {
            true => format!("\"{}\"", cell.replace('"', "\"\"")),
            false => cell.clone(),
        })
        .collect();
    quoted.join(",") + "\n"
}

/// As in the table, but absent values are omitted, and lists, tags and numbers are JSON.
fn object(record: &Record<&str>) -> String {
    let mut map = serde_json::Map::new();
    for column in record.kind().table().shown_columns() {
        let cell = (column.get)(record);
        let value: serde_json::Value = match (cell, column.class) {
            (Cell::Text(array), ColumnType::Codes) => conditions(array).collect(),
            (Cell::Text(""), _) => continue,
            (Cell::Text(tags), ColumnType::Tags) => each_tag(tags)
                .map(|(name, value)| (name.to_owned(), serde_json::Value::from(value)))
                .collect(),
            (Cell::Integer(0), _) if column.presence == Presence::OrDefault => continue,
            (Cell::Integer(value), _) => value.into(),
            (Cell::Boolean(value), _) => value.into(),
            (Cell::Absent, _) => continue,
            _ => shown(column, cell).into(),
        };
        map.insert(column.name.to_owned(), value);
    }
    serde_json::Value::Object(map).to_string()
}
