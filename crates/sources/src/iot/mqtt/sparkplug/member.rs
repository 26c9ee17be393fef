//! An edge node itself, or one of its devices: its metrics, and the gap that is open for it.

use super::Sink;
use super::births::MetricTable;
use market::UnixNanos;
use ports::Result;
use ports::gap::{Gap, GapState};
use ports::source::Event;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Bytes of the names of series in one entry of the gap ledger, and in a saved position: Kafka's default limit for a message
/// is 1,000,000 bytes.
const NAMES: usize = 400_000;
/// Longest cause of a gap, to which later ones are added.
const LONGEST_CAUSE: usize = 500;

/// An edge node itself, or one of its devices.
#[derive(Debug, Default)]
pub(super) struct Member {
    /// `GROUP/NODE` or `GROUP/NODE/DEVICE`.
    pub(super) name: String,
    /// Whether a birth has come, and neither a death nor a missing message since.
    pub(super) is_online: bool,
    pub(super) metrics: MetricTable,
    /// Series of its last birth.
    pub(super) series: BTreeSet<String>,
    /// Newest event time.
    pub(super) latest: Option<UnixNanos>,
    /// In which values may be missing.
    pub(super) gap: Option<Gap>,
    /// Whether series or gap have changed since they were saved.
    pub(super) is_changed: bool,
    /// Whether the gap is that of an earlier run, which may have ended it in the ledger after it was saved.
    is_restored: bool,
}

/// What is saved of a member, so that a restart finds whom to ask for a birth, and which gap that closes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SavedMember {
    pub(super) group: String,
    pub(super) node: String,
    pub(super) device: String,
    series: Vec<String>,
    /// Its open gap without the series.
    gap: Option<Gap>,
}

/// As many of the names as an entry has room for, and how many are left out.
fn bounded(series: &BTreeSet<String>) -> (Vec<String>, usize) {
    let mut room = NAMES;
    let kept = series.iter().map_while(|name| {
        room = room.checked_sub(name.len() + 3)?;
        Some(name.clone())
    });
    let kept: Vec<String> = kept.collect();
    let left = series.len() - kept.len();
    (kept, left)
}

impl Member {
    pub(super) fn new(name: String) -> Self {
        Self { name, ..Self::default() }
    }

    /// Values may be missing from the newest one on, or from `otherwise` if none has come.
    pub(super) fn open_gap(
        &mut self,
        feed: &str,
        cause: &str,
        otherwise: UnixNanos,
        sink: Sink<'_>,
    ) -> Result<()> {
        if let Some(gap) = &mut self.gap {
            if gap.cause.len() < LONGEST_CAUSE && !gap.cause.ends_with(cause) {
                gap.cause = format!("{}; {cause}", gap.cause);
            }
            return if std::mem::take(&mut self.is_restored) { sink(Event::Gap(gap)) } else { Ok(()) };
        }
        let from = self.latest.unwrap_or(otherwise).to_string();
        let (symbols, left) = bounded(&self.series);
        let gap = Gap {
            // Found again after a crash it is the same gap.
            id: format!("{feed}|{}|{from}", self.name),
            feed: feed.to_owned(),
            symbols,
            from,
            to: None,
            cause: format!("{}: {cause}", self.name),
            state: GapState::Open,
            proof: None,
            note: (left > 0).then(|| format!("and {left} more series")),
            offsets: None,
        };
        tracing::warn!(
            cause,
            from = gap.from,
            "{}: readings may be missing; gap added to the ledger",
            self.name
        );
        sink(Event::Gap(&gap))?;
        self.gap = Some(gap);
        self.is_changed = true;
        Ok(())
    }

    /// A birth has restated every value: the gap ends with it.
    pub(super) fn close_gap(&mut self, to: UnixNanos, metrics: usize, sink: Sink<'_>) -> Result<()> {
        let Some(mut gap) = self.gap.take() else { return Ok(()) };
        let from = gap.instant_from()?;
        gap.to = Some(from.max(to).to_string());
        gap.state = GapState::Closed;
        gap.note = Some(format!(
            "ended by a birth that restated {metrics} metrics; of what changed in between only what was sent as historical is known"
        ));
        self.is_changed = true;
        tracing::info!(from = gap.from, metrics, "{}: born; gap closed", self.name);
        sink(Event::Gap(&gap))
    }

    pub(super) fn to_saved(&self, group: &str, node: &str, device: &str) -> SavedMember {
        SavedMember {
            group: group.to_owned(),
            node: node.to_owned(),
            device: device.to_owned(),
            series: bounded(&self.series).0,
            gap: self.gap.clone().map(|gap| Gap { symbols: Vec::new(), ..gap }),
        }
    }

    pub(super) fn of_saved(name: String, saved: SavedMember) -> Self {
        let gap = saved.gap.map(|gap| Gap { symbols: saved.series.clone(), ..gap });
        Self { series: saved.series.into_iter().collect(), gap, is_restored: true, ..Self::new(name) }
    }
}
