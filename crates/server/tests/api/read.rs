//! Reading: pages, formats, tags.

use crate::harness::{Fixture, OPEN, bars, trade};
use market::bar::{Aggregator, StreamPosition};
use ports::store::Store;
use ports::topic::Topics;
use serde_json::{Value, json};

/// Five times of four trades each.
fn trades() -> Vec<String> {
    let ids = ["d", "b", "a", "c"];
    (0..5)
        .flat_map(|second| ids.iter().map(move |id| (second, id)))
        .map(|(second, id)| trade("SPY", &format!("{second}{id}"), OPEN + second * 1_000_000_000, "165.99"))
        .collect()
}

/// Stores the bars of some trades.
fn keep_bars(fixture: &Fixture, trades: &[String]) {
    let mut aggregator = Aggregator::new(bars());
    for (position, text) in trades.iter().enumerate() {
        let record = market::codec::json::decode(market::Kind::TRADE, text.as_bytes()).unwrap();
        aggregator.add(&record, StreamPosition { position: position as u64, stamp_ms: 0 });
    }
    let mut made = Vec::new();
    aggregator.finish(&mut |bar| made.push(bar));
    fixture.store.write_bars(&made, &fixture.stop).unwrap();
}

fn ids(rows: &[Value]) -> Vec<String> {
    rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn pages_hold_every_row_of_equal_time_once() {
    let fixture = Fixture::new();
    fixture.keep(&trades());
    fixture.publish(&trades());
    fixture.live();
    let mut wanted: Vec<String> =
        (0..5).flat_map(|second| ["a", "b", "c", "d"].map(|id| format!("{second}{id}"))).collect();
    for order in ["asc", "desc"] {
        for limit in [1, 3, 4, 7, 100] {
            let (mut got, mut cursor) = (Vec::new(), String::new());
            loop {
                let path = format!("/api/v1/trades?symbol=SPY&order={order}&limit={limit}{cursor}");
                let reply = fixture.get(&path);
                assert_eq!(reply.status, 200, "{path}: {}", reply.text());
                got.extend(ids(&reply.rows()));
                let next = reply.json()["next"].clone();
                let Some(next) = next.as_str() else { break };
                assert_eq!(reply.header("x-next-cursor"), Some(next));
                cursor = format!("&cursor={}", next.replace('|', "%7C"));
            }
            assert_eq!(got, wanted, "{order} {limit}");
        }
        wanted.reverse();
    }
}

/// What the topics hold no longer, or what was not read yet, is in the store.
#[test]
fn the_newest_rows_are_the_stores_whatever_the_topics_hold() {
    let fixture = Fixture::new();
    fixture.keep(&trades());
    keep_bars(&fixture, &trades());
    for path in ["trades?symbol=SPY&limit=1", "bars?symbol=SPY&interval=1s&limit=1"] {
        let rows = fixture.get(&format!("/api/v1/{path}&order=desc")).rows();
        assert_eq!(rows.len(), 1, "{path}");
        let time = rows[0].get("ts").or(rows[0].get("start")).unwrap();
        assert_eq!(time, "2013-10-08T13:30:04Z", "{path}");
    }
    let bars = fixture.get("/v2/stocks/trades?symbols=SPY&sort=desc&limit=1").json();
    assert_eq!(bars["trades"]["SPY"][0]["t"], "2013-10-08T13:30:04Z");
}

#[test]
fn rows_are_what_was_stored_in_json_and_csv() {
    let fixture = Fixture::new();
    let exact = trade("SPY", "1", OPEN + 123_456_789, "165.990000001");
    fixture.keep(&[exact]);
    let row = &fixture.get("/api/v1/trades?symbol=SPY").rows()[0];
    assert_eq!(row["price"], "165.990000001");
    assert_eq!(row["ts"], "2013-10-08T13:30:00.123456789Z");
    assert_eq!(row["conditions"], serde_json::json!(["@"]));
    let csv = fixture.get("/api/v1/trades?symbol=SPY&format=csv").text();
    let lines: Vec<&str> = csv.lines().collect();
    assert!(lines[0].starts_with("ts,symbol,feed,venue,price,size,"), "{csv}");
    assert!(lines[1].starts_with("2013-10-08T13:30:00.123456789Z,SPY,test,P,165.990000001,100,"), "{csv}");
    let local = &fixture.get("/api/v1/trades?symbol=SPY&tz=America/New_York").rows()[0];
    assert_eq!(local["ts"], "2013-10-08T09:30:00.123456789-04:00");
}

#[test]
fn bars_equal_those_of_the_store_and_can_be_rebuilt() {
    let fixture = Fixture::new();
    fixture.keep(&trades());
    keep_bars(&fixture, &trades());
    let stored = fixture.get("/api/v1/bars?symbol=SPY&interval=1s").rows();
    assert_eq!(stored.len(), 5);
    assert_eq!(stored[0]["high"], "165.99");
    assert_eq!(stored[0]["volume"], "400");
    assert_eq!(stored[0]["session"], "regular");
    let range = "from=2013-10-08T13:30:00Z&to=2013-10-08T13:31:00Z";
    let rebuilt = fixture.get(&format!("/api/v1/bars?symbol=SPY&interval=1s&policy=all&{range}")).rows();
    assert_eq!(rebuilt.len(), 5);
    for (one, other) in stored.iter().zip(&rebuilt) {
        for name in ["start", "open", "high", "low", "close", "volume", "vwap", "trades"] {
            assert_eq!(one[name], other[name], "{name}");
        }
    }
    assert!(
        fixture
            .get(&format!("/api/v1/bars?symbol=SPY&interval=1s&session=extended&{range}"))
            .rows()
            .is_empty()
    );
    let none = fixture.get("/api/v1/bars?symbol=SPY&interval=1s&policy=all");
    assert_eq!(none.status, 400, "a policy without a range would read all trades");
}

#[test]
fn a_bar_is_explained_by_the_print_that_set_each_price() {
    let fixture = Fixture::new();
    let prints = [
        trade("SPY", "1", OPEN, "165.50"),
        trade("SPY", "2", OPEN + 1, "165.99"),
        trade("SPY", "3", OPEN + 2, "165.10"),
        trade("SPY", "4", OPEN + 3, "165.40"),
    ];
    fixture.keep(&prints);
    keep_bars(&fixture, &prints);
    let answer = fixture.get("/api/v1/explain?symbol=SPY&time=2013-10-08T13:30:30Z&interval=1m").json();
    let feed = &answer["feeds"][0];
    assert_eq!(feed["bar"]["high"], "165.99");
    assert_eq!(feed["rebuilt"], false);
    for (index, sets) in [(0, "open"), (1, "high"), (2, "low"), (3, "close")] {
        assert_eq!(feed["prints"][index]["sets"], serde_json::json!([sets]));
    }
    assert_eq!(fixture.get("/api/v1/explain?symbol=SPY&time=2014-10-08T13:30:30Z").status, 404);
}

#[test]
fn what_a_client_has_is_not_sent_again_and_large_replies_are_compressed() {
    let fixture = Fixture::new();
    fixture.keep(&trades());
    for path in ["/api/v1/trades?symbol=SPY", "/", "/vendor/lightweight-charts.js"] {
        let first = fixture.get(path);
        let tag = first.header("etag").unwrap().to_owned();
        let second = fixture.get_with(path, &format!("If-None-Match: {tag}\r\n"));
        assert_eq!((second.status, second.body.len()), (304, 0), "{path}");
        let packed = fixture.get_with(path, "Accept-Encoding: gzip\r\n");
        assert_eq!(packed.header("content-encoding"), Some("gzip"), "{path}");
        assert!(packed.body.len() < first.body.len());
    }
}

#[test]
fn binary_rows_have_pages_tags_and_the_same_limits() {
    let fixture = Fixture::new();
    fixture.keep(&trades());
    let path = "/api/v1/trades?symbol=SPY&limit=2";
    let cursor = fixture.get(path).json()["next"].as_str().unwrap().to_owned();
    for (format, media_type, magic) in [
        ("arrow", "application/vnd.apache.arrow.stream", &[0xff; 4][..]),
        ("parquet", "application/vnd.apache.parquet", b"PAR1"),
    ] {
        let reply = fixture.get(&format!("{path}&format={format}"));
        assert_eq!((reply.status, reply.header("content-type")), (200, Some(media_type)));
        assert_eq!(reply.header("x-next-cursor"), Some(cursor.as_str()), "{format}");
        assert!(reply.body.starts_with(magic), "{format}");
        let accepted = fixture.get_with(path, &format!("Accept: {media_type}\r\n"));
        assert_eq!(accepted.body, reply.body);
        let tag = format!("If-None-Match: {}\r\n", reply.header("etag").unwrap());
        assert_eq!(fixture.get_with(&format!("{path}&format={format}"), &tag).status, 304);
        // Parquet is compressed already.
        let packed = fixture.get_with(&format!("{path}&format={format}"), "Accept-Encoding: gzip\r\n");
        assert_eq!(packed.header("content-encoding").is_some(), format == "arrow");
        for wrong in ["limit=100000", "cursor=x", "tz=UTC"] {
            let reply = fixture.get(&format!("/api/v1/trades?symbol=SPY&format={format}&{wrong}"));
            assert_eq!(reply.status, 400, "{wrong}");
        }
    }
    assert_eq!(fixture.get("/api/v1/trades?symbol=SPY&format=orc").status, 400);
    assert_eq!(fixture.get("/api/v1/gaps?format=arrow").status, 400);
}

#[test]
fn lag_is_shown_by_group_and_partition() {
    let fixture = Fixture::with(|settings| settings.groups = vec!["g".to_owned(), "g-bars".to_owned()], None);
    assert!(fixture.get("/api/v1/lag").rows().is_empty());
    fixture.publish(&trades());
    let topics = [fixture.names.records(market::Kind::TRADE)];
    let mut consumer = fixture.topics.consumer("g", &topics).unwrap();
    let mut next = None;
    while next.is_none() {
        let sink = &mut |message: &dyn ports::topic::Fetched| {
            next = Some((message.partition(), message.offset() + 1));
        };
        consumer.fetch(5, std::time::Duration::from_secs(1), sink).unwrap();
    }
    let (partition, committed) = next.unwrap();
    consumer.commit(&[(partition, committed)], true).unwrap();
    let rows = fixture.get("/api/v1/lag").rows();
    let shown: Vec<Value> =
        rows.iter().map(|row| json!([row["group"], row["committed"], row["end"], row["lag"]])).collect();
    assert_eq!(shown, [json!(["g-bars", null, 20, 20]), json!(["g", committed, 20, 20 - committed])]);
}

#[test]
fn the_description_names_every_resource() {
    let fixture = Fixture::new();
    let api = fixture.get("/api/v1/openapi.json").json();
    assert_eq!(api["openapi"], "3.1.0");
    for path in api["paths"].as_object().unwrap().keys() {
        if path.ends_with("/stream") {
            continue;
        }
        let status = fixture.get(&format!("{path}?symbol=SPY&time=2013-10-08")).status;
        assert!(status != 404 || path.ends_with("/explain"), "{path} is described and not there");
    }
}
