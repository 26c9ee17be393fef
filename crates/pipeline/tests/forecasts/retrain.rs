//! Training on schedule.

use crate::fixture::{Fixture, Models, TRAINED, steady, train, walk};
use forecast::ModelKind;
use market::interval::MINUTE;
use std::collections::BTreeSet;

const KINDS: [ModelKind; 2] = [ModelKind::RandomWalk, ModelKind::Har];

fn versions(fixture: &Fixture) -> BTreeSet<String> {
    fixture.forecasts("XYZ").into_iter().map(|forecast| forecast.version).collect()
}

#[test]
fn a_new_training_replaces_the_model_if_it_is_better_on_the_bars_since() {
    let mut fixture = Fixture::new();
    fixture.settings.retrain_every = Some(300 * MINUTE);
    // Moves of one size teach that the last one says nothing about the next. Twenty times as large after the training,
    // that is wrong.
    let bars = walk("XYZ", TRAINED + 400, |minute| {
        let rhythm = 1.5 + (minute as f64 / 30.0).sin();
        if minute < TRAINED { 0.0005 / rhythm } else { 0.01 / rhythm }
    });
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
