//! Source to topic. Publishes each record under its symbol and unreadable input as dead letters, and saves
//! the source position once everything before it is acknowledged: after a crash the producer resumes there.

use crate::vendor_bars;
use market::Kind;
use ports::cancel::retry;
use ports::dead_letter::Stage;
use ports::gap::{self, GapState};
use ports::metrics::Port;
use ports::source::{Event, Source};
use ports::telemetry::{Latency, Telemetry};
use ports::topic::{Message, Names, Producer, Topics};
use ports::{CancelToken, Error, Result, clock};
use rustc_hash::FxHashMap;
use std::time::{Duration, Instant};

/// Settings of a run.
#[derive(Debug, Clone)]
pub struct ProduceSettings {
    /// Topic names.
    pub names: Names,
    /// How often the source position is saved.
    pub position_every: Duration,
    /// Publish everything again, even what an earlier run published.
    pub replay: bool,
    /// How long to wait for acknowledgements on shutdown.
    pub drain: Duration,
}

/// How long backfilled records may take to be acknowledged.
const FLUSH: Duration = Duration::from_secs(60);

/// How often the feed's lag is updated.
const LAG: Duration = Duration::from_millis(500);

/// Result of a run.
#[derive(Debug, Clone, Default)]
pub struct ProduceReport {
    /// Rows skipped because an earlier run published them.
    pub resumed: u64,
    /// Whether the source ended.
    pub finished: bool,
    /// Inputs that could not be read to their end ([`Source::incomplete`]).
    pub incomplete: Vec<String>,
}

/// Runs until the source ends or the run is cancelled.
///
/// # Errors
/// An error of source or topic. Unacknowledged messages are published again by the next run.
pub fn run(
    source: &mut dyn Source,
    topics: &dyn Topics,
    settings: &ProduceSettings,
    telemetry: &Telemetry,
    stop: &CancelToken,
) -> Result<ProduceReport> {
    let mut producer = retry(stop, Port::Topic, "open a producer", || topics.producer())?;
    let mut report = ProduceReport::default();
    if !settings.replay {
        let positions = retry(stop, Port::Topic, "read saved positions", || producer.positions())?;
        report.resumed = source.resume(&positions)?;
    }
    if source.needs_gaps() {
        let mut gaps =
            retry(stop, Port::Topic, "read the gap ledger", || gap::ledger(topics, &settings.names))?;
        // Sessions whose bars are to be rebuilt lack no record that a vendor could send.
        gaps.retain(|gap| gap.state == GapState::Open && gap.session_kind().is_none());
        source.resume_gaps(gaps);
    }
    let mut publisher = Publisher::new(&mut *producer, settings, telemetry);
    let (mut kept, mut lagged, mut lag) = (Instant::now(), Instant::now(), Latency::default());
    telemetry.mark();
    while !stop.is_cancelled() {
        let more = source.next(stop, &mut |event| publisher.publish(event))?;
        publisher.count();
        publisher.producer.rest()?;
        publisher.acknowledge(source)?;
        if lagged.elapsed() >= LAG || !more {
            source.lag(&mut lag);
            telemetry.lagged(&lag);
            lag.clear();
            lagged = Instant::now();
        }
        if !more {
            report.finished = true;
            break;
        }
        if kept.elapsed() >= settings.position_every || source.has_urgent_positions() {
            publisher.keep(source)?;
            kept = Instant::now();
        }
    }
    source.lag(&mut lag);
    telemetry.lagged(&lag);
    report.incomplete = source.incomplete().to_vec();
    publisher.keep(source)?;
    publisher.telemetry.mark();
    let waiting = producer.flush(settings.drain)?;
    if waiting > 0 {
        return Err(Error::external(format!(
            "{waiting} messages are not acknowledged by {}",
            topics.describe()
        ))
        .hint("the next start sends them again"));
    }
    if source.awaits_acknowledgement() {
        source.acknowledge()?;
    }
    Ok(report)
}

struct Publisher<'a> {
    producer: &'a mut dyn Producer,
    telemetry: &'a Telemetry,
    records: [String; Kind::COUNT],
    dead_letters: String,
    names: Names,
    counts: FxHashMap<String, [u64; Kind::COUNT]>,
    read: u64,
}

impl<'a> Publisher<'a> {
    fn new(producer: &'a mut dyn Producer, settings: &ProduceSettings, telemetry: &'a Telemetry) -> Self {
        Self {
            producer,
            telemetry,
            records: Kind::ALL.map(|kind| settings.names.records(kind)),
            dead_letters: settings.names.dead_letters(),
            names: settings.names.clone(),
            counts: FxHashMap::default(),
            read: 0,
        }
    }

    fn publish(&mut self, event: Event<'_>) -> Result<()> {
        self.read += u64::from(!matches!(event, Event::Gap(_)));
        match event {
            Event::Gap(gap) => {
                // The fetched records become durable before the closed gap.
                if gap.state == GapState::Closed && self.producer.flush(FLUSH)? > 0 {
                    return Err(Error::external("the topic did not acknowledge backfilled records")
                        .hint("the next start finds the gap again"));
                }
                gap.send(&self.names, self.producer)?;
                let counter = if gap.state == GapState::Closed {
                    &self.telemetry.gaps_closed
                } else {
                    &self.telemetry.gaps
                };
                // Reported twice: when it is found, and when it is fetched or not.
                self.telemetry.add(counter, u64::from(gap.to.is_none() || gap.state == GapState::Closed));
            }
            Event::Record { kind, symbol, recv_ts, payload } => {
                self.producer.send(&Message {
                    topic: &self.records[kind.index()],
                    key: symbol,
                    headers: &[],
                    payload,
                    stamp_ms: recv_ts.millis(),
                })?;
                match self.counts.get_mut(symbol) {
                    Some(counts) => counts[kind.index()] += 1,
                    None => self.counts.entry(symbol.to_owned()).or_default()[kind.index()] += 1,
                }
            }
            Event::Bar(bar) => {
                let (topic, stamp_ms) = (self.names.vendor_bars(), clock::now().millis());
                vendor_bars::send(bar, &topic, stamp_ms, self.producer)?;
                self.telemetry.add(&self.telemetry.vendor_bars, 1);
            }
            Event::Notice(notice) => notice.send(&self.names, self.producer)?,
            Event::Dead(dead_letter) => {
                debug_assert_eq!(dead_letter.stage, Stage::Source);
                self.telemetry.dead_letter(&dead_letter);
                dead_letter.send(&self.dead_letters, self.producer)?;
            }
        }
        Ok(())
    }

    /// Moves the counts since the last call into the telemetry.
    fn count(&mut self) {
        self.telemetry.add(&self.telemetry.read, std::mem::take(&mut self.read));
        self.telemetry.add(&self.telemetry.published, self.counts.values().flatten().sum());
        self.telemetry.published_by(self.counts.drain());
    }

    /// Acknowledges to a source that waits for it that the topic stored what it emitted. While the topic is unreachable
    /// it does not; it tries again after the next records.
    fn acknowledge(&mut self, source: &mut dyn Source) -> Result<()> {
        if source.awaits_acknowledgement() && self.producer.flush(FLUSH)? == 0 {
            source.acknowledge()?;
        }
        Ok(())
    }

    fn keep(&mut self, source: &mut dyn Source) -> Result<()> {
        self.producer.save_positions(&source.positions())
    }
}
