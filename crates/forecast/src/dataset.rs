//! A series with everything models read from it, computed once. Row `t` uses bars up to and including `t` only.

use crate::feature::{self, WARMUP};
use crate::{ForecastError, Ohlcv, Series, Target, Task, clean, volatility};
use ndarray::Array2;
use std::ops::Range;

/// Decay of the RiskMetrics exponentially weighted variance (J.P. Morgan, 1996).
pub const EWMA_DECAY: f64 = 0.94;

/// Share of its recent mean below which a variance or range counts as this share: a bar without a tick has no
/// measurable variance, and its logarithm would be minus infinity.
const FLOOR_SHARE: f64 = 0.01;

/// Smallest variance of a bar, far below one tick of any traded price.
const MIN_VARIANCE: f64 = 1e-14;

/// Prepared input of all models.
#[derive(Debug, Clone)]
pub struct Dataset {
    series: Series,
    cut: Vec<usize>,
    /// Log return of each bar; 0 for the first.
    pub(crate) returns: Vec<f64>,
    /// Close-to-close variance of each bar, floored.
    pub(crate) variances: Vec<f64>,
    /// Log of high over low of each bar, floored.
    pub(crate) ranges: Vec<f64>,
    /// Exponentially weighted mean of squared returns up to each bar.
    pub(crate) ewma: Vec<f64>,
    /// Exponentially weighted mean of `variances` up to each bar.
    pub(crate) ewma_variance: Vec<f64>,
    /// Sum of `variances` up to, not including, each index; one longer than the series.
    cumulative: Vec<f64>,
    pub(crate) features: Array2<f64>,
    /// Bars after which a pattern of the day or week repeats.
    pub(crate) season: usize,
}

impl Dataset {
    /// Removes the bad prints of `series` and prepares it. `season` is the number of bars after which the
    /// calendar repeats: 5 for daily bars of a stock exchange, the bars of a session for shorter ones.
    ///
    /// # Errors
    /// [`ForecastError::TooShort`] if not a single row has its features, [`ForecastError::Constant`] and
    /// [`ForecastError::Halted`] for a series that does not move.
    pub fn new(series: &Series, season: usize) -> Result<Self, ForecastError> {
        Self::with_features(series, season, usize::MAX)
    }

    /// As [`Dataset::new`], with features of the last `rows` rows only.
    pub(crate) fn with_features(series: &Series, season: usize, rows: usize) -> Result<Self, ForecastError> {
        let needed = first_row(season) + 2;
        if season == 0 {
            let found = season.to_string();
            return Err(ForecastError::Option { option: "season", expected: "at least 1", found });
        }
        if series.len() < needed {
            let purpose = String::from("one row of features");
            return Err(ForecastError::TooShort { purpose, needed, found: series.len() });
        }
        series.check_movement()?;
        let (series, cut) = clean::cut_bad_prints(series)?;
        let mut data = Self::prepare(series, cut, season);
        data.features = feature::matrix(&data, data.len().saturating_sub(rows));
        Ok(data)
    }

    /// As [`Dataset::new`], but accepts a series that does not move and one too short for features: for
    /// [`Dataset::truth`] of forecasts that were made before.
    ///
    /// # Errors
    /// [`ForecastError::TooShort`] for an empty series.
    pub fn for_truths(series: &Series, season: usize) -> Result<Self, ForecastError> {
        if series.is_empty() {
            let purpose = String::from("a truth");
            return Err(ForecastError::TooShort { purpose, needed: 1, found: 0 });
        }
        let (series, cut) = clean::cut_bad_prints(series)?;
        Ok(Self::prepare(series, cut, season.max(1)))
    }

    fn prepare(series: Series, cut: Vec<usize>, season: usize) -> Self {
        let bars = series.bars();
        let pairs = || bars.windows(2);
        let first = &bars[0];
        let returns: Vec<f64> =
            std::iter::once(0.0).chain(pairs().map(|pair| (pair[1].close / pair[0].close).ln())).collect();
        let raw = std::iter::once(volatility::garman_klass(first))
            .chain(pairs().map(|pair| volatility::close_to_close(pair[0].close, &pair[1])));
        let variances = floored(raw, MIN_VARIANCE);
        let ranges = floored(bars.iter().map(|bar| (bar.high / bar.low).ln()), MIN_VARIANCE.sqrt());
        let squares = floored(returns.iter().map(|r| r * r).skip(1), MIN_VARIANCE);
        let mut ewma = vec![variances[0]];
        ewma.extend(smoothed(&squares, EWMA_DECAY));
        let ewma_variance = smoothed(&variances, EWMA_DECAY);
        let mut cumulative = vec![0.0];
        cumulative.extend(variances.iter().scan(0.0, |sum, v| {
            *sum += v;
            Some(*sum)
        }));
        let features = Array2::zeros((0, 0));
        Self { series, cut, returns, variances, ranges, ewma, ewma_variance, cumulative, features, season }
    }

    /// Indices of the bars whose wicks were cut as bad prints (see [`clean`]).
    #[must_use]
    pub fn cut_bars(&self) -> &[usize] {
        &self.cut
    }

    /// The bars, bad prints cut.
    #[must_use]
    pub fn bars(&self) -> &[Ohlcv] {
        self.series.bars()
    }

    /// Number of bars.
    #[must_use]
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether there are no bars; never true for a prepared series.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// First row with all its features.
    #[must_use]
    pub fn first_row(&self) -> usize {
        first_row(self.season)
    }

    /// Rows a model for `horizon` may be trained on when bars up to and including `known` are known: those whose truth
    /// is known at least `embargo` bars earlier. Purges every row whose truth reaches beyond.
    #[must_use]
    pub fn training_rows(&self, known: usize, horizon: usize, embargo: usize) -> Range<usize> {
        let end = (known + 1).saturating_sub(horizon + embargo);
        self.first_row()..end.max(self.first_row())
    }

    /// Realised value of `task` for the forecast made at the close of bar `origin`; `None` while its bars are missing.
    #[must_use]
    pub fn truth(&self, task: Task, origin: usize) -> Option<f64> {
        let last = origin + task.horizon;
        (last < self.len()).then(|| self.realised(task, last))
    }

    /// Value of `task` realised by the `horizon` bars that end with bar `last` (known at its close).
    pub(crate) fn realised(&self, task: Task, last: usize) -> f64 {
        let origin = last.saturating_sub(task.horizon);
        let bars = self.bars();
        match task.target {
            Target::Return => (bars[last].close / bars[origin].close).ln(),
            Target::Variance => self.variance_between(origin + 1, last + 1),
            Target::Range => {
                let after = &bars[(origin + 1).min(last)..=last];
                let high = after.iter().map(|bar| bar.high).fold(f64::MIN, f64::max);
                let low = after.iter().map(|bar| bar.low).fold(f64::MAX, f64::min);
                let floor = self.ranges[last].min(self.ranges[origin]);
                (high / low).ln().max(floor)
            }
        }
    }

    /// Sum of the variances of the bars `from..to`.
    pub(crate) fn variance_between(&self, from: usize, to: usize) -> f64 {
        // Differences of a running sum lose digits where a calm stretch follows a wild one: short sums are exact.
        if to.saturating_sub(from) <= 32 {
            return self.variances[from.min(to)..to].iter().sum();
        }
        (self.cumulative[to] - self.cumulative[from]).max(MIN_VARIANCE)
    }

    /// Standard deviation of the return over `horizon` bars, as known at bar `at`.
    pub(crate) fn return_scale(&self, at: usize, horizon: usize) -> f64 {
        (self.ewma_variance[at] * horizon as f64).sqrt()
    }
}

/// As [`Dataset::first_row`].
pub(crate) fn first_row(season: usize) -> usize {
    WARMUP.max(season + 1)
}

/// `values` with a floor at [`FLOOR_SHARE`] of their recent mean; causal.
fn floored(values: impl Iterator<Item = f64>, least: f64) -> Vec<f64> {
    let mut mean: Option<f64> = None;
    values
        .map(|value| {
            let floor = mean.map_or(least, |mean| (mean * FLOOR_SHARE).max(least));
            let value = value.max(floor);
            mean = Some(mean.map_or(value, |mean| 0.97 * mean + 0.03 * value));
            value
        })
        .collect()
}

/// Exponentially weighted mean up to and including each value. Starts with the plain mean of the values so
/// far, so that the first value does not dominate.
pub(crate) fn smoothed(values: &[f64], decay: f64) -> Vec<f64> {
    let mut mean = 0.0;
    let follow = |(index, value): (usize, &f64)| {
        let weight = (1.0 - decay).max(1.0 / (index + 1) as f64);
        mean += weight * (value - mean);
        mean
    };
    values.iter().enumerate().map(follow).collect()
}
