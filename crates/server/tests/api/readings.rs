//! Series, readings and their bars over REST.

use crate::harness::{Fixture, OPEN, PATIENCE, eventually};
use market::bar::{Bar, ReadingValues, Values};
use market::interval::{Interval, MINUTE, SECOND};
use market::{Kind, Price, UnixNanos};
use ports::batch::{Batch, Partition};
use ports::store::Store;
use ports::topic::{Message, Topics};

fn reading(series: &str, seq: i64, ts: i64, value: &str, class: &str) -> String {
    format!(
        r#"{{"series":"{series}","feed":"plant","seq":{seq},"ts":{ts},"recv_ts":{ts},"type":"{class}","value":"{value}","unit":"°C","quality":"good","tags":{{"site":"b"}}}}"#
    )
}

fn publish(fixture: &Fixture, readings: &[String]) {
    let mut producer = fixture.topics.producer().unwrap();
    for text in readings {
        let message = Message {
            topic: &fixture.names.records(Kind::READING),
            key: "k",
            headers: &[("kind", b"reading".as_slice())],
            payload: text.as_bytes(),
            stamp_ms: 1,
        };
        producer.send(&message).unwrap();
    }
    assert_eq!(producer.flush(PATIENCE).unwrap(), 0);
}

fn keep(fixture: &Fixture, readings: &[String]) {
    let mut batch = Batch::default();
    for (offset, text) in readings.iter().enumerate() {
        let at = Partition { topic: 0, number: 0 };
        batch.push(Kind::READING, text.as_bytes(), 1, at, offset as i64).unwrap();
    }
    let mut writer = fixture.store.writer(&fixture.stop).unwrap();
    writer.submit(1, batch).unwrap();
    let done = writer.completed(PATIENCE).unwrap().expect("the store answers");
    assert!(done.refused.is_empty(), "{:?}", done.refused);
}

/// Bars of 30 minutes; each has four readings around its number.
fn keep_bars(fixture: &Fixture, series: &str) {
    let bar = |minute: i64| {
        let value = |tenths: i64| Price::parse(format!("{minute}.{tenths}").as_bytes()).unwrap();
        let sum = Price::parse(format!("{}.2", 4 * minute + 1).as_bytes()).unwrap();
        Bar {
            kind: Kind::READING,
            symbol: series.to_owned(),
            feed: "plant".to_owned(),
            interval: Interval::M1,
            start: UnixNanos(OPEN + minute * MINUTE),
            values: Values::Readings(ReadingValues {
                first_max_min_last: [value(1), value(5), value(0), value(3)],
                sum: Some(sum),
                count: 4,
            }),
            late: 0,
            revision: 0,
            is_final: true,
            complete: true,
        }
    };
    let bars: Vec<Bar> = (0..30).map(bar).collect();
    fixture.store.write_bars(&bars, &fixture.stop).unwrap();
}

#[test]
fn series_have_their_last_values_and_are_paged_and_searched() {
    let fixture = Fixture::with(|settings| settings.zone = "Europe/Berlin".to_owned(), None);
    fixture.live();
    assert!(fixture.get("/api/v1/series").rows().is_empty());
    let mut all = vec![
        reading("b7.temperature", 1, OPEN, "21.5", "decimal"),
        reading("b7.temperature", 2, OPEN + SECOND, "21.75", "decimal"),
        // Late: not the newest by event time.
        reading("b7.temperature", 3, OPEN - SECOND, "9", "decimal"),
        reading("b7.state", 1, OPEN, "on", "text"),
    ];
    all.extend((0..5).map(|n| reading(&format!("pump,site=ä.{n}"), 1, OPEN, "1", "integer")));
    publish(&fixture, &all);
    eventually("all series are listed", || fixture.get("/api/v1/series").rows().len() == 7);
    let row = &fixture.get("/api/v1/series?search=TEMP").rows()[0];
    assert_eq!(
        *row,
        serde_json::json!({
            "series": "b7.temperature", "feed": "plant", "ts": "2013-10-08T13:30:01Z", "recv_ts": "2013-10-08T13:30:01Z",
            "value": "21.75", "type": "decimal", "unit": "°C", "quality": "good", "zone": "Europe/Berlin",
        })
    );
    let (mut names, mut cursor) = (Vec::new(), String::new());
    loop {
        let reply = fixture.get(&format!("/api/v1/series?limit=3{cursor}"));
        names.extend(reply.rows().iter().map(|row| row["series"].as_str().unwrap().to_owned()));
        let json = reply.json();
        let Some(next) = json["next"].as_str() else { break };
        assert_eq!(reply.header("x-next-cursor"), Some(next));
        cursor = format!("&cursor={next}");
    }
    assert!(names.len() == 7 && names.is_sorted(), "{names:?}");
    let csv = fixture.get("/api/v1/series?format=csv&search=state").text();
    assert!(csv.starts_with("series,feed,ts,recv_ts,value,type,unit,quality,zone\nb7.state,plant,"), "{csv}");
    for wrong in ["limit=0", "limit=x", "cursor=zz", "x=1"] {
        assert_eq!(fixture.get(&format!("/api/v1/series?{wrong}")).status, 400, "{wrong}");
    }
}

#[test]
fn readings_are_paged_in_both_directions_and_exact() {
    let fixture = Fixture::new();
    let all: Vec<String> = (0..10)
        .map(|n| reading("a,b=c.t", n, OPEN + n / 2 * SECOND, &format!("{n}.000000000000000001"), "decimal"))
        .collect();
    keep(&fixture, &all);
    for order in ["asc", "desc"] {
        let (mut numbers, mut cursor) = (Vec::new(), String::new());
        loop {
            let reply =
                fixture.get(&format!("/api/v1/readings?series=a,b%3Dc.t&order={order}&limit=3{cursor}"));
            assert_eq!(reply.status, 200, "{}", reply.text());
            numbers.extend(reply.rows().iter().map(|row| row["seq"].as_i64().unwrap()));
            let json = reply.json();
            let Some(next) = json["next"].as_str() else { break };
            cursor = format!("&cursor={}", next.replace('|', "%7C"));
        }
        let sorted: Vec<i64> = if order == "asc" { (0..10).collect() } else { (0..10).rev().collect() };
        assert_eq!(numbers, sorted, "{order}");
    }
    let row = &fixture.get("/api/v1/readings?series=a,b%3Dc.t&limit=1&tz=Europe/Berlin").rows()[0];
    assert_eq!(row["value"], "0.000000000000000001");
    assert_eq!((&row["ts"], &row["tags"]["site"]), (&"2013-10-08T15:30:00+02:00".into(), &"b".into()));
    assert_eq!(fixture.get("/api/v1/readings?series=a,b%3Dc.t&feed=other").rows().len(), 0);
    let csv = fixture.get("/api/v1/readings?series=a,b%3Dc.t&limit=1&format=csv").text();
    assert!(csv.starts_with("ts,series,feed,value,type,unit,quality,tags,seq,recv_ts\n"), "{csv}");
    for wrong in ["", "?series=", "?series=a&from=yesterday", "?series=a&symbol=b", "?series=a&tz=Mars"] {
        let reply = fixture.get(&format!("/api/v1/readings{wrong}"));
        assert_eq!(reply.status, 400, "{wrong}: {}", reply.text());
    }
}

#[test]
fn reading_bars_are_those_of_the_store() {
    let fixture = Fixture::new();
    keep_bars(&fixture, "b7.temperature");
    // The directory says where to look for the newest: nothing of the series is on the topic.
    keep(&fixture, &[reading("b7.temperature", 1, OPEN, "0.1", "decimal")]);
    let all = fixture.get("/api/v1/reading-bars?series=b7.temperature");
    assert_eq!(all.rows().len(), 30, "{}", all.text());
    let newest = fixture.get("/api/v1/reading-bars?series=b7.temperature&order=desc&limit=2").rows();
    assert_eq!(
        newest[0],
        serde_json::json!({
            "series": "b7.temperature", "feed": "plant", "kind": "reading", "interval": "1m",
            "start": "2013-10-08T13:59:00Z", "first": "29.1", "max": "29.5", "min": "29", "last": "29.3", "sum": "117.2",
            "mean": "29.3", "count": 4, "late": 0, "revision": 0, "final": true, "complete": true,
        })
    );
    assert_eq!(newest[1]["start"], "2013-10-08T13:58:00Z");
    let part = "from=2013-10-08T13:40:00Z&to=2013-10-08T13:45:00Z&tz=Europe/Berlin";
    let rows = fixture.get(&format!("/api/v1/reading-bars?series=b7.temperature&{part}")).rows();
    assert_eq!((rows.len(), &rows[0]["start"]), (5, &"2013-10-08T15:40:00+02:00".into()));
    let csv = fixture.get("/api/v1/reading-bars?series=b7.temperature&limit=1&format=csv").text();
    assert!(csv.starts_with("start,series,feed,interval,first,max,min,last,sum,mean,count,late,"), "{csv}");
    assert_eq!(fixture.get("/api/v1/reading-bars?series=b7.temperature&interval=1h").rows().len(), 0);
    for wrong in ["", "?series=b7&interval=7m", "?series=b7&policy=all"] {
        assert_eq!(fixture.get(&format!("/api/v1/reading-bars{wrong}")).status, 400, "{wrong}");
    }
    let described = fixture.get("/api/v1/openapi.json").json();
    for path in ["series", "readings", "reading-bars"] {
        assert!(described["paths"][format!("/api/v1/{path}")]["get"].is_object(), "{path}");
    }
    assert!(described["paths"]["/api/v1/readings"]["post"].is_object());
}
