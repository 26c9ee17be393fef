//! Fuzz targets of all decoders, and of query parameters; libFuzzer mutates valid input (`seeds/`). `TAPELINE_FUZZ` selects the
//! decoder.
//!
//! Nothing may panic, and decoded records must survive encoding in canonical form and decoding again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use market::adjust::Adjust;
use market::alert::{QuietHours, TimeSpan};
use market::bar::Bar;
use market::codec::feed::{Decode, FeedMessage};
use market::codec::lean::RowReader;
use market::codec::lean_bars::BarReader;
use market::codec::lines::mapping::{self, Mapping};
use market::codec::lines::{LineDecoder, LineFormat};
use market::codec::poll::{self, PendingRequest};
use market::codec::sparkplug::payload::Payload;
use market::codec::sparkplug::{MetricContext, MetricReader, MetricTopic, SERIES};
use market::codec::{alpaca, avro, bar, binance, coinbase, finnhub, json, kraken, massive};
use market::interval::Interval;
use market::policy::Policy;
use market::time::SessionDay;
use market::{Kind, Price, Record, UnixNanos};
use std::sync::LazyLock;

/// Query parameters of other programs' APIs. The server itself would bring its dependencies, built with coverage counters.
#[path = "../../crates/server/src/compat/intervals.rs"]
mod intervals;

static TARGET: LazyLock<String> = LazyLock::new(|| std::env::var("TAPELINE_FUZZ").unwrap_or_default());

fuzz_target!(|data: &[u8]| {
    match TARGET.as_str() {
        "alpaca" => feed(&mut alpaca::AlpacaDecoder::new("f"), data),
        "massive" => feed(&mut massive::MassiveDecoder::new("f"), data),
        "finnhub" => feed(&mut finnhub::FinnhubDecoder::new("f"), data),
        "coinbase" => feed(&mut coinbase::CoinbaseDecoder::new("f"), data),
        "kraken" => feed(&mut kraken::KrakenDecoder::new("f"), data),
        "binance" => feed(&mut binance::BinanceDecoder::new("f"), data),
        "json" => canonical(data),
        "avro" => binary(data),
        "lean" => tick(data),
        "bars" => bars(data),
        "poll" => polled(data),
        "lines" => lines(data),
        "sparkplug" => sparkplug(data),
        "parameters" => parameters(data),
        other => panic!("TAPELINE_FUZZ={other}: unknown decoder"),
    }
});

/// A kept record can be encoded and decoded again.
fn kept(record: &Record<&str>) {
    let mut text = Vec::new();
    json::encode(record, &mut text);
    assert_eq!(
        json::decode(record.kind(), &text).as_ref(),
        Some(record),
        "{}",
        String::from_utf8_lossy(&text)
    );
}

/// Lines of a stream: covers the state that a decoder keeps between frames. A line that starts with `<` is
/// from history.
fn feed(decoder: &mut dyn Decode, data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for line in text.lines() {
        match line.strip_prefix('<') {
            Some(past) => {
                for kind in Kind::ALL {
                    decoder.past(kind, "A", past, UnixNanos(7), &mut take);
                }
            }
            None => {
                let _ = decoder.frame(line, UnixNanos(7), &mut take);
            }
        }
    }
}

fn take(outcome: Result<FeedMessage<'_>, String>, _: &str) {
    match outcome {
        Ok(FeedMessage::Record(record)) => kept(&record),
        Ok(FeedMessage::Bar(given)) => given.bar("f").iter().for_each(whole),
        _ => {}
    }
}

/// Messages of the topic: the fast and the tolerant decoder yield the same record, and it can be stored.
fn canonical(data: &[u8]) {
    for kind in Kind::ALL {
        let (fast, mut text) = (json::decode(kind, data), Vec::new());
        let tolerant = json::normalize(kind, data, &mut text).is_ok();
        if let Some(record) = &fast {
            kept(record);
            assert!(tolerant, "the fast way reads more than the tolerant one");
        }
        if tolerant {
            let normal = json::decode(kind, &text);
            assert!(normal.is_some(), "{}", String::from_utf8_lossy(&text));
            assert!(fast.is_none() || fast == normal, "{}", String::from_utf8_lossy(&text));
        }
    }
}

/// Avro by the schema in the first line, or without one by ours: what is read is the same when it is written by ours.
fn binary(data: &[u8]) {
    let at = data.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let given = serde_json::from_slice(&data[..at]).ok();
    for kind in Kind::ALL {
        let ours = avro::schema(kind);
        let (schema, body) = given.as_ref().map_or((&ours, data), |schema| (schema, &data[at + 1..]));
        let Ok(writer) = avro::WriterSchema::of(kind, schema) else { continue };
        let mut text = Vec::new();
        if writer.decode(body, &mut text).is_err() {
            assert!(text.is_empty());
            continue;
        }
        let record = json::decode(kind, &text);
        assert!(record.is_some(), "{}", String::from_utf8_lossy(&text));
        let Some(record) = record else { continue };
        kept(&record);
        let (mut bytes, mut again) = (Vec::new(), Vec::new());
        avro::encode(&record, &mut bytes);
        let read = avro::WriterSchema::of(kind, &ours).and_then(|writer| writer.decode(&bytes, &mut again));
        assert!(read.is_ok() && again == text, "{}", String::from_utf8_lossy(&text));
    }
}

/// Lines that hold readings, in each format.
fn lines(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for format in [LineFormat::Influx, LineFormat::Ndjson, LineFormat::Csv, LineFormat::Bare] {
        let mut mapping = Mapping::new(format, "f");
        if format != LineFormat::Influx {
            mapping.series = "{device}.{field}".to_owned();
            mapping.values = vec![mapping::ALL.to_owned()];
        }
        if format == LineFormat::Bare {
            mapping.series = "s".to_owned();
            mapping.time = mapping::RECEIPT.to_owned();
        }
        let Ok(mut decoder) = LineDecoder::new(format, mapping) else { return };
        for line in text.lines() {
            if decoder.expects_header() {
                let _ = decoder.header(line);
                continue;
            }
            decoder.line(line, UnixNanos(7), &mut |reading| {
                if let Ok(reading) = reading {
                    kept(&Record::Reading(reading));
                }
            });
        }
    }
}

/// Payloads of Sparkplug B.
fn sparkplug(data: &[u8]) {
    let (Ok(payload), Ok(topic)) = (Payload::parse(data), MetricTopic::parse("spBv1.0/g/DDATA/n/d")) else {
        return;
    };
    let Ok(reader) = MetricReader::new("f", SERIES) else { return };
    for metric in &payload.metrics {
        let name = metric.name.unwrap_or("m");
        let context = MetricContext {
            topic,
            name,
            datatype: None,
            unit: "",
            sent: payload.timestamp,
            recv_ts: UnixNanos(7),
        };
        reader.readings(metric, &context, &mut |reading| {
            if let Ok(reading) = reading {
                kept(&Record::Reading(reading));
            }
        });
    }
}

/// Rows of the tape.
fn tick(data: &[u8]) {
    for kind in Kind::ALL {
        let Ok(day) = SessionDay::new(20_131_008, "America/New_York") else { return };
        let mut reader = RowReader::new(kind, "A", "f", day);
        for (number, row) in data.split(|byte| *byte == b'\n').enumerate() {
            if let Ok(record) = reader.read(row, number as u64 + 1, UnixNanos(7)) {
                kept(&record);
            }
        }
    }
}

/// Bars: messages of the bars topic, and a vendor's rows.
fn bars(data: &[u8]) {
    if let Ok(read) = bar::from_json(data) {
        whole(&read);
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(interval) = "1m".parse::<Interval>() else { return };
    for kind in Kind::ALL {
        for session in [None, SessionDay::new(20_131_008, "America/New_York").ok()] {
            let reader = BarReader {
                kind,
                symbol: "A".to_owned(),
                feed: "f".to_owned(),
                interval,
                zone: "America/New_York".to_owned(),
                session,
            };
            text.lines().filter_map(|row| reader.read(row).ok()).for_each(|read| whole(&read));
        }
    }
}

/// Replies of polled vendors.
fn polled(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    use poll::PollVendor::{Alpaca, AlphaVantage, Massive, TwelveData, Yahoo};
    for vendor in [Alpaca, Massive, AlphaVantage, TwelveData, Yahoo] {
        for interval in [Interval::M1, Interval::D1] {
            let request = PendingRequest { symbol: "A", feed: "f", interval, settled: UnixNanos(0) };
            if let Ok(reply) = poll::read(vendor, text, &request) {
                reply.bars.iter().for_each(whole);
            }
        }
    }
}

/// A bar can be encoded and decoded again.
fn whole(bar: &Bar) {
    let text = serde_json::Value::Object(bar::to_json(bar)).to_string();
    assert_eq!(bar::from_json(text.as_bytes()).as_ref(), Ok(bar), "{text}");
}

/// Values of query parameters and options, one a line: what is accepted is the same when it is written and read again.
fn parameters(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for line in text.lines() {
        if let Ok(time) = UnixNanos::parse(line) {
            assert_eq!(UnixNanos::parse(&time.to_string()).ok(), Some(time), "{line}");
        }
        if let Ok(interval) = line.parse::<Interval>() {
            assert_eq!(interval.to_string().parse(), Ok(interval), "{line}");
        }
        if let Ok(interval) = intervals::of_resolution(line) {
            assert_eq!(intervals::of_resolution(&intervals::resolution(&interval)), Ok(interval), "{line}");
        }
        let _ = intervals::of_timeframe(line);
        if let Ok(span) = line.parse::<TimeSpan>() {
            assert_eq!(span.to_string().parse(), Ok(span), "{line}");
        }
        let _ = line.parse::<Adjust>();
        let _ = Price::parse(line.as_bytes());
        let _ = line.parse::<QuietHours>();
        let _ = Policy::named(line);
    }
}
