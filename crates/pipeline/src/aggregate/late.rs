//! Sessions of which records came too late: a day that was loaded after a later one, a device that sends what it kept. Their
//! bars are final or were never built; the store has the records.

use super::gaps::Gaps;
use super::session::{entry, id_of, name_of, session_of};
use market::{Record, UnixNanos};
use ports::batch::Partition;
use ports::gap::{Gap, LATE};
use ports::topic::origin;

/// The entry for the gap ledger of the session of a record that came too late, unless the ledger has it or the session's bars
/// were rebuilt with this record.
pub(super) fn entry_of(
    record: &Record<&str>,
    (start, end): (UnixNanos, UnixNanos),
    (partition, offset): (Partition, i64),
    (names, group): (&[String], &str),
    gaps: &Gaps,
) -> Option<Gap> {
    let session = session_of(record, start);
    let id = id_of(LATE, &session, group);
    if gaps.has(&id, &name_of(names, partition), offset) {
        return None;
    }
    let cause = format!(
        "records of its session came after its bars were final or after those of a later session, the first one at {}",
        origin(names, partition, offset)
    );
    Some(entry(id, &session, end.0, cause))
}
