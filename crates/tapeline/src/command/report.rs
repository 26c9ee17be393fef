//! What a run did, as JSON: `--format json` of the verbs that move records.

use ports::telemetry::Telemetry;
use serde_json::{Value, json};
use std::time::Duration;

/// The records that were published and stored, and what was not.
pub(crate) fn flow(telemetry: &Telemetry, time: Duration) -> Value {
    let get = |counter| telemetry.get(counter);
    let symbols: Vec<Value> = telemetry
        .by_symbol()
        .into_iter()
        .map(|((symbol, kind), (published, stored))| {
            json!({ "symbol": symbol, "kind": kind, "published": published, "stored": stored })
        })
        .collect();
    let (bars, bars_stored) = (get(&telemetry.vendor_bars), get(&telemetry.vendor_bars_stored));
    json!({
        "published": get(&telemetry.published),
        "stored": get(&telemetry.stored),
        "symbols": symbols,
        "vendor_bars": { "published": bars, "stored": bars_stored },
        "dead_letters": get(&telemetry.dead),
        "lost": telemetry.lost_lines(),
        "seconds": seconds(time),
    })
}

/// The bars that were built.
pub(crate) fn bars(telemetry: &Telemetry) -> Value {
    let get = |counter| telemetry.get(counter);
    json!({
        "records": get(&telemetry.aggregated),
        "emitted": get(&telemetry.bars),
        "late": get(&telemetry.late),
        "duplicates": get(&telemetry.duplicates),
        "unreadable": get(&telemetry.unreadable),
    })
}

/// To milliseconds.
pub(crate) fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e3).round() / 1e3
}
