//! The engine against an oracle: exactly the alerts that `golden/alerts.py` computes with pandas on a
//! recorded tape.
#![allow(clippy::unwrap_used, reason = "tests")]

use market::alert::{Alert, Engine, EngineSettings, RuleConfig};
use market::bar::{Bar, TradeValues, Values};
use market::calendar::Calendar;
use market::codec::lean::RowReader;
use market::interval::Interval;
use market::policy::Policy;
use market::time::SessionDay;
use market::{Kind, Price, Record, UnixNanos};
use serde::Deserialize;
use std::io::Read;
use std::path::{Path, PathBuf};

const GOLDEN: &str = include_str!("golden/alerts.csv");
const SYMBOLS: [&str; 4] = ["SPY", "BAC", "IBM", "AIG"];
const FEED: &str = "lean.sip";

#[derive(Deserialize)]
struct Rules {
    rules: Vec<RuleConfig>,
}

fn engine(kinds: impl Fn(&str) -> bool) -> Engine {
    engine_of(include_str!("golden/alerts.toml"), kinds)
}

/// An engine with the rules on readings, halts and pipeline lag.
fn engine_of_events() -> Engine {
    engine_of(include_str!("golden/alerts_events.toml"), |_| true)
}

fn engine_of(text: &str, kinds: impl Fn(&str) -> bool) -> Engine {
    let rules: Rules = toml::from_str(text).unwrap();
    let rules: Vec<_> = rules.rules.into_iter().filter(|rule| kinds(&rule.name)).collect();
    Engine::new(&rules, EngineSettings::new(Policy::named("sip").unwrap(), Calendar::XNYS)).unwrap()
}

fn data(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data").join(folder)
}

/// A file of the tape: its rows, in order.
struct Tape {
    rows: Vec<u8>,
    reader: RowReader,
}

impl Tape {
    fn open(folder: &Path, kind: Kind, symbol: &str, date: &str) -> Self {
        let path = folder.join("tick").join(symbol.to_lowercase()).join(format!("{date}_{kind}.zip"));
        let file = std::fs::File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut zip = zip::ZipArchive::new(file).unwrap();
        let mut rows = Vec::new();
        zip.by_index(0).unwrap().read_to_end(&mut rows).unwrap();
        let session = SessionDay::new(date.parse().unwrap(), "America/New_York").unwrap();
        Self { rows, reader: RowReader::new(kind, symbol, FEED, session) }
    }

    /// (time, first byte, number) of each row.
    fn index(&self) -> Vec<(i64, usize, u64)> {
        let mut start = 0;
        let mut out = Vec::new();
        for (number, row) in self.rows.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let ts = self.reader.time(row.trim_ascii_end()).unwrap();
            out.push((ts.0, start, number as u64 + 1));
            start += row.len();
        }
        out
    }

    fn read(&mut self, start: usize, number: u64) -> Record<&str> {
        let row = self.rows[start..].split(|byte| *byte == b'\n').next().unwrap();
        self.reader.read(row.trim_ascii_end(), number, UnixNanos(0)).unwrap()
    }
}

/// Plays files in time order and returns the alerts.
fn play(engine: &mut Engine, mut tapes: Vec<Tape>) -> Vec<Alert> {
    let mut order: Vec<(i64, usize, usize, u64)> = Vec::new();
    for (tape, file) in tapes.iter().enumerate() {
        order.extend(file.index().into_iter().map(|(ts, start, number)| (ts, tape, start, number)));
    }
    order.sort_unstable_by_key(|(ts, tape, _, number)| (*ts, *tape, *number));
    let mut out = Vec::new();
    for (ts, tape, start, number) in &order {
        // Time advances occasionally: a silence that a record ends is detected without it.
        if number % 1_000 == 0 {
            engine.advance(UnixNanos(*ts), &mut out);
        }
        match tapes[*tape].read(*start, *number) {
            Record::Trade(trade) => engine.trade(&trade, &mut out),
            Record::Quote(quote) => engine.quote(&quote, &mut out),
            _ => {}
        }
    }
    let end = order.last().unwrap().0;
    engine.advance(UnixNanos(end), &mut out);
    out
}

/// Compares with the lines of a run: rule, symbol, time, kind exactly, value and threshold to a millionth.
fn compare(run: &str, alerts: &[Alert]) -> usize {
    let mut expected: Vec<(Vec<&str>, [f64; 2])> = GOLDEN
        .lines()
        .map(|line| line.split(',').collect::<Vec<_>>())
        .filter(|fields| fields[0] == run)
        .map(|fields| (fields[1..5].to_vec(), [5, 6].map(|column: usize| fields[column].parse().unwrap())))
        .collect();
    let texts: Vec<[String; 4]> = alerts
        .iter()
        .map(|alert| {
            let millis = (alert.event_time / 1_000_000).to_string();
            [alert.rule.clone(), alert.symbol.clone(), millis, alert.kind.clone()]
        })
        .collect();
    let mut found: Vec<(Vec<&str>, [f64; 2])> = texts
        .iter()
        .zip(alerts)
        .map(|(text, alert)| (text.iter().map(String::as_str).collect(), [alert.value, alert.threshold]))
        .collect();
    let order = |a: &(Vec<&str>, [f64; 2]), b: &(Vec<&str>, [f64; 2])| a.0.cmp(&b.0);
    expected.sort_by(order);
    found.sort_by(order);
    let missing: Vec<_> = expected.iter().filter(|one| found.iter().all(|other| other.0 != one.0)).collect();
    let extra: Vec<_> = found.iter().filter(|one| expected.iter().all(|other| other.0 != one.0)).collect();
    assert!(missing.is_empty() && extra.is_empty(), "missing: {missing:?}\nextra: {extra:?}");
    assert_eq!(found.len(), expected.len());
    for (ours, theirs) in found.iter().zip(&expected) {
        for (one, other) in ours.1.iter().zip(theirs.1) {
            assert!((one - other).abs() <= 1e-6, "{ours:?} {theirs:?}");
        }
    }
    found.len()
}

/// The daily bars that the oracle uses for the previous day.
fn history(engine: &mut Engine) {
    let today = UnixNanos(Calendar::XNYS.day_of("2013-10-08".parse().unwrap()).start);
    for line in GOLDEN.lines().filter(|line| line.starts_with("daily,")) {
        let fields: Vec<&str> = line.split(',').collect();
        let price = |column: usize| Price::parse(fields[column].as_bytes()).unwrap();
        let date = format!("{}-{}-{}", &fields[3][..4], &fields[3][4..6], &fields[3][6..]);
        let start = UnixNanos(Calendar::XNYS.day_of(date.parse().unwrap()).start);
        let values = TradeValues {
            ohlc: [price(6), price(4), price(5), price(6)],
            volume: market::Size::default(),
            vwap: None,
            trades: 0,
        };
        let bar = Bar {
            kind: Kind::TRADE,
            symbol: fields[2].to_owned(),
            feed: FEED.to_owned(),
            interval: Interval::D1,
            start,
            values: Values::Trades(values),
            late: 0,
            revision: 0,
            is_final: true,
            complete: true,
        };
        engine.past_day(&bar, today);
    }
}

#[test]
fn a_day_of_trades_fires_what_the_oracle_finds() {
    let mut engine = engine(|_| true);
    history(&mut engine);
    let folder = data("us-equities");
    let tapes = SYMBOLS.iter().map(|symbol| Tape::open(&folder, Kind::TRADE, symbol, "20131008")).collect();
    let alerts = play(&mut engine, tapes);
    assert!(compare("one", &alerts) > 100);
    // The previous day's close is printed ten times after the close: it triggers nothing.
    let close = UnixNanos::parse("2013-10-08T20:00:00Z").unwrap();
    let after = alerts.iter().filter(|alert| alert.symbol == "SPY" && alert.ts() >= close);
    // The volume of those blocks is real: a surge may trigger on them.
    let after = after.filter(|alert| alert.kind != "volume_surge");
    assert!(after.clone().count() > 0);
    assert!(after.filter_map(|alert| alert.price).all(|price| price < 167.0));
}

#[test]
fn a_day_of_quotes_fires_what_the_oracle_finds() {
    let mut engine = engine(|rule| rule == "spread");
    let alerts = play(&mut engine, vec![Tape::open(&data("quotes"), Kind::QUOTE, "IBM", "20131008")]);
    assert!(compare("quotes", &alerts) > 10);
}

/// The times of a sensor are read as UTC.
fn sensor(engine: &mut Engine, name: &str, out: &mut Vec<Alert>) {
    let text = std::fs::read_to_string(data("sensors").join(format!("{name}.csv"))).unwrap();
    for line in text.lines().skip(1) {
        let (time, value) = line.split_once(',').unwrap();
        let ts = UnixNanos::parse(&format!("{}Z", time.replace(' ', "T"))).unwrap();
        engine.reading("sensor", name, ts, value.parse().unwrap(), out);
    }
}

#[test]
fn readings_of_two_sensors_fire_what_the_oracle_finds() {
    let mut engine = engine_of_events();
    let mut alerts = Vec::new();
    for name in ["machine_temperature", "speed_7578"] {
        sensor(&mut engine, name, &mut alerts);
    }
    assert!(compare("sensors", &alerts) > 50);
}

/// Without a trade of AIG for so long in the regular session, it is halted (`HALTED` of the oracle).
const HALTED: i64 = 20_000_000_000;

/// Halts wherever AIG does not trade for a while, each reported twice, and the stalls that are left.
fn halts(run: &str, folder: &Path, dates: &[&str]) -> usize {
    let mut engine = engine_of_events();
    let mut alerts = Vec::new();
    let mut end = 0;
    for date in dates {
        let mut tape = Tape::open(folder, Kind::TRADE, "AIG", date);
        let day = Calendar::XNYS.day(UnixNanos(tape.index()[0].0));
        end = day.end;
        let mut before = None;
        for (ts, start, number) in tape.index() {
            if let Some(before) = before.filter(|before| ts - before >= HALTED)
                && day.is_regular(before)
                && day.is_regular(ts)
            {
                for (ts, halted) in [(before, true), (before + 1, true), (ts, false), (ts + 1, false)] {
                    engine.advance(UnixNanos(ts), &mut alerts);
                    engine.halt(FEED, "AIG", UnixNanos(ts), halted, &mut alerts);
                }
            }
            before = Some(ts);
            let Record::Trade(trade) = tape.read(start, number) else { panic!("a trade") };
            engine.trade(&trade, &mut alerts);
        }
    }
    engine.advance(UnixNanos(end), &mut alerts);
    compare(run, &alerts)
}

/// A stage that is as far behind as SPY's last trade is old when the next one comes.
fn lag(run: &str, folder: &Path, dates: &[&str]) -> usize {
    let mut engine = engine_of_events();
    let mut alerts = Vec::new();
    let times = dates.iter().flat_map(|date| Tape::open(folder, Kind::TRADE, "SPY", date).index());
    let times: Vec<i64> = times.map(|(ts, ..)| ts).collect();
    for pair in times.windows(2) {
        engine.lag("SPY", UnixNanos(pair[1]), (pair[1] - pair[0]) as f64 / 1e9, &mut alerts);
    }
    compare(run, &alerts)
}

#[test]
fn halts_and_pipeline_lag_fire_what_the_oracle_finds() {
    let folder = data("us-equities");
    assert!(halts("halts-one", &folder, &["20131008"]) > 20);
    assert!(lag("lag-one", &folder, &["20131008"]) > 20);
}

/// The folder with both days; the first is not in the repository.
fn tape() -> PathBuf {
    PathBuf::from(std::env::var("TAPELINE_TAPE").expect("TAPELINE_TAPE is the folder us-equities"))
}

#[test]
#[ignore = "needs the tape of 2013-10-07 in TAPELINE_TAPE"]
fn two_days_of_trades_as_halts_and_lag_fire_what_the_oracle_finds() {
    let dates = ["20131007", "20131008"];
    assert!(halts("halts-both", &tape(), &dates) > halts("halts-one", &tape(), &dates[1..]));
    assert!(lag("lag-both", &tape(), &dates) > lag("lag-one", &tape(), &dates[1..]));
}

/// Both days; the first is not in the repository: `TAPELINE_TAPE` is the folder `us-equities` with it.
#[test]
#[ignore = "needs the tape of 2013-10-07 in TAPELINE_TAPE"]
fn two_days_of_trades_fire_what_the_oracle_finds() {
    let folder = tape();
    let mut engine = engine(|_| true);
    let dates = ["20131007", "20131008"];
    let tapes = dates
        .iter()
        .flat_map(|date| SYMBOLS.iter().map(|symbol| Tape::open(&folder, Kind::TRADE, symbol, date)))
        .collect();
    assert!(compare("both", &play(&mut engine, tapes)) > 200);
}
