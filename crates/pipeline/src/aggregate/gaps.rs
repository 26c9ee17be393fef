//! Tracks which bars are complete: no open gap overlaps them, and no record fetched for a gap arrived too
//! late for them.
//!
//! A gap lies between the last record before it and the first after it; neither is missing. Bars emitted
//! before their gap was known, or closed, are emitted again with the same numbers and the new `complete`
//! flag.

use super::session::NOTE;
use market::bar::Bar;
use market::codec::json;
use market::interval::{Interval, SECOND};
use market::{Kind, Record};
use ports::gap::{Gap, GapState};
use ports::topic::{Consumer, Names, Topics};
use ports::{Result, gap};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

const DAY: i64 = 24 * 3_600 * SECOND;
/// How far back bars are checked again when a symbol is first seen: older gaps are settled.
const WEEK: i64 = 7 * DAY;
/// Maximum number of gap messages read at once.
const AT_ONCE: usize = 1_000;

/// Feed and symbol.
type Whose = (String, String);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Hole {
    feed: String,
    symbols: BTreeSet<String>,
    from: i64,
    to: i64,
    open: bool,
    /// The entry, if it is a session whose bars are to be rebuilt from the store.
    session: Option<Box<(Kind, Gap)>>,
}

impl Hole {
    fn of(gap: &Gap) -> Result<Self> {
        Ok(Self {
            feed: gap.feed.clone(),
            symbols: gap.symbols.iter().cloned().collect(),
            from: gap.instant_from()?.0,
            to: if gap.to.is_some() { gap.instant_to()?.0 } else { i64::MAX },
            open: gap.state == GapState::Open,
            session: gap.session_kind().map(|kind| Box::new((kind, gap.clone()))),
        })
    }

    /// Whether a record from `from` up to but excluding `to` may be missing, including records at exactly its
    /// ends.
    fn touches(&self, feed: &str, symbol: &str, from: i64, to: i64) -> bool {
        self.from < to && from <= self.to && self.feed == feed && self.symbols.contains(symbol)
    }
}

/// Known gaps.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    holes: BTreeMap<String, Hole>,
    /// Seconds for which records of a gap arrived when their bars were final.
    late: BTreeMap<Whose, BTreeSet<i64>>,
}

/// End of a bar, exclusive; a day is at most this long.
fn end(interval: Interval, start: i64) -> i64 {
    start.saturating_add(interval.nanos().unwrap_or(DAY))
}

impl Ledger {
    /// Adds an entry, or replaces it.
    pub(super) fn put(&mut self, gap: &Gap) -> Result<()> {
        self.holes.insert(gap.id.clone(), Hole::of(gap)?);
        Ok(())
    }

    /// Whether the bar contains every record it should.
    pub(super) fn complete(&self, bar: &Bar) -> bool {
        let (from, to) = (bar.start.0, end(bar.interval, bar.start.0));
        !self.holes.values().any(|hole| hole.open && hole.touches(&bar.feed, &bar.symbol, from, to))
            && (self.late.is_empty()
                || self.late.get(&(bar.feed.clone(), bar.symbol.clone())).is_none_or(|late| {
                    let mut within = late.range(from.div_euclid(SECOND)..to.div_euclid(SECOND));
                    within.all(|second| self.is_rebuilt(bar, *second))
                }))
    }

    /// Whether the bars of this second were rebuilt from the store.
    fn is_rebuilt(&self, bar: &Bar, second: i64) -> bool {
        let (from, to) = (second * SECOND, (second + 1) * SECOND);
        let rebuilt = |hole: &Hole| {
            !hole.open
                && hole.session.as_ref().is_some_and(|session| session.0 == bar.kind)
                && hole.touches(&bar.feed, &bar.symbol, from, to)
        };
        self.holes.values().any(rebuilt)
    }

    /// Whether a record belongs to a gap that a fetch fills.
    pub(super) fn misses(&self, record: &Record<&str>) -> bool {
        let ts = record.ts().0;
        self.holes.values().any(|hole| {
            hole.session.is_none()
                && hole.from < ts
                && ts < hole.to
                && hole.feed == *record.feed()
                && hole.symbols.contains(*record.symbol())
        })
    }
}

/// Bars to check again: series, start and end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BarRange {
    pub(super) feed: String,
    pub(super) symbol: String,
    pub(super) from: i64,
    pub(super) to: i64,
}

/// Follows the gap ledger.
pub(super) struct Gaps {
    reader: Box<dyn Consumer>,
    pub(super) ledger: Arc<Ledger>,
    /// Series whose bars are built here.
    met: BTreeSet<Whose>,
    /// Jobs for the bar writer.
    pub(super) recheck: Vec<BarRange>,
}

impl Gaps {
    /// Reads the current ledger, and the records that arrived too late for it.
    pub(super) fn open(topics: &dyn Topics, names: &Names) -> Result<Self> {
        let mut ledger = Ledger::default();
        for gap in gap::ledger(topics, names)? {
            ledger.put(&gap)?;
        }
        if !ledger.holes.is_empty() {
            let mut late = Vec::new();
            topics.read_all(&[names.late()], &mut |message| {
                let read = Kind::ALL.iter().find_map(|kind| json::decode(*kind, message.payload()));
                if let Some(record) = read.filter(|record| ledger.misses(record)) {
                    late.push((whose(&record), record.ts().0.div_euclid(SECOND)));
                }
            })?;
            late.into_iter().for_each(|(whose, second)| {
                ledger.late.entry(whose).or_default().insert(second);
            });
        }
        let reader = topics.consumer("", &[names.gaps()])?;
        Ok(Self { reader, ledger: Arc::new(ledger), met: BTreeSet::new(), recheck: Vec::new() })
    }

    /// Reads new entries of the ledger.
    pub(super) fn read_new(&mut self) -> Result<()> {
        let mut entries = Vec::new();
        while self.reader.fetch(AT_ONCE, Duration::ZERO, &mut |message| {
            // An invalid entry is reported by `tapeline gaps`.
            entries.extend(serde_json::from_slice::<Gap>(message.payload()).ok());
        })? > 0
        {}
        entries.iter().try_for_each(|gap| self.add(gap))
    }

    /// Adds one entry of the ledger.
    pub(super) fn add(&mut self, gap: &Gap) -> Result<()> {
        let hole = Hole::of(gap)?;
        if self.ledger.holes.get(&gap.id) == Some(&hole) {
            return Ok(());
        }
        let met =
            self.met.iter().filter(|(feed, symbol)| *feed == hole.feed && hole.symbols.contains(symbol));
        self.recheck.extend(met.map(|whose| recheck(whose, &hole)));
        Arc::make_mut(&mut self.ledger).holes.insert(gap.id.clone(), hole);
        Ok(())
    }

    /// The entry of a session whose bars are to be rebuilt from the store, or were.
    pub(super) fn session(&self, id: &str) -> Option<&Gap> {
        self.ledger.holes.get(id)?.session.as_ref().map(|session| &session.1)
    }

    /// Opens the entry of the bar's session again if the bars of that session were rebuilt from the store: this one is built
    /// from fewer records, and replaces a rebuilt one. Returns the entry.
    pub(super) fn reopen(&mut self, bar: &Bar) -> Option<Gap> {
        let of_bar = |hole: &Hole| {
            !hole.open
                && hole.session.as_ref().is_some_and(|session| session.0 == bar.kind)
                && hole.feed == bar.feed
                && hole.symbols.contains(&bar.symbol)
                && (hole.from..=hole.to).contains(&bar.start.0)
        };
        // Entries of this kind are rare, bars are not.
        self.ledger.holes.values().find(|hole| of_bar(hole))?;
        let hole = Arc::make_mut(&mut self.ledger).holes.values_mut().find(|hole| of_bar(hole))?;
        hole.open = true;
        self.recheck.push(recheck(&(bar.feed.clone(), bar.symbol.clone()), hole));
        let gap = &mut hole.session.as_mut()?.1;
        (gap.state, gap.proof, gap.note) = (GapState::Open, None, Some(NOTE.to_owned()));
        Some(gap.clone())
    }

    /// Bars of a symbol are emitted for the first time: earlier ones may need another `complete` flag.
    pub(super) fn meet(&mut self, bar: &Bar) {
        let whose = (bar.feed.clone(), bar.symbol.clone());
        if !self.met.contains(&whose) {
            let recent = |hole: &&Hole| hole.from > bar.start.0.saturating_sub(WEEK);
            let holes = self.ledger.holes.values().filter(|hole| hole.feed == whose.0).filter(recent);
            self.recheck.extend(
                holes.filter(|hole| hole.symbols.contains(&whose.1)).map(|hole| recheck(&whose, hole)),
            );
            self.met.insert(whose);
        }
    }

    /// A record arrived after its bars became final. Returns whether it belongs to a gap.
    pub(super) fn too_late(&mut self, record: &Record<&str>) -> bool {
        let missed = self.ledger.misses(record);
        if missed {
            let (whose, second) = (whose(record), record.ts().0.div_euclid(SECOND));
            let (from, to) = (second * SECOND, (second + 1) * SECOND);
            self.recheck.push(BarRange { feed: whose.0.clone(), symbol: whose.1.clone(), from, to });
            Arc::make_mut(&mut self.ledger).late.entry(whose).or_default().insert(second);
        }
        missed
    }
}

fn whose(record: &Record<&str>) -> Whose {
    ((*record.feed()).to_owned(), (*record.symbol()).to_owned())
}

fn recheck((feed, symbol): &Whose, hole: &Hole) -> BarRange {
    // While its end is unknown, no bar that starts much later has been emitted.
    let to = hole.to.min(hole.from.saturating_add(if hole.to == i64::MAX { DAY } else { WEEK }));
    BarRange { feed: feed.clone(), symbol: symbol.clone(), from: hole.from, to }
}

#[cfg(test)]
mod tests {
    use super::*;
    use adapters::topic::sqlite::SqliteTopics;
    use market::UnixNanos;
    use market::bar::Values;

    fn bar(symbol: &str, interval: &str, start: &str) -> Bar {
        Bar {
            kind: Kind::TRADE,
            symbol: symbol.to_owned(),
            feed: "f".to_owned(),
            interval: interval.parse().unwrap(),
            start: UnixNanos::parse(start).unwrap(),
            values: Values::Empty,
            late: 0,
            revision: 0,
            is_final: false,
            complete: true,
        }
    }

    fn gap(from: &str, to: Option<&str>, state: GapState) -> Gap {
        Gap {
            id: "g".to_owned(),
            feed: "f".to_owned(),
            symbols: vec!["A".to_owned(), "B".to_owned()],
            from: from.to_owned(),
            to: to.map(str::to_owned),
            cause: "test".to_owned(),
            state,
            proof: None,
            note: None,
            offsets: None,
        }
    }

    #[test]
    fn bars_that_overlap_an_open_gap_are_incomplete_and_emitted_again() {
        let dir = tempfile::tempdir().unwrap();
        let (topics, names) = (SqliteTopics::new(dir.path().join("t.db")), Names::new("x"));
        topics.init(&names.specs(1)).unwrap();
        let mut producer = topics.producer().unwrap();
        let mut send = |gap: &Gap| {
            gap.send(&names, &mut *producer).unwrap();
            producer.flush(Duration::from_secs(5)).unwrap();
        };
        let mut gaps = Gaps::open(&topics, &names).unwrap();
        let minute = bar("A", "1m", "2013-10-08T15:00:00Z");
        gaps.meet(&minute);
        assert!(gaps.ledger.complete(&minute) && gaps.recheck.is_empty());
        // Open, with unknown end.
        send(&gap("2013-10-08T15:00:59.9Z", None, GapState::Open));
        gaps.read_new().unwrap();
        let list = std::mem::take(&mut gaps.recheck);
        assert_eq!(list.len(), 1, "A was met and B was not: {list:?}");
        let complete = |gaps: &Gaps, start: &str, interval: &str| {
            ["A", "B", "C"].map(|symbol| gaps.ledger.complete(&bar(symbol, interval, start)))
        };
        assert_eq!(complete(&gaps, "2013-10-08T15:00:00Z", "1m"), [false, false, true]);
        assert_eq!(complete(&gaps, "2013-10-08T14:59:00Z", "1m"), [true; 3]);
        assert_eq!(complete(&gaps, "2013-10-08T17:00:00Z", "1s"), [false, false, true]);
        assert_eq!(complete(&gaps, "2013-10-08T04:00:00Z", "1d"), [false, false, true]);
        // Its end is the first record after it, which is not missing.
        send(&gap("2013-10-08T15:00:59.9Z", Some("2013-10-08T15:01:59.9Z"), GapState::Open));
        gaps.read_new().unwrap();
        assert_eq!(complete(&gaps, "2013-10-08T15:01:00Z", "1m"), [false, false, true]);
        assert_eq!(complete(&gaps, "2013-10-08T15:02:00Z", "1m"), [true; 3]);
        assert_eq!(gaps.recheck.pop().unwrap().to, UnixNanos::parse("2013-10-08T15:01:59.9Z").unwrap().0);
        // Fetched, but one of its records arrived too late for its bars.
        let text = |second: &str| {
            format!(
                r#"{{"feed":"f","symbol":"A","venue":"V","id":"1","ts":{},"recv_ts":0,"price":"1","size":"1","conditions":[],"tape":"A"}}"#,
                UnixNanos::parse(second).unwrap().0
            )
        };
        let late = |gaps: &mut Gaps, second: &str| {
            let (text, mut loose) = (text(second), Vec::new());
            json::normalize(Kind::TRADE, text.as_bytes(), &mut loose).unwrap();
            gaps.too_late(&json::decode(Kind::TRADE, &loose).unwrap())
        };
        assert!(late(&mut gaps, "2013-10-08T15:01:30.5Z"));
        assert!(!late(&mut gaps, "2013-10-08T15:00:59.9Z"), "the record before it was there");
        send(&gap("2013-10-08T15:00:59.9Z", Some("2013-10-08T15:01:59.9Z"), GapState::Closed));
        gaps.read_new().unwrap();
        assert_eq!(complete(&gaps, "2013-10-08T15:00:00Z", "1m"), [true; 3]);
        assert_eq!(complete(&gaps, "2013-10-08T15:01:00Z", "1m"), [false, true, true]);
        assert_eq!(complete(&gaps, "2013-10-08T15:01:30Z", "1s"), [false, true, true]);
        assert_eq!(complete(&gaps, "2013-10-08T15:01:29Z", "1s"), [true; 3]);
        // A restart reads the same ledger, and checks the bars of the series it meets.
        let mut reopened = Gaps::open(&topics, &names).unwrap();
        reopened.meet(&minute);
        assert_eq!(reopened.recheck.len(), 1);
        assert_eq!(complete(&reopened, "2013-10-08T15:00:00Z", "1m"), [true; 3]);
    }
}
