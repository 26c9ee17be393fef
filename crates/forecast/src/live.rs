//! Forecasts bar by bar with a trained bundle: for each task the model with the best walk-forward score.

use crate::baseline::naive;
use crate::bundle::{Bundle, Meta};
use crate::conformal::{Conformal, LEVELS};
use crate::model::ModelKind;
use crate::scoreboard::loss;
use crate::walk_forward::ModelSet;
use crate::{Dataset, ForecastError, Series, Task, calibration};

/// Number of bars before the newest, besides one season, that a forecast reads. The slowest memory of a model, that of
/// its smoothers, has faded by then; a fixed number gives the same forecast whenever it is made.
const MEMORY: usize = 1_000;

/// A bundle reduced to the models that are used.
#[derive(Debug, Clone)]
pub struct LiveModel {
    meta: Meta,
    models: ModelSet,
    choices: Vec<Choice>,
}

/// The model chosen for a task.
#[derive(Debug, Clone)]
struct Choice {
    task: Task,
    kind: ModelKind,
    verdict: String,
    intervals: Option<Conformal>,
}

/// A forecast from the last bar of a dataset.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveForecast<'a> {
    /// The forecast task.
    pub task: Task,
    /// The model.
    pub kind: ModelKind,
    /// Its walk-forward verdict, in words.
    pub verdict: &'a str,
    /// The forecast: a log return, a variance or a log range.
    pub point: f64,
    /// Lower and upper end of the interval of each level; `None` if the model has no scores.
    pub bounds: Option<[[f64; 2]; LEVELS.len()]>,
    /// Forecast of the random walk.
    pub baseline: f64,
}

impl LiveModel {
    /// Chooses a model for each task and drops the others.
    #[must_use]
    pub fn new(bundle: &Bundle) -> Self {
        let choice = |task: &Task| {
            let score = bundle.best(*task)?;
            let at = bundle.meta.scores.iter().position(|other| other == score);
            Some(Choice {
                task: *task,
                kind: score.kind,
                verdict: score.verdict.to_string(),
                intervals: at.and_then(|at| bundle.intervals.get(at).cloned()),
            })
        };
        let choices: Vec<Choice> = bundle.models.tasks.iter().filter_map(choice).collect();
        let chosen = |kind: ModelKind| choices.iter().any(|choice| choice.kind == kind);
        // A combination is made of all models except the baselines.
        let is_used =
            |kind: ModelKind| chosen(kind) || (chosen(ModelKind::Combination) && !kind.is_baseline());
        let models = ModelSet {
            tasks: bundle.models.tasks.clone(),
            kinds: bundle.models.kinds.iter().copied().filter(|kind| is_used(*kind)).collect(),
            models: bundle.models.models.iter().filter(|model| is_used(model.kind())).cloned().collect(),
        };
        Self { meta: bundle.meta.clone(), models, choices }
    }

    /// Origin of the bundle.
    #[must_use]
    pub const fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Number of bars that a forecast reads, the newest included.
    #[must_use]
    pub const fn history(&self) -> usize {
        MEMORY + self.meta.season
    }

    /// Longest horizon, in bars.
    #[must_use]
    pub fn longest_horizon(&self) -> usize {
        self.choices.iter().map(|choice| choice.task.horizon).max().unwrap_or(1)
    }

    /// The tasks it forecasts.
    pub fn tasks(&self) -> impl Iterator<Item = Task> {
        self.choices.iter().map(|choice| choice.task)
    }

    /// Prepares the last bars of `series` for [`LiveModel::forecast`]. Features, most of the work, are computed for the rows
    /// that it reads only: those whose errors correct the level, and the window of the network before the first of them.
    ///
    /// # Errors
    /// As [`Dataset::new`].
    pub fn prepare(&self, series: &Series) -> Result<Dataset, ForecastError> {
        Dataset::with_features(series, self.meta.season, calibration::HISTORY + 1 + self.meta.window)
    }

    /// Forecasts from the last bar of `data`, one per task.
    ///
    /// # Errors
    /// As [`ModelSet::forecast`]; [`ForecastError::Option`] if `data` was prepared with another season.
    pub fn forecast(&self, data: &Dataset) -> Result<Vec<LiveForecast<'_>>, ForecastError> {
        if data.measures.season != self.meta.season {
            let found =
                format!("{} (the models were trained with {})", data.measures.season, self.meta.season);
            return Err(ForecastError::Option { option: "season", expected: "that of the training", found });
        }
        let last = data.len() - 1;
        let tracks = self.models.forecast(data, &(last..last + 1))?;
        let of = |choice: &Choice| {
            tracks.iter().find(|track| track.kind == choice.kind && track.task == choice.task)
        };
        let mut out = Vec::with_capacity(self.choices.len());
        for choice in &self.choices {
            let Some(track) = of(choice) else { continue };
            let point = track.points[0];
            let intervals = choice.intervals.as_ref().and_then(|state| state.intervals(data, last, point));
            let bounds = intervals.map(|all| all.map(|interval| [interval.low, interval.high]));
            let baseline = naive::random_walk(data, choice.task, last..last + 1)[0];
            let (task, kind, verdict) = (choice.task, choice.kind, choice.verdict.as_str());
            out.push(LiveForecast { task, kind, verdict, point, bounds, baseline });
        }
        Ok(out)
    }
}

/// Loss of a forecast and of the random walk, once the truth is known; values as [`crate::Target::shown`].
#[must_use]
pub fn losses(task: Task, truth: f64, point: f64, baseline: f64) -> (f64, f64) {
    let value = |shown: f64| if task.target == crate::Target::Variance { shown * shown } else { shown };
    let of = |forecast: f64| loss(task.target, value(truth), value(forecast));
    (of(point), of(baseline))
}
