//! The stream: live changes, reconnects, slow clients.

use crate::harness::{Fixture, OPEN, PATIENCE, eventually, metric, trade};
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

fn numbered(from: usize, to: usize) -> Vec<String> {
    (from..to).map(|n| trade("SPY", &n.to_string(), OPEN + n as i64 * 1_000_000, "165.99")).collect()
}

#[test]
fn a_published_trade_arrives_with_its_bar_and_watchlist_row() {
    let fixture = Fixture::new();
    fixture.live();
    let mut stream = fixture.stream("symbol=SPY&interval=1m");
    fixture.publish(&numbered(0, 1));
    let event = stream.until("the trade", |event| !event.trades().is_empty());
    let data = event.json();
    assert_eq!(data["trades"][0]["price"], "165.99");
    assert_eq!(data["symbols"][0]["last"], "165.99");
    assert_eq!(data["bars"][0]["start"], "2013-10-08T13:30:00Z");
    assert_eq!(data["bars"][0]["forming"], true);
    let row = &fixture.get("/api/v1/symbols").rows()[0];
    assert_eq!((row["symbol"].as_str(), row["volume"].as_str()), (Some("SPY"), Some("100")));
}

#[test]
fn a_repeated_message_counts_once() {
    let fixture = Fixture::new();
    fixture.live();
    fixture.publish(&numbered(0, 3));
    fixture.publish(&numbered(0, 4));
    eventually("all are read", || {
        let rows = fixture.get("/api/v1/symbols").rows();
        rows.first().is_some_and(|row| row["volume"] == "400")
    });
    assert_eq!(fixture.get("/api/v1/symbols").rows()[0]["trades"], 4);
}

#[test]
fn a_stream_begins_with_the_state_of_the_server() {
    let fixture = Fixture::new();
    fixture.live();
    let first = fixture.stream("symbol=SPY").next().unwrap();
    assert_eq!(first.name, "frame");
    assert!(first.id.contains('-'), "a client can resume from its first event: {:?}", first.id);
    assert_eq!(first.json()["status"][0]["live"], true);
}

#[test]
fn a_client_that_reconnects_misses_nothing_and_gets_nothing_twice() {
    let fixture = Fixture::new();
    fixture.live();
    let mut stream = fixture.stream("symbol=SPY");
    fixture.publish(&numbered(0, 10));
    let (mut got, mut last) = (Vec::new(), String::new());
    while got.len() < 10 {
        let event = stream.until("trades", |event| event.name == "frame");
        got.extend(event.trades());
        last = event.id;
    }
    drop(stream);
    fixture.publish(&numbered(10, 20));
    eventually("the hub has read them", || fixture.get("/api/v1/symbols").rows()[0]["trades"] == 20);
    let mut stream = fixture.stream(&format!("symbol=SPY&last_event_id={last}"));
    while got.len() < 20 {
        let event = stream.next().unwrap();
        assert_ne!(event.name, "resync");
        got.extend(event.trades());
    }
    let wanted: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    assert_eq!(got, wanted);
}

#[test]
fn a_client_of_another_server_must_fetch_everything_again() {
    let fixture = Fixture::new();
    for id in ["1-5", "nonsense", "99999999999999-1"] {
        let mut stream = fixture.stream(&format!("symbol=SPY&last_event_id={id}"));
        let first = stream.next().unwrap();
        assert_eq!((first.name.as_str(), first.id.as_str()), ("frame", ""), "{id}");
        assert_eq!(stream.next().unwrap().name, "resync", "{id}");
    }
}

#[test]
fn a_frozen_client_is_dropped_and_harms_nobody() {
    let fixture = Fixture::with(|settings| settings.limits.io_timeout = Duration::from_millis(500), None);
    fixture.live();
    let mut frozen = TcpStream::connect(fixture.address).unwrap();
    write!(frozen, "GET /api/v1/stream?symbol=SPY HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut other = fixture.stream("symbol=SPY");
    let dropped = || metric("tapeline_http_slow_clients_total{outcome=\"disconnected\"}");
    let before = dropped();
    let streams = || {
        let status = fixture.get("/api/v1/pipeline").json();
        status["streams"].as_u64()
    };
    eventually("both streams are open", || streams() == Some(2));
    let mut published = 0;
    let end = std::time::Instant::now() + PATIENCE;
    // More than the buffers between the two hold, which differs from machine to machine.
    while streams() != Some(1) {
        assert!(std::time::Instant::now() < end, "the frozen client is still there after {published} rounds");
        // One watchlist row each, and one that the other client waits for.
        let mut trades: Vec<String> =
            (0..500).map(|n| trade(&format!("S{n}"), &published.to_string(), OPEN, "1.5")).collect();
        trades.extend(numbered(published, published + 1));
        fixture.publish(&trades);
        published += 1;
        let newest = (published - 1).to_string();
        other.until("the newest trade", |event| event.trades().last() == Some(&newest));
    }
    assert_eq!(fixture.get("/api/v1/health").status, 200);
    assert!(dropped() > before, "the dropped client was not counted");
}

#[test]
fn requests_and_streams_are_counted() {
    let fixture = Fixture::new();
    let classes =
        || ["2xx", "4xx"].map(|class| metric(&format!("tapeline_http_requests_total{{status=\"{class}\"}}")));
    let before = classes();
    assert_eq!(fixture.get("/api/v1/symbols").status, 200);
    assert_eq!(fixture.get("/api/v1/nothing").status, 404);
    let after = classes();
    assert!(after[0] > before[0] && after[1] > before[1], "{before:?} {after:?}");
    let _stream = fixture.stream("");
    assert!(metric("tapeline_http_streams") >= 1);
    assert!(metric("tapeline_http_requests_in_flight") < 1_000);
}

#[test]
fn streams_are_limited() {
    let fixture = Fixture::with(|settings| settings.limits.streams = 1, None);
    let _one = fixture.stream("");
    let refused = fixture.get("/api/v1/stream");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("10")));
}
