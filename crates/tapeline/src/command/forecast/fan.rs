//! `tapeline plot SYMBOL --kind forecast`: the newest stored forecast as a fan, with its track record.

use crate::cli::PlotOptions;
use crate::context::Context;
use crate::plot::fan::{Fan, FanStep};
use crate::plot::save;
use crate::print;
use crate::time_input::Zone;
use market::bar::Values;
use market::{Kind, UnixNanos};
use ports::forecast::{ForecastRecord, TrackRecord};
use ports::store::{BarScan, ForecastScan, Store};
use ports::{Error, Result};
use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::process::ExitCode;
use tapeline::open;

/// Number of bars drawn before the forecast.
const BARS: usize = 80;

pub(crate) fn run(context: &Context, options: &PlotOptions) -> Result<ExitCode> {
    let symbols = ports::options::list(&options.symbols.join(","));
    let [symbol] = symbols.as_slice() else {
        return Err(Error::usage("a forecast is drawn for one symbol")
            .hint("tapeline plot SPY --kind forecast --out f.svg"));
    };
    let store = open::store(&context.config)?;
    let zone = options.span.tz.clone().unwrap_or_else(Zone::utc);
    let (from, to) = options.span.range_in(&zone)?;
    let scan = ForecastScan {
        symbol: symbol.clone(),
        interval: options.bars.interval(),
        feed: options.bars.feed.clone(),
        from,
        to,
    };
    let forecasts = context.retry_short(|| read(&*store, &scan))?;
    let Some(newest) = forecasts.first() else {
        return Err(Error::user(format!(
            "no forecasts of {} {} in that time range in {}",
            scan.symbol,
            scan.interval,
            store.describe()
        ))
        .hint("make them: tapeline forecast run"));
    };
    let closes = context.retry_short(|| closes(&*store, newest))?;
    let records = TrackRecord::by_task(&forecasts);
    let steps = steps(&forecasts, newest);
    if steps.is_empty() {
        return Err(Error::user(format!("the forecasts of {} have no return: a fan needs one", scan.symbol)));
    }
    let picture = Fan {
        title: format!(
            "{} {} {}, forecast of {} {}, {} version {}",
            newest.symbol,
            newest.interval,
            newest.feed,
            zone.write(newest.made_at, 0),
            zone.name(),
            newest.model,
            newest.version
        ),
        zone,
        is_daily: newest.interval.is_day(),
        closes,
        steps,
        record: record(&forecasts, newest, &records),
        areas: Default::default(),
    };
    save(&picture, &options.out, options.size)?;
    print::json(|| serde_json::json!({ "file": options.out, "forecast": newest.made_at.to_string() }));
    println!("forecast of {} drawn in {}", newest.made_at, options.out.display());
    Ok(ExitCode::SUCCESS)
}

fn read(store: &dyn Store, scan: &ForecastScan) -> Result<Vec<ForecastRecord>> {
    let mut found = Vec::new();
    store.scan_forecasts(scan, &mut |forecast| {
        found.push(forecast);
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// Start and close of the last bars up to that of the forecast.
fn closes(store: &dyn Store, newest: &ForecastRecord) -> Result<Vec<(UnixNanos, f64)>> {
    let length = newest.interval.nanos().unwrap_or(market::time::DAY);
    // Nights and weekends have no bars.
    let back = length.saturating_mul(BARS as i64 * 4).saturating_add(4 * market::time::DAY);
    let scan = BarScan {
        kind: Kind::TRADE,
        symbol: newest.symbol.clone(),
        interval: newest.interval,
        feed: Some(newest.feed.clone()),
        from: UnixNanos(newest.made_at.0.saturating_sub(back)),
        to: newest.made_at,
        limit: None,
    };
    let mut closes = VecDeque::new();
    store.scan_bars(&scan, &mut |bar| {
        if let Values::Trades(values) = &bar.values {
            closes.push_back((bar.start, values.ohlc[3].to_f64()));
            if closes.len() > BARS {
                closes.pop_front();
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(closes.into())
}

/// The forecasts of the return, by horizon, as prices.
fn steps(forecasts: &[ForecastRecord], newest: &ForecastRecord) -> Vec<FanStep> {
    let price = |value: f64| newest.close * value.exp();
    let of_newest = forecasts.iter().filter(|forecast| {
        forecast.made_at == newest.made_at && forecast.feed == newest.feed && forecast.target == "return"
    });
    let mut steps: BTreeMap<u32, FanStep> = BTreeMap::new();
    for forecast in of_newest {
        let step = FanStep {
            horizon: forecast.horizon as usize,
            point: price(forecast.point),
            bounds: forecast.bounds.map(|all| all.map(|ends| ends.map(price))),
        };
        steps.insert(forecast.horizon, step);
    }
    steps.into_values().collect()
}

/// One line per target and horizon.
fn record(
    forecasts: &[ForecastRecord],
    newest: &ForecastRecord,
    records: &BTreeMap<(String, u32), TrackRecord>,
) -> Vec<String> {
    let mut lines = Vec::new();
    for ((target, horizon), record) in records {
        let of_newest = forecasts.iter().find(|forecast| {
            forecast.made_at == newest.made_at && forecast.target == *target && forecast.horizon == *horizon
        });
        let Some(forecast) = of_newest else { continue };
        let covered = record.coverage().map_or_else(String::new, |coverage| {
            format!(", 90 % interval covered {:.1} %", coverage[2] * 100.0)
        });
        lines.push(format!(
            "{target}, {horizon} ahead, {}: {}{covered}; before, walk-forward: {}",
            forecast.model,
            record.describe(),
            forecast.verdict
        ));
    }
    lines
}
