//! Result of a training: fitted models, the state of their intervals, and their walk-forward scores.

use crate::conformal::{Conformal, LEVELS, PredictionInterval};
use crate::model::ModelKind;
use crate::scoreboard::{Score, score};
use crate::walk_forward::{ModelSet, Step, Track, WalkOptions, walk_forward};
use crate::{Dataset, ForecastError, Task, split};
use serde::{Deserialize, Serialize};

/// Training data and options of a bundle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// Symbol.
    pub symbol: String,
    /// Name of the bars' interval.
    pub interval: String,
    /// Bars after which the calendar repeats.
    pub season: usize,
    /// Bars trained on.
    pub bars: usize,
    /// Start of the first bar, nanoseconds.
    pub first_ns: i64,
    /// Start of the last bar, nanoseconds.
    pub last_ns: i64,
    /// Names of the features.
    pub features: Vec<String>,
    /// Bars known to the first fit of the evaluation.
    pub first_fit: usize,
    /// Bars between its fits.
    pub refit_every: usize,
    /// Bars between the last training truth and the last known bar.
    pub embargo: usize,
    /// Seed of the network.
    pub seed: u64,
    /// Rows per window of the network.
    pub window: usize,
    /// Whether jumps that look like splits are moves of the market.
    pub allow_jumps: bool,
    /// Scores of all models, walk-forward.
    pub scores: Vec<Score>,
}

/// A trained set of models with its scores.
#[derive(Debug, Clone, PartialEq)]
pub struct Bundle {
    /// Origin and scores.
    pub meta: Meta,
    /// Fitted on all bars.
    pub models: ModelSet,
    /// Intervals, one per score.
    pub intervals: Vec<Conformal>,
}

/// One forecast from the last bar of a dataset.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction<'a> {
    /// The model.
    pub kind: ModelKind,
    /// The forecast task.
    pub task: Task,
    /// Start of the last bar known, nanoseconds.
    pub made_at_ns: i64,
    /// Forecast: a log return, a variance or a log range.
    pub point: f64,
    /// One interval per level; `None` if the model has no scores.
    pub intervals: Option<[PredictionInterval; LEVELS.len()]>,
    /// The model's score on this task.
    pub score: Option<&'a Score>,
}

impl Bundle {
    /// Evaluates all models walk-forward, then fits them on all bars.
    ///
    /// # Errors
    /// As [`walk_forward`]; [`ForecastError::TooShort`] if no forecast could be scored, [`ForecastError::Split`] unless the
    /// options allow jumps.
    pub fn train(
        data: &Dataset,
        symbol: &str,
        interval: &str,
        options: &WalkOptions,
        observe: &mut dyn FnMut(Step),
    ) -> Result<Self, ForecastError> {
        let longest = options.tasks.iter().map(|task| task.horizon).max().unwrap_or(1);
        let needed = options.first_fit + crate::scoreboard::CALIBRATION + longest;
        if data.len() < needed {
            let purpose = String::from("a walk-forward record");
            return Err(ForecastError::TooShort { purpose, needed, found: data.len() });
        }
        if !options.allow_jumps {
            split::check(data.bars())?;
        }
        let tracks = walk_forward(data, options, observe)?;
        Self::from_tracks(data, symbol, interval, options, &tracks, observe)
    }

    /// Scores the tracks of a walk over `data`, then fits the models on all bars.
    pub(crate) fn from_tracks(
        data: &Dataset,
        symbol: &str,
        interval: &str,
        options: &WalkOptions,
        tracks: &[Track],
        observe: &mut dyn FnMut(Step),
    ) -> Result<Self, ForecastError> {
        let board = score(data, tracks);
        let last = data.len() - 1;
        let fits = crate::walk_forward::folds(data.len(), options)?.len();
        let mut step = |kind, epoch| observe(Step { fit: fits, fits, kind, epoch });
        let models = ModelSet::fit(data, last, options, &mut step)?;
        let meta = Meta {
            symbol: symbol.to_owned(),
            interval: interval.to_owned(),
            season: data.measures.season,
            bars: data.len(),
            first_ns: data.bars()[0].start_ns,
            last_ns: data.bars()[last].start_ns,
            features: crate::feature::names().map(str::to_owned).to_vec(),
            first_fit: options.first_fit,
            refit_every: options.refit_every,
            embargo: options.embargo,
            seed: options.lstm.seed,
            window: options.lstm.window,
            allow_jumps: options.allow_jumps,
            scores: board.scores,
        };
        Ok(Self { meta, models, intervals: board.intervals })
    }

    /// Forecasts of every model and task from the last bar of `data`.
    ///
    /// # Errors
    /// As [`ModelSet::forecast`]; [`ForecastError::Option`] if `data` was prepared with another season.
    pub fn predict(&self, data: &Dataset) -> Result<Vec<Prediction<'_>>, ForecastError> {
        if data.measures.season != self.meta.season {
            let found =
                format!("{} (the models were trained with {})", data.measures.season, self.meta.season);
            return Err(ForecastError::Option { option: "season", expected: "that of the training", found });
        }
        let last = data.len() - 1;
        let tracks = self.models.forecast(data, &(last..last + 1))?;
        let prediction = |track: Track| {
            let at = self.meta.scores.iter().position(|s| s.kind == track.kind && s.task == track.task);
            let point = track.points[0];
            Prediction {
                kind: track.kind,
                task: track.task,
                made_at_ns: data.bars()[last].start_ns,
                point,
                intervals: at.and_then(|at| self.intervals.get(at)?.intervals(data, last, point)),
                score: at.map(|at| &self.meta.scores[at]),
            }
        };
        Ok(tracks.into_iter().map(prediction).collect())
    }

    /// Model with the smallest walk-forward loss on `task`.
    #[must_use]
    pub fn best(&self, task: Task) -> Option<&Score> {
        let of_task = self.meta.scores.iter().filter(|score| score.task == task);
        of_task.min_by(|a, b| a.loss.total_cmp(&b.loss))
    }
}
