//! Who leads what, and the connections to those brokers.

use super::connection::{Asked, Connection};
use super::records::{self, Aborted};
use super::wire::{self, Limits, Want};
use super::{Held, Part, Ready, Trouble};
use crate::Error;
use crate::stop::Backoff;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::types::RDKafkaRespErr;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// An idle broker answers ten times a second; that is how soon a partition given to us anew is asked for.
const LIMITS: Limits = Limits { wait_ms: 100, bytes: 1024 * 1024, partition_bytes: 256 * 1024 };
/// How long the answer of who leads is waited for.
const METADATA: Duration = Duration::from_secs(2);
/// How long a topic may be unknown before it is called missing: brokers that start know topics a little later.
const UNKNOWN: Duration = Duration::from_secs(30);
/// What fails is tried again after this at the latest: a leader that died has a successor within seconds.
pub(super) const PAUSE: Duration = Duration::from_secs(1);
/// How often what must be tried again is looked at.
const TICK: Duration = Duration::from_millis(20);

struct Broker {
    id: i32,
    host: String,
    port: u16,
    connection: Option<Connection>,
    after: Instant,
    backoff: Backoff,
}

/// The brokers that lead partitions we hold.
pub(super) struct Brokers {
    list: Vec<Broker>,
    spare: Vec<Vec<u8>>,
    leaders_after: Instant,
    backoff: Backoff,
    unknown: Option<Instant>,
    turn: usize,
}

impl Default for Brokers {
    fn default() -> Self {
        Self {
            list: Vec::new(),
            spare: Vec::new(),
            leaders_after: Instant::now(),
            backoff: Backoff::default(),
            unknown: None,
            turn: 0,
        }
    }
}

impl Brokers {
    /// Takes back room for an answer.
    pub(super) fn spare(&mut self, bytes: Vec<u8>) {
        self.spare.push(bytes);
    }

    /// Takes in answers that are whole and asks for more; true when one came.
    pub(super) fn exchange(
        &mut self,
        names: &[String],
        held: &mut [Held],
        asker: &BaseConsumer<super::super::Quiet>,
        ready: &mut VecDeque<Ready>,
        trouble: &mut Option<Trouble>,
    ) -> bool {
        if held.iter().any(|held| held.leader.is_none()) && Instant::now() >= self.leaders_after {
            self.find_leaders(names, held, asker, trouble);
        }
        let mut came = false;
        for broker in &mut self.list {
            let before = ready.len();
            if let Err(error) = broker.exchange(names, held, &mut self.spare, ready, &mut self.turn, trouble)
            {
                let quiet = broker.connection.as_ref().is_some_and(Connection::idle);
                broker.connection = None;
                broker.after = Instant::now() + broker.backoff.wait().min(PAUSE);
                for held in held.iter_mut().filter(|held| held.leader == Some(broker.id)) {
                    held.leader = None;
                }
                // Brokers close connections that were not used for long.
                if !quiet {
                    let what = format!("fetch from the broker at {}:{}: {error}", broker.host, broker.port);
                    trouble.get_or_insert(Trouble::Told(Error::external(what).hint(
                        "is it up, and is the address it tells its clients (advertised.listeners) one that can be \
                         reached from here?",
                    )));
                }
            }
            came |= ready.len() > before;
        }
        came
    }

    fn find_leaders(
        &mut self,
        names: &[String],
        held: &mut [Held],
        asker: &BaseConsumer<super::super::Quiet>,
        trouble: &mut Option<Trouble>,
    ) {
        let mut unknown = false;
        for (index, name) in names.iter().enumerate() {
            let lacks = |held: &&mut Held| held.at.topic as usize == index && held.leader.is_none();
            if !held.iter_mut().any(|held| lacks(&held)) {
                continue;
            }
            let metadata = match asker.fetch_metadata(Some(name), METADATA) {
                Ok(metadata) => metadata,
                Err(error) => {
                    trouble.get_or_insert(Trouble::Kafka(name.clone(), error));
                    break;
                }
            };
            for broker in metadata.brokers() {
                let (host, port) = (broker.host(), broker.port() as u16);
                match self.list.iter_mut().find(|known| known.id == broker.id()) {
                    Some(known) if known.host == host && known.port == port => {}
                    Some(known) => {
                        (known.host, known.port, known.connection) = (host.to_owned(), port, None);
                        known.after = Instant::now();
                    }
                    None => self.list.push(Broker {
                        id: broker.id(),
                        host: host.to_owned(),
                        port,
                        connection: None,
                        after: Instant::now(),
                        backoff: Backoff::default(),
                    }),
                }
            }
            let partitions = metadata
                .topics()
                .first()
                .map(rdkafka::metadata::MetadataTopic::partitions)
                .unwrap_or_default();
            unknown |= partitions.is_empty();
            for held in held.iter_mut().filter(lacks) {
                let found = partitions.iter().find(|partition| partition.id() == held.at.number);
                held.leader =
                    found.map(rdkafka::metadata::MetadataPartition::leader).filter(|leader| *leader >= 0);
            }
            if partitions.is_empty() && self.unknown.is_some_and(|since| since.elapsed() > UNKNOWN) {
                let error = KafkaError::MessageConsumption(Code::UnknownTopicOrPartition);
                trouble.get_or_insert(Trouble::Kafka(name.clone(), error));
            }
        }
        self.unknown = if unknown { self.unknown.or_else(|| Some(Instant::now())) } else { None };
        if held.iter().any(|held| held.leader.is_none()) {
            self.leaders_after = Instant::now() + self.backoff.wait().min(PAUSE);
        } else {
            self.backoff.reset();
        }
    }

    /// Until a broker answers, at most so long.
    pub(super) fn sleep(&self, wait: Duration) {
        let connections: Vec<_> = self.list.iter().filter_map(|broker| broker.connection.as_ref()).collect();
        let mut watched: Vec<_> = connections
            .iter()
            .map(|connection| {
                let wish = if connection.unsent() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
                PollFd::new(connection.stream(), wish)
            })
            .collect();
        let wait = wait.min(TICK);
        let at_most = Timespec { tv_sec: 0, tv_nsec: i64::from(wait.subsec_nanos()) };
        // A signal that ends it early does no harm.
        let _ = poll(&mut watched, Some(&at_most));
    }
}

impl Broker {
    /// Takes in an answer that is whole, and asks for more when nothing is asked.
    fn exchange(
        &mut self,
        names: &[String],
        held: &mut [Held],
        spare: &mut Vec<Vec<u8>>,
        ready: &mut VecDeque<Ready>,
        turn: &mut usize,
        trouble: &mut Option<Trouble>,
    ) -> std::io::Result<()> {
        let now = Instant::now();
        let wanted = |held: &&Held| held.leader == Some(self.id) && held.after <= now;
        if self.connection.is_none() {
            if now < self.after || !held.iter().any(|held| wanted(&held)) {
                return Ok(());
            }
            self.connection = Some(Connection::open(&self.host, self.port)?);
        }
        let Some(connection) = &mut self.connection else { return Ok(()) };
        if connection.pump()? {
            let (bytes, filled, asked) = connection.answer(spare.pop().unwrap_or_default())?;
            let invalid = |reason| std::io::Error::new(std::io::ErrorKind::InvalidData, reason);
            let (_, answers) = wire::response(&bytes[4..filled], names).map_err(invalid)?;
            let mut parts = Vec::new();
            for answer in answers {
                let same =
                    |asked: &&Asked| (asked.want.topic, asked.want.number) == (answer.topic, answer.number);
                let Some(asked) = asked.iter().find(same) else { continue };
                // Given away or begun anew since.
                let Some(held) = held.iter_mut().find(|held| held.holding == asked.holding) else { continue };
                parts.extend(held.answered(names, answer, asked, &bytes[4..], trouble));
            }
            self.backoff.reset();
            if parts.is_empty() {
                spare.push(bytes);
            } else {
                ready.push_back(Ready { bytes, parts, at: 0, open: None });
            }
        }
        if connection.idle() {
            let mut asked: Vec<Asked> = held
                .iter()
                .filter(wanted)
                .filter_map(|held| {
                    let want = Want { topic: held.at.topic, number: held.at.number, offset: held.next? };
                    Some(Asked { want, holding: held.holding })
                })
                .collect();
            if !asked.is_empty() {
                // The first ones get the most room.
                *turn = (*turn + 1) % asked.len();
                asked.rotate_left(*turn);
                connection.ask(names, asked, LIMITS)?;
            }
        }
        Ok(())
    }
}

impl Held {
    /// Takes note of a broker's answer, whose batches begin at `bytes`.
    fn answered(
        &mut self,
        names: &[String],
        answer: wire::Answer,
        asked: &Asked,
        bytes: &[u8],
        trouble: &mut Option<Trouble>,
    ) -> Option<Part> {
        match Code::from(code(answer.error)) {
            Code::NoError => {}
            Code::OffsetOutOfRange => {
                (self.next, self.lost) = (None, true);
                return None;
            }
            Code::UnknownTopicOrPartition
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::ReplicaNotAvailable
            | Code::KafkaStorageError
            | Code::FencedLeaderEpoch => {
                self.leader = None;
                self.after = Instant::now() + self.backoff.wait().min(PAUSE);
                return None;
            }
            other => {
                let name = names[self.at.topic as usize].clone();
                trouble.get_or_insert(Trouble::Kafka(name, KafkaError::MessageConsumption(other)));
                self.after = Instant::now() + self.backoff.wait().min(PAUSE);
                return None;
            }
        }
        let mut next = asked.want.offset;
        let whole = records::batches(&bytes[answer.records.clone()], |head, _| next = next.max(head.next));
        // What is wrong with the first one is found again, and told of, when it is read.
        if next > asked.want.offset && whole.is_ok() {
            self.backoff.reset();
        }
        self.next = Some(next);
        (!answer.records.is_empty()).then(|| Part {
            holding: self.holding,
            from: 4 + answer.records.start,
            to: 4 + answer.records.end,
            aborted: Aborted::new(answer.aborted),
        })
    }
}

/// Kafka's own codes are librdkafka's too.
fn code(error: i16) -> RDKafkaRespErr {
    RDKafkaRespErr::try_from(i32::from(error)).unwrap_or(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN)
}
