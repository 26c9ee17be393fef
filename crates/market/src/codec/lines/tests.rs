use super::mapping::Precision;
use super::*;
use crate::Kind;
use crate::codec::json;
use crate::record::Record;
use proptest::prelude::*;

const RECEIVED: UnixNanos = UnixNanos(1_767_600_000_000_000_000);
const TIME: i64 = 1_700_000_000_000_000_000;

/// What a line yields: canonical JSON without what is the same everywhere, or the reason.
fn decode(decoder: &mut LineDecoder, line: &str) -> Vec<Result<String, String>> {
    let mut out = Vec::new();
    decoder.line(line, RECEIVED, &mut |reading| {
        out.push(reading.map(|reading| {
            let mut text = Vec::new();
            json::encode(&Record::Reading(reading), &mut text);
            let read = json::decode(Kind::READING, &text).map(|record| record.recv_ts());
            assert_eq!(read, Some(RECEIVED), "{}", String::from_utf8_lossy(&text));
            String::from_utf8(text).unwrap()
        }));
    });
    out
}

fn decoder(format: LineFormat, change: impl FnOnce(&mut Mapping)) -> LineDecoder {
    let mut mapping = Mapping::new(format, "f");
    change(&mut mapping);
    LineDecoder::new(format, mapping).unwrap()
}

/// Series, time, type, value and tags of each reading.
fn shown(decoder: &mut LineDecoder, line: &str) -> Vec<String> {
    let mut out = Vec::new();
    decoder.line(line, RECEIVED, &mut |reading| {
        out.push(match reading {
            Ok(r) => format!("{} {} {} {} {}", r.series, r.ts.0, r.value.class.name(), r.value.text, r.tags)
                .trim_end()
                .to_owned(),
            Err(reason) => format!("error: {reason}"),
        });
    });
    out
}

#[test]
fn line_protocol_is_read() {
    let mut influx = decoder(LineFormat::Influx, |_| {});
    for (line, expected) in [
        (
            r#"weather,site=b,room=a temperature=21.50,state="on, \"20\\\"",n=-3i,u=18446744073709551615u,up=t 1700000000000000000"#,
            vec![
                r#"weather,room=a,site=b.temperature 1700000000000000000 decimal 21.5 {"room":"a","site":"b"}"#,
                "error: state: value `on, \"20\\\"` is not of type text: quotation marks, backslashes and control characters are not supported",
                r#"weather,room=a,site=b.n 1700000000000000000 integer -3 {"room":"a","site":"b"}"#,
                r#"weather,room=a,site=b.u 1700000000000000000 integer 18446744073709551615 {"room":"a","site":"b"}"#,
                r#"weather,room=a,site=b.up 1700000000000000000 boolean true {"room":"a","site":"b"}"#,
            ],
        ),
        ("m value=1e300 1700000000000", vec!["m.value 1700000000000000000 float 1e300"]),
        (
            r"my\ m,t\=g=a\,b f\ x=1 1700000000",
            vec![r#"my m,t=g=a,b.f x 1700000000000000000 decimal 1 {"t=g":"a,b"}"#],
        ),
        ("# a comment", vec![]),
        ("", vec![]),
        ("m,t=1", vec!["error: expected a space before the fields at byte 5"]),
        ("m,t f=1", vec!["error: expected `=` behind the tag `t` at byte 3"]),
        ("m,t= f=1", vec!["error: expected a value of the tag at byte 4"]),
        ("m f", vec!["error: expected `=` behind the field `f` at byte 3"]),
        (
            "m f=x",
            vec![
                "error: expected a number, an integer with `i` or `u`, true, false or a text in quotation marks at byte 4",
            ],
        ),
        ("m f=\"x", vec!["error: expected a closing quotation mark at byte 5"]),
        ("m f=1 x", vec!["error: expected a whole number as the timestamp at byte 6"]),
        ("m f=1", vec!["error: no timestamp; time=receipt takes the time of receipt instead"]),
        (
            "m f=1 12",
            vec!["error: time `12`: seconds, milliseconds, microseconds or nanoseconds? set precision"],
        ),
        (",a=b f=1", vec!["error: expected a measurement at byte 0"]),
    ] {
        assert_eq!(shown(&mut influx, line), expected, "{line}");
    }
    let mut templated = decoder(LineFormat::Influx, |mapping| {
        mapping.series = "{site}/{field}".to_owned();
        mapping.time = mapping::RECEIPT.to_owned();
        mapping.class = Some(ValueType::Float);
    });
    let found = shown(&mut templated, "m,site=a x=1,y=2 5");
    assert_eq!(
        found,
        [
            format!("a/x {} float 1.0 {{\"site\":\"a\"}}", RECEIVED.0),
            format!("a/y {} float 2.0 {{\"site\":\"a\"}}", RECEIVED.0)
        ]
    );
    assert_eq!(shown(&mut templated, "m x=1"), ["error: x: no `site` in the row"]);
}

#[test]
fn json_objects_are_read() {
    let mut one = decoder(LineFormat::Ndjson, |mapping| {
        mapping.series = "{device.id}.{metric}".to_owned();
        mapping.unit = "{unit}".to_owned();
        mapping.quality = "good".to_owned();
        mapping.seq = "n".to_owned();
        mapping.tags = vec!["site".to_owned()];
    });
    let line = r#"{"device":{"id":"b-7"},"metric":"t","time":"2023-11-14T22:13:20Z","value":21.50,"unit":"°C","n":7,"site":"x"}"#;
    assert_eq!(
        decode(&mut one, line),
        [Ok(format!(
            r#"{{"series":"b-7.t","feed":"f","seq":7,"ts":{TIME},"recv_ts":{},"type":"decimal","value":"21.5","unit":"°C","quality":"good","tags":{{"site":"x"}}}}"#,
            RECEIVED.0
        ))]
    );
    for (from, to, reason) in [
        ("\"value\":21.50", "\"value\":null", "no value: expected value"),
        ("\"metric\":\"t\"", "\"x\":1", "value: no `metric` in the row"),
        ("\"n\":7", "\"n\":7.5", "n `7.5`: expected a whole number"),
        ("2023-11-14T22:13:20Z", "yesterday", "`yesterday` is not a time"),
        ("\"b-7\"", "\"a\\\"b\"", "quotation marks, backslashes and control characters are not supported"),
        ("{\"device\"", "[\"device\"", "expected a JSON object"),
    ] {
        let found = decode(&mut one, &line.replace(from, to));
        assert!(matches!(&found[..], [Err(found)] if found.contains(reason)), "{to}: {found:?}");
    }
    let mut all = decoder(LineFormat::Ndjson, |mapping| {
        mapping.series = "{device}.{field}".to_owned();
        mapping.values = vec![mapping::ALL.to_owned()];
    });
    assert_eq!(
        shown(&mut all, r#"{"device":"d","time":1700000000.5,"t":21,"on":true,"state":"ok","gone":null}"#),
        [
            "d.on 1700000000500000000 boolean true",
            "d.state 1700000000500000000 text ok",
            "d.t 1700000000500000000 integer 21"
        ]
    );
    // Names and texts with escapes, and a name that comes twice: the last one counts.
    assert_eq!(
        shown(&mut all, r#"{"device":"x","time":1700000000,"z":1,"\u0061":"\u00b0C","z":2,"device":"d"}"#),
        ["d.a 1700000000000000000 text °C", "d.z 1700000000000000000 integer 2"]
    );
    // Longer than a message of the topic.
    let long = format!(r#"{{"device":"d","time":1700000000,"t":"{}"}}"#, "x".repeat(900_000));
    let found = shown(&mut all, &long);
    assert!(
        found[0].starts_with("error: t: a reading of 900004 bytes, expected at most 900000"),
        "{}",
        found[0].len()
    );
}

#[test]
fn delimited_values_are_read_below_their_header() {
    let mut csv = decoder(LineFormat::Csv, |mapping| {
        mapping.series = "{sensor}.{field}".to_owned();
        mapping.values = vec!["t".to_owned(), "h".to_owned()];
        mapping.delimiter = ';';
        mapping.precision = Precision::Unit(1_000_000_000);
    });
    assert!(csv.expects_header());
    assert_eq!(
        csv.header("sensor;time;t").unwrap_err(),
        "the header has no column `h`; it has sensor, time, t"
    );
    assert!(csv.header("a;a").unwrap_err().contains("twice"));
    csv.header("\u{feff}sensor;time;t;h").unwrap();
    assert!(!csv.expects_header());
    for (line, expected) in [
        ("a;5;1.0;2", vec!["a.t 5000000000 decimal 1", "a.h 5000000000 integer 2"]),
        ("\"a;b\";5;;on", vec!["a;b.h 5000000000 text on"]),
        ("a;5;;", vec!["error: no value: expected t or h"]),
        ("a;5;1", vec!["error: expected 4 columns, found 3"]),
        ("\"a;5;1;2", vec!["error: column 1: a quotation mark is not closed"]),
        ("\"a\"x;5;1;2", vec!["error: expected `;` behind the quotation mark of column 1"]),
    ] {
        assert_eq!(shown(&mut csv, line), expected, "{line}");
    }
    assert_eq!(delimited::split("\"say \"\"x\"\"\",", ',').unwrap(), ["say \"x\"", ""]);
}

#[test]
fn a_bare_value_is_of_its_topic() {
    let mut bare = decoder(LineFormat::Bare, |mapping| {
        mapping.series = "{topic}".to_owned();
        mapping.time = mapping::RECEIPT.to_owned();
    });
    let topic = Field { name: "topic".into(), text: "site/boiler/t".into(), class: Some(ValueType::Text) };
    let mut found = Vec::new();
    bare.line_with(&[topic], " 21.5\n", RECEIVED, &mut |reading| {
        found.push(reading.map(|reading| (reading.series.to_owned(), reading.value.text.to_owned())));
    });
    assert_eq!(found, [Ok(("site/boiler/t".to_owned(), "21.5".to_owned()))]);
}

#[test]
fn a_mapping_that_cannot_work_is_refused() {
    for (format, change, part) in [
        (
            LineFormat::Csv,
            Box::new(|_: &mut Mapping| {}) as Box<dyn Fn(&mut Mapping)>,
            "series: expected a template",
        ),
        (LineFormat::Csv, Box::new(|m| m.series = "{a".to_owned()), "a brace is not closed"),
        (
            LineFormat::Ndjson,
            Box::new(|m| {
                m.series = "{a}".to_owned();
                m.values = vec![mapping::ALL.to_owned()];
            }),
            "expected {field} in the template",
        ),
        (LineFormat::Influx, Box::new(|m| m.series = "{measurement}".to_owned()), "expected {field}"),
        (LineFormat::Bare, Box::new(|m| m.series = "x".to_owned()), "time=receipt"),
        (LineFormat::Influx, Box::new(|m| m.feed = "\"".to_owned()), "feed: expected a name"),
    ] {
        let mut mapping = Mapping::new(format, "f");
        change(&mut mapping);
        let error = LineDecoder::new(format, mapping).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
}

fn fuzzed() -> Vec<LineDecoder> {
    let mut csv = decoder(LineFormat::Csv, |mapping| {
        mapping.series = "{a}.{field}".to_owned();
        mapping.values = vec![mapping::ALL.to_owned()];
    });
    csv.header("a,time,b,c").unwrap();
    vec![
        decoder(LineFormat::Influx, |_| {}),
        decoder(LineFormat::Ndjson, |mapping| {
            mapping.series = "{a}.{field}".to_owned();
            mapping.values = vec![mapping::ALL.to_owned()];
        }),
        csv,
        decoder(LineFormat::Bare, |mapping| {
            mapping.series = "s".to_owned();
            mapping.time = mapping::RECEIPT.to_owned();
        }),
    ]
}

const SEEDS: [&str; 4] = [
    r#"weather,site=b,room=a temperature=21.50,state="on, \"20\"",n=-3i,up=t 1700000000000000000"#,
    r#"{"a":"d","time":1700000000.5,"t":21.5,"on":true,"state":"ok","x":{"y":null,"z":[1]}}"#,
    r#"d,2023-11-14T22:13:20Z,"a ""b""",1e300"#,
    "-1.5e-7",
];

proptest! {
    /// Whatever is decoded is canonical, and nothing panics.
    #[test]
    fn any_line_is_readings_or_reasons(seed in 0..SEEDS.len(), at in 0_usize..100, with in ".{0,3}", cut in 0_usize..4) {
        let mut chars: Vec<char> = SEEDS[seed].chars().collect();
        let at = at.min(chars.len());
        let end = (at + cut).min(chars.len());
        chars.splice(at..end, with.chars());
        let line: String = chars.into_iter().collect();
        for mut decoder in fuzzed() {
            decode(&mut decoder, &line);
        }
    }

    #[test]
    fn any_text_is_readings_or_reasons(line in ".*") {
        for mut decoder in fuzzed() {
            decode(&mut decoder, &line);
        }
    }
}
