//! Rebuilds the bars of sessions whose records are in two partitions, or came too late, from the stored records: no partition
//! holds them all in time, the store does.

use super::bar_writer::BarWriter;
use super::gaps::Gaps;
use super::settings::AggregateSettings;
use market::bar::{Aggregator, Bar, StreamPosition, Values};
use market::digest::Digest;
use market::{Kind, UnixNanos};
use ports::cancel::{CancelToken, retry};
use ports::gap::{self, Gap, GapProof, GapState};
use ports::metrics::Port;
use ports::store::{BarScan, Scan, Store};
use ports::telemetry::Telemetry;
use ports::topic::Topics;
use ports::{Result, clock};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// What [`rebuild_sessions`] did.
#[derive(Debug, Default)]
pub struct RebuildReport {
    /// Sessions rebuilt, one per symbol, feed and kind of record.
    pub sessions: u64,
    /// Those among them of which records came too late.
    pub late: u64,
    /// Bars written.
    pub bars: u64,
    /// Sessions left as they are, with the reason.
    pub left: Vec<String>,
}

/// Rebuilds the bars of all sessions that the gap ledger names as moved to another partition or as late, and closes their
/// entries. A session is left if it has not ended by the clock, if `group` has not stored all records, or if its records change
/// meanwhile.
///
/// # Errors
/// A permanent error of topic or store.
pub fn rebuild_sessions(
    topics: &dyn Topics,
    store: &dyn Store,
    settings: &AggregateSettings,
    group: &str,
    telemetry: &Telemetry,
    stop: &CancelToken,
) -> Result<RebuildReport> {
    let mut report = RebuildReport::default();
    let is_session = |gap: &Gap| gap.session_kind().is_some() && gap.state == GapState::Open;
    let read = || gap::ledger(topics, &settings.names);
    let mut open: Vec<Gap> = retry(stop, Port::Topic, "read the gap ledger", read)?;
    open.retain(is_session);
    if open.is_empty() {
        return Ok(report);
    }
    let records = settings.names.all_records();
    let lag = retry(stop, Port::Topic, "read the lag", || topics.partition_lag(group, &records))?;
    let waiting: u64 = lag.iter().map(ports::topic::PartitionLag::lag).sum();
    if waiting > 0 {
        let reason = format!("group {group} has not stored {waiting} messages yet");
        report.left.extend(open.iter().map(|gap| format!("{}: {reason}", describe(gap))));
        return Ok(report);
    }
    let stored_to: BTreeMap<String, i64> = lag
        .iter()
        .map(|part| (format!("{}/{}", part.topic, part.partition), part.committed.unwrap_or(part.start)))
        .collect();
    let gaps = retry(stop, Port::Topic, "read the gap ledger", || Gaps::open(topics, &settings.names))?;
    let mut ledger = (*gaps.ledger).clone();
    let mut writer = BarWriter {
        names: &settings.names,
        intervals: &settings.bars.intervals,
        producer: retry(stop, Port::Topic, "open a producer", || topics.producer())?,
        store,
        telemetry,
        stop,
    };
    for mut gap in open {
        if stop.is_cancelled() {
            report.left.push(format!("{}: stopped", describe(&gap)));
            continue;
        }
        let Some(session) = Session::of(&gap)? else { continue };
        if session.last.0.saturating_add(settings.bars.allowed_lateness) > clock::now().0 {
            report.left.push(format!("{}: the session has not ended", describe(&gap)));
            continue;
        }
        let before = retry(stop, Port::Store, "read records", || session.build(store, settings))?;
        gap.state = GapState::Closed;
        ledger.put(&gap)?;
        let mut changed =
            retry(stop, Port::Store, "read bars", || session.replaced(store, settings, before.bars.clone()))?;
        for bar in &mut changed {
            bar.complete = ledger.complete(bar);
        }
        writer.bars(&changed)?;
        let after = retry(stop, Port::Store, "read records", || session.build(store, settings))?;
        if before.read != after.read {
            report.left.push(format!("{}: records were stored meanwhile", describe(&gap)));
            continue;
        }
        gap.proof = Some(GapProof {
            fetched: before.records,
            counted_again: after.records,
            digest: before.read.to_string(),
            stored_to: stored_to.clone(),
        });
        gap.note = None;
        gap.send(&settings.names, &mut *writer.producer)?;
        writer.flush()?;
        report.sessions += 1;
        report.late += u64::from(gap.id.starts_with(gap::LATE));
        report.bars += changed.len() as u64;
    }
    Ok(report)
}

fn describe(gap: &Gap) -> String {
    format!("{} of {} from {}", gap.symbols.join(", "), gap.feed, gap.from)
}

/// What a session was built from and into.
struct Built {
    /// Its bars, all final.
    bars: Vec<Bar>,
    /// Number of its records.
    records: u64,
    /// All records read, also those before and after it that its bars may depend on.
    read: Digest,
}

/// A session of one symbol.
struct Session {
    kind: Kind,
    feed: String,
    symbol: String,
    first: UnixNanos,
    /// Its last nanosecond.
    last: UnixNanos,
}

impl Session {
    fn of(gap: &Gap) -> Result<Option<Self>> {
        let (Some(kind), Some(symbol)) = (gap.session_kind(), gap.symbols.first()) else { return Ok(None) };
        let (first, last) = (gap.instant_from()?, gap.instant_to()?);
        Ok(Some(Self { kind, feed: gap.feed.clone(), symbol: symbol.clone(), first, last }))
    }

    /// Builds its bars from the stored records.
    fn build(&self, store: &dyn Store, settings: &AggregateSettings) -> Result<Built> {
        let end = UnixNanos(self.last.0 + 1);
        let (from, to) = settings.bars.reading_span(self.first, end);
        let scan = Scan { kind: self.kind, symbol: Some(self.symbol.clone()), from, to, limit: None };
        let mut aggregator = Aggregator::new(settings.bars.clone());
        let (mut place, mut read, mut scratch) = (StreamPosition::default(), Digest::default(), Vec::new());
        let mut records = 0;
        store.scan(&scan, &mut |record| {
            if *record.feed() == self.feed {
                aggregator.add(record, place);
                place.position += 1;
                read.add(record, &mut scratch);
                records += u64::from((self.first..end).contains(&record.ts()));
            }
            ControlFlow::Continue(())
        })?;
        let mut bars = Vec::new();
        aggregator.finish(&mut |bar| {
            if bar.start >= self.first && bar.start < end && bar.values != Values::Empty {
                bars.push(bar);
            }
        });
        Ok(Built { bars, records, read })
    }

    /// The bars with the revision after the stored one, and stored bars that are not among them as empty: they are deleted.
    fn replaced(&self, store: &dyn Store, settings: &AggregateSettings, bars: Vec<Bar>) -> Result<Vec<Bar>> {
        let mut stored = BTreeMap::new();
        for interval in &settings.bars.intervals {
            let scan = BarScan {
                kind: self.kind,
                symbol: self.symbol.clone(),
                interval: *interval,
                feed: Some(self.feed.clone()),
                from: self.first,
                to: UnixNanos(self.last.0 + 1),
                limit: None,
            };
            store.scan_bars(&scan, &mut |bar| {
                stored.insert((bar.interval, bar.start), bar);
                ControlFlow::Continue(())
            })?;
        }
        let mut out = Vec::with_capacity(bars.len());
        for mut bar in bars {
            if let Some(old) = stored.remove(&(bar.interval, bar.start)) {
                bar.late = old.late;
                bar.revision = old.revision + u32::from(bar.values != old.values);
            }
            out.push(bar);
        }
        out.extend(stored.into_values().map(|mut bar| {
            (bar.values, bar.revision) = (Values::Empty, bar.revision + 1);
            bar
        }));
        Ok(out)
    }
}
