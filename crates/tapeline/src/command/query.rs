//! `tapeline query`: trades, quotes or bars of one symbol in time order.

use super::bars;
use crate::cli::{Format, QueryOptions, What};
use crate::context::Context;
use crate::output::{Out, table};
use market::codec::json::conditions;
use market::{Kind, QuoteSide, Record};
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
        What::Trades | What::Quotes if options.format == Format::Parquet => {
            return Err(Error::user("--format parquet supports only bars")
                .hint("use csv or json for trades and quotes"));
        }
        What::Trades | What::Quotes => {
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
                "no {} of {symbol} in that time range in {place}; list the contents: tapeline count --store {place}",
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

fn header(kind: Kind) -> Vec<String> {
    let names: &[&str] = match kind {
        Kind::Trade => &[
            "ts",
            "symbol",
            "venue",
            "price",
            "size",
            "side",
            "conditions",
            "tape",
            "feed",
            "id",
            "seq",
            "recv_ts",
            "revision",
            "canceled",
        ],
        Kind::Quote => &[
            "ts",
            "symbol",
            "feed",
            "bid",
            "bid_size",
            "bid_venue",
            "ask",
            "ask_size",
            "ask_venue",
            "conditions",
            "seq",
            "recv_ts",
        ],
    };
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn side(side: Option<&QuoteSide<&str>>) -> [String; 3] {
    side.map_or_else(Default::default, |s| [s.price.to_string(), s.size.to_string(), s.venue.to_owned()])
}

fn codes(array: &str) -> String {
    conditions(array).collect::<Vec<_>>().join(" ")
}

fn cells(record: &Record<&str>) -> Vec<String> {
    match record {
        Record::Trade(t) => vec![
            t.ts.to_string(),
            t.symbol.to_owned(),
            t.venue.to_owned(),
            t.price.to_string(),
            t.size.to_string(),
            t.side.name().to_owned(),
            codes(t.conditions),
            t.tape.to_owned(),
            t.feed.to_owned(),
            t.id.to_owned(),
            if t.seq == 0 { String::new() } else { t.seq.to_string() },
            t.recv_ts.to_string(),
            t.revision.to_string(),
            t.canceled.to_string(),
        ],
        Record::Quote(q) => {
            let ([bid, bid_size, bid_venue], [ask, ask_size, ask_venue]) =
                (side(q.bid.as_ref()), side(q.ask.as_ref()));
            vec![
                q.ts.to_string(),
                q.symbol.to_owned(),
                q.feed.to_owned(),
                bid,
                bid_size,
                bid_venue,
                ask,
                ask_size,
                ask_venue,
                codes(q.conditions),
                q.seq.to_string(),
                q.recv_ts.to_string(),
            ]
        }
    }
}

fn csv(cells: &[String]) -> String {
    let quoted: Vec<String> = cells
        .iter()
        .map(|cell| match cell.contains([',', '"', '\n']) {
            true => format!("\"{}\"", cell.replace('"', "\"\"")),
            false => cell.clone(),
        })
        .collect();
    quoted.join(",") + "\n"
}

/// As in the table, but absent values are omitted, and conditions are an array.
fn object(record: &Record<&str>) -> String {
    let mut map = serde_json::Map::new();
    for (name, cell) in header(record.kind()).into_iter().zip(cells(record)) {
        let value = match (name.as_str(), record) {
            ("conditions", Record::Trade(t)) => conditions(t.conditions).collect(),
            ("conditions", Record::Quote(q)) => conditions(q.conditions).collect(),
            ("revision", Record::Trade(t)) => t.revision.into(),
            ("canceled", Record::Trade(t)) => t.canceled.into(),
            ("seq", Record::Quote(q)) => q.seq.into(),
            ("seq", Record::Trade(t)) if t.seq != 0 => t.seq.into(),
            _ if cell.is_empty() => continue,
            _ => cell.into(),
        };
        map.insert(name, value);
    }
    serde_json::Value::Object(map).to_string()
}
