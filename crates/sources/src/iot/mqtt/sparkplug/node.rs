//! The state of one edge node: which message is next, its members, and whether a rebirth is requested.

use super::births::{MetricTable, is_series};
use super::member::Member;
use super::message::{Message, Shared, Sink};
use market::codec::json;
use market::codec::sparkplug::MetricContext;
use market::codec::sparkplug::payload::Metric;
use market::{Kind, Record, UnixNanos};
use ports::Result;
use ports::source::Event;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a node has for its first reply to a request; each further one takes twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(5);
/// Longest time between two requests.
const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// Requests without a reply after which a warning is logged.
const PATIENCE: u32 = 3;
/// Members of a node.
const MOST_MEMBERS: usize = 100_000;

/// One edge node.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// `GROUP/NODE`.
    pub(super) name: String,
    /// Whether its birth was seen, and every message since.
    pub(super) is_born: bool,
    /// The number that its birth has in common with its death.
    birth_death_seq: Option<u64>,
    /// Number of the next message.
    next_seq: Option<u64>,
    /// The node itself, with an empty name, and its devices.
    pub(super) members: BTreeMap<String, Member>,
    pub(super) rebirth: Rebirth,
}

/// Requests that a node sends its births again.
#[derive(Debug, Default)]
pub(super) struct Rebirth {
    pub(super) is_wanted: bool,
    last: Option<Instant>,
    /// Requests since the last birth.
    tries: u32,
}

impl Rebirth {
    /// Whether to send a request now; it counts as sent.
    pub(super) fn is_due(&mut self, name: &str, now: Instant) -> bool {
        let wait = (FIRST_WAIT * (1 << self.tries.saturating_sub(1).min(7))).min(LONGEST_WAIT);
        let is_due = self.is_wanted && self.last.is_none_or(|last| now.duration_since(last) >= wait);
        if is_due {
            if self.tries == PATIENCE {
                tracing::warn!(
                    "{name}: {PATIENCE} requests for a rebirth are unanswered; is the node online, and may this account publish \
                     NCMD messages?"
                );
            }
            (self.last, self.tries) = (Some(now), self.tries.saturating_add(1));
        }
        is_due
    }

    fn born(&mut self) {
        // Limits the requests to a node that keeps losing messages.
        (self.is_wanted, self.tries) = (false, self.tries.min(1));
    }
}

impl Node {
    pub(super) fn new(name: String) -> Self {
        let own = Member::new(name.clone());
        Self { name, members: BTreeMap::from([(String::new(), own)]), ..Self::default() }
    }

    /// The member that a message comes from; `None` if there are too many.
    pub(super) fn member(&mut self, device: &str) -> Option<&mut Member> {
        if !self.members.contains_key(device) {
            if self.members.len() >= MOST_MEMBERS {
                return None;
            }
            let name = format!("{}/{device}", self.name);
            self.members.insert(device.to_owned(), Member::new(name));
        }
        self.members.get_mut(device)
    }

    /// Messages may be missing: until the next birth no alias is trusted, for a birth may be among them.
    pub(super) fn missed(
        &mut self,
        shared: &Shared,
        cause: &str,
        otherwise: UnixNanos,
        sink: Sink<'_>,
    ) -> Result<()> {
        self.is_born = false;
        self.next_seq = None;
        self.rebirth.is_wanted = true;
        for member in self.members.values_mut() {
            member.is_online = false;
            member.open_gap(&shared.feed, cause, otherwise, sink)?;
        }
        Ok(())
    }

    /// Compares the message's number with the one that is due.
    fn follow(&mut self, shared: &Shared, message: &Message<'_>, sink: Sink<'_>) -> Result<()> {
        let found = message.payload.seq;
        let due = self.next_seq;
        let cause = match (found, due) {
            _ if !self.is_born && self.rebirth.is_wanted => return Ok(()),
            _ if !self.is_born => "no birth was seen".to_owned(),
            (Some(found), Some(due)) if found == due => {
                self.next_seq = Some((found + 1) % 256);
                return Ok(());
            }
            (Some(found), Some(due)) => format!("expected message {due}, found {found} (seq)"),
            (found, _) => format!("expected a seq of 0 to 255, found {found:?}"),
        };
        self.missed(shared, &cause, message.sent(), sink)
    }

    pub(super) fn node_birth(
        &mut self,
        shared: &mut Shared,
        message: &mut Message<'_>,
        sink: Sink<'_>,
    ) -> Result<()> {
        let seq = message.payload.seq.filter(|seq| *seq < 256);
        if seq.is_none() {
            message.reasons.push(format!("expected a seq of 0 to 255, found {:?}", message.payload.seq));
        }
        self.is_born = true;
        self.next_seq = Some(seq.map_or(1, |seq| (seq + 1) % 256));
        self.birth_death_seq = message.payload.birth_death_seq();
        self.rebirth.born();
        for member in self.members.values_mut() {
            // Devices are born after their node.
            member.is_online = false;
            member.metrics = MetricTable::default();
        }
        self.birth(shared, message, sink)
    }

    pub(super) fn device_birth(
        &mut self,
        shared: &mut Shared,
        message: &mut Message<'_>,
        sink: Sink<'_>,
    ) -> Result<()> {
        self.follow(shared, message, sink)?;
        self.birth(shared, message, sink)
    }

    fn birth(&mut self, shared: &mut Shared, message: &mut Message<'_>, sink: Sink<'_>) -> Result<()> {
        let is_born = self.is_born;
        let Some(member) = self.member(message.topic.device) else {
            message.reasons.push(format!("expected at most {MOST_MEMBERS} devices"));
            return Ok(());
        };
        member.metrics = MetricTable::of_birth(&message.payload.metrics, &mut message.reasons);
        member.is_online = true;
        member.series.clear();
        member.is_changed = true;
        let metrics = message.payload.metrics.len();
        for metric in std::mem::take(&mut message.payload.metrics) {
            let Some(name) = metric.name.filter(|name| !name.is_empty()) else { continue };
            if is_series(&metric) {
                member.series.extend(shared.reader.series(&message.topic, name));
            }
            let context = message.context(name, metric.datatype, metric.unit.unwrap_or_default());
            emit(shared, member, &mut message.reasons, &metric, &context, true, sink)?;
        }
        // While the node itself is not born, its devices' births will come once more.
        if is_born { member.close_gaps(message.sent(), metrics, sink) } else { Ok(()) }
    }

    pub(super) fn data(
        &mut self,
        shared: &mut Shared,
        message: &mut Message<'_>,
        sink: Sink<'_>,
    ) -> Result<()> {
        if !message.is_repeated {
            self.follow(shared, message, sink)?;
        }
        let is_born = self.is_born;
        let Some(member) = self.member(message.topic.device) else {
            message.reasons.push(format!("expected at most {MOST_MEMBERS} devices"));
            return Ok(());
        };
        // What the broker delivers once more was sent under the births that were known then.
        let is_trusted = message.is_repeated || (is_born && member.is_online);
        let metrics = std::mem::take(&mut member.metrics);
        let (mut unknown, mut failed) = (false, Ok(()));
        for metric in std::mem::take(&mut message.payload.metrics) {
            let name = metric.name.filter(|name| !name.is_empty());
            let definition = match (name, metric.alias) {
                _ if !is_trusted => None,
                (Some(name), _) => metrics.by_name(name),
                (None, Some(alias)) => metrics.by_alias(alias),
                (None, None) => None,
            };
            unknown |= definition.is_none() && (name.is_none() || metric.datatype.is_none());
            let Some(name) = name.or_else(|| definition.map(|definition| definition.name.as_str())) else {
                message.reasons.push(match metric.alias {
                    Some(alias) => format!("alias {alias} is of no birth that was seen"),
                    None => "a metric has neither name nor alias".to_owned(),
                });
                continue;
            };
            let datatype = definition.and_then(|definition| definition.datatype);
            let unit = definition.map(|definition| definition.unit.as_str()).unwrap_or_default();
            let context = message.context(name, datatype, unit);
            failed = emit(shared, member, &mut message.reasons, &metric, &context, false, sink);
            if failed.is_err() {
                break;
            }
        }
        member.metrics = metrics;
        failed?;
        if unknown && !message.is_repeated {
            // Else the gap of an earlier missing message is open.
            if !member.has_gap() {
                member.open_gap(&shared.feed, "metrics that no birth has named", message.sent(), sink)?;
            }
            self.rebirth.is_wanted = true;
        }
        Ok(())
    }

    pub(super) fn node_death(
        &mut self,
        shared: &Shared,
        message: &Message<'_>,
        sink: Sink<'_>,
    ) -> Result<()> {
        let number = message.payload.birth_death_seq();
        if self.is_born
            && number.is_some()
            && self.birth_death_seq.is_some()
            && number != self.birth_death_seq
        {
            // The broker publishes the death of an earlier connection late.
            tracing::debug!("{}: the death of an earlier session is ignored", self.name);
            return Ok(());
        }
        self.missed(shared, "the node is offline (NDEATH)", message.recv_ts, sink)?;
        // It sends its births when it is back.
        self.rebirth.is_wanted = false;
        Ok(())
    }

    pub(super) fn device_death(
        &mut self,
        shared: &Shared,
        message: &Message<'_>,
        sink: Sink<'_>,
    ) -> Result<()> {
        self.follow(shared, message, sink)?;
        let Some(member) = self.member(message.topic.device) else { return Ok(()) };
        member.is_online = false;
        member.open_gap(&shared.feed, "the device is offline (DDEATH)", message.sent(), sink)
    }
}

/// Emits the readings of a metric.
fn emit(
    shared: &mut Shared,
    member: &mut Member,
    reasons: &mut Vec<String>,
    metric: &Metric<'_>,
    context: &MetricContext<'_>,
    is_birth: bool,
    sink: Sink<'_>,
) -> Result<()> {
    let Shared { reader, payload, .. } = shared;
    let mut failed = Ok(());
    reader.readings(metric, context, &mut |reading| match reading {
        Ok(_) if failed.is_err() => {}
        Ok(reading) => {
            payload.clear();
            json::encode(&Record::Reading(reading), payload);
            failed = sink(Event::Record {
                kind: Kind::READING,
                symbol: reading.series,
                recv_ts: reading.recv_ts,
                payload,
            });
            member.latest = member.latest.max(Some(reading.ts));
            if is_birth {
                member.series.insert(reading.series.to_owned());
            }
        }
        Err(reason) => reasons.push(reason),
    });
    failed
}
