//! The formats of TradingView and Alpaca.

use crate::harness::{Fixture, OPEN, bars, eventually, trade};
use market::bar::{Aggregator, StreamPosition};
use ports::store::Store;

fn filled() -> Fixture {
    let fixture = Fixture::new();
    let trades: Vec<String> = ["AAPL", "SPY"]
        .iter()
        .flat_map(|symbol| {
            (0..5).map(move |n| trade(symbol, &n.to_string(), OPEN + n * 60_000_000_000, "165.99"))
        })
        .collect();
    fixture.keep(&trades);
    fixture.publish(&trades);
    let mut aggregator = Aggregator::new(bars());
    for (position, text) in trades.iter().enumerate() {
        let record = market::codec::json::decode(market::Kind::TRADE, text.as_bytes()).unwrap();
        aggregator.add(&record, StreamPosition { position: position as u64, stamp_ms: 0 });
    }
    let mut made = Vec::new();
    aggregator.finish(&mut |bar| made.push(bar));
    fixture.store.write_bars(&made, &fixture.stop).unwrap();
    fixture.live();
    fixture
}

#[test]
fn alpacas_pages_hold_all_rows_of_all_symbols_once() {
    let fixture = filled();
    for limit in [1, 3, 5, 100] {
        let (mut got, mut token) = (Vec::new(), String::new());
        loop {
            let path =
                format!("/v2/stocks/bars?symbols=SPY,AAPL,NONE&timeframe=1Min&feed=sip&limit={limit}{token}");
            let reply = fixture.get(&path);
            assert_eq!(reply.status, 200, "{path}: {}", reply.text());
            let json = reply.json();
            for (symbol, bars) in json["bars"].as_object().unwrap() {
                for bar in bars.as_array().unwrap() {
                    assert_eq!(bar["h"].to_string(), "165.99");
                    got.push(format!("{symbol} {}", bar["t"].as_str().unwrap()));
                }
            }
            let Some(next) = json["next_page_token"].as_str() else { break };
            token = format!("&page_token={}", next.replace(' ', "%20").replace('|', "%7C"));
        }
        let wanted: Vec<String> = ["AAPL", "SPY"]
            .iter()
            .flat_map(|symbol| (30..35).map(move |minute| format!("{symbol} 2013-10-08T13:{minute}:00Z")))
            .collect();
        assert_eq!(got, wanted, "limit {limit}");
    }
    let trades = fixture.get("/v2/stocks/trades?symbols=SPY&limit=2&sort=desc").json();
    assert_eq!(trades["trades"]["SPY"][0]["i"], 4);
    assert_eq!(trades["trades"]["SPY"][0]["c"], serde_json::json!(["@"]));
    assert_eq!(fixture.get("/v2/stocks/bars?symbols=SPY").status, 400);
}

#[test]
fn tradingview_gets_its_columns() {
    let fixture = filled();
    assert_eq!(fixture.get("/udf/config").json()["supported_resolutions"], serde_json::json!(["1S", "1"]));
    // Symbols are known from the topic, read independently of requests.
    eventually("the symbol is known", || fixture.get("/udf/symbols?symbol=SPY").status == 200);
    let symbol = fixture.get("/udf/symbols?symbol=SPY").json();
    assert_eq!(
        (symbol["pricescale"].as_u64(), symbol["timezone"].as_str()),
        (Some(100), Some("America/New_York"))
    );
    assert_eq!(fixture.get("/udf/search?query=sp").json()[0]["symbol"], "SPY");
    let open = OPEN / 1_000_000_000;
    let history =
        fixture.get(&format!("/udf/history?symbol=SPY&resolution=1&from={open}&to={}", open + 180)).json();
    assert_eq!(history["s"], "ok");
    assert_eq!(history["t"], serde_json::json!([open, open + 60, open + 120]));
    assert_eq!(history["c"][0].to_string(), "165.99");
    let counted =
        fixture.get(&format!("/udf/history?symbol=SPY&resolution=1&to={}&countback=2", open + 600)).json();
    assert_eq!(counted["t"], serde_json::json!([open + 180, open + 240]));
    assert_eq!(fixture.get("/udf/history?symbol=SPY&resolution=1&from=0&to=60").json()["s"], "no_data");
    assert_eq!(fixture.get("/udf/symbols?symbol=NONE").status, 404);
}
