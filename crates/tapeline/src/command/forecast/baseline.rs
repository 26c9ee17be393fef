//! `tapeline forecast baseline`: forecasts of the next readings of a series by simple rules, and how these did before.

use super::options::BaselineOptions;
use super::score::percent;
use crate::cli::Format;
use crate::command::bars;
use crate::context::Context;
use crate::output::{Out, table, thousands};
use crate::time_input::Zone;
use forecast::level::{COVERAGE, LevelScore, LevelSeries};
use market::bar::{Bar, Values};
use market::time::DAY;
use market::{Kind, UnixNanos};
use ports::{Error, Result};
use serde_json::json;
use std::collections::BTreeSet;
use std::process::ExitCode;
use tapeline::open;

/// Intervals from the first to the last bar.
const LONGEST: i64 = 5_000_000;

/// The means of a series' bars at equal distances.
struct Means {
    series: LevelSeries,
    feed: String,
    season: usize,
    count: usize,
    /// Start of the last bar.
    last: UnixNanos,
    nanos: i64,
}

pub(crate) fn run(context: &Context, options: &BaselineOptions) -> Result<ExitCode> {
    let series = options.series.trim();
    if options.horizons.contains(&0) || options.season == Some(0) {
        return Err(Error::usage("--horizons and --season: expected numbers of bars of at least 1, found 0"));
    }
    let means = load(context, series, options)?;
    let mut horizons = options.horizons.clone();
    if horizons.is_empty() {
        horizons = vec![1, means.season];
    }
    horizons.sort_unstable();
    horizons.dedup();
    let scores: Vec<(usize, LevelScore)> = horizons
        .iter()
        .flat_map(|horizon| means.series.score(*horizon).into_iter().map(|score| (*horizon, score)))
        .collect();
    if scores.is_empty() {
        let (count, shortest) = (means.count, horizons.first().copied().unwrap_or(1));
        return Err(Error::user(format!("{series}: expected more than {shortest} bars, found {count}"))
            .hint("read a longer span (--from, --to), or take a shorter --interval"));
    }
    let mut out = Out::new();
    match options.format {
        Format::Table => {
            let zone = options.span.tz.clone().unwrap_or_else(Zone::utc);
            out.put(&format!(
                "{series} of {}, means of {} bars of {}; the last one began at {} ({}); a season is {} bars\n",
                means.feed,
                thousands(means.count as u64),
                options.bars.interval(),
                zone.write(means.last, 0),
                zone.name(),
                means.season
            ))?;
            out.put(&shown(&scores))?;
        }
        Format::Json => {
            for (horizon, score) in &scores {
                out.put(&format!("{}\n", to_json(series, &means, *horizon, score)))?;
            }
        }
        Format::Csv | Format::Parquet => {
            return Err(Error::usage("baselines can be printed as table or json"));
        }
    }
    out.end()?;
    Ok(ExitCode::SUCCESS)
}

fn load(context: &Context, series: &str, options: &BaselineOptions) -> Result<Means> {
    let store = open::store(&context.config)?;
    let zone = options.span.tz.clone().unwrap_or_else(Zone::utc);
    let range = options.span.range_in(&zone)?;
    let mut found = bars::load(context, &*store, Kind::READING, series, range, &options.bars)?;
    if found.is_empty() {
        return Err(Error::user(bars::none(&*store, Kind::READING, series, &options.bars)));
    }
    let feeds: BTreeSet<&str> = found.iter().map(|bar| bar.feed.as_str()).collect();
    if feeds.len() > 1 {
        let names: Vec<&str> = feeds.into_iter().collect();
        return Err(Error::user(format!("{series}: expected bars of one feed, found {}", names.join(", ")))
            .hint("choose one: --feed NAME"));
    }
    // The mean of a bar that is still open would be compared with those of whole ones.
    found.retain(|bar| bar.is_final);
    let nanos = options.bars.interval().nanos().unwrap_or(DAY);
    let (Some(first), Some(last)) = (found.first(), found.last()) else {
        return Err(Error::user(format!("{series}: expected finished bars, found others"))
            .hint("finish them: tapeline aggregate --until-end"));
    };
    let (first, last, feed) = (first.start, last.start, last.feed.clone());
    let places = (last.0 - first.0) / nanos + 1;
    if places > LONGEST {
        return Err(Error::user(format!(
            "{series}: expected a span of at most {LONGEST} bars, found {places}"
        ))
        .hint("read a shorter span (--from, --to), or take a longer --interval"));
    }
    let mut values = vec![None; usize::try_from(places).unwrap_or(1)];
    for bar in &found {
        let place = (bar.start.0 - first.0) / nanos;
        if let Some(value) = usize::try_from(place).ok().and_then(|place| values.get_mut(place)) {
            *value = mean(bar);
        }
    }
    let season = options.season.unwrap_or_else(|| if nanos < DAY { (DAY / nanos) as usize } else { 7 });
    let count = values.iter().flatten().count();
    Ok(Means { series: LevelSeries::new(values, season), feed, season, count, last, nanos })
}

fn mean(bar: &Bar) -> Option<f64> {
    let Values::Readings(values) = &bar.values else { return None };
    Some(values.mean()?.to_f64())
}

fn shown(scores: &[(usize, LevelScore)]) -> String {
    let head = ["ahead", "rule", "forecasts", "MAE", "RMSE", "90 % covers", "next", "90 % interval"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for (horizon, score) in scores {
        let interval = score.next.interval;
        rows.push(vec![
            horizon.to_string(),
            score.rule.name().to_owned(),
            thousands(score.forecasts as u64),
            format!("{:.4}", score.mae),
            format!("{:.4}", score.rmse),
            score.covered.map_or_else(String::new, |(share, _)| format!("{} %", percent(share))),
            format!("{:.4}", score.next.point),
            interval
                .map_or_else(|| "too few errors".to_owned(), |[low, high]| format!("{low:.4} to {high:.4}")),
        ]);
    }
    table(&rows, 2)
}

fn to_json(series: &str, means: &Means, horizon: usize, score: &LevelScore) -> serde_json::Value {
    let at = means.last.0.saturating_add(means.nanos.saturating_mul(horizon as i64));
    json!({
        "series": series,
        "feed": means.feed,
        "season": means.season,
        "horizon": horizon,
        "rule": score.rule.name(),
        "forecasts": score.forecasts,
        "mae": score.mae,
        "rmse": score.rmse,
        "intervals": score.covered.map_or(0, |(_, intervals)| intervals),
        "covered": score.covered.map(|(share, _)| share),
        "coverage": COVERAGE,
        "start": UnixNanos(at).to_string(),
        "next": score.next.point,
        "low": score.next.interval.map(|[low, _]| low),
        "high": score.next.interval.map(|[_, high]| high),
    })
}
