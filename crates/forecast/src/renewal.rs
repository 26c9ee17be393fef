//! Trains again on newer bars, and compares the result with the models in use on the bars that neither had seen.

use crate::bundle::Bundle;
use crate::lstm::forecaster::LstmOptions;
use crate::model::ModelKind;
use crate::scoreboard::{CALIBRATION, loss};
use crate::walk_forward::{Step, Track, WalkOptions, walk_forward};
use crate::{Dataset, ForecastError, Task, split};
use std::ops::Range;

/// Minimum number of bars after the last training for a comparison.
pub const MIN_NEW_BARS: usize = 30;

/// Newly trained models, and how they compare.
#[derive(Debug, Clone)]
pub struct Renewal {
    /// The new models.
    pub bundle: Bundle,
    /// One per task that could be compared.
    pub comparisons: Vec<RenewalComparison>,
}

/// Old and new models on the forecasts of one task made since the old training.
#[derive(Debug, Clone, PartialEq)]
pub struct RenewalComparison {
    /// The task.
    pub task: Task,
    /// Number of forecasts.
    pub forecasts: usize,
    /// Model in use, and its mean loss.
    pub old: (ModelKind, f64),
    /// New model, and its mean loss: refitted as the walk goes, chosen by its loss before these forecasts.
    pub new: (ModelKind, f64),
}

impl RenewalComparison {
    /// How much lower the new loss is, as a share; 0 if neither made an error.
    #[must_use]
    pub fn gain(&self) -> f64 {
        if self.old.1 > 0.0 { 1.0 - self.new.1 / self.old.1 } else { -f64::from(u8::from(self.new.1 > 0.0)) }
    }
}

impl Renewal {
    /// Mean gain over the tasks; `None` if none could be compared.
    #[must_use]
    pub fn gain(&self) -> Option<f64> {
        let count = self.comparisons.len();
        (count > 0).then(|| self.comparisons.iter().map(RenewalComparison::gain).sum::<f64>() / count as f64)
    }

    /// Whether the new models should replace the old ones.
    #[must_use]
    pub fn is_better(&self) -> bool {
        self.gain().is_some_and(|gain| gain > 0.0)
    }
}

/// Options that train as `bundle` was trained.
#[must_use]
pub fn same_options(bundle: &Bundle) -> WalkOptions {
    let meta = &bundle.meta;
    WalkOptions {
        first_fit: meta.first_fit,
        refit_every: meta.refit_every,
        embargo: meta.embargo,
        tasks: bundle.models.tasks.clone(),
        kinds: bundle.models.kinds.clone(),
        lstm: LstmOptions { seed: meta.seed, window: meta.window, ..LstmOptions::default() },
        allow_jumps: meta.allow_jumps,
    }
}

/// Trains on `data` and compares with `old` on the bars after its training.
///
/// # Errors
/// As [`walk_forward`]; [`ForecastError::TooShort`] with fewer than [`MIN_NEW_BARS`] new bars,
/// [`ForecastError::Split`] unless the options allow jumps.
pub fn renew(
    old: &Bundle,
    data: &Dataset,
    options: &WalkOptions,
    observe: &mut dyn FnMut(Step),
) -> Result<Renewal, ForecastError> {
    let fresh = data.bars().partition_point(|bar| bar.start_ns <= old.meta.last_ns);
    let found = data.len() - fresh;
    let longest = options.tasks.iter().map(|task| task.horizon).max().unwrap_or(1);
    let needed = MIN_NEW_BARS + longest;
    if found < needed {
        let purpose = String::from("a comparison with the models in use (bars since their training)");
        return Err(ForecastError::TooShort { purpose, needed, found });
    }
    if !options.allow_jumps {
        split::check(data.bars())?;
    }
    let tracks = walk_forward(data, options, observe)?;
    let used = old.models.forecast(data, &(fresh..data.len()))?;
    let compare = |task: &Task| compare(old, data, *task, fresh, &used, &tracks);
    let comparisons = options.tasks.iter().filter_map(compare).collect();
    let (symbol, interval) = (&old.meta.symbol, &old.meta.interval);
    let bundle = Bundle::from_tracks(data, symbol, interval, options, &tracks, observe)?;
    Ok(Renewal { bundle, comparisons })
}

fn compare(
    old: &Bundle,
    data: &Dataset,
    task: Task,
    fresh: usize,
    used: &[Track],
    tracks: &[Track],
) -> Option<RenewalComparison> {
    let known = fresh..data.len().saturating_sub(task.horizon);
    let of_task = |tracks: &'_ [Track], kind: ModelKind| {
        tracks.iter().find(|track| track.kind == kind && track.task == task).cloned()
    };
    let kind = old.best(task)?.kind;
    let old_loss = mean_loss(data, &of_task(used, kind)?, &known)?;
    // Chosen without a look at the forecasts that are compared.
    let before = |track: &Track| {
        let rows = track.first + CALIBRATION..fresh.saturating_sub(task.horizon);
        mean_loss(data, track, &rows).unwrap_or(f64::INFINITY)
    };
    let candidates = tracks.iter().filter(|track| track.task == task);
    let new = candidates.min_by(|a, b| before(a).total_cmp(&before(b)))?;
    let new_loss = mean_loss(data, new, &known)?;
    Some(RenewalComparison { task, forecasts: known.len(), old: (kind, old_loss), new: (new.kind, new_loss) })
}

/// Mean loss of the forecasts of a track made at `rows`; `None` without any.
fn mean_loss(data: &Dataset, track: &Track, rows: &Range<usize>) -> Option<f64> {
    let rows = rows.start.max(track.first)..rows.end.min(track.first + track.points.len());
    let losses: Vec<f64> = rows
        .filter_map(|row| {
            let truth = data.truth(track.task, row)?;
            Some(loss(track.task.target, truth, track.points[row - track.first]))
        })
        .collect();
    (!losses.is_empty()).then(|| losses.iter().sum::<f64>() / losses.len() as f64)
}
