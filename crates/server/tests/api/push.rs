//! Readings pushed over HTTP.

use crate::harness::{Fixture, Reply};
use ports::topic::Topics;

const TOKEN: &str = "token-of-test";

fn fixture() -> Fixture {
    Fixture::with(|settings| settings.token = TOKEN.to_owned(), None)
}

fn post(fixture: &Fixture, path: &str, headers: &str, body: &str) -> Reply {
    let length = body.len();
    fixture.send(&format!(
        "POST {path} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    ))
}

const BEARER: &str = "Authorization: Bearer token-of-test\r\n";

/// The payloads of a topic.
fn messages(fixture: &Fixture, topic: String) -> Vec<String> {
    let mut out = Vec::new();
    fixture
        .topics
        .read_all(&[topic], &mut |message| out.push(String::from_utf8_lossy(message.payload()).into_owned()))
        .unwrap();
    out.sort();
    out
}

#[test]
fn lines_reach_the_topic_before_the_reply() {
    let fixture = fixture();
    let path = "/api/v1/readings?format=ndjson&feed=plant&series={device}.{field}&value=t,p&seq=n&unit=x";
    let body =
        "{\"device\":\"a\",\"time\":\"2026-01-05T10:00:00Z\",\"t\":21.50,\"p\":1,\"n\":1}\nnot json\n\n";
    for _ in 0..2 {
        let reply = post(&fixture, path, BEARER, body);
        assert_eq!(reply.status, 200, "{}", reply.text());
        let value = reply.json();
        assert_eq!((&value["readings"], &value["dead_letters"]), (&2.into(), &1.into()), "{value}");
        assert!(value["reasons"][0].as_str().unwrap().starts_with("line 2: "), "{value}");
    }
    // Sent twice, each has the same identity both times.
    let mut readings = messages(&fixture, fixture.names.records(market::Kind::READING));
    readings.iter_mut().for_each(|text| {
        let (head, rest) = text.split_once("\"recv_ts\":").unwrap();
        *text = format!("{head}{}", rest.split_once(',').unwrap().1);
    });
    readings.dedup();
    assert_eq!(
        readings,
        [
            r#"{"series":"a.p","feed":"plant","seq":1,"ts":1767607200000000000,"type":"integer","value":"1","unit":"x"}"#,
            r#"{"series":"a.t","feed":"plant","seq":1,"ts":1767607200000000000,"type":"decimal","value":"21.5","unit":"x"}"#
        ]
    );
    assert_eq!(messages(&fixture, fixture.names.dead_letters()), ["not json", "not json"]);
}

#[test]
fn clients_of_influxdb_write_lines() {
    let fixture = fixture();
    let path = "/api/v2/write?bucket=home&org=me&precision=s";
    let token = "Authorization: Token token-of-test\r\n";
    assert_eq!(post(&fixture, path, token, "room,id=1 t=21.5,door=true 1767607200\n").status, 204);
    let reply = post(&fixture, path, token, "room t=1 1767607200\nroom t 1\n");
    assert!(reply.status == 400 && reply.text().contains("line 2: "), "{}", reply.text());
    let readings = messages(&fixture, fixture.names.records(market::Kind::READING));
    assert_eq!(readings.len(), 3, "{readings:?}");
    assert!(readings.iter().all(|text| text.contains("\"feed\":\"home\"")), "{readings:?}");
}

#[test]
fn what_cannot_be_accepted_is_refused_and_publishes_nothing() {
    let fixture = fixture();
    let path = "/api/v1/readings?format=influx";
    let line = "room t=1 1767607200000000000\n";
    let large = line.repeat((8 << 20) / line.len() + 1);
    for (path, headers, body, status, part) in [
        (path, "", line, 401, "token is required"),
        (path, "Authorization: Bearer wrong\r\n", line, 401, "token is required"),
        ("/api/v1/readings", BEARER, line, 400, "format"),
        ("/api/v1/readings?format=xml", BEARER, line, 400, "influx, ndjson, csv, bare"),
        ("/api/v1/readings?format=influx&colour=red", BEARER, line, 400, "colour"),
        ("/api/v1/readings?format=influx&precision=h", BEARER, line, 400, "precision: expected auto"),
        ("/api/v1/readings?format=ndjson", BEARER, line, 400, "series: expected a template"),
        ("/api/v1/readings?format=csv&series=s&value=v", BEARER, "", 400, "expected a header"),
        (
            "/api/v1/readings?format=csv&series=s&value=v",
            BEARER,
            "a,b\n1,2\n",
            400,
            "the header has no column",
        ),
        (path, &format!("{BEARER}Content-Encoding: gzip\r\n"), line, 415, "expected none, found gzip"),
        (path, &format!("{BEARER}Origin: http://elsewhere.test\r\n"), line, 403, "another site"),
        (path, BEARER, &large, 413, "at most 8388608 bytes"),
    ] {
        let reply = post(&fixture, path, headers, body);
        let text = reply.text();
        assert!(reply.status == status && text.contains(part), "{path}: {} {text}", reply.status);
    }
    let open = Fixture::new();
    let reply = post(&open, path, "", line);
    assert!(reply.status == 403 && reply.text().contains("TAPELINE__SERVE__TOKEN"), "{}", reply.text());
    for fixture in [&fixture, &open] {
        assert!(messages(fixture, fixture.names.records(market::Kind::READING)).is_empty());
        assert!(messages(fixture, fixture.names.dead_letters()).is_empty());
    }
}
