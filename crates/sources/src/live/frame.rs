//! Processes a frame: emits its records, reports its other messages, and keeps what cannot be decoded.

use super::{CLOCKS, IN_A_ROW, Live, bars_of, hand_over};
use market::codec::feed::{FeedMessage, Idle};
use market::{Record, UnixNanos};
use ports::Result;
use ports::cancel::CancelToken;
use ports::dead_letter::{DeadLetter, Stage};
use ports::notice::Notice;
use ports::source::{Event, Source};

/// Part of a frame that waits until a gap is filled.
enum Later {
    Record(Record<String>),
    Unreadable(String, String),
}

impl Live {
    pub(super) fn frame(
        &mut self,
        text: &str,
        recv_ts: UnixNanos,
        stop: &CancelToken,
        sink: &mut dyn FnMut(Event<'_>) -> Result<()>,
    ) -> Result<()> {
        // The decoder is borrowed by its own frame. Messages after an open gap wait for the end of the frame:
        // the gap is filled first, and needs the decoder.
        let mut decoder = std::mem::replace(&mut self.decoder, Box::new(Idle));
        let (mut done, mut later) = (Ok(()), Vec::new());
        let read = decoder.frame(text, recv_ts, &mut |outcome, raw| {
            if done.is_err() || outcome == Ok(FeedMessage::Silent) {
                return;
            }
            done = match outcome {
                Ok(FeedMessage::Record(record)) if self.open.is_none() => self.record(&record, stop, sink),
                Ok(FeedMessage::Record(record)) => {
                    later.push(Later::Record(record.map(str::to_owned)));
                    Ok(())
                }
                Ok(FeedMessage::Missed { what, symbol }) => {
                    self.missed(&format!("sequence gap: {what}"), symbol, sink)
                }
                Ok(FeedMessage::Halted { symbol, ts, halted }) => {
                    // As prominent as a gap: it explains a silence that would otherwise look like one.
                    tracing::warn!(symbol, halted, "trading status");
                    self.watch.halt(symbol, ts, halted);
                    sink(Event::Notice(&Notice::halt(&self.settings.feed, symbol, ts, halted)))
                }
                Ok(FeedMessage::Bands(bands)) => {
                    sink(Event::Notice(&Notice::bands(&self.settings.feed, &bands)))
                }
                Ok(FeedMessage::Bar(endpoint)) => match endpoint.bar(&bars_of(&self.settings.feed)) {
                    Ok(bar) => sink(Event::Bar(&bar)),
                    Err(reason) => self.dead(&reason, raw, sink),
                },
                Ok(FeedMessage::Silent) => Ok(()),
                Ok(FeedMessage::Unknown(class)) => {
                    self.unknown.count(class);
                    Ok(())
                }
                Err(reason) if self.open.is_none() => self.unreadable("message", &reason, raw, sink),
                Err(reason) => {
                    later.push(Later::Unreadable(reason, raw.to_owned()));
                    Ok(())
                }
            };
        });
        self.decoder = decoder;
        done?;
        for outcome in later {
            match outcome {
                Later::Record(record) => self.record(&record.as_str(), stop, sink)?,
                Later::Unreadable(reason, raw) => self.unreadable("message", &reason, &raw, sink)?,
            }
        }
        match read {
            Ok(()) => Ok(()),
            Err(reason) => self.unreadable("frame", &reason, text, sink),
        }
    }

    fn record(
        &mut self,
        record: &Record<&str>,
        stop: &CancelToken,
        sink: &mut dyn FnMut(Event<'_>) -> Result<()>,
    ) -> Result<()> {
        let ts = record.ts();
        // A time in the future is a vendor's error: gaps neither end nor begin with it. Several in a row mean that this
        // machine's clock is slow.
        let ahead = ts.0 > record.recv_ts().0.saturating_add(CLOCKS);
        self.ahead = if ahead { self.ahead.saturating_add(1) } else { 0 };
        if ahead && self.ahead < IN_A_ROW {
            tracing::warn!(symbol = *record.symbol(), %ts, "a record is dated in the future; it is kept");
            return hand_over(record, &mut self.payload, sink);
        }
        if self.ends_gap(record.symbol(), ts)? {
            self.fill(ts, sink, stop)?;
        }
        self.watch.record_seen(record.symbol(), ts);
        // A simulator's time is on another day.
        if self.settings.speed == 1.0 {
            self.lag.record(u64::try_from(record.recv_ts().0.saturating_sub(ts.0) / 1_000).unwrap_or(0));
        }
        self.latest = Some(self.latest.map_or(ts.0, |latest| latest.max(ts.0)));
        self.changed = true;
        hand_over(record, &mut self.payload, sink)
    }

    /// An unreadable message may have been a record: it is kept, and a gap.
    fn unreadable(
        &mut self,
        what: &str,
        reason: &str,
        raw: &str,
        sink: &mut dyn FnMut(Event<'_>) -> Result<()>,
    ) -> Result<()> {
        let cause = format!("unreadable {what}: {}", self.http.displayed(reason));
        self.dead(reason, raw, sink)?;
        self.missed(&cause, None, sink)
    }

    fn dead(&self, reason: &str, raw: &str, sink: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<()> {
        sink(Event::Dead(DeadLetter {
            stage: Stage::Source,
            origin: self.describe(),
            reason: self.http.displayed(reason),
            key: String::new(),
            kind: String::new(),
            raw: self.http.kept(raw),
            ..DeadLetter::default()
        }))
    }
}
