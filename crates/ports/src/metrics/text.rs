//! All metrics in Prometheus's text format.

use super::{LATENCY_S, METRICS, Metrics};
use crate::telemetry::Telemetry;
use crate::{Error, Result};
use prometheus::proto::{self, MetricFamily, MetricType};
use prometheus::{Encoder, IntCounter, TextEncoder};

/// The content type of [`text`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const LATENCY_NAME: &str = "tapeline_end_to_end_latency_seconds";

const LATENCY_HELP: &str = "From the receipt of a record to the store's acknowledgement, in seconds.";

/// Brings a counter up to a total that only grows.
fn raise(counter: &IntCounter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}

/// All metrics in Prometheus's text format, with the counts of `telemetry` as they are now.
///
/// # Errors
/// They cannot be encoded: a fault of ours.
pub fn text(telemetry: &Telemetry) -> Result<String> {
    let metrics = &*METRICS;
    raise(&metrics.read, telemetry.get(&telemetry.read));
    raise(&metrics.aggregated, telemetry.get(&telemetry.aggregated));
    for kind in market::Kind::ALL {
        let (produced, stored) = telemetry.of_kind(kind);
        raise(&metrics.produced.with_label_values(&[kind.name()]), produced);
        raise(&metrics.stored.with_label_values(&[kind.name()]), stored);
    }
    raise(&metrics.produced.with_label_values(&["bar"]), telemetry.get(&telemetry.vendor_bars));
    raise(&metrics.stored.with_label_values(&["bar"]), telemetry.get(&telemetry.vendor_bars_stored));
    process(metrics);
    let mut families = metrics.registry.gather();
    families.push(latency(telemetry));
    families.extend(cpu());
    let mut text = Vec::new();
    let fail = |error: &dyn std::fmt::Display| Error::internal(format!("encode metrics: {error}"));
    TextEncoder::new().encode(&families, &mut text).map_err(|error| fail(&error))?;
    String::from_utf8(text).map_err(|error| fail(&error))
}

/// The latency that [`Telemetry`] keeps, as a histogram: exact to its two digits.
fn latency(telemetry: &Telemetry) -> MetricFamily {
    let latency = telemetry.latency();
    let buckets = LATENCY_S.iter().map(|bound| {
        let mut bucket = proto::Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(latency.at_most((bound * 1e6) as u64));
        bucket
    });
    let mut histogram = proto::Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(latency.count());
    histogram.set_sample_sum(latency.sum_us() as f64 / 1e6);
    let mut metric = proto::Metric::default();
    metric.set_histogram(histogram);
    family(LATENCY_NAME, LATENCY_HELP, MetricType::HISTOGRAM, metric)
}

fn family(name: &str, help: &str, kind: MetricType, metric: proto::Metric) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(vec![metric]);
    family
}

/// Processor time from `/proc`; absent where there is none.
fn cpu() -> Option<MetricFamily> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // After the program's name, which may hold spaces: utime and stime are fields 14 and 15, in ticks of 10 ms.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    let mut counter = proto::Counter::default();
    counter.set_value(ticks as f64 / 100.0);
    let mut metric = proto::Metric::default();
    metric.set_counter(counter);
    let help = "User and system processor time in seconds.";
    Some(family("process_cpu_seconds_total", help, MetricType::COUNTER, metric))
}

/// Memory and files from `/proc`; left as they are where there is none.
fn process(metrics: &Metrics) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = resident.and_then(|text| text.trim().trim_end_matches(" kB").parse::<i64>().ok());
    if let Some(kib) = kib {
        metrics.memory.set(kib * 1_024);
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        // Reading the folder is one of them.
        metrics.files.set(i64::try_from(files.count()).unwrap_or(1) - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Port;
    use crate::telemetry::{KindCounts, Latency};

    fn value(text: &str, series: &str) -> f64 {
        let line =
            text.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
        line.unwrap_or_else(|| panic!("{series}: {text}")).rsplit_once(' ').unwrap().1.parse().unwrap()
    }

    #[test]
    fn counts_of_the_run_loops_are_metrics() {
        let telemetry = Telemetry::default();
        let counts = [("SPY", 0, 5), ("IBM", 0, 2), ("SPY", 1, 1)].map(|(symbol, kind, n)| {
            let mut counts = KindCounts::default();
            counts[kind] = n;
            (symbol.to_owned(), counts)
        });
        let mut latency = Latency::default();
        for micros in [400, 900, 40_000, 400_000_000] {
            latency.record(micros);
        }
        telemetry.stored_by(counts.into_iter(), &latency);
        telemetry.add(&telemetry.read, 9);
        METRICS.set_port(Port::Store, true);
        METRICS.batch_submitted(200);
        METRICS.batch_done(std::time::Duration::from_millis(30));
        let text = text(&telemetry).unwrap();
        assert_eq!(value(&text, "tapeline_records_stored_total{kind=\"trade\"}"), 7.0);
        assert_eq!(value(&text, "tapeline_records_stored_total{kind=\"quote\"}"), 1.0);
        assert_eq!(value(&text, "tapeline_records_produced_total{kind=\"bar\"}"), 0.0);
        assert_eq!(value(&text, "tapeline_records_read_total"), 9.0);
        assert_eq!(value(&text, "tapeline_port_up{port=\"store\"}"), 1.0);
        assert_eq!(value(&text, "tapeline_batch_rows_bucket{le=\"384\"}"), 1.0);
        assert_eq!(value(&text, "tapeline_store_write_seconds_bucket{le=\"0.025\"}"), 0.0);
        assert_eq!(value(&text, "tapeline_dead_letters_total{stage=\"consume\"}"), 0.0);
        // Cumulative, up to a bucket without bound that holds everything.
        for (bound, count) in [("0.001", 2.0), ("0.05", 3.0), ("300", 3.0), ("+Inf", 4.0)] {
            assert_eq!(value(&text, &format!("{LATENCY_NAME}_bucket{{le=\"{bound}\"}}")), count, "{bound}");
        }
        let sum = value(&text, &format!("{LATENCY_NAME}_sum"));
        assert!((sum / 400.0413 - 1.0).abs() < 0.02, "{sum}");
        assert!(value(&text, "process_start_time_seconds") > 1e9);
        // Scraped again, a counter does not move by itself.
        assert_eq!(value(&super::text(&telemetry).unwrap(), "tapeline_records_read_total"), 9.0);
        // Each family has its help and type, once.
        let names: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        let distinct: std::collections::BTreeSet<&&str> = names.iter().collect();
        assert!(names.len() == distinct.len() && names.len() > 15, "{names:?}");
        assert_eq!(text.matches("# HELP ").count(), names.len());
    }
}
