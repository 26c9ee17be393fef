//! All models behind one type: fit on what is known, forecast any later rows.

use crate::baseline::{ets::Ets, garch::Garch, har::Har, naive};
use crate::lstm::forecaster::{Epoch, Lstm, LstmOptions};
use crate::ridge::Ridge;
use crate::{Dataset, ForecastError, Target, Task, calibration};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Names of the models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelKind {
    /// No change.
    RandomWalk,
    /// Mean return of the past.
    Drift,
    /// The value one season earlier.
    Seasonal,
    /// RiskMetrics: exponentially weighted squared returns, decay 0.94.
    Ewma,
    /// The same weights over the quantity scored.
    EwmaTarget,
    /// Heterogeneous autoregression.
    Har,
    /// GARCH(1,1).
    Garch,
    /// Simple exponential smoothing.
    Ets,
    /// Ridge regression on all features.
    Ridge,
    /// Long short-term memory on windows of all features.
    Lstm,
    /// Mean of ridge and LSTM.
    Combination,
}

impl ModelKind {
    /// All models, baselines first.
    pub const ALL: [Self; 11] = [
        Self::RandomWalk,
        Self::Drift,
        Self::Seasonal,
        Self::Ewma,
        Self::EwmaTarget,
        Self::Har,
        Self::Garch,
        Self::Ets,
        Self::Ridge,
        Self::Lstm,
        Self::Combination,
    ];

    /// Short name.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::RandomWalk => "random_walk",
            Self::Drift => "drift",
            Self::Seasonal => "seasonal",
            Self::Ewma => "ewma",
            Self::EwmaTarget => "ewma_target",
            Self::Har => "har",
            Self::Garch => "garch",
            Self::Ets => "ets",
            Self::Ridge => "ridge",
            Self::Lstm => "lstm",
            Self::Combination => "combination",
        }
    }

    /// Model of a short name.
    #[must_use]
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.label() == label)
    }

    /// Whether it is one of the baselines that a model must beat.
    #[must_use]
    pub const fn is_baseline(self) -> bool {
        !matches!(self, Self::Ridge | Self::Lstm | Self::Combination)
    }

    /// Whether the baseline is an exponentially weighted mean with decay 0.94.
    #[must_use]
    pub const fn is_ewma(self) -> bool {
        matches!(self, Self::Ewma | Self::EwmaTarget)
    }

    /// Whether it forecasts `target`.
    #[must_use]
    pub const fn forecasts(self, target: Target) -> bool {
        match self {
            Self::RandomWalk | Self::Seasonal | Self::Ets | Self::Ridge | Self::Lstm | Self::Combination => {
                true
            }
            Self::Drift => matches!(target, Target::Return),
            Self::Ewma | Self::Garch => matches!(target, Target::Variance),
            Self::EwmaTarget | Self::Har => matches!(target, Target::Variance | Target::Range),
        }
    }
}

/// Smoother of one task: forecasts are the level times `factor` (positive targets) or the level itself (log price).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Smoother {
    /// Fitted on log variances, log ranges or log prices of single bars.
    pub ets: Ets,
    /// Carries the level to the horizon, see [`calibration::level`]; 1 for returns.
    pub factor: f64,
}

/// A fitted model. [`ModelKind::Combination`] has no parameters of its own and is not a variant.
#[derive(Debug, Clone, PartialEq)]
pub enum Model {
    /// See [`ModelKind::RandomWalk`].
    RandomWalk,
    /// See [`ModelKind::Drift`]; mean log return per bar.
    Drift(f64),
    /// See [`ModelKind::Seasonal`].
    Seasonal,
    /// See [`ModelKind::Ewma`].
    Ewma,
    /// See [`ModelKind::EwmaTarget`].
    EwmaTarget,
    /// See [`ModelKind::Har`].
    Har(Vec<(Task, Har)>),
    /// See [`ModelKind::Garch`].
    Garch(Garch),
    /// See [`ModelKind::Ets`].
    Ets(Vec<(Task, Smoother)>),
    /// See [`ModelKind::Ridge`].
    Ridge(Vec<(Task, Ridge)>),
    /// See [`ModelKind::Lstm`].
    Lstm(Box<Lstm>),
}

/// Input of a fit.
#[derive(Debug, Clone, Copy)]
pub struct FitInput<'a> {
    /// The data; rows after `known` are not read.
    pub data: &'a Dataset,
    /// Tasks to forecast.
    pub tasks: &'a [Task],
    /// Last bar known.
    pub known: usize,
    /// Bars between the last training truth and `known`.
    pub embargo: usize,
}

impl FitInput<'_> {
    fn rows(&self, horizon: usize) -> Range<usize> {
        self.data.training_rows(self.known, horizon, self.embargo)
    }

    fn each<T>(
        &self,
        kind: ModelKind,
        fit: impl Fn(Task, Range<usize>) -> Result<T, ForecastError>,
    ) -> Result<Vec<(Task, T)>, ForecastError> {
        let wanted = self.tasks.iter().filter(|task| kind.forecasts(task.target));
        wanted.map(|task| Ok((*task, fit(*task, self.rows(task.horizon))?))).collect()
    }
}

impl Model {
    /// Fits a model. `observe` is called after each epoch of a network.
    ///
    /// # Errors
    /// As for the model's own fit. [`ModelKind::Combination`] is [`ForecastError::Untrained`].
    pub fn fit(
        kind: ModelKind,
        input: FitInput<'_>,
        options: &LstmOptions,
        observe: &mut dyn FnMut(Epoch),
    ) -> Result<Self, ForecastError> {
        let FitInput { data, tasks, known, .. } = input;
        Ok(match kind {
            ModelKind::RandomWalk => Self::RandomWalk,
            ModelKind::Seasonal => Self::Seasonal,
            ModelKind::Ewma => Self::Ewma,
            ModelKind::EwmaTarget => Self::EwmaTarget,
            ModelKind::Drift => Self::Drift(naive::mean_return(data, known)),
            ModelKind::Har => Self::Har(input.each(kind, |task, rows| Har::fit(data, task, rows))?),
            ModelKind::Garch => Self::Garch(Garch::fit(&data.measures.returns[1..=known])?),
            ModelKind::Ets => {
                Self::Ets(input.each(kind, |task, rows| fit_smoother(data, task, rows, known))?)
            }
            ModelKind::Ridge => Self::Ridge(input.each(kind, |task, rows| Ridge::fit(data, task, rows))?),
            ModelKind::Lstm => {
                let longest = tasks.iter().map(|task| task.horizon).max().unwrap_or(1);
                let rows = input.rows(longest);
                Self::Lstm(Box::new(Lstm::fit(data, tasks, rows, options, observe)?))
            }
            ModelKind::Combination => {
                return Err(ForecastError::Untrained { model: kind.label(), task: String::from("anything") });
            }
        })
    }

    /// Its name.
    #[must_use]
    pub const fn kind(&self) -> ModelKind {
        match self {
            Self::RandomWalk => ModelKind::RandomWalk,
            Self::Drift(_) => ModelKind::Drift,
            Self::Seasonal => ModelKind::Seasonal,
            Self::Ewma => ModelKind::Ewma,
            Self::EwmaTarget => ModelKind::EwmaTarget,
            Self::Har(_) => ModelKind::Har,
            Self::Garch(_) => ModelKind::Garch,
            Self::Ets(_) => ModelKind::Ets,
            Self::Ridge(_) => ModelKind::Ridge,
            Self::Lstm(_) => ModelKind::Lstm,
        }
    }

    /// Forecasts of `tasks` (those it supports) made at the close of each of `rows`.
    ///
    /// # Errors
    /// [`ForecastError::Untrained`] for a task it was not fitted for.
    pub fn forecast(
        &self,
        data: &Dataset,
        tasks: &[Task],
        rows: &Range<usize>,
    ) -> Result<Vec<(Task, Vec<f64>)>, ForecastError> {
        let kind = self.kind();
        let wanted = tasks.iter().filter(|task| kind.forecasts(task.target));
        if kind.is_baseline() {
            return wanted.map(|task| Ok((*task, self.forecast_task(data, *task, rows.clone())?))).collect();
        }
        let from = self.first_row(data).max(rows.start.saturating_sub(calibration::HISTORY)).min(rows.start);
        let early = from..rows.end;
        let network =
            if let Self::Lstm(lstm) = self { lstm.forecast(data, early.clone()) } else { Vec::new() };
        wanted
            .map(|task| {
                let raw = match self {
                    Self::Lstm(lstm) => {
                        let at = lstm.tasks.iter().position(|known| known == task);
                        network[at.ok_or_else(|| untrained(kind, *task))?].clone()
                    }
                    _ => self.forecast_task(data, *task, early.clone())?,
                };
                Ok((*task, calibration::track_level(data, *task, from, rows, &raw)))
            })
            .collect()
    }

    /// First row it can forecast.
    fn first_row(&self, data: &Dataset) -> usize {
        data.first_row() + if let Self::Lstm(lstm) = self { lstm.window - 1 } else { 0 }
    }

    fn forecast_task(
        &self,
        data: &Dataset,
        task: Task,
        rows: Range<usize>,
    ) -> Result<Vec<f64>, ForecastError> {
        let kind = self.kind();
        Ok(match self {
            Self::RandomWalk => naive::random_walk(data, task, rows),
            Self::Drift(mean) => vec![mean * task.horizon as f64; rows.len()],
            Self::Seasonal => naive::seasonal(data, task, rows),
            Self::Ewma => naive::ewma(data, task, rows),
            Self::EwmaTarget => naive::ewma_of_target(data, task, rows),
            Self::Har(fits) => find(fits, kind, task)?.forecast(data, task, rows),
            Self::Garch(garch) => {
                let next = garch.filter(&data.measures.returns[1..rows.end]);
                rows.map(|t| garch.horizon_variance(next[t - 1], task.horizon)).collect()
            }
            Self::Ets(fits) => {
                let smoother = find(fits, kind, task)?;
                let values = smoothed_values(data, task.target, rows.end);
                let levels = smoother.ets.levels(&values);
                rows.map(|t| forecast_level(task, levels[t], values[t], smoother.factor)).collect()
            }
            Self::Ridge(fits) => find(fits, kind, task)?.forecast(data, task, rows),
            Self::Lstm(_) => return Err(untrained(kind, task)),
        })
    }
}

/// Mean of several forecasts of one task.
#[must_use]
pub fn combine(forecasts: &[&[f64]]) -> Vec<f64> {
    let length = forecasts.iter().map(|values| values.len()).min().unwrap_or(0);
    let mean = |t: usize| forecasts.iter().map(|values| values[t]).sum::<f64>() / forecasts.len() as f64;
    (0..length).map(mean).collect()
}

fn fit_smoother(
    data: &Dataset,
    task: Task,
    rows: Range<usize>,
    known: usize,
) -> Result<Smoother, ForecastError> {
    let values = smoothed_values(data, task.target, known + 1);
    let ets = Ets::fit(&values)?;
    if !task.target.is_positive() {
        return Ok(Smoother { ets, factor: 1.0 });
    }
    let levels = ets.levels(&values);
    let truths: Vec<f64> = rows.clone().filter_map(|t| data.truth(task, t)).collect();
    let forecasts: Vec<f64> = rows.map(|t| scaled_level(task, levels[t])).collect();
    if truths.is_empty() {
        let purpose = format!("exponential smoothing of {task}");
        return Err(ForecastError::TooShort { purpose, needed: known + 2 + task.horizon, found: known + 1 });
    }
    Ok(Smoother { ets, factor: calibration::level(task, &truths, &forecasts) })
}

fn smoothed_values(data: &Dataset, target: Target, end: usize) -> Vec<f64> {
    match target {
        Target::Return => data.bars()[..end].iter().map(|bar| bar.close.ln()).collect(),
        Target::Variance => data.measures.variances[..end].iter().map(|v| v.ln()).collect(),
        Target::Range => data.measures.ranges[..end].iter().map(|r| r.ln()).collect(),
    }
}

fn forecast_level(task: Task, level: f64, value: f64, factor: f64) -> f64 {
    if task.target.is_positive() { scaled_level(task, level) * factor } else { level - value }
}

/// A log variance or log range of one bar, as one of the horizon.
fn scaled_level(task: Task, level: f64) -> f64 {
    let bars = task.horizon as f64;
    level.exp() * if task.target == Target::Variance { bars } else { bars.sqrt() }
}

fn find<T>(fits: &[(Task, T)], kind: ModelKind, task: Task) -> Result<&T, ForecastError> {
    fits.iter().find(|(known, _)| *known == task).map(|(_, fit)| fit).ok_or_else(|| untrained(kind, task))
}

fn untrained(kind: ModelKind, task: Task) -> ForecastError {
    ForecastError::Untrained { model: kind.label(), task: task.to_string() }
}
