//! Bars of readings: every number that a reading can be, late and repeated readings.

use super::*;
use market::bar::ReadingValues;
use market::codec::json;
use market::interval::Interval;

/// A Monday in 2026, 10:00 UTC.
const START_S: i64 = 1_767_607_200;

fn reading(seq: i64, seconds: i64, class: &str, value: &str) -> String {
    let ts = (START_S + seconds) * SECOND;
    format!(
        r#"{{"series":"boiler","feed":"plant","seq":{seq},"ts":{ts},"recv_ts":{ts},"type":"{class}","value":"{value}"}}"#
    )
}

/// The 1m bars after the stream's end, as `first/max/min/last sum mean count`, with the numbers of late readings
/// and revisions.
fn bars(messages: &[String]) -> (Vec<String>, Aggregator) {
    let mut aggregator = Aggregator::new(in_calendar("sip", Calendar::XNYS));
    let mut bars = std::collections::BTreeMap::new();
    for (position, message) in messages.iter().enumerate() {
        let record = json::decode(Kind::READING, message.as_bytes()).unwrap();
        aggregator.add(&record, StreamPosition { position: position as u64, stamp_ms: 0 });
        aggregator.take(0, &mut |bar| drop(bars.insert((bar.interval, bar.start), bar)));
    }
    aggregator.finish(&mut |bar| drop(bars.insert((bar.interval, bar.start), bar)));
    let text = |values: &ReadingValues| {
        let four = values.first_max_min_last.map(|value| value.to_string()).join("/");
        let or_none =
            |value: Option<Price>| value.map_or_else(|| "none".to_owned(), |value| value.to_string());
        format!("{four} {} {} {}", or_none(values.sum), or_none(values.mean()), values.count)
    };
    let minutes = bars.values().filter(|bar| bar.interval == Interval::M1).map(|bar| {
        assert_eq!((bar.kind, bar.symbol.as_str(), bar.feed.as_str()), (Kind::READING, "boiler", "plant"));
        match &bar.values {
            Values::Readings(values) => {
                format!(
                    "{} {} late {} revision {}",
                    bar.start.0 / SECOND - START_S,
                    text(values),
                    bar.late,
                    bar.revision
                )
            }
            other => panic!("{other:?}"),
        }
    });
    (minutes.collect(), aggregator)
}

#[test]
fn numbers_of_every_type_are_summed_exactly() {
    let (bars, aggregator) = bars(&[
        reading(1, 0, "decimal", "0.1"),
        reading(2, 1, "float", "0.2"),
        reading(3, 2, "integer", "-3"),
        reading(4, 3, "boolean", "true"),
        // In no bar, but counted: text, a float beyond 18 decimals, one beyond 1e20.
        reading(5, 4, "text", "open"),
        reading(6, 5, "float", "1e-30"),
        reading(7, 6, "float", "1e300"),
        reading(8, 60, "decimal", "1"),
        reading(9, 61, "decimal", "1"),
        reading(10, 62, "decimal", "0"),
    ]);
    assert_eq!(
        bars,
        [
            "0 0.1/1/-3/1 -1.7 -0.425 4 late 0 revision 0",
            "60 1/1/0/0 2 0.666666666666666667 3 late 0 revision 0"
        ]
    );
    assert_eq!(aggregator.counts().not_numeric, 3);
}

#[test]
fn readings_of_one_instant_stay_apart_and_repeats_count_once() {
    let (bars, aggregator) = bars(&[
        reading(2, 1, "decimal", "5"),
        reading(1, 1, "decimal", "3"),
        reading(2, 1, "decimal", "5"),
        reading(-1, 1, "decimal", "4"),
    ]);
    assert_eq!(bars.len(), 1);
    assert!(bars[0].contains(" 12 4 3 late"), "{bars:?}");
    assert_eq!(aggregator.counts().duplicates, 1);
}

#[test]
fn a_late_reading_restates_its_bar() {
    let (bars, _) = bars(&[
        reading(1, 10, "decimal", "1"),
        reading(6, 11, "decimal", "1"),
        reading(7, 12, "decimal", "1"),
        // Three of them: a single leap of a device's clock does not close bars.
        reading(2, 130, "decimal", "9"),
        reading(4, 131, "decimal", "9"),
        reading(5, 132, "decimal", "9"),
        reading(3, 20, "decimal", "3"),
    ]);
    assert_eq!(bars, ["0 1/3/1/3 6 1.5 4 late 1 revision 1", "120 9/9/9/9 27 9 3 late 0 revision 0"]);
}

#[test]
fn a_sum_that_does_not_fit_is_absent() {
    let huge = "99999999999999999999";
    let (bars, _) = bars(&[
        reading(1, 0, "integer", "9223372036854775807"),
        reading(2, 1, "decimal", huge),
        reading(3, 2, "decimal", huge),
    ]);
    assert!(bars[0].contains(" none none 3 "), "{bars:?}");
}
