//! Bars to forecasts. Each new bar of a symbol and interval with a trained model is forecast when it closes; each
//! forecast is scored when the bars it was made for are final.
//!
//! No state is saved but the offsets: bars and forecasts are read back from the store. A forecast goes to the topic,
//! then to the store, then the offsets of its bars are committed. After a crash those bars are read again; what the
//! store has is not made again, so every forecast is in the store exactly once. On the topic it may be repeated, with
//! the same identity.
//!
//! One process of a group makes forecasts: the bars topic is partitioned by bar, not by symbol.

mod input;
mod retrain;
mod series;
mod settings;

pub use input::ohlcv;

use forecast::live::LiveModel;
use input::SeriesName;
use market::bar::Bar;
use market::codec::bar as codec;
use market::codec::json;
use market::interval::Interval;
use ports::batch::Partition;
use ports::cancel::{Backoff, CancelToken, retry};
use ports::forecast::ForecastRecord;
use ports::metrics::{METRICS, Port, TrainingOutcome};
use ports::store::Store;
use ports::topic::{Consumer, Fetched, Message, Producer, Topics};
use ports::{Error, Result, clock};
use retrain::{Job, Trainer};
use rustc_hash::FxHashMap;
use serde_json::Value;
use series::{ActiveModel, BarSeries, Output};
pub use settings::{ForecastSettings, ModelStore};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Result of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ForecastReport {
    /// Messages about bars with a model.
    pub bars: u64,
    /// Forecasts made.
    pub made: u64,
    /// Forecasts scored.
    pub scored: u64,
    /// Bars without a forecast because their series cannot be forecast: too short, constant, halted.
    pub refused: u64,
    /// Messages of the topic that are not bars.
    pub unreadable: u64,
    /// Trainings finished.
    pub trained: u64,
    /// Those whose result replaced the model in use.
    pub replaced: u64,
}

/// How long to wait for messages before other work is checked.
const WAIT: Duration = Duration::from_millis(20);
/// How often the backlog is checked.
const LOOK: Duration = Duration::from_millis(250);
/// How often new versions of models are looked for.
const REFRESH: Duration = Duration::from_secs(10);
/// Number of waiting bars from which they are processed, whatever the backlog.
const WAITING: usize = 200_000;
/// Number of forecasts written at once.
const AT_ONCE: usize = 8_192;
/// How long the topic may take to acknowledge before a warning is logged.
const FLUSH: Duration = Duration::from_secs(30);

/// Symbol, interval, feed.
type SeriesKey = (String, Interval, String);

struct ForecastWorker<'a> {
    store: &'a dyn Store,
    models: &'a dyn ModelStore,
    settings: &'a ForecastSettings,
    cancel: &'a CancelToken,
    producer: Box<dyn Producer>,
    /// By symbol and interval; `None` without a version. The number is that of the version.
    active: FxHashMap<(String, Interval), Option<(u32, ActiveModel)>>,
    series: BTreeMap<SeriesKey, BarSeries>,
    /// Bars that are not processed yet.
    waiting: BTreeMap<SeriesKey, Vec<Bar>>,
    waiting_bars: usize,
    next: FxHashMap<Partition, i64>,
    /// Whether `next` has moved since the last commit.
    is_uncommitted: bool,
    trainer: Trainer,
    report: ForecastReport,
}

/// Runs until cancelled or, if `until_end` is set, until every bar is processed.
///
/// # Errors
/// A permanent error of topic, store or models.
pub fn run(
    topics: &dyn Topics,
    store: &dyn Store,
    models: &dyn ModelStore,
    settings: &ForecastSettings,
    cancel: &CancelToken,
    until_end: &AtomicBool,
) -> Result<ForecastReport> {
    let bars = [settings.names.bars()];
    let mut consumer =
        retry(cancel, Port::Topic, "open a consumer", || topics.consumer(&settings.group, &bars))?;
    let mut worker = ForecastWorker {
        store,
        models,
        settings,
        cancel,
        producer: retry(cancel, Port::Topic, "open a producer", || topics.producer())?,
        active: FxHashMap::default(),
        series: BTreeMap::new(),
        waiting: BTreeMap::new(),
        waiting_bars: 0,
        next: FxHashMap::default(),
        is_uncommitted: false,
        trainer: Trainer::default(),
        report: ForecastReport::default(),
    };
    let (mut looked, mut refreshed) = (Instant::now(), Instant::now());
    let mut caught_up = false;
    while !cancel.is_cancelled() {
        let fetched = consumer.fetch(settings.cycle, WAIT, &mut |message| worker.take(message))?;
        for range in consumer.lost() {
            tracing::warn!("{}", range.describe(&bars));
            worker.next.insert(range.partition, range.resume);
        }
        if refreshed.elapsed() >= REFRESH {
            worker.refresh();
            refreshed = Instant::now();
        }
        worker.train(Duration::ZERO)?;
        if fetched > 0 && looked.elapsed() < LOOK && worker.waiting_bars < WAITING {
            continue;
        }
        looked = Instant::now();
        let ahead = match consumer.ahead(&|partition| worker.next.get(&partition).copied()) {
            Err(error) if error.retryable() => None,
            other => other?,
        };
        // Bars of one symbol are spread over the partitions: only at the end of all of them are they in order.
        caught_up = match ahead {
            Some(0) => true,
            Some(ahead) => caught_up && ahead <= settings.cycle as u64,
            None => caught_up,
        };
        if caught_up || worker.waiting_bars >= WAITING {
            worker.process(&mut *consumer)?;
        }
        if fetched == 0
            && until_end.load(Ordering::SeqCst)
            && consumer.is_at_end(&|partition| worker.next.get(&partition).copied())?
        {
            while !worker.trainer.is_idle() && !cancel.is_cancelled() {
                worker.train(LOOK)?;
            }
            break;
        }
    }
    worker.process(&mut *consumer)?;
    Ok(worker.report)
}

/// Interval, kind and symbol of a bar's message key: `SPY|lean.sip|trade|1m|2013-10-08T13:30:00Z`.
fn parse_key(key: &[u8]) -> Option<(&str, &str, &str)> {
    let mut parts = std::str::from_utf8(key).ok()?.rsplitn(5, '|');
    let (_start, interval, kind, _feed, symbol) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    Some((symbol, interval, kind))
}

impl ForecastWorker<'_> {
    fn take(&mut self, message: &dyn Fetched) {
        let (partition, offset) = (message.partition(), message.offset());
        let next = self.next.entry(partition).or_insert(i64::MIN);
        if offset < *next {
            return;
        }
        *next = offset + 1;
        self.is_uncommitted = true;
        // Most bars have no model: they are not decoded.
        let Some((symbol, interval, kind)) = parse_key(message.key()) else {
            self.report.unreadable += 1;
            return;
        };
        let Ok(interval) = interval.parse::<Interval>() else {
            self.report.unreadable += 1;
            return;
        };
        if kind != market::Kind::TRADE.name() || !self.has_model(symbol, interval) {
            return;
        }
        match codec::from_json(message.payload()) {
            Ok(bar) => {
                self.report.bars += 1;
                self.waiting_bars += 1;
                let key = (bar.symbol.clone(), bar.interval, bar.feed.clone());
                self.waiting.entry(key).or_default().push(bar);
            }
            Err(reason) => {
                tracing::debug!("a message of the bars topic is not a bar: {reason}");
                self.report.unreadable += 1;
            }
        }
    }

    fn has_model(&mut self, symbol: &str, interval: Interval) -> bool {
        let key = (symbol.to_owned(), interval);
        if let Some(known) = self.active.get(&key) {
            return known.is_some();
        }
        let found = match load(self.models, symbol, interval, None) {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!("{error}; {symbol} {interval} is not forecast until there is a newer version");
                None
            }
        };
        let has = found.is_some();
        self.active.insert(key, found);
        has
    }

    /// Looks for new versions of the models, and for models of series that had none.
    fn refresh(&mut self) {
        for ((symbol, interval), model) in &mut self.active {
            let number = model.as_ref().map(|(number, _)| *number);
            match load(self.models, symbol, *interval, number) {
                Ok(Some(newer)) => {
                    tracing::info!(%symbol, %interval, "version {} of the model is in use", newer.0);
                    *model = Some(newer);
                }
                Ok(None) => {}
                Err(error) => tracing::debug!("{error}"),
            }
        }
    }

    /// Advances the trainings, waiting for the current one up to `wait`.
    fn train(&mut self, wait: Duration) -> Result<()> {
        let Some(outcome) = self.trainer.step(self.store, self.models, self.settings, wait)? else {
            return Ok(());
        };
        self.report.trained += 1;
        let result =
            if outcome.version.is_some() { TrainingOutcome::Replaced } else { TrainingOutcome::Kept };
        METRICS.forecasts.trained(result);
        if outcome.version.is_some() {
            self.report.replaced += 1;
            let (symbol, interval) = (outcome.job.symbol, outcome.job.interval);
            if let Some(newer) = load(self.models, &symbol, interval, None)? {
                self.active.insert((symbol, interval), Some(newer));
            }
        }
        Ok(())
    }

    /// Forecasts from the waiting bars and scores, writes the results and commits the offsets.
    fn process(&mut self, consumer: &mut dyn Consumer) -> Result<()> {
        if !self.waiting.is_empty() {
            let records = self.forecast()?;
            for piece in records.chunks(AT_ONCE) {
                self.write(piece)?;
            }
        }
        if !std::mem::take(&mut self.is_uncommitted) {
            return Ok(());
        }
        let offsets: Vec<(Partition, i64)> =
            self.next.iter().map(|(partition, next)| (*partition, *next)).collect();
        match consumer.commit(&offsets, true) {
            Err(error) if error.retryable() => tracing::info!("{error}; the same bars will be read again"),
            other => other?,
        }
        Ok(())
    }

    /// Processes the series of the waiting bars, on several threads. Returns what is to be written.
    fn forecast(&mut self) -> Result<Vec<ForecastRecord>> {
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting_bars = 0;
        let mut tasks = Vec::new();
        for (key, bars) in waiting {
            let series = match self.series.remove(&key) {
                Some(series) => Some(series),
                None => self.load_series(&key, &bars)?,
            };
            let Some(mut series) = series else { continue };
            for bar in &bars {
                series.update(bar);
            }
            tasks.push(series);
        }
        let pieces = tasks.len().div_ceil(self.settings.threads.max(1)).max(1);
        let (active, retrain) = (&self.active, self.settings.retrain_every);
        let outputs: Vec<Output> = std::thread::scope(|scope| {
            let each = |series: &mut BarSeries| {
                let key = (series.symbol.clone(), series.interval);
                let model = active.get(&key).and_then(Option::as_ref);
                model.map(|(_, model)| series.process(model, retrain)).unwrap_or_default()
            };
            let threads: Vec<_> = tasks
                .chunks_mut(pieces)
                .map(|piece| scope.spawn(move || piece.iter_mut().map(each).collect::<Vec<_>>()))
                .collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, Vec<Output>>| {
                thread.join().map_err(|_| Error::internal("a forecast thread panicked"))
            };
            threads.into_iter().map(join).collect::<Result<Vec<_>>>()
        })?
        .into_iter()
        .flatten()
        .collect();
        let mut records = Vec::new();
        for (series, output) in tasks.into_iter().zip(outputs) {
            self.report.made += output.made;
            self.report.scored += output.scored;
            self.report.refused += output.refused;
            METRICS.forecasts.processed(output.made, output.scored, output.refused);
            if let Some(at) = output.retrain_at {
                let (symbol, interval, feed) = (series.symbol.clone(), series.interval, series.feed.clone());
                self.trainer.schedule(Job { symbol, interval, feed, at });
            }
            self.series.insert((series.symbol.clone(), series.interval, series.feed.clone()), series);
            records.extend(output.forecasts);
        }
        Ok(records)
    }

    fn load_series(&self, key: &SeriesKey, bars: &[Bar]) -> Result<Option<BarSeries>> {
        let (symbol, interval, feed) = key;
        let Some(Some((_, model))) = self.active.get(&(symbol.clone(), *interval)) else { return Ok(None) };
        let Some(first) = bars.iter().map(|bar| bar.start).min() else { return Ok(None) };
        let name = SeriesName { symbol, interval: *interval, feed };
        let calendar = self.settings.calendar(feed, symbol);
        let lateness = self.settings.bars.allowed_lateness;
        let load = || BarSeries::load(self.store, name, calendar, &model.live, first, lateness);
        retry(self.cancel, Port::Store, "read bars and forecasts", load).map(Some)
    }

    /// Publishes forecasts, then stores them.
    fn write(&mut self, forecasts: &[ForecastRecord]) -> Result<()> {
        let (topic, stamp_ms) = (self.settings.names.forecasts(), clock::now().millis());
        for forecast in forecasts {
            self.producer.send(&Message {
                topic: &topic,
                key: &forecast.symbol,
                headers: &[("kind", b"forecast"), ("schema", json::SCHEMA.as_bytes())],
                payload: Value::Object(forecast.to_json()).to_string().as_bytes(),
                stamp_ms,
            })?;
        }
        let mut backoff = Backoff::default();
        loop {
            let waiting = self.producer.flush(FLUSH)?;
            if waiting == 0 {
                break;
            }
            tracing::warn!(waiting, "waiting for the topic to acknowledge forecasts");
            if self.cancel.sleep(backoff.wait()) {
                return Err(Error::external(format!(
                    "{waiting} forecasts are not acknowledged by the topic"
                ))
                .hint("the next start makes and sends them again"));
            }
        }
        self.store.write_forecasts(forecasts, self.cancel)
    }
}

/// The newest version, if it is not the known one.
fn load(
    models: &dyn ModelStore,
    symbol: &str,
    interval: Interval,
    known: Option<u32>,
) -> Result<Option<(u32, ActiveModel)>> {
    let Some(number) = models.newest(symbol, interval)?.filter(|number| Some(*number) != known) else {
        return Ok(None);
    };
    let (bundle, digest) = models.load(symbol, interval, number)?;
    let version = format!("{number}-{}", digest.get(..12).unwrap_or(&digest));
    Ok(Some((number, ActiveModel { live: LiveModel::new(&bundle), version })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_bars_are_parsed_from_the_right() {
        assert_eq!(parse_key(b"SPY|lean.sip|trade|1m|2013-10-08T13:30:00Z"), Some(("SPY", "1m", "trade")));
        assert_eq!(parse_key(b"A|B|f|quote|1d|t"), Some(("A|B", "1d", "quote")));
        assert_eq!(parse_key(b"SPY"), None);
    }
}
