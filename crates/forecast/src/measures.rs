//! What is measured of a series once: returns, variances and ranges. Index `t` uses bars up to and including `t` only.

use crate::{Ohlcv, Series, volatility};

/// Bars before the first row with all its features: the longest window.
pub(crate) const WARMUP: usize = 66;

/// Decay of the RiskMetrics exponentially weighted variance (J.P. Morgan, 1996).
pub(crate) const EWMA_DECAY: f64 = 0.94;

/// Share of its recent mean below which a variance or range counts as this share: a bar without a tick has no
/// measurable variance, and its logarithm would be minus infinity.
const FLOOR_SHARE: f64 = 0.01;

/// Smallest variance of a bar, far below one tick of any traded price.
const MIN_VARIANCE: f64 = 1e-14;

/// A series and what is measured of it.
#[derive(Debug, Clone)]
pub(crate) struct Measures {
    pub(crate) series: Series,
    pub(crate) cut: Vec<usize>,
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
    /// Bars after which a pattern of the day or week repeats.
    pub(crate) season: usize,
}

impl Measures {
    /// Measures a series whose bad prints are cut; `cut` are their bars.
    pub(crate) fn new(series: Series, cut: Vec<usize>, season: usize) -> Self {
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
        Self { series, cut, returns, variances, ranges, ewma, ewma_variance, cumulative, season }
    }

    /// The bars, bad prints cut.
    pub(crate) fn bars(&self) -> &[Ohlcv] {
        self.series.bars()
    }

    /// Number of bars.
    pub(crate) fn len(&self) -> usize {
        self.series.len()
    }

    /// First row with all its features.
    pub(crate) fn first_row(&self) -> usize {
        first_row(self.season)
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

/// As [`Measures::first_row`].
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
