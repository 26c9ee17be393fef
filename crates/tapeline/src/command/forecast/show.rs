//! `tapeline forecast show`: forecasts from the newest bar, each with its interval and score.

use super::input_error::{check_splits, failed};
use super::options::ShowOptions;
use super::score::percent;
use super::{input, models};
use crate::context::Context;
use crate::output::table;
use crate::print;
use forecast::bundle::Prediction;
use forecast::{Dataset, Series, Target};
use market::UnixNanos;
use ports::Result;
use std::process::ExitCode;

pub(crate) fn run(context: &Context, options: &ShowOptions) -> Result<ExitCode> {
    let symbol = options.symbol.trim().to_ascii_uppercase();
    let interval = options.input.bars.interval().to_string();
    let version = models::find(&options.folder.models, &symbol, &interval, options.model_version)?;
    let (bundle, _) = models::read(&version)?;
    let input = input::load(context, &symbol, &options.input)?;
    let series = Series::new(input.bars).map_err(|error| failed(&symbol, &error))?;
    let data = Dataset::new(&series, bundle.meta.season).map_err(|error| failed(&symbol, &error))?;
    check_splits(&symbol, &series, &options.input)?;
    let predictions = bundle.predict(&data).map_err(|error| failed(&symbol, &error))?;
    let last = data.bars()[data.len() - 1];
    let made_at = UnixNanos(last.start_ns).local("%Y-%m-%d %H:%M", "UTC");
    print::json(|| {
        let best = |task| bundle.best(task).map(|score| score.kind);
        let shown = predictions.iter().filter(|found| options.all || Some(found.kind) == best(found.task));
        serde_json::json!({
            "symbol": symbol,
            "interval": interval,
            "from": made_at,
            "close": last.close,
            "version": version.number,
            "forecasts": shown.map(object).collect::<Vec<_>>(),
        })
    });
    println!(
        "{symbol} {interval}: from the bar of {made_at} (exchange time), close {}, version {}\n",
        last.close, version.number
    );
    let mut rows = vec![
        ["forecast", "model", "point %", "50 % interval", "90 % interval", "covered 90 %", "record"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for task in &bundle.models.tasks {
        let best = bundle.best(*task).map(|score| score.kind);
        let of_task = predictions.iter().filter(|prediction| prediction.task == *task);
        rows.extend(of_task.filter(|found| options.all || Some(found.kind) == best).map(row));
    }
    println!("{}", table(&rows, 2));
    println!(
        "Return: log return to the close that many bars ahead. Volatility and range: over those bars. The record is \
         walk-forward, on data the model had not seen: tapeline forecast score {symbol} --interval {interval}"
    );
    Ok(ExitCode::SUCCESS)
}

/// Values are log returns, variances and log ranges; intervals are of 50, 80 and 90 %.
fn object(prediction: &Prediction<'_>) -> serde_json::Value {
    let ends = prediction.intervals.map(|intervals| intervals.map(|found| [found.low, found.high]));
    serde_json::json!({
        "task": prediction.task,
        "model": prediction.kind,
        "point": prediction.point,
        "intervals": ends,
        "score": prediction.score,
    })
}

fn row(prediction: &Prediction<'_>) -> Vec<String> {
    let target = prediction.task.target;
    let shown = |value: f64| {
        let value = target.shown(value) * 100.0;
        if target == Target::Return { format!("{value:+.2}") } else { format!("{value:.2}") }
    };
    let interval = |level: usize| {
        let found = prediction.intervals.map(|intervals| intervals[level]);
        found.map_or_else(
            || "no record".to_owned(),
            |found| format!("{} to {}", shown(found.low), shown(found.high)),
        )
    };
    vec![
        prediction.task.to_string(),
        prediction.kind.label().to_owned(),
        shown(prediction.point),
        interval(0),
        interval(2),
        prediction.score.map_or_else(String::new, |score| percent(score.coverage[2])),
        prediction.score.map_or_else(|| "no record".to_owned(), |score| score.verdict.to_string()),
    ]
}
