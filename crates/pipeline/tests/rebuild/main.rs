//! Bars that are rebuilt from the store. Partitions added in the middle of a session send symbols to other partitions: the
//! bars of those symbols, and no others, are marked, and the gap ledger says why. So it is with sessions that come late.
#![allow(clippy::unwrap_used, reason = "tests")]

mod late;
mod members;
mod place;

use market::bar::Bar;
use pipeline::aggregate;
use place::{HALF, Place, SYMBOLS};
use ports::CancelToken;
use ports::gap::GapState;
use ports::telemetry::Telemetry;
use ports::topic::Topics;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// Bars of the same records on a topic to which no partition was added.
fn undivided() -> Vec<Bar> {
    let place = Place::new();
    place.send(0..2 * HALF);
    place.aggregate(&Telemetry::default(), &CancelToken::default(), true);
    place.bars()
}

#[test]
fn bars_of_symbols_that_moved_are_rebuilt_from_the_store() {
    let place = Place::new();
    place.send(0..HALF);
    place.grow();
    place.send(HALF..2 * HALF);
    place.aggregate(&Telemetry::default(), &CancelToken::default(), true);
    let moved = place.moved().len();
    // Nothing is stored yet: nothing is rebuilt.
    let report = place.rebuild();
    assert_eq!((report.sessions, report.left.len()), (0, moved));
    assert!(report.left[0].contains("group g has not stored 960 messages yet"), "{}", report.left[0]);
    place.check();
    place.consume();
    assert_ne!(place.bars(), undivided());
    let report = place.rebuild();
    assert_eq!((report.sessions, report.left), (moved as u64, Vec::new()));
    assert_eq!(place.bars(), undivided());
    let ledger = ports::gap::ledger(&place.topics, &place.names).unwrap();
    assert!(ledger.iter().all(|gap| gap.state == GapState::Closed), "{ledger:?}");
    let proof = ledger[0].proof.as_ref().unwrap();
    assert_eq!((proof.fetched, proof.counted_again), (2 * HALF, 2 * HALF));
    // The newest message of each bar is the rebuilt one.
    let mut newest = BTreeMap::new();
    place
        .topics
        .read_all(&[place.names.bars()], &mut |message| {
            newest.insert(message.key().to_vec(), message.payload().to_vec());
        })
        .unwrap();
    let days: Vec<_> = newest
        .values()
        .map(|text| serde_json::from_slice::<serde_json::Value>(text).unwrap())
        .filter(|bar| bar["interval"] == "1d")
        .collect();
    assert_eq!(days.len(), SYMBOLS.len());
    for day in days {
        assert_eq!(
            (day["trades"].as_u64(), day["complete"].as_bool()),
            (Some(2 * HALF), Some(true)),
            "{day}"
        );
    }
    // Rebuilding again does nothing.
    assert_eq!(place.rebuild().sessions, 0);
}

#[test]
fn bars_of_one_partition_that_replace_rebuilt_ones_are_marked_again() {
    let place = Place::new();
    place.send(0..HALF);
    place.grow();
    place.send(HALF..2 * HALF);
    place.aggregate(&Telemetry::default(), &CancelToken::default(), true);
    place.consume();
    assert!(place.rebuild().sessions > 0);
    // Another group builds the bars of each partition again, and does not know that they were rebuilt.
    let mut settings = place.settings();
    "again".clone_into(&mut settings.group);
    let (telemetry, stop, end) = (Telemetry::default(), CancelToken::default(), AtomicBool::new(true));
    aggregate::run(&place.topics, &place.store, &settings, &telemetry, &stop, &end).unwrap();
    let complete = undivided();
    assert!(place.bars().iter().all(|bar| !bar.complete || complete.contains(bar)));
    place.rebuild();
    assert_eq!(place.bars(), complete);
}

#[test]
fn bars_of_symbols_that_moved_are_incomplete() {
    let place = Place::new();
    place.send(0..HALF);
    place.grow();
    place.send(HALF..2 * HALF);
    place.aggregate(&Telemetry::default(), &CancelToken::default(), true);
    place.check();
}

#[test]
fn bars_of_symbols_that_moved_between_runs_are_incomplete() {
    let place = Place::new();
    place.send(0..HALF);
    let (telemetry, stop) = (Telemetry::default(), CancelToken::default());
    std::thread::scope(|scope| {
        scope.spawn(|| place.aggregate(&telemetry, &stop, false));
        let start = Instant::now();
        while telemetry.get(&telemetry.aggregated) < HALF * SYMBOLS.len() as u64 {
            assert!(start.elapsed() < Duration::from_secs(60));
            std::thread::sleep(Duration::from_millis(5));
        }
        // Bars of the first half are written, and complete.
        std::thread::sleep(Duration::from_millis(200));
        stop.cancel();
    });
    assert!(ports::gap::ledger(&place.topics, &place.names).unwrap().is_empty());
    place.grow();
    place.send(HALF..2 * HALF);
    place.aggregate(&Telemetry::default(), &CancelToken::default(), true);
    place.check();
}
