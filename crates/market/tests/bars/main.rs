//! Properties of bars for any trades: order, batch boundaries, speed, repeats, restarts and amendments change
//! nothing.
#![allow(clippy::unwrap_used, reason = "tests")]

mod feeds;
mod readings;

use market::bar::{
    Aggregator, AggregatorSettings, Bar, Feed, LowWatermarks, StreamPosition, Values, Verdict,
};
use market::calendar::Calendar;
use market::interval::{MINUTE, SECOND};
use market::policy::Policy;
use market::{Kind, Price, Quote, QuoteSide, Record, Side, Size, Trade, UnixNanos};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// 2013-10-08 09:25 in New York, shortly before the open.
const START: i64 = 1_381_238_700 * SECOND;
const ALLOWED_LATENESS: i64 = 15 * MINUTE;

fn settings(policy: &str) -> AggregatorSettings {
    in_calendar(policy, Calendar::XNYS)
}

fn in_calendar(policy: &str, calendar: Calendar) -> AggregatorSettings {
    AggregatorSettings {
        intervals: ["1s", "5s", "1m", "5m", "1h", "1d"].iter().map(|text| text.parse().unwrap()).collect(),
        emit_delay: SECOND,
        allowed_lateness: ALLOWED_LATENESS,
        feeds: vec![Feed {
            prefix: String::new(),
            symbols: String::new(),
            policy: Policy::named(policy).unwrap(),
            calendar,
        }],
    }
}

type Key = (String, Kind, String, i64);

#[derive(Default, Clone, PartialEq, Debug)]
struct Bars(BTreeMap<Key, Bar>);

impl Bars {
    fn keep(&mut self, bar: Bar) {
        let key = (bar.symbol.clone(), bar.kind, bar.interval.to_string(), bar.start.0);
        if let Some(before) = self.0.get(&key) {
            assert!(bar.revision >= before.revision, "a revision went back: {before:?} {bar:?}");
            let same = before.values == bar.values;
            assert!(
                same || bar.revision > before.revision || !before.is_final,
                "a final bar changed: {before:?} {bar:?}"
            );
        }
        self.0.insert(key, bar);
    }

    /// The market data of a bar, without the number of emissions.
    fn content(&self) -> BTreeMap<Key, Values> {
        self.0
            .iter()
            .filter(|(_, bar)| bar.values != Values::Empty)
            .map(|(key, bar)| (key.clone(), bar.values.clone()))
            .collect()
    }
}

fn record(trade: &Trade<String>) -> Record<&str> {
    Record::Trade(trade.as_str())
}

/// Bars of records; `cut` says after which records bars are emitted in between.
fn bars(policy: &str, records: &[Record<&str>], cut: impl Fn(usize) -> bool) -> Bars {
    let mut aggregator = Aggregator::new(settings(policy));
    let mut out = Bars::default();
    for (index, record) in records.iter().enumerate() {
        aggregator.add(record, StreamPosition { position: index as u64, stamp_ms: 0 });
        if cut(index) {
            aggregator.take(0, &mut |bar| out.keep(bar));
        }
    }
    aggregator.finish(&mut |bar| out.keep(bar));
    assert!(out.0.values().all(|bar| bar.is_final));
    out
}

/// Bars of a run that is killed after some records and restarted from its last checkpoint.
fn with_restarts(settings: &AggregatorSettings, all: &[Record<&str>], stops: &[usize], cut: usize) -> Bars {
    let mut stops: Vec<usize> = stops.iter().map(|stop| stop % all.len()).collect();
    stops.sort_unstable();
    stops.push(all.len());
    let mut out = Bars::default();
    let mut low_watermarks = LowWatermarks::new();
    let mut from = 0;
    for stop in stops {
        let mut aggregator = Aggregator::new(settings.clone()).with_low_watermarks(low_watermarks);
        // What was emitted stays; the next run emits it again from the last checkpoint.
        let mut again = Bars::default();
        for (index, record) in all.iter().enumerate().take(stop).skip(from) {
            aggregator.add(record, StreamPosition { position: index as u64, stamp_ms: 0 });
            if index % cut == 0 {
                aggregator.take(0, &mut |bar| again.keep(bar));
            }
        }
        aggregator.take(0, &mut |bar| again.keep(bar));
        let checkpoint = aggregator.checkpoint();
        from = checkpoint.position.map_or(stop, |position| position as usize);
        // In its saved form.
        let kept = serde_json::to_string(&checkpoint.low_watermarks).unwrap();
        low_watermarks = serde_json::from_str(&kept).unwrap();
        assert_eq!(low_watermarks, checkpoint.low_watermarks);
        if stop == all.len() {
            aggregator.finish(&mut |bar| again.keep(bar));
        }
        out.0.extend(again.0);
    }
    out
}

fn quote(seq: i64, ts: i64, price: u16, sides: u8) -> Record<&'static str> {
    let side = |price: u16| QuoteSide {
        price: Price::from_billionths(i64::from(price)),
        size: Size::from_billionths(i64::from(price)),
        venue: "Q",
    };
    Record::Quote(Quote {
        symbol: "S",
        feed: "f",
        seq,
        ts: UnixNanos(ts),
        recv_ts: UnixNanos(0),
        bid: (sides != 1).then(|| side(price)),
        ask: (sides != 0).then(|| side(price + 1)),
        conditions: "[]",
    })
}

/// (symbol, milliseconds after the start, price in cents, size, condition).
type Raw = (u8, u32, u16, u16, u8);

fn trades(policy: &str, raw: &[Raw]) -> Vec<Trade<String>> {
    let conditions = match policy {
        "lean" => ["1", "20000020", "20002000", "80", "20000001"],
        _ => ["@", "I", "T", "4", "F"],
    };
    let mut sorted = raw.to_vec();
    sorted.sort_by_key(|(_, at, ..)| *at);
    let trade = |(row, (symbol, at, price, size, condition)): (usize, Raw)| Trade {
        symbol: format!("S{symbol}"),
        feed: if policy == "lean" { "lean.sip".into() } else { "alpaca.sip".into() },
        venue: "P".into(),
        id: (row + 1).to_string(),
        ts: UnixNanos(START + i64::from(at) * 1_000_000),
        recv_ts: UnixNanos(0),
        price: Price::from_billionths(i64::from(price) * 10_000_000),
        size: Size::from_whole(size.into()),
        side: Side::Unknown,
        conditions: format!("[\"{}\"]", conditions[condition as usize % conditions.len()]),
        tape: "A".into(),
        seq: 0,
        revision: 0,
        canceled: false,
    };
    sorted.into_iter().enumerate().map(trade).collect()
}

fn raw(within_ms: u32) -> impl Strategy<Value = Vec<Raw>> {
    prop::collection::vec((0_u8..3, 0..within_ms, 1_u16..50, 1_u16..400, 0_u8..5), 1..120)
}

fn policy() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["sip", "lean", "all"])
}

/// A random permutation.
fn shuffled<T: Clone>(list: &[T], keys: &[u32]) -> Vec<T> {
    let mut order: Vec<usize> = (0..list.len()).collect();
    order.sort_by_key(|index| (keys[index % keys.len()].wrapping_mul(*index as u32 + 1), *index));
    order.into_iter().map(|index| list[index].clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn any_order_within_the_allowed_lateness_gives_the_same_bars(
        policy in policy(), raw in raw(890_000), keys in prop::collection::vec(any::<u32>(), 7), cut in 1_usize..20,
    ) {
        let trades = trades(policy, &raw);
        let straight: Vec<_> = trades.iter().map(record).collect();
        let expected = bars(policy, &straight, |_| false);
        let mixed = shuffled(&straight, &keys);
        prop_assert_eq!(bars(policy, &mixed, |i| i % cut == 0).content(), expected.content());
        // And each record twice.
        let twice: Vec<_> = mixed.iter().chain(&straight).copied().collect();
        prop_assert_eq!(bars(policy, &twice, |i| i % cut == 0).content(), expected.content());
    }

    #[test]
    fn any_cut_gives_the_same_bars_and_revisions(policy in policy(), raw in raw(4_000_000), cut in 1_usize..20) {
        let trades = trades(policy, &raw);
        let all: Vec<_> = trades.iter().map(record).collect();
        let expected = bars(policy, &all, |_| false);
        prop_assert!(expected.0.values().all(|bar| bar.revision == 0 && bar.late == 0));
        prop_assert_eq!(bars(policy, &all, |i| i % cut == 0).content(), expected.content());
        // Each symbol separately, as in its own partition.
        let mut alone = Bars::default();
        for symbol in ["S0", "S1", "S2"] {
            let own: Vec<_> = all.iter().filter(|record| *record.symbol() == symbol).copied().collect();
            bars(policy, &own, |i| i % cut == 0).0.into_values().for_each(|bar| alone.keep(bar));
        }
        prop_assert_eq!(alone.content(), expected.content());
    }

    #[test]
    fn longer_bars_are_their_seconds_merged(raw in raw(4_000_000)) {
        let trades = trades("all", &raw);
        let all: Vec<_> = trades.iter().map(record).collect();
        let bars = bars("all", &all, |_| false);
        for ((symbol, _, interval, start), bar) in &bars.0 {
            let (Values::Trades(whole), Some(width)) = (&bar.values, bar.interval.nanos()) else { continue };
            let parts: Vec<_> = bars.0.iter()
                .filter(|((s, _, i, at), _)| s == symbol && i == "1s" && (*start..start + width).contains(at))
                .filter_map(|(_, bar)| if let Values::Trades(values) = &bar.values { Some(values) } else { None })
                .collect();
            prop_assert_eq!(parts[0].ohlc[0], whole.ohlc[0], "{} {}", symbol, interval);
            prop_assert_eq!(parts.iter().map(|p| p.ohlc[1]).max().unwrap(), whole.ohlc[1]);
            prop_assert_eq!(parts.iter().map(|p| p.ohlc[2]).min().unwrap(), whole.ohlc[2]);
            prop_assert_eq!(parts[parts.len() - 1].ohlc[3], whole.ohlc[3]);
            prop_assert_eq!(parts.iter().map(|p| p.volume.raw()).sum::<i128>(), whole.volume.raw());
            prop_assert_eq!(parts.iter().map(|p| p.trades).sum::<u64>(), whole.trades);
        }
    }

    #[test]
    fn amendments_in_any_order_give_the_bars_of_the_amended_tape(
        policy in policy(), raw in raw(800_000), keys in prop::collection::vec(any::<u32>(), 7), cut in 1_usize..20,
    ) {
        let trades = trades(policy, &raw);
        // Every third is corrected, every fifth canceled.
        let amend = |(index, trade): (usize, &Trade<String>)| {
            let corrected = (index % 3 == 0).then(|| Trade {
                price: Price::from_raw(trade.price.raw() + Price::from_billionths(20_000_000).raw()),
                size: Size::from_raw(trade.size.raw() + Size::from_whole(100).raw()),
                revision: 1,
                ..trade.clone()
            });
            let canceled = (index % 5 == 0).then(|| Trade { revision: 2, canceled: true, ..trade.clone() });
            [corrected, canceled]
        };
        let amendments: Vec<Trade<String>> = trades.iter().enumerate().flat_map(amend).flatten().collect();
        let amended: Vec<Trade<String>> = trades.iter().enumerate()
            .filter(|(index, _)| index % 5 != 0)
            .map(|(index, trade)| amend((index, trade))[0].clone().unwrap_or_else(|| trade.clone()))
            .map(|trade| Trade { revision: 0, ..trade })
            .collect();
        let expected = bars(policy, &amended.iter().map(record).collect::<Vec<_>>(), |_| false);
        let all: Vec<_> = trades.iter().chain(&amendments).map(record).collect();
        prop_assert_eq!(bars(policy, &all, |i| i % cut == 0).content(), expected.content());
        let mixed = shuffled(&all, &keys);
        prop_assert_eq!(bars(policy, &mixed, |i| i % cut == 0).content(), expected.content());
    }

    #[test]
    fn a_restart_anywhere_gives_the_same_bars(
        policy in policy(), raw in prop::collection::vec((0_u8..3, 0_u32..4, 0_u32..4_000_000, 1_u16..50, 1_u16..400, 0_u8..5), 1..150),
        stop in 0_usize..150, cut in 1_usize..20,
    ) {
        // Four days in a row.
        let mut trades: Vec<Trade<String>> = Vec::new();
        for day in 0..4 {
            let of_day: Vec<Raw> = raw.iter().filter(|r| r.1 == day).map(|r| (r.0, r.2, r.3, r.4, r.5)).collect();
            let shift = i64::from(day) * 24 * 60 * MINUTE;
            trades.extend(self::trades(policy, &of_day).into_iter().map(|t| Trade { ts: UnixNanos(t.ts.0 + shift), ..t }));
        }
        let all: Vec<_> = trades.iter().map(record).collect();
        let expected = bars(policy, &all, |_| false);
        let restarted = with_restarts(&settings(policy), &all, &[stop], cut);
        prop_assert_eq!(restarted.content(), expected.content());
    }

    #[test]
    fn kills_change_no_bar_of_quotes_of_several_days(
        always in any::<bool>(), raw in prop::collection::vec((0_u32..4, 0_u32..4_000_000, 1_u16..50, 0_u8..3), 1..120),
        stops in prop::collection::vec(0_usize..120, 1..4), cut in 1_usize..20,
    ) {
        let mut sorted = raw;
        sorted.sort_unstable();
        let quotes: Vec<Record<&str>> = sorted.iter().enumerate().map(|(row, (day, at, price, sides))| {
            let ts = START + i64::from(*day) * 24 * 60 * MINUTE + i64::from(*at) * 1_000_000;
            quote(row as i64 + 1, ts, *price, *sides)
        }).collect();
        let settings = in_calendar("sip", if always { Calendar::ALWAYS } else { Calendar::XNYS });
        let mut whole = Aggregator::new(settings.clone());
        let mut expected = Bars::default();
        quotes.iter().for_each(|quote| { whole.add(quote, StreamPosition::default()); });
        whole.finish(&mut |bar| expected.keep(bar));
        prop_assert_eq!(with_restarts(&settings, &quotes, &stops, cut).content(), expected.content());
        // A session's first bar opens with the session's first quote; in a market that never closes, one day
        // continues from the previous one.
        let mut last: Option<(i64, Price)> = None;
        for ((.., interval, start), bar) in &expected.0 {
            let (Values::Quotes(values), "1s") = (&bar.values, interval.as_str()) else { continue };
            let day = START + (start - START).div_euclid(24 * 60 * MINUTE) * 24 * 60 * MINUTE;
            let Some((bid, _)) = values.bid else {
                prop_assert!(last.is_none_or(|(before, _)| !always && before != day));
                continue;
            };
            let first = sorted.iter().enumerate().find(|(_, (of, at, _, sides))| {
                let ts = START + i64::from(*of) * 24 * 60 * MINUTE + i64::from(*at) * 1_000_000;
                ts >= *start && *sides != 1
            }).map(|(_, (.., price, _))| Price::from_billionths(i64::from(*price)));
            match last.filter(|(before, _)| always || *before == day) {
                Some((_, close)) => prop_assert_eq!(bid[0], close),
                None => prop_assert_eq!(Some(bid[0]), first),
            }
            last = Some((day, bid[3]));
        }
    }

    #[test]
    fn quotes_in_any_order_give_the_same_bars(
        raw in prop::collection::vec((0_u32..890_000, 1_u16..50, 0_u8..3), 1..80),
        keys in prop::collection::vec(any::<u32>(), 7), cut in 1_usize..20,
    ) {
        let mut sorted = raw;
        sorted.sort_by_key(|(at, ..)| *at);
        let all: Vec<Record<&str>> = sorted.iter().enumerate()
            .map(|(row, (at, price, sides))| quote(row as i64 + 1, START + i64::from(*at) * 1_000_000, *price, *sides))
            .collect();
        let expected = bars("sip", &all, |_| false);
        let mixed = shuffled(&all, &keys);
        prop_assert_eq!(bars("sip", &mixed, |i| i % cut == 0).content(), expected.content());
        // A bar opens with the previous quote.
        let mut last = None;
        for ((.., interval, _), bar) in &expected.0 {
            if let (Values::Quotes(values), "1s") = (&bar.values, interval.as_str()) {
                if let (Some(before), Some((bid, _))) = (last, values.bid) {
                    prop_assert_eq!(bid[0], before);
                }
                last = values.bid.map(|(bid, _)| bid[3]).or(last);
            }
        }
    }
}

fn one(symbol: &str, second: i64, price: i64, id: u32) -> Trade<String> {
    Trade {
        symbol: symbol.into(),
        feed: "alpaca.sip".into(),
        venue: "V".into(),
        id: id.to_string(),
        ts: UnixNanos(START + second * SECOND),
        recv_ts: UnixNanos(0),
        price: Price::from_whole(price),
        size: Size::from_whole(100),
        side: Side::Unknown,
        conditions: "[]".into(),
        tape: "C".into(),
        seq: 0,
        revision: 0,
        canceled: false,
    }
}

struct Run {
    aggregator: Aggregator,
    emitted: Vec<Bar>,
}

impl Run {
    fn new() -> Self {
        Self { aggregator: Aggregator::new(settings("sip")), emitted: Vec::new() }
    }

    /// The verdict, and the number of duplicates and amendments.
    fn add(&mut self, trade: &Trade<String>) -> (Verdict, u64, u64) {
        let before = self.aggregator.counts();
        let verdict = self.aggregator.add(&record(trade), StreamPosition::default());
        let emitted = &mut self.emitted;
        self.aggregator.take(0, &mut |bar| emitted.push(bar));
        let counts = self.aggregator.counts();
        (verdict, counts.duplicates - before.duplicates, counts.amended - before.amended)
    }

    /// The last emission of a bar.
    fn bar(&self, symbol: &str, interval: &str, second: i64) -> Option<&Bar> {
        let start = UnixNanos(START + second * SECOND);
        self.emitted
            .iter()
            .rev()
            .find(|bar| bar.symbol == symbol && bar.interval.to_string() == interval && bar.start == start)
    }
}

fn close(bar: Option<&Bar>) -> Option<String> {
    match &bar?.values {
        Values::Trades(values) => Some(values.ohlc[3].to_string()),
        _ => None,
    }
}

#[test]
fn a_late_record_restates_and_one_beyond_the_allowed_lateness_does_not() {
    let mut run = Run::new();
    for second in 0..130 {
        run.add(&one("A", second, 10, second as u32));
    }
    assert_eq!(run.bar("A", "1m", 0).map(|bar| (bar.revision, bar.late, bar.is_final)), Some((0, 0, false)));
    let mut late = one("A", 30, 99, 5_000);
    late.ts.0 += 5;
    assert_eq!(run.add(&late), (Verdict::Taken, 0, 0));
    for interval in ["1m", "5s", "1s"] {
        let bar = run.bar("A", interval, if interval == "1m" { 0 } else { 30 }).unwrap();
        assert_eq!((bar.revision, bar.late), (1, 1), "{interval}");
        let Values::Trades(values) = &bar.values else { panic!() };
        assert_eq!(values.ohlc[1].to_string(), "99");
    }
    assert_eq!(run.add(&late), (Verdict::Taken, 1, 0));
    for second in 130..2_000 {
        run.add(&one("A", second, 10, 10_000 + second as u32));
    }
    assert!(run.bar("A", "1m", 0).unwrap().is_final);
    let (emitted, before) = (run.emitted.len(), run.bar("A", "1m", 0).cloned());
    assert_eq!(run.add(&Trade { id: "6000".into(), ..late }), (Verdict::TooLate, 0, 0));
    assert_eq!((run.emitted.len(), run.bar("A", "1m", 0).cloned()), (emitted, before));
}

#[test]
fn a_future_print_poisons_nothing_and_a_quiet_symbol_stalls_nothing() {
    let mut run = Run::new();
    for second in 0..10 {
        run.add(&one("A", second, 10, second as u32));
    }
    run.add(&one("QUIET", 10, 7, 1));
    // Dated tomorrow.
    run.add(&one("A", 86_400, 1_000, 99));
    for second in 10..200 {
        assert_eq!(run.add(&one("A", second, 10, 100 + second as u32)), (Verdict::Taken, 0, 0));
    }
    assert_eq!(close(run.bar("A", "1m", 120)).as_deref(), Some("10"));
    assert_eq!(run.bar("A", "1m", 120).unwrap().late, 0);
    // The quiet symbol's only trade is in bars closed by its neighbour's progress.
    assert_eq!(close(run.bar("QUIET", "1s", 10)).as_deref(), Some("7"));
    assert_eq!(close(run.bar("QUIET", "1m", 0)).as_deref(), Some("7"));
    // The future print is not lost.
    let mut emitted = Vec::new();
    run.aggregator.finish(&mut |bar| emitted.push(bar));
    assert!(emitted.iter().any(|bar| bar.start.0 == START + 86_400 * SECOND));
}

#[test]
fn a_correction_and_a_cancel_restate_every_interval() {
    let mut run = Run::new();
    for second in 0..4_000 {
        run.add(&one("A", second, 10 + i64::from(second == 3_900), second as u32));
    }
    let five = |run: &Run| {
        ["1s", "5s", "1m", "5m"].map(|interval| {
            run.bar("A", interval, 3_900).map(|bar| {
                (
                    bar.revision,
                    if let Values::Trades(v) = &bar.values { v.ohlc[1].to_string() } else { String::new() },
                )
            })
        })
    };
    assert_eq!(
        five(&run),
        [(0, "11"), (0, "11"), (0, "11")]
            .map(|(r, h)| Some((r, h.to_owned())))
            .into_iter()
            .chain([None])
            .collect::<Vec<_>>()[..]
    );
    let wrong = one("A", 3_900, 11, 3_900);
    let corrected = Trade { price: Price::from_whole(12), revision: 1, ..wrong.clone() };
    assert_eq!(run.add(&corrected), (Verdict::Taken, 0, 1));
    assert_eq!(five(&run)[..3], [(1, "12"), (1, "12"), (1, "12")].map(|(r, h)| Some((r, h.to_owned()))));
    let canceled = Trade { revision: 2, canceled: true, ..corrected };
    assert_eq!(run.add(&canceled), (Verdict::Taken, 0, 1));
    // The second had no other trade: its bar is deleted; the minute remains without it.
    assert_eq!(
        run.bar("A", "1s", 3_900).map(|bar| (bar.revision, bar.values.clone())),
        Some((2, Values::Empty))
    );
    assert_eq!(five(&run)[2], Some((2, "10".to_owned())));
    // A canceled trade is not restored by a repeat.
    assert_eq!(run.add(&wrong), (Verdict::Taken, 1, 0));
    let mut day = None;
    run.aggregator.finish(&mut |bar| {
        if bar.interval.is_day() {
            day = Some(bar);
        }
    });
    let Values::Trades(values) = day.unwrap().values else { panic!() };
    assert_eq!((values.ohlc[1].to_string(), values.trades), ("10".to_owned(), 3_999));
}

#[test]
fn half_days_and_changed_clocks_bucket_rightly() {
    // (time, policy effect on the daily bar): after a half day's close a Form T print sets no price of the
    // day.
    for (day, print, session_start) in [
        ("2013-11-29T17:59:59Z", true, "2013-11-29T05:00:00Z"),
        ("2013-11-29T18:30:00Z", false, "2013-11-29T05:00:00Z"),
        ("2013-11-01T13:30:00Z", true, "2013-11-01T04:00:00Z"),
        ("2013-11-04T14:30:00Z", true, "2013-11-04T05:00:00Z"),
        ("2014-03-07T14:30:00Z", true, "2014-03-07T05:00:00Z"),
        ("2014-03-10T13:30:00Z", true, "2014-03-10T04:00:00Z"),
    ] {
        let mut run = Run::new();
        let at = |second: i64, id: u32, condition: &str| Trade {
            ts: UnixNanos(UnixNanos::parse(day).unwrap().0 + second),
            conditions: format!("[\"{condition}\"]"),
            ..one("A", 0, 10 + i64::from(id), id)
        };
        run.add(&at(0, 1, "@"));
        run.add(&at(1, 2, "T"));
        let mut emitted = Vec::new();
        run.aggregator.finish(&mut |bar| emitted.push(bar));
        let find = |interval: &str| emitted.iter().find(|bar| bar.interval.to_string() == interval).unwrap();
        let high = |bar: &Bar| {
            if let Values::Trades(values) = &bar.values { values.ohlc[1].to_string() } else { String::new() }
        };
        assert_eq!(find("1d").start.to_string(), session_start, "{day}");
        assert_eq!(high(find("1d")), "11", "{day}");
        // In intraday bars Form T counts only outside the regular session.
        assert_eq!(high(find("1m")), if print { "11" } else { "12" }, "{day}");
    }
}

#[test]
fn many_series_stay_apart_by_symbol_and_feed() {
    // More series than are processed together, more records than wait, and symbols of either length.
    let symbols: Vec<String> = (0..90)
        .map(|n| if n % 3 == 0 { format!("A-VERY-LONG-SYMBOL-{n}") } else { format!("S{n}") })
        .collect();
    let mut run = Run::new();
    for round in 0..200_u32 {
        for (n, symbol) in symbols.iter().enumerate() {
            for (of, feed) in ["alpaca.sip", "massive.stocks"].into_iter().enumerate() {
                let price = 100 + n as i64 + 1_000 * of as i64;
                let trade =
                    Trade { feed: feed.into(), ..one(symbol, 60 + i64::from(round) / 4, price, round) };
                let verdict = run.aggregator.add(&record(&trade), StreamPosition::default());
                assert_eq!(verdict, Verdict::Taken);
            }
        }
    }
    let emitted = &mut run.emitted;
    run.aggregator.finish(&mut |bar| emitted.push(bar));
    let minutes: Vec<&Bar> = run.emitted.iter().filter(|bar| bar.interval.to_string() == "1m").collect();
    assert_eq!(minutes.len(), 2 * symbols.len());
    for bar in minutes {
        let n = symbols.iter().position(|symbol| *symbol == bar.symbol).unwrap();
        let price = 100 + n + if bar.feed == "alpaca.sip" { 0 } else { 1_000 };
        let Values::Trades(values) = &bar.values else { panic!("{bar:?}") };
        assert_eq!(
            (values.trades, values.ohlc.map(|price| price.to_string())),
            (200, [0; 4].map(|_| price.to_string()))
        );
    }
}
