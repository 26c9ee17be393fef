//! The gap ledger: the spans that a feed may have missed, and why, until they are proven to be backfilled.
//!
//! Each gap is a message of the compacted `gaps` topic, keyed by its id; the newest message holds its state:
//!
//! ```text
//! {"id":"alpaca.iex|2013-10-08T13:31:02.5Z|3","feed":"alpaca.iex","symbols":["SPY"],"from":"2013-10-08T13:31:02.5Z",
//!  "to":"2013-10-08T13:31:09.1Z","cause":"the connection was reset","state":"closed",
//!  "proof":{"fetched":812,"counted_again":812,"digest":"9c…"}}
//! ```
//! `from` is the last record before the gap and `to` the first after it; both lie in the span that is fetched.

use crate::Error;
use crate::Result;
use crate::topic::{LostRange, MessageOrigin, Names, Producer, Topics, send_json};
use market::UnixNanos;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Start of the id of entries for sessions of a symbol whose records are in two partitions, followed by the group and the
/// kind of record. No fetch closes them: their bars are rebuilt from the store.
pub const MOVED: &str = "moved|";
/// As [`MOVED`], of sessions of which records came when their bars were final, or after those of later sessions.
pub const LATE: &str = "late|";

/// State of a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GapState {
    /// Records may be missing.
    Open,
    /// The missing records were fetched from the vendor, and a second request confirmed them.
    Closed,
}

/// Proof that a closed gap is complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GapProof {
    /// Records of the span in the vendor's history, all of them published.
    pub fetched: u64,
    /// Records of the span when requested again.
    pub counted_again: u64,
    /// Digest of their symbols, venues, ids and times, independent of order.
    pub digest: String,
    /// By partition (`topic/partition`), the offset up to which messages were stored when bars were rebuilt from the store:
    /// those bars hold them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub stored_to: BTreeMap<String, i64>,
}

/// A span in which records of a feed may be missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Its id, the message's key.
    pub id: String,
    /// The feed.
    pub feed: String,
    /// The affected symbols.
    pub symbols: Vec<String>,
    /// Event time of the last record before it, RFC 3339.
    pub from: String,
    /// Event time of the first record after it; absent if there is none yet.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub to: Option<String>,
    /// Cause of the gap.
    pub cause: String,
    /// Its state.
    pub state: GapState,
    /// Proof, once it is closed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub proof: Option<GapProof>,
    /// Why it is still open.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
    /// Range of messages, if a topic lost them rather than a feed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub offsets: Option<LostOffsets>,
}

/// Offsets of a partition that were never read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostOffsets {
    /// The topic's full name.
    pub topic: String,
    /// The partition number.
    pub partition: i32,
    /// First offset lost.
    pub from: i64,
    /// First offset after the range; absent if unknown.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub to: Option<i64>,
}

impl Gap {
    /// The time `from`.
    ///
    /// # Errors
    /// The text is not a time: another program wrote it.
    pub fn instant_from(&self) -> Result<UnixNanos> {
        instant(&self.from)
    }

    /// The time `to`, or `from` if the end is unknown.
    ///
    /// # Errors
    /// Like [`Self::instant_from`].
    pub fn instant_to(&self) -> Result<UnixNanos> {
        instant(self.to.as_deref().unwrap_or(&self.from))
    }

    /// The kind of record, if this is a session whose bars are to be rebuilt from the store ([`MOVED`], [`LATE`]).
    #[must_use]
    pub fn session_kind(&self) -> Option<market::Kind> {
        let rest = self.id.strip_prefix(MOVED).or_else(|| self.id.strip_prefix(LATE))?;
        market::Kind::from_name(rest.split('|').nth(1)?.as_bytes())
    }

    /// The gap for a range of offsets that `group` lost; finding the same range again yields the same gap.
    #[must_use]
    pub fn of_lost(range: &LostRange, topics: &[String], group: &str) -> Self {
        let topic = topics.get(range.partition.topic as usize).map_or("?", String::as_str);
        let (partition, from) = (range.partition.number, range.from);
        let to = range.to.map_or_else(|| "?".to_owned(), |to| to.to_string());
        let now = crate::clock::now().to_string();
        Self {
            id: format!("offsets|{group}|{topic}/{partition}|{from}-{to}"),
            feed: String::new(),
            symbols: Vec::new(),
            from: now.clone(),
            to: Some(now),
            cause: range.describe(topics),
            state: GapState::Open,
            proof: None,
            note: Some("which records they were is unknown; fetch the span from the source again".to_owned()),
            offsets: Some(LostOffsets { topic: topic.to_owned(), partition, from, to: range.to }),
        }
    }

    /// Publishes the current state.
    ///
    /// # Errors
    /// The topic rejected it.
    pub fn send(&self, names: &Names, producer: &mut dyn Producer) -> Result<()> {
        send_json(producer, &names.gaps(), &self.id, "gap", self)
    }
}

fn instant(text: &str) -> Result<UnixNanos> {
    UnixNanos::parse(text).map_err(|error| Error::internal(format!("invalid gap in the ledger: {error}")))
}

/// All gaps in their current state, oldest first.
///
/// # Errors
/// The topic cannot be read, or a message is not a gap.
pub fn ledger(topics: &dyn Topics, names: &Names) -> Result<Vec<Gap>> {
    let (mut gaps, mut wrong) = (BTreeMap::<String, (MessageOrigin, Gap)>::new(), None);
    topics.read_all(
        &[names.gaps()],
        &mut |message| match serde_json::from_slice::<Gap>(message.payload()) {
            Ok(gap) => {
                let origin = MessageOrigin::of(message);
                if gaps.get(&gap.id).is_none_or(|(known, _)| !known.is_later_than(origin)) {
                    gaps.insert(gap.id.clone(), (origin, gap));
                }
            }
            Err(error) => wrong = Some(format!("{}@{}: {error}", names.gaps(), message.offset())),
        },
    )?;
    if let Some(wrong) = wrong {
        return Err(Error::user(format!("not a gap: {wrong}"))
            .hint("another program writes to this topic; choose another `topic.prefix`"));
    }
    let mut gaps: Vec<Gap> = gaps.into_values().map(|(_, gap)| gap).collect();
    gaps.sort_by(|a, b| (&a.from, &a.id).cmp(&(&b.from, &b.id)));
    Ok(gaps)
}
