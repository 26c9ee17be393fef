//! What is forecast, when, and how it is scored.

use crate::fixture::{Fixture, Models, QUICK, START, TRAINED, bar, steady, train};
use market::bar::Values;
use market::interval::MINUTE;
use ports::forecast::TrackRecord;
use ports::telemetry::Telemetry;
use std::collections::BTreeSet;

/// Tasks: three targets at two horizons.
const TASKS: usize = 6;

fn close(bar: &market::bar::Bar) -> f64 {
    match &bar.values {
        Values::Trades(values) => values.ohlc[3].to_f64(),
        _ => panic!("a bar of trades"),
    }
}

#[test]
fn every_bar_after_the_training_is_forecast_once_and_scored_when_its_truth_is_final() {
    let fixture = Fixture::new();
    let bars = steady("XYZ", TRAINED + 100);
    let models = Models::of("XYZ", train(&bars[..TRAINED], &QUICK));
    fixture.emit(&bars);
    fixture.emit(&steady("OTHER", 50));
    let report = fixture.run(&models);
    assert_eq!((report.made, report.refused), (100 * TASKS as u64, 0));
    // The truth of the last bars is still open: one bar at a horizon of 1, five at 5, of three targets.
    assert_eq!(report.scored, 3 * (99 + 95));
    assert_eq!(report.bars, 800, "bars without a model are not read");
    // Tests of one process share the counters.
    let metrics = ports::metrics::text(&Telemetry::default()).unwrap();
    let counted = |name: &str| -> u64 {
        let line = metrics.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    };
    assert!(counted("tapeline_forecasts_made_total") >= report.made, "{metrics}");
    assert!(counted("tapeline_forecasts_scored_total") >= report.scored, "{metrics}");

    let forecasts = fixture.forecasts("XYZ");
    assert_eq!(forecasts.len(), 100 * TASKS);
    let end = |minute: usize| START + (minute as i64 + 1) * MINUTE;
    assert_eq!(forecasts[0].made_at.0, end(TRAINED), "no bar of the training is forecast");
    for forecast in &forecasts {
        let minute = ((forecast.made_at.0 - START) / MINUTE) as usize - 1;
        let last = minute + forecast.horizon as usize;
        assert_eq!(forecast.version, "1-0123456789ab");
        assert!((forecast.close - close(&bars[minute])).abs() < 1e-9);
        assert_eq!(forecast.score.is_some(), last < bars.len());
        let Some(score) = forecast.score else { continue };
        assert_eq!(score.settled_at.0, end(last));
        if forecast.target == "return" {
            let truth = (close(&bars[last]) / close(&bars[minute])).ln();
            assert!((score.truth - truth).abs() < 1e-12);
            assert!((score.loss - (truth - forecast.point).powi(2)).abs() < 1e-15);
            assert_eq!((forecast.baseline, score.baseline_loss), (0.0, truth * truth));
        } else {
            assert!(score.truth > 0.0 && forecast.point > 0.0 && forecast.baseline > 0.0);
        }
        let [low, high] = forecast.bounds.unwrap()[2];
        assert!(low < high);
    }
    let records = TrackRecord::by_task(&forecasts);
    let volatility = &records[&("volatility".to_owned(), 1)];
    assert!(volatility.coverage().unwrap()[2] > 0.75, "{volatility:?}");
    assert!(volatility.gain().unwrap() > 0.0, "{volatility:?}");

    // On the topic each forecast stands once, and once more with its score.
    let messages = fixture.messages();
    assert_eq!(messages.len() as u64, report.made + report.scored);
    assert_eq!(messages.iter().collect::<BTreeSet<_>>().len(), messages.len());

    // Another group reads the topic from its beginning: nothing changes.
    let mut again = fixture;
    again.settings.group = "again".to_owned();
    let report = again.run(&models);
    assert_eq!((report.made, report.scored), (0, 0));
    assert_eq!(again.forecasts("XYZ"), forecasts);
}

#[test]
fn a_bar_is_forecast_when_it_closes_and_scores_wait_until_bars_are_final() {
    let fixture = Fixture::new();
    let mut bars = steady("XYZ", TRAINED + 3);
    let models = Models::of("XYZ", train(&bars[..TRAINED], &QUICK));
    for bar in &mut bars[TRAINED..] {
        bar.is_final = false;
    }
    fixture.emit(&bars);
    let report = fixture.run(&models);
    assert_eq!((report.made, report.scored), (3 * TASKS as u64, 0));
    let made = fixture.forecasts("XYZ");
    // The first new bar is restated, and all become final.
    if let Values::Trades(values) = &mut bars[TRAINED].values {
        values.ohlc[3] = values.ohlc[0];
        bars[TRAINED].revision = 1;
    }
    for bar in &mut bars[TRAINED..] {
        bar.is_final = true;
    }
    fixture.emit(&bars[TRAINED..]);
    let report = fixture.run(&models);
    assert_eq!((report.made, report.scored), (0, 3 * 2));
    let scored = fixture.forecasts("XYZ");
    for (before, after) in made.iter().zip(&scored) {
        assert_eq!((before.point, before.bounds, before.close), (after.point, after.bounds, after.close));
    }
    let first = scored.iter().find(|forecast| forecast.target == "return" && forecast.horizon == 1).unwrap();
    let truth = (close(&bars[TRAINED + 1]) / close(&bars[TRAINED])).ln();
    assert!((first.score.unwrap().truth - truth).abs() < 1e-12, "the truth is that of the final bars");
}

#[test]
fn a_halted_symbol_has_no_forecasts_until_it_moves_and_its_scores_are_those_of_the_halt() {
    let fixture = Fixture::new();
    let mut bars = steady("XYZ", TRAINED + 60);
    let models = Models::of("XYZ", train(&bars[..TRAINED], &QUICK));
    let price = close(&bars[TRAINED + 9]);
    for (minute, slot) in bars.iter_mut().enumerate().skip(TRAINED + 10).take(40) {
        *slot = bar("XYZ", minute, [price; 4], 0);
    }
    fixture.emit(&bars);
    let report = fixture.run(&models);
    // After 22 bars without movement it counts as halted; the first move ends that.
    assert_eq!(report.refused, 40 - 21);
    assert_eq!(report.made, (60 - (40 - 21)) * TASKS as u64);
    let forecasts = fixture.forecasts("XYZ");
    let in_halt = forecasts.iter().filter(|forecast| {
        forecast.target == "return"
            && forecast.made_at.0 > START + (TRAINED as i64 + 10) * MINUTE
            && forecast
                .score
                .is_some_and(|score| score.settled_at.0 <= START + (TRAINED as i64 + 50) * MINUTE)
    });
    let truths: Vec<f64> = in_halt.map(|forecast| forecast.score.unwrap().truth).collect();
    assert!(!truths.is_empty() && truths.iter().all(|truth| *truth == 0.0), "{truths:?}");
    let finite = |forecast: &ports::forecast::ForecastRecord| {
        forecast.score.is_none_or(|score| score.loss.is_finite() && score.baseline_loss.is_finite())
    };
    assert!(forecasts.iter().all(finite));
}

#[test]
fn after_a_split_that_is_not_adjusted_for_every_forecast_is_finite() {
    let fixture = Fixture::new();
    let mut bars = steady("XYZ", TRAINED + 60);
    let models = Models::of("XYZ", train(&bars[..TRAINED], &QUICK));
    for (minute, slot) in bars.iter_mut().enumerate().skip(TRAINED + 20) {
        let Values::Trades(values) = &slot.values else { panic!("a bar of trades") };
        *slot = bar("XYZ", minute, values.ohlc.map(|price| price.to_f64() / 7.0), 700);
    }
    fixture.emit(&bars);
    let report = fixture.run(&models);
    assert_eq!((report.made, report.refused), (60 * TASKS as u64, 0));
    for forecast in fixture.forecasts("XYZ") {
        let numbers = [forecast.point, forecast.baseline]
            .into_iter()
            .chain(forecast.bounds.into_iter().flatten().flatten());
        assert!(numbers.chain(forecast.score.map(|score| score.loss)).all(f64::is_finite), "{forecast:?}");
    }
}

#[test]
fn what_cannot_be_forecast_is_counted_and_leaves_no_rows() {
    let fixture = Fixture::new();
    let trained = train(&steady("XYZ", TRAINED), &QUICK);
    let models = Models::default();
    for symbol in ["CONSTANT", "SHORT", "STILL"] {
        models.0.lock().unwrap().insert(symbol.to_owned(), vec![trained.clone()]);
    }
    let later = |minute: usize| TRAINED + minute;
    let constant: Vec<_> = (0..200).map(|minute| bar("CONSTANT", later(minute), [5.0; 4], 100)).collect();
    fixture.emit(&constant);
    // A listing of 20 bars.
    let short = steady("SHORT", TRAINED + 20);
    fixture.emit(&short[TRAINED..]);
    // Prices without volume: a symbol of quotes, or an index.
    let mut still = steady("STILL", TRAINED + 150);
    for bar in &mut still {
        if let Values::Trades(values) = &mut bar.values {
            values.volume = market::Size::ZERO;
        }
    }
    fixture.emit(&still);
    let report = fixture.run(&models);
    assert_eq!(report.refused, 220);
    assert_eq!(report.made, 150 * TASKS as u64);
    assert!(fixture.forecasts("CONSTANT").is_empty() && fixture.forecasts("SHORT").is_empty());
    assert!(fixture.forecasts("STILL").iter().all(|forecast| forecast.point.is_finite()));
}
