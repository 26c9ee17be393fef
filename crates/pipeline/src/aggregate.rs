//! Topic to bars. Trades and quotes become bars on the compacted bars topic and in the bars table; records that come
//! when their bars can no longer change go to the late topic with the reason.
//!
//! Bars follow from the order of each symbol's records alone, so nothing of them is kept but the topic's own offsets:
//! committed is the first offset of the oldest session that may still change, and a start reads on from there and makes
//! the same bars again. Sessions that are done with are kept by name (`Needs::floors`), so that a symbol whose records
//! lie after the committed offset but belong to a finished session is not made into half a bar.

use crate::batch::Partition;
use crate::consume::kind;
use crate::produce::origin;
use crate::stop::Stop;
use crate::store::Store;
use crate::telemetry::Telemetry;
use crate::topic::{Consumer, Fetched, Message, Names, Producer, Topics};
use crate::{Error, Result, clock};
use market::bar::{Aggregator, Bar, Needs, Place, Verdict};
use market::codec::{bar as codec, json};
use market::interval::Interval;
use market::{Kind, Record};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How to run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The topics.
    pub names: Names,
    /// The consumer group; not the one that stores.
    pub group: String,
    /// How bars are made.
    pub bars: market::bar::Settings,
    /// Records taken in one go.
    pub cycle: usize,
    /// How often what has changed is told.
    pub tell_every: Duration,
    /// How often bars are written and offsets committed.
    pub commit_every: Duration,
}

/// Bars gathered before they are written, whatever the time.
const GATHER: usize = 8_192;
/// How long to wait for messages before other duties are looked after.
const WAIT: Duration = Duration::from_millis(20);
/// How long the topic may take to acknowledge bars and late records.
const FLUSH: Duration = Duration::from_secs(30);

/// Runs until a stop is asked for, or, once `until_end` is set, until every message is in its bars; those are final then.
///
/// # Errors
/// The topic's or the store's, when waiting cannot help.
pub fn run(
    topics: &dyn Topics,
    store: &dyn Store,
    settings: &Settings,
    telemetry: &Telemetry,
    stop: &Stop,
    until_end: &AtomicBool,
) -> Result<()> {
    let mut consumer = topics.consumer(&settings.group, &settings.names.all_records())?;
    let revoked = Arc::new(Revoked::default());
    let hook = Arc::clone(&revoked);
    consumer.on_revoke(Box::new(move |partitions| {
        // What was read of them is read again by whoever gets them: nothing to commit.
        hook.list.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(partitions);
        hook.any.store(true, Ordering::SeqCst);
        Vec::new()
    }));
    let mut maker = Maker {
        topics: settings.names.all_records(),
        settings,
        telemetry,
        producer: topics.producer()?,
        parts: FxHashMap::default(),
        kept: BTreeMap::new(),
        told: BTreeMap::new(),
        late: Vec::new(),
        unacknowledged: 0,
        revoked,
    };
    maker.read_kept()?;
    let (mut told, mut committed, mut heard) = (Instant::now(), Instant::now(), Instant::now());
    while !stop.asked() {
        let fetched = maker.cycle(&mut *consumer)?;
        if fetched > 0 {
            heard = Instant::now();
        }
        if told.elapsed() >= settings.tell_every {
            maker.tell(heard.elapsed());
            told = Instant::now();
        }
        let due = committed.elapsed() >= settings.commit_every;
        if due || maker.told.len() >= GATHER || maker.late.len() >= GATHER {
            maker.write(store, stop)?;
        }
        if due {
            maker.commit(&mut *consumer, false)?;
            committed = Instant::now();
        }
        if fetched == 0 && until_end.load(Ordering::SeqCst) && maker.at_end(&mut *consumer)? {
            maker.finish();
            break;
        }
    }
    maker.tell(Duration::ZERO);
    maker.write(store, stop)?;
    maker.commit(&mut *consumer, true)
}

#[derive(Default)]
struct Revoked {
    any: AtomicBool,
    list: Mutex<Vec<Partition>>,
}

struct Part {
    aggregator: Aggregator,
    next: i64,
    /// What was last kept and committed of it.
    needs: Needs,
}

struct Maker<'a> {
    settings: &'a Settings,
    telemetry: &'a Telemetry,
    topics: Vec<String>,
    producer: Box<dyn Producer>,
    parts: FxHashMap<Partition, Part>,
    /// Floors by partition, as an earlier run kept them.
    kept: BTreeMap<String, BTreeMap<String, i64>>,
    /// The newest revision of each bar that is to be written.
    told: BTreeMap<(String, Kind, Interval, i64, String), Bar>,
    /// Records for the late topic.
    late: Vec<Late>,
    /// Messages sent and not known to be kept.
    unacknowledged: usize,
    revoked: Arc<Revoked>,
}

struct Late {
    kind: Kind,
    symbol: String,
    reason: String,
    origin: String,
    payload: Vec<u8>,
    stamp_ms: i64,
}

/// Floors are kept under this and the partition's name.
fn position_name(group: &str, topics: &[String], partition: Partition) -> String {
    format!("bars:{group}:{}", origin(topics, partition, 0).trim_end_matches("@0"))
}

impl Maker<'_> {
    fn read_kept(&mut self) -> Result<()> {
        for (name, bytes) in self.producer.positions()? {
            if name.starts_with("bars:") {
                let floors = serde_json::from_slice(&bytes).map_err(|error| {
                    Error::user(format!("the kept position `{name}` cannot be read: {error}"))
                        .hint("another version of tapeline wrote it; use another --group")
                })?;
                self.kept.insert(name, floors);
            }
        }
        Ok(())
    }

    /// Takes what has arrived. Returns how many messages that were.
    fn cycle(&mut self, consumer: &mut dyn Consumer) -> Result<usize> {
        let mut failed = None;
        let mut counts = [0_u64; 4];
        let fetched = consumer.fetch(self.settings.cycle, WAIT, &mut |message| {
            if self.revoked.any.swap(false, Ordering::SeqCst) {
                failed = self.drop_revoked().err();
            }
            if failed.is_none() {
                failed = self.take(message, &mut counts).err();
            }
        })?;
        if self.revoked.any.swap(false, Ordering::SeqCst) {
            self.drop_revoked()?;
        }
        let [aggregated, late, duplicates, unreadable] = counts;
        let telemetry = self.telemetry;
        telemetry.add(&telemetry.aggregated, aggregated);
        telemetry.add(&telemetry.late, late);
        telemetry.add(&telemetry.duplicates, duplicates);
        telemetry.add(&telemetry.unreadable, unreadable);
        failed.map_or(Ok(fetched), Err)
    }

    fn drop_revoked(&mut self) -> Result<()> {
        let lost = std::mem::take(&mut *self.revoked.list.lock().unwrap_or_else(PoisonError::into_inner));
        self.parts.retain(|partition, _| !lost.contains(partition));
        // Another member may have had them in between.
        self.read_kept()
    }

    fn take(&mut self, message: &dyn Fetched, counts: &mut [u64; 4]) -> Result<()> {
        let (partition, offset) = (message.partition(), message.offset());
        let part = match self.parts.get_mut(&partition) {
            Some(part) => part,
            None => {
                let name = position_name(&self.settings.group, &self.topics, partition);
                let floors = self.kept.get(&name).cloned().unwrap_or_default();
                let needs = Needs { position: None, floors: floors.clone() };
                let aggregator = Aggregator::new(self.settings.bars.clone()).with_floors(floors);
                self.parts.entry(partition).or_insert(Part { aggregator, next: 0, needs })
            }
        };
        part.next = offset + 1;
        let place = Place { position: offset.unsigned_abs(), stamp_ms: message.stamp_ms() };
        let mut loose = Vec::new();
        let Some(record) = kind(message).ok().and_then(|kind| decode(kind, message.payload(), &mut loose))
        else {
            counts[3] += 1;
            return Ok(());
        };
        counts[0] += 1;
        match part.aggregator.add(&record, place) {
            Verdict::TooLate => {
                counts[1] += 1;
                let behind = part.aggregator.now().saturating_sub(record.ts().0) / 1_000_000_000;
                self.late.push(Late {
                    kind: record.kind(),
                    symbol: (*record.symbol()).to_owned(),
                    reason: format!("{behind} s behind the stream, beyond the horizon of its bars"),
                    origin: origin(&self.topics, partition, offset),
                    payload: message.payload().to_vec(),
                    stamp_ms: message.stamp_ms(),
                });
                Ok(())
            }
            Verdict::Duplicate => {
                counts[2] += 1;
                Ok(())
            }
            Verdict::Counted | Verdict::Nothing | Verdict::Amended => Ok(()),
        }
    }

    fn tell(&mut self, idle: Duration) {
        // Up to a grace's length the silence may be the network's.
        let idle = i64::try_from(idle.as_nanos())
            .unwrap_or(i64::MAX)
            .saturating_sub(self.settings.bars.grace)
            .max(0);
        let told = &mut self.told;
        for part in self.parts.values_mut() {
            part.aggregator.take(idle, &mut |bar| keep(told, bar));
        }
    }

    fn finish(&mut self) {
        let told = &mut self.told;
        for part in self.parts.values_mut() {
            part.aggregator.finish(&mut |bar| keep(told, bar));
        }
    }

    /// Late records to their topic, bars to theirs and to the table. An embedded topic's file is locked for everybody,
    /// our own consumer too, from the first message to the flush: so they are sent in one go.
    fn write(&mut self, store: &dyn Store, stop: &Stop) -> Result<()> {
        let (late_topic, late) = (self.settings.names.late(), std::mem::take(&mut self.late));
        for late in &late {
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
        let bars: Vec<Bar> = std::mem::take(&mut self.told).into_values().collect();
        let (topic, stamp_ms) = (self.settings.names.bars(), clock::now().millis());
        for bar in &bars {
            self.producer.send(&Message {
                topic: &topic,
                key: &codec::key(bar),
                headers: &[("kind", b"bar"), ("schema", json::SCHEMA.as_bytes())],
                payload: serde_json::Value::Object(codec::to_json(bar)).to_string().as_bytes(),
                stamp_ms,
            })?;
        }
        self.unacknowledged = self.producer.flush(FLUSH)?;
        if bars.is_empty() {
            return Ok(());
        }
        store.write_bars(&bars, stop)?;
        self.telemetry.add(&self.telemetry.bars, bars.len() as u64);
        Ok(())
    }

    /// Offsets, after everything that came before them is kept.
    fn commit(&mut self, consumer: &mut dyn Consumer, wait: bool) -> Result<()> {
        if self.unacknowledged > 0 {
            self.unacknowledged = self.producer.flush(FLUSH)?;
        }
        if !self.told.is_empty() || self.unacknowledged > 0 {
            let waiting = self.unacknowledged;
            tracing::warn!(waiting, "bars are not acknowledged yet; offsets are not committed");
            return Ok(());
        }
        let mut offsets = Vec::new();
        for (partition, part) in &mut self.parts {
            let needs = part.aggregator.needs();
            if needs == part.needs {
                continue;
            }
            if needs.floors != part.needs.floors {
                let name = position_name(&self.settings.group, &self.topics, *partition);
                let bytes = serde_json::to_vec(&needs.floors)
                    .map_err(|error| Error::internal(format!("write down floors: {error}")))?;
                self.producer.save_position(&name, &bytes)?;
                self.kept.insert(name, needs.floors.clone());
            }
            let from =
                needs.position.map_or(part.next, |position| i64::try_from(position).unwrap_or(i64::MAX));
            offsets.push((*partition, from));
            part.needs = needs;
        }
        match consumer.commit(&offsets, wait) {
            Err(error) if error.retryable() => {
                tracing::info!("{error}; what came after the last commit is read again");
                Ok(())
            }
            other => other,
        }
    }

    fn at_end(&self, consumer: &mut dyn Consumer) -> Result<bool> {
        match consumer.ahead(&|partition| self.parts.get(&partition).map(|part| part.next)) {
            Ok(ahead) => Ok(ahead == Some(0)),
            Err(error) if error.retryable() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn keep(told: &mut BTreeMap<(String, Kind, Interval, i64, String), Bar>, bar: Bar) {
    let key = (bar.symbol.clone(), bar.kind, bar.interval, bar.start.0, bar.feed.clone());
    told.insert(key, bar);
}

/// A message's record; what is not in canonical form is brought into it first.
fn decode<'m>(kind: Kind, payload: &'m [u8], loose: &'m mut Vec<u8>) -> Option<Record<&'m str>> {
    match json::decode(kind, payload) {
        Some(record) => Some(record),
        None => {
            json::normalize(kind, payload, loose).ok()?;
            json::decode(kind, loose)
        }
    }
}
