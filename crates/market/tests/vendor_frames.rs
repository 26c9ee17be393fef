//! From each vendor's frames to bars, under the default rules for the feed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use market::UnixNanos;
use market::bar::{Aggregator, AggregatorSettings, Bar, Feed, StreamPosition, Values};
use market::calendar::Calendar;
use market::codec::feed::{Decode, FeedMessage};
use market::codec::{alpaca, binance, coinbase, finnhub, kraken, massive};
use market::interval::{MINUTE, SECOND};
use market::policy::Policy;

fn settings() -> AggregatorSettings {
    let rules = |prefix: &str, symbols: &str, policy: &str, calendar: Calendar| Feed {
        prefix: prefix.to_owned(),
        symbols: symbols.to_owned(),
        policy: Policy::named(policy).unwrap(),
        calendar,
    };
    AggregatorSettings {
        intervals: ["1s", "1m", "1d"].iter().map(|text| text.parse().unwrap()).collect(),
        emit_delay: SECOND,
        allowed_lateness: 15 * MINUTE,
        feeds: vec![
            rules("finnhub", ":", "all", Calendar::ALWAYS),
            rules("alpaca.crypto", "", "all", Calendar::ALWAYS),
            rules("coinbase", "", "all", Calendar::ALWAYS),
            rules("kraken", "", "all", Calendar::ALWAYS),
            rules("binance", "", "all", Calendar::ALWAYS),
            rules("", "", "sip", Calendar::XNYS),
        ],
    }
}

/// The bars of frames, and the aggregator they went through.
fn made(decoder: &mut dyn Decode, frames: &[String]) -> (Vec<Bar>, Aggregator) {
    let mut aggregator = Aggregator::new(settings());
    for frame in frames {
        let mut add = |outcome: Result<FeedMessage<'_>, String>, raw: &str| match outcome {
            Ok(FeedMessage::Record(record)) => {
                aggregator.add(&record, StreamPosition::default());
            }
            Ok(_) => {}
            Err(reason) => panic!("{reason}: {raw}"),
        };
        decoder.frame(frame, UnixNanos(7), &mut add).unwrap();
    }
    let mut bars = Vec::new();
    aggregator.finish(&mut |bar| bars.push(bar));
    bars.sort_by(|a, b| (&a.symbol, a.interval, a.start).cmp(&(&b.symbol, b.interval, b.start)));
    (bars, aggregator)
}

/// `symbol start open/high/low/close volume trades` of each bar of an interval.
fn shown(bars: &[Bar], interval: &str) -> Vec<String> {
    let of = bars.iter().filter(|bar| bar.interval.to_string() == interval);
    of.map(|bar| match &bar.values {
        Values::Trades(values) => {
            let ohlc = values.ohlc.map(|price| price.to_string()).join("/");
            format!("{} {} {ohlc} {} {}", bar.symbol, bar.start, values.volume, values.trades)
        }
        other => format!("{other:?}"),
    })
    .collect()
}

#[test]
fn kraken_makes_a_bar_each_minute() {
    let frame = |n: i64| {
        let at = UnixNanos(1_748_439_000_123_456_000 + n * 2 * SECOND);
        format!(
            r#"{{"channel":"trade","type":"update","data":[{{"symbol":"BTC/USD","side":"{}","price":{}.0,"qty":0.5,"ord_type":"market","trade_id":{},"timestamp":"{at}"}}]}}"#,
            if n % 2 == 0 { "buy" } else { "sell" },
            100_000 + n,
            1_000 + n,
        )
    };
    let frames: Vec<String> = (0..200).map(frame).collect();
    let (bars, aggregator) = made(&mut kraken::KrakenDecoder::new("kraken"), &frames);
    let minutes = shown(&bars, "1m");
    assert_eq!(minutes.len(), 7);
    assert_eq!(minutes[0], "BTC/USD 2025-05-28T13:30:00Z 100000/100029/100000/100029 15 30");
    assert_eq!(shown(&bars, "1d"), ["BTC/USD 2025-05-28T00:00:00Z 100000/100199/100000/100199 100 200"]);
    assert_eq!((aggregator.counts().trades, aggregator.condition_counts().unpriced()), (200, 0));
}

#[test]
fn binance_prices_come_from_buyers_and_sellers() {
    let trades = [(100, false), (90, true), (110, true), (101, false)];
    let frames: Vec<String> = trades
        .iter()
        .enumerate()
        .map(|(n, (price, maker))| {
            format!(
                r#"{{"stream":"btcusdt@trade","data":{{"e":"trade","E":1,"s":"BTCUSDT","t":{},"p":"{price}","q":"1","T":{},"m":{maker}}}}}"#,
                n + 1,
                1_672_515_780_000_i64 + n as i64 * 1_000,
            )
        })
        .collect();
    let (bars, _) = made(&mut binance::BinanceDecoder::new("binance"), &frames);
    assert_eq!(shown(&bars, "1m"), ["BTCUSDT 2022-12-31T19:43:00Z 100/110/90/101 4 4"]);
}

#[test]
fn coinbase_prices_come_from_buyers_and_sellers() {
    let frame = r#"{"channel":"market_trades","sequence_num":5,"events":[{"type":"update","trades":[
        {"trade_id":"10","product_id":"BTC-USD","price":"68901","size":"0.5","side":"SELL","time":"2024-06-12T15:02:30Z"},
        {"trade_id":"9","product_id":"BTC-USD","price":"68900.5","size":"0.25","side":"BUY","time":"2024-06-12T15:02:29Z"}]}]}"#;
    let (bars, _) = made(&mut coinbase::CoinbaseDecoder::new("coinbase"), &[frame.to_owned()]);
    assert_eq!(shown(&bars, "1m"), ["BTC-USD 2024-06-12T15:02:00Z 68900.5/68901/68900.5/68901 0.75 2"]);
}

#[test]
fn finnhub_has_numbers_of_its_own_and_symbols_of_other_venues() {
    let trade = |symbol: &str, code: &str, price: i64, n: i64| {
        let codes = if code.is_empty() { "null".to_owned() } else { format!("[\"{code}\"]") };
        let at = 1_672_326_000_000_i64 + n * 1_000;
        format!(r#"{{"data":[{{"c":{codes},"p":{price},"s":"{symbol}","t":{at},"v":100}}],"type":"trade"}}"#)
    };
    // 2022-12-29 15:00 in UTC, 10:00 in New York.
    let frames = [
        trade("TSLA", "1", 100, 0),
        trade("TSLA", "8", 101, 1),
        trade("TSLA", "4", 102, 2),
        trade("TSLA", "77", 103, 3),
        trade("TSLA", "12", 999, 4),
        trade("TSLA", "24", 998, 5),
        trade("BINANCE:BTCUSDT", "", 16_600, 6),
        trade("OANDA:EUR_USD", "", 1, 7),
    ];
    let (bars, aggregator) = made(&mut finnhub::FinnhubDecoder::new("finnhub"), &frames);
    assert_eq!(
        shown(&bars, "1d"),
        [
            "BINANCE:BTCUSDT 2022-12-29T00:00:00Z 16600/16600/16600/16600 100 1",
            "OANDA:EUR_USD 2022-12-29T00:00:00Z 1/1/1/1 100 1",
            "TSLA 2022-12-29T05:00:00Z 100/103/100/103 600 6",
        ]
    );
    let counts = aggregator.condition_counts();
    let unknown: Vec<&str> = counts.rows().into_iter().filter(|row| row.2.unknown).map(|row| row.1).collect();
    assert_eq!(unknown, ["4 (unknown)", "77 (unknown)"]);
}

#[test]
fn massive_trades_of_one_instant_go_by_their_sequence_number() {
    let trade = |q: u32, venue: u8, id: &str, price: &str| {
        format!(
            r#"[{{"ev":"T","sym":"SPY","x":{venue},"i":"{id}","z":2,"p":{price},"s":100,"c":[],"t":1610144640123,"q":{q}}}]"#
        )
    };
    let frames = [trade(202, 11, "352", "100.10"), trade(201, 4, "71675577320245", "100.00")];
    for order in [[0, 1], [1, 0]] {
        let frames = order.map(|index: usize| frames[index].clone());
        let (bars, _) = made(&mut massive::MassiveDecoder::new("massive.stocks"), &frames);
        assert_eq!(shown(&bars, "1m"), ["SPY 2021-01-08T22:24:00Z 100/100.1/100/100.1 200 2"]);
    }
}

#[test]
fn alpaca_conditions_are_letters() {
    let frame = r#"[{"T":"t","S":"SPY","i":1,"x":"V","p":10,"s":100,"c":["@"],"z":"B","t":"2021-01-27T15:00:01Z"},
        {"T":"t","S":"SPY","i":2,"x":"V","p":99,"s":9,"c":["@","I"],"z":"B","t":"2021-01-27T15:00:02Z"},
        {"T":"t","S":"SPY","i":3,"x":"V","p":98,"s":100,"c":["?"],"z":"B","t":"2021-01-27T15:00:03Z"},
        {"T":"t","S":"SPY","i":4,"x":"V","p":11,"s":100,"c":[" "],"z":"B","t":"2021-01-27T15:00:04Z"}]"#;
    let (bars, aggregator) = made(&mut alpaca::AlpacaDecoder::new("alpaca.sip"), &[frame.to_owned()]);
    assert_eq!(shown(&bars, "1m"), ["SPY 2021-01-27T15:00:00Z 10/11/10/11 309 4"]);
    // An unknown letter does not set a price, and is reported.
    let counts = aggregator.condition_counts();
    let rows: Vec<_> = counts.rows().into_iter().map(|(_, name, c)| (name, c.unpriced, c.unknown)).collect();
    assert_eq!(rows, [("? (unknown)", 1, true), ("I odd lot", 1, false)]);
}
