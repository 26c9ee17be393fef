//! Sessions whose records come after those of later sessions: the bars that they would have had in order are built from the
//! store.

use crate::place::{NEXT_DAY, Place, SYMBOLS};
use market::bar::Bar;
use ports::CancelToken;
use ports::gap::{GapState, LATE};
use ports::telemetry::Telemetry;

/// Ids of the 20 trades of a session.
fn session(day: u64) -> std::ops::Range<u64> {
    day * NEXT_DAY..day * NEXT_DAY + 20
}

fn aggregate(place: &Place) -> Telemetry {
    let telemetry = Telemetry::default();
    place.aggregate(&telemetry, &CancelToken::default(), true);
    telemetry
}

/// Bars of sessions that were read in this order, each in a run of its own.
fn bars_after(days: &[u64]) -> (Place, Vec<Bar>) {
    let place = Place::new();
    for day in days {
        place.send(session(*day));
        aggregate(&place);
        place.consume();
        place.rebuild();
    }
    let bars = place.bars();
    (place, bars)
}

#[test]
fn a_session_that_is_loaded_after_a_later_one_has_its_bars() {
    let (_, wanted) = bars_after(&[0, 1, 2]);
    assert_eq!(wanted.len(), 3 * SYMBOLS.len() * 11);
    for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let (place, bars) = bars_after(&order);
        assert_eq!(bars, wanted, "{order:?}");
        let ledger = ports::gap::ledger(&place.topics, &place.names).unwrap();
        assert!(ledger.iter().all(|gap| gap.id.starts_with(LATE) && gap.state == GapState::Closed));
        assert!(ledger.iter().all(|gap| gap.proof.as_ref().is_some_and(|proof| proof.fetched == 20)));
        // Nothing is left to rebuild, nor after another restart, which reads the late records again.
        let telemetry = aggregate(&place);
        assert_eq!(telemetry.get(&telemetry.late), 0, "they are in the rebuilt bars: {order:?}");
        assert_eq!(place.rebuild().sessions, 0, "{order:?}");
        assert_eq!(place.bars(), wanted, "{order:?}");
    }
}

/// All in one run, and the store is filled only later.
#[test]
fn a_late_session_is_incomplete_until_its_records_are_stored() {
    let place = Place::new();
    for day in [3, 1, 2] {
        place.send(session(day));
    }
    let telemetry = aggregate(&place);
    assert_eq!(telemetry.get(&telemetry.late), 2 * 20 * SYMBOLS.len() as u64);
    let report = place.rebuild();
    assert_eq!((report.sessions, report.left.len()), (0, 2 * SYMBOLS.len()));
    place.consume();
    let report = place.rebuild();
    assert_eq!((report.sessions, report.late, report.left), (16, 16, Vec::new()));
    assert_eq!(place.bars(), bars_after(&[1, 2, 3]).1);
}

/// A record that comes a day late is in its bars once they are rebuilt; until then they say that something is missing.
#[test]
fn one_late_record_restates_the_bars_of_its_session() {
    let place = Place::new();
    place.send(session(0).start..session(0).end - 1);
    place.send(session(1));
    aggregate(&place);
    place.consume();
    let complete = |place: &Place| place.bars().iter().filter(|bar| !bar.complete).count();
    assert_eq!(complete(&place), 0);
    place.send(session(0).end - 1..session(0).end);
    aggregate(&place);
    // The daily bar and the ten of a minute of each symbol.
    assert_eq!(complete(&place), 11 * SYMBOLS.len());
    place.consume();
    assert_eq!(place.rebuild().late, SYMBOLS.len() as u64);
    assert_eq!(place.bars(), bars_after(&[0, 1]).1);
}

/// Everything published again: the sessions are built again and come out the same.
#[test]
fn a_replay_changes_no_bar() {
    let (place, wanted) = bars_after(&[0, 1]);
    place.send(session(0));
    place.send(session(1));
    aggregate(&place);
    place.consume();
    place.rebuild();
    assert_eq!(place.bars(), wanted);
    assert!(ports::gap::ledger(&place.topics, &place.names).unwrap().iter().all(|gap| gap.proof.is_some()));
}
