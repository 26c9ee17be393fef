use super::*;
use market::codec::json;
use market::codec::sparkplug::SERIES;
use ports::gap::GapState;
use std::time::Duration;

/// Messages that another program encoded: name, topic and payload.
const GOLDEN: &str = include_str!("../../../../../market/tests/golden/sparkplug.txt");
const START: i64 = 1_767_571_200_000;

fn source() -> Sparkplug {
    Sparkplug::new("plant", MetricReader::new("plant", SERIES).unwrap(), "mqtt://h:1883", true)
}

fn golden(name: &str) -> (&'static str, Vec<u8>) {
    let line = GOLDEN.lines().find(|line| line.starts_with(&format!("{name} "))).expect(name);
    let words: Vec<&str> = line.split(' ').collect();
    let byte = |at: usize| u8::from_str_radix(&words[2][at..at + 2], 16).unwrap();
    (words[1], (0..words[2].len()).step_by(2).map(byte).collect())
}

/// An event as one line: milliseconds are those since the first birth.
fn show(event: &Event<'_>) -> String {
    let millis = |text: &str| UnixNanos::parse(text).unwrap().0 / 1_000_000 - START;
    match event {
        Event::Record { payload, .. } => {
            let Some(market::Record::Reading(reading)) = json::decode(Kind::READING, payload) else {
                panic!()
            };
            let series = reading.series.strip_prefix("plant/line/").unwrap();
            let extra = format!("{} {}", reading.unit, reading.quality);
            let at = reading.ts.0 / 1_000_000 - START;
            format!("{series}={} @{at} {}", reading.value.text, extra.trim()).trim_end().to_owned()
        }
        Event::Dead(dead_letter) => format!("dead: {}", dead_letter.reason),
        Event::Gap(gap) => {
            let state = if gap.state == GapState::Open { "gap" } else { "closed" };
            let (cause, series) = (gap.cause.strip_prefix("plant/").unwrap(), gap.symbols.len());
            // A gap without any value before it begins when the message came, or was sent.
            let to = gap.to.as_deref().map(|to| format!(" to {}", millis(to))).unwrap_or_default();
            format!("{state} {cause} [{series}] from {}{to}", millis(&gap.from))
        }
        other => panic!("{other:?}"),
    }
}

/// What the source emits for messages, in order.
fn feed(source: &mut Sparkplug, names: &[&str]) -> Vec<String> {
    let mut out = Vec::new();
    for name in names {
        let (topic, bytes) = golden(name);
        let taken = source.message(topic, &bytes, false, &mut |event| {
            out.push(show(&event));
            Ok(())
        });
        taken.unwrap();
    }
    out
}

fn connect(source: &mut Sparkplug) -> Vec<String> {
    let mut out = Vec::new();
    source
        .connected(&mut |event| {
            out.push(show(&event));
            Ok(())
        })
        .unwrap();
    out
}

const BIRTHS: [&str; 2] = ["nbirth-a", "dbirth-a"];

#[test]
fn values_by_alias_get_the_names_of_their_birth() {
    let mut source = source();
    assert_eq!(connect(&mut source), Vec::<String>::new());
    assert_eq!(
        feed(&mut source, &BIRTHS),
        ["/bdSeq=7 @0", "/temp=20.5 @0 °C", "press/speed=100 @1", "press/state=idle @1"]
    );
    assert_eq!(
        feed(&mut source, &["ddata-2", "ddata-3", "ndata-4"]),
        [
            "press/speed=-110 @1000",
            "press/speed=105 @500 historical",
            "press/state= @2000 null",
            "/temp=21.5 @3000 °C 192 transient",
        ]
    );
    assert!(source.requests(Instant::now()).is_empty());
}

#[test]
fn a_missing_message_is_a_gap_until_the_rebirth_and_no_alias_is_trusted_in_between() {
    let mut source = source();
    feed(&mut source, &[&BIRTHS[..], &["ddata-2", "ddata-3", "ndata-4"]].concat());
    // Message 5 is missing; what has a name is read all the same.
    assert_eq!(
        feed(&mut source, &["ddata-6"]),
        [
            "gap line: expected message 5, found 6 (seq) [2] from 3000",
            "gap line/press: expected message 5, found 6 (seq) [2] from 2000",
            "press/state=run @5000",
            "dead: alias 2 is of no birth that was seen",
        ]
    );
    let now = Instant::now();
    let requests = source.requests(now);
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].0, "spBv1.0/plant/NCMD/line");
    // Ours comes back to us, and is not sent twice.
    source.message(&requests[0].0, &requests[0].1, false, &mut |event| panic!("{event:?}")).unwrap();
    assert!(source.requests(now).is_empty());
    assert_eq!(source.requests(now + Duration::from_secs(6)).len(), 1);
    assert_eq!(feed(&mut source, &["ddata-7"]), ["dead: alias 2 is of no birth that was seen"]);
    // In the birth alias 2 stands for something else.
    assert_eq!(
        feed(&mut source, &["nbirth-b", "dbirth-b", "ddata-b2"]),
        [
            "/bdSeq=7 @7000",
            "/temp=20.5 @7000 °C",
            "closed line: expected message 5, found 6 (seq) [2] from 3000 to 7000",
            "press/speed=100 @7001",
            "press/state=idle @7001",
            "closed line/press: expected message 5, found 6 (seq) [2] from 2000 to 7001",
            "press/speed=130 @8000",
        ]
    );
    assert!(source.requests(now + Duration::from_secs(3_600)).is_empty());
}

#[test]
fn deaths_open_gaps_that_the_next_births_close() {
    let mut source = source();
    feed(&mut source, &["nbirth-b", "dbirth-b", "ddata-b2"]);
    assert_eq!(
        feed(&mut source, &["ddeath-b3"]),
        ["gap line/press: the device is offline (DDEATH) [2] from 8000"]
    );
    // That of an earlier connection, and then its own.
    assert_eq!(feed(&mut source, &["ndeath-6"]), Vec::<String>::new());
    assert_eq!(feed(&mut source, &["ndeath-7"]), ["gap line: the node is offline (NDEATH) [2] from 7000"]);
    assert!(source.requests(Instant::now()).is_empty());
    assert_eq!(
        feed(&mut source, &["nbirth-c", "dbirth-c"]),
        [
            "/bdSeq=8 @20000",
            "/temp=20.5 @20000 °C",
            "closed line: the node is offline (NDEATH) [2] from 7000 to 20000",
            "press/speed=100 @20001",
            "press/state=idle @20001",
            "closed line/press: the device is offline (DDEATH); the node is offline (NDEATH) [2] from 8000 to 20001",
        ]
    );
}

#[test]
fn an_unknown_alias_is_a_dead_letter_a_gap_and_a_request() {
    let mut source = source();
    feed(&mut source, &["nbirth-c", "dbirth-c"]);
    assert_eq!(
        feed(&mut source, &["ddata-c2", "ddata-c3"]),
        [
            "gap line/press: metrics that no birth has named [2] from 20001",
            "dead: alias 99 is of no birth that was seen",
            "press/speed=5 @22000",
        ]
    );
    assert_eq!(source.requests(Instant::now()).len(), 1);
}

#[test]
fn a_node_that_was_there_before_us_is_asked_for_its_births() {
    let mut source = source();
    assert_eq!(
        feed(&mut source, &["ddata-2"]),
        [
            "gap line: no birth was seen [0] from 1000",
            "gap line/press: metrics that no birth has named [0] from 1000",
            "dead: alias 2 is of no birth that was seen",
        ]
    );
    assert_eq!(source.requests(Instant::now()).len(), 1);
    let mut silent = Sparkplug { may_request: false, ..self::source() };
    feed(&mut silent, &["ddata-2"]);
    assert!(silent.requests(Instant::now()).is_empty());
}

#[test]
fn our_own_restart_and_a_lost_connection_trust_no_alias() {
    let mut first = source();
    connect(&mut first);
    feed(&mut first, &BIRTHS);
    let positions = first.positions();
    assert_eq!(positions.len(), 3);
    assert!(first.positions().is_empty());
    let lost = [
        "gap line: the connection to the broker was lost [2] from 0",
        "gap line/press: the connection to the broker was lost [2] from 1",
    ];
    assert_eq!(connect(&mut first), lost);
    assert_eq!(feed(&mut first, &["ddata-2"]), ["dead: alias 2 is of no birth that was seen"]);
    // What the broker delivers once more was sent under the same birth.
    let (topic, bytes) = golden("ddata-2");
    let mut again = Vec::new();
    first
        .message(topic, &bytes, true, &mut |event| {
            again.push(show(&event));
            Ok(())
        })
        .unwrap();
    assert_eq!(again, ["press/speed=-110 @1000"]);

    let mut second = source();
    assert_eq!(second.resume(&positions), 1);
    let gaps = connect(&mut second);
    assert_eq!(gaps.len(), 2);
    assert!(
        gaps[1].starts_with("gap line/press: nothing was received since the last run [2] from "),
        "{gaps:?}"
    );
    assert_eq!(second.requests(Instant::now()).len(), 1);
}

/// The ledger: for each gap the state that was emitted last.
#[derive(Default)]
struct Ledger(BTreeMap<String, Gap>);

impl Ledger {
    /// Adds the gaps that a source emits meanwhile.
    fn keep(&mut self, emit: impl FnOnce(Sink<'_>) -> Result<()>) {
        let taken = emit(&mut |event| {
            if let Event::Gap(gap) = event {
                self.0.insert(gap.id.clone(), gap.clone());
            }
            Ok(())
        });
        taken.unwrap();
    }

    fn feed(&mut self, source: &mut Sparkplug, names: &[&str]) {
        for name in names {
            let (topic, bytes) = golden(name);
            self.keep(|sink| source.message(topic, &bytes, false, sink));
        }
    }

    fn open(&self) -> Vec<Gap> {
        self.0.values().filter(|gap| gap.state == GapState::Open).cloned().collect()
    }
}

#[test]
fn gaps_of_a_killed_run_are_closed_by_the_next_births() {
    // Whether the nodes were saved before the gaps were opened, or not even they were.
    for was_saved in [true, false] {
        let (mut ledger, mut first) = (Ledger::default(), source());
        ledger.feed(&mut first, &BIRTHS);
        assert!(first.has_urgent_positions());
        let positions = if was_saved { first.positions() } else { Positions::new() };
        assert_eq!(first.has_urgent_positions(), !was_saved);
        // Message 5 is missing. Killed before anything is saved.
        ledger.feed(&mut first, &["ddata-2", "ddata-3", "ndata-4", "ddata-6"]);
        assert_eq!(ledger.open().len(), 2);
        drop(first);

        // Killed again, without a birth.
        let mut second = source();
        assert_eq!(second.resume(&positions), usize::from(was_saved));
        second.resume_gaps(ledger.open());
        ledger.keep(|sink| second.connected(sink));
        let open = ledger.open();
        assert_eq!(open.len(), 2, "{open:?}");
        for gap in &open {
            assert!(gap.cause.ends_with("found 6 (seq); nothing was received since the last run"), "{gap:?}");
        }
        assert_eq!(second.requests(Instant::now()).len(), 1);
        drop(second);

        let mut third = source();
        third.resume(&positions);
        third.resume_gaps(open.clone());
        ledger.keep(|sink| third.connected(sink));
        ledger.feed(&mut third, &["nbirth-b", "dbirth-b"]);
        assert_eq!(ledger.open(), []);
        assert_eq!(ledger.0.len(), 2);
        for gap in ledger.0.values() {
            assert!(
                gap.to.is_some() && gap.note.as_deref().unwrap().starts_with("ended by a birth"),
                "{gap:?}"
            );
        }
        // What was closed stays so.
        let mut fourth = source();
        fourth.resume(&third.positions());
        fourth.resume_gaps(ledger.open());
        ledger.feed(&mut fourth, &["nbirth-c", "dbirth-c"]);
        assert_eq!(ledger.open(), []);
    }
}

#[test]
fn several_gaps_that_were_left_open_are_closed_by_one_birth_and_others_are_left_alone() {
    let (mut ledger, mut first) = (Ledger::default(), source());
    ledger.feed(&mut first, &BIRTHS);
    ledger.keep(|sink| first.connected(sink));
    let gap = ledger.open().remove(0);
    for (id, feed) in [
        ("plant|plant/line|2026-01-01T00:00:00Z", "plant"),
        ("plant|plant/other/press|2026-01-01T00:00:00Z", "plant"),
        ("plant|offsets", "plant"),
        ("plants|plant/line|2026-01-01T00:00:00Z", "plants"),
    ] {
        ledger.0.insert(id.to_owned(), Gap { id: id.to_owned(), feed: feed.to_owned(), ..gap.clone() });
    }
    let mut second = source();
    second.resume(&first.positions());
    second.resume_gaps(ledger.open());
    ledger.feed(&mut second, &["nbirth-b", "dbirth-b"]);
    let open: Vec<String> = ledger.open().into_iter().map(|gap| gap.id).collect();
    assert_eq!(
        open,
        [
            "plants|plant/line|2026-01-01T00:00:00Z",
            "plant|offsets",
            "plant|plant/other/press|2026-01-01T00:00:00Z"
        ]
    );
}

#[test]
fn messages_that_cannot_be_read_are_dead_letters_and_gaps() {
    let mut source = source();
    feed(&mut source, &BIRTHS);
    let mut events = Vec::new();
    for (topic, bytes) in [
        ("spBv1.0/plant/DDATA/line/press", &[0x12, 5, 0][..]),
        ("spBv1.0/plant/XDATA/line", &[]),
        ("spBv1.0/STATE/scada", b"{}"),
    ] {
        let taken = source.message(topic, bytes, false, &mut |event| {
            events.push(show(&event));
            Ok(())
        });
        taken.unwrap();
    }
    assert_eq!(
        events,
        [
            "gap line: a message could not be read [2] from 0",
            "gap line/press: a message could not be read [2] from 1",
            "dead: byte 0: a field of 5 bytes, but only 1 are left",
            "dead: topic `spBv1.0/plant/XDATA/line`: expected NBIRTH, NDEATH, NDATA or NCMD of a node, or DBIRTH, DDEATH, DDATA \
             or DCMD of a device",
        ]
    );
    assert_eq!(source.requests(Instant::now()).len(), 1);
}
