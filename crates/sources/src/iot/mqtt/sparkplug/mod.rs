//! Sparkplug B: births, values and deaths of edge nodes and their devices.
//!
//! | module | contents |
//! |---|---|
//! | `births` | what a birth has defined: names, aliases, data types, units |
//! | `message` | a message of a node, and what all nodes share |
//! | `member` | a node itself or one of its devices, and its open gap |
//! | `node` | sequence numbers, births, values and deaths of one node; requests for a rebirth |
//!
//! Nodes publish with QoS 0: what is lost between them and us is never sent again. Each message of a node has a number
//! from 0 to 255. After a missing number, a lost connection or our own restart a birth may be among what was missed, so no alias is
//! trusted, a gap is in the ledger for the node and each of its devices, and the node is requested to send its
//! births (`Node Control/Rebirth`); they restate every value and end the gaps. A metric whose alias is unknown until then is a dead
//! letter. Which nodes there are is saved with the source's position; what their aliases stand for is not, as it may have
//! changed since.

mod births;
mod member;
mod message;
mod node;
#[cfg(test)]
mod tests;

use market::codec::sparkplug::payload::Payload;
use market::codec::sparkplug::{MessageType, MetricReader, MetricTopic, rebirth_request};
use market::{Kind, UnixNanos};
use member::{Member, SavedMember};
use message::{Message, Shared, Sink};
use node::Node;
use ports::Result;
use ports::dead_letter::{DeadLetter, Stage};
use ports::gap::Gap;
use ports::source::{Event, Positions};
use std::collections::BTreeMap;
use std::time::Instant;

/// Requests sent at once.
const AT_ONCE: usize = 32;
/// Reasons named in one dead letter.
const REASONS: usize = 3;
/// Nodes of one source.
const MOST_NODES: usize = 100_000;

/// The nodes that a session with a broker receives.
pub(super) struct Sparkplug {
    shared: Shared,
    /// `mqtt://HOST:PORT`.
    place: String,
    /// Start of the names of saved positions.
    position: String,
    nodes: BTreeMap<(String, String), Node>,
    /// When the last message came; zero if never.
    heard: UnixNanos,
    saved: UnixNanos,
    was_connected: bool,
    /// Whether a node or device has come that is not saved.
    is_new_member: bool,
    /// Whether rebirth requests may be sent.
    may_request: bool,
}

impl Sparkplug {
    pub(super) fn new(feed: &str, reader: MetricReader, place: &str, may_request: bool) -> Self {
        Self {
            shared: Shared { feed: feed.to_owned(), reader, payload: Vec::new() },
            place: place.to_owned(),
            position: format!("sparkplug:{feed}@{place}"),
            nodes: BTreeMap::new(),
            heard: UnixNanos(0),
            saved: UnixNanos(0),
            was_connected: false,
            is_new_member: false,
            may_request,
        }
    }

    /// Takes up the nodes of an earlier run. Returns their number.
    pub(super) fn resume(&mut self, positions: &Positions) -> usize {
        let heard = positions.get(&self.position).and_then(|bytes| serde_json::from_slice::<i64>(bytes).ok());
        self.heard = heard.map_or(UnixNanos(0), UnixNanos);
        self.saved = self.heard;
        let prefix = format!("{}/", self.position);
        for (name, bytes) in positions.range(prefix.clone()..) {
            if !name.starts_with(&prefix) {
                break;
            }
            let Ok(saved) = serde_json::from_slice::<SavedMember>(bytes) else {
                tracing::warn!(
                    "position {name} is not readable: its node is known again after its next message"
                );
                continue;
            };
            let key = (saved.group.clone(), saved.node.clone());
            let node =
                self.nodes.entry(key).or_insert_with_key(|(group, node)| Node::new(name_of(group, node)));
            let device = saved.device.clone();
            let name = if device.is_empty() { node.name.clone() } else { format!("{}/{device}", node.name) };
            node.members.insert(device, Member::of_saved(name, saved));
        }
        self.nodes.len()
    }

    /// Takes up the gaps that earlier runs left open in the ledger, and the members they are of: a run that was killed may
    /// not have saved them.
    pub(super) fn resume_gaps(&mut self, gaps: Vec<Gap>) {
        let prefix = format!("{}|", self.shared.feed);
        for gap in gaps.into_iter().filter(|gap| gap.feed == self.shared.feed) {
            let Some((name, _)) = gap.id.strip_prefix(&prefix).and_then(|rest| rest.rsplit_once('|')) else {
                continue;
            };
            // Names of groups, nodes and devices have no slash.
            let (group, node, device) = match name.split('/').collect::<Vec<_>>()[..] {
                [group, node] => (group, node, ""),
                [group, node, device] => (group, node, device),
                _ => continue,
            };
            let key = (group.to_owned(), node.to_owned());
            let node = self.nodes.entry(key).or_insert_with(|| Node::new(name_of(group, node)));
            if let Some(member) = node.member(device) {
                member.resume_gap(gap);
            }
        }
    }

    /// Whether a node or device is new: killed before it is saved, we would not know of it.
    pub(super) fn has_urgent_positions(&self) -> bool {
        self.is_new_member
    }

    pub(super) fn positions(&mut self) -> Positions {
        self.is_new_member = false;
        let mut out = Positions::new();
        if self.heard != self.saved {
            self.saved = self.heard;
            out.insert(self.position.clone(), self.heard.0.to_string().into_bytes());
        }
        for ((group, node), state) in &mut self.nodes {
            for (device, member) in state.members.iter_mut().filter(|(_, member)| member.is_changed) {
                if let Ok(json) = serde_json::to_vec(&member.to_saved(group, node, device)) {
                    out.insert(format!("{}/{group}/{node}/{device}", self.position), json);
                    member.is_changed = false;
                }
            }
        }
        out
    }

    /// The broker has accepted a connection: what nodes have sent since the last one is lost.
    pub(super) fn connected(&mut self, sink: Sink<'_>) -> Result<()> {
        let cause = if self.was_connected {
            "the connection to the broker was lost"
        } else {
            "nothing was received since the last run"
        };
        self.was_connected = true;
        let since = if self.heard.0 == 0 { ports::clock::now() } else { self.heard };
        self.nodes.values_mut().try_for_each(|node| node.missed(&self.shared, cause, since, sink))
    }

    /// Topics and payloads of the requests that are due.
    pub(super) fn requests(&mut self, now: Instant) -> Vec<(String, Vec<u8>)> {
        if !self.may_request {
            return Vec::new();
        }
        let due = self.nodes.iter_mut().filter_map(|((group, node), state)| {
            state.rebirth.is_due(&state.name, now).then(|| {
                tracing::info!("{}: requesting a rebirth", state.name);
                rebirth_request(group, node, ports::clock::now())
            })
        });
        due.take(AT_ONCE).collect()
    }

    /// Processes a message. `is_repeated` says that the broker may have delivered it before.
    pub(super) fn message(
        &mut self,
        topic: &str,
        bytes: &[u8],
        is_repeated: bool,
        sink: Sink<'_>,
    ) -> Result<()> {
        let recv_ts = ports::clock::now();
        self.heard = recv_ts;
        let reasons = match MetricTopic::parse(topic) {
            // Commands (our own among them) and states of hosts are not readings.
            Ok(topic) if topic.message == MessageType::FromHost => return Ok(()),
            Ok(topic) => self.of_node(topic, bytes, is_repeated, recv_ts, sink)?,
            Err(reason) => vec![reason],
        };
        if reasons.is_empty() {
            return Ok(());
        }
        let more = match reasons.len().saturating_sub(REASONS) {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        let reasons: Vec<String> = reasons.into_iter().take(REASONS).collect();
        sink(Event::Dead(DeadLetter {
            stage: Stage::Source,
            origin: format!("{}/{topic}", self.place),
            reason: reasons.join("; ") + &more,
            kind: Kind::READING.name().to_owned(),
            raw: bytes.to_vec(),
            ..DeadLetter::default()
        }))
    }

    /// Why parts of the message, or all of it, are not readings.
    fn of_node(
        &mut self,
        topic: MetricTopic<'_>,
        bytes: &[u8],
        is_repeated: bool,
        recv_ts: UnixNanos,
        sink: Sink<'_>,
    ) -> Result<Vec<String>> {
        let key = (topic.group.to_owned(), topic.node.to_owned());
        if self.nodes.len() >= MOST_NODES && !self.nodes.contains_key(&key) {
            return Ok(vec![format!("expected at most {MOST_NODES} edge nodes")]);
        }
        let (nodes, shared) = (&mut self.nodes, &mut self.shared);
        let known = nodes.get(&key).map_or(0, |node| node.members.len());
        let node = nodes.entry(key).or_insert_with(|| Node::new(name_of(topic.group, topic.node)));
        let payload = match Payload::parse(bytes) {
            Ok(payload) => payload,
            Err(error) => {
                node.missed(shared, "a message could not be read", recv_ts, sink)?;
                return Ok(vec![error.to_string()]);
            }
        };
        let mut message = Message { topic, payload, recv_ts, is_repeated, reasons: Vec::new() };
        match topic.message {
            MessageType::NodeBirth => node.node_birth(shared, &mut message, sink)?,
            MessageType::DeviceBirth => node.device_birth(shared, &mut message, sink)?,
            MessageType::NodeData | MessageType::DeviceData => node.data(shared, &mut message, sink)?,
            MessageType::NodeDeath => node.node_death(shared, &message, sink)?,
            MessageType::DeviceDeath => node.device_death(shared, &message, sink)?,
            MessageType::FromHost => {}
        }
        self.is_new_member |= node.members.len() > known;
        Ok(message.reasons)
    }
}

fn name_of(group: &str, node: &str) -> String {
    format!("{group}/{node}")
}
