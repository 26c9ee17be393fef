//! Alpaca's websocket: what its clients get, limits, slow clients.

use crate::harness::{Fixture, OPEN, PATIENCE, eventually, metric, trade};
use ports::topic::{Message as TopicMessage, Topics};
use serde_json::{Value, json};
use server::ServerSettings;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use tungstenite::{Error, Message, WebSocket};

struct Client(WebSocket<TcpStream>);

/// Opens the stream with extra headers; the status if it is refused.
fn open(fixture: &Fixture, feed: &str, headers: &[(&'static str, &str)]) -> Result<Client, u16> {
    let stream = TcpStream::connect(fixture.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let uri: tungstenite::http::Uri = format!("ws://{}/v2/{feed}", fixture.address).parse().unwrap();
    let mut request = tungstenite::ClientRequestBuilder::new(uri);
    for (name, value) in headers {
        request = request.with_header(*name, *value);
    }
    match tungstenite::client(request, stream) {
        Ok((socket, _)) => Ok(Client(socket)),
        Err(tungstenite::HandshakeError::Failure(Error::Http(response))) => Err(response.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

impl Client {
    /// The next list of messages; `None` when the server has closed the connection.
    fn next(&mut self) -> Option<Vec<Value>> {
        loop {
            match self.0.read() {
                Ok(Message::Text(text)) => return Some(serde_json::from_str(&text).unwrap()),
                Ok(Message::Binary(bytes)) => panic!("{bytes:?}"),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    fn send(&mut self, message: &Value) {
        self.0.send(Message::text(message.to_string())).unwrap();
    }

    /// Sends a message and returns the reply to it.
    fn request(&mut self, message: &Value) -> Value {
        self.send(message);
        self.next().expect("a reply")[0].clone()
    }

    /// Authenticates and subscribes.
    fn subscribe(&mut self, channels: Value) {
        assert_eq!(self.next().unwrap(), [json!({ "T": "success", "msg": "connected" })]);
        let reply = self.request(&json!({ "action": "auth", "key": "any", "secret": "any" }));
        assert_eq!(reply, json!({ "T": "success", "msg": "authenticated" }));
        let mut message = channels;
        message["action"] = "subscribe".into();
        assert_eq!(self.request(&message)["T"], "subscription");
    }

    /// Reads this many messages.
    fn take(&mut self, count: usize) -> Vec<Value> {
        let mut got = Vec::new();
        while got.len() < count {
            got.extend(self.next().unwrap_or_else(|| panic!("the stream ended after {got:?}")));
        }
        assert_eq!(got.len(), count, "{got:?}");
        got
    }
}

fn publish(fixture: &Fixture, topic: &str, payloads: &[String]) {
    let mut producer = fixture.topics.producer().unwrap();
    for payload in payloads {
        let message =
            TopicMessage { topic, key: "k", headers: &[], payload: payload.as_bytes(), stamp_ms: 1 };
        producer.send(&message).unwrap();
    }
    assert_eq!(producer.flush(PATIENCE).unwrap(), 0);
}

fn numbered(from: usize, to: usize) -> Vec<String> {
    (from..to).map(|n| trade("SPY", &n.to_string(), OPEN + n as i64 * 1_000_000, "165.99")).collect()
}

#[test]
fn each_record_is_sent_once_in_alpacas_form() {
    let fixture = Fixture::new();
    fixture.publish(&numbered(0, 3));
    fixture.live();
    eventually("what was published before is read", || {
        fixture.get("/api/v1/symbols").rows().first().is_some_and(|row| row["trades"] == 3)
    });
    let mut client = open(&fixture, "sip", &[]).unwrap();
    client.subscribe(json!({ "trades": ["SPY"], "quotes": ["*"] }));
    let canceled =
        trade("SPY", "4", OPEN, "1.5").replace("\"price\"", "\"revision\":1,\"canceled\":true,\"price\"");
    // Repeats and other symbols are not sent.
    fixture.publish(&numbered(1, 4));
    fixture.publish(&[
        trade("IBM", "9", OPEN, "1"),
        trade("SPY", "20131008-7", OPEN, "0.00000001"),
        canceled,
    ]);
    let quote = format!(
        r#"{{"symbol":"IBM","feed":"test","seq":7,"ts":{OPEN},"recv_ts":{OPEN},"bid":"184.1","bid_size":"200","bid_venue":"P","conditions":["R"]}}"#
    );
    publish(&fixture, &fixture.names.records(market::Kind::QUOTE), &[quote]);
    let mut got = client.take(4);
    got.sort_by_key(|message| message["p"].to_string());
    let time = "2013-10-08T13:30:00Z";
    let id = got[2]["i"].take();
    assert!(id.as_u64().is_some_and(|id| id < 1 << 53), "{id}");
    assert_eq!(
        got,
        [
            json!({"T":"x","S":"SPY","x":"P","p":1.5,"s":100,"a":"C","z":"","t":time,"i":4}),
            json!({"T":"t","S":"SPY","x":"P","p":165.99,"s":100,"c":["@"],"z":"","t":"2013-10-08T13:30:00.003Z","i":3}),
            json!({"T":"t","S":"SPY","x":"P","p":1e-8,"s":100,"c":["@"],"z":"","t":time,"i":null}),
            json!({"T":"q","S":"IBM","bx":"P","bp":184.1,"bs":200,"ax":"","ap":0,"as":0,"c":["R"],"t":time}),
        ]
    );
    let reply = client.request(&json!({ "action": "unsubscribe", "trades": ["SPY"] }));
    assert_eq!((&reply["trades"], &reply["quotes"]), (&json!([]), &json!(["*"])));
}

#[test]
fn bars_are_sent_when_they_are_closed_and_when_they_are_restated() {
    let fixture = Fixture::new();
    fixture.live();
    let mut client = open(&fixture, "test.feed", &[]).unwrap();
    client.subscribe(json!({ "bars": ["*"], "updatedBars": ["SPY"], "dailyBars": ["SPY"] }));
    let bar = |feed: &str, interval: &str, revision: u32, is_final: bool| {
        json!({
            "symbol": "SPY", "feed": feed, "kind": "trade", "interval": interval, "start": "2013-10-08T13:30:00Z",
            "open": "1", "high": "2.50", "low": "1", "close": "2", "volume": "300", "vwap": "1.75", "trades": 3,
            "late": 0, "revision": revision, "final": is_final, "complete": true,
        })
        .to_string()
    };
    publish(
        &fixture,
        &fixture.names.bars(),
        &[
            bar("another", "1m", 0, false),
            bar("test.feed", "1s", 0, false),
            bar("test.feed", "1m", 0, false),
            bar("test.feed", "1m", 1, false),
            bar("test.feed", "1m", 1, true),
            bar("test.feed", "1d", 0, true),
        ],
    );
    let got = client.take(3);
    let classes: Vec<&Value> = got.iter().map(|message| &message["T"]).collect();
    assert_eq!(classes, ["b", "u", "d"]);
    assert_eq!(
        got[0],
        json!({"T":"b","S":"SPY","t":"2013-10-08T13:30:00Z","o":1,"h":2.5,"l":1,"c":2,"v":300,"n":3,"vw":1.75})
    );
}

/// The first of the next list of messages in MessagePack.
fn unpacked(client: &mut WebSocket<TcpStream>) -> Value {
    loop {
        if let Message::Binary(bytes) = client.read().unwrap() {
            return market::codec::msgpack::unpacked(&bytes).unwrap()[0].clone();
        }
    }
}

#[test]
fn clients_that_send_messagepack_get_messagepack() {
    let fixture = Fixture::new();
    fixture.live();
    let mut client = open(&fixture, "iex", &[("content-type", "application/msgpack")]).unwrap().0;
    assert_eq!(unpacked(&mut client)["msg"], "connected");
    let packed = |text: &str| Message::binary(market::codec::msgpack::packed(text));
    client.send(packed(r#"{"action":"auth","key":"k","secret":"s"}"#)).unwrap();
    assert_eq!(unpacked(&mut client)["msg"], "authenticated");
    client.send(packed(r#"{"action":"subscribe","trades":["SPY"]}"#)).unwrap();
    assert_eq!(unpacked(&mut client)["trades"], json!(["SPY"]));
    fixture.publish(&numbered(0, 1));
    let got = unpacked(&mut client);
    assert_eq!((&got["T"], &got["S"], &got["i"]), (&json!("t"), &json!("SPY"), &json!(0)));
}

#[test]
fn a_token_is_required_in_the_message_or_in_the_handshake() {
    let fixture = Fixture::with(|settings| settings.token = "secret".to_owned(), None);
    let mut client = open(&fixture, "sip", &[]).unwrap();
    client.next().unwrap();
    assert_eq!(client.request(&json!({ "action": "subscribe", "trades": ["*"] }))["code"], 401);
    assert_eq!(client.request(&json!({ "action": "auth", "key": "k", "secret": "wrong" }))["code"], 402);
    assert_eq!(client.next(), None, "a wrong token ends the connection");
    let mut client = open(&fixture, "sip", &[]).unwrap();
    client.next().unwrap();
    assert_eq!(client.request(&json!({ "action": "auth", "secret": "secret" }))["msg"], "authenticated");
    let mut client = open(&fixture, "sip", &[("apca-api-secret-key", "secret")]).unwrap();
    assert_eq!(client.next().unwrap()[0]["msg"], "connected");
    assert_eq!(client.next().unwrap()[0]["msg"], "authenticated");
    // Other paths do not open by calling themselves a websocket.
    for path in ["/v2/stocks/trades?symbols=SPY", "/api/v1/stream", "/v2/sip/x", "/"] {
        let reply = fixture.get_with(path, "Upgrade: websocket\r\nConnection: upgrade\r\n");
        assert_eq!(reply.status, 401, "{path}");
    }
}

#[test]
fn pages_of_other_sites_and_plain_requests_are_refused() {
    let fixture = Fixture::new();
    let own = format!("http://{}", fixture.address);
    assert!(open(&fixture, "sip", &[("origin", &own)]).is_ok());
    assert_eq!(open(&fixture, "sip", &[("origin", "https://evil.example")]).err(), Some(403));
    assert_eq!(fixture.get("/v2/sip").status, 426);
    let rebound = fixture.send(
        "GET /v2/sip HTTP/1.1\r\nHost: evil.example\r\nUpgrade: websocket\r\nConnection: upgrade, close\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    assert_eq!(rebound.status, 421);
}

#[test]
fn websockets_count_as_streams_and_as_connections() {
    let fixture = Fixture::with(|settings| settings.limits.streams = 2, None);
    let one = open(&fixture, "sip", &[]).unwrap();
    let _two = fixture.stream("");
    assert_eq!(open(&fixture, "sip", &[]).err(), Some(503));
    assert_eq!(fixture.get("/api/v1/stream").status, 503);
    drop(one);
    eventually("its place is free", || open(&fixture, "sip", &[]).is_ok());
    let fixture = Fixture::with(|settings| settings.limits.connections = 1, None);
    let mut one = open(&fixture, "sip", &[]).unwrap();
    one.next().unwrap();
    let mut text = String::new();
    let mut refused = TcpStream::connect(fixture.address).unwrap();
    let _ = refused.write_all(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n");
    let _ = refused.read_to_string(&mut text);
    assert!(text.starts_with("HTTP/1.1 503"), "{text}");
}

#[test]
fn a_client_that_does_not_authenticate_is_disconnected() {
    let fixture = Fixture::with(|settings| settings.limits.io_timeout = Duration::from_millis(500), None);
    let mut client = open(&fixture, "sip", &[]).unwrap();
    client.next().unwrap();
    assert_eq!(client.next().unwrap()[0]["code"], 404);
    assert_eq!(client.next(), None);
}

#[test]
fn a_flood_of_messages_ends_the_connection() {
    let change = |settings: &mut ServerSettings| {
        settings.limits.requests_per_second = 1;
        settings.limits.burst = 20;
    };
    let fixture = Fixture::with(change, None);
    let mut client = open(&fixture, "sip", &[]).unwrap();
    client.next().unwrap();
    (0..50).for_each(|_| drop(client.0.send(Message::text("{}"))));
    let codes: Vec<Value> =
        std::iter::from_fn(|| client.next()).map(|reply| reply[0]["code"].clone()).collect();
    assert_eq!((codes.first(), codes.last()), (Some(&json!(401)), Some(&json!(429))), "{codes:?}");
}

#[test]
fn no_message_breaks_the_stream() {
    let fixture = Fixture::with(|settings| settings.limits.burst = u32::MAX, None);
    let nested = "[".repeat(60_000);
    let huge = "x".repeat(300 << 10);
    for message in [
        Message::text(""),
        Message::text("null"),
        Message::text("[]"),
        Message::text(r#"{"action":{"action":"auth"}}"#),
        Message::text(r#"{"action":"auth","secret":5}"#),
        Message::text(nested),
        Message::text(huge),
        Message::binary(vec![0xdd, 0xff, 0xff, 0xff, 0xff]),
        Message::binary(vec![0x91; 60_000]),
        Message::binary(vec![0xc1]),
    ] {
        let mut client = open(&fixture, "sip", &[]).unwrap();
        client.next().unwrap();
        let _ = client.0.send(message.clone());
        // An error, or the end if it is too large.
        let reply = client.next();
        assert!(reply.is_none_or(|reply| reply[0]["T"] == "error" || reply[0]["msg"] == "authenticated"));
        assert_eq!(fixture.get("/api/v1/gaps").status, 200);
    }
}

/// A client whose buffers are small, so that it is behind soon.
fn narrow(fixture: &Fixture) -> Client {
    let client = open(fixture, "sip", &[]).unwrap();
    rustix::net::sockopt::set_socket_recv_buffer_size(client.0.get_ref(), 4_096).unwrap();
    client
}

/// Publishes until a client that reads nothing is far behind: its buffers are full, and then some.
fn flood(fixture: &Fixture) {
    let read = || fixture.get("/api/v1/symbols").rows().first().and_then(|row| row["trades"].as_u64());
    fixture.publish(&numbered(0, 30_000));
    let mut published = 30_000;
    eventually("the server has read them", || read() == Some(published));
    for _ in 0..40 {
        fixture.publish(&numbered(published as usize, published as usize + 10));
        published += 10;
        eventually("the server has read them", || read() == Some(published));
    }
}

#[test]
fn a_slow_client_is_dropped_with_a_message_and_harms_nobody() {
    let fixture = Fixture::new();
    fixture.live();
    let before = metric("tapeline_http_slow_clients_total{outcome=\"lagged\"}");
    let mut slow = narrow(&fixture);
    slow.subscribe(json!({ "trades": ["SPY"] }));
    // The server reads on, and serves others.
    flood(&fixture);
    let (mut got, mut last) = (0, Value::Null);
    while let Some(messages) = slow.next() {
        got += messages.len();
        last = messages.last().unwrap().clone();
    }
    assert_eq!(last, json!({ "T": "error", "code": 407, "msg": "slow client" }));
    assert!(got < 30_400, "{got}");
    assert!(metric("tapeline_http_slow_clients_total{outcome=\"lagged\"}") > before);
}

#[test]
fn a_client_that_reads_nothing_is_disconnected() {
    let fixture = Fixture::with(|settings| settings.limits.io_timeout = Duration::from_millis(500), None);
    fixture.live();
    let before = metric("tapeline_http_slow_clients_total{outcome=\"disconnected\"}");
    let mut frozen = narrow(&fixture);
    frozen.subscribe(json!({ "trades": ["*"] }));
    flood(&fixture);
    let streams = || fixture.get("/api/v1/pipeline").json()["streams"].as_u64();
    eventually("the frozen client is gone", || streams() == Some(0));
    assert!(metric("tapeline_http_slow_clients_total{outcome=\"disconnected\"}") > before);
    drop(frozen);
}
