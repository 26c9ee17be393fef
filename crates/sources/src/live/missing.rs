//! Tracks what may have been missed: the open gap, silences that may be stalls, and how each ends.

use super::backfill::Past;
use super::vendor::{HistoryError, HistoryResult, HistorySpan, history};
use super::watch::Suspect;
use super::{LOOK, Live, backfill, hand_over_past};
use market::UnixNanos;
use ports::Result;
use ports::cancel::CancelToken;
use ports::gap::{Gap, GapState};
use ports::source::Event;
use std::time::Instant;

/// A record of history younger than this may still arrive on the stream.
const ON_ITS_WAY_S: f64 = 2.0;

impl Live {
    /// Records may be missing after the newest one; of a symbol whose own numbers show it, after its last one, which may
    /// be much older.
    pub(super) fn missed(
        &mut self,
        cause: &str,
        symbol: Option<&str>,
        sink: &mut dyn FnMut(Event<'_>) -> Result<()>,
    ) -> Result<()> {
        let Some(latest) = self.latest else { return Ok(()) };
        let last = symbol.and_then(|symbol| self.watch.last(symbol)).map(|last| last.0);
        // More is missing of a stalled symbol.
        let from = [self.silent_since.take(), last].into_iter().flatten().fold(latest, i64::min);
        let all = &self.settings.vendor.account().symbols;
        if let Some(open) = &mut self.open {
            open.cause = format!("{}; {cause}", open.cause);
            let earlier = UnixNanos(from) < open.instant_from()?;
            if earlier {
                open.from = UnixNanos(from).to_string();
            }
            let more = symbol.is_none_or(|symbol| !open.symbols.iter().any(|known| known == symbol));
            let more = more && open.symbols != *all;
            if more {
                open.symbols.clone_from(all);
            }
            return if earlier || more { sink(Event::Gap(open)) } else { Ok(()) };
        }
        self.gaps += 1;
        let from = UnixNanos(from).to_string();
        let one = symbol.filter(|symbol| all.iter().any(|known| known == symbol));
        let gap = Gap {
            id: format!("{}|{from}|{}", self.settings.feed, self.gaps),
            feed: self.settings.feed.clone(),
            symbols: one.map_or_else(|| all.clone(), |symbol| vec![symbol.to_owned()]),
            from,
            to: None,
            cause: cause.to_owned(),
            state: GapState::Open,
            proof: None,
            note: None,
            offsets: None,
        };
        tracing::warn!(cause, from = gap.from, "records may be missing; gap added to the ledger");
        sink(Event::Gap(&gap))?;
        self.open = Some(gap);
        Ok(())
    }

    /// Whether a record ends the open gap. One from before the gap was reported late, one of another symbol says nothing
    /// about the gap of one symbol.
    pub(super) fn ends_gap(&self, symbol: &str, ts: UnixNanos) -> Result<bool> {
        let Some(gap) = &self.open else { return Ok(false) };
        let of_all = gap.symbols == self.settings.vendor.account().symbols;
        Ok((of_all || gap.symbols.iter().any(|known| known == symbol)) && gap.instant_from()? <= ts)
    }

    /// A record has arrived after a gap: its end is known, and it can be fetched.
    pub(super) fn fill(
        &mut self,
        to: UnixNanos,
        sink: &mut dyn FnMut(Event<'_>) -> Result<()>,
        stop: &CancelToken,
    ) -> Result<()> {
        let Some(mut gap) = self.open.take() else { return Ok(()) };
        gap.to = Some(to.to_string());
        if self.settings.backfill {
            let (vendor, decoder, watch) =
                (self.settings.vendor.as_ref(), self.decoder.as_mut(), &mut self.watch);
            let (mut payload, http) = (Vec::new(), &self.http);
            let origin = format!("the history of {}", vendor.describe());
            let mut take = |past: Past<'_>| {
                if let Past::Record(record) = past {
                    watch.fetched(record.symbol(), record.ts());
                }
                hand_over_past(past, &origin, http, &mut payload, sink)
            };
            let filled = backfill::fill(vendor, http, &mut gap, decoder, &mut take, stop);
            // The stream was not read in the meantime.
            self.watch.excuse(None);
            match filled {
                Ok(fetched) => {
                    tracing::info!(fetched, from = gap.from, "gap closed: backfilled and confirmed")
                }
                Err(HistoryError::Unavailable(reason)) => {
                    tracing::warn!(reason, from = gap.from, "gap stays open");
                    gap.note = Some(reason);
                }
                Err(HistoryError::Failed(error)) => return Err(error),
            }
        } else {
            gap.note = Some("backfill is disabled (`source.backfill`)".to_owned());
        }
        sink(Event::Gap(&gap))
    }

    /// Checks a silence: returns why to reconnect. The vendor's history distinguishes a stall from a quiet or
    /// halted symbol; if it is unavailable, silence in the regular session counts as a stall.
    pub(super) fn stalled(&mut self, stop: &CancelToken) -> Result<Option<String>> {
        if self.watched.elapsed() < LOOK {
            return Ok(None);
        }
        self.watched = Instant::now();
        for suspect in self.watch.suspects() {
            self.watch.excuse(Some(&suspect.symbol));
            let result = if self.settings.backfill {
                self.unheard(&suspect, stop)
            } else {
                Err(HistoryError::Unavailable("backfill is disabled".to_owned()))
            };
            let silence =
                format!("no record of {} for {:.0} s while connected", suspect.symbol, suspect.silent_s);
            match result {
                Ok(0) => tracing::debug!(silence, "history has none either: quiet or halted"),
                Ok(count) => {
                    self.silent_since = Some(suspect.since.0);
                    return Ok(Some(format!("stall: {silence}, and history has {count}")));
                }
                Err(HistoryError::Failed(error)) => return Err(error),
                Err(HistoryError::Unavailable(_)) if !suspect.regular => {}
                Err(HistoryError::Unavailable(reason)) => {
                    self.silent_since = Some(suspect.since.0);
                    return Ok(Some(format!("stall: {silence}; history is unavailable: {reason}")));
                }
            }
        }
        Ok(None)
    }

    /// After a gap the stream is up but silent: fetches what history has of the gap all the same. The session
    /// may have ended in between.
    pub(super) fn settle(
        &mut self,
        sink: &mut dyn FnMut(Event<'_>) -> Result<()>,
        stop: &CancelToken,
    ) -> Result<()> {
        // While the stream is disconnected, more is being missed.
        let Some(stands) = self.stands else { return Ok(()) };
        let market_s = stands.elapsed().as_secs_f64() * self.settings.speed;
        let Some(gap) =
            self.open.as_ref().filter(|_| self.settings.backfill && market_s > self.settings.stall_s)
        else {
            return Ok(());
        };
        self.stands = Some(Instant::now());
        let from = gap.instant_from()?;
        // A simulator's time is known only from its records.
        let now = match self.watch.now() {
            Some(now) if self.settings.speed != 1.0 => now,
            _ => ports::clock::now(),
        };
        let (vendor, decoder) = (self.settings.vendor.as_ref(), self.decoder.as_mut());
        match backfill::last(vendor, &self.http, &gap.symbols, (from, now), decoder, stop) {
            // After the close no more records are expected.
            Ok(Some(last)) if last > from || self.watch.closed(now) => {
                self.latest = self.latest.max(Some(last.0));
                self.changed = true;
                self.fill(last, sink, stop)
            }
            Ok(_) => Ok(()),
            Err(HistoryError::Unavailable(reason)) => {
                tracing::debug!(reason, "history does not cover the open gap yet");
                Ok(())
            }
            Err(HistoryError::Failed(error)) => Err(error),
        }
    }

    /// Number of records that the vendor's history has since a symbol's last one.
    fn unheard(&self, suspect: &Suspect, stop: &CancelToken) -> HistoryResult<usize> {
        let (vendor, mut count) = (&self.settings.vendor, 0);
        // Recent records may still be in transit.
        let on_its_way = (ON_ITS_WAY_S * self.settings.speed).min(self.settings.stall_s / 2.0);
        let to = UnixNanos(suspect.now.0.saturating_sub((on_its_way * 1e9) as i64));
        for kind in &vendor.account().kinds {
            // Excludes the last record itself: some vendors' times have milliseconds.
            let from = UnixNanos(suspect.since.0.saturating_add(1_000_000));
            let symbols = std::slice::from_ref(&suspect.symbol);
            let span = HistorySpan { kind: *kind, symbols, from, to };
            history(vendor.as_ref(), &self.http, &span, stop, &mut |_, _| {
                count += 1;
                Ok(())
            })?;
        }
        Ok(count)
    }
}
