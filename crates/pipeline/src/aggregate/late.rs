//! Sessions of which records came too late: a day that was loaded after a later one, a device that sends what it kept. Their
//! bars are final or were never built; the store has the records.

use super::gaps::Gaps;
use super::session::{entry, id_of, name_of, session_of};
use market::{Record, UnixNanos};
use ports::batch::Partition;
use ports::gap::{Gap, GapState, LATE};
use ports::topic::origin;

/// What the gap ledger has of the session of a record that came too late.
pub(super) enum Session {
    /// Its bars were rebuilt with this record, which is read again.
    Rebuilt,
    /// An open entry.
    Marked,
    /// Nothing yet: the entry to add.
    New(Gap),
}

/// Looks up the session of a record that came too late.
pub(super) fn look_up(
    record: &Record<&str>,
    (start, end): (UnixNanos, UnixNanos),
    (partition, offset): (Partition, i64),
    (names, group): (&[String], &str),
    gaps: &Gaps,
) -> Session {
    let session = session_of(record, start);
    let id = id_of(LATE, &session, group);
    match gaps.session(&id) {
        Some(gap) if gap.state == GapState::Open => return Session::Marked,
        Some(gap) => {
            let stored_to =
                gap.proof.as_ref().and_then(|proof| proof.stored_to.get(&name_of(names, partition)));
            if stored_to.is_some_and(|to| offset < *to) {
                return Session::Rebuilt;
            }
        }
        None => {}
    }
    let cause = format!(
        "records of its session came after its bars were final or after those of a later session, the first one at {}",
        origin(names, partition, offset)
    );
    Session::New(entry(id, &session, end.0, cause))
}
