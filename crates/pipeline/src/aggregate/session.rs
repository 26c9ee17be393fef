//! Sessions in the gap ledger whose bars are to be rebuilt from the stored records.

use market::{Kind, Record, UnixNanos};
use ports::batch::Partition;
use ports::gap::{Gap, GapState};
use ports::topic::origin;

/// Kind, feed, symbol and start of the session.
pub(super) type Session = (Kind, String, String, i64);

/// What rebuilds such a session's bars.
pub(super) const NOTE: &str = "rebuild its bars once its records are stored: tapeline aggregate --rebuild";

/// The name of a partition.
pub(super) fn name_of(topics: &[String], partition: Partition) -> String {
    origin(topics, partition, 0).trim_end_matches("@0").to_owned()
}

/// The name under which something about a partition is saved.
pub(super) fn position_name(prefix: &str, group: &str, topics: &[String], partition: Partition) -> String {
    format!("{prefix}{group}:{}", name_of(topics, partition))
}

pub(super) fn session_of(record: &Record<&str>, start: UnixNanos) -> Session {
    (record.kind(), (*record.feed()).to_owned(), (*record.symbol()).to_owned(), start.0)
}

/// The id of a session's entry; `prefix` names why it is there.
pub(super) fn id_of(prefix: &str, (kind, feed, symbol, start): &Session, group: &str) -> String {
    format!("{prefix}{group}|{}|{feed}|{symbol}|{}", kind.name(), UnixNanos(*start))
}

/// A session's entry for the gap ledger.
pub(super) fn entry(id: String, session: &Session, end: i64, cause: String) -> Gap {
    let (_, feed, symbol, start) = session;
    Gap {
        id,
        feed: feed.clone(),
        symbols: vec![symbol.clone()],
        from: UnixNanos(*start).to_string(),
        // Its end is the next session's start, whose bars are complete.
        to: Some(UnixNanos(end - 1).to_string()),
        cause,
        state: GapState::Open,
        proof: None,
        note: Some(NOTE.to_owned()),
        offsets: None,
    }
}
