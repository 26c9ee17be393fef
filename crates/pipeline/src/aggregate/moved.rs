//! Finds symbols whose records of one session are in two partitions, as after partitions were added to their topic. Each
//! partition has its own aggregator, so their bars hold the records of only one of the two.

use market::{Kind, Record, UnixNanos};
use ports::batch::Partition;
use ports::gap::{Gap, GapState, MOVED};
use ports::topic::origin;
use rustc_hash::FxHashMap;

/// Kind, feed, symbol and start of the session.
type Session = (Kind, String, String, i64);

/// What rebuilds such a session's bars.
pub(super) const NOTE: &str =
    "rebuild its bars once its records are stored: tapeline aggregate --rebuild-moved";

/// Sessions begun, with their ends and the partition in which they began.
#[derive(Default)]
pub(super) struct Sessions(FxHashMap<Session, (i64, Partition)>);

impl Sessions {
    /// Notes the session that a record began in its partition. Returns an entry for the gap ledger if the session began in
    /// another partition before.
    pub(super) fn begin(
        &mut self,
        record: &Record<&str>,
        (start, end): (UnixNanos, UnixNanos),
        partition: Partition,
        topics: &[String],
        group: &str,
    ) -> Option<Gap> {
        let (kind, feed, symbol) =
            (record.kind(), (*record.feed()).to_owned(), (*record.symbol()).to_owned());
        let session = (kind, feed.clone(), symbol.clone(), start.0);
        let (_, first) = *self.0.entry(session).or_insert((end.0, partition));
        if first == partition {
            return None;
        }
        let name = |partition| origin(topics, partition, 0).trim_end_matches("@0").to_owned();
        let (first, second) = (name(first), name(partition));
        Some(Gap {
            id: format!("{MOVED}{group}|{}|{feed}|{symbol}|{start}", kind.name()),
            feed,
            symbols: vec![symbol],
            from: start.to_string(),
            // Its end is the next session's start, whose bars are complete.
            to: Some(UnixNanos(end.0 - 1).to_string()),
            cause: format!(
                "records of one session are in {first} and in {second}: its bars hold those of one"
            ),
            state: GapState::Open,
            proof: None,
            note: Some(NOTE.to_owned()),
            offsets: None,
        })
    }

    /// Forgets the sessions of partitions that another member owns now.
    pub(super) fn forget(&mut self, partitions: &[Partition]) {
        self.0.retain(|_, (_, first)| !partitions.contains(first));
    }

    /// Forgets sessions that ended before `time`: no record of them is expected.
    pub(super) fn forget_before(&mut self, time: i64) {
        self.0.retain(|_, (end, _)| *end >= time);
    }
}
