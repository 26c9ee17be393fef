//! Walk-forward evaluation: fit on the past, forecast the next stretch, move on. Training rows whose truth reaches past
//! the last known bar are purged, and an embargo keeps a distance beyond that (López de Prado, 2018, chapter 7).

use crate::lstm::{self, forecaster::Epoch, forecaster::LstmOptions};
use crate::model::{FitInput, Model, ModelKind, combine};
use crate::{Dataset, ForecastError, Task, ridge};
use std::ops::Range;

/// Options of a walk.
#[derive(Debug, Clone, PartialEq)]
pub struct WalkOptions {
    /// Bars known to the first fit.
    pub first_fit: usize,
    /// Bars from one fit to the next.
    pub refit_every: usize,
    /// Bars between the last training truth and the last known bar.
    pub embargo: usize,
    /// Tasks to forecast.
    pub tasks: Vec<Task>,
    /// Models to evaluate.
    pub kinds: Vec<ModelKind>,
    /// Training options of the network.
    pub lstm: LstmOptions,
    /// Whether jumps that look like splits are moves of the market, and are trained on.
    pub allow_jumps: bool,
}

impl Default for WalkOptions {
    fn default() -> Self {
        Self {
            first_fit: 1000,
            refit_every: 252,
            embargo: 5,
            tasks: Task::all(&[1, 5, 22]),
            kinds: ModelKind::ALL.to_vec(),
            lstm: LstmOptions::default(),
            allow_jumps: false,
        }
    }
}

impl WalkOptions {
    /// Smallest `first_fit` that leaves every model enough training rows of bars whose calendar repeats after `season`.
    #[must_use]
    pub fn least_first_fit(&self, season: usize) -> usize {
        let longest = self.tasks.iter().map(|task| task.horizon).max().unwrap_or(1);
        let rows = if self.kinds.contains(&ModelKind::Lstm) {
            self.lstm.window - 1 + lstm::forecaster::MIN_WINDOWS + longest
        } else {
            ridge::MIN_ROWS
        };
        crate::measures::first_row(season) + rows + longest + self.embargo
    }
}

/// Models fitted at one time.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSet {
    /// Tasks they forecast.
    pub tasks: Vec<Task>,
    /// Their kinds, including [`ModelKind::Combination`].
    pub kinds: Vec<ModelKind>,
    /// The fitted ones.
    pub models: Vec<Model>,
}

/// Forecasts of one model for one task, one per origin.
#[derive(Debug, Clone, PartialEq)]
pub struct Track {
    /// The model.
    pub kind: ModelKind,
    /// The task.
    pub task: Task,
    /// Index of the bar at whose close the first forecast was made.
    pub first: usize,
    /// Forecasts of consecutive origins.
    pub points: Vec<f64>,
}

/// Progress of a walk.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Index of the current fit, from 0.
    pub fit: usize,
    /// Number of fits.
    pub fits: usize,
    /// Model being fitted.
    pub kind: ModelKind,
    /// Epoch of a network just finished.
    pub epoch: Option<Epoch>,
}

impl ModelSet {
    /// Fits all models on the bars up to and including `known`.
    ///
    /// # Errors
    /// As [`Model::fit`].
    pub fn fit(
        data: &Dataset,
        known: usize,
        options: &WalkOptions,
        observe: &mut dyn FnMut(ModelKind, Option<Epoch>),
    ) -> Result<Self, ForecastError> {
        let input = FitInput { data, tasks: &options.tasks, known, embargo: options.embargo };
        let fitted = options.kinds.iter().filter(|kind| **kind != ModelKind::Combination);
        let models = fitted
            .map(|&kind| {
                observe(kind, None);
                Model::fit(kind, input, &options.lstm, &mut |epoch| observe(kind, Some(epoch)))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { tasks: options.tasks.clone(), kinds: options.kinds.clone(), models })
    }

    /// Forecasts made at the close of each of `rows`.
    ///
    /// # Errors
    /// As [`Model::forecast`].
    pub fn forecast(&self, data: &Dataset, rows: &Range<usize>) -> Result<Vec<Track>, ForecastError> {
        let mut tracks = Vec::new();
        for model in &self.models {
            let kind = model.kind();
            let forecasts = model.forecast(data, &self.tasks, rows)?;
            let track = |(task, points)| Track { kind, task, first: rows.start, points };
            tracks.extend(forecasts.into_iter().map(track));
        }
        if self.kinds.contains(&ModelKind::Combination) {
            for &task in &self.tasks {
                let members = tracks.iter().filter(|track| track.task == task && !track.kind.is_baseline());
                let members: Vec<&[f64]> = members.map(|track| track.points.as_slice()).collect();
                if members.is_empty() {
                    continue;
                }
                let points = combine(&members);
                tracks.push(Track { kind: ModelKind::Combination, task, first: rows.start, points });
            }
        }
        Ok(tracks)
    }
}

/// Rows forecast by each fit, in order. The fit for `rows` knows the bars up to and including `rows.start`.
///
/// # Errors
/// [`ForecastError::TooShort`] if no forecast is left, [`ForecastError::Option`] for a step of 0.
pub fn folds(bars: usize, options: &WalkOptions) -> Result<Vec<Range<usize>>, ForecastError> {
    if options.refit_every == 0 || options.first_fit == 0 {
        let found = String::from("0");
        return Err(ForecastError::Option {
            option: "refit_every, first_fit",
            expected: "at least 1",
            found,
        });
    }
    if options.tasks.iter().any(|task| task.horizon == 0) {
        return Err(ForecastError::Option {
            option: "horizon",
            expected: "at least 1",
            found: String::from("0"),
        });
    }
    let first = options.first_fit - 1;
    let longest = options.tasks.iter().map(|task| task.horizon).max().unwrap_or(1);
    if first + longest >= bars {
        let purpose = format!("a walk-forward evaluation after {} bars", options.first_fit);
        return Err(ForecastError::TooShort { purpose, needed: options.first_fit + longest, found: bars });
    }
    let starts = (first..bars).step_by(options.refit_every);
    Ok(starts.map(|start| start..(start + options.refit_every).min(bars)).collect())
}

/// Forecasts of every model for every task from the first fit to the last bar.
///
/// # Errors
/// As [`folds`], [`ModelSet::fit`] and [`ModelSet::forecast`].
pub fn walk_forward(
    data: &Dataset,
    options: &WalkOptions,
    observe: &mut dyn FnMut(Step),
) -> Result<Vec<Track>, ForecastError> {
    let folds = folds(data.len(), options)?;
    let fits = folds.len();
    let mut tracks: Vec<Track> = Vec::new();
    for (fit, rows) in folds.into_iter().enumerate() {
        let mut step = |kind, epoch| observe(Step { fit, fits, kind, epoch });
        let models = ModelSet::fit(data, rows.start, options, &mut step)?;
        for part in models.forecast(data, &rows)? {
            let same = tracks.iter_mut().find(|track| track.kind == part.kind && track.task == part.task);
            match same {
                Some(track) => track.points.extend(part.points),
                None => tracks.push(part),
            }
        }
    }
    Ok(tracks)
}
