//! The bars of one symbol, interval and feed, and its forecasts without a score.

use super::input::{self, SeriesName};
use forecast::live::{LiveModel, losses};
use forecast::split::{self, SuspectedSplit};
use forecast::{Dataset, ForecastError, Ohlcv, Series, Target, Task};
use market::UnixNanos;
use market::bar::Bar;
use market::calendar::Calendar;
use market::interval::Interval;
use ports::Result;
use ports::forecast::{ForecastRecord, ForecastScore};
use ports::store::{ForecastScan, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

/// Number of bars kept besides those that a forecast reads: bars may become final this much later than newer ones
/// are emitted.
const SLACK: usize = 64;

/// A bar, and where it ends.
#[derive(Debug, Clone, Copy)]
struct KnownBar {
    start: i64,
    end: i64,
    ohlcv: Ohlcv,
    is_final: bool,
}

/// A model in use.
pub(super) struct ActiveModel {
    pub(super) live: LiveModel,
    /// Version number and the start of the digest.
    pub(super) version: String,
}

/// What processing a series yielded.
#[derive(Default)]
pub(super) struct Output {
    /// Forecasts to write, in order.
    pub(super) forecasts: Vec<ForecastRecord>,
    pub(super) made: u64,
    pub(super) scored: u64,
    /// Bars without a forecast, because the series cannot be forecast.
    pub(super) refused: u64,
    /// The bar at which a retraining is scheduled.
    pub(super) retrain_at: Option<UnixNanos>,
}

/// State of one series. It can be derived from the store at any time.
pub(super) struct BarSeries {
    pub(super) symbol: String,
    pub(super) interval: Interval,
    pub(super) feed: String,
    pub(super) calendar: Calendar,
    /// Ascending.
    bars: Vec<KnownBar>,
    /// Forecasts without a score, by time and task.
    unscored: BTreeMap<(i64, Task), ForecastRecord>,
    /// Time and task of the forecasts made from `made_from` on, scored ones included.
    made: BTreeSet<(i64, Task)>,
    /// Bars that end earlier are not forecast any more: what was made of them is not in memory.
    made_from: i64,
    /// Starts of bars that were emitted since the last processing.
    news: BTreeSet<i64>,
    /// Why the last bar had no forecast.
    refusal: Option<String>,
}

impl BarSeries {
    /// Reads the bars before the first of `news`, those since, and the newest forecasts.
    pub(super) fn load(
        store: &dyn Store,
        name: SeriesName<'_>,
        calendar: Calendar,
        model: &LiveModel,
        first_news: UnixNanos,
        allowed_lateness: i64,
    ) -> Result<Self> {
        let mut series = Self {
            symbol: name.symbol.to_owned(),
            interval: name.interval,
            feed: name.feed.to_owned(),
            calendar,
            bars: Vec::new(),
            unscored: BTreeMap::new(),
            made: BTreeSet::new(),
            made_from: i64::MIN,
            news: BTreeSet::new(),
            refusal: None,
        };
        for bar in input::stored(store, name, first_news, model.history() + model.longest_horizon() + SLACK)?
        {
            series.update(&bar);
        }
        series.news.clear();
        series.read_forecasts(store, model, first_news, allowed_lateness)?;
        Ok(series)
    }

    fn read_forecasts(
        &mut self,
        store: &dyn Store,
        model: &LiveModel,
        first_news: UnixNanos,
        allowed_lateness: i64,
    ) -> Result<()> {
        let known = self.bars.partition_point(|bar| bar.start < first_news.0);
        let back = known.saturating_sub(model.longest_horizon() + SLACK);
        let from = self.bars.get(back).map_or(first_news.0, |bar| bar.end);
        self.made_from = from.min(first_news.0.saturating_sub(allowed_lateness));
        let scan = ForecastScan {
            symbol: self.symbol.clone(),
            interval: self.interval,
            feed: Some(self.feed.clone()),
            from: UnixNanos(self.made_from).max(market::record::EARLIEST),
            to: input::end(),
        };
        store.scan_forecasts(&scan, &mut |forecast| {
            if let Some(task) = task(&forecast) {
                self.made.insert((forecast.made_at.0, task));
                if forecast.score.is_none() {
                    self.unscored.insert((forecast.made_at.0, task), forecast);
                }
            }
            ControlFlow::Continue(())
        })
    }

    /// Takes an emitted bar.
    pub(super) fn update(&mut self, bar: &Bar) {
        let start = bar.start.0;
        let place = match self.bars.last() {
            Some(last) if last.start < start => Err(self.bars.len()),
            _ => self.bars.binary_search_by_key(&start, |known| known.start),
        };
        let Some(ohlcv) = input::ohlcv(self.calendar, bar) else {
            // All prints of the bar were canceled.
            if let Ok(at) = place {
                self.bars.remove(at);
            }
            self.news.remove(&start);
            return;
        };
        let end = self.interval.bounds(start, &self.calendar.day(bar.start)).1;
        let known = KnownBar { start, end, ohlcv, is_final: bar.is_final };
        match place {
            // The store may be ahead of the topic: a final bar does not change again.
            Ok(at) if self.bars[at].is_final && !bar.is_final => {}
            Ok(at) => self.bars[at] = known,
            Err(at) => self.bars.insert(at, known),
        }
        self.news.insert(start);
    }

    /// Forecasts from every new bar that closed after the model's training, and scores those whose truth is final.
    /// `retrain` is the time between trainings, if any.
    pub(super) fn process(&mut self, model: &ActiveModel, retrain: Option<i64>) -> Output {
        let mut out = Output::default();
        for start in std::mem::take(&mut self.news) {
            let Ok(at) = self.bars.binary_search_by_key(&start, |bar| bar.start) else { continue };
            let bar = self.bars[at];
            // A bar that the model was trained on would be forecast in hindsight.
            let is_new = bar.end >= self.made_from && bar.ohlcv.start_ns > model.live.meta().last_ns;
            if is_new && self.lacks_forecasts(bar.end, model) {
                self.forecast(at, model, &mut out);
                if let Some(every) = retrain
                    && self.crosses(at, model.live.meta().last_ns, every)
                {
                    out.retrain_at = Some(UnixNanos(bar.start));
                }
            }
        }
        self.score(model, &mut out);
        self.drop_old(model);
        out
    }

    /// Whether a task of a bar has no forecast: all of a new bar, and some after a crash within a write.
    fn lacks_forecasts(&self, end: i64, model: &ActiveModel) -> bool {
        model.live.tasks().any(|task| !self.made.contains(&(end, task)))
    }

    /// Drops the bars that are not read again, and forecasts whose bars are gone.
    fn drop_old(&mut self, model: &ActiveModel) {
        let recent = self.bars.len().saturating_sub(model.live.longest_horizon() + 2 * SLACK);
        if recent > 0
            && let Some(bar) = self.bars.get(recent)
        {
            self.made_from = self.made_from.max(bar.end);
            self.made.retain(|(made_at, _)| *made_at >= self.made_from);
        }
        if let Some(first) = self.bars.first() {
            self.unscored.retain(|(made_at, _), _| *made_at >= first.end);
        }
        let kept = model.live.history() + model.live.longest_horizon() + 2 * SLACK;
        // The oldest forecast without a score keeps its bars.
        let needed = self.unscored.first_key_value().map_or(usize::MAX, |((made_at, _), _)| {
            self.bars.partition_point(|bar| bar.end < *made_at).saturating_sub(model.live.history())
        });
        let spare = self.bars.len().saturating_sub(kept).min(needed);
        if spare > SLACK {
            self.bars.drain(..spare);
        }
    }

    /// Whether a multiple of `every` since the training lies between this bar and the one before.
    fn crosses(&self, at: usize, trained_ns: i64, every: i64) -> bool {
        let multiple = |at: usize| (self.bars[at].ohlcv.start_ns - trained_ns).div_euclid(every);
        at > 0 && multiple(at) > 0 && multiple(at) > multiple(at - 1)
    }

    /// The bars up to and including `at` that a forecast reads.
    fn window(&self, at: usize, model: &ActiveModel) -> std::result::Result<Series, ForecastError> {
        let from = (at + 1).saturating_sub(model.live.history());
        Series::new(self.bars[from..=at].iter().map(|bar| bar.ohlcv).collect())
    }

    fn forecast(&mut self, at: usize, model: &ActiveModel, out: &mut Output) {
        if let Some(split) = self.suspected_split(at) {
            tracing::warn!(
                symbol = %self.symbol, interval = %self.interval, bar = %UnixNanos(self.bars[at].start),
                "the price jumps by a factor of {}: if it is a split, forecasts are wrong until the models are trained on \
                 adjusted bars", split.ratio
            );
        }
        let window = self.window(at, model).and_then(|series| model.live.prepare(&series));
        let made = window.and_then(|data| {
            let forecasts = model.live.forecast(&data)?;
            Ok(forecasts.iter().map(|forecast| self.record(at, forecast, model)).collect::<Vec<_>>())
        });
        match made {
            Ok(records) => {
                if self.refusal.take().is_some() {
                    tracing::info!(symbol = %self.symbol, interval = %self.interval, "forecasts resumed");
                }
                for record in records {
                    let Some(task) = task(&record) else { continue };
                    let key = (record.made_at.0, task);
                    if self.made.insert(key) {
                        out.made += 1;
                        out.forecasts.push(record.clone());
                        self.unscored.insert(key, record);
                    }
                }
            }
            Err(error) => {
                out.refused += 1;
                // Once per cause, not per bar: the counts in these messages change with every bar.
                let cause = format!("{:?}", std::mem::discriminant(&error));
                if self.refusal.as_ref() != Some(&cause) {
                    tracing::warn!(symbol = %self.symbol, interval = %self.interval, "no forecast: {error}");
                    self.refusal = Some(cause);
                }
            }
        }
    }

    /// Bars are read as they are stored, not adjusted.
    fn suspected_split(&self, at: usize) -> Option<SuspectedSplit> {
        let from = at.saturating_sub(SLACK);
        let bars: Vec<Ohlcv> = self.bars[from..=at].iter().map(|bar| bar.ohlcv).collect();
        split::suspected_at(&bars, at - from)
    }

    fn record(
        &self,
        at: usize,
        forecast: &forecast::live::LiveForecast<'_>,
        model: &ActiveModel,
    ) -> ForecastRecord {
        let target = forecast.task.target;
        let bar = self.bars[at];
        ForecastRecord {
            symbol: self.symbol.clone(),
            interval: self.interval,
            feed: self.feed.clone(),
            made_at: UnixNanos(bar.end),
            target: target.label().to_owned(),
            horizon: u32::try_from(forecast.task.horizon).unwrap_or(u32::MAX),
            model: forecast.kind.label().to_owned(),
            version: model.version.clone(),
            verdict: forecast.verdict.to_owned(),
            close: bar.ohlcv.close,
            point: target.shown(forecast.point),
            bounds: forecast.bounds.map(|all| all.map(|ends| ends.map(|end| target.shown(end)))),
            baseline: target.shown(forecast.baseline),
            score: None,
        }
    }

    /// Scores the forecasts whose last bar is final.
    fn score(&mut self, model: &ActiveModel, out: &mut Output) {
        let mut complete: BTreeMap<usize, Vec<(i64, Task)>> = BTreeMap::new();
        for (made_at, task) in self.unscored.keys() {
            let Ok(origin) = self.bars.binary_search_by_key(made_at, |bar| bar.end) else { continue };
            let last = origin + task.horizon;
            if self.bars.get(last).is_some_and(|bar| bar.is_final) {
                complete.entry(last).or_default().push((*made_at, *task));
            }
        }
        for (last, keys) in complete {
            let season = model.live.meta().season;
            let Ok(data) = self.window(last, model).and_then(|series| Dataset::for_truths(&series, season))
            else {
                continue;
            };
            for key in keys {
                let (_, task) = key;
                let Some(origin) = (data.len() - 1).checked_sub(task.horizon) else { continue };
                let Some(truth) = data.truth(task, origin) else { continue };
                let Some(mut record) = self.unscored.remove(&key) else { continue };
                let truth = task.target.shown(truth);
                let (loss, baseline_loss) = losses(task, truth, record.point, record.baseline);
                let settled_at = UnixNanos(self.bars[last].end);
                record.score = Some(ForecastScore { truth, settled_at, loss, baseline_loss });
                out.scored += 1;
                out.forecasts.push(record);
            }
        }
    }
}

/// The task of a stored forecast; `None` if this version knows no such target.
fn task(forecast: &ForecastRecord) -> Option<Task> {
    let target = Target::ALL.into_iter().find(|target| target.label() == forecast.target)?;
    Some(Task { target, horizon: usize::try_from(forecast.horizon).ok()? })
}
