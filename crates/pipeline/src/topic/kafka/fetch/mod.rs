//! Fetching straight from the brokers that lead the partitions a member holds (docs/adr/0012-own-fetch.md).
//!
//! Group, offsets and metadata stay librdkafka's; only the records do not pass through it, which would allocate five
//! times for each. While an answer is being read the next one is already asked for. All of it runs in the caller's
//! thread, and a record is handed over where it lies.

mod connection;
pub mod records;
mod session;
#[cfg(test)]
mod tests;
pub mod wire;

use self::records::{Aborted, Batch, Head, Record};
use self::session::{Brokers, PAUSE};
use crate::Error;
use crate::batch::Partition;
use crate::stop::Backoff;
use crate::topic::Fetched;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Why nothing comes of a partition or a broker.
pub(super) enum Trouble {
    /// A broker's or the client's word on a topic.
    Kafka(String, KafkaError),
    /// In words for people already.
    Told(Error),
}

/// A partition held: assigned to this member.
struct Held {
    at: Partition,
    /// The assignment's number.
    assigned: u64,
    /// What requests for it are known by: another one after what came of it was thrown away.
    holding: u64,
    leader: Option<i32>,
    /// The first offset to ask for next; none until it is known where to begin.
    next: Option<i64>,
    /// The first offset to hand over next.
    due: i64,
    /// It begins at an offset that somebody committed.
    committed: bool,
    /// What was to come next is not there any longer.
    lost: bool,
    after: Instant,
    backoff: Backoff,
}

pub(super) struct Fetcher {
    names: Vec<String>,
    held: Vec<Held>,
    holdings: u64,
    brokers: Brokers,
    ready: VecDeque<Ready>,
    plain: Vec<u8>,
    paused: bool,
}

impl Fetcher {
    pub(super) fn new(names: &[String]) -> Self {
        Self {
            names: names.to_vec(),
            held: Vec::new(),
            holdings: 0,
            brokers: Brokers::default(),
            ready: VecDeque::new(),
            plain: Vec::new(),
            paused: false,
        }
    }

    pub(super) fn pause(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// Holds these partitions, each with the number of its assignment, and no others.
    pub(super) fn hold(&mut self, owned: &[(Partition, u64)]) {
        self.held.retain(|held| owned.contains(&(held.at, held.assigned)));
        for (at, assigned) in owned {
            if !self.held.iter().any(|held| held.assigned == *assigned) {
                self.holdings += 1;
                self.held.push(Held {
                    at: *at,
                    assigned: *assigned,
                    holding: self.holdings,
                    leader: None,
                    next: None,
                    due: 0,
                    committed: false,
                    lost: false,
                    after: Instant::now(),
                    backoff: Backoff::default(),
                });
            }
        }
        self.held.sort_by_key(|held| held.at);
    }

    /// Partitions of which it is not known where to begin, and whether it was known and is not there any longer.
    pub(super) fn unplaced(&self) -> Vec<(Partition, bool)> {
        self.held.iter().filter(|held| held.next.is_none()).map(|held| (held.at, held.lost)).collect()
    }

    /// Begins a partition at an offset that was committed, or at its beginning.
    pub(super) fn place(&mut self, at: Partition, offset: Option<i64>) {
        if let Some(held) = self.held.iter_mut().find(|held| held.at == at) {
            let begin = offset.unwrap_or(0);
            (held.next, held.due, held.committed, held.lost) = (Some(begin), begin, offset.is_some(), false);
        }
    }

    /// Goes on at the first offset there is, after what was to come next is not there any longer.
    pub(super) fn place_at_first(&mut self, at: Partition, first: i64) {
        let Some(held) = self.held.iter_mut().find(|held| held.at == at) else { return };
        if held.committed {
            tracing::warn!(
                "{}[{}]: offset {} is not there any longer; goes on at the first there is, {first}",
                self.names[at.topic as usize],
                at.number,
                held.due
            );
        }
        (held.next, held.due, held.committed, held.lost) = (Some(first), first, true, false);
    }

    /// Hands over at most `max` messages, waiting up to `wait` for the first; the first trouble there was.
    pub(super) fn take(
        &mut self,
        max: usize,
        wait: Duration,
        asker: &BaseConsumer<super::Quiet>,
        sink: &mut dyn FnMut(&dyn Fetched),
    ) -> (usize, Option<Trouble>) {
        let start = Instant::now();
        if self.paused {
            std::thread::sleep(wait);
            return (0, None);
        }
        let (mut got, mut trouble) = (0, None);
        loop {
            got += self.hand_over(max - got, sink, &mut trouble);
            if got == max {
                break;
            }
            if self.brokers.exchange(&self.names, &mut self.held, asker, &mut self.ready, &mut trouble) {
                continue;
            }
            let left = wait.saturating_sub(start.elapsed());
            if got > 0 || trouble.is_some() || left.is_zero() {
                break;
            }
            self.brokers.sleep(left);
        }
        (got, trouble)
    }

    fn hand_over(
        &mut self,
        max: usize,
        sink: &mut dyn FnMut(&dyn Fetched),
        trouble: &mut Option<Trouble>,
    ) -> usize {
        let mut got = 0;
        while let Some(ready) = self.ready.front_mut().filter(|_| got < max) {
            let Some(part) = ready.parts.get(ready.at) else {
                if let Some(done) = self.ready.pop_front() {
                    self.brokers.spare(done.bytes);
                }
                continue;
            };
            let Some(held) = self.held.iter_mut().find(|held| held.holding == part.holding) else {
                ready.skip();
                continue;
            };
            let (count, broken) = ready.read(held, &mut self.plain, max - got, sink);
            got += count;
            if let Some(reason) = broken {
                ready.skip();
                self.holdings += 1;
                held.again(self.holdings);
                let name = &self.names[held.at.topic as usize];
                let what = format!("{name}[{}] from offset {} on: {reason}", held.at.number, held.due);
                trouble.get_or_insert(Trouble::Told(Error::external(what).hint(
                    "it is fetched again; if that does not help, the broker's copy is broken or of another making: \
                     kafka-dump-log --files … --deep-iteration shows it",
                )));
            }
        }
        got
    }
}

impl Held {
    /// Throws away what came and is not handed over, and asks for it again after a while.
    fn again(&mut self, holding: u64) {
        (self.holding, self.next) = (holding, Some(self.due));
        self.after = Instant::now() + self.backoff.wait().min(PAUSE);
    }
}

/// A partition's share of an answer.
struct Part {
    holding: u64,
    /// Its batches, in the answer's bytes.
    from: usize,
    to: usize,
    aborted: Aborted,
}

/// An answer that is being read.
struct Ready {
    bytes: Vec<u8>,
    parts: Vec<Part>,
    /// Which of them is being read.
    at: usize,
    /// Its batch that is being read.
    open: Option<Batch>,
}

impl Ready {
    fn skip(&mut self) {
        self.at += 1;
        self.open = None;
    }

    /// Hands over what is left of the part being read, at most `max` records, and whether one could not be read.
    fn read(
        &mut self,
        held: &mut Held,
        plain: &mut Vec<u8>,
        max: usize,
        sink: &mut dyn FnMut(&dyn Fetched),
    ) -> (usize, Option<String>) {
        let mut got = 0;
        let part = &mut self.parts[self.at];
        while got < max {
            let bytes = &self.bytes[part.from..part.to];
            let Some(batch) = &mut self.open else {
                match Head::read(bytes) {
                    Ok(Some(head)) => {
                        if part.aborted.leaves_out(&head, bytes) || head.next <= held.due {
                            held.due = held.due.max(head.next);
                            part.from += head.length;
                            continue;
                        }
                        match head.open(bytes, plain) {
                            Ok(batch) => self.open = Some(batch),
                            Err(reason) => return (got, Some(reason)),
                        }
                        continue;
                    }
                    Ok(None) => {
                        self.skip();
                        return (got, None);
                    }
                    Err(reason) => return (got, Some(reason)),
                }
            };
            while got < max {
                match batch.next(bytes, plain) {
                    Ok(Some(record)) if record.offset < held.due => {}
                    Ok(Some(record)) => {
                        held.due = record.offset.saturating_add(1);
                        got += 1;
                        sink(&Direct { at: held.at, record });
                    }
                    Ok(None) => {
                        held.due = held.due.max(batch.head().next);
                        part.from += batch.head().length;
                        self.open = None;
                        break;
                    }
                    Err(reason) => return (got, Some(reason)),
                }
            }
        }
        (got, None)
    }
}

struct Direct<'b> {
    at: Partition,
    record: Record<'b>,
}

impl Fetched for Direct<'_> {
    fn partition(&self) -> Partition {
        self.at
    }
    fn offset(&self) -> i64 {
        self.record.offset
    }
    fn stamp_ms(&self) -> i64 {
        self.record.stamp_ms.max(0)
    }
    fn key(&self) -> &[u8] {
        self.record.key
    }
    fn payload(&self) -> &[u8] {
        self.record.value
    }
    fn headers(&self, f: &mut dyn FnMut(&str, &[u8])) {
        self.record.headers.each(|name, value| f(std::str::from_utf8(name).unwrap_or_default(), value));
    }
}
