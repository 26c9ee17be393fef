//! What alerts cost: 10,000 rules over 1,000 symbols, nanoseconds for a trade and resident memory.
//!
//!     cargo run --release -p market --example alert_cost [TRADES]
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement for people")]

use market::alert::{Engine, EngineSettings, RuleConfig};
use market::calendar::Calendar;
use market::codec::json;
use market::policy::Policy;
use market::{Kind, Record, UnixNanos};
use std::time::Instant;

/// 2013-10-08 10:00 in New York.
const START: i64 = 1_381_240_800_000_000_000;
const SYMBOLS: usize = 1_000;

const KINDS: [&str; 10] = [
    r#""kind":"percent_move","window":"60s","threshold":0.5,"cooldown":"5m""#,
    r#""kind":"percent_move","window":"5m","threshold":1,"cooldown":"5m""#,
    r#""kind":"cross","level":101,"hysteresis":0.5"#,
    r#""kind":"cross","indicator":"sma:20","cooldown":"10m""#,
    r#""kind":"cross","indicator":"ema:50","cooldown":"10m""#,
    r#""kind":"volume_surge","window":"60s","baseline":"10m","threshold":5,"cooldown":"10m""#,
    r#""kind":"vwap_deviation","threshold":1,"hysteresis":0.5"#,
    r#""kind":"new_extreme","days":20"#,
    r#""kind":"open_gap","threshold":2"#,
    r#""kind":"stall","window":"60s""#,
];

fn resident() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.trim_start_matches("VmRSS:").trim().to_owned()
}

fn main() {
    let trades: usize = std::env::args().nth(1).map_or(2_000_000, |text| text.parse().unwrap());
    let mut rules: Vec<RuleConfig> = Vec::new();
    for symbol in 0..SYMBOLS {
        for (number, kind) in KINDS.iter().enumerate() {
            let text = format!(r#"{{"name":"r{symbol}-{number}","symbols":["S{symbol}"],{kind}}}"#);
            rules.push(serde_json::from_str(&text).unwrap());
        }
    }
    let mut engine =
        Engine::new(&rules, EngineSettings::new(Policy::named("sip").unwrap(), Calendar::XNYS)).unwrap();
    // Messages made before the clock runs: a random walk of each symbol, 10,000 records a second in all.
    let mut prices = vec![10_000_i64; SYMBOLS];
    let mut seed = 42_u64;
    let mut messages = Vec::with_capacity(trades);
    for number in 0..trades {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let symbol = (seed >> 33) as usize % SYMBOLS;
        prices[symbol] += (seed >> 20 & 7) as i64 - 3;
        prices[symbol] = prices[symbol].clamp(5_000, 20_000);
        let ts = START + number as i64 * 100_000;
        let (whole, cents) = (prices[symbol] / 100, prices[symbol] % 100);
        let size = seed >> 40 & 1_023;
        let text = format!(
            r#"{{"symbol":"S{symbol}","feed":"alpaca.sip","venue":"P","id":"{number}","ts":{ts},"recv_ts":{ts},"price":"{whole}.{cents:02}","size":"{}","conditions":["@"],"tape":"A"}}"#,
            size + 1
        );
        let mut canonical = Vec::new();
        json::normalize(Kind::TRADE, text.as_bytes(), &mut canonical).unwrap();
        messages.push(canonical);
    }
    let before = resident();
    let mut out = Vec::new();
    let mut decoded = 0_i64;
    let start = Instant::now();
    for message in &messages {
        let Some(Record::Trade(trade)) = json::decode(Kind::TRADE, message) else { panic!("no trade") };
        decoded = decoded.wrapping_add(trade.ts.0);
    }
    let decoding = start.elapsed();
    let start = Instant::now();
    let mut fired = 0;
    for (number, message) in messages.iter().enumerate() {
        let Some(Record::Trade(trade)) = json::decode(Kind::TRADE, message) else { panic!("no trade") };
        engine.trade(&trade, &mut out);
        if number % 256 == 0 {
            engine.advance(UnixNanos(trade.ts.0), &mut out);
            fired += out.len();
            out.clear();
        }
    }
    let whole = start.elapsed();
    fired += out.len();
    let each = |time: std::time::Duration| time.as_nanos() as f64 / trades as f64;
    println!("{} rules, {} series, {trades} trades, {fired} alerts", rules.len(), engine.series());
    println!(
        "decode {:.0} ns, evaluate {:.0} ns a trade",
        each(decoding),
        each(whole.saturating_sub(decoding))
    );
    let start = Instant::now();
    let state = serde_json::to_vec(&engine.state()).unwrap();
    println!("snapshot {} bytes in {:.0} ms", state.len(), start.elapsed().as_secs_f64() * 1e3);
    println!("resident: {before} before, {} after (checksum {decoded})", resident());
}
