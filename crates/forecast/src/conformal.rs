//! Prediction intervals from past errors, without an assumption about their distribution: split conformal prediction over
//! a trailing window (Vovk et al., 2005), its tail probabilities adapted online so that coverage holds under drift (Gibbs
//! and Candès, 2021).
//!
//! Errors are compared on a common scale: a return's in standard deviations as known at the origin, a variance's or
//! range's as the logarithm of actual over forecast. Each tail is adapted on its own.

use crate::{Dataset, Task};
use std::collections::VecDeque;

/// Nominal coverages of the intervals.
pub const LEVELS: [f64; 3] = [0.5, 0.8, 0.9];

/// Errors kept.
pub const WINDOW: usize = 500;

/// Minimum number of errors for an interval.
pub const MIN_ERRORS: usize = 50;

/// Step of the adaptation for a horizon of one bar.
const RATE: f64 = 0.01;

/// An interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PredictionInterval {
    /// Lower end, inclusive.
    pub low: f64,
    /// Upper end, inclusive.
    pub high: f64,
}

impl PredictionInterval {
    /// Whether `value` lies within.
    #[must_use]
    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }
}

/// Errors of one model on one task so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Conformal {
    task: Task,
    /// In order of arrival.
    errors: VecDeque<f64>,
    /// The same, ascending.
    sorted: Vec<f64>,
    /// Lower and upper tail probability of each level.
    tails: [[f64; 2]; LEVELS.len()],
}

impl Conformal {
    /// No errors yet, tails at their nominal probabilities.
    #[must_use]
    pub fn new(task: Task) -> Self {
        let tails = LEVELS.map(|level| [(1.0 - level) / 2.0; 2]);
        Self { task, errors: VecDeque::new(), sorted: Vec::new(), tails }
    }

    /// State from [`Conformal::errors`] and [`Conformal::tails`].
    #[must_use]
    pub fn restore(task: Task, errors: &[f64], tails: [[f64; 2]; LEVELS.len()]) -> Self {
        let mut state = Self::new(task);
        for error in errors {
            state.push(*error);
        }
        state.tails = tails;
        state
    }

    /// Errors kept, oldest first.
    pub fn errors(&self) -> impl Iterator<Item = f64> {
        self.errors.iter().copied()
    }

    /// Adapted lower and upper tail probability of each level.
    #[must_use]
    pub const fn tails(&self) -> [[f64; 2]; LEVELS.len()] {
        self.tails
    }

    /// Errors, ascending.
    #[must_use]
    pub fn sorted(&self) -> &[f64] {
        &self.sorted
    }

    /// Error of a forecast made at `origin`, on the common scale.
    #[must_use]
    pub fn error(&self, data: &Dataset, origin: usize, point: f64, truth: f64) -> f64 {
        if self.task.target.is_positive() {
            (truth / point).ln()
        } else {
            (truth - point) / data.return_scale(origin, self.task.horizon)
        }
    }

    /// Value that a forecast with `error` would have missed by exactly that.
    #[must_use]
    pub fn value(&self, data: &Dataset, origin: usize, point: f64, error: f64) -> f64 {
        if self.task.target.is_positive() {
            point * error.exp()
        } else {
            point + error * data.return_scale(origin, self.task.horizon)
        }
    }

    /// Lower and upper error of each level; `None` with fewer than 50 errors.
    #[must_use]
    pub fn bounds(&self) -> Option<[[f64; 2]; LEVELS.len()]> {
        if self.sorted.len() < MIN_ERRORS {
            return None;
        }
        Some(self.tails.map(|[lower, upper]| [self.quantile(lower), -self.mirrored_quantile(upper)]))
    }

    /// Intervals around `point`, one per level.
    #[must_use]
    pub fn intervals(
        &self,
        data: &Dataset,
        origin: usize,
        point: f64,
    ) -> Option<[PredictionInterval; LEVELS.len()]> {
        let bounds = self.bounds()?;
        Some(bounds.map(|[low, high]| PredictionInterval {
            low: self.value(data, origin, point, low),
            high: self.value(data, origin, point, high),
        }))
    }

    /// Adds an error and the bounds its forecast was given.
    pub fn observe(&mut self, error: f64, bounds: Option<[[f64; 2]; LEVELS.len()]>) {
        self.push(error);
        let Some(bounds) = bounds else { return };
        // Errors of overlapping horizons come in runs: a smaller step keeps a run from emptying a tail.
        let rate = RATE / (self.task.horizon as f64).sqrt();
        for ((tails, bounds), level) in self.tails.iter_mut().zip(bounds).zip(LEVELS) {
            let nominal = (1.0 - level) / 2.0;
            let missed = [error < bounds[0], error > bounds[1]];
            for (tail, missed) in tails.iter_mut().zip(missed) {
                *tail = (*tail + rate * (nominal - f64::from(u8::from(missed)))).clamp(0.0, 0.5);
            }
        }
    }

    fn push(&mut self, error: f64) {
        if self.errors.len() == WINDOW
            && let Some(oldest) = self.errors.pop_front()
        {
            let at = self.sorted.partition_point(|kept| *kept < oldest);
            self.sorted.remove(at);
        }
        self.errors.push_back(error);
        let at = self.sorted.partition_point(|kept| *kept < error);
        self.sorted.insert(at, error);
    }

    /// Error below which at most `tail` of new ones are expected: the finite-sample quantile of split conformal
    /// prediction, or the smallest error where the sample is too small for the tail.
    fn quantile(&self, tail: f64) -> f64 {
        self.sorted[rank(tail, self.sorted.len())]
    }

    fn mirrored_quantile(&self, tail: f64) -> f64 {
        -self.sorted[self.sorted.len() - 1 - rank(tail, self.sorted.len())]
    }
}

fn rank(tail: f64, count: usize) -> usize {
    ((tail * (count + 1) as f64).floor() as usize).saturating_sub(1).min(count / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Target;
    use crate::rng::Rng;

    const TASK: Task = Task { target: Target::Return, horizon: 1 };

    #[test]
    fn covers_as_promised_even_when_the_spread_triples() {
        let mut rng = Rng::new(3);
        let mut state = Conformal::new(TASK);
        let mut hits = [0usize; LEVELS.len()];
        let mut count = 0usize;
        for step in 0..8000 {
            let bounds = state.bounds();
            let spread = if step < 4000 { 1.0 } else { 3.0 };
            let error = spread * rng.normal();
            if let Some(bounds) = bounds {
                count += 1;
                for (hit, [low, high]) in hits.iter_mut().zip(bounds) {
                    *hit += usize::from(low <= error && error <= high);
                }
            }
            state.observe(error, bounds);
        }
        for (hit, level) in hits.into_iter().zip(LEVELS) {
            let coverage = hit as f64 / count as f64;
            assert!((coverage - level).abs() < 0.015, "{level}: {coverage}");
        }
    }

    #[test]
    fn restores_its_state() {
        let mut state = Conformal::new(TASK);
        let mut rng = Rng::new(4);
        for _ in 0..700 {
            let bounds = state.bounds();
            state.observe(rng.normal(), bounds);
        }
        let errors: Vec<f64> = state.errors().collect();
        assert_eq!(errors.len(), WINDOW);
        assert!(state.sorted().is_sorted());
        assert_eq!(Conformal::restore(TASK, &errors, state.tails()), state);
    }
}
