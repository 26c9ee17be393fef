//! `tapeline query`: records of one symbol in time order.

use crate::cli::{Format, QueryOptions};
use crate::context::Context;
use crate::output::{Out, table};
use market::codec::json::conditions;
use market::record::Side;
use market::{Kind, Record, UnixNanos};
use pipeline::store::Scan;
use pipeline::{Error, Result, engine};
use std::ops::ControlFlow;
use std::process::ExitCode;

/// Rows of a table where no limit is given.
const TABLE: u64 = 100;

pub(crate) fn run(context: &Context, options: &QueryOptions) -> Result<ExitCode> {
    let scan = scan(options)?;
    let store = engine::store(&context.config)?;
    let mut rows = vec![header(options.kind)];
    let mut out = Out::new();
    let mut shown = 0_u64;
    let mut failed = None;
    store.scan(&scan, &mut |record| {
        if scan.limit == Some(shown) {
            return ControlFlow::Break(());
        }
        shown += 1;
        let text = match options.format {
            Format::Table => {
                rows.push(cells(record));
                return ControlFlow::Continue(());
            }
            Format::Json => {
                let lead = if shown == 1 { "[\n" } else { ",\n" };
                format!("{lead}{}", object(record))
            }
            Format::Csv => {
                let head = if shown == 1 { csv(&header(options.kind)) } else { String::new() };
                head + &csv(&cells(record))
            }
        };
        match out.put(&text) {
            Ok(true) => ControlFlow::Continue(()),
            Ok(false) => ControlFlow::Break(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    match options.format {
        Format::Table => out.put(&table(&rows, 3))?,
        Format::Json => out.put(if shown == 0 { "[]\n" } else { "\n]\n" })?,
        Format::Csv if shown == 0 => out.put(&csv(&header(options.kind)))?,
        Format::Csv => true,
    };
    out.end()?;
    if shown == 0 {
        eprintln!(
            "no {} of {} in that time in {}; what is there: tapeline count --store {}",
            options.kind.plural(),
            options.symbol,
            store.describe(),
            store.describe()
        );
    } else if options.limit.is_none() && scan.limit == Some(shown) {
        eprintln!("the first {shown} are shown; more with --limit N, all with --format csv or json");
    }
    Ok(ExitCode::SUCCESS)
}

fn scan(options: &QueryOptions) -> Result<Scan> {
    let time = |flag: &str, text: &Option<String>, default: i64| match text {
        Some(text) => UnixNanos::parse(text).map_err(|error| Error::user(format!("{flag}: {error}"))),
        None => Ok(UnixNanos(default)),
    };
    let (from, to) = (time("--from", &options.from, i64::MIN)?, time("--to", &options.to, i64::MAX)?);
    if from >= to {
        return Err(Error::user(format!("--from {from} is not before --to {to}")));
    }
    let limit = options.limit.or_else(|| (options.format == Format::Table).then_some(TABLE));
    Ok(Scan { kind: options.kind, symbol: Some(options.symbol.to_ascii_uppercase()), from, to, limit })
}

fn header(kind: Kind) -> Vec<String> {
    let names: &[&str] = match kind {
        Kind::Trade => &[
            "ts",
            "symbol",
            "venue",
            "price",
            "size",
            "conditions",
            "tape",
            "feed",
            "id",
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

fn side(side: Option<&Side<&str>>) -> [String; 3] {
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
            codes(t.conditions),
            t.tape.to_owned(),
            t.feed.to_owned(),
            t.id.to_owned(),
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

/// As in the table, but what is absent is left out, and conditions are an array.
fn object(record: &Record<&str>) -> String {
    let mut map = serde_json::Map::new();
    for (name, cell) in header(record.kind()).into_iter().zip(cells(record)) {
        let value = match (name.as_str(), record) {
            ("conditions", Record::Trade(t)) => conditions(t.conditions).collect(),
            ("conditions", Record::Quote(q)) => conditions(q.conditions).collect(),
            ("revision", Record::Trade(t)) => t.revision.into(),
            ("canceled", Record::Trade(t)) => t.canceled.into(),
            ("seq", Record::Quote(q)) => q.seq.into(),
            _ if cell.is_empty() => continue,
            _ => cell.into(),
        };
        map.insert(name, value);
    }
    serde_json::Value::Object(map).to_string()
}
