//! An edge node itself, or one of its devices: its metrics, and the gap that is open for it.

use super::births::MetricTable;
use super::message::Sink;
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
    /// In which values may be missing: one, and those that earlier runs left open.
    gaps: Vec<Gap>,
    /// Whether its series have changed since they were saved.
    pub(super) is_changed: bool,
    /// Whether the gaps are those of earlier runs: what opens them again is added to them in the ledger.
    is_restored: bool,
}

/// What is saved of a member, so that a restart finds whom to ask for a birth. Its open gaps are in the ledger.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SavedMember {
    pub(super) group: String,
    pub(super) node: String,
    pub(super) device: String,
    series: Vec<String>,
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
        Self { name, is_changed: true, ..Self::default() }
    }

    /// Values may be missing from the newest one on, or from `otherwise` if none has come.
    pub(super) fn open_gap(
        &mut self,
        feed: &str,
        cause: &str,
        otherwise: UnixNanos,
        sink: Sink<'_>,
    ) -> Result<()> {
        if let Some(gap) = self.gaps.first_mut() {
            if gap.cause.len() < LONGEST_CAUSE && !gap.cause.ends_with(cause) {
                gap.cause = format!("{}; {cause}", gap.cause);
            }
            return if std::mem::take(&mut self.is_restored) { sink(Event::Gap(gap)) } else { Ok(()) };
        }
        let from = self.latest.unwrap_or(otherwise).to_string();
        let (symbols, left) = bounded(&self.series);
        let gap = Gap {
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
        self.gaps.push(gap);
        Ok(())
    }

    /// A gap that the ledger has from an earlier run.
    pub(super) fn resume_gap(&mut self, gap: Gap) {
        self.gaps.push(gap);
        self.is_restored = true;
    }

    /// Whether values may be missing.
    pub(super) fn has_gap(&self) -> bool {
        !self.gaps.is_empty()
    }

    /// A birth has restated every value: the gaps end with it.
    pub(super) fn close_gaps(&mut self, to: UnixNanos, metrics: usize, sink: Sink<'_>) -> Result<()> {
        self.is_restored = false;
        for mut gap in std::mem::take(&mut self.gaps) {
            let from = gap.instant_from()?;
            gap.to = Some(from.max(to).to_string());
            gap.state = GapState::Closed;
            gap.note = Some(format!(
                "ended by a birth that restated {metrics} metrics; of what changed in between only what was sent as historical is known"
            ));
            tracing::info!(from = gap.from, metrics, "{}: born; gap closed", self.name);
            sink(Event::Gap(&gap))?;
        }
        Ok(())
    }

    pub(super) fn to_saved(&self, group: &str, node: &str, device: &str) -> SavedMember {
        SavedMember {
            group: group.to_owned(),
            node: node.to_owned(),
            device: device.to_owned(),
            series: bounded(&self.series).0,
        }
    }

    pub(super) fn of_saved(name: String, saved: SavedMember) -> Self {
        Self { name, series: saved.series.into_iter().collect(), ..Self::default() }
    }
}
