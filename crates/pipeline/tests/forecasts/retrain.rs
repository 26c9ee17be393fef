//! Training on schedule.

use crate::fixture::{Fixture, Models, TRAINED, bar, steady, train, walk};
use forecast::ModelKind;
use market::bar::Values;
use market::interval::MINUTE;
use std::collections::BTreeSet;

const KINDS: [ModelKind; 2] = [ModelKind::RandomWalk, ModelKind::Har];

fn versions(fixture: &Fixture) -> BTreeSet<String> {
    fixture.forecasts("XYZ").into_iter().map(|forecast| forecast.version).collect()
}

/// Moves of one size while models are trained, twenty times as large afterwards: the new model is better.
fn changed(minute: usize) -> f64 {
    let rhythm = 1.5 + (minute as f64 / 30.0).sin();
    if minute < TRAINED { 0.0005 / rhythm } else { 0.01 / rhythm }
}

#[test]
fn a_new_training_replaces_the_model_if_it_is_better_on_the_bars_since() {
    let mut fixture = Fixture::new();
    fixture.settings.retrain_every = Some(300 * MINUTE);
    // The first teach that the last move says nothing about the next; afterwards that is wrong.
    let bars = walk("XYZ", TRAINED + 400, changed);
    let models = Models::of("XYZ", train(&bars[..TRAINED], &KINDS));
    fixture.emit(&bars[..TRAINED + 350]);
    let report = fixture.run(&models);
    assert_eq!((report.trained, report.replaced), (1, 1));
    assert_eq!(versions(&fixture), BTreeSet::from(["1-0123456789ab".to_owned()]));
    let new = models.0.lock().unwrap()["XYZ"][1].clone();
    assert!(new.meta.bars >= TRAINED + 300, "{}", new.meta.bars);
    fixture.emit(&bars[TRAINED + 350..]);
    fixture.run(&models);
    let count = |version: &str| {
        fixture.forecasts("XYZ").iter().filter(|forecast| forecast.version.starts_with(version)).count()
    };
    assert_eq!((count("1-"), count("2-")), (350 * 6, 50 * 6));
}

#[test]
fn a_training_that_is_not_better_changes_nothing() {
    let mut fixture = Fixture::new();
    fixture.settings.retrain_every = Some(100 * MINUTE);
    let bars = steady("XYZ", TRAINED + 150);
    // The random walk learns nothing: its loss is the same.
    let models = Models::of("XYZ", train(&bars[..TRAINED], &KINDS[..1]));
    fixture.emit(&bars);
    let report = fixture.run(&models);
    assert_eq!((report.trained, report.replaced), (1, 0));
    assert_eq!(models.0.lock().unwrap()["XYZ"].len(), 1);
}

/// The same series as the one whose model is replaced, with a split of 4:1 on the way: stored bars are not adjusted.
#[test]
fn a_split_is_not_trained_on() {
    let mut fixture = Fixture::new();
    fixture.settings.retrain_every = Some(300 * MINUTE);
    let mut bars = walk("XYZ", TRAINED + 350, changed);
    for (minute, slot) in bars.iter_mut().enumerate().skip(TRAINED + 200) {
        let Values::Trades(values) = &slot.values else { panic!("a bar of trades") };
        *slot = bar("XYZ", minute, values.ohlc.map(|price| price.to_f64() / 4.0), 400);
    }
    let models = Models::of("XYZ", train(&bars[..TRAINED], &KINDS));
    fixture.emit(&bars);
    let report = fixture.run(&models);
    assert_eq!((report.trained, report.replaced), (1, 0));
    assert_eq!(models.0.lock().unwrap()["XYZ"].len(), 1);
}
