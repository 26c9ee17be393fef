//! `tapeline late` and `tapeline notices`: what those topics hold.

use crate::cli::Shape;
use crate::context::Context;
use crate::output::{Out, printable, table, thousands};
use clap::Args;
use market::UnixNanos;
use ports::Result;
use ports::topic::Fetched;
use serde_json::{Map, Value};
use std::collections::VecDeque;
use std::process::ExitCode;
use tapeline::open;

/// Messages that a table shows without `--limit`.
const ROWS: usize = 100;
/// Characters of a cell that came with data.
const CELL: usize = 120;

#[derive(Debug, Clone, Args)]
pub(crate) struct LateOptions {
    #[command(flatten)]
    common: MessageOptions,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct NoticesOptions {
    #[command(flatten)]
    common: MessageOptions,
}

#[derive(Debug, Clone, Args)]
struct MessageOptions {
    /// Only those of this symbol
    #[arg(long, value_name = "SYMBOL")]
    symbol: Option<String>,
    /// Maximum number of messages, the newest [default: 100 as a table, all as JSON]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Shape::Table)]
    format: Shape,
}

/// Where a column's text comes from.
enum Column {
    /// The message's timestamp.
    Stamp,
    /// The message key.
    Key,
    Header(&'static str),
    /// A field of the JSON object.
    Field(&'static str),
}

pub(crate) fn late(context: &Context, options: &LateOptions) -> Result<ExitCode> {
    let columns = [
        ("received (UTC)", Column::Stamp),
        ("symbol", Column::Key),
        ("kind", Column::Header("kind")),
        ("feed", Column::Field("feed")),
        ("event time (UTC)", Column::Field("ts")),
        ("origin", Column::Header("origin")),
        ("reason", Column::Header("reason")),
    ];
    let topic = open::names(&context.config).late();
    print(context, &topic, "late records", &columns, &options.common)
}

pub(crate) fn notices(context: &Context, options: &NoticesOptions) -> Result<ExitCode> {
    let columns = [
        ("time (UTC)", Column::Field("ts")),
        ("symbol", Column::Key),
        ("feed", Column::Field("feed")),
        ("notice", Column::Field("what")),
        ("lower", Column::Field("lower")),
        ("upper", Column::Field("upper")),
        ("indicator", Column::Field("indicator")),
    ];
    let topic = open::names(&context.config).notices();
    print(context, &topic, "notices", &columns, &options.common)
}

fn print(
    context: &Context,
    topic: &str,
    what: &str,
    columns: &[(&str, Column)],
    options: &MessageOptions,
) -> Result<ExitCode> {
    let topics = open::topics(&context.config, &context.stop)?;
    let limit = options.limit.unwrap_or(if options.format == Shape::Table { ROWS } else { usize::MAX });
    let (found, total) = context.retry_short(|| {
        let (mut found, mut total) = (VecDeque::new(), 0_u64);
        topics.read_all(&[topic.to_owned()], &mut |message| {
            let key = String::from_utf8_lossy(message.key());
            if options.symbol.as_ref().is_some_and(|symbol| *symbol != key) {
                return;
            }
            total += 1;
            found.push_back(object(message));
            if found.len() > limit {
                found.pop_front();
            }
        })?;
        Ok((found, total))
    })?;
    let mut out = Out::new();
    match options.format {
        Shape::Json => {
            let rows: Vec<Value> = found.into_iter().map(Value::Object).collect();
            out.put(&format!("{}\n", Value::from(rows)))?;
        }
        Shape::Table => {
            let mut rows = vec![columns.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>()];
            rows.extend(found.iter().map(|message| cells(message, columns)));
            out.put(&table(&rows, columns.len()))?;
            out.put(&format!("{} {what}", thousands(total)))?;
            let hidden = total - found.len() as u64;
            if hidden > 0 {
                out.put(&format!("; {} older ones are not shown (--limit)", thousands(hidden)))?;
            }
            out.put("\n")?;
        }
    }
    out.end()?;
    Ok(ExitCode::SUCCESS)
}

/// A message as JSON: where it lies, its key, its headers, and its record as an object, or as text where it is none.
fn object(message: &dyn Fetched) -> Map<String, Value> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut object = Map::new();
    let stamp = UnixNanos(message.stamp_ms().saturating_mul(market::time::MILLI));
    object.insert("timestamp".to_owned(), stamp.to_string().into());
    object.insert("partition".to_owned(), message.partition().number.into());
    object.insert("offset".to_owned(), message.offset().into());
    object.insert("key".to_owned(), text(message.key()).into());
    let mut headers = Map::new();
    message.headers(&mut |name, value| {
        headers.insert(name.to_owned(), text(value).into());
    });
    object.insert("headers".to_owned(), headers.into());
    let record = serde_json::from_slice(message.payload()).unwrap_or_else(|_| text(message.payload()).into());
    object.insert("record".to_owned(), record);
    object
}

fn cells(message: &Map<String, Value>, columns: &[(&str, Column)]) -> Vec<String> {
    let text = |value: Option<&Value>| match value {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => String::new(),
        Some(other) => other.to_string(),
    };
    columns
        .iter()
        .map(|(_, column)| {
            let cell = match column {
                Column::Stamp => text(message.get("timestamp")),
                Column::Key => text(message.get("key")),
                Column::Header(name) => text(message.get("headers").and_then(|headers| headers.get(name))),
                Column::Field(name) => match message.get("record").and_then(|record| record.get(name)) {
                    // Times of records are nanoseconds.
                    Some(Value::Number(ns)) if *name == "ts" => {
                        ns.as_i64().map_or_else(|| ns.to_string(), |ns| UnixNanos(ns).to_string())
                    }
                    field => text(field),
                },
            };
            printable(&cell, CELL)
        })
        .collect()
}
