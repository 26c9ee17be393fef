//! `tapeline forecast history`: stored forecasts, and how they did.

use super::options::HistoryOptions;
use super::score::percent;
use crate::cli::Format;
use crate::context::Context;
use crate::output::{Out, table, thousands};
use crate::time_input::Zone;
use ports::forecast::{ForecastRecord, TrackRecord};
use ports::store::ForecastScan;
use ports::{Error, Result};
use serde_json::Value;
use std::ops::ControlFlow;
use std::process::ExitCode;
use tapeline::open;

/// Rows of a table without `--limit`.
const TABLE: usize = 30;

pub(crate) fn run(context: &Context, options: &HistoryOptions) -> Result<ExitCode> {
    let (from, to) = options.span.range()?;
    let store = open::store(&context.config)?;
    let scan = ForecastScan {
        symbol: options.symbol.trim().to_owned(),
        interval: options.interval,
        feed: options.feed.clone(),
        from,
        to,
    };
    let found = context.retry_short(|| {
        let mut found = Vec::new();
        store.scan_forecasts(&scan, &mut |forecast| {
            found.push(forecast);
            ControlFlow::Continue(())
        })?;
        Ok(found)
    })?;
    if found.is_empty() {
        let series = context.retry_short(|| store.forecast_series())?;
        let known: Vec<String> =
            series.iter().take(10).map(|(symbol, of)| format!("{symbol} {of}")).collect();
        let known = if known.is_empty() { "none of any symbol".to_owned() } else { known.join(", ") };
        return Err(Error::user(format!(
            "expected forecasts of {} {} in {}, found {known}",
            scan.symbol,
            scan.interval,
            store.describe()
        ))
        .hint("make them: tapeline forecast train, then tapeline forecast run --until-end"));
    }
    let limit = options.limit.unwrap_or(if options.format == Format::Table { TABLE } else { usize::MAX });
    let mut out = Out::new();
    match options.format {
        Format::Table => {
            let zone = options.span.tz.clone().unwrap_or_else(Zone::utc);
            out.put(&forecasts(&found[..limit.min(found.len())], &zone))?;
            out.put("\n")?;
            out.put(&records(&found))?;
        }
        Format::Json => {
            for forecast in found.iter().take(limit) {
                out.put(&format!("{}\n", Value::Object(forecast.to_json())))?;
            }
        }
        Format::Csv => {
            out.put(&format!("{}\n", ForecastRecord::COLUMNS.join(",")))?;
            for forecast in found.iter().take(limit) {
                out.put(&csv(forecast))?;
            }
        }
        Format::Parquet => {
            return Err(Error::user("forecasts can be printed as table, json or csv").hint("--format csv"));
        }
    }
    out.end()?;
    Ok(ExitCode::SUCCESS)
}

fn forecasts(found: &[ForecastRecord], zone: &Zone) -> String {
    let head = [
        format!("made at ({})", zone.name()),
        "forecast".to_owned(),
        "model".to_owned(),
        "version".to_owned(),
        "point %".to_owned(),
        "90 % interval".to_owned(),
        "truth %".to_owned(),
        "inside 90 %".to_owned(),
    ];
    let mut rows = vec![head.to_vec()];
    rows.extend(found.iter().map(|forecast| row(forecast, zone)));
    table(&rows, 4)
}

fn row(forecast: &ForecastRecord, zone: &Zone) -> Vec<String> {
    let shown = |value: f64| {
        if forecast.target == "return" {
            format!("{:+.3}", value * 100.0)
        } else {
            format!("{:.3}", value * 100.0)
        }
    };
    let interval = forecast.bounds.map_or_else(
        || "no record".to_owned(),
        |all| format!("{} to {}", shown(all[2][0]), shown(all[2][1])),
    );
    let inside = forecast.covered().map_or("", |covered| if covered[2] { "yes" } else { "no" });
    vec![
        zone.write(forecast.made_at, 0),
        format!("{}, {} ahead", forecast.target, forecast.horizon),
        forecast.model.clone(),
        forecast.version.clone(),
        shown(forecast.point),
        interval,
        forecast.score.map_or_else(|| "open".to_owned(), |score| shown(score.truth)),
        inside.to_owned(),
    ]
}

/// One line per target and horizon: how all forecasts found did.
fn records(found: &[ForecastRecord]) -> String {
    let head = ["forecast", "made", "scored", "50 % covers", "90 % covers", "record against the random walk"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for ((target, horizon), record) in TrackRecord::by_task(found) {
        let share = |level: usize| {
            record.coverage().map_or_else(String::new, |coverage| format!("{} %", percent(coverage[level])))
        };
        rows.push(vec![
            format!("{target}, {horizon} ahead"),
            thousands(record.made),
            thousands(record.scored),
            share(0),
            share(2),
            record.describe(),
        ]);
    }
    table(&rows, 1)
}

fn csv(forecast: &ForecastRecord) -> String {
    let values = forecast.to_json();
    let cell = |name: &&str| match values.get(*name) {
        None => String::new(),
        Some(Value::String(text)) if text.contains([',', '"', '\n', '\r']) => {
            format!("\"{}\"", text.replace('"', "\"\""))
        }
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    format!("{}\n", ForecastRecord::COLUMNS.iter().map(cell).collect::<Vec<_>>().join(","))
}
