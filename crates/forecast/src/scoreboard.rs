//! Scores of all models on the same forecasts, and a verdict in plain words.

use crate::compare::{DieboldMariano, diebold_mariano, holm};
use crate::conformal::{Conformal, LEVELS};
use crate::model::ModelKind;
use crate::score::{Share, crps, mase, qlike, rmse};
use crate::walk_forward::Track;
use crate::{Dataset, Target, Task};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Number of first forecasts of a walk that only fill the windows of the intervals; no score counts them.
pub const CALIBRATION: usize = 250;

/// Significance level of verdicts.
pub const SIGNIFICANCE: f64 = 0.05;

/// Scores of one model on one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The model.
    pub kind: ModelKind,
    /// The task.
    pub task: Task,
    /// Forecasts scored.
    pub forecasts: usize,
    /// Root mean squared error, as a fraction (of a volatility for variances).
    pub rmse: f64,
    /// Mean absolute error in units of the naive forecast's on the training data; `None` if that made no error.
    pub mase: Option<f64>,
    /// Mean of the ranking loss: squared error (return), QLIKE (variance), squared log error (range).
    pub loss: f64,
    /// Share of correct directions: of the return, or of the change against the last realised value.
    pub direction: Option<Share>,
    /// Share of truths within the interval of each level.
    pub coverage: [f64; LEVELS.len()],
    /// Mean width of the interval of each level, as a fraction (of a volatility for variances).
    pub width: [f64; LEVELS.len()],
    /// Mean continuous ranked probability score: in returns, or in log units for variance and range.
    pub crps: f64,
    /// Comparison with the reference: random walk for returns, the better EWMA for variance and range.
    pub against_reference: Option<DieboldMariano>,
    /// Comparison with the best baseline, chosen in hindsight; for models only.
    pub against_best: Option<DieboldMariano>,
    /// p value of `against_best` after Holm's correction for all models and tasks of the scoreboard.
    pub adjusted_p: Option<f64>,
    /// The verdict.
    pub verdict: ModelVerdict,
}

/// Verdict of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelVerdict {
    /// A baseline.
    Baseline,
    /// The baseline with the smallest loss.
    BestBaseline,
    /// Significantly better than the best baseline.
    Beats {
        /// The best baseline.
        baseline: ModelKind,
        /// How much lower the loss is, 0 to 1.
        gain: f64,
    },
    /// Not significantly different from the best baseline.
    DoesNotBeat {
        /// The best baseline.
        baseline: ModelKind,
        /// How much lower the loss is; negative if it is higher.
        gain: f64,
    },
    /// Significantly worse than the best baseline.
    Worse {
        /// The best baseline.
        baseline: ModelKind,
        /// How much lower the loss is: negative.
        gain: f64,
    },
}

impl std::fmt::Display for ModelVerdict {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let difference = |gain: f64| {
            let direction = if gain >= 0.0 { "lower" } else { "higher" };
            format!("loss {:.1} % {direction}", gain.abs() * 100.0)
        };
        match self {
            Self::Baseline => out.write_str("baseline"),
            Self::BestBaseline => out.write_str("best baseline"),
            Self::Beats { baseline, gain } => {
                write!(out, "beats {} ({})", baseline.label(), difference(*gain))
            }
            Self::DoesNotBeat { baseline, gain } => {
                write!(out, "does not beat {} ({})", baseline.label(), difference(*gain))
            }
            Self::Worse { baseline, gain } => {
                write!(out, "worse than {} ({})", baseline.label(), difference(*gain))
            }
        }
    }
}

/// Scores of all models, and the state of their intervals after the last truth.
#[derive(Debug, Clone, PartialEq)]
pub struct Scoreboard {
    /// One per model and task, in the order of the tracks.
    pub scores: Vec<Score>,
    /// Intervals, in the same order.
    pub intervals: Vec<Conformal>,
}

/// Loss of one forecast.
#[must_use]
pub fn loss(target: Target, actual: f64, forecast: f64) -> f64 {
    match target {
        Target::Return => (actual - forecast).powi(2),
        Target::Variance => qlike(actual, forecast),
        Target::Range => (actual / forecast).ln().powi(2),
    }
}

/// Scores the tracks of one walk. Forecasts whose truth lies after the last bar are skipped.
#[must_use]
#[allow(clippy::needless_range_loop, reason = "indices of several arrays, as in the formulas")]
pub fn score(data: &Dataset, tracks: &[Track]) -> Scoreboard {
    let runs: Vec<Run> = tracks.iter().filter_map(|track| Run::new(data, track)).collect();
    let mut scores: Vec<Score> = runs.iter().map(|run| run.score(data)).collect();
    for index in 0..runs.len() {
        let task = runs[index].task;
        let rivals = || (0..runs.len()).filter(|other| runs[*other].task == task);
        let lower = |a: &usize, b: &usize| scores[*a].loss.total_cmp(&scores[*b].loss);
        let is_reference = |kind: ModelKind| match task.target {
            Target::Return => kind == ModelKind::RandomWalk,
            Target::Variance | Target::Range => kind.is_ewma(),
        };
        let reference = rivals().filter(|other| is_reference(runs[*other].kind)).min_by(lower);
        let best = rivals().filter(|other| runs[*other].kind.is_baseline()).min_by(lower);
        let against = |other: usize| diebold_mariano(&runs[index].losses, &runs[other].losses, task.horizon);
        let against_reference = reference.filter(|other| *other != index).and_then(against);
        let is_baseline = runs[index].kind.is_baseline();
        let against_best = best.filter(|_| !is_baseline).and_then(against);
        scores[index].against_reference = against_reference;
        scores[index].against_best = against_best;
        scores[index].verdict = match best {
            Some(best) if best == index => ModelVerdict::BestBaseline,
            Some(best) if !is_baseline => ModelVerdict::DoesNotBeat {
                baseline: runs[best].kind,
                gain: 1.0 - scores[index].loss / scores[best].loss,
            },
            _ => ModelVerdict::Baseline,
        };
    }
    adjust(&mut scores);
    Scoreboard { scores, intervals: runs.into_iter().map(|run| run.intervals).collect() }
}

/// Corrects the p values for the number of comparisons and turns significant ones into verdicts.
fn adjust(scores: &mut [Score]) {
    let tested: Vec<usize> =
        (0..scores.len()).filter(|index| scores[*index].against_best.is_some()).collect();
    let p_values: Vec<f64> =
        tested.iter().filter_map(|index| scores[*index].against_best.map(|test| test.p_value)).collect();
    for (index, adjusted) in tested.into_iter().zip(holm(&p_values)) {
        let score = &mut scores[index];
        score.adjusted_p = Some(adjusted);
        if let ModelVerdict::DoesNotBeat { baseline, gain } = score.verdict
            && adjusted < SIGNIFICANCE
        {
            let verdict = if gain > 0.0 {
                ModelVerdict::Beats { baseline, gain }
            } else {
                ModelVerdict::Worse { baseline, gain }
            };
            score.verdict = verdict;
        }
    }
}

/// One track with its truths and intervals.
struct Run {
    kind: ModelKind,
    task: Task,
    origins: Range<usize>,
    first_fit: usize,
    points: Vec<f64>,
    truths: Vec<f64>,
    losses: Vec<f64>,
    hits: [usize; LEVELS.len()],
    widths: [f64; LEVELS.len()],
    crps: f64,
    intervals: Conformal,
}

impl Run {
    fn new(data: &Dataset, track: &Track) -> Option<Self> {
        let task = track.task;
        let end = (track.first + track.points.len()).min(data.len().saturating_sub(task.horizon));
        let start = track.first + CALIBRATION;
        if start >= end {
            return None;
        }
        let mut run = Self {
            kind: track.kind,
            task,
            origins: start..end,
            first_fit: track.first,
            points: track.points[CALIBRATION..end - track.first].to_vec(),
            truths: (start..end).filter_map(|t| data.truth(task, t)).collect(),
            losses: Vec::new(),
            hits: [0; LEVELS.len()],
            widths: [0.0; LEVELS.len()],
            crps: 0.0,
            intervals: Conformal::new(task),
        };
        run.losses = run.truths.iter().zip(&run.points).map(|(a, f)| loss(task.target, *a, *f)).collect();
        run.measure_intervals(data, track, end);
        Some(run)
    }

    /// Replays the track: at each origin first the truths known by then, then the interval.
    fn measure_intervals(&mut self, data: &Dataset, track: &Track, end: usize) {
        let horizon = self.task.horizon;
        let mut bounds = Vec::with_capacity(end - track.first);
        for origin in track.first..end + horizon {
            if let Some(settled) = origin.checked_sub(horizon).filter(|settled| *settled >= track.first)
                && let Some(truth) = data.truth(self.task, settled)
            {
                let at = settled - track.first;
                let error = self.intervals.error(data, settled, track.points[at], truth);
                self.intervals.observe(error, bounds[at]);
            }
            if origin >= end {
                continue;
            }
            let at = origin - track.first;
            bounds.push(self.intervals.bounds());
            if at >= CALIBRATION {
                self.measure_origin(data, origin, track.points[at]);
            }
        }
    }

    fn measure_origin(&mut self, data: &Dataset, origin: usize, point: f64) {
        let truth = self.truths[origin - self.origins.start];
        if let Some(intervals) = self.intervals.intervals(data, origin, point) {
            for (index, interval) in intervals.iter().enumerate() {
                self.hits[index] += usize::from(interval.contains(truth));
                let target = self.task.target;
                self.widths[index] += target.shown(interval.high) - target.shown(interval.low);
            }
        }
        let unit =
            if self.task.target.is_positive() { 1.0 } else { data.return_scale(origin, self.task.horizon) };
        let error = self.intervals.error(data, origin, point, truth);
        self.crps += crps(self.intervals.sorted(), error).unwrap_or(0.0) * unit;
    }

    fn score(&self, data: &Dataset) -> Score {
        let target = self.task.target;
        let shown = |values: &[f64]| values.iter().map(|value| target.shown(*value)).collect::<Vec<f64>>();
        let (truths, points) = (shown(&self.truths), shown(&self.points));
        let count = self.truths.len() as f64;
        Score {
            kind: self.kind,
            task: self.task,
            forecasts: self.truths.len(),
            rmse: rmse(&truths, &points).unwrap_or(f64::NAN),
            mase: mase(&truths, &points, self.naive_error(data)),
            loss: self.losses.iter().sum::<f64>() / count,
            direction: self.direction(data),
            coverage: self.hits.map(|hits| hits as f64 / count),
            width: self.widths.map(|sum| sum / count),
            crps: self.crps / count,
            against_reference: None,
            against_best: None,
            adjusted_p: None,
            verdict: ModelVerdict::Baseline,
        }
    }

    /// Mean absolute error of "no change" on the bars before the first fit.
    fn naive_error(&self, data: &Dataset) -> f64 {
        let Task { target, horizon } = self.task;
        let rows = data.first_row()..self.first_fit.saturating_sub(horizon).max(data.first_row() + 1);
        let count = rows.len() as f64;
        let error = |t: usize| {
            let truth = data.truth(self.task, t).unwrap_or(0.0);
            let naive = if target == Target::Return { 0.0 } else { data.realised(self.task, t) };
            (target.shown(truth) - target.shown(naive)).abs()
        };
        rows.map(error).sum::<f64>() / count
    }

    fn direction(&self, data: &Dataset) -> Option<Share> {
        let change = |origin: usize, value: f64| match self.task.target {
            Target::Return => value,
            Target::Variance | Target::Range => value - data.realised(self.task, origin),
        };
        let mut hits = 0;
        let mut trials = 0;
        for ((origin, truth), point) in self.origins.clone().zip(&self.truths).zip(&self.points) {
            let (truth, point) = (change(origin, *truth), change(origin, *point));
            if truth != 0.0 && point != 0.0 {
                trials += 1;
                hits += usize::from((truth > 0.0) == (point > 0.0));
            }
        }
        Share::wilson(hits, trials, self.task.horizon)
    }
}
