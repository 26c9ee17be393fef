//! Bars built from the tape's ticks, compared with the data vendor's own bars of the same days.
//!
//! Runs on the bundled session, and on every other day of `../shared/data` if present.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

use market::bar::{Aggregator, AggregatorSettings, Bar, Feed, StreamPosition, Values};
use market::calendar::Calendar;
use market::codec::lean::RowReader;
use market::interval::{Interval, MINUTE, SECOND};
use market::policy::Policy;
use market::time::SessionDay;
use market::{Kind, Price, UnixNanos, fixed};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Folders in the recorded data's layout: the bundled one first.
fn roots() -> Vec<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    [here.join("data/us-equities"), here.join("data/quotes"), here.join("../shared/data/us-equities")]
        .into_iter()
        .filter(|p| p.is_dir())
        .collect()
}

fn unzip(path: &Path) -> Vec<u8> {
    let mut archive = zip::ZipArchive::new(std::fs::File::open(path).unwrap()).unwrap();
    let mut out = Vec::new();
    archive.by_index(0).unwrap().read_to_end(&mut out).unwrap();
    out
}

fn day_of(path: &Path) -> u32 {
    path.file_name().unwrap().to_str().unwrap()[..8].parse().unwrap()
}

/// Tick files of a kind for which there is a vendor's bar file: (symbol, ticks, bars).
fn pairs(kind: Kind, resolution: &str) -> Vec<(String, PathBuf, PathBuf)> {
    let mut out: BTreeMap<(String, u32), (PathBuf, PathBuf)> = BTreeMap::new();
    for root in roots() {
        let Ok(symbols) = std::fs::read_dir(root.join("tick")) else { continue };
        for symbol in symbols {
            let symbol = symbol.unwrap().file_name().into_string().unwrap();
            for file in std::fs::read_dir(root.join("tick").join(&symbol)).unwrap() {
                let ticks = file.unwrap().path();
                let name = ticks.file_name().unwrap().to_str().unwrap().to_owned();
                let bars = root.join(resolution).join(&symbol).join(&name);
                if name.ends_with(&format!("_{}.zip", kind.name())) && bars.is_file() {
                    out.insert((symbol.clone(), day_of(&ticks)), (ticks, bars));
                }
            }
        }
    }
    out.into_iter().map(|((symbol, _), (ticks, bars))| (symbol, ticks, bars)).collect()
}

fn aggregator(intervals: &[Interval], policy: &str) -> Aggregator {
    Aggregator::new(AggregatorSettings {
        intervals: intervals.to_vec(),
        emit_delay: SECOND,
        allowed_lateness: 15 * MINUTE,
        feeds: vec![Feed {
            prefix: String::new(),
            symbols: String::new(),
            policy: Policy::named(policy).unwrap(),
            calendar: Calendar::XNYS,
        }],
    })
}

/// Bars of a tick file by interval and start; the last emission of each.
fn bars_of(
    symbol: &str,
    ticks: &Path,
    kind: Kind,
    intervals: &[Interval],
    policy: &str,
) -> BTreeMap<(Interval, i64), Bar> {
    let session = SessionDay::new(day_of(ticks), "America/New_York").unwrap();
    let mut reader = RowReader::new(kind, symbol, "lean.sip", session);
    let mut aggregator = aggregator(intervals, policy);
    let mut out = BTreeMap::new();
    let mut keep = |bar: Bar| {
        out.insert((bar.interval, bar.start.0), bar);
    };
    for (row, text) in unzip(ticks).split(|b| *b == b'\n').filter(|row| !row.is_empty()).enumerate() {
        aggregator.add(&reader.read(text, row as u64 + 1, UnixNanos(0)).unwrap(), StreamPosition::default());
        if row % 1_000 == 0 {
            aggregator.take(0, &mut keep);
        }
    }
    aggregator.finish(&mut keep);
    assert!(out.values().all(|bar| bar.is_final && bar.complete && bar.late == 0));
    out
}

/// A vendor's bar file: start, then its columns.
fn vendor(bars: &Path) -> BTreeMap<i64, Vec<String>> {
    let session = SessionDay::new(day_of(bars), "America/New_York").unwrap();
    let text = String::from_utf8(unzip(bars)).unwrap();
    text.lines()
        .map(|line| {
            let mut columns = line.split(',').map(|cell| cell.trim_end().to_owned());
            let millis: i64 = columns.next().unwrap().parse().unwrap();
            (session.at(millis * 1_000_000).unwrap().0, columns.collect())
        })
        .collect()
}

fn cents(price: Price) -> String {
    (price.raw() / (fixed::ONE / 10_000)).to_string()
}

/// The columns of one of our bars in the vendor's format.
fn columns(bar: &Bar) -> Vec<String> {
    match &bar.values {
        Values::Trades(trades) => trades
            .ohlc
            .map(cents)
            .into_iter()
            .chain([(trades.volume.raw() / fixed::ONE).to_string()])
            .collect(),
        Values::Quotes(quotes) => [quotes.bid, quotes.ask]
            .into_iter()
            .flat_map(|side| match side {
                Some((ohlc, size)) => {
                    let mut cells = ohlc.map(cents).to_vec();
                    cells.push((size.raw() / fixed::ONE).to_string());
                    cells
                }
                None => vec![String::new(); 5],
            })
            .collect(),
        Values::Readings(_) | Values::Empty => Vec::new(),
    }
}

#[derive(Default)]
struct Score {
    ours: usize,
    theirs: usize,
    equal: usize,
    prices: usize,
    /// Symbol and start, and the values of both.
    differences: Vec<(String, UnixNanos, String)>,
}

/// Why a bar of the known days differs: a difference that is not in this list fails the test.
const EXPLAINED: &str = include_str!("explained.csv");

fn explained(resolution: &str, kind: Kind) -> std::collections::BTreeSet<(String, UnixNanos)> {
    let rows = EXPLAINED.lines().skip(1).map(|line| line.splitn(5, ',').collect::<Vec<_>>());
    rows.filter(|row| row[0] == resolution && row[1] == kind.name())
        .map(|row| (row[2].to_owned(), UnixNanos::parse(row[3]).unwrap()))
        .collect()
}

fn compare(kind: Kind, resolution: &str, interval: Interval) -> Score {
    let mut score = Score::default();
    for (symbol, ticks, bars) in pairs(kind, resolution) {
        let ours = bars_of(&symbol, &ticks, kind, &[interval], "lean");
        let theirs = vendor(&bars);
        score.ours += ours.len();
        score.theirs += theirs.len();
        for ((_, start), bar) in &ours {
            let (mine, yours) = (columns(bar), theirs.get(start));
            let same_prices = yours.is_some_and(|yours| match kind {
                Kind::TRADE => yours[..4] == mine[..4],
                Kind::QUOTE => yours[..4] == mine[..4] && yours[5..9] == mine[5..9],
                _ => false,
            });
            score.prices += usize::from(same_prices);
            if yours == Some(&mine) {
                score.equal += 1;
            } else {
                let both = format!("{mine:?} vendor {yours:?}");
                score.differences.push((symbol.clone(), bar.start, both));
            }
        }
        for start in theirs.keys().filter(|start| !ours.contains_key(&(interval, **start))) {
            let both = format!("only the vendor has {:?}", theirs[start]);
            score.differences.push((symbol.clone(), UnixNanos(*start), both));
        }
    }
    assert!(score.theirs > 0, "no vendor bars found");
    println!(
        "{resolution} {kind}: {} of ours, {} of the vendor's, {} equal ({:.4} %), prices {} ({:.4} %)",
        score.ours,
        score.theirs,
        score.equal,
        100.0 * score.equal as f64 / score.theirs as f64,
        score.prices,
        100.0 * score.prices as f64 / score.theirs as f64
    );
    let explained = explained(resolution, kind);
    for (symbol, start, both) in &score.differences {
        println!("  {symbol} {start}: {both}");
        let known_day = (20131007..=20131008).contains(&Calendar::XNYS.day(*start).yyyymmdd);
        assert!(
            !known_day || explained.contains(&(symbol.clone(), *start)),
            "unexplained: {symbol} {start}: {both}"
        );
    }
    score
}

#[test]
fn second_bars_equal_the_vendors() {
    let score = compare(Kind::TRADE, "second", Interval::S1);
    assert!(score.equal as f64 >= 0.99995 * score.theirs as f64);
}

#[test]
fn minute_prices_equal_the_vendors() {
    let score = compare(Kind::TRADE, "minute", Interval::M1);
    assert!(score.prices as f64 >= 0.996 * score.theirs as f64);
}

#[test]
fn quote_second_bars_equal_the_vendors() {
    let score = compare(Kind::QUOTE, "second", Interval::S1);
    assert!(score.equal as f64 >= 0.9999 * score.theirs as f64);
}

/// The close of the vendor's daily bars on the days for which ticks are available.
const DAILY_CLOSE: &str = include_str!("daily_close.csv");

#[test]
fn the_official_close_equals_the_vendors() {
    let mut compared = 0;
    for row in DAILY_CLOSE.lines().skip(1) {
        let [symbol, date, close] = row.split(',').collect::<Vec<_>>()[..] else { panic!("{row}") };
        let name = format!("tick/{symbol}/{date}_trade.zip");
        let Some(ticks) = roots().iter().map(|root| root.join(&name)).find(|path| path.is_file()) else {
            println!("no ticks of {symbol} {date} here");
            continue;
        };
        let bars = bars_of(symbol, &ticks, Kind::TRADE, &[Interval::D1], "official");
        let [bar] = bars.values().collect::<Vec<_>>()[..] else { panic!("{} bars", bars.len()) };
        let Values::Trades(values) = &bar.values else { panic!("{bar:?}") };
        assert_eq!(values.ohlc[3].to_string(), close, "{symbol} {date}");
        compared += 1;
    }
    assert!(compared > 0, "no ticks of any of these days");
}
