//! Alerts, data in and expectation out; `properties`: what holds for any data.
#![allow(clippy::unwrap_used, reason = "tests")]

mod properties;

use market::adjust::Factors;
use market::alert::{Alert, Engine, EngineSettings, RuleConfig};
use market::bar::{Bar, TradeValues, Values};
use market::calendar::Calendar;
use market::interval::{Interval, SECOND};
use market::policy::Policy;
use market::{Price, Quote, Record, Size, Trade, UnixNanos};
use serde::Deserialize;

/// 2013-10-08 10:00 in New York.
const START: i64 = 1_381_240_800 * SECOND;

#[derive(Deserialize)]
struct Rules {
    rules: Vec<RuleConfig>,
}

fn rules(text: &str) -> Vec<RuleConfig> {
    toml::from_str::<Rules>(text).unwrap().rules
}

fn settings() -> EngineSettings {
    EngineSettings::new(Policy::named("sip").unwrap(), Calendar::XNYS)
}

fn engine(text: &str) -> Engine {
    Engine::new(&rules(text), settings()).unwrap()
}

fn price(value: f64) -> Price {
    Price::parse(format!("{value:.4}").as_bytes()).unwrap()
}

fn size(value: f64) -> Size {
    Size::parse(format!("{value:.4}").as_bytes()).unwrap()
}

/// A trade through the canonical JSON: `conditions`, `revision` and `canceled` as given.
#[derive(Debug, Clone)]
struct Print {
    symbol: &'static str,
    id: String,
    ms: i64,
    price: f64,
    size: f64,
    conditions: &'static str,
    revision: u32,
    canceled: bool,
}

fn print(id: u32, ms: i64, price: f64) -> Print {
    let (symbol, conditions) = ("X", r#"["@"]"#);
    Print { symbol, id: id.to_string(), ms, price, size: 100.0, conditions, revision: 0, canceled: false }
}

fn record(print: &Print) -> String {
    let ts = UnixNanos(START + print.ms * 1_000_000);
    format!(
        r#"{{"feed":"alpaca.sip","symbol":"{}","venue":"P","id":"{}","ts":{},"recv_ts":{},"price":"{}","size":"{}","conditions":{},"tape":"A","revision":{},"canceled":{}}}"#,
        print.symbol,
        print.id,
        ts.0,
        ts.0,
        price(print.price),
        size(print.size),
        print.conditions,
        print.revision,
        print.canceled
    )
}

fn feed(engine: &mut Engine, print: &Print, out: &mut Vec<Alert>) {
    let mut text = Vec::new();
    market::codec::json::normalize(market::Kind::TRADE, record(print).as_bytes(), &mut text).unwrap();
    let Some(Record::Trade(trade)) = market::codec::json::decode(market::Kind::TRADE, &text) else {
        panic!("{print:?}");
    };
    engine.advance(trade.ts, out);
    let trade: Trade<&str> = trade;
    engine.trade(&trade, out);
}

fn run(engine: &mut Engine, prints: &[Print]) -> Vec<Alert> {
    let mut out = Vec::new();
    prints.iter().for_each(|print| feed(engine, print, &mut out));
    out
}

/// Kind, milliseconds and whether it is a retraction.
fn shown(alerts: &[Alert]) -> Vec<(&str, i64, bool)> {
    alerts
        .iter()
        .map(|alert| (alert.kind.as_str(), (alert.event_time - START) / 1_000_000, alert.retracts.is_some()))
        .collect()
}

const SPIKE: &str = r#"
[[rules]]
name = "spike"
kind = "percent_move"
window = "10s"
threshold = 0.4
"#;

#[test]
fn a_move_within_the_window_fires_and_a_slow_one_does_not() {
    let fast = [print(1, 0, 100.0), print(2, 5_000, 100.2), print(3, 9_999, 100.4), print(4, 9_999, 100.45)];
    let alerts = run(&mut engine(SPIKE), &fast);
    assert_eq!(shown(&alerts), [("spike", 9_999, false)]);
    assert_eq!(alerts[0].message, "X rose 0.40 % within 10s to 100.4 (limit 0.4 %)");
    assert_eq!(alerts[0].key.len(), 32);
    let slow = [print(1, 0, 100.0), print(2, 5_000, 100.2), print(3, 10_000, 100.4)];
    assert_eq!(shown(&run(&mut engine(SPIKE), &slow)), []);
    let down = [print(1, 0, 100.0), print(2, 1, 99.6), print(3, 2, 99.6)];
    let alerts = run(&mut engine(SPIKE), &down);
    assert_eq!(shown(&alerts), [("drop", 1, false)]);
    assert!((alerts[0].value + 0.4).abs() < 1e-9);
}

#[test]
fn bad_prints_fire_nothing() {
    // An average-price trade may not set the price; a single outlier is not accepted, nor is a price outside
    // the quote.
    let average = Print { conditions: r#"["W"]"#, ..print(2, 1, 100.45) };
    assert_eq!(shown(&run(&mut engine(SPIKE), &[print(1, 0, 100.0), average, print(3, 2, 100.0)])), []);
    let lone = [print(1, 0, 100.0), print(2, 1, 103.0), print(3, 2, 103.0), print(4, 3, 100.0)];
    assert_eq!(shown(&run(&mut engine(SPIKE), &lone)), []);
    let crash = [print(1, 0, 100.0), print(2, 1, 90.0), print(3, 2, 90.1), print(4, 3, 89.9)];
    assert_eq!(shown(&run(&mut engine(SPIKE), &crash)), [("drop", 3, false)]);
    let future = Print { ms: 1, ..print(2, 1, 100.4) };
    assert_eq!(shown(&run(&mut engine(SPIKE), &[print(1, 0, 100.0), future])), [("spike", 1, false)]);
    // Late: it cannot be the current price.
    let late = [print(1, 10, 100.0), print(2, 5, 100.45), print(3, 11, 100.0)];
    assert_eq!(shown(&run(&mut engine(SPIKE), &late)), []);
}

#[test]
fn prints_outside_a_fresh_quote_are_ignored() {
    let mut engine = Engine::new(&rules(SPIKE), {
        let mut settings = settings();
        settings.filter.outlier_percent = 0.0;
        settings
    })
    .unwrap();
    let mut out = Vec::new();
    feed(&mut engine, &print(1, 0, 100.0), &mut out);
    let side = |value| Some(market::QuoteSide { price: price(value), size: size(1.0), venue: "P" });
    let quote = Quote {
        symbol: "X",
        feed: "alpaca.sip",
        seq: 1,
        ts: UnixNanos(START + 1_000_000),
        recv_ts: UnixNanos(0),
        bid: side(99.99),
        ask: side(100.01),
        conditions: "[]",
    };
    engine.quote(&quote, &mut out);
    feed(&mut engine, &print(2, 2, 101.0), &mut out);
    assert_eq!(shown(&out), []);
    feed(&mut engine, &print(3, 6_002, 101.0), &mut out);
    assert_eq!(shown(&out), [("spike", 6_002, false)]);
}

#[test]
fn what_is_canceled_or_corrected_is_retracted() {
    let base = [print(1, 0, 100.0), print(2, 1, 100.4), print(3, 2, 100.4)];
    let amended = |id: u32, to: Option<f64>| {
        let was = &base[id as usize - 1];
        Print { revision: 1, canceled: to.is_none(), price: to.unwrap_or(was.price), ..was.clone() }
    };
    for (change, retracted) in [
        // The print that triggered it.
        (amended(2, None), true),
        (amended(2, Some(100.1)), true),
        (amended(2, Some(100.41)), false),
        // The reference print.
        (amended(1, None), true),
        (amended(1, Some(99.9)), false),
        (amended(1, Some(100.3)), true),
        // An unrelated print.
        (amended(3, None), false),
    ] {
        let mut engine = engine(SPIKE);
        let alerts = run(&mut engine, &base);
        assert_eq!(shown(&alerts), [("spike", 1, false)]);
        let more = run(&mut engine, std::slice::from_ref(&change));
        assert_eq!(more.len(), usize::from(retracted), "{change:?}");
        if let Some(retraction) = more.first() {
            assert_eq!(retraction.retracts.as_ref(), Some(&alerts[0].key));
            assert_ne!(retraction.key, alerts[0].key);
            assert!(retraction.message.starts_with("retracted: X rose"));
        }
        // Once.
        assert!(run(&mut engine, &[change]).is_empty());
    }
}

#[test]
fn a_canceled_block_retracts_a_volume_surge() {
    let text = "[[rules]]\nname='v'\nkind='volume_surge'\nwindow='10s'\nbaseline='60s'\nthreshold=5\n";
    let mut prints: Vec<_> = (0..80).map(|n| print(n, i64::from(n) * 1_000, 100.0)).collect();
    prints.push(Print { size: 10_000.0, ..print(500, 80_000, 100.0) });
    let mut engine = engine(text);
    let alerts = run(&mut engine, &prints);
    assert_eq!(shown(&alerts), [("volume_surge", 80_000, false)]);
    // 9 prints of 100 and the block, against 10 of 100.
    assert!((alerts[0].value - 10.9).abs() < 1e-9, "{}", alerts[0].value);
    let block = Print { revision: 1, canceled: true, ..prints.last().unwrap().clone() };
    assert_eq!(shown(&run(&mut engine, &[block])), [("volume_surge", 80_000, true)]);
}

/// A cancel that is delivered again takes nothing away a second time, in the memory of recent prints and beyond.
#[test]
fn a_repeated_cancel_does_not_retract_a_volume_surge() {
    let text = "[[rules]]\nname='v'\nkind='volume_surge'\nwindow='10s'\nbaseline='60s'\nthreshold=5\n";
    let mut prints: Vec<_> = (0..80).map(|n| print(n, i64::from(n) * 1_000, 100.0)).collect();
    prints.push(Print { size: 3_000.0, ..print(500, 80_000, 100.0) });
    prints.push(Print { size: 3_000.0, ..print(501, 80_000, 100.0) });
    for later in [0, 200_000] {
        let mut engine = engine(text);
        assert_eq!(shown(&run(&mut engine, &prints)), [("volume_surge", 80_000, false)]);
        run(&mut engine, &[print(900, 80_000 + later, 100.0)]);
        // 9 prints of 100 and 3,000 are below 5,000; one cancel of 100 leaves what is needed.
        let small = Print { revision: 1, canceled: true, ..prints[75].clone() };
        let found: Vec<_> = (0..20).flat_map(|_| run(&mut engine, std::slice::from_ref(&small))).collect();
        assert!(found.is_empty(), "{later}: {found:?}");
        let block = Print { revision: 1, canceled: true, ..prints[80].clone() };
        assert_eq!(shown(&run(&mut engine, &[block])), [("volume_surge", 80_000, true)], "{later}");
    }
}

/// What never counted towards the volume takes nothing away when it is canceled.
#[test]
fn cancels_of_uncounted_prints_do_not_retract_a_volume_surge() {
    let text = "[[rules]]\nname='v'\nkind='volume_surge'\nwindow='10s'\nbaseline='60s'\nthreshold=5\n";
    let mut prints: Vec<_> = (0..80).map(|n| print(n, i64::from(n) * 1_000, 100.0)).collect();
    // The official close repeats volume that was already reported.
    prints.push(Print { size: 9_000.0, conditions: r#"["M"]"#, ..print(500, 79_000, 100.0) });
    let gone = Print { size: 3_000.0, ..print(501, 79_500, 100.0) };
    prints.extend([gone.clone(), Print { revision: 1, canceled: true, ..gone.clone() }]);
    let unseen = Print { size: 9_000.0, ..print(502, 79_600, 100.0) };
    prints.push(Print { size: 6_000.0, ..print(503, 80_000, 100.0) });
    for later in [0, 200_000] {
        let mut engine = engine(text);
        assert_eq!(shown(&run(&mut engine, &prints)), [("volume_surge", 80_000, false)]);
        let found = run(&mut engine, &[Print { revision: 1, canceled: true, ..unseen.clone() }]);
        assert!(found.is_empty(), "{later}: {found:?}");
        run(&mut engine, &[print(900, 80_000 + later, 100.0)]);
        let canceled = |print: &Print| Print { revision: 1, canceled: true, ..print.clone() };
        let found = run(&mut engine, &[canceled(&prints[80]), canceled(&gone)]);
        assert!(found.is_empty(), "{later}: {found:?}");
    }
}

#[test]
fn halts_stalls_lag_and_readings() {
    let text = r#"
[[rules]]
name = "halt"
kind = "halt"
[[rules]]
name = "stall"
kind = "stall"
window = "30s"
[[rules]]
name = "lag"
kind = "pipeline_lag"
threshold = 5
hysteresis = 2
[[rules]]
name = "hot"
kind = "threshold"
symbols = ["oven/*"]
direction = "up"
threshold = 80
hysteresis = 5
[[rules]]
name = "jump"
kind = "rate_of_change"
window = "60s"
threshold = 10
[[rules]]
name = "mute"
kind = "silence"
window = "5m"
"#;
    let at = |seconds: i64| UnixNanos(START + seconds * SECOND);
    let mut engine = engine(text);
    let mut out = Vec::new();
    feed(&mut engine, &print(1, 0, 100.0), &mut out);
    engine.advance(at(29), &mut out);
    assert_eq!(shown(&out), []);
    engine.advance(at(100), &mut out);
    assert_eq!(shown(&out), [("stall", 30_000, false)]);
    assert_eq!(out[0].message, "X has not traded for 30s while the market is open");
    out.clear();
    feed(&mut engine, &print(2, 101_000, 100.0), &mut out);
    engine.halt("alpaca.sip", "X", at(110), true, &mut out);
    engine.advance(at(1_000), &mut out);
    engine.halt("alpaca.sip", "X", at(1_000), false, &mut out);
    engine.advance(at(1_030), &mut out);
    let expected = [("halt", 110_000, false), ("resume", 1_000_000, false), ("stall", 1_030_000, false)];
    assert_eq!(shown(&out), expected);
    out.clear();
    for (second, lag) in [(2_000, 1.0), (2_001, 6.0), (2_002, 4.0), (2_003, 6.0), (2_004, 2.0), (2_005, 5.0)]
    {
        engine.lag("store", at(second), lag, &mut out);
    }
    assert_eq!(shown(&out), [("pipeline_lag", 2_001_000, false), ("pipeline_lag", 2_005_000, false)]);
    out.clear();
    for (second, value) in
        [(0, 70.0), (30, 79.0), (70, 81.0), (75, f64::NAN), (80, 76.0), (90, 82.0), (130, 99.0)]
    {
        engine.reading("mqtt", "oven/1", at(3_000 + second), value, &mut out);
    }
    engine.advance(at(3_430), &mut out);
    let shown = shown(&out);
    assert_eq!(
        shown,
        [("above", 3_070_000, false), ("rise", 3_130_000, false), ("silence", 3_430_000, false)]
    );
}

#[test]
fn nothing_stalls_while_the_market_is_closed() {
    let text = "[[rules]]\nname='s'\nkind='stall'\nwindow='10m'\nsession='regular'\n";
    let mut engine = engine(text);
    let mut out = Vec::new();
    let at = |text: &str| UnixNanos::parse(text).unwrap();
    // 15:55 in New York: the window ends after the close.
    feed(&mut engine, &print(1, 355 * 60_000, 100.0), &mut out);
    engine.advance(at("2013-10-09T13:39:59Z"), &mut out);
    assert_eq!(out, []);
    engine.advance(at("2013-10-09T13:40:00Z"), &mut out);
    assert_eq!(out[0].ts(), at("2013-10-09T13:40:00Z"));
}

#[test]
fn a_split_fires_nothing() {
    let text = r#"
[[rules]]
name = "gap"
kind = "open_gap"
threshold = 2
[[rules]]
name = "low"
kind = "new_extreme"
days = 1
direction = "down"
[[rules]]
name = "day"
kind = "percent_move"
window = "1d"
threshold = 5
[[rules]]
name = "average"
kind = "cross"
indicator = "sma:2"
"#;
    const DAY_MS: i64 = 86_400_000;
    let mut prints: Vec<_> = (0..10).map(|n| print(n, i64::from(n) * 60_000, 700.0 + f64::from(n))).collect();
    prints.extend((10..20).map(|n| print(n, DAY_MS - 1_800_000 + i64::from(n) * 60_000, 101.3)));
    let with = |factors: Option<&str>| {
        let mut settings = settings();
        if let Some(text) = factors {
            settings.splits.insert("X".to_owned(), Factors::parse(text).unwrap());
        }
        let mut alerts = run(&mut Engine::new(&rules(text), settings).unwrap(), &prints);
        alerts.retain(|alert| alert.event_time > START + DAY_MS / 2);
        alerts
    };
    assert_eq!(shown(&with(Some("20131008,1,0.142857142\n20501231,1,1"))), []);
    // Without the factors it looks like a crash. The check can fail.
    assert!(with(None).len() >= 3, "{:?}", with(None));
}

#[test]
fn days_of_the_store_are_asked_for_once_and_scaled_by_splits_since() {
    let text = r#"
[[rules]]
name = "gap"
kind = "open_gap"
threshold = 2
[[rules]]
name = "low"
kind = "new_extreme"
days = 1
direction = "down"
"#;
    // 2013-10-08; the next day's first print is half an hour after the open.
    let values = TradeValues {
        ohlc: [700.0, 710.0, 700.0, 707.0].map(price),
        volume: size(1.0),
        vwap: None,
        trades: 1,
    };
    let bar = Bar {
        kind: market::Kind::TRADE,
        symbol: "X".to_owned(),
        feed: "alpaca.sip".to_owned(),
        interval: Interval::D1,
        start: UnixNanos(Calendar::XNYS.day(UnixNanos(START)).start),
        values: Values::Trades(values),
        late: 0,
        revision: 0,
        is_final: true,
        complete: true,
    };
    let day = UnixNanos(START + 86_400 * SECOND);
    let open = Calendar::XNYS.day(day).start;
    let with = |factors: Option<&str>| {
        let mut settings = settings();
        if let Some(text) = factors {
            settings.splits.insert("X".to_owned(), Factors::parse(text).unwrap());
        }
        let mut engine = Engine::new(&rules(text), settings).unwrap();
        assert_eq!(engine.missing_days("alpaca.sip", "X", day), Some((1, UnixNanos(open))));
        assert_eq!(engine.missing_days("alpaca.sip", "X", day), None);
        engine.past_day(&bar, UnixNanos(open));
        run(&mut engine, &[print(1, 86_400_000, 101.3), print(2, 86_401_000, 101.2)])
    };
    assert_eq!(shown(&with(Some("20131008,1,0.142857142\n20501231,1,1"))), []);
    assert_eq!(with(None).len(), 2, "{:?}", with(None));
    // No rule needs days.
    assert_eq!(engine(SPIKE).missing_days("alpaca.sip", "X", day), None);
}

#[test]
fn quiet_hours_sessions_and_severity() {
    let text = r#"
[[rules]]
name = "quiet"
kind = "cross"
level = 100.2
direction = "up"
quiet_hours = "10:00-11:00 America/New_York"
severity = "critical"
channels = ["mail"]
[[rules]]
name = "night"
kind = "cross"
level = 100.2
session = "extended"
"#;
    let alerts = run(&mut engine(text), &[print(1, 0, 100.0), print(2, 1, 100.3), print(3, 2, 100.1)]);
    assert_eq!(shown(&alerts), [("cross_up", 1, false)]);
    assert!(alerts[0].quiet);
    assert_eq!((alerts[0].severity.to_string().as_str(), alerts[0].channels.len()), ("critical", 1));
}

#[test]
fn faulty_rules_are_refused_with_what_to_write() {
    for (text, part) in [
        ("kind='percent_move'", "percent_move needs `window`, for example `window = \"60s\"`"),
        ("kind='percent_move'\nwindow='60s'", "needs `threshold`"),
        ("kind='percent_move'\nwindow='60s'\nthreshold=-1", "expected more than 0, found -1"),
        ("kind='cross'", "either `level` or `indicator`"),
        ("kind='cross'\nlevel=1\nindicator='sma:3'", "either `level` or `indicator`"),
        ("kind='cross'\nindicator='rsi:3'", "expected sma:20 or ema:20, found `rsi:3`"),
        ("kind='threshold'\nthreshold=1", "needs `direction"),
        ("kind='new_extreme'", "needs `days`"),
        ("kind='open_gap'\nthreshold=nan", "expected a number"),
        ("kind='halt'\nhysteresis=-1", "`hysteresis`: expected 0 or more"),
    ] {
        let rules = rules(&format!("[[rules]]\nname='r'\n{text}"));
        let Err(error) = Engine::new(&rules, settings()) else { panic!("{text}") };
        assert!(error.to_string().contains(part), "{text}: {error}");
        assert!(error.to_string().starts_with("alert rule `r`: "), "{error}");
    }
    for (text, part) in [
        ("kind='halt'\nwindow='60'", "expected a duration"),
        ("kind='halt'\ntreshold=1", "unknown field `treshold`"),
        ("kind='crash'", "unknown variant `crash`"),
    ] {
        let Err(error) = toml::from_str::<Rules>(&format!("[[rules]]\nname='r'\n{text}")) else { panic!() };
        assert!(error.to_string().contains(part), "{text}: {error}");
    }
    let twice = rules("[[rules]]\nname='r'\nkind='halt'\n[[rules]]\nname='r'\nkind='halt'\n");
    assert!(Engine::new(&twice, settings()).is_err_and(|error| error.problem.contains("same name")));
}
