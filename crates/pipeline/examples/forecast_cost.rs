//! Cost of forecasting every minute bar of many symbols: time from the emission of a minute's bars until all forecasts
//! are in the store, processor time of the process meanwhile, and memory. On embedded engines, in a temporary folder.
//!
//! `cargo run --release -p pipeline --example forecast_cost -- [SYMBOLS [MINUTES [MODEL]]]`; MODEL is the name of the
//! model that makes all forecasts; without it, the best of each task does.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

use adapters::store::sqlite::SqliteStore;
use adapters::topic::sqlite::SqliteTopics;
use forecast::walk_forward::WalkOptions;
use forecast::{Bundle, Dataset, ModelKind, Series, Task};
use market::bar::{AggregatorSettings, Bar, Feed, TradeValues, Values};
use market::calendar::Calendar;
use market::interval::{Interval, MINUTE};
use market::policy::Policy;
use market::{Kind, Price, Size, UnixNanos};
use pipeline::forecast::{ForecastSettings, ModelStore, ohlcv};
use pipeline::vendor_bars;
use ports::store::{ForecastScan, Store};
use ports::topic::{Names, Topics};
use ports::{CancelToken, Result};
use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

const START: i64 = 1_704_067_200_000_000_000;
/// Bars of a regular session.
const SEASON: usize = 390;
const TRAINED: usize = 1_500;

struct Walk {
    symbol: String,
    close: f64,
    state: u64,
}

impl Walk {
    fn new(index: usize) -> Self {
        Self { symbol: format!("S{index:04}"), close: 100.0, state: index as u64 * 77 + 1 }
    }

    fn next(&mut self, minute: usize) -> Bar {
        let mut uniform = || {
            self.state =
                self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.state >> 33) as f64 / (1u64 << 31) as f64
        };
        let scale = 0.002 * (1.5 + (minute as f64 / 30.0).sin());
        let open = self.close;
        let close = open * (1.0 + scale * (uniform() - 0.5));
        let high = f64::max(open, close) * (1.0 + scale * 0.5 * uniform());
        let low = f64::min(open, close) * (1.0 - scale * 0.5 * uniform());
        self.close = close;
        let price = |value: f64| Price::parse(format!("{value:.4}").as_bytes()).unwrap();
        let values = TradeValues {
            ohlc: [open, high, low, close].map(price),
            volume: Size::parse(b"1000").unwrap(),
            vwap: None,
            trades: 10,
        };
        Bar {
            kind: Kind::TRADE,
            symbol: self.symbol.clone(),
            feed: "test".to_owned(),
            interval: Interval::M1,
            start: UnixNanos(START + minute as i64 * MINUTE),
            values: Values::Trades(values),
            late: 0,
            revision: 0,
            is_final: true,
            complete: true,
        }
    }
}

/// The same model for every symbol.
struct OneModel(Bundle);

impl ModelStore for OneModel {
    fn newest(&self, _: &str, _: Interval) -> Result<Option<u32>> {
        Ok(Some(1))
    }
    fn load(&self, _: &str, _: Interval, _: u32) -> Result<(Bundle, String)> {
        Ok((self.0.clone(), "0123456789abcdef".to_owned()))
    }
    fn save(&self, _: &str, _: Interval, _: &Bundle) -> Result<u32> {
        Ok(1)
    }
}

fn train(only: Option<ModelKind>) -> Bundle {
    let mut walk = Walk::new(0);
    let bars: Vec<Bar> = (0..TRAINED).map(|minute| walk.next(minute)).collect();
    let input = bars.iter().map(|bar| ohlcv(Calendar::ALWAYS, bar).unwrap()).collect();
    let data = Dataset::new(&Series::new(input).unwrap(), SEASON).unwrap();
    let options = WalkOptions {
        first_fit: 1_000,
        refit_every: 1_000,
        tasks: Task::all(&[1, 5, 22]),
        ..WalkOptions::default()
    };
    let mut bundle = Bundle::train(&data, "S0000", "1m", &options, &mut |_| {}).unwrap();
    if let Some(only) = only {
        let kept: Vec<bool> = bundle.meta.scores.iter().map(|score| score.kind == only).collect();
        let (mut scores, mut intervals) = (kept.iter(), kept.iter());
        bundle.meta.scores.retain(|_| *scores.next().unwrap());
        bundle.intervals.retain(|_| *intervals.next().unwrap());
    }
    bundle
}

/// A line of /proc/self/status, MiB.
fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// Processor time of all threads, seconds.
fn processor_time() -> f64 {
    /// Ticks per second of /proc, the same on every Linux.
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    // utime and stime are fields 14 and 15, the state after the name is field 3.
    after_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>()
        / TICKS
}

fn emit(topics: &SqliteTopics, store: &SqliteStore, bars: &[Bar]) {
    let mut producer = topics.producer().unwrap();
    for bar in bars {
        vendor_bars::send(bar, "t.bars", 1, &mut *producer).unwrap();
    }
    assert_eq!(producer.flush(Duration::from_secs(60)).unwrap(), 0);
    store.write_bars(bars, &CancelToken::default()).unwrap();
}

/// Whether the forecasts of the last symbol from the bar of `minute` are stored. They are written last.
fn is_stored(store: &SqliteStore, symbol: &str, minute: usize) -> bool {
    let end = START + (minute as i64 + 1) * MINUTE;
    let scan = ForecastScan {
        symbol: symbol.to_owned(),
        interval: Interval::M1,
        feed: None,
        from: UnixNanos(end),
        to: UnixNanos(end + 1),
    };
    let mut count = 0;
    store
        .scan_forecasts(&scan, &mut |_| {
            count += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
    count == 9
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let symbols: usize = arguments.next().map_or(1_000, |text| text.parse().unwrap());
    let minutes: usize = arguments.next().map_or(5, |text| text.parse().unwrap());
    let only = arguments.next().map(|label| ModelKind::from_label(&label).unwrap());
    let models = OneModel(train(only));
    let dir = tempfile::tempdir().unwrap();
    let topics = SqliteTopics::new(dir.path().join("topic.db"));
    let store = SqliteStore::new(dir.path().join("store.db"));
    topics.init(&Names::new("t").specs(6)).unwrap();
    store.init().unwrap();
    let mut walks: Vec<Walk> = (0..symbols).map(Walk::new).collect();
    for walk in &mut walks {
        let history: Vec<Bar> = (0..TRAINED).map(|minute| walk.next(minute)).collect();
        store.write_bars(&history, &CancelToken::default()).unwrap();
    }
    let feed = Feed {
        prefix: String::new(),
        symbols: String::new(),
        policy: Policy::named("all").unwrap(),
        calendar: Calendar::ALWAYS,
    };
    let settings = ForecastSettings {
        names: Names::new("t"),
        group: "forecasts".to_owned(),
        bars: AggregatorSettings {
            intervals: vec![Interval::M1],
            emit_delay: 0,
            allowed_lateness: 900 * market::interval::SECOND,
            feeds: vec![feed],
        },
        cycle: 8_192,
        retrain_every: None,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
    };
    println!("{symbols} symbols, {} threads, memory before {} MiB", settings.threads, memory("VmRSS"));
    let (cancel, until_end) = (CancelToken::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let run =
            scope.spawn(|| pipeline::forecast::run(&topics, &store, &models, &settings, &cancel, &until_end));
        let last = walks.last().unwrap().symbol.clone();
        for minute in TRAINED..TRAINED + minutes {
            let bars: Vec<Bar> = walks.iter_mut().map(|walk| walk.next(minute)).collect();
            emit(&topics, &store, &bars);
            let (emitted, used) = (Instant::now(), processor_time());
            while !is_stored(&store, &last, minute) {
                assert!(!run.is_finished(), "the run ended early");
                std::thread::sleep(Duration::from_millis(20));
            }
            println!(
                "minute {}: {:.2} s, processor time {:.2} s, memory {} MiB",
                minute - TRAINED + 1,
                emitted.elapsed().as_secs_f64(),
                processor_time() - used,
                memory("VmRSS")
            );
        }
        cancel.cancel();
        println!("{:?}, peak memory {} MiB", run.join().unwrap().unwrap(), memory("VmHWM"));
    });
}
