//! `tapeline plot`: candles, returns, correlations; readings are in `readings.rs`, fans of forecasts in `forecast/fan.rs`.

mod readings;

use super::bars;
use super::zone::{self, About};
use crate::cli::{Drawing, PlotOptions, Session};
use crate::context::Context;
use crate::output::counted;
use crate::plot::candles::{Candles, Series, is_regular};
use crate::plot::save;
use crate::plot::spread::{Correlation, Returns};
use crate::print;
use crate::time_input::Zone;
use market::bar::{Bar, Values};
use market::calendar::Calendar;
use market::returns::{correlation, log_return, paired_returns};
use market::{Kind, UnixNanos};
use ports::{Error, Result};
use std::collections::BTreeMap;
use std::process::ExitCode;
use tapeline::open;

pub(crate) fn run(context: &Context, options: &PlotOptions) -> Result<ExitCode> {
    options.span.check()?;
    let kind = options.kind.unwrap_or(Drawing::Candles);
    match kind {
        Drawing::Forecast => return super::forecast::plot(context, options),
        Drawing::Readings => return readings::run(context, options),
        Drawing::Candles | Drawing::Returns | Drawing::Correlation => {}
    }
    let symbols = ports::options::list(&options.symbols.join(","));
    if kind == Drawing::Correlation && symbols.len() < 2 {
        return Err(Error::usage("a correlation needs at least two symbols")
            .hint("tapeline plot SPY,IBM --kind correlation --out correlation.svg"));
    }
    let store = open::store(&context.config)?;
    let settings = open::bars(&context.config)?;
    let (mut series, mut hidden) = (Vec::new(), 0);
    for symbol in symbols {
        let span = &options.span;
        let about = About {
            symbol: &symbol,
            feed: options.bars.feed.as_deref(),
            interval: Some(options.bars.interval()),
        };
        let times = [span.from.as_deref(), span.to.as_deref()];
        let zone = context.retry_short(|| zone::of(span.tz.as_ref(), &times, &*store, &settings, about))?;
        let range = span.range_in(&zone)?;
        let found = bars::load(context, &*store, Kind::TRADE, &symbol, range, &options.bars)?;
        let mut by_feed: BTreeMap<String, Vec<Bar>> = BTreeMap::new();
        for bar in found {
            by_feed.entry(bar.feed.clone()).or_default().push(bar);
        }
        if by_feed.is_empty() {
            if options.kind.is_none() && readings::are_there(context, &*store, options)? {
                return readings::run(context, options);
            }
            return Err(Error::user(bars::none(&*store, Kind::TRADE, &symbol, &options.bars)));
        }
        // Feeds are never mixed: each is drawn separately.
        for (feed, mut bars) in by_feed {
            let calendar = settings.rules(&feed, &symbol).map_or(Calendar::XNYS, |rules| rules.calendar);
            let policy = options
                .bars
                .policy
                .as_ref()
                .map(|policy| format!(", policy {}", policy.name()))
                .unwrap_or_default();
            if options.session == Session::Regular
                && !calendar.is_continuous()
                && !options.bars.interval().is_day()
            {
                let all = bars.len();
                bars.retain(|bar| is_regular(bar, &calendar.day(bar.start)));
                hidden += all - bars.len();
            }
            let zone = match &span.tz {
                Some(zone) => zone.clone(),
                None => Zone::parse(calendar.zone()).map_err(Error::internal)?,
            };
            let (Some(first), Some(last)) = (bars.first(), bars.last()) else {
                return Err(Error::user(format!(
                    "all {hidden} bars of {symbol} in that time range are outside regular hours"
                ))
                .hint("--session extended draws them"));
            };
            let (from, to) = (zone::date(&zone, first), zone::date(&zone, last));
            let days = if from == to { from } else { format!("{from} to {to}") };
            let interval = options.bars.interval();
            let title = format!("{symbol} {interval} {feed}{policy}, {days}, {}", zone.name());
            let indicators = options.indicator.clone();
            series.push((symbol.clone(), Series { title, calendar, zone, bars, indicators }));
        }
    }
    let bars: usize = series.iter().map(|(_, series)| series.bars.len()).sum();
    match kind {
        Drawing::Candles => {
            let picture = Candles { series: series.into_iter().map(|(_, series)| series).collect() };
            for line in picture.without_values() {
                eprintln!("{line}");
            }
            save(&picture, &options.out, options.size)?;
        }
        Drawing::Returns => {
            let each = |series: &Series| (series.title.clone(), returns(series).into_values().collect());
            let picture = Returns::new(series.iter().map(|(_, series)| each(series)).collect());
            save(&picture, &options.out, options.size)?;
        }
        // Drawn above, from other rows of the store.
        Drawing::Forecast | Drawing::Readings => {}
        Drawing::Correlation => save(&correlations(&series, options)?, &options.out, options.size)?,
    }
    print::json(|| serde_json::json!({ "file": options.out, "bars": bars, "outside_session": hidden }));
    println!("{} drawn in {}", counted(bars as u64, "bar"), options.out.display());
    if hidden > 0 {
        println!("  regular hours only; --session extended adds {}", counted(hidden as u64, "bar"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns by the start of the later bar. Only within a session, unless the bars are daily: the night is not a bar.
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
    let same_session = |from: i64, to: i64| options.bars.interval().is_day() || day(from) == day(to);
    let pairs = |a: &[(i64, f64)], b: &[(i64, f64)]| paired_returns(a, b, same_session);
    Ok(Correlation {
        title: format!(
            "Correlation of {} bar-to-bar returns, between bars that both symbols have, {}",
            options.bars.interval(),
            series[0].1.title.split_once(", ").map_or("", |(_, days)| days)
        ),
        symbols: series.iter().map(|(symbol, _)| symbol.clone()).collect(),
        values: all.iter().map(|a| all.iter().map(|b| correlation(&pairs(a, b))).collect()).collect(),
        pairs: all.iter().map(|a| all.iter().map(|b| pairs(a, b).len()).collect()).collect(),
        areas: Default::default(),
    })
}
