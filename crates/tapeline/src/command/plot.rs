//! `tapeline plot`: candles, returns, correlations.

use super::bars;
use crate::cli::{Drawing, PlotOptions};
use crate::context::Context;
use crate::plot::candles::{Candles, Series};
use crate::plot::save;
use crate::plot::spread::{Correlation, Returns};
use market::bar::{Bar, Values};
use market::calendar::Calendar;
use market::returns::{correlation, log_return, paired_returns};
use market::{Kind, UnixNanos};
use ports::{Error, Result};
use std::collections::BTreeMap;
use std::process::ExitCode;
use tapeline::open;

pub(crate) fn run(context: &Context, options: &PlotOptions) -> Result<ExitCode> {
    let store = open::store(&context.config)?;
    let settings = open::bars(&context.config)?;
    let mut series = Vec::new();
    for symbol in options.symbols.iter().map(|symbol| symbol.trim().to_owned()) {
        let load = || bars::load(context, &*store, Kind::Trade, &symbol, &options.span, &options.bars, None);
        let found = context.retry_short(load)?;
        let mut by_feed: BTreeMap<String, Vec<Bar>> = BTreeMap::new();
        for bar in found {
            by_feed.entry(bar.feed.clone()).or_default().push(bar);
        }
        if by_feed.is_empty() {
            return Err(Error::user(bars::none(&*store, &symbol, &options.bars)));
        }
        // Feeds are never mixed: each is drawn separately.
        for (feed, bars) in by_feed {
            let calendar = settings.rules(&feed, &symbol).map_or(Calendar::XNYS, |rules| rules.calendar);
            let policy =
                options.bars.policy.as_ref().map(|name| format!(", policy {name}")).unwrap_or_default();
            let title = format!("{symbol} {} {feed}{policy}", options.bars.interval);
            series.push((
                symbol.clone(),
                Series { title, calendar, bars, indicators: options.indicator.clone() },
            ));
        }
    }
    let bars: usize = series.iter().map(|(_, series)| series.bars.len()).sum();
    match options.kind {
        Drawing::Candles => {
            let picture = Candles { series: series.into_iter().map(|(_, series)| series).collect() };
            save(&picture, &options.out, &options.size)?;
        }
        Drawing::Returns => {
            let each = |series: &Series| (series.title.clone(), returns(series).into_values().collect());
            let picture = Returns { series: series.iter().map(|(_, series)| each(series)).collect() };
            save(&picture, &options.out, &options.size)?;
        }
        Drawing::Correlation => save(&correlations(&series, options)?, &options.out, &options.size)?,
    }
    println!("{bars} bars drawn in {}", options.out.display());
    Ok(ExitCode::SUCCESS)
}

/// Returns by the start of the later bar. Only within a session, unless the bars are daily: the night is not
/// a bar.
fn returns(series: &Series) -> BTreeMap<i64, f64> {
    let mut out = BTreeMap::new();
    let mut last: Option<(u32, f64)> = None;
    for bar in &series.bars {
        let Values::Trades(values) = &bar.values else { continue };
        let (day, close) = (series.calendar.day(bar.start).yyyymmdd, values.ohlc[3].to_f64());
        if let Some((before, price)) = last
            && (before == day || bar.interval.is_day())
            && let Some(value) = log_return(price, close)
        {
            out.insert(bar.start.0, value);
        }
        last = Some((day, close));
    }
    out
}

/// Start and close of each bar.
fn closes(series: &Series) -> Vec<(i64, f64)> {
    let close = |bar: &Bar| match &bar.values {
        Values::Trades(values) => Some((bar.start.0, values.ohlc[3].to_f64())),
        _ => None,
    };
    series.bars.iter().filter_map(close).collect()
}

fn correlations(series: &[(String, Series)], options: &PlotOptions) -> Result<Correlation> {
    if series.len() < 2 {
        return Err(Error::user("a correlation needs at least two symbols")
            .hint("tapeline plot SPY,IBM --kind correlation …"));
    }
    let all: Vec<Vec<(i64, f64)>> = series.iter().map(|(_, series)| closes(series)).collect();
    let calendar = series[0].1.calendar;
    let day = |time: i64| calendar.day(UnixNanos(time)).yyyymmdd;
    // Overnight returns are excluded, as for the returns plot.
    let same_session = |from: i64, to: i64| options.bars.interval.is_day() || day(from) == day(to);
    let pair = |a: &[(i64, f64)], b: &[(i64, f64)]| correlation(&paired_returns(a, b, same_session));
    Ok(Correlation {
        title: format!(
            "Correlation of {} bar-to-bar returns, between bars that both symbols have",
            options.bars.interval
        ),
        symbols: series.iter().map(|(symbol, _)| symbol.clone()).collect(),
        values: all.iter().map(|a| all.iter().map(|b| pair(a, b)).collect()).collect(),
    })
}
