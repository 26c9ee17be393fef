//! Backfills a gap from the vendor's history, and proves it: the whole span is published and includes the
//! records at both ends of the gap, and a second request returns the same records.

use super::vendor::{HistoryError, HistoryResult, HistorySpan, Vendor, history};
use crate::http::Http;
use market::codec::feed::{Decode, FeedMessage};
use market::digest::Digest;
use market::{Record, UnixNanos};
use ports::cancel::CancelToken;
use ports::gap::{Gap, GapProof, GapState};
use ports::{Result, clock};
use std::collections::BTreeMap;
use std::time::Duration;

/// Cause of a gap that a person requests: its ends are not records.
pub(super) const REQUESTED: &str = "requested by the user";
/// Nanoseconds fetched beyond both ends.
const MARGIN: i64 = 1_000_000_000;
/// Number of attempts, a second apart: the vendor's history may lag behind its stream.
const TRIES: u32 = 5;

/// A record of history.
#[derive(Debug, Clone, Copy)]
pub(super) enum Past<'a> {
    /// A valid record.
    Record(&'a Record<&'a str>),
    /// An invalid record: the reason and its text, for a dead letter.
    Refused(&'a str, &'a str),
}

/// Fetches a gap's span and emits it. Returns the number of records.
///
/// # Errors
/// Why the gap stays open, or that a record could not be emitted.
pub(super) fn fill(
    vendor: &dyn Vendor,
    http: &Http,
    gap: &mut Gap,
    decoder: &mut dyn Decode,
    take: &mut dyn FnMut(Past<'_>) -> Result<()>,
    stop: &CancelToken,
) -> HistoryResult<u64> {
    let (from, to) = (gap.instant_from()?, gap.instant_to()?);
    let mut last = String::new();
    for attempt in 0..TRIES {
        if attempt > 0 && stop.sleep(Duration::from_secs(1)) {
            break;
        }
        let fetched = walk(vendor, http, &gap.symbols, (from, to), decoder, stop, take)?;
        let again = walk(vendor, http, &gap.symbols, (from, to), decoder, stop, &mut |_| Ok(()))?;
        let ends = gap.cause == REQUESTED
            || fetched.first.is_some_and(|ts| ts <= from) && fetched.last.is_some_and(|ts| ts >= to);
        if ends && fetched.digest == again.digest {
            gap.state = GapState::Closed;
            gap.note = None;
            gap.proof = Some(GapProof {
                fetched: fetched.digest.count,
                counted_again: again.digest.count,
                digest: fetched.digest.to_string(),
                stored_to: BTreeMap::new(),
            });
            return Ok(fetched.digest.count);
        }
        last = format!(
            "the vendor's history has {} records of the gap, {} when requested again, and {} the records at its ends",
            fetched.digest.count,
            again.digest.count,
            if ends { "has" } else { "lacks" }
        );
    }
    Err(HistoryError::Unavailable(last))
}

/// The last record of some symbols in a span that history has.
pub(super) fn last(
    vendor: &dyn Vendor,
    http: &Http,
    symbols: &[String],
    (from, to): (UnixNanos, UnixNanos),
    decoder: &mut dyn Decode,
    stop: &CancelToken,
) -> HistoryResult<Option<UnixNanos>> {
    Ok(walk(vendor, http, symbols, (from, to), decoder, stop, &mut |_| Ok(()))?.last)
}

/// Emits the full history of a span, and up to a second more at both ends. Returns the number of records.
pub(super) fn all(
    vendor: &dyn Vendor,
    http: &Http,
    span: (UnixNanos, UnixNanos),
    decoder: &mut dyn Decode,
    stop: &CancelToken,
    take: &mut dyn FnMut(Past<'_>) -> Result<()>,
) -> HistoryResult<u64> {
    let symbols = &vendor.account().symbols;
    Ok(walk(vendor, http, symbols, span, decoder, stop, take)?.digest.count)
}

#[derive(Default)]
struct Found {
    digest: Digest,
    first: Option<UnixNanos>,
    last: Option<UnixNanos>,
}

/// Reads all of a span's records; emits those within the gap's ends, including margins.
fn walk(
    vendor: &dyn Vendor,
    http: &Http,
    symbols: &[String],
    (from, to): (UnixNanos, UnixNanos),
    decoder: &mut dyn Decode,
    stop: &CancelToken,
    take: &mut dyn FnMut(Past<'_>) -> Result<()>,
) -> HistoryResult<Found> {
    // Fetched beyond both ends: records of one time may come in any order.
    let (start, end) = (UnixNanos(from.0.saturating_sub(MARGIN)), UnixNanos(to.0.saturating_add(MARGIN)));
    let (mut found, mut scratch) = (Found::default(), Vec::new());
    decoder.rewind();
    for kind in &vendor.account().kinds {
        let requested = HistorySpan { kind: *kind, symbols, from: start, to: end };
        history(vendor, http, &requested, stop, &mut |symbol, raw| {
            let mut done = Ok(());
            decoder.past(*kind, symbol, raw, clock::now(), &mut |outcome, raw| match outcome {
                Ok(FeedMessage::Record(record)) => {
                    let ts = record.ts();
                    found.first = Some(found.first.map_or(ts, |first| first.min(ts)));
                    found.last = Some(found.last.map_or(ts, |last| last.max(ts)));
                    found.digest.add(&record, &mut scratch);
                    done = take(Past::Record(&record));
                }
                Ok(_) => {}
                // An invalid record becomes a dead letter and is thus accounted for: its gap does not stay
                // open because of it.
                Err(reason) => done = take(Past::Refused(&reason, raw)),
            });
            done
        })?;
    }
    Ok(found)
}
