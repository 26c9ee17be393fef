//! Interruptions at every point where something becomes durable.

use crate::fixture::{Fixture, Models, QUICK, TRAINED, steady, train};
use adapters::store::sqlite::SqliteStore;
use market::bar::Bar;
use market::interval::Interval;
use ports::check::Chain;
use ports::forecast::ForecastRecord;
use ports::store::{
    BarScan, BarSink, Counts, DirectoryEntry, ForecastScan, ForecastSink, Scan, Sink, Store, Writer,
};
use ports::{CancelToken, Error, Result};

/// Stores a part of the forecasts, then fails.
struct Failing<'a> {
    store: &'a SqliteStore,
    /// Share of the forecasts that are stored, in quarters.
    quarters: usize,
}

impl Store for Failing<'_> {
    fn init(&self) -> Result<Vec<String>> {
        self.store.init()
    }
    fn writer(&self, stop: &CancelToken) -> Result<Box<dyn Writer>> {
        self.store.writer(stop)
    }
    fn count(&self) -> Result<Counts> {
        self.store.count()
    }
    fn directory(&self) -> Result<Vec<DirectoryEntry>> {
        self.store.directory()
    }
    fn scan(&self, scan: &Scan, sink: Sink<'_>) -> Result<()> {
        self.store.scan(scan, sink)
    }
    fn write_bars(&self, bars: &[Bar], stop: &CancelToken) -> Result<()> {
        self.store.write_bars(bars, stop)
    }
    fn scan_bars(&self, scan: &BarScan, sink: BarSink<'_>) -> Result<()> {
        self.store.scan_bars(scan, sink)
    }
    fn bar_series(&self) -> Result<Vec<ports::store::BarSeries>> {
        self.store.bar_series()
    }
    fn write_forecasts(&self, forecasts: &[ForecastRecord], stop: &CancelToken) -> Result<()> {
        self.store.write_forecasts(&forecasts[..forecasts.len() * self.quarters / 4], stop)?;
        Err(Error::internal("killed"))
    }
    fn scan_forecasts(&self, scan: &ForecastScan, sink: ForecastSink<'_>) -> Result<()> {
        self.store.scan_forecasts(scan, sink)
    }
    fn forecast_series(&self) -> Result<Vec<(String, Interval)>> {
        self.store.forecast_series()
    }
    fn check(&self) -> Chain {
        self.store.check()
    }
    fn describe(&self) -> String {
        self.store.describe()
    }
}

#[test]
fn a_crash_before_within_or_after_a_write_changes_no_forecast() {
    let bars = steady("XYZ", TRAINED + 120);
    let models = Models::of("XYZ", train(&bars[..TRAINED], &QUICK));
    let whole = Fixture::new();
    whole.emit(&bars);
    whole.run(&models);
    let expected = whole.forecasts("XYZ");

    let fixture = Fixture::new();
    fixture.emit(&bars[..TRAINED]);
    for (round, piece) in bars[TRAINED..].chunks(15).enumerate() {
        fixture.emit(piece);
        // 0: after the topic; 4: after the store, before the offsets.
        let failing = Failing { store: &fixture.store, quarters: round % 5 };
        let error = fixture.run_on(&failing, &models).unwrap_err().to_string();
        assert!(error.contains("killed"), "{error}");
        // Every second time the next start has more to do.
        if round % 2 == 0 {
            fixture.run(&models);
        }
    }
    fixture.run(&models);
    assert_eq!(fixture.forecasts("XYZ"), expected);
    // Each message is one of those of the uninterrupted run: repeated, but never another.
    let known = whole.messages();
    let found = fixture.messages();
    assert!(found.len() > known.len() && found.iter().all(|message| known.contains(message)));
}
