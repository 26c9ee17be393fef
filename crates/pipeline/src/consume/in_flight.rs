//! Tracks the batches in flight to the store, and which offsets may be committed.
//!
//! Batches complete in any order; offsets become ready in submission order. Offsets are not consecutive, so
//! "ready" does not mean counting up by one: it means that everything fetched before is acknowledged.

use market::Kind;
use ports::Error;
use ports::Result;
use ports::batch::Row;
use ports::batch::{Batch, Partition};
use ports::clock;
use ports::dead_letter::{DeadLetter, Stage};
use ports::gap::Gap;
use ports::metrics::METRICS;
use ports::store::{Done, Writer};
use ports::telemetry::{Latency, Telemetry};
use ports::topic::origin;
use ports::topic::{LostRange, Names, Producer};
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Maximum number of batches kept for reuse.
const SPARE: usize = 16;

pub(super) fn lock(in_flight: &Mutex<InFlight>) -> MutexGuard<'_, InFlight> {
    in_flight.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One submitted batch.
#[derive(Debug)]
struct SubmittedBatch {
    done: bool,
    rows: usize,
    bytes: usize,
    submitted: Instant,
    /// Next offsets of the partitions that were read.
    ends: Vec<(Partition, i64)>,
}

pub(super) struct InFlight {
    writer: Box<dyn Writer>,
    dead_letter_producer: Box<dyn Producer>,
    /// Dead letters sent but not yet acknowledged.
    unflushed: bool,
    dead_letters: String,
    topics: Vec<String>,
    submitted: VecDeque<SubmittedBatch>,
    /// Id of `submitted[0]`.
    first: u64,
    rows: usize,
    /// Bytes of the rows that the store has not acknowledged.
    bytes: usize,
    ready: BTreeMap<Partition, i64>,
    /// Last committed offset of each partition: the next waiting commit makes up for a lost one.
    committed: BTreeMap<Partition, i64>,
    /// Partitions revoked while a cycle was being filled.
    lost: Vec<Partition>,
    spare: Vec<Batch>,
    telemetry: Arc<Telemetry>,
    counts: FxHashMap<String, [u64; Kind::COUNT]>,
    latency: Latency,
}

impl InFlight {
    pub(super) fn new(
        writer: Box<dyn Writer>,
        dead_letter_producer: Box<dyn Producer>,
        names: &Names,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        Self {
            writer,
            dead_letter_producer,
            unflushed: false,
            dead_letters: names.dead_letters(),
            topics: names.all_records(),
            submitted: VecDeque::new(),
            first: 0,
            rows: 0,
            bytes: 0,
            ready: BTreeMap::new(),
            committed: BTreeMap::new(),
            lost: Vec::new(),
            spare: Vec::new(),
            telemetry,
            counts: FxHashMap::default(),
            latency: Latency::default(),
        }
    }

    /// Number of records that the store has not acknowledged.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes that the store has not acknowledged.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// An empty batch.
    pub(super) fn spare(&mut self) -> Batch {
        self.spare.pop().unwrap_or_default()
    }

    pub(super) fn submit(&mut self, batch: Batch, mut ends: Vec<(Partition, i64)>) -> Result<()> {
        // Messages of partitions revoked while this cycle was filled are stored, but no longer ours to
        // commit.
        let lost = std::mem::take(&mut self.lost);
        ends.retain(|(partition, _)| !lost.contains(partition));
        let batch_id = self.first + self.submitted.len() as u64;
        self.submitted.push_back(SubmittedBatch {
            done: false,
            rows: batch.len(),
            bytes: batch.bytes_held(),
            submitted: Instant::now(),
            ends,
        });
        METRICS.batch_submitted(batch.len());
        self.rows += batch.len();
        self.bytes += batch.bytes_held();
        if batch_id == 0 {
            self.telemetry.mark();
        }
        self.writer.submit(batch_id, batch)
    }

    /// Records a range that can no longer be read in the gap ledger. The offset after it is committed like
    /// any other, once the entry is durable.
    pub(super) fn lost(&mut self, range: &LostRange, names: &Names, group: &str) -> Result<()> {
        self.telemetry.lost(range, &self.topics);
        self.unflushed = true;
        Gap::of_lost(range, &self.topics, group).send(names, &mut *self.dead_letter_producer)?;
        // Ready offsets of this partition lie before the range, or in a topic that is gone.
        self.ready.insert(range.partition, range.resume);
        Ok(())
    }

    /// Processes the store's acknowledgements, waiting up to `wait` for the first.
    pub(super) fn collect(&mut self, wait: Duration) -> Result<()> {
        let mut wait = wait;
        let mut any = false;
        while !self.submitted.is_empty() {
            let Some(done) = self.writer.completed(wait)? else { break };
            wait = Duration::ZERO;
            any = true;
            self.settle(done)?;
        }
        self.flush_dead_letters()?;
        if any {
            self.telemetry.stored_by(self.counts.drain(), &self.latency);
            self.latency.clear();
            self.telemetry.mark();
        }
        Ok(())
    }

    fn settle(&mut self, done: Done) -> Result<()> {
        let Done { batch_id, mut batch, refused } = done;
        for (index, reason) in &refused {
            let dead_letter = self.dead_letter(&batch, &batch.rows()[*index], reason);
            self.send_to_dlq(&dead_letter)?;
        }
        self.measure(&batch, &refused);
        let index = (batch_id - self.first) as usize;
        let batch_id = self
            .submitted
            .get_mut(index)
            .ok_or_else(|| Error::internal("the store acknowledged a batch twice"))?;
        batch_id.done = true;
        METRICS.batch_done(batch_id.submitted.elapsed());
        self.rows -= batch_id.rows;
        self.bytes -= batch_id.bytes;
        while self.submitted.front().is_some_and(|batch_id| batch_id.done) {
            self.first += 1;
            for (partition, next) in self.submitted.pop_front().map(|t| t.ends).unwrap_or_default() {
                self.ready.insert(partition, next);
            }
        }
        if self.spare.len() < SPARE {
            batch.clear();
            self.spare.push(batch);
        }
        Ok(())
    }

    fn measure(&mut self, batch: &Batch, refused: &[(usize, String)]) {
        let now = clock::now().0;
        let mut stored = |symbol: &str, kind: Kind, rows: u64| match self.counts.get_mut(symbol) {
            Some(counts) => counts[kind.index()] += rows,
            None => self.counts.entry(symbol.to_owned()).or_default()[kind.index()] += rows,
        };
        // Consecutive rows often have the same symbol.
        let (mut last, mut run) = (("", Kind::TRADE), 0);
        for (index, row) in batch.rows().iter().enumerate() {
            if !refused.is_empty() && refused.iter().any(|(bad, _)| *bad == index) {
                continue;
            }
            self.latency.record(u64::try_from((now - row.recv_ts().0) / 1_000).unwrap_or(0));
            let of = (batch.symbol(row), row.kind());
            if of != last {
                if run > 0 {
                    stored(last.0, last.1, run);
                }
                (last, run) = (of, 0);
            }
            run += 1;
        }
        if run > 0 {
            stored(last.0, last.1, run);
        }
        self.telemetry.add(&self.telemetry.stored, (batch.len() - refused.len()) as u64);
    }

    fn dead_letter(&self, batch: &Batch, row: &Row, reason: &str) -> DeadLetter {
        DeadLetter {
            stage: Stage::Store,
            origin: origin(&self.topics, row.partition, row.offset),
            reason: reason.to_owned(),
            key: batch.symbol(row).to_owned(),
            kind: row.kind().name().to_owned(),
            raw: batch.raw(row).as_bytes().to_vec(),
            headers: Vec::new(),
            stamp_ms: Some(row.stamp_ms),
        }
    }

    /// Sends a dead letter. It is durable before any offset behind it is ready.
    pub(super) fn send_to_dlq(&mut self, dead_letter: &DeadLetter) -> Result<()> {
        self.telemetry.dead_letter(dead_letter);
        self.unflushed = true;
        dead_letter.send(&self.dead_letters, &mut *self.dead_letter_producer)
    }

    /// Waits until dead letters are durable. Immediately, not only before a commit: while they are being
    /// appended, an embedded topic's file is locked for everybody, including our own consumer.
    fn flush_dead_letters(&mut self) -> Result<()> {
        if self.unflushed {
            self.unflushed = self.dead_letter_producer.flush(Duration::from_secs(30))? > 0;
        }
        Ok(())
    }

    /// Offsets that may be committed: those not committed before, or all.
    pub(super) fn ready(&mut self, all: bool) -> Result<Vec<(Partition, i64)>> {
        self.flush_dead_letters()?;
        if self.unflushed {
            // Not now: the offsets behind the dead letters are not ready.
            tracing::warn!("dead letters are not acknowledged yet; offsets are not committed");
            return Ok(Vec::new());
        }
        let new = std::mem::take(&mut self.ready);
        self.committed.extend(&new);
        Ok(if all { self.committed.clone() } else { new }.into_iter().collect())
    }

    /// Takes back offsets whose commit was refused: the next commit has them again, even if no record follows.
    pub(super) fn refused(&mut self, offsets: &[(Partition, i64)]) {
        for (partition, next) in offsets {
            // What was revoked since is another member's.
            if self.committed.contains_key(partition) {
                let ready = self.ready.entry(*partition).or_insert(*next);
                *ready = (*ready).max(*next);
            }
        }
    }

    /// Waits until nothing is in flight, at most `deadline`. Returns the number of records that still are.
    pub(super) fn drain(&mut self, deadline: Duration) -> Result<usize> {
        let end = Instant::now() + deadline;
        while !self.submitted.is_empty() && Instant::now() < end {
            self.collect(Duration::from_millis(50))?;
        }
        Ok(self.rows)
    }

    /// Drains what is in flight of some partitions, returns their offsets to commit, and forgets them.
    pub(super) fn hand_over(
        &mut self,
        partitions: &[Partition],
        deadline: Duration,
    ) -> Vec<(Partition, i64)> {
        let end = Instant::now() + deadline;
        let out = |submitted: &VecDeque<SubmittedBatch>| {
            submitted
                .iter()
                .any(|batch_id| batch_id.ends.iter().any(|(partition, _)| partitions.contains(partition)))
        };
        while out(&self.submitted) && Instant::now() < end {
            if let Err(error) = self.collect(Duration::from_millis(50)) {
                tracing::warn!("{error}");
                break;
            }
        }
        for batch_id in &mut self.submitted {
            batch_id.ends.retain(|(partition, _)| !partitions.contains(partition));
        }
        self.lost.extend_from_slice(partitions);
        let mut kept = self.ready.clone();
        kept.retain(|partition, _| !partitions.contains(partition));
        let offsets = self.ready(true).unwrap_or_default();
        // Those of the other partitions are not committed with these.
        self.ready.extend(kept);
        let theirs = offsets.into_iter().filter(|(partition, _)| partitions.contains(partition)).collect();
        self.committed.retain(|partition, _| !partitions.contains(partition));
        theirs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use adapters::topic::sqlite::SqliteTopics;
    use market::Kind;
    use ports::topic::{Message, Producer, Topics};

    /// Batch ids, each with the rows to reject.
    type Acknowledgements = Arc<Mutex<VecDeque<(u64, Vec<usize>)>>>;

    /// Acknowledges batches in the order given by the test.
    struct Scripted {
        taken: Arc<Mutex<BTreeMap<u64, Batch>>>,
        acknowledgements: Acknowledgements,
    }

    impl Writer for Scripted {
        fn submit(&mut self, batch_id: u64, batch: Batch) -> Result<()> {
            self.taken.lock().unwrap().insert(batch_id, batch);
            Ok(())
        }
        fn completed(&mut self, _: Duration) -> Result<Option<Done>> {
            let Some((batch_id, bad)) = self.acknowledgements.lock().unwrap().pop_front() else {
                return Ok(None);
            };
            let batch = self.taken.lock().unwrap().remove(&batch_id).unwrap();
            Ok(Some(Done {
                batch_id,
                batch,
                refused: bad.into_iter().map(|i| (i, "too big".into())).collect(),
            }))
        }
    }

    #[derive(Clone, Default)]
    struct DeadLetterProducer {
        sent: Arc<Mutex<Vec<String>>>,
        kept: Arc<std::sync::atomic::AtomicBool>,
    }

    impl Producer for DeadLetterProducer {
        fn send(&mut self, message: &Message<'_>) -> Result<()> {
            self.sent.lock().unwrap().push(message.key.to_owned());
            Ok(())
        }
        fn rest(&mut self) -> Result<()> {
            Ok(())
        }
        fn flush(&mut self, _: Duration) -> Result<usize> {
            Ok(usize::from(!self.kept.load(std::sync::atomic::Ordering::SeqCst)))
        }
        fn save_positions(&mut self, _: &BTreeMap<String, Vec<u8>>) -> Result<()> {
            Ok(())
        }
        fn positions(&mut self) -> Result<BTreeMap<String, Vec<u8>>> {
            Ok(BTreeMap::new())
        }
    }

    struct Bench {
        in_flight: InFlight,
        acknowledgements: Acknowledgements,
        dead_letter_producer: DeadLetterProducer,
    }

    fn part(number: i32) -> Partition {
        Partition { topic: 0, number }
    }

    impl Bench {
        fn new() -> Self {
            let dead_letter_producer = DeadLetterProducer::default();
            Self {
                dead_letter_producer: dead_letter_producer.clone(),
                ..Self::with(Box::new(dead_letter_producer))
            }
        }
        fn with(dead_letter_producer: Box<dyn Producer>) -> Self {
            let acknowledgements = Arc::new(Mutex::new(VecDeque::new()));
            let writer = Scripted { taken: Arc::default(), acknowledgements: Arc::clone(&acknowledgements) };
            let in_flight =
                InFlight::new(Box::new(writer), dead_letter_producer, &Names::new("t"), Arc::default());
            Self { in_flight, acknowledgements, dead_letter_producer: DeadLetterProducer::default() }
        }
        fn submit(&mut self, partition: i32, next: i64) {
            let text = r#"{"symbol":"SPY","feed":"f","venue":"P","id":"1","ts":1,"recv_ts":1,"price":"1","size":"1","conditions":[]}"#;
            let mut batch = self.in_flight.spare();
            batch.push(Kind::TRADE, text.as_bytes(), 0, part(partition), next - 1).unwrap();
            self.in_flight.submit(batch, vec![(part(partition), next)]).unwrap();
        }
        fn acknowledge(&mut self, batch_id: u64, bad: &[usize]) {
            self.acknowledgements.lock().unwrap().push_back((batch_id, bad.to_vec()));
            self.in_flight.collect(Duration::ZERO).unwrap();
        }
    }

    #[test]
    fn offsets_are_ready_only_when_everything_before_is_answered() {
        let mut bench = Bench::new();
        bench.submit(0, 10);
        bench.submit(1, 7);
        bench.submit(0, 25); // offsets 10 to 24 are unused: nothing was fetched there
        bench.acknowledge(2, &[]);
        bench.acknowledge(1, &[]);
        assert_eq!(bench.in_flight.ready(false).unwrap(), []);
        assert_eq!(bench.in_flight.rows(), 1);
        bench.acknowledge(0, &[]);
        assert_eq!(bench.in_flight.ready(false).unwrap(), [(part(0), 25), (part(1), 7)]);
        assert_eq!(bench.in_flight.ready(false).unwrap(), []);
        assert_eq!(bench.in_flight.ready(true).unwrap(), [(part(0), 25), (part(1), 7)]);
        assert_eq!(bench.in_flight.rows(), 0);
    }

    #[test]
    fn offsets_that_were_not_committed_are_ready_again() {
        let mut bench = Bench::new();
        bench.submit(0, 10);
        bench.submit(1, 7);
        bench.acknowledge(0, &[]);
        bench.acknowledge(1, &[]);
        // A partition is revoked before the first commit: the other's offset still has to be committed.
        assert_eq!(bench.in_flight.hand_over(&[part(0)], Duration::ZERO), [(part(0), 10)]);
        let offsets = bench.in_flight.ready(false).unwrap();
        assert_eq!(offsets, [(part(1), 7)]);
        // A refused commit is made again, but not of what another member has.
        bench.in_flight.refused(&[(part(0), 10), (part(1), 7)]);
        assert_eq!(bench.in_flight.ready(false).unwrap(), offsets);
        assert_eq!(bench.in_flight.ready(false).unwrap(), []);
    }

    #[test]
    fn offsets_behind_a_dead_letter_wait_for_it_to_be_kept() {
        let mut bench = Bench::new();
        bench.submit(0, 10);
        bench.acknowledge(0, &[0]);
        assert_eq!(*bench.dead_letter_producer.sent.lock().unwrap(), ["SPY"]);
        assert_eq!(bench.in_flight.ready(false).unwrap(), []);
        bench.dead_letter_producer.kept.store(true, std::sync::atomic::Ordering::SeqCst);
        assert_eq!(bench.in_flight.ready(false).unwrap(), [(part(0), 10)]);
    }

    #[test]
    fn a_dead_letter_does_not_keep_an_embedded_topic_locked() {
        let dir = tempfile::tempdir().unwrap();
        let (topics, names) = (SqliteTopics::new(dir.path().join("t.db")), Names::new("t"));
        topics.init(&names.specs(1)).unwrap();
        let mut bench = Bench::with(topics.producer().unwrap());
        bench.submit(0, 10);
        bench.acknowledge(0, &[0]);
        // No offset was requested yet, and others can write: if the dead letter were not flushed at once,
        // this would never return.
        let mut other = topics.producer().unwrap();
        let message = Message { topic: &names.late(), key: "A", headers: &[], payload: b"{}", stamp_ms: 0 };
        other.send(&message).unwrap();
        assert_eq!(other.flush(Duration::from_secs(1)).unwrap(), 0);
        let mut dead_letter_producer = 0;
        topics.read_all(&[names.dead_letters()], &mut |_| dead_letter_producer += 1).unwrap();
        assert_eq!(dead_letter_producer, 1);
    }

    #[test]
    fn what_is_handed_over_is_never_committed_later() {
        let mut bench = Bench::new();
        bench.submit(0, 10);
        bench.submit(1, 5);
        bench.submit(0, 20);
        bench.acknowledge(0, &[]);
        let offsets = bench.in_flight.hand_over(&[part(0)], Duration::ZERO);
        assert_eq!(offsets, [(part(0), 10)]);
        bench.submit(0, 30); // its cycle was being filled when the partition was revoked
        for batch_id in [1, 2, 3] {
            bench.acknowledge(batch_id, &[]);
        }
        assert_eq!(bench.in_flight.ready(false).unwrap(), [(part(1), 5)]);
    }
}
