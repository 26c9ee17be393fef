//! Every metric of a process, for Prometheus. Names, labels and help texts stand here and nowhere else; what each means for
//! operation is in `deploy/monitoring/README.md`.
//!
//! Run loops count in [`Telemetry`](crate::telemetry::Telemetry), which a summary shows as well; [`text`] brings its counts into the metrics when they
//! are scraped. What has no place there (a port's state, a batch's size) is set here directly. Labels have few values: no
//! symbols.

mod builder;
mod forecasts;
mod text;

use builder::MetricBuilder;
pub use forecasts::{ForecastMetrics, TrainingOutcome};
pub use text::{CONTENT_TYPE, text};

use crate::clock;
use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};
use std::sync::LazyLock;

/// Upper bounds of latency buckets, seconds.
const LATENCY_S: [f64; 16] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
/// Upper bounds of batch buckets, rows.
const ROWS: [f64; 8] = [1.0, 10.0, 100.0, 384.0, 1_000.0, 3_000.0, 8_192.0, 32_768.0];

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

/// All metrics but those that [`text`] makes of [`Telemetry`](crate::telemetry::Telemetry).
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

impl Metrics {
    fn new() -> prometheus::Result<Self> {
        let make = MetricBuilder::default();
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
            registry: make.registry(),
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
