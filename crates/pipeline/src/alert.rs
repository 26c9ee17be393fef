//! Topic to alerts. Trades, quotes and halts are evaluated in event time; alerts and the messages to send are
//! durable before the position of the records that caused them is committed.
//!
//! A checkpoint holds the state of the engine and the next offset of each partition. Between checkpoints
//! alerts are stored as they fire. After a crash the records since the checkpoint are evaluated again and
//! fire the same alerts with the same keys, which the sink skips. So no alert is lost and none is sent twice.
//!
//! One process of a group evaluates: the state is stored next to its outbox, not on the topic (ADR 22).

mod stage_lag;

pub use stage_lag::FollowedGroup;

use market::alert::{Alert, Engine, EngineState, Fold};
use market::bar::Bar;
use market::codec::json;
use market::{Kind, Record, UnixNanos};
use ports::batch::Partition;
use ports::cancel::{CancelToken, retry};
use ports::metrics::Port;
use ports::topic::{Consumer, Fetched, Names, PartitionLag, Topics};
use ports::{Error, Result, clock};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use stage_lag::StageLag;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Settings of a run.
#[derive(Debug, Clone)]
pub struct AlertSettings {
    /// Topic names.
    pub names: Names,
    /// The consumer group; not the one that stores.
    pub group: String,
    /// Maximum number of records fetched at once.
    pub cycle: usize,
    /// How often a checkpoint is written.
    pub checkpoint_every: Duration,
    /// The stages whose lag rules may watch.
    pub stages: Vec<FollowedGroup>,
}

/// Destination of alerts, and what else is kept next to them. Everything passed to a method is durable when it returns.
pub trait AlertSink {
    /// The last checkpoint; `None` at the first start.
    ///
    /// # Errors
    /// An error of the storage.
    fn checkpoint(&mut self) -> Result<Option<Vec<u8>>>;

    /// Stores alerts, those to send (`true`) and those for the history only, and a checkpoint if given,
    /// atomically. An alert with a known key is skipped.
    ///
    /// # Errors
    /// An error of the storage; [`Error::retryable`] while it is full.
    fn commit(&mut self, alerts: &[(Alert, bool)], checkpoint: Option<&[u8]>) -> Result<()>;

    /// An engine with other rules, if they have changed since the last call.
    ///
    /// # Errors
    /// An error of the storage.
    fn changed_rules(&mut self) -> Result<Option<Engine>> {
        Ok(None)
    }

    /// Daily bars of a series that began before a time, at least the last `days` if there are as many. Empty also if they
    /// cannot be read: evaluation does not wait for them.
    fn daily_bars(&mut self, _feed: &str, _symbol: &str, _before: UnixNanos, _days: usize) -> Vec<Bar> {
        Vec::new()
    }
}

/// Result of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AlertReport {
    /// Records evaluated.
    pub records: u64,
    /// Alerts and retractions that fired.
    pub alerts: u64,
    /// Messages of the topics that are not records.
    pub unreadable: u64,
}

/// What alerts are evaluated on, in the order of the consumer's topics: records of a kind, or notices.
const INPUTS: [Option<Kind>; 4] = [Some(Kind::TRADE), Some(Kind::QUOTE), None, Some(Kind::READING)];

/// How long to wait for messages before other work is checked.
const WAIT: Duration = Duration::from_millis(10);

/// Maximum difference in event time between partitions that are read in arrival order, nanoseconds.
const SLACK: i64 = 2 * market::interval::SECOND;
/// How often the backlog is checked.
const LOOK: Duration = Duration::from_millis(250);
/// How often the lag of stages is measured.
const MEASURE: Duration = Duration::from_secs(1);
/// Checkpoints take at most one part in so many of the time, as alerts wait meanwhile: the state of thousands of busy series is
/// tens of megabytes. Evaluating the records since an older one again costs less.
const CHECKPOINT_SHARE: u32 = 200;
/// The longest time between two checkpoints, however long one takes.
const LONGEST: Duration = Duration::from_secs(300);

#[derive(Serialize, Deserialize)]
struct Checkpoint {
    /// Where the offsets are from; empty in a checkpoint of an earlier version.
    #[serde(default)]
    topic: String,
    /// Topic, partition, next offset.
    offsets: Vec<(u16, i32, i64)>,
    /// Topic, partition, latest event time. Without those of partitions that are read again only later, the time of
    /// silences would run ahead of their records.
    #[serde(default)]
    times: Vec<(u16, i32, i64)>,
    engine: EngineState,
    fold: Fold,
}

#[derive(Deserialize)]
struct Notice {
    feed: String,
    symbol: String,
    what: String,
    ts: String,
}

struct Evaluation<'a> {
    engine: Engine,
    /// Where the topics are, with the offsets in the checkpoint.
    topic: String,
    fold: Fold,
    settings: &'a AlertSettings,
    /// Next offset of each partition.
    next: FxHashMap<Partition, i64>,
    /// Latest event time of each partition.
    times: FxHashMap<Partition, i64>,
    /// Latest event time of all partitions.
    latest: i64,
    /// Whether there may be a partition with messages of which none is evaluated yet: the slowest one is not known then.
    is_partial: bool,
    /// Time of the stream for silences and summaries.
    now: i64,
    fired: Vec<Alert>,
    report: AlertReport,
    text: Vec<u8>,
    stages: StageLag,
}

/// Runs until cancelled or, if `until_end` is set, until every message is evaluated.
///
/// # Errors
/// A permanent error of topic or sink.
pub fn run(
    topics: &dyn Topics,
    engine: Engine,
    fold: Fold,
    sink: &mut dyn AlertSink,
    settings: &AlertSettings,
    cancel: &CancelToken,
    until_end: &AtomicBool,
) -> Result<AlertReport> {
    let name = |input: Option<Kind>| match input {
        Some(kind) => settings.names.records(kind),
        None => settings.names.notices(),
    };
    let names = INPUTS.map(name);
    let mut consumer =
        retry(cancel, Port::Topic, "open a consumer", || topics.consumer(&settings.group, &names))?;
    let mut evaluation = Evaluation {
        engine,
        fold,
        settings,
        topic: topics.describe(),
        next: FxHashMap::default(),
        times: FxHashMap::default(),
        latest: i64::MIN,
        is_partial: true,
        now: i64::MIN,
        fired: Vec::new(),
        report: AlertReport::default(),
        text: Vec::new(),
        stages: StageLag::default(),
    };
    if let Some(bytes) = sink.checkpoint()? {
        evaluation.restore(&bytes, &topics.describe())?;
    }
    let (mut written, mut cost) = (Instant::now(), Duration::ZERO);
    let mut last_record = Instant::now();
    let mut looked = Instant::now();
    let mut measured = Instant::now();
    let mut caught_up = false;
    while !cancel.is_cancelled() {
        let fetched = evaluation.cycle(&mut *consumer, sink)?;
        if fetched > 0 {
            last_record = Instant::now();
        }
        let mut end = false;
        let mut is_changed = false;
        if measured.elapsed() >= MEASURE {
            measured = Instant::now();
            available(evaluation.measure(topics, &names))?;
        }
        if looked.elapsed() >= LOOK {
            looked = Instant::now();
            if let Some(engine) = available(sink.changed_rules())?.flatten() {
                evaluation.replace(engine);
                is_changed = true;
            }
            let ahead = available(consumer.ahead(&evaluation.position()))?;
            // A member without a partition, as there are more members than partitions, has nothing to evaluate: it
            // ends once the group has committed everything, and leaves the state to the others.
            if ahead == Some(None)
                && fetched == 0
                && until_end.load(Ordering::SeqCst)
                && available(consumer.lag())? == Some(0)
            {
                evaluation.commit(sink, &mut *consumer, false, false, cancel)?;
                return Ok(evaluation.report);
            }
            let ahead = ahead.flatten();
            // Caught up once the end was reached, until a backlog builds up.
            let most = if caught_up { settings.cycle as u64 } else { 0 };
            let is_near = ahead.is_some_and(|ahead| ahead <= most);
            let until_end = until_end.load(Ordering::SeqCst);
            // A member that was killed keeps its partitions for a while: they count too.
            let behind = if evaluation.is_partial || (is_near && (until_end || !caught_up)) {
                available(evaluation.behind(topics, &names))?
            } else {
                ahead
            };
            caught_up = is_near && behind.is_some_and(|behind| behind <= most);
            end = until_end && fetched == 0 && ahead == Some(0) && behind == Some(0);
        }
        evaluation.advance(caught_up, last_record.elapsed());
        let pause = settings.checkpoint_every.max((cost * CHECKPOINT_SHARE).min(LONGEST));
        let due = end || is_changed || written.elapsed() >= pause;
        let begun = Instant::now();
        evaluation.commit(sink, &mut *consumer, due, end, cancel)?;
        if due {
            (written, cost) = (Instant::now(), begun.elapsed());
        }
        if end {
            return Ok(evaluation.report);
        }
    }
    evaluation.commit(sink, &mut *consumer, true, false, cancel)?;
    Ok(evaluation.report)
}

/// The value, or `None` while the server is unavailable: the next look may succeed.
fn available<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.retryable() => {
            tracing::debug!(%error, "the backlog is unknown");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

impl Evaluation<'_> {
    /// Number of messages that are not evaluated yet, in all partitions, whoever owns them. Notes whether there is a
    /// partition of which none is.
    fn behind(&mut self, topics: &dyn Topics, names: &[String]) -> Result<u64> {
        let partitions = topics.partition_lag(&self.settings.group, names)?;
        let (mut behind, mut is_partial) = (0, false);
        for lag in &partitions {
            let topic = names.iter().position(|name| *name == lag.topic).unwrap_or_default() as u16;
            let partition = Partition { topic, number: lag.partition };
            // Without a state, evaluation resumes at what the group has committed.
            let next =
                self.next.get(&partition).copied().or(lag.committed).unwrap_or(lag.start).max(lag.start);
            let left = u64::try_from(lag.end - next).unwrap_or(0);
            behind += left;
            is_partial |= left > 0 && !self.times.contains_key(&partition);
        }
        self.is_partial = is_partial;
        Ok(behind)
    }

    fn restore(&mut self, bytes: &[u8], topic: &str) -> Result<()> {
        let checkpoint: Checkpoint = serde_json::from_slice(bytes)
            .map_err(|error| Error::user(format!("alert checkpoint is unreadable: {error}")))?;
        if !checkpoint.topic.is_empty() && checkpoint.topic != topic {
            tracing::warn!(
                "the alert state is of {}; starting without it: give each topic an `alert.file` of its own",
                checkpoint.topic
            );
            return Ok(());
        }
        for (topic, number, offset) in checkpoint.offsets {
            self.next.insert(Partition { topic, number }, offset);
        }
        for (topic, number, time) in checkpoint.times {
            self.times.insert(Partition { topic, number }, time);
            self.latest = self.latest.max(time);
        }
        self.engine.restore(checkpoint.engine);
        let fold = std::mem::take(&mut self.fold);
        self.fold = checkpoint.fold.with(fold.settings());
        Ok(())
    }

    fn position(&self) -> impl Fn(Partition) -> Option<i64> {
        move |partition| self.next.get(&partition).copied()
    }

    /// Continues with other rules.
    fn replace(&mut self, mut engine: Engine) {
        engine.restore(self.engine.state());
        self.engine = engine;
    }

    /// Evaluates how far the stages are behind, by the clock.
    fn measure(&mut self, topics: &dyn Topics, names: &[String]) -> Result<()> {
        if !self.engine.watches_stages() {
            return Ok(());
        }
        let (now, own) = (clock::now(), &self.settings.group);
        let (engine, fired, next) = (&mut self.engine, &mut self.fired, &self.next);
        // What is evaluated and not committed yet is not behind.
        let next = |stage: &FollowedGroup, lag: &PartitionLag| {
            let topic = names.iter().position(|name| *name == lag.topic).filter(|_| stage.group == *own)?;
            next.get(&Partition { topic: topic as u16, number: lag.partition }).copied()
        };
        let stages = &self.settings.stages;
        self.stages.measure(stages, topics, now.0, &next, &mut |stage, seconds| {
            engine.lag(stage, now, seconds, fired)
        })
    }

    fn cycle(&mut self, consumer: &mut dyn Consumer, sink: &mut dyn AlertSink) -> Result<usize> {
        consumer.fetch(self.settings.cycle, WAIT, &mut |message| self.take(message, sink))
    }

    fn take(&mut self, message: &dyn Fetched, sink: &mut dyn AlertSink) {
        let (partition, offset) = (message.partition(), message.offset());
        let next = self.next.entry(partition).or_insert(i64::MIN);
        if offset < *next {
            return;
        }
        *next = offset + 1;
        let ts = match INPUTS.get(usize::from(partition.topic)).copied().flatten() {
            Some(kind) => self.record(kind, message.payload(), sink),
            None => self.notice(message.payload()),
        };
        let Some(ts) = ts else {
            self.report.unreadable += 1;
            return;
        };
        self.report.records += 1;
        self.latest = self.latest.max(ts);
        let time = self.times.entry(partition).or_insert(ts);
        *time = ts.max(*time);
    }

    fn record(&mut self, kind: Kind, payload: &[u8], sink: &mut dyn AlertSink) -> Option<i64> {
        let record = match json::decode(kind, payload) {
            Some(record) => record,
            None => {
                self.text.clear();
                json::normalize(kind, payload, &mut self.text).ok()?;
                json::decode(kind, &self.text)?
            }
        };
        match record {
            Record::Trade(trade) => {
                if let Some((days, before)) = self.engine.missing_days(trade.feed, trade.symbol, trade.ts) {
                    let bars = sink.daily_bars(trade.feed, trade.symbol, before, days);
                    bars.iter().for_each(|bar| self.engine.past_day(bar, before));
                }
                self.engine.trade(&trade, &mut self.fired);
                // A future-dated print does not advance the time of the stream.
                Some(trade.ts.0.min(trade.recv_ts.0))
            }
            Record::Quote(quote) => {
                self.engine.quote(&quote, &mut self.fired);
                Some(quote.ts.0.min(quote.recv_ts.0))
            }
            Record::Reading(reading) => {
                if let Some(value) = reading.value.to_f64() {
                    self.engine.reading(reading.feed, reading.series, reading.ts, value, &mut self.fired);
                }
                // A clock that runs ahead, as devices have them, does not advance the time of the stream.
                Some(reading.ts.0.min(reading.recv_ts.0))
            }
            Record::Described(_) => None,
        }
    }

    fn notice(&mut self, payload: &[u8]) -> Option<i64> {
        let notice: Notice = serde_json::from_slice(payload).ok()?;
        let ts = UnixNanos::parse(&notice.ts).ok()?;
        if let "halted" | "resumed" = notice.what.as_str() {
            let halted = notice.what == "halted";
            self.engine.halt(&notice.feed, &notice.symbol, ts, halted, &mut self.fired);
        }
        Some(ts.0)
    }

    /// Advances the time of silences. While there is a backlog it is that of the slowest partition: the
    /// others are just ahead. Once caught up it is that of the latest record, minus a margin, and advances
    /// with the clock.
    fn advance(&mut self, caught_up: bool, since: Duration) {
        let now = if caught_up {
            let since = i64::try_from(since.as_nanos()).unwrap_or(i64::MAX);
            (self.latest > i64::MIN).then(|| self.latest.saturating_add(since.saturating_sub(SLACK)))
        } else if self.is_partial {
            None
        } else {
            self.times.values().min().copied()
        };
        if let Some(now) = now {
            self.now = self.now.max(now);
            self.engine.advance(UnixNanos(now), &mut self.fired);
        }
    }

    /// Stores the alerts that fired, with a checkpoint if one is due; then commits the offsets of the
    /// checkpoint.
    fn commit(
        &mut self,
        sink: &mut dyn AlertSink,
        consumer: &mut dyn Consumer,
        due: bool,
        end: bool,
        cancel: &CancelToken,
    ) -> Result<()> {
        let mut alerts: Vec<(Alert, bool)> = Vec::new();
        let mut send = Vec::new();
        for alert in self.fired.drain(..) {
            self.report.alerts += 1;
            self.fold.push(alert.clone(), &mut send);
            alerts.push((alert, false));
        }
        let now = if end { i64::MAX } else { self.now };
        self.fold.advance(now, &mut send);
        for alert in send {
            match alerts.iter_mut().find(|(known, _)| known.key == alert.key) {
                Some(known) => known.1 = true,
                None => alerts.push((alert, true)),
            }
        }
        if alerts.is_empty() && !due {
            return Ok(());
        }
        let offsets: Vec<(Partition, i64)> =
            self.next.iter().map(|(partition, next)| (*partition, *next)).collect();
        let checkpoint = if due { Some(self.checkpoint(&offsets)?) } else { None };
        let mut backoff = ports::cancel::Backoff::default();
        while let Err(error) = sink.commit(&alerts, checkpoint.as_deref()) {
            if !error.retryable() || cancel.is_cancelled() {
                return Err(error);
            }
            tracing::warn!("alerts are waiting: {error}");
            cancel.sleep(backoff.wait());
        }
        if due { consumer.commit(&offsets, end) } else { Ok(()) }
    }

    fn checkpoint(&self, offsets: &[(Partition, i64)]) -> Result<Vec<u8>> {
        let offsets =
            offsets.iter().map(|(partition, next)| (partition.topic, partition.number, *next)).collect();
        let times = self.times.iter().map(|(partition, time)| (partition.topic, partition.number, *time));
        let checkpoint = Checkpoint {
            topic: self.topic.clone(),
            offsets,
            times: times.collect(),
            engine: self.engine.state(),
            fold: self.fold.clone(),
        };
        serde_json::to_vec(&checkpoint)
            .map_err(|error| Error::internal(format!("encode the alert checkpoint: {error}")))
    }
}
