//! Dead letters as table rows, as text and as JSON.

use crate::output::{printable, thousands};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use market::UnixNanos;
use ports::dead_letter::log::Entry;
use serde_json::{Map, Value, json};

/// Columns of a dead letter in a table.
pub(super) const HEADER: [&str; 8] =
    ["number", "time (UTC)", "state", "stage", "kind", "key", "origin", "reason"];
/// Maximum length of a cell from data, in characters.
const CELL: usize = 48;
const REASON: usize = 120;
/// Characters of a message that `show` prints; `--raw` writes all of it.
const PAYLOAD: usize = 4_000;

fn time(ms: i64) -> String {
    UnixNanos(ms.saturating_mul(market::time::MILLI)).to_string()
}

pub(super) fn cells(entry: &Entry) -> Vec<String> {
    vec![
        entry.number.to_string(),
        time(entry.time_ms),
        entry.state.name().to_owned(),
        printable(&entry.stage, CELL),
        printable(&entry.kind, CELL),
        printable(&entry.key, CELL),
        printable(&entry.origin, REASON),
        printable(&entry.reason, REASON),
    ]
}

/// A dead letter without its message.
pub(super) fn json(entry: &Entry) -> Map<String, Value> {
    let headers =
        entry.headers.iter().map(|(name, value)| (name.clone(), String::from_utf8_lossy(value).into()));
    let cut = entry
        .cut
        .as_ref()
        .map(|cut| json!({ "length": cut.length, "xxh3_128": format!("{:032x}", cut.xxh3_128) }));
    let object = json!({
        "number": entry.number,
        "state": entry.state,
        "settled": entry.settled_ms.map(time),
        "time": time(entry.time_ms),
        "copies": entry.copies,
        "stage": entry.stage,
        "origin": entry.origin,
        "reason": entry.reason,
        "key": entry.key,
        "kind": entry.kind,
        "headers": headers.collect::<Map<_, _>>(),
        "timestamp": entry.stamp_ms.map(time),
        "bytes": entry.bytes,
        "cut": cut,
        "redriven_from": entry.redriven_from(),
    });
    match object {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// A dead letter with its message: as text where it is UTF-8, in base64 where not.
pub(super) fn json_with_payload(entry: &Entry, payload: &[u8]) -> Value {
    let mut object = json(entry);
    match std::str::from_utf8(payload) {
        Ok(text) => object.insert("payload".to_owned(), text.into()),
        Err(_) => object.insert("payload_base64".to_owned(), STANDARD.encode(payload).into()),
    };
    Value::Object(object)
}

/// A dead letter for people.
pub(super) fn detail(entry: &Entry, payload: &[u8]) -> String {
    let mut lines = vec![
        ("number", entry.number.to_string()),
        ("state", entry.state.name().to_owned()),
        ("written", time(entry.time_ms)),
        ("stage", printable(&entry.stage, CELL)),
        ("origin", printable(&entry.origin, PAYLOAD)),
        ("reason", printable(&entry.reason, PAYLOAD)),
        ("key", printable(&entry.key, PAYLOAD)),
        ("kind", printable(&entry.kind, CELL)),
    ];
    if let Some(settled) = entry.settled_ms {
        lines.push((entry.state.name(), time(settled)));
    }
    if let Some(stamp) = entry.stamp_ms {
        lines.push(("timestamp", time(stamp)));
    }
    if entry.copies > 1 {
        lines.push(("copies", entry.copies.to_string()));
    }
    for (name, value) in &entry.headers {
        let value = format!("{name}={}", String::from_utf8_lossy(value));
        lines.push(("header", printable(&value, PAYLOAD)));
    }
    let size = match &entry.cut {
        Some(cut) => {
            format!("the first {} of {} bytes", thousands(entry.bytes as u64), thousands(cut.length))
        }
        None => format!("{} bytes", thousands(entry.bytes as u64)),
    };
    lines.push(("message", size));
    let mut out: String = lines.iter().map(|(name, value)| format!("{name:<10} {value}\n")).collect();
    out.push_str(&printable(&String::from_utf8_lossy(payload), PAYLOAD));
    out.push('\n');
    out
}
