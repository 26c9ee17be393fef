//! A series with everything models read from it, computed once. Row `t` uses bars up to and including `t` only.

use crate::measures::{Measures, first_row};
use crate::{ForecastError, Ohlcv, Series, Target, Task, clean, feature};
use ndarray::Array2;
use std::ops::Range;

/// Prepared input of all models.
#[derive(Debug, Clone)]
pub struct Dataset {
    pub(crate) measures: Measures,
    pub(crate) features: Array2<f64>,
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
        let measures = Measures::new(series, cut, season);
        let features = feature::matrix(&measures, measures.len().saturating_sub(rows));
        Ok(Self { measures, features })
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
        let measures = Measures::new(series, cut, season.max(1));
        Ok(Self { measures, features: Array2::zeros((0, 0)) })
    }

    /// Indices of the bars whose wicks were cut as bad prints (see [`clean`]).
    #[must_use]
    pub fn cut_bars(&self) -> &[usize] {
        &self.measures.cut
    }

    /// The bars, bad prints cut.
    #[must_use]
    pub fn bars(&self) -> &[Ohlcv] {
        self.measures.bars()
    }

    /// Number of bars.
    #[must_use]
    pub fn len(&self) -> usize {
        self.measures.len()
    }

    /// Whether there are no bars; never true for a prepared series.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.measures.series.is_empty()
    }

    /// First row with all its features.
    #[must_use]
    pub fn first_row(&self) -> usize {
        self.measures.first_row()
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
                let floor = self.measures.ranges[last].min(self.measures.ranges[origin]);
                (high / low).ln().max(floor)
            }
        }
    }

    /// Sum of the variances of the bars `from..to`.
    pub(crate) fn variance_between(&self, from: usize, to: usize) -> f64 {
        self.measures.variance_between(from, to)
    }

    /// Standard deviation of the return over `horizon` bars, as known at bar `at`.
    pub(crate) fn return_scale(&self, at: usize, horizon: usize) -> f64 {
        self.measures.return_scale(at, horizon)
    }
}
