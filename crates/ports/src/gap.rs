//! The gap ledger: what a feed is known to have missed, from when to when and why, until it is proven to be fetched.
//!
//! Each gap is a message of the compacted `gaps` topic under its id; the newest says how it stands:
//!
//! ```text
//! {"id":"alpaca.iex|2013-10-08T13:31:02.5Z|3","feed":"alpaca.iex","symbols":["SPY"],"from":"2013-10-08T13:31:02.5Z",
//!  "to":"2013-10-08T13:31:09.1Z","cause":"the connection was reset","state":"closed",
//!  "proof":{"fetched":812,"counted_again":812,"digest":"9c…"}}
//! ```
//! `from` is the last record before the gap and `to` the first after it; both lie in the span that is fetched.

use crate::Error;
use crate::Result;
use crate::topic::{LostRange, Names, Producer, Topics, send_json};
use market::UnixNanos;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How a gap stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Records may be missing.
    Open,
    /// What was missing was fetched from the vendor and counted again.
    Closed,
}

/// Why a closed gap is held to be closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Records of the span that the vendor's history holds, all of them published.
    pub fetched: u64,
    /// How many it held when asked again.
    pub counted_again: u64,
    /// Of their symbols, venues, ids and times, in any order.
    pub digest: String,
}

/// A span in which records of a feed may be missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Its name, the message's key.
    pub id: String,
    /// Which feed.
    pub feed: String,
    /// Whose records.
    pub symbols: Vec<String>,
    /// Event time of the last record before it, RFC 3339.
    pub from: String,
    /// Event time of the first record after it; absent while there is none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub to: Option<String>,
    /// What happened.
    pub cause: String,
    /// How it stands.
    pub state: State,
    /// Once it is closed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub proof: Option<Proof>,
    /// Why it is still open.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
    /// The messages lost, where a topic lost them and not a feed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub offsets: Option<LostOffsets>,
}

/// Offsets of a partition that were never read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostOffsets {
    /// The topic's full name.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
    /// First offset lost.
    pub from: i64,
    /// First offset after the range; absent where it is unknown.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub to: Option<i64>,
}

impl Gap {
    /// The instant of `from`.
    ///
    /// # Errors
    /// It is none: somebody else wrote it.
    pub fn instant_from(&self) -> Result<UnixNanos> {
        instant(&self.from)
    }

    /// The instant of `to`; of `from` while it is not known.
    ///
    /// # Errors
    /// As [`Self::instant_from`].
    pub fn instant_to(&self) -> Result<UnixNanos> {
        instant(self.to.as_deref().unwrap_or(&self.from))
    }

    /// The entry of a range of offsets that `group` lost; the same range found again is the same entry.
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
            state: State::Open,
            proof: None,
            note: Some("which records they were is unknown; fetch the span from the source again".to_owned()),
            offsets: Some(LostOffsets { topic: topic.to_owned(), partition, from, to: range.to }),
        }
    }

    /// Publishes how it stands now.
    ///
    /// # Errors
    /// The topic's.
    pub fn send(&self, names: &Names, producer: &mut dyn Producer) -> Result<()> {
        send_json(producer, &names.gaps(), &self.id, "gap", self)
    }
}

fn instant(text: &str) -> Result<UnixNanos> {
    UnixNanos::parse(text).map_err(|error| Error::internal(format!("a gap of the ledger: {error}")))
}

/// All gaps as they stand, oldest first.
///
/// # Errors
/// The topic's, or a message that is no gap.
pub fn ledger(topics: &dyn Topics, names: &Names) -> Result<Vec<Gap>> {
    let (mut gaps, mut wrong) = (BTreeMap::new(), None);
    topics.read_all(
        &[names.gaps()],
        &mut |message| match serde_json::from_slice::<Gap>(message.payload()) {
            Ok(gap) => {
                gaps.insert(gap.id.clone(), gap);
            }
            Err(error) => wrong = Some(format!("{}@{}: {error}", names.gaps(), message.offset())),
        },
    )?;
    if let Some(wrong) = wrong {
        return Err(Error::user(format!("a message that is no gap: {wrong}"))
            .hint("another program writes to this topic; choose another topic.prefix"));
    }
    let mut gaps: Vec<Gap> = gaps.into_values().collect();
    gaps.sort_by(|a, b| (&a.from, &a.id).cmp(&(&b.from, &b.id)));
    Ok(gaps)
}
