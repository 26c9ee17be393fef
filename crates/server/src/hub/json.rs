//! Records and bars in the API's form: times as RFC 3339, decimals as strings, absent values omitted.

use market::{Kind, Record, UnixNanos};
use serde_json::{Map, Value};

/// Column order of a record in CSV; JSON objects hold the same names.
pub(crate) fn columns(kind: Kind) -> &'static [&'static str] {
    kind.table().shown
}

/// A record, from its canonical JSON.
pub(crate) fn record(record: &Record<&str>, scratch: &mut Vec<u8>) -> Map<String, Value> {
    scratch.clear();
    market::codec::json::encode(record, scratch);
    let mut map: Map<String, Value> = serde_json::from_slice(scratch).unwrap_or_default();
    for (name, time) in [("ts", record.ts()), ("recv_ts", record.recv_ts())] {
        map.insert(name.to_owned(), Value::String(time.to_string()));
    }
    if let Record::Trade(trade) = record {
        map.insert("revision".to_owned(), trade.revision.into());
        map.insert("canceled".to_owned(), trade.canceled.into());
    }
    map
}

/// The fields that distinguish records of one time, in a fixed order.
pub(crate) fn identity(record: &Record<&str>) -> String {
    match record {
        Record::Trade(trade) => format!("{}|{}|{}", trade.feed, trade.venue, trade.id),
        Record::Quote(quote) => format!("{}|{:020}", quote.feed, quote.seq),
        Record::Reading(reading) => format!("{}|{:020}", reading.feed, reading.seq),
        Record::Described(record) => record.text.to_owned(),
    }
}

/// A time in a zone, with its offset.
pub(crate) fn local(time: UnixNanos, zone: &str) -> String {
    time.local("%Y-%m-%dT%H:%M:%S%.f%:z", zone)
}
