//! Injected faults. The same seed injects the same faults at the same records.

/// A fault, each seen at a real vendor (issue trackers are listed in docs/sources.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection ends silently.
    Drop,
    /// The connection stays open and pings are answered, but no more records arrive.
    Stall,
    /// A frame is sent twice.
    Duplicate,
    /// The records of a frame are in the wrong order.
    Reorder,
    /// A frame is truncated.
    Cut,
    /// 407 slow client, and the connection ends.
    Slow,
    /// The connection ends, and the next is refused with 406 connection limit exceeded.
    Limit,
    /// The connection ends, and the next handshake gets HTTP 429.
    TooMany,
    /// A frame is omitted: only if the vendor has sequence numbers.
    Hole,
    /// A frame is larger than any client accepts.
    Giant,
    /// A trade has a wrong price and is corrected: only if the vendor sends corrections.
    Correction,
    /// A false trade is sent, and canceled.
    Cancel,
}

pub(super) const ALL: [Fault; 12] = [
    Fault::Drop,
    Fault::Stall,
    Fault::Duplicate,
    Fault::Reorder,
    Fault::Cut,
    Fault::Slow,
    Fault::Limit,
    Fault::TooMany,
    Fault::Hole,
    Fault::Giant,
    Fault::Correction,
    Fault::Cancel,
];

impl Fault {
    /// Display name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Stall => "stall",
            Self::Duplicate => "duplicate",
            Self::Reorder => "reorder",
            Self::Cut => "cut frame",
            Self::Slow => "slow client",
            Self::Limit => "connection limit",
            Self::TooMany => "HTTP 429",
            Self::Hole => "sequence gap",
            Self::Giant => "giant frame",
            Self::Correction => "correction",
            Self::Cancel => "cancel",
        }
    }

    /// Whether it concerns a trade and appears in history too.
    pub(super) const fn amends(self) -> bool {
        matches!(self, Self::Correction | Self::Cancel)
    }
}

/// Positions of the faults in a tape of this many records: every kind in turn, at positions derived from the
/// seed, none in the first or last tenth.
pub(super) fn plan(seed: u64, count: usize, records: usize, kinds: &[Fault]) -> Vec<(usize, Fault)> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let (first, room) = (records / 10, (records * 8 / 10).max(1));
    let mut plan: Vec<(usize, Fault)> = (0..count)
        .map(|index| (first + (next() % room as u64) as usize, kinds[index % kinds.len()]))
        .collect();
    plan.sort_by_key(|(place, _)| *place);
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_the_same_faults_of_every_kind() {
        let faults = plan(7, 36, 10_000, &ALL);
        assert_eq!(faults, plan(7, 36, 10_000, &ALL));
        assert_ne!(faults, plan(8, 36, 10_000, &ALL));
        assert!(ALL.iter().all(|kind| faults.iter().filter(|(_, fault)| fault == kind).count() == 3));
        assert!(faults.iter().all(|(place, _)| (1_000..9_000).contains(place)));
    }
}
