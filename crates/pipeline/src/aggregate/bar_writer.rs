//! Writes emitted bars in a thread of its own: while bars are sent to topic and table, the next records are
//! read. Jobs are processed in submission order, so the offsets that belong to a job are ready when it is
//! done.

use super::gaps::{BarRange, Ledger};
use crate::vendor_bars;
use crossbeam_channel::{Receiver, Sender};
use market::bar::Bar;
use market::codec::json;
use market::interval::{Interval, MINUTE};
use market::{Kind, UnixNanos};
use ports::cancel::{Backoff, CancelToken};
use ports::gap::Gap;
use ports::metrics::{METRICS, Port};
use ports::source::Positions;
use ports::store::{BarScan, Store};
use ports::telemetry::Telemetry;
use ports::topic::{Message, Names, Producer};
use ports::{Error, Result, clock};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

/// How long the topic may take to acknowledge before a warning is logged.
const FLUSH: Duration = Duration::from_secs(30);

/// A record for the late topic.
pub(super) struct Late {
    pub(super) kind: Kind,
    pub(super) symbol: String,
    pub(super) reason: String,
    pub(super) origin: String,
    pub(super) payload: Vec<u8>,
    pub(super) stamp_ms: i64,
}

/// A job: everything that becomes durable together.
#[derive(Default)]
pub(super) struct Job {
    pub(super) job_id: u64,
    pub(super) late: Vec<Late>,
    /// The newest revision of each bar.
    pub(super) bars: Vec<Bar>,
    /// Emitted before, possibly with an outdated `complete` flag.
    pub(super) recheck: Vec<BarRange>,
    /// Entries for the gap ledger.
    pub(super) gaps: Vec<Gap>,
    /// Producer to publish with.
    pub(super) ledger: Arc<Ledger>,
    /// Positions to save after everything else: name and bytes.
    pub(super) low_watermarks: Positions,
}

pub(super) struct BarWriter<'a> {
    pub(super) names: &'a Names,
    pub(super) intervals: &'a [Interval],
    pub(super) producer: Box<dyn Producer>,
    pub(super) store: &'a dyn Store,
    pub(super) telemetry: &'a Telemetry,
    pub(super) stop: &'a CancelToken,
}

impl BarWriter<'_> {
    /// Runs until there are no more jobs; returns the ids of completed jobs.
    pub(super) fn run(mut self, work: &Receiver<Job>, done: &Sender<u64>) -> Result<()> {
        for work in work {
            self.keep(&work)?;
            self.telemetry.mark_bars();
            if done.send(work.job_id).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// From the first message to the flush, an embedded topic's file is locked for everybody, including our
    /// own consumer: everything is sent at once.
    fn keep(&mut self, work: &Job) -> Result<()> {
        let late_topic = self.names.late();
        for late in &work.late {
            METRICS.late_record(late.kind);
            self.producer.send(&Message {
                topic: &late_topic,
                key: &late.symbol,
                headers: &[
                    ("kind", late.kind.name().as_bytes()),
                    ("schema", json::SCHEMA.as_bytes()),
                    ("reason", late.reason.as_bytes()),
                    ("origin", late.origin.as_bytes()),
                ],
                payload: &late.payload,
                stamp_ms: late.stamp_ms,
            })?;
        }
        for gap in &work.gaps {
            gap.send(self.names, &mut *self.producer)?;
        }
        self.bars(&work.bars)?;
        for recheck in &work.recheck {
            let mut backoff = Backoff::default();
            let changed = loop {
                match self.changed(recheck, &work.ledger) {
                    Err(error) if error.retryable() && !self.stop.sleep(backoff.wait()) => {
                        METRICS.retried(Port::Store);
                        tracing::warn!("{error}; bars of a gap will be checked again once the store is back");
                    }
                    other => break other?,
                }
            };
            self.bars(&changed)?;
        }
        self.producer.save_positions(&work.low_watermarks)?;
        self.flush()
    }

    /// Stored bars whose `complete` flag changes.
    fn changed(&self, recheck: &BarRange, ledger: &Ledger) -> Result<Vec<Bar>> {
        let mut out = Vec::new();
        for interval in self.intervals {
            // A bar that started earlier may overlap it.
            let length = interval.nanos().unwrap_or(25 * 60 * MINUTE);
            for kind in Kind::aggregated() {
                let scan = BarScan {
                    kind,
                    symbol: recheck.symbol.clone(),
                    interval: *interval,
                    feed: Some(recheck.feed.clone()),
                    from: UnixNanos(recheck.from.saturating_sub(length)),
                    to: UnixNanos(recheck.to),
                    limit: None,
                };
                self.store.scan_bars(&scan, &mut |mut bar| {
                    let complete = ledger.complete(&bar);
                    if bar.complete != complete {
                        bar.complete = complete;
                        out.push(bar);
                    }
                    ControlFlow::Continue(())
                })?;
            }
        }
        Ok(out)
    }

    /// Writes bars to topic and table.
    pub(super) fn bars(&mut self, bars: &[Bar]) -> Result<()> {
        let (topic, stamp_ms) = (self.names.bars(), clock::now().millis());
        for bar in bars {
            vendor_bars::send(bar, &topic, stamp_ms, &mut *self.producer)?;
        }
        self.flush()?;
        if !bars.is_empty() {
            self.store.write_bars(bars, self.stop)?;
            self.telemetry.add(&self.telemetry.bars, bars.len() as u64);
            let mut counts: BTreeMap<Interval, (u64, u64)> = BTreeMap::new();
            for bar in bars {
                let count = counts.entry(bar.interval).or_default();
                count.0 += 1;
                count.1 += u64::from(bar.revision > 0);
            }
            for (interval, (emitted, restated)) in counts {
                METRICS.bars(&interval.to_string(), emitted, restated);
            }
        }
        Ok(())
    }

    /// Waits for an unreachable topic until cancelled.
    pub(super) fn flush(&mut self) -> Result<()> {
        let mut backoff = Backoff::default();
        loop {
            let waiting = self.producer.flush(FLUSH)?;
            if waiting == 0 {
                return Ok(());
            }
            METRICS.retried(Port::Topic);
            tracing::warn!(waiting, "waiting for the topic to acknowledge bars");
            if self.stop.sleep(backoff.wait()) {
                return Err(Error::external(format!("{waiting} bars are not acknowledged by the topic"))
                    .hint("the next start builds and sends them again"));
            }
        }
    }
}
