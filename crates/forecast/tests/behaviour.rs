//! What a caller relies on: no leak, the same bits for the same seed, clear errors, files that survive or
//! explain why not.
#![allow(clippy::unwrap_used, reason = "tests")]

use forecast::bundle::Bundle;
use forecast::leak::{self, LeakError};
use forecast::live::LiveModel;
use forecast::lstm::forecaster::LstmOptions;
use forecast::renewal::{renew, same_options};
use forecast::rng::Rng;
use forecast::walk_forward::{WalkOptions, walk_forward};
use forecast::{Dataset, ForecastError, ModelKind, Ohlcv, Series, Target, Task, file, scoreboard, split};

const DAY_NS: i64 = 86_400_000_000_000;

/// Daily bars whose volatility clusters.
fn series(count: usize, seed: u64) -> Series {
    let mut rng = Rng::new(seed);
    let mut price = 100.0f64;
    let mut log_volatility = -4.5f64;
    let mut bars = Vec::new();
    for day in 0..count {
        log_volatility += 0.05 * (-4.5 - log_volatility) + 0.15 * rng.normal();
        let mut path = vec![price];
        for _ in 0..20 {
            price *= (log_volatility.exp() / 20f64.sqrt() * rng.normal()).exp();
            path.push(price);
        }
        let high = path.iter().copied().fold(f64::MIN, f64::max);
        let low = path.iter().copied().fold(f64::MAX, f64::min);
        let volume = 1e6 * (0.3 * rng.normal()).exp();
        let start_ns = day as i64 * DAY_NS;
        bars.push(Ohlcv { start_ns, open: path[0], high, low, close: price, volume });
    }
    Series::new(bars).unwrap()
}

fn options() -> WalkOptions {
    WalkOptions {
        first_fit: 300,
        refit_every: 150,
        embargo: 2,
        tasks: Task::all(&[1, 5]),
        lstm: LstmOptions { window: 5, hidden: 4, epochs: 2, ..LstmOptions::default() },
        ..WalkOptions::default()
    }
}

fn forecasts(series: &Series) -> Result<Vec<(usize, f64)>, ForecastError> {
    let data = Dataset::new(series, 5)?;
    let tracks = walk_forward(&data, &options(), &mut |_| {})?;
    let of = |track: forecast::walk_forward::Track| {
        let first = track.first;
        track.points.into_iter().enumerate().map(move |(at, point)| (first + at, point))
    };
    Ok(tracks.into_iter().flat_map(of).collect())
}

#[test]
fn no_model_sees_the_future() {
    leak::check(&series(620, 1), &[299, 400, 455, 610], 9, forecasts).unwrap();
}

#[test]
fn a_planted_leak_is_caught() {
    // The centre of a window that reaches one bar ahead: the classic mistake.
    let leaky = |series: &Series| {
        let closes: Vec<f64> = series.bars().iter().map(|bar| bar.close).collect();
        let centred = |t: usize| closes[t - 1..(t + 2).min(closes.len())].iter().sum::<f64>() / 3.0;
        Ok((1..closes.len()).map(|t| (t, centred(t))).collect())
    };
    let error = leak::check(&series(100, 2), &[50], 9, leaky).unwrap_err();
    assert!(matches!(error, LeakError::Leak { origin: 50, cut: 50, .. }), "{error}");

    // Standardising by the whole series before splitting it: the subtle one.
    let scaled_by_all = |series: &Series| {
        let closes: Vec<f64> = series.bars().iter().map(|bar| bar.close).collect();
        let mean = closes.iter().sum::<f64>() / closes.len() as f64;
        Ok(closes.iter().enumerate().map(|(t, close)| (t, close - mean)).collect())
    };
    let error = leak::check(&series(100, 2), &[50], 9, scaled_by_all).unwrap_err();
    assert!(matches!(error, LeakError::Leak { origin: 0, .. }), "{error}");
}

#[test]
fn training_rows_keep_their_truth_and_the_embargo_away_from_the_last_known_bar() {
    let data = Dataset::new(&series(200, 3), 5).unwrap();
    for (horizon, embargo) in [(1, 0), (5, 0), (22, 7)] {
        let rows = data.training_rows(150, horizon, embargo);
        assert_eq!(
            rows.end - 1 + horizon + embargo,
            150,
            "the last truth ends with the embargo before bar 150"
        );
    }
    assert!(data.training_rows(70, 22, 7).is_empty());
}

#[test]
fn the_same_seed_gives_the_same_bits_and_another_one_does_not() {
    let data = Dataset::new(&series(600, 4), 5).unwrap();
    let bytes = |seed: u64| {
        let mut options = options();
        options.lstm.seed = seed;
        file::encode(&Bundle::train(&data, "TEST", "1d", &options, &mut |_| {}).unwrap()).unwrap()
    };
    let first = bytes(1);
    assert_eq!(first, bytes(1));
    assert_ne!(first, bytes(2));
}

#[test]
fn a_bundle_survives_its_file_and_forecasts_the_same() {
    let data = Dataset::new(&series(600, 5), 5).unwrap();
    let bundle = Bundle::train(&data, "TEST", "1d", &options(), &mut |_| {}).unwrap();
    let bytes = file::encode(&bundle).unwrap();
    let read = file::decode(&bytes).unwrap();
    let found = read.predict(&data).unwrap();
    let expected = bundle.predict(&data).unwrap();
    assert_eq!(found.len(), 2 * (7 + 10 + 8));
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!((found.kind, found.task, found.point), (expected.kind, expected.task, expected.point));
        assert_eq!(found.intervals, expected.intervals);
        let intervals = found.intervals.unwrap();
        assert!(intervals[2].low <= intervals[0].low && intervals[0].high <= intervals[2].high);
    }
    assert_eq!(file::digest(&bytes).unwrap().len(), 32);
}

#[test]
fn a_cut_damaged_or_foreign_file_is_a_clear_error() {
    let data = Dataset::new(&series(600, 6), 5).unwrap();
    let mut options = options();
    options.kinds.retain(|kind| *kind != ModelKind::Lstm);
    let bytes = file::encode(&Bundle::train(&data, "TEST", "1d", &options, &mut |_| {}).unwrap()).unwrap();
    for length in (0..bytes.len()).step_by(97).chain([7, 8, bytes.len() - 1]) {
        let error = file::decode(&bytes[..length]).unwrap_err().to_string();
        assert!(error.contains("truncated") || error.contains("not a model file"), "{length}: {error}");
    }
    for at in (0..bytes.len()).step_by(131) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        assert!(file::decode(&damaged).is_err(), "byte {at}");
    }
    let foreign = file::decode(b"PK\x03\x04 this is an archive of something else").unwrap_err().to_string();
    assert!(foreign.contains("not a model file"), "{foreign}");
    let text = r#"{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#;
    let other = [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let other = file::decode(&other).unwrap_err().to_string();
    assert!(other.contains("without metadata"), "{other}");
}

#[test]
fn short_constant_and_halted_series_are_clear_errors() {
    let all = series(400, 7);
    let day = Dataset::new(&all.prefix(1), 5).unwrap_err();
    assert_eq!(day.to_string(), "expected at least 68 bars for one row of features, found 1");
    let short = Dataset::new(&all, 5).unwrap();
    let error = Bundle::train(&short, "TEST", "1d", &options(), &mut |_| {}).unwrap_err();
    assert_eq!(error.to_string(), "expected at least 555 bars for a walk-forward record, found 400");
    let flat = |bar: &Ohlcv| Ohlcv { open: 5.0, high: 5.0, low: 5.0, close: 5.0, ..*bar };
    let constant = Series::new(all.bars().iter().map(flat).collect()).unwrap();
    assert!(matches!(Dataset::new(&constant, 5), Err(ForecastError::Constant { bars: 400, .. })));
    let mut halted = all.bars().to_vec();
    let last = halted[369].close;
    for bar in &mut halted[370..] {
        *bar = Ohlcv { open: last, high: last, low: last, close: last, volume: 0.0, ..*bar };
    }
    let halted = Dataset::new(&Series::new(halted).unwrap(), 5);
    assert!(matches!(halted, Err(ForecastError::Halted { bars: 30, .. })), "{halted:?}");
}

#[test]
fn zero_volume_and_bars_without_a_tick_are_forecast() {
    let mut bars = series(620, 8).bars().to_vec();
    for (at, bar) in bars.iter_mut().enumerate() {
        bar.volume = 0.0;
        if at % 7 == 0 {
            let price = bar.close;
            *bar = Ohlcv { open: price, high: price, low: price, ..*bar };
        }
    }
    let data = Dataset::new(&Series::new(bars).unwrap(), 5).unwrap();
    let tracks = walk_forward(&data, &options(), &mut |_| {}).unwrap();
    for track in &tracks {
        let valid = |point: &f64| point.is_finite() && (track.task.target == Target::Return || *point > 0.0);
        assert!(track.points.iter().all(valid), "{:?} {}", track.kind, track.task);
    }
    let board = scoreboard::score(&data, &tracks);
    assert!(board.scores.iter().all(|score| score.loss.is_finite() && score.crps.is_finite()));
}

#[test]
fn an_unadjusted_split_is_refused_and_leaves_every_forecast_finite() {
    let mut bars = series(620, 10).bars().to_vec();
    for bar in &mut bars[450..] {
        let Ohlcv { open, high, low, close, .. } = *bar;
        *bar = Ohlcv { open: open / 7.0, high: high / 7.0, low: low / 7.0, close: close / 7.0, ..*bar };
    }
    let series = Series::new(bars).unwrap();
    let found = split::suspected(&series);
    assert_eq!(found.iter().map(|split| (split.bar, split.ratio)).collect::<Vec<_>>(), [(450, 7.0)]);
    let data = Dataset::new(&series, 5).unwrap();
    let kinds = vec![ModelKind::RandomWalk, ModelKind::Har];
    let few = WalkOptions { kinds, ..options() };
    let before = Dataset::new(&series.prefix(600), 5).unwrap();
    let refused = Bundle::train(&before, "TEST", "1d", &few, &mut |_| {}).unwrap_err();
    assert!(matches!(refused, ForecastError::Split { last, found: 1 } if last.bar == 450), "{refused}");
    let allowed = WalkOptions { allow_jumps: true, ..few };
    let mut old = Bundle::train(&before, "TEST", "1d", &allowed, &mut |_| {}).unwrap();
    assert!(same_options(&old).allow_jumps);
    // The same jump is refused by a renewal of models that were trained on adjusted bars.
    old.meta.allow_jumps = false;
    old.meta.last_ns -= 50 * DAY_NS;
    let refused = renew(&old, &data, &same_options(&old), &mut |_| {}).unwrap_err();
    assert!(matches!(refused, ForecastError::Split { .. }), "{refused}");

    let tracks = walk_forward(&data, &options(), &mut |_| {}).unwrap();
    for track in &tracks {
        let valid = |point: &f64| point.is_finite() && (track.task.target == Target::Return || *point > 0.0);
        assert!(track.points.iter().all(valid), "{:?} {}", track.kind, track.task);
    }
    // 170 bars later the forecasts of volatility are back to the size of the moves.
    let last = |kind: ModelKind| {
        let of = |track: &&forecast::walk_forward::Track| {
            track.kind == kind && track.task == Task { target: Target::Variance, horizon: 1 }
        };
        *tracks.iter().find(of).unwrap().points.last().unwrap()
    };
    for kind in [ModelKind::Ridge, ModelKind::Ewma, ModelKind::Combination] {
        assert!(last(kind).sqrt() < 0.1, "{kind:?}: {}", last(kind).sqrt());
    }
}

/// A season of a session leaves no training rows to the first bars.
#[test]
fn the_least_first_fit_is_enough_for_every_model_and_one_bar_less_is_not() {
    let data = Dataset::new(&series(700, 11), 300).unwrap();
    for without in [None, Some(ModelKind::Lstm)] {
        let mut options = WalkOptions { refit_every: 1_000, ..options() };
        options.kinds.retain(|kind| Some(*kind) != without);
        options.first_fit = options.least_first_fit(300);
        walk_forward(&data, &options, &mut |_| {}).unwrap();
        options.first_fit -= 1;
        let error = walk_forward(&data, &options, &mut |_| {}).unwrap_err();
        assert!(matches!(error, ForecastError::TooShort { .. }), "{error}");
    }
}

#[test]
fn a_horizon_or_step_of_zero_is_refused() {
    let data = Dataset::new(&series(400, 9), 5).unwrap();
    let options = WalkOptions { refit_every: 0, ..options() };
    assert!(matches!(walk_forward(&data, &options, &mut |_| {}), Err(ForecastError::Option { .. })));
    let tasks = Task::all(&[0]);
    let options = WalkOptions { tasks, ..self::options() };
    let error = walk_forward(&data, &options, &mut |_| {}).unwrap_err();
    assert_eq!(error.to_string(), "option horizon: expected at least 1, found 0");
}

#[test]
fn a_live_model_forecasts_what_the_best_model_of_each_task_predicts() {
    let series = series(600, 5);
    let data = Dataset::new(&series, 5).unwrap();
    let trained = Bundle::train(&data, "TEST", "1d", &options(), &mut |_| {}).unwrap();
    for only in [None, Some(ModelKind::Lstm), Some(ModelKind::Combination)] {
        let mut bundle = trained.clone();
        if let Some(only) = only {
            let kept: Vec<bool> = bundle.meta.scores.iter().map(|score| score.kind == only).collect();
            let (mut of_scores, mut of_intervals) = (kept.iter(), kept.iter());
            bundle.meta.scores.retain(|_| *of_scores.next().unwrap());
            bundle.intervals.retain(|_| *of_intervals.next().unwrap());
        }
        let live = LiveModel::new(&bundle);
        assert_eq!((live.history(), live.longest_horizon(), live.tasks().count()), (1_005, 5, 6));
        let forecasts = live.forecast(&live.prepare(&series).unwrap()).unwrap();
        assert_eq!(forecasts, live.forecast(&data).unwrap(), "the rows without features are not read");
        let predicted = bundle.predict(&data).unwrap();
        assert_eq!(forecasts.len(), 6);
        for forecast in &forecasts {
            let best = bundle.best(forecast.task).unwrap();
            let same = predicted.iter().find(|other| other.task == forecast.task && other.kind == best.kind);
            let same = same.unwrap();
            assert_eq!((forecast.kind, forecast.point), (best.kind, same.point));
            assert_eq!(forecast.verdict, best.verdict.to_string());
            let bounds = same.intervals.unwrap().map(|interval| [interval.low, interval.high]);
            assert_eq!(forecast.bounds, Some(bounds));
            let random_walk = predicted
                .iter()
                .find(|other| other.task == forecast.task && other.kind == ModelKind::RandomWalk);
            assert_eq!(forecast.baseline, random_walk.unwrap().point);
        }
    }
    // Truths need no features, and are the same without.
    let truths = Dataset::for_truths(&series, 5).unwrap();
    for task in Task::all(&[1, 5]) {
        assert_eq!(truths.truth(task, 580), data.truth(task, 580));
    }
    let error = Dataset::for_truths(&Series::new(Vec::new()).unwrap(), 5).unwrap_err();
    assert!(matches!(error, ForecastError::TooShort { found: 0, .. }));
}

#[test]
fn a_renewal_is_compared_on_bars_that_neither_model_had_seen() {
    let all = series(760, 5);
    let old_data = Dataset::new(&all.prefix(600), 5).unwrap();
    let options = WalkOptions { kinds: vec![ModelKind::RandomWalk, ModelKind::Har], ..options() };
    let old = Bundle::train(&old_data, "TEST", "1d", &options, &mut |_| {}).unwrap();
    let data = Dataset::new(&all, 5).unwrap();
    let renewal = renew(&old, &data, &same_options(&old), &mut |_| {}).unwrap();
    assert_eq!(renewal.bundle.meta.bars, 760);
    assert_eq!(renewal.comparisons.len(), 6);
    for comparison in &renewal.comparisons {
        assert_eq!(comparison.forecasts, 160 - comparison.task.horizon);
        // The random walk is the same however often it is trained.
        if comparison.old.0 == ModelKind::RandomWalk && comparison.new.0 == ModelKind::RandomWalk {
            assert_eq!(comparison.gain(), 0.0);
        }
    }
    let mean = renewal.comparisons.iter().map(forecast::renewal::RenewalComparison::gain).sum::<f64>() / 6.0;
    assert_eq!((renewal.gain(), renewal.is_better()), (Some(mean), mean > 0.0));
    let few = Dataset::new(&all.prefix(620), 5).unwrap();
    let error = renew(&old, &few, &same_options(&old), &mut |_| {}).unwrap_err();
    assert!(matches!(error, ForecastError::TooShort { needed: 35, found: 20, .. }), "{error}");
}
