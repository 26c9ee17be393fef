//! Trains again on schedule, one series at a time in a thread of its own, and keeps the result only if it is better.

use super::input::{self, SeriesName};
use super::settings::{ForecastSettings, ModelStore};
use crossbeam_channel::{Receiver, TryRecvError};
use forecast::renewal::{Renewal, renew, same_options};
use forecast::{Bundle, Dataset, ForecastError, Series};
use market::UnixNanos;
use market::interval::Interval;
use ports::store::Store;
use ports::{Error, Result};
use std::collections::VecDeque;
use std::time::Duration;

/// Maximum number of series that wait; more are trained at a later schedule.
const WAITING: usize = 10_000;
/// Bars of the new training, as a multiple of those of the old one: the window moves, and may grow a little.
const GROWTH: usize = 2;

/// A series to train again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) symbol: String,
    pub(super) interval: Interval,
    pub(super) feed: String,
    /// Newest bar.
    pub(super) at: UnixNanos,
}

struct Training {
    job: Job,
    number: u32,
    result: Receiver<std::result::Result<Renewal, ForecastError>>,
}

/// Outcome of a training.
pub(super) struct Outcome {
    pub(super) job: Job,
    /// Number of the new version; `None` if the old one stays.
    pub(super) version: Option<u32>,
}

/// The trainings that wait, and the one in progress.
#[derive(Default)]
pub(super) struct Trainer {
    waiting: VecDeque<Job>,
    current: Option<Training>,
}

impl Trainer {
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.current.is_none()
    }

    pub(super) fn schedule(&mut self, job: Job) {
        let same = |other: &Job| (&other.symbol, other.interval) == (&job.symbol, job.interval);
        if self.waiting.iter().any(same) || self.current.as_ref().is_some_and(|now| same(&now.job)) {
            return;
        }
        if self.waiting.len() == WAITING {
            tracing::warn!(symbol = %job.symbol, "{WAITING} series wait for training; this one is skipped");
            return;
        }
        self.waiting.push_back(job);
    }

    /// Collects a finished training, and starts the next one. A running one is not waited for, unless `wait` is given.
    pub(super) fn step(
        &mut self,
        store: &dyn Store,
        models: &dyn ModelStore,
        settings: &ForecastSettings,
        wait: Duration,
    ) -> Result<Option<Outcome>> {
        if let Some(training) = &self.current {
            let received = if wait.is_zero() {
                training.result.try_recv()
            } else {
                training.result.recv_timeout(wait).map_err(|error| match error {
                    crossbeam_channel::RecvTimeoutError::Timeout => TryRecvError::Empty,
                    crossbeam_channel::RecvTimeoutError::Disconnected => TryRecvError::Disconnected,
                })
            };
            let renewal = match received {
                Err(TryRecvError::Empty) => return Ok(None),
                Err(TryRecvError::Disconnected) => {
                    return Err(Error::internal("the training thread panicked"));
                }
                Ok(renewal) => renewal,
            };
            let Some(Training { job, number, .. }) = self.current.take() else { return Ok(None) };
            return Ok(Some(conclude(job, number, renewal, models)));
        }
        while let Some(job) = self.waiting.pop_front() {
            match start(job.clone(), store, models, settings) {
                Ok(None) => {}
                Ok(training) => {
                    self.current = training;
                    break;
                }
                Err(error) if error.retryable() => {
                    tracing::warn!("{error}; training starts once the store is back");
                    self.waiting.push_front(job);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

fn start(
    job: Job,
    store: &dyn Store,
    models: &dyn ModelStore,
    settings: &ForecastSettings,
) -> Result<Option<Training>> {
    let Some(number) = models.newest(&job.symbol, job.interval)? else { return Ok(None) };
    let (old, _) = models.load(&job.symbol, job.interval, number)?;
    let calendar = settings.calendar(&job.feed, &job.symbol);
    let name = SeriesName { symbol: &job.symbol, interval: job.interval, feed: &job.feed };
    let most = old.meta.bars * GROWTH;
    let stored = input::stored(store, name, UnixNanos(job.at.0.saturating_add(1)), most)?;
    let finished = stored.iter().filter(|bar| bar.is_final && bar.start <= job.at);
    let mut bars: Vec<_> = finished.filter_map(|bar| input::ohlcv(calendar, bar)).collect();
    bars.drain(..bars.len().saturating_sub(most));
    let (sender, result) = crossbeam_channel::bounded(1);
    let train = move || {
        // Nobody receives it after the end of the run.
        let _ = sender.send(train(&old, bars));
    };
    std::thread::Builder::new()
        .name("forecast-train".to_owned())
        .spawn(train)
        .map_err(|error| Error::internal(format!("start the training thread: {error}")))?;
    Ok(Some(Training { job, number, result }))
}

fn train(old: &Bundle, bars: Vec<forecast::Ohlcv>) -> std::result::Result<Renewal, ForecastError> {
    let data = Dataset::new(&Series::new(bars)?, old.meta.season)?;
    renew(old, &data, &same_options(old), &mut |_| {})
}

fn conclude(
    job: Job,
    number: u32,
    renewal: std::result::Result<Renewal, ForecastError>,
    models: &dyn ModelStore,
) -> Outcome {
    let (symbol, interval) = (job.symbol.clone(), job.interval);
    let renewal = match renewal {
        Ok(renewal) => renewal,
        Err(error) => {
            tracing::warn!(%symbol, %interval, "trained again in vain, version {number} stays: {error}");
            return Outcome { job, version: None };
        }
    };
    let percent = renewal.gain().unwrap_or_default() * 100.0;
    if !renewal.is_better() {
        tracing::info!(%symbol, %interval, "trained again, version {number} stays: gain {percent:.2} %");
        return Outcome { job, version: None };
    }
    match models.save(&symbol, interval, &renewal.bundle) {
        Ok(version) => {
            tracing::info!(
                %symbol, %interval, "trained again, version {version} replaces {number}: gain {percent:.2} %"
            );
            Outcome { job, version: Some(version) }
        }
        Err(error) => {
            tracing::warn!(%symbol, %interval, "the new version could not be saved, {number} stays: {error}");
            Outcome { job, version: None }
        }
    }
}
