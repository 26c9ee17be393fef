use super::payload::Payload;
use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Messages that another program encoded: name, topic and payload.
const GOLDEN: &str = include_str!("../../../tests/golden/sparkplug.txt");

fn golden() -> BTreeMap<&'static str, (&'static str, Vec<u8>)> {
    GOLDEN
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let byte = |at: usize| u8::from_str_radix(&words[2][at..at + 2], 16).unwrap();
            (words[0], (words[1], (0..words[2].len()).step_by(2).map(byte).collect()))
        })
        .collect()
}

/// The readings of a message whose metrics have names, or why there is none.
fn readings(topic: &str, bytes: &[u8]) -> Vec<String> {
    let reader = MetricReader::new("plant", SERIES).unwrap();
    let payload = match Payload::parse(bytes) {
        Ok(payload) => payload,
        Err(error) => return vec![error.to_string()],
    };
    let (topic, mut out) = (MetricTopic::parse(topic).unwrap(), Vec::new());
    for metric in &payload.metrics {
        let context = MetricContext {
            topic,
            name: metric.name.unwrap_or("?"),
            datatype: None,
            unit: "",
            sent: payload.timestamp,
            recv_ts: UnixNanos(7),
        };
        reader.readings(metric, &context, &mut |reading| {
            out.push(reading.map_or_else(
                |reason| format!("refused: {reason}"),
                |reading| {
                    // Whatever is emitted survives the topic.
                    let (record, mut json) = (Record::Reading(reading), Vec::new());
                    crate::codec::json::encode(&record, &mut json);
                    assert_eq!(crate::codec::json::decode(record.kind(), &json), Some(record));
                    let Reading { series, value, unit, quality, ts, .. } = reading;
                    let text = format!("{series} {}={}", value.class.name(), value.text);
                    format!("{text} {unit} {quality} {}", ts.0 / 1_000_000 - 1_767_571_200_000)
                },
            ));
        });
    }
    out
}

#[test]
fn values_of_all_types_are_read_as_another_program_wrote_them() {
    let all = golden();
    let (topic, bytes) = &all["types"];
    let expected = [
        "i8 integer=-5",
        "i16 integer=-300",
        "i32 integer=-70000",
        "i64 integer=-5000000000",
        "u8 integer=200",
        "u16 integer=60000",
        "u32 integer=4000000000",
        "u64 integer=18446744073709551615",
        "float float=0.1",
        "double float=0.1",
        "bool boolean=true",
        "string text=Öl",
        "time integer=1767571200000",
        "text text=",
        "uuid text=c0ffee",
        "bytes text=00ff",
        "file text=6162",
        "i8s text=[-1,2]",
        "i64s text=[-1,1099511627776]",
        "u16s text=[1,65535]",
        "floats text=[0.5,0.1]",
        "doubles text=[0.1]",
        "bools text=[false,false,true,true,false,true,false,false,true,true,false,true]",
        "strings text=[a,b c]",
        "times text=[1767571200000]",
        "null text=",
    ];
    let expected: Vec<String> = expected
        .iter()
        .map(|text| {
            let quality = if text.starts_with("null") { "null" } else { "" };
            format!("plant/types//{text}  {quality} 1")
        })
        .collect();
    assert_eq!(readings(topic, bytes), expected);
}

#[test]
fn templates_are_read_member_by_member_and_what_is_no_value_is_refused() {
    let all = golden();
    let (topic, bytes) = &all["other"];
    assert_eq!(
        readings(topic, bytes),
        [
            "plant/types//motor/rpm integer=1450   2",
            "plant/types//motor/amps float=3.2   1",
            "refused: table: data type DataSet: not a single value",
            "plant/types//oil float=80.5 °C 192 2",
            "refused: quote: value `say \"x\"` is not of type text: quotation marks, backslashes and control characters are not supported",
            "refused: nan: value `NaN` is not of type float: expected a finite 64-bit float",
            "refused: nothing: no value, and is_null is not set",
        ]
    );
}

#[test]
fn how_a_value_was_delivered_is_no_part_of_its_identity() {
    let reader = MetricReader::new("plant", "{node}.{metric}").unwrap();
    let context = MetricContext {
        topic: MetricTopic::parse("spBv1.0/g/NDATA/n").unwrap(),
        name: "m",
        datatype: Some(12),
        unit: "",
        sent: Some(1_767_571_200_000),
        recv_ts: UnixNanos(7),
    };
    let read = |metric: Metric<'_>| {
        let mut out = Vec::new();
        reader.readings(&metric, &context, &mut |reading| {
            out.push(reading.map(|reading| (reading.seq, reading.quality.to_owned())).unwrap());
        });
        out.pop().unwrap()
    };
    let live = Metric { value: Some(RawValue::Text("")), quality: Some(192), ..Metric::default() };
    let (seq, quality) = read(live.clone());
    assert_eq!(quality, "192");
    let again = Metric { is_historical: true, is_transient: true, ..live.clone() };
    assert_eq!(read(again), (seq, "192 historical transient".to_owned()));
    // An empty text is another value than none.
    let null = read(Metric { is_null: true, value: None, ..live });
    assert!(null.0 != seq && null.1 == "192 null", "{null:?}");
}

#[test]
fn topics_and_templates_are_checked() {
    let topic = MetricTopic::parse("spBv1.0/g/DBIRTH/n/d").unwrap();
    assert_eq!((topic.group, topic.node, topic.device), ("g", "n", "d"));
    for topic in ["spBv1.0/g/NCMD/n", "spBv1.0/g/DCMD/n/d", "spBv1.0/STATE/scada"] {
        assert_eq!(MetricTopic::parse(topic).unwrap().message, MessageType::FromHost, "{topic}");
    }
    for (topic, part) in [
        ("spAv1.0/g/NDATA/n", "expected spBv1.0/GROUP/TYPE/NODE[/DEVICE]"),
        ("spBv1.0/g/NDATA/n/d/e", "expected spBv1.0/GROUP/TYPE/NODE[/DEVICE]"),
        ("spBv1.0/g/NDATA/n/d", "expected NBIRTH, NDEATH, NDATA or NCMD of a node"),
        ("spBv1.0/g/DDATA/n", "DDATA or DCMD of a device"),
        ("spBv1.0//NDATA/n", "a level is empty"),
        ("spBv1.0/g/DDATA/n/", "a level is empty"),
    ] {
        let error = MetricTopic::parse(topic).unwrap_err();
        assert!(error.contains(part), "{topic}: {error}");
    }
    for (series, part) in [
        ("{node}", "expected {metric}"),
        ("{metric}{tag}", "unknown {tag}; known are group, node, device, metric"),
        ("{metric", "a brace is not closed"),
    ] {
        let error = MetricReader::new("f", series).unwrap_err();
        assert!(error.contains(part), "{series}: {error}");
    }
}

#[test]
fn a_request_for_a_rebirth_is_as_another_program_writes_it() {
    let (topic, bytes) = &golden()["rebirth"];
    let (ours, payload) = rebirth_request("plant", "line", UnixNanos(1_767_571_200_000_000_000));
    assert_eq!((ours.as_str(), &payload), (*topic, bytes));
}

#[test]
fn broken_messages_are_refused_with_their_place() {
    for (bytes, part) in [
        (&[0x08][..], "byte 1: value: the message ends within a number"),
        (&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2], "at most 64 bits"),
        (&[0x00, 1], "byte 0: field number 0"),
        (&[0x0b], "byte 0: wire type 3"),
        (&[0x12, 5, 0], "byte 0: a field of 5 bytes, but only 1 are left"),
        (&[0x0a, 0], "byte 0: field 1: expected a whole number"),
        (&[0x12, 3, 0x0a, 1, 0xff], "byte 2: field 1: not UTF-8"),
        (&[0x12, 2, 0x28, 2], "byte 2: field 5: 2: expected 0 or 1"),
        (&[0x12, 7, 0x20, 0xff, 0xff, 0xff, 0xff, 0x7f, 0], "at most 32 bits"),
        (&[0x12, 5, 0x4a, 3, 0x0a, 1, 0x61], "byte 2: field 9: 1 names of properties, but 0 values"),
    ] {
        let error = Payload::parse(bytes).unwrap_err().to_string();
        assert!(error.contains(part), "{bytes:?}: {error}");
    }
    let mut nested = vec![0x0a, 1, b'x'];
    for _ in 0..9 {
        let template = [&[0x12, nested.len() as u8][..], &nested].concat();
        nested = [&[0x92, 1, template.len() as u8][..], &template].concat();
    }
    let bytes = [&[0x12, nested.len() as u8][..], &nested].concat();
    let error = Payload::parse(&bytes).unwrap_err().to_string();
    assert!(error.contains("at most 8 templates within each other"), "{error}");
    let many = [0x12_u8, 0].repeat((1 << 16) + 1);
    assert!(Payload::parse(&many).unwrap_err().to_string().contains("at most 65536 metrics"));
    assert_eq!(Payload::parse(&[]), Ok(Payload::default()));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        readings("spBv1.0/g/NDATA/n", &bytes);
    }

    #[test]
    fn changed_messages_are_read_or_refused(which in 0_usize..20, at in any::<usize>(), to in any::<u8>(), cut in any::<bool>()) {
        let all = golden();
        let (_, mut bytes) = all.values().nth(which).unwrap().clone();
        let at = at % bytes.len();
        bytes[at] = to;
        if cut {
            bytes.truncate(at);
        }
        readings("spBv1.0/g/NDATA/n", &bytes);
    }
}
