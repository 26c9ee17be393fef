//! Bars of a random walk, models in memory, and engines in a temporary folder.

use adapters::store::sqlite::SqliteStore;
use adapters::topic::sqlite::SqliteTopics;
use forecast::walk_forward::WalkOptions;
use forecast::{Bundle, Dataset, ModelKind, Series, Task};
use market::bar::{AggregatorSettings, Bar, Feed, TradeValues, Values};
use market::calendar::Calendar;
use market::interval::{Interval, MINUTE};
use market::policy::Policy;
use market::{Kind, Price, Size, UnixNanos};
use pipeline::forecast::{ForecastReport, ForecastSettings, ModelStore, ohlcv};
use pipeline::vendor_bars;
use ports::forecast::ForecastRecord;
use ports::store::{ForecastScan, Store};
use ports::topic::{Names, Topics};
use ports::{CancelToken, Result};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use tempfile::TempDir;

/// 2024-01-01T00:00:00Z.
pub(crate) const START: i64 = 1_704_067_200_000_000_000;
/// Bars that the models are trained on.
pub(crate) const TRAINED: usize = 700;
/// Bars after which the calendar repeats.
const SEASON: usize = 24;

/// Pseudo-random numbers from 0 to 1.
pub(crate) struct Uniform(pub(crate) u64);

impl Uniform {
    pub(crate) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as f64 / (1u64 << 31) as f64
    }
}

fn price(value: f64) -> Price {
    Price::parse(format!("{value:.6}").as_bytes()).unwrap()
}

pub(crate) fn bar(symbol: &str, minute: usize, [open, high, low, close]: [f64; 4], volume: u64) -> Bar {
    let values = TradeValues {
        ohlc: [open, high, low, close].map(price),
        volume: Size::parse(volume.to_string().as_bytes()).unwrap(),
        vwap: None,
        trades: 10,
    };
    Bar {
        kind: Kind::TRADE,
        symbol: symbol.to_owned(),
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

/// Minute bars whose volatility rises and falls; `spread` scales the moves of a minute.
pub(crate) fn walk(symbol: &str, minutes: usize, spread: impl Fn(usize) -> f64) -> Vec<Bar> {
    let (mut close, mut uniform) = (100.0, Uniform(7));
    let mut make = |minute: usize| {
        let scale = spread(minute) * (1.5 + (minute as f64 / 30.0).sin());
        let open = close;
        close = open * (1.0 + scale * (uniform.next() - 0.5));
        let high = f64::max(open, close) * (1.0 + scale * 0.5 * uniform.next());
        let low = f64::min(open, close) * (1.0 - scale * 0.5 * uniform.next());
        bar(symbol, minute, [open, high, low, close], 100 + minute as u64 % 7)
    };
    (0..minutes).map(&mut make).collect()
}

pub(crate) fn steady(symbol: &str, minutes: usize) -> Vec<Bar> {
    walk(symbol, minutes, |_| 0.004)
}

/// Trains on `bars` with quick models.
pub(crate) fn train(bars: &[Bar], kinds: &[ModelKind]) -> Bundle {
    let input = bars.iter().map(|bar| ohlcv(Calendar::ALWAYS, bar).unwrap()).collect();
    let data = Dataset::new(&Series::new(input).unwrap(), SEASON).unwrap();
    let options = WalkOptions {
        first_fit: 300,
        refit_every: 100,
        tasks: Task::all(&[1, 5]),
        kinds: kinds.to_vec(),
        ..WalkOptions::default()
    };
    Bundle::train(&data, &bars[0].symbol, "1m", &options, &mut |_| {}).unwrap()
}

pub(crate) const QUICK: [ModelKind; 4] =
    [ModelKind::RandomWalk, ModelKind::EwmaTarget, ModelKind::Har, ModelKind::Ridge];

/// Versions of models by symbol.
#[derive(Default)]
pub(crate) struct Models(pub(crate) Mutex<BTreeMap<String, Vec<Bundle>>>);

impl Models {
    pub(crate) fn of(symbol: &str, bundle: Bundle) -> Self {
        Self(Mutex::new(BTreeMap::from([(symbol.to_owned(), vec![bundle])])))
    }
}

impl ModelStore for Models {
    fn newest(&self, symbol: &str, interval: Interval) -> Result<Option<u32>> {
        let models = self.0.lock().unwrap();
        let count = models.get(symbol).filter(|_| interval == Interval::M1).map_or(0, Vec::len);
        Ok(u32::try_from(count).ok().filter(|count| *count > 0))
    }

    fn load(&self, symbol: &str, _: Interval, number: u32) -> Result<(Bundle, String)> {
        let models = self.0.lock().unwrap();
        Ok((models[symbol][number as usize - 1].clone(), "0123456789abcdef".to_owned()))
    }

    fn save(&self, symbol: &str, _: Interval, bundle: &Bundle) -> Result<u32> {
        let mut models = self.0.lock().unwrap();
        let versions = models.entry(symbol.to_owned()).or_default();
        versions.push(bundle.clone());
        Ok(u32::try_from(versions.len()).unwrap())
    }
}

pub(crate) struct Fixture {
    _dir: TempDir,
    pub(crate) topics: SqliteTopics,
    pub(crate) store: SqliteStore,
    pub(crate) names: Names,
    pub(crate) settings: ForecastSettings,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let topics = SqliteTopics::new(dir.path().join("topic.db"));
        let store = SqliteStore::new(dir.path().join("store.db"));
        let names = Names::new("t");
        topics.init(&names.specs(3)).unwrap();
        store.init().unwrap();
        let feed = Feed {
            prefix: String::new(),
            symbols: String::new(),
            policy: Policy::named("all").unwrap(),
            calendar: Calendar::ALWAYS,
        };
        let bars = AggregatorSettings {
            intervals: vec![Interval::M1],
            emit_delay: 0,
            allowed_lateness: 0,
            feeds: vec![feed],
        };
        let settings = ForecastSettings {
            names: names.clone(),
            group: "forecasts".to_owned(),
            bars,
            cycle: 1_000,
            retrain_every: None,
            threads: 2,
        };
        Self { _dir: dir, topics, store, names, settings }
    }

    /// Publishes bars and stores them, as `aggregate` does.
    pub(crate) fn emit(&self, bars: &[Bar]) {
        let mut producer = self.topics.producer().unwrap();
        for bar in bars {
            vendor_bars::send(bar, &self.names.bars(), 1, &mut *producer).unwrap();
        }
        assert_eq!(producer.flush(std::time::Duration::from_secs(30)).unwrap(), 0);
        self.store.write_bars(bars, &CancelToken::default()).unwrap();
    }

    /// Runs until the end of the topic.
    pub(crate) fn run(&self, models: &Models) -> ForecastReport {
        self.run_on(&self.store, models).unwrap()
    }

    pub(crate) fn run_on(&self, store: &dyn Store, models: &Models) -> Result<ForecastReport> {
        let (cancel, until_end) = (CancelToken::default(), AtomicBool::new(true));
        pipeline::forecast::run(&self.topics, store, models, &self.settings, &cancel, &until_end)
    }

    /// The forecasts of a symbol, oldest first.
    pub(crate) fn forecasts(&self, symbol: &str) -> Vec<ForecastRecord> {
        let scan = ForecastScan {
            symbol: symbol.to_owned(),
            interval: Interval::M1,
            feed: None,
            from: UnixNanos(i64::MIN),
            to: UnixNanos(i64::MAX),
        };
        let mut found = Vec::new();
        self.store
            .scan_forecasts(&scan, &mut |forecast| {
                found.push(forecast);
                ControlFlow::Continue(())
            })
            .unwrap();
        found.reverse();
        found
    }

    /// The messages of the forecasts topic.
    pub(crate) fn messages(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.topics
            .read_all(&[self.names.forecasts()], &mut |message| {
                found.push(String::from_utf8(message.payload().to_vec()).unwrap());
            })
            .unwrap();
        found
    }
}
