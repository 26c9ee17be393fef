//! Decoded vendor frames: the right values for inputs that once failed (`N`, `F`, `V` and `B` number them).
#![allow(clippy::unwrap_used, reason = "tests")]

use market::bar::{Aggregator, AggregatorSettings, Bar, Feed, StreamPosition, Values};
use market::calendar::Calendar;
use market::codec::feed::{Decode, FeedMessage};
use market::codec::{alpaca, binance, coinbase, finnhub, json, kraken, massive};
use market::interval::{MINUTE, SECOND};
use market::policy::Policy;
use market::{Kind, Record, Side, Trade, UnixNanos};

/// A fresh decoder of each vendor's feed.
fn decoder(feed: &str) -> Box<dyn Decode> {
    match feed.split('.').next() {
        Some("alpaca") => Box::new(alpaca::AlpacaDecoder::new(feed)),
        Some("massive") => Box::new(massive::MassiveDecoder::new(feed)),
        Some("finnhub") => Box::new(finnhub::FinnhubDecoder::new(feed)),
        Some("coinbase") => Box::new(coinbase::CoinbaseDecoder::new(feed)),
        Some("kraken") => Box::new(kraken::KrakenDecoder::new(feed)),
        Some("binance") => Box::new(binance::BinanceDecoder::new(feed)),
        _ => panic!("{feed}"),
    }
}

/// Result of a frame: trades and quotes, reasons for rejections, and the types of unknown messages.
#[derive(Debug, Default)]
struct Read {
    records: Vec<Record<String>>,
    refused: Vec<String>,
    unknown: Vec<String>,
}

impl Read {
    fn take(&mut self, outcome: Result<FeedMessage<'_>, String>) {
        match outcome {
            Ok(FeedMessage::Record(record)) => {
                // What is kept can be encoded and decoded again.
                let mut text = Vec::new();
                json::encode(&record, &mut text);
                assert_eq!(json::decode(record.kind(), &text), Some(record));
                self.records.push(record.map(str::to_owned));
            }
            Ok(FeedMessage::Unknown(class)) => self.unknown.push(class.to_owned()),
            Ok(_) => {}
            Err(reason) => self.refused.push(reason),
        }
    }

    fn trades(&self) -> Vec<&Trade<String>> {
        self.records
            .iter()
            .map(|record| match record {
                Record::Trade(trade) => trade,
                _ => panic!("{record:?}"),
            })
            .collect()
    }
}

fn frames<'a>(decoder: &mut dyn Decode, frames: impl IntoIterator<Item = &'a str>) -> Read {
    let mut read = Read::default();
    for frame in frames {
        if let Err(reason) = decoder.frame(frame, UnixNanos(7), &mut |outcome, _| read.take(outcome)) {
            read.refused.push(reason);
        }
    }
    read
}

fn past(decoder: &mut dyn Decode, symbol: &str, rows: &[&str]) -> Read {
    let mut read = Read::default();
    for row in rows {
        decoder.past(Kind::TRADE, symbol, row, UnixNanos(7), &mut |outcome, _| read.take(outcome));
    }
    read
}

/// Bars of trades under policy `all`, by interval.
fn bars(read: &Read, interval: &str, calendar: Calendar) -> Vec<Bar> {
    let settings = AggregatorSettings {
        intervals: vec![interval.parse().unwrap()],
        emit_delay: SECOND,
        allowed_lateness: 15 * MINUTE,
        feeds: vec![Feed {
            prefix: String::new(),
            symbols: String::new(),
            policy: Policy::named("all").unwrap(),
            calendar,
        }],
    };
    let mut aggregator = Aggregator::new(settings);
    for (position, record) in read.records.iter().enumerate() {
        let place = StreamPosition { position: position as u64, stamp_ms: 0 };
        aggregator.add(&record.as_str(), place);
    }
    let mut bars = Vec::new();
    aggregator.finish(&mut |bar| bars.push(bar));
    bars.sort_by_key(|bar| bar.start);
    bars
}

fn ohlcv(bar: &Bar) -> String {
    let Values::Trades(values) = &bar.values else { panic!("{bar:?}") };
    let [o, h, l, c] = values.ohlc;
    format!("{o} {h} {l} {c} {} {}", values.volume, values.trades)
}

#[test]
fn b1_kraken_trades_make_a_bar_each_minute() {
    let update = |n: u32| {
        format!(
            r#"{{"channel":"trade","type":"update","data":[{{"symbol":"BTC/USD","side":"buy","price":{}.0,"qty":0.5,"ord_type":"market","trade_id":{},"timestamp":"2025-05-28T13:{:02}:{:02}.123456Z"}}]}}"#,
            100_000 + n,
            1000 + n,
            30 + n / 30,
            n % 30 * 2
        )
    };
    let all: Vec<String> = (0..200).map(update).collect();
    let read = frames(&mut *decoder("kraken"), all.iter().map(String::as_str));
    assert_eq!((read.records.len(), &read.refused), (200, &Vec::new()));
    assert!(read.trades().iter().all(|trade| trade.side == Side::Buy && trade.conditions == "[]"));
    let bars = bars(&read, "1m", Calendar::ALWAYS);
    assert_eq!(bars.len(), 7);
    assert_eq!(ohlcv(&bars[0]), "100000 100029 100000 100029 15 30");
    assert_eq!(ohlcv(&bars[6]), "100180 100199 100180 100199 10 20");
}

#[test]
fn b2_binance_trades_of_both_sides_set_prices() {
    let trade = |n: u32, price: u32, maker: bool| {
        format!(
            r#"{{"e":"trade","E":1672515782136,"s":"BNBBTC","t":{n},"p":"{price}","q":"1","T":{},"m":{maker},"M":true}}"#,
            1_672_515_780_000_u64 + u64::from(n) * 1000
        )
    };
    let all = [trade(0, 100, false), trade(1, 90, true), trade(2, 110, true), trade(3, 101, false)];
    // The first one's number, 0, is its own: it is a symbol's first trade.
    let read = frames(&mut *decoder("binance"), all.iter().map(String::as_str));
    let sides: Vec<Side> = read.trades().iter().map(|trade| trade.side).collect();
    assert_eq!(sides, [Side::Buy, Side::Sell, Side::Sell, Side::Buy]);
    assert_eq!(ohlcv(&bars(&read, "1m", Calendar::ALWAYS)[0]), "100 110 90 101 4 4");
}

#[test]
fn b3_coinbase_buys_and_sells_make_a_bar() {
    let frame = r#"{"channel":"market_trades","client_id":"","timestamp":"2024-06-12T15:02:30Z","sequence_num":0,"events":[{"type":"update","trades":[
        {"trade_id":"2","product_id":"BTC-USD","price":"68901","size":"0.5","side":"SELL","time":"2024-06-12T15:02:29.7Z"},
        {"trade_id":"1","product_id":"BTC-USD","price":"68900.50","size":"0.0015","side":"BUY","time":"2024-06-12T15:02:29.6Z"}]}]}"#;
    let read = frames(&mut *decoder("coinbase"), [frame]);
    // The maker's side is sent: if a resting sell order was hit, the buyer was the aggressor.
    assert_eq!(read.trades().iter().map(|trade| trade.side).collect::<Vec<_>>(), [Side::Buy, Side::Sell]);
    assert_eq!(ohlcv(&bars(&read, "1m", Calendar::ALWAYS)[0]), "68900.5 68901 68900.5 68901 0.5015 2");
}

#[test]
fn b4_finnhub_codes_are_kept_as_sent() {
    let frame = r#"{"data":[{"c":["1","8","24","12"],"p":122.1,"s":"TSLA","t":1672348887195,"v":1},{"c":null,"p":122,"s":"TSLA","t":1672348887195,"v":2}],"type":"trade"}"#;
    let read = frames(&mut *decoder("finnhub"), [frame]);
    let codes: Vec<&str> = read.trades().iter().map(|trade| trade.conditions.as_str()).collect();
    assert_eq!(codes, [r#"["1","8","24","12"]"#, "[]"]);
}

#[test]
fn b6_massive_trades_of_one_millisecond_are_ordered_by_their_sequence_number() {
    let first = r#"{"ev":"T","sym":"MSFT","x":4,"i":"71675577320245","z":3,"p":100.00,"s":100,"t":1536036818784,"q":201}"#;
    let second =
        r#"{"ev":"T","sym":"MSFT","x":11,"i":"352","z":3,"p":100.10,"s":100,"t":1536036818784,"q":202}"#;
    for frame in [format!("[{first},{second}]"), format!("[{second},{first}]")] {
        let read = frames(&mut *decoder("massive.stocks"), [frame.as_str()]);
        assert_eq!(ohlcv(&bars(&read, "1m", Calendar::XNYS)[0]), "100 100.1 100 100.1 200 2");
    }
}

#[test]
fn n1_prices_and_sizes_of_small_coins_are_exact() {
    let frame = r#"{"channel":"trade","type":"update","data":[
        {"symbol":"BTT/USD","side":"buy","price":0.00000000123456,"qty":19500000000.0,"ord_type":"market","trade_id":1,"timestamp":"2025-05-28T13:30:00.123456Z"},
        {"symbol":"BTT/USD","side":"sell","price":1.23456e-9,"qty":1.95e+15,"ord_type":"market","trade_id":2,"timestamp":"2025-05-28T13:30:01Z"},
        {"symbol":"BTT/USD","side":"sell","price":0.0000000000000000001,"qty":1,"ord_type":"market","trade_id":3,"timestamp":"2025-05-28T13:30:02Z"},
        {"symbol":"BTC/USD","side":"sell","price":105944.20,"qty":0.00027625,"ord_type":"limit","trade_id":1,"timestamp":"2025-05-28T13:30:03Z"}]}"#;
    let read = frames(&mut *decoder("kraken"), [frame]);
    let numbers: Vec<String> =
        read.trades().iter().map(|trade| format!("{} {}", trade.price, trade.size)).collect();
    assert_eq!(
        numbers,
        ["0.00000000123456 19500000000", "0.00000000123456 1950000000000000", "105944.2 0.00027625"]
    );
    // Only the record that does not fit is affected.
    assert_eq!(read.refused, ["`price`: more than 18 decimal places: 0.0000000000000000001"]);
    let bars = bars(&read, "1m", Calendar::ALWAYS);
    let small = bars.iter().find(|bar| bar.symbol == "BTT/USD").unwrap();
    let Values::Trades(values) = &small.values else { panic!() };
    assert_eq!(
        (values.volume.to_string(), values.vwap.unwrap().to_string()),
        ("1950019500000000".into(), "0.00000000123456".into())
    );
}

#[test]
fn n4_numbers_that_cannot_be_true_are_refused_with_the_reason() {
    for (feed, frame, reason) in [
        ("finnhub", r#"{"data":[{"p":1,"s":"A","t":0,"v":1}],"type":"trade"}"#, "time 0 is not between"),
        (
            "finnhub",
            r#"{"data":[{"p":1,"s":"A","t":1672348887,"v":1}],"type":"trade"}"#,
            "`t`: expected milliseconds, found 1672348887",
        ),
        (
            "finnhub",
            r#"{"data":[{"p":1,"s":"A","t":9223372036854775807,"v":1}],"type":"trade"}"#,
            "time 9223372036854775807 is not between",
        ),
        (
            "finnhub",
            r#"{"data":[{"p":9223372036854775807,"s":"A","t":1672348887195,"v":1}],"type":"trade"}"#,
            "price 9223372036854775807 is a placeholder",
        ),
        (
            "massive.stocks",
            r#"[{"ev":"T","sym":"A","x":4,"i":"1","p":1,"s":-5,"t":1536036818784,"q":1}]"#,
            "size -5 is negative",
        ),
        (
            "alpaca.sip",
            r#"[{"T":"q","S":"A","bx":"V","bp":1,"bs":-1,"ax":"V","ap":2,"as":1,"t":"2021-01-27T10:35:34Z"}]"#,
            "size -1 is negative",
        ),
        (
            "alpaca.sip",
            r#"[{"T":"t","S":"A","i":1,"x":"V","p":1,"s":1,"t":"1970-01-01T00:00:00Z"}]"#,
            "time 0 is not between",
        ),
    ] {
        let read = frames(&mut *decoder(feed), [frame]);
        assert!(read.records.is_empty(), "{frame}");
        assert!(read.refused[0].starts_with(reason), "{:?}", read.refused);
    }
    let oil = r#"{"data":[{"p":-37.63,"s":"CL","t":1587405600000,"v":1}],"type":"trade"}"#;
    assert_eq!(frames(&mut *decoder("finnhub"), [oil]).trades()[0].price.to_string(), "-37.63");
}

/// A frame of each vendor with one trade of a symbol, which is written into it as it is.
fn trade_of(symbol: &str) -> [(&'static str, String); 6] {
    [
        (
            "alpaca.sip",
            format!(
                r#"[{{"T":"t","S":"{symbol}","i":1,"x":"V","p":1.5,"s":9,"t":"2021-01-27T10:35:34.8Z"}}]"#
            ),
        ),
        (
            "massive.stocks",
            format!(r#"[{{"ev":"T","sym":"{symbol}","x":4,"i":"1","p":1.5,"s":9,"t":1536036818784,"q":3}}]"#),
        ),
        (
            "finnhub",
            format!(
                r#"{{"data":[{{"c":null,"p":1.5,"s":"{symbol}","t":1672348887195,"v":1}}],"type":"trade"}}"#
            ),
        ),
        (
            "coinbase",
            format!(
                r#"{{"channel":"market_trades","sequence_num":0,"events":[{{"type":"update","trades":[{{"trade_id":"9","product_id":"{symbol}","price":"1.5","size":"9","side":"BUY","time":"2024-06-12T15:02:29Z"}}]}}]}}"#
            ),
        ),
        (
            "kraken",
            format!(
                r#"{{"channel":"trade","type":"update","data":[{{"symbol":"{symbol}","side":"buy","price":1.5,"qty":9,"ord_type":"market","trade_id":1,"timestamp":"2025-05-28T13:39:36Z"}}]}}"#
            ),
        ),
        (
            "binance",
            format!(
                r#"{{"stream":"a@trade","data":{{"e":"trade","E":1,"s":"{symbol}","t":1,"p":"1.5","q":"9","T":1672515782136,"m":true}}}}"#
            ),
        ),
    ]
}

#[test]
fn n6_symbols_keep_case_spaces_and_letters_of_any_script_escaped_or_not() {
    for (written, symbol) in [
        ("BACpL", "BACpL"),
        ("M&M.NS", "M&M.NS"),
        (r"M\u0026M.NS", "M&M.NS"),
        (r"BTC\/USD", "BTC/USD"),
        ("BRK B", "BRK B"),
        ("币安人生USDT", "币安人生USDT"),
        (r"\u5e01\u5b89\u4eba\u751fUSDT", "币安人生USDT"),
    ] {
        for (feed, frame) in trade_of(written) {
            let read = frames(&mut *decoder(feed), [frame.as_str()]);
            assert_eq!(read.refused, Vec::<String>::new(), "{frame}");
            assert_eq!(read.trades()[0].symbol, symbol, "{frame}");
        }
    }
    // A member's name may be escaped as well.
    for (feed, frame) in trade_of("A") {
        let escaped = frame.replace("\"p\"", r#""\u0070""#).replace("\"price\"", r#""\u0070rice""#);
        assert_eq!(frames(&mut *decoder(feed), [escaped.as_str()]).records.len(), 1, "{escaped}");
    }
}

#[test]
fn n8_equal_placeholder_ids_do_not_collapse_trades() {
    for (feed, frame) in trade_of("A") {
        for id in ["0", "\"0\"", "\"\""] {
            let placeholder = frame
                .replace("\"i\":1,", &format!("\"i\":{id},"))
                .replace("\"i\":\"1\"", &format!("\"i\":{id}"))
                .replace("\"trade_id\":\"9\"", &format!("\"trade_id\":{id}"))
                .replace("\"trade_id\":1", &format!("\"trade_id\":{id}"))
                .replace("\"t\":1,", &format!("\"t\":{id},"));
            // An empty id is refused by name, never stored.
            let read = frames(&mut *decoder(feed), [placeholder.as_str(), placeholder.as_str()]);
            if id == "\"\"" && feed != "finnhub" {
                assert_eq!(read.refused.len(), 2, "{placeholder}");
                continue;
            }
            let ids: Vec<&str> = read.trades().iter().map(|trade| trade.id.as_str()).collect();
            assert_eq!(ids.len(), 2, "{placeholder} {:?}", read.refused);
            assert_ne!(ids[0], ids[1], "{placeholder}");
            // Received again, they have the same ids.
            let again = frames(&mut *decoder(feed), [placeholder.as_str(), placeholder.as_str()]);
            assert_eq!(again.records, read.records, "{placeholder}");
        }
    }
}

#[test]
fn v12_massive_sizes_have_fractions() {
    let trade = |size: &str| {
        format!(r#"{{"ev":"T","sym":"A","x":4,"i":"1","p":1.5,{size},"t":1536036818784,"q":3}}"#)
    };
    let frame = format!("[{},{}]", trade(r#""s":0,"ds":"0.123456""#), trade(r#""s":3,"ds":"3.75""#));
    let sizes: Vec<String> = frames(&mut *decoder("massive.stocks"), [frame.as_str()])
        .trades()
        .iter()
        .map(|trade| trade.size.to_string())
        .collect();
    assert_eq!(sizes, ["0.123456", "3.75"]);
    let row = r#"{"exchange":4,"id":"1","price":1.5,"sequence_number":3,"sip_timestamp":1536036818784000000,"size":3,"decimal_size":"3.75"}"#;
    assert_eq!(past(&mut *decoder("massive.stocks"), "A", &[row]).trades()[0].size.to_string(), "3.75");
}

#[test]
fn v13_massive_corrections_of_history_count_by_their_meaning() {
    let row = |id: u32, code: &str| {
        format!(
            r#"{{"exchange":4,"id":"{id}","price":1.5,"sequence_number":{id},"sip_timestamp":1536036818784000000,"size":1{code}}}"#
        )
    };
    for (code, revision, canceled) in [
        ("", 0, false),
        (r#","correction":0"#, 0, false),
        (r#","correction":1"#, 2, false),
        (r#","correction":7"#, 1, true),
        (r#","correction":8"#, 1, true),
        (r#","correction":10"#, 1, true),
        (r#","correction":11"#, 1, true),
        (r#","correction":12"#, 1, true),
    ] {
        let read = past(&mut *decoder("massive.stocks"), "A", &[&row(1, code)]);
        let trade = read.trades()[0];
        assert_eq!((trade.revision, trade.canceled), (revision, canceled), "{code}");
    }
    let unknown = past(&mut *decoder("massive.stocks"), "A", &[&row(1, r#","correction":99"#)]);
    assert_eq!(unknown.refused, ["unknown `correction` 99"]);
    // A canceled trade does not count in the bars.
    let rows = [
        row(1, ""),
        row(2, r#","correction":8"#),
        row(3, r#","correction":10"#),
        row(4, r#","correction":1"#),
    ];
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let read = past(&mut *decoder("massive.stocks"), "A", &rows);
    assert_eq!(ohlcv(&bars(&read, "1m", Calendar::XNYS)[0]), "1.5 1.5 1.5 1.5 2 2");
}

#[test]
fn v14_massive_ids_are_unique_per_reporting_facility() {
    let live = |trf: u32, q: u32| {
        format!(
            r#"{{"ev":"T","sym":"A","x":4,"i":"71675577320245","z":3,"p":1.5,"s":9,"t":1536036818784,"q":{q},"trfi":{trf},"trft":1536036818783}}"#
        )
    };
    let row = |trf: u32, q: u32| {
        format!(
            r#"{{"exchange":4,"id":"71675577320245","price":1.5,"sequence_number":{q},"sip_timestamp":1536036818784000001,"size":9,"tape":3,"trf_id":{trf},"trf_timestamp":1536036818783000000}}"#
        )
    };
    let frame = format!("[{},{}]", live(201, 7), live(202, 8));
    let stream = frames(&mut *decoder("massive.stocks"), [frame.as_str()]);
    assert_ne!(stream.trades()[0].id, stream.trades()[1].id);
    let history = past(&mut *decoder("massive.stocks"), "A", &[&row(201, 7), &row(202, 8)]);
    assert_eq!(stream.records, history.records);
}

#[test]
fn v16_kraken_gives_one_trade_by_stream_and_history() {
    let frame = r#"{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"buy","price":100000.0,"qty":0.5,"ord_type":"market","trade_id":1000,"timestamp":"2025-05-28T13:30:00.123456Z"}]}"#;
    let stream = frames(&mut *decoder("kraken"), [frame]);
    // The double nearest to the time, as JSON writes it, has one digit more than microseconds.
    for time in ["1748439000.1234560", "1748439000.123456", "1748439000.1234562", "1748439000.123455999"] {
        let row = format!(r#"["100000.00000","0.50000000",{time},"b","m","",1000]"#);
        assert_eq!(past(&mut *decoder("kraken"), "BTC/USD", &[&row]).records, stream.records, "{time}");
    }
}

#[test]
fn f2_messages_of_an_unknown_type_or_dialect_are_named() {
    for (feed, frame, class) in [
        (
            "coinbase",
            r#"{"type":"match","trade_id":280232,"side":"sell","size":"985","price":"0.00001305","product_id":"SKL-BTC","sequence":177100030,"time":"2021-04-17T16:43:37.089723Z"}"#,
            "match",
        ),
        ("coinbase", r#"{"channel":"l2_data","sequence_num":1,"events":[]}"#, "l2_data"),
        (
            "binance",
            r#"{"e":"aggTrade","E":123456789,"s":"BNBBTC","a":12345,"p":"0.001","q":"100","f":100,"l":105,"T":123456785,"m":true,"M":true}"#,
            "aggTrade",
        ),
        (
            "kraken",
            r#"[337,[["5541.20000","0.15850568","1534614057.321597","s","l",""]],"trade","XBT/USD"]"#,
            "array",
        ),
        ("kraken", r#"{"channel":"ticker","data":[]}"#, "ticker"),
        ("kraken", r#"{"event":"systemStatus"}"#, "without channel"),
        ("finnhub", r#"{"type":"quote","data":[]}"#, "quote"),
        ("finnhub", r#"{"data":[]}"#, "without type"),
        ("alpaca.crypto", r#"[{"T":"o","S":"BTC/USD","b":[],"a":[],"t":"2021-01-27T10:35:34Z"}]"#, "o"),
        ("massive.stocks", r#"[{"ev":"XT","pair":"BTC-USD"}]"#, "XT"),
    ] {
        let read = frames(&mut *decoder(feed), [frame]);
        assert_eq!((read.unknown.as_slice(), read.refused.len()), (&[class.to_owned()][..], 0), "{frame}");
    }
    // Acknowledgements and keep-alives are known.
    for (feed, frame) in [
        ("coinbase", r#"{"channel":"heartbeats","sequence_num":2,"events":[{"heartbeat_counter":"1"}]}"#),
        ("coinbase", r#"{"channel":"subscriptions","sequence_num":3,"events":[]}"#),
        ("binance", r#"{"result":null,"id":1}"#),
        ("kraken", r#"{"channel":"heartbeat"}"#),
        ("kraken", r#"{"channel":"status","type":"update","data":[{"system":"online"}]}"#),
        ("kraken", r#"{"method":"pong","time_in":"2025-05-28T13:30:00Z"}"#),
        ("finnhub", r#"{"type":"ping"}"#),
        ("alpaca.sip", r#"[{"T":"success","msg":"connected"},{"T":"subscription","trades":["A"]}]"#),
        ("massive.stocks", r#"[{"ev":"status","status":"connected"}]"#),
    ] {
        let read = frames(&mut *decoder(feed), [frame]);
        assert_eq!((read.unknown.len(), read.refused.len()), (0, 0), "{frame}");
    }
}

#[test]
fn f4_what_is_not_a_message_costs_only_itself() {
    for (feed, frame) in trade_of("A") {
        let marked = format!("\u{feff}{frame}");
        assert_eq!(frames(&mut *decoder(feed), [marked.as_str()]).records.len(), 1, "{marked}");
        if feed == "binance" {
            continue;
        }
        // The innermost array holds the trades.
        let at = frame.rfind("[{").unwrap() + 1;
        for (element, refused) in [("null,", 0), ("7,", 1), ("\"x\",", 1), ("[],", 1)] {
            let text = format!("{}{element}{}", &frame[..at], &frame[at..]);
            let read = frames(&mut *decoder(feed), [text.as_str()]);
            assert_eq!((read.records.len(), read.refused.len()), (1, refused), "{text}: {:?}", read.refused);
        }
    }
}

/// Symbol, venue, id, price, size, side and conditions of each trade.
fn shown(read: &Read) -> Vec<String> {
    let one = |trade: &&Trade<String>| {
        format!(
            "{} {} {} {} {} {:?} {}",
            trade.symbol, trade.venue, trade.id, trade.price, trade.size, trade.side, trade.conditions
        )
    };
    read.trades().iter().map(one).collect()
}

/// Rows as captured from the vendors, or as they document them, with the values that they have there.
#[test]
fn captured_and_documented_messages_have_their_values() {
    // Alpaca: a correction as captured, its trade with a large id; conditions of one code as text; crypto.
    let frame = r#"[{"T":"t","S":"DIA","i":79372157998682,"x":"D","p":349.15,"s":25000,"c":[" ","7","V"],"z":"B","t":"2022-01-21T19:42:33.123Z"},
        {"T":"c","S":"DIA","x":"D","oi":79372157998682,"op":349.15,"os":25000,"oc":[" ","7","V"],"ci":79372444317008,"cp":349.15,"cs":25000,"cc":[" ","7","Z","V"],"z":"B","t":"2022-01-21T19:43:42Z"}]"#;
    let read = frames(&mut *decoder("alpaca.sip"), [frame]);
    assert_eq!(read.refused, Vec::<String>::new());
    let states: Vec<_> =
        read.trades().iter().map(|trade| (trade.id.as_str(), trade.revision, trade.canceled)).collect();
    assert_eq!(
        states,
        [("79372157998682", 0, false), ("79372157998682", 1, true), ("79372444317008", 0, false)]
    );
    assert!(read.trades().iter().all(|trade| trade.ts == read.trades()[0].ts));
    let quote = r#"[{"T":"q","S":"SPIP","bx":"V","bp":25.41,"bs":35,"ax":"V","ap":25.43,"as":35,"c":"R","z":"B","t":"2021-01-27T10:35:34Z"}]"#;
    let read = frames(&mut *decoder("alpaca.sip"), [quote]);
    assert_eq!((read.records.len(), read.refused.len()), (1, 0), "{:?}", read.refused);
    let rows = [
        r#"{"t":"2022-03-09T06:00:00.080264Z","p":41516.08,"s":0.00315427,"tks":"B","i":293648598}"#,
        r#"{"t":"2022-03-18T14:03:31.960672Z","p":40650,"s":0.1517,"tks":"-","i":26932440}"#,
    ];
    assert_eq!(
        shown(&past(&mut *decoder("alpaca.crypto"), "BTC/USD", &rows)),
        ["BTC/USD  293648598 41516.08 0.00315427 Buy []", "BTC/USD  26932440 40650 0.1517 Unknown []"]
    );
    let mut read = Read::default();
    decoder("alpaca.crypto").past(
        Kind::QUOTE,
        "BTC/USD",
        r#"{"t":"2022-05-26T11:47:18.44347136Z","bp":29058,"bs":0.3544,"ap":29059,"as":3.252}"#,
        UnixNanos(7),
        &mut |outcome, _| read.take(outcome),
    );
    assert_eq!((read.records.len(), read.refused.len()), (1, 0), "{:?}", read.refused);
    // Massive: the examples of its specification.
    let frame = r#"[{"ev":"T","sym":"MSFT","x":4,"i":"12345","z":3,"p":114.125,"s":100,"c":[0,12],"t":1536036818784,"q":3681328},
        {"ev":"Q","sym":"MSFT","bx":4,"bp":114.125,"bs":100,"ax":7,"ap":114.128,"as":160,"c":0,"i":[604],"t":1536036818784,"q":50385480,"z":3},
        {"ev":"NOI","T":"NTEST.Q","t":1601318039223013600,"at":930,"a":"M","i":44,"x":10,"o":480,"p":440,"b":25.03},
        {"ev":"FMV","fmv":189.22,"sym":"AAPL","t":1678220098130},{"ev":"LV","val":189.22,"sym":"AAPL","t":1678220098130}]"#;
    let read = frames(&mut *decoder("massive.stocks"), [frame]);
    assert_eq!((read.records.len(), read.refused.len()), (2, 0), "{:?}", read.refused);
    assert_eq!(read.unknown, ["NOI", "FMV", "LV"]);
    let one_sided = r#"{"ask_exchange":0,"ask_price":0,"ask_size":0,"bid_exchange":11,"bid_price":102.7,"bid_size":60,"conditions":[1],"participant_timestamp":1517562000065321200,"sequence_number":2060,"sip_timestamp":1517562000065700400,"tape":3}"#;
    let mut read = Read::default();
    let mut sink = |outcome: Result<FeedMessage<'_>, String>, _: &str| read.take(outcome);
    decoder("massive.stocks").past(Kind::QUOTE, "AAPL", one_sided, UnixNanos(7), &mut sink);
    let Record::Quote(quote) = &read.records[0] else { panic!("{read:?}") };
    assert!(quote.ask.is_none() && quote.bid.as_ref().unwrap().price.to_string() == "102.7");
    // Two trades with one id, one on each of two venues; both corrected.
    let row = |venue: u32, price: &str| {
        format!(
            r#"{{"conditions":[12,37],"correction":1,"exchange":{venue},"id":"183276","participant_timestamp":1651181822461636600,"price":{price},"sequence_number":7179341,"sip_timestamp":1651181822461979400,"size":10,"tape":3,"trf_id":3,"trf_timestamp":1651181557090806500}}"#
        )
    };
    assert_eq!(
        shown(&past(&mut *decoder("massive.stocks"), "AAPL", &[&row(11, "156.43"), &row(12, "157.43")])),
        [
            r#"AAPL 11 183276/3 156.43 10 Unknown ["12","37"]"#,
            r#"AAPL 12 183276/3 157.43 10 Unknown ["12","37"]"#
        ]
    );
    // Finnhub: no conditions, in each of the ways that it sends them; fractional sizes; its words for an error.
    for codes in [r#""c":null,"#, r#""c":[],"#, ""] {
        let frame = format!(
            r#"{{"data":[{{{codes}"p":16600.5,"s":"BINANCE:BTCUSDT","t":1672348887195,"v":0.00123}}],"type":"trade"}}"#
        );
        let read = frames(&mut *decoder("finnhub"), [frame.as_str()]);
        assert!(shown(&read)[0].ends_with(" 16600.5 0.00123 Unknown []"), "{codes}: {read:?}");
    }
    // Kraken: a snapshot repeats trades by number, so it is read as well; numbers keep the digits they are written in.
    let frame = r#"{"channel":"trade","type":"snapshot","data":[{"symbol":"BTC/USD","side":"sell","price":105944.20,"qty":0.00027625,"ord_type":"market","trade_id":10218208,"timestamp":"2025-05-28T13:39:36.123456Z"}]}"#;
    assert_eq!(
        shown(&frames(&mut *decoder("kraken"), [frame])),
        ["BTC/USD kraken 10218208 105944.2 0.00027625 Sell []"]
    );
    // Binance: alone or combined, in milliseconds or microseconds.
    for (open, close, time) in
        [("", "", "1672515782136"), (r#"{"stream":"bnbbtc@trade","data":"#, "}", "1672515782136000")]
    {
        let frame = format!(
            r#"{open}{{"e":"trade","E":1672515782136,"s":"BNBBTC","t":12345,"p":"0.001","q":"100","T":{time},"m":true}}{close}"#
        );
        let read = frames(&mut *decoder("binance"), [frame.as_str()]);
        assert_eq!(shown(&read), ["BNBBTC binance 12345 0.001 100 Sell []"]);
        assert_eq!(read.trades()[0].ts.to_string(), "2022-12-31T19:43:02.136Z");
    }
    let shutdown = r#"{"e":"serverShutdown","E":1770123456789}"#;
    let read = frames(&mut *decoder("binance"), [shutdown]);
    assert_eq!((read.unknown.len(), read.refused.len()), (0, 0), "the connection is made again");
}
