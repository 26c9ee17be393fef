//! Every metric of a process, for Prometheus. Names, labels and help texts stand here and nowhere else; what each means for
//! operation is in `deploy/monitoring/README.md`.
//!
//! Run loops count in [`Telemetry`], which a summary shows as well; [`text`] brings its counts into the metrics when they
//! are scraped. What has no place there (a port's state, a batch's size) is set here directly. Labels have few values: no
//! symbols.

mod forecasts;

pub use forecasts::{ForecastMetrics, TrainingOutcome};

use crate::telemetry::Telemetry;
use crate::{Error, Result, clock};
use prometheus::proto::{self, MetricFamily, MetricType};
use prometheus::{
    Encoder, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use std::sync::LazyLock;

/// The content type of [`text`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper bounds of latency buckets, seconds.
const LATENCY_S: [f64; 16] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
/// Upper bounds of batch buckets, rows.
const ROWS: [f64; 8] = [1.0, 10.0, 100.0, 384.0, 1_000.0, 3_000.0, 8_192.0, 32_768.0];

const LATENCY_NAME: &str = "tapeline_end_to_end_latency_seconds";
const LATENCY_HELP: &str = "From the receipt of a record to the store's acknowledgement, in seconds.";

/// The process's metrics.
pub static METRICS: LazyLock<Metrics> =
    LazyLock::new(|| Metrics::new().expect("names of metrics are constants"));

/// Values of the label `status`.
const STATUS_CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
const LAGGED: &str = "lagged";
const DISCONNECTED: &str = "disconnected";

/// One of what a gauge counts, for as long as this lives.
#[derive(Debug)]
pub struct Counted(IntGauge);

impl Counted {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A port whose state and retries are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// Where records come from.
    Source,
    /// What they are streamed through.
    Topic,
    /// Where they are kept.
    Store,
    /// Where the topic is archived.
    Archive,
}

impl Port {
    /// The label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Topic => "topic",
            Self::Store => "store",
            Self::Archive => "archive",
        }
    }
}

/// All metrics but those that [`text`] makes of [`Telemetry`].
pub struct Metrics {
    /// Of `forecast run`.
    pub forecasts: ForecastMetrics,
    registry: Registry,
    build_info: IntGaugeVec,
    port_up: IntGaugeVec,
    feed_connected: IntGaugeVec,
    feed_reconnects: IntCounterVec,
    feed_last_record: IntGaugeVec,
    read: IntCounter,
    produced: IntCounterVec,
    stored: IntCounterVec,
    aggregated: IntCounter,
    bars_emitted: IntCounterVec,
    bars_restated: IntCounterVec,
    late: IntCounterVec,
    lag: IntGaugeVec,
    store_write: Histogram,
    batch_rows: Histogram,
    in_flight: IntGauge,
    retries: IntCounterVec,
    dead_letters: IntCounterVec,
    open_gaps: IntGaugeVec,
    lost_ranges: IntCounterVec,
    last_verify: IntGauge,
    verify_differences: IntGauge,
    alerts_sent: IntCounterVec,
    alerts_failed: IntCounterVec,
    http_requests: IntCounterVec,
    http_in_flight: IntGauge,
    http_streams: IntGauge,
    http_slow_clients: IntCounterVec,
    http_refused: IntCounter,
    started: IntGauge,
    memory: IntGauge,
    files: IntGauge,
}

/// Registers what it makes.
struct AggregationWorker(Registry);

impl AggregationWorker {
    fn kept<M: prometheus::core::Collector + Clone + 'static>(
        &self,
        made: prometheus::Result<M>,
    ) -> prometheus::Result<M> {
        let metric = made?;
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }
    fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.kept(IntCounter::new(name, help))
    }
    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
        self.kept(IntCounterVec::new(Opts::new(name, help), labels))
    }
    fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.kept(IntGauge::new(name, help))
    }
    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
        self.kept(IntGaugeVec::new(Opts::new(name, help), labels))
    }
    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> prometheus::Result<Histogram> {
        self.kept(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())))
    }
}

impl Metrics {
    fn new() -> prometheus::Result<Self> {
        let make = AggregationWorker(Registry::new());
        let metrics = Self {
            forecasts: ForecastMetrics::new(&make)?,
            build_info: make.gauges(
                "tapeline_build_info",
                "Version of the program; the value is always 1.",
                &["version"],
            )?,
            port_up: make.gauges(
                "tapeline_port_up",
                "Whether the last check of the port succeeded.",
                &["port"],
            )?,
            feed_connected: make.gauges(
                "tapeline_feed_connected",
                "Whether the live feed is connected.",
                &["feed"],
            )?,
            feed_reconnects: make.counters(
                "tapeline_feed_reconnects_total",
                "Reconnects of a live feed.",
                &["feed"],
            )?,
            feed_last_record: make.gauges(
                "tapeline_feed_last_record_timestamp_seconds",
                "Unix time at which the newest frame of a live feed was received.",
                &["feed"],
            )?,
            read: make.counter("tapeline_records_read_total", "Rows and events read from the source.")?,
            produced: make.counters(
                "tapeline_records_produced_total",
                "Records sent to the topic.",
                &["kind"],
            )?,
            stored: make.counters(
                "tapeline_records_stored_total",
                "Records the store has acknowledged.",
                &["kind"],
            )?,
            aggregated: make
                .counter("tapeline_records_aggregated_total", "Records that bars were made of.")?,
            bars_emitted: make.counters(
                "tapeline_bars_emitted_total",
                "Bars emitted, restatements included.",
                &["interval"],
            )?,
            bars_restated: make.counters(
                "tapeline_bars_restated_total",
                "Bars emitted again because of a late or corrected record.",
                &["interval"],
            )?,
            late: make.counters(
                "tapeline_late_records_total",
                "Records beyond the allowed lateness, sent to the late topic.",
                &["kind"],
            )?,
            lag: make.gauges(
                "tapeline_consumer_lag",
                "Records between the group's committed position and the end of the partition.",
                &["topic", "partition"],
            )?,
            store_write: make.histogram(
                "tapeline_store_write_seconds",
                "From a batch's submission to the store's acknowledgement.",
                &LATENCY_S,
            )?,
            batch_rows: make.histogram(
                "tapeline_batch_rows",
                "Rows in a batch submitted to the store.",
                &ROWS,
            )?,
            in_flight: make.gauge("tapeline_batches_in_flight", "Batches submitted and not acknowledged.")?,
            retries: make.counters(
                "tapeline_retries_total",
                "Operations tried again after a transient failure.",
                &["port"],
            )?,
            dead_letters: make.counters(
                "tapeline_dead_letters_total",
                "Records that can never be stored.",
                &["stage"],
            )?,
            open_gaps: make.gauges(
                "tapeline_open_gaps",
                "Entries of the gap ledger that are open.",
                &["feed"],
            )?,
            lost_ranges: make.counters(
                "tapeline_lost_ranges_total",
                "Offset ranges that were gone before they were stored.",
                &["topic"],
            )?,
            last_verify: make.gauge(
                "tapeline_last_verify_timestamp_seconds",
                "Unix time of the last verify without a difference; 0 if none.",
            )?,
            verify_differences: make.gauge(
                "tapeline_verify_differences",
                "Symbols and kinds that differed in the last verify.",
            )?,
            alerts_sent: make.counters(
                "tapeline_alerts_sent_total",
                "Messages that the notifier has accepted.",
                &["notifier"],
            )?,
            alerts_failed: make.counters(
                "tapeline_alerts_failed_total",
                "Attempts to deliver an alert that failed; outcome: retried, abandoned.",
                &["notifier", "outcome"],
            )?,
            http_requests: make.counters(
                "tapeline_http_requests_total",
                "HTTP requests answered, by class of status.",
                &["status"],
            )?,
            http_in_flight: make
                .gauge("tapeline_http_requests_in_flight", "HTTP requests that are being answered.")?,
            http_streams: make.gauge("tapeline_http_streams", "Open streams of server-sent events.")?,
            http_slow_clients: make.counters(
                "tapeline_http_slow_clients_total",
                "Clients that read too slowly; outcome: lagged (frames were dropped), disconnected.",
                &["outcome"],
            )?,
            http_refused: make.counter(
                "tapeline_http_connections_refused_total",
                "Connections refused because the limit of open ones was reached.",
            )?,
            started: make.gauge("process_start_time_seconds", "Unix time at which the process started.")?,
            memory: make.gauge("process_resident_memory_bytes", "Resident memory in bytes.")?,
            files: make.gauge("process_open_fds", "Open file descriptors.")?,
            registry: make.0,
        };
        metrics.started.set(seconds());
        // Series whose labels are known exist from the start, so that increase() sees the first event.
        metrics.build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        for port in [Port::Source, Port::Topic, Port::Store, Port::Archive] {
            metrics.retries.with_label_values(&[port.name()]);
        }
        for kind in market::Kind::ALL.map(market::Kind::name).into_iter().chain(["bar"]) {
            metrics.produced.with_label_values(&[kind]);
            metrics.stored.with_label_values(&[kind]);
        }
        for kind in market::Kind::ALL {
            metrics.late.with_label_values(&[kind.name()]);
        }
        for stage in ["produce", "consume"] {
            metrics.dead_letters.with_label_values(&[stage]);
        }
        for class in STATUS_CLASSES {
            metrics.http_requests.with_label_values(&[class]);
        }
        for outcome in [LAGGED, DISCONNECTED] {
            metrics.http_slow_clients.with_label_values(&[outcome]);
        }
        Ok(metrics)
    }

    /// Sets whether a port's last check succeeded.
    pub fn set_port(&self, port: Port, up: bool) {
        self.port_up.with_label_values(&[port.name()]).set(i64::from(up));
    }

    /// Sets whether a live feed is connected; from the second time on that is a reconnect.
    pub fn set_feed(&self, feed: &str, connected: bool) {
        let known =
            self.feed_last_record.get_metric_with_label_values(&[feed]).is_ok_and(|last| last.get() > 0);
        let reconnects = self.feed_reconnects.with_label_values(&[feed]);
        reconnects.inc_by(u64::from(connected && known));
        self.feed_connected.with_label_values(&[feed]).set(i64::from(connected));
    }

    /// A live feed received a frame now.
    pub fn feed_received(&self, feed: &str) {
        self.feed_last_record.with_label_values(&[feed]).set(seconds());
    }

    /// Counts an operation that is tried again.
    pub fn retried(&self, port: Port) {
        self.retries.with_label_values(&[port.name()]).inc();
    }

    /// Operations of all ports that were tried again.
    #[must_use]
    pub fn retries(&self) -> u64 {
        let ports = [Port::Source, Port::Topic, Port::Store, Port::Archive];
        ports.iter().map(|port| self.retries.with_label_values(&[port.name()]).get()).sum()
    }

    /// Counts a dead letter.
    pub fn dead_letter(&self, stage: crate::dead_letter::Stage) {
        let label = if stage == crate::dead_letter::Stage::Source { "produce" } else { "consume" };
        self.dead_letters.with_label_values(&[label]).inc();
    }

    /// Counts a range of offsets that can no longer be read.
    pub fn lost_range(&self, topic: &str) {
        self.lost_ranges.with_label_values(&[topic]).inc();
    }

    /// Prepares the series of lost ranges of these topics.
    pub fn expect_topics(&self, topics: &[String]) {
        for topic in topics {
            self.lost_ranges.with_label_values(&[topic]);
        }
    }

    /// Counts a late record.
    pub fn late_record(&self, kind: market::Kind) {
        self.late.with_label_values(&[kind.name()]).inc();
    }

    /// Counts emitted bars of an interval, `restated` of them not for the first time.
    pub fn bars(&self, interval: &str, emitted: u64, restated: u64) {
        self.bars_emitted.with_label_values(&[interval]).inc_by(emitted);
        self.bars_restated.with_label_values(&[interval]).inc_by(restated);
    }

    /// A batch is submitted to the store.
    pub fn batch_submitted(&self, rows: usize) {
        self.batch_rows.observe(rows as f64);
        self.in_flight.inc();
    }

    /// The store has acknowledged a batch.
    pub fn batch_done(&self, took: std::time::Duration) {
        self.store_write.observe(took.as_secs_f64());
        self.in_flight.dec();
    }

    /// Sets the lag of each partition.
    pub fn set_lag(&self, lag: &[crate::topic::PartitionLag]) {
        for partition in lag {
            let number = partition.partition.to_string();
            let value = i64::try_from(partition.lag()).unwrap_or(i64::MAX);
            self.lag.with_label_values(&[partition.topic.as_str(), number.as_str()]).set(value);
        }
    }

    /// Sets how many gaps of each feed are open. Feeds that had some before and are not named have none now.
    pub fn set_open_gaps(&self, gaps: &std::collections::BTreeMap<String, i64>) {
        self.open_gaps.reset();
        for (feed, count) in gaps {
            self.open_gaps.with_label_values(&[feed]).set(*count);
        }
    }

    /// Sets what `verify` found last: when it last found no difference (Unix seconds), and how many the last one found.
    pub fn set_verify(&self, last_success: i64, differences: i64) {
        self.last_verify.set(last_success);
        self.verify_differences.set(differences);
    }

    /// Counts messages that a notifier has accepted.
    pub fn alerts_sent(&self, notifier: &str, count: u64) {
        self.alerts_sent.with_label_values(&[notifier]).inc_by(count);
    }

    /// Counts an attempt to deliver an alert that failed: it is retried or abandoned.
    pub fn alert_failed(&self, notifier: &str, abandoned: bool) {
        let outcome = if abandoned { "abandoned" } else { "retried" };
        self.alerts_failed.with_label_values(&[notifier, outcome]).inc();
    }

    /// Prepares the series of a notifier.
    pub fn expect_notifier(&self, notifier: &str) {
        self.alerts_sent.with_label_values(&[notifier]);
        for outcome in ["retried", "abandoned"] {
            self.alerts_failed.with_label_values(&[notifier, outcome]);
        }
    }

    /// Counts an HTTP request as being answered until the guard is dropped.
    pub fn http_request(&self) -> Counted {
        Counted::new(&self.http_in_flight)
    }

    /// Counts an answered HTTP request by its status.
    pub fn http_answered(&self, status: u16) {
        let class = usize::from(status / 100).clamp(1, STATUS_CLASSES.len()) - 1;
        self.http_requests.with_label_values(&[STATUS_CLASSES[class]]).inc();
    }

    /// Counts a stream of server-sent events as open until the guard is dropped.
    pub fn http_stream(&self) -> Counted {
        Counted::new(&self.http_streams)
    }

    /// Counts a client that missed frames because it read too slowly.
    pub fn http_client_lagged(&self) {
        self.http_slow_clients.with_label_values(&[LAGGED]).inc();
    }

    /// Counts a client that was disconnected because it stopped reading.
    pub fn http_client_disconnected(&self) {
        self.http_slow_clients.with_label_values(&[DISCONNECTED]).inc();
    }

    /// Counts a connection refused because too many are open.
    pub fn http_connection_refused(&self) {
        self.http_refused.inc();
    }
}

fn seconds() -> i64 {
    clock::now().0 / 1_000_000_000
}

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
