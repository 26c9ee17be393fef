//! Baselines of a series of levels, such as the readings of a sensor: what any better forecast has to beat.
//!
//! Levels may be zero or negative, so nothing here is a return. No rule is fitted: each forecast reads the values up to its
//! origin only, so the scores of the past are those that it would have had then.
//!
//! ```
//! use forecast::level::{LevelRule, LevelSeries};
//!
//! let day = |hour: usize| Some([14.0, 20.0, 17.0, 12.0][hour % 4]);
//! let series = LevelSeries::new((0..400).map(day).collect(), 4);
//! let scores = series.score(1);
//! let season = scores.iter().find(|score| score.rule == LevelRule::Season).expect("a score of each rule");
//! assert_eq!((season.mae, season.next.point), (0.0, 14.0));
//! ```

use std::collections::VecDeque;

/// Share of truths that an interval is meant to cover.
pub const COVERAGE: f64 = 0.9;
/// Errors of a rule before its first interval: fewer have no tenth.
const FIRST_INTERVAL: usize = 20;
/// Latest errors that an interval is made of.
const ERRORS: usize = 1_000;
/// Seasons in a mean.
const SEASONS: usize = 7;

/// A rule that needs no training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LevelRule {
    /// The last value stays.
    Last,
    /// The value of one season before, as the same hour yesterday.
    Season,
    /// The mean of the last seven seasons' values.
    SeasonalMean,
}

impl LevelRule {
    /// Every rule.
    pub const ALL: [Self; 3] = [Self::Last, Self::Season, Self::SeasonalMean];

    /// `last`, `season`, `seasonal-mean`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Season => "season",
            Self::SeasonalMean => "seasonal-mean",
        }
    }
}

/// Values at equal distances.
#[derive(Debug, Clone, PartialEq)]
pub struct LevelSeries {
    values: Vec<Option<f64>>,
    season: usize,
}

/// A forecast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LevelForecast {
    /// The expected value.
    pub point: f64,
    /// Meant to hold the truth with probability [`COVERAGE`]; `None` while there are too few errors.
    pub interval: Option<[f64; 2]>,
}

/// How a rule did, and what it forecasts next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LevelScore {
    /// The rule.
    pub rule: LevelRule,
    /// Forecasts whose truth is known; the same ones for every rule.
    pub forecasts: usize,
    /// Mean absolute error.
    pub mae: f64,
    /// Root of the mean squared error.
    pub rmse: f64,
    /// Share of the intervals that held the truth, and their number; `None` without any.
    pub covered: Option<(f64, usize)>,
    /// From the last value.
    pub next: LevelForecast,
}

impl LevelSeries {
    /// `None` stands for a missing value; `season` is the number of values after which days or weeks repeat, at least 1.
    #[must_use]
    pub fn new(values: Vec<Option<f64>>, season: usize) -> Self {
        let known = values.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        let values = values.into_iter().take(known).collect();
        Self { values, season: season.max(1) }
    }

    fn value(&self, at: Option<usize>) -> Option<f64> {
        self.values.get(at?).copied().flatten()
    }

    /// The forecast of the value `horizon` places after `origin`, from the values up to `origin`; `None` where it lacks one.
    #[must_use]
    pub fn forecast(&self, rule: LevelRule, origin: usize, horizon: usize) -> Option<f64> {
        let seasons = horizon.div_ceil(self.season);
        // The latest place of the same season that is known at the origin, and those before it.
        let before = |more: usize| (origin + horizon).checked_sub((seasons + more) * self.season);
        match rule {
            LevelRule::Last => self.value(Some(origin)),
            LevelRule::Season => self.value(before(0)),
            LevelRule::SeasonalMean => {
                let known: Vec<f64> = (0..SEASONS).filter_map(|more| self.value(before(more))).collect();
                (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
            }
        }
    }

    /// The scores of all rules that have a forecast from the last value, on the origins where all of these have one; none if
    /// there is no such origin.
    #[must_use]
    pub fn score(&self, horizon: usize) -> Vec<LevelScore> {
        let horizon = horizon.max(1);
        let Some(last) = self.values.len().checked_sub(1) else { return Vec::new() };
        let next =
            LevelRule::ALL.into_iter().filter_map(|rule| Some((rule, self.forecast(rule, last, horizon)?)));
        let mut tracks: Vec<(Track, f64)> =
            next.map(|(rule, next)| (Track::new(rule, horizon), next)).collect();
        for origin in 0..self.values.len() {
            let forecasts: Option<Vec<f64>> =
                tracks.iter().map(|(track, _)| self.forecast(track.rule, origin, horizon)).collect();
            let Some(forecasts) = forecasts.filter(|_| self.values[origin].is_some()) else { continue };
            let truth = self.value(Some(origin + horizon));
            for ((track, _), point) in tracks.iter_mut().zip(forecasts) {
                track.add(origin, point, truth);
            }
        }
        tracks.into_iter().filter_map(|(track, next)| track.score(next, last)).collect()
    }
}

/// The errors of one rule.
struct Track {
    rule: LevelRule,
    horizon: usize,
    /// Errors whose truth is later than the current origin: their origins and sizes.
    unknown: VecDeque<(usize, f64)>,
    /// The latest known sizes in order of time, and sorted.
    known: VecDeque<f64>,
    sorted: Vec<f64>,
    absolute: f64,
    squared: f64,
    forecasts: usize,
    covered: usize,
    intervals: usize,
}

impl Track {
    fn new(rule: LevelRule, horizon: usize) -> Self {
        Self {
            rule,
            horizon,
            unknown: VecDeque::new(),
            known: VecDeque::new(),
            sorted: Vec::new(),
            absolute: 0.0,
            squared: 0.0,
            forecasts: 0,
            covered: 0,
            intervals: 0,
        }
    }

    fn add(&mut self, origin: usize, point: f64, truth: Option<f64>) {
        self.advance(origin);
        let Some(truth) = truth else { return };
        if let Some([low, high]) = self.interval(point) {
            self.intervals += 1;
            self.covered += usize::from((low..=high).contains(&truth));
        }
        let error = (truth - point).abs();
        self.absolute += error;
        self.squared += error * error;
        self.forecasts += 1;
        self.unknown.push_back((origin, error));
    }

    /// Errors become known with their truth.
    fn advance(&mut self, origin: usize) {
        while let Some((_, error)) = self.unknown.pop_front_if(|(from, _)| *from + self.horizon <= origin) {
            if self.known.len() == ERRORS
                && let Some(oldest) = self.known.pop_front()
            {
                let at = self.sorted.partition_point(|size| *size < oldest);
                self.sorted.remove(at);
            }
            self.known.push_back(error);
            let at = self.sorted.partition_point(|size| *size < error);
            self.sorted.insert(at, error);
        }
    }

    /// The interval around a point that has held the truth often enough so far (split conformal).
    fn interval(&self, point: f64) -> Option<[f64; 2]> {
        let count = self.sorted.len();
        if count < FIRST_INTERVAL {
            return None;
        }
        let rank = (((count + 1) as f64) * COVERAGE).ceil() as usize;
        let size = self.sorted.get(rank.min(count) - 1)?;
        Some([point - size, point + size])
    }

    fn score(mut self, next: f64, last: usize) -> Option<LevelScore> {
        self.advance(last);
        let count = self.forecasts as f64;
        (self.forecasts > 0).then(|| LevelScore {
            rule: self.rule,
            forecasts: self.forecasts,
            mae: self.absolute / count,
            rmse: (self.squared / count).sqrt(),
            covered: (self.intervals > 0)
                .then(|| (self.covered as f64 / self.intervals as f64, self.intervals)),
            next: LevelForecast { point: next, interval: self.interval(next) },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn of(scores: &[LevelScore], rule: LevelRule) -> LevelScore {
        *scores.iter().find(|score| score.rule == rule).unwrap()
    }

    /// A daily wave of 24 values around zero with normal noise.
    fn wave(days: usize, noise: f64) -> Vec<Option<f64>> {
        let mut rng = Rng::new(7);
        let turn = std::f64::consts::TAU / 24.0;
        (0..days * 24).map(|at| Some((at as f64 * turn).sin() * 10.0 + noise * rng.normal())).collect()
    }

    #[test]
    fn errors_are_those_of_hand_computed_forecasts() {
        let series = LevelSeries::new([1.0, -2.0, 4.0, 0.0, 3.0].map(Some).to_vec(), 2);
        // Forecasts of `last` are 1, -2, 4, 0 for -2, 4, 0, 3; those of `season` begin with the second season.
        let scores = series.score(1);
        let (last, season) = (of(&scores, LevelRule::Last), of(&scores, LevelRule::Season));
        assert_eq!((last.forecasts, season.forecasts), (3, 3));
        assert_eq!((last.mae, season.mae), ((6.0 + 4.0 + 3.0) / 3.0, (3.0 + 2.0 + 1.0) / 3.0));
        assert_eq!(season.rmse, (14.0_f64 / 3.0).sqrt());
        assert_eq!((last.next.point, season.next.point), (3.0, 0.0));
        assert_eq!(of(&scores, LevelRule::SeasonalMean).next.point, -1.0);
        // Three ahead are two seasons of two.
        assert_eq!(series.forecast(LevelRule::Season, 4, 3), Some(0.0));
        assert_eq!(series.forecast(LevelRule::Season, 0, 3), None);
        assert_eq!((last.covered, last.next.interval), (None, None));
    }

    #[test]
    fn the_daily_wave_is_forecast_by_season_and_intervals_cover_what_they_promise() {
        let scores = LevelSeries::new(wave(200, 1.0), 24).score(6);
        let [last, season, mean] = LevelRule::ALL.map(|rule| of(&scores, rule));
        assert!(season.mae < last.mae / 4.0, "{scores:?}");
        // The noise of one value and of a mean of seven: errors of sqrt(2) and sqrt(8/7).
        assert!(
            (season.rmse - 2.0_f64.sqrt()).abs() < 0.05 && (mean.rmse - 1.069).abs() < 0.05,
            "{scores:?}"
        );
        for score in scores {
            let (share, intervals) = score.covered.unwrap();
            assert!((share - COVERAGE).abs() < 0.03 && intervals > 4_000, "{score:?}");
            let [low, high] = score.next.interval.unwrap();
            assert!(low < score.next.point && score.next.point < high);
        }
    }

    #[test]
    fn no_forecast_and_no_interval_reads_what_comes_later() {
        let values = wave(30, 2.0);
        let cut = 500;
        let whole = LevelSeries::new(values.clone(), 24);
        let past = LevelSeries::new(values[..cut].to_vec(), 24);
        for rule in LevelRule::ALL {
            for horizon in [1, 24, 25] {
                assert_eq!(
                    whole.forecast(rule, cut - 1, horizon),
                    past.forecast(rule, cut - 1, horizon),
                    "{rule:?} {horizon}"
                );
            }
        }
    }

    #[test]
    fn missing_values_are_neither_origins_nor_truths() {
        let mut values = wave(20, 1.0);
        for at in (100..200).chain([300]) {
            values[at] = None;
        }
        let scores = LevelSeries::new(values.clone(), 24).score(1);
        // All but the first season's origins, the last one, and those that lack origin, truth or the season before.
        let lacks = |at: usize| values.get(at).is_none_or(Option::is_none);
        let complete =
            (0..values.len()).filter(|at| *at >= 23 && !lacks(*at) && !lacks(at + 1) && !lacks(at - 23));
        assert_eq!(of(&scores, LevelRule::Season).forecasts, complete.count());
        values.extend([None, None]);
        assert_eq!(LevelSeries::new(values, 24).score(1), scores);
        assert_eq!(LevelSeries::new(vec![None; 5], 24).score(1), []);
        assert_eq!(LevelSeries::new(Vec::new(), 0).score(1), []);
        assert_eq!(LevelSeries::new(vec![Some(1.0)], 3).score(1), []);
    }
}
