//! A vendor's live stream. A thread of its own reads the socket and only enqueues (`connection`); here frames become
//! records, and what may have been missed becomes a gap that is fetched from the vendor's history (`backfill`).
//!
//! What differs between vendors is behind [`vendor::Vendor`], a file for each, and `market::codec`, a file for each.

mod alpaca;
mod backfill;
mod binance;
mod coinbase;
mod connection;
mod fetch;
mod finnhub;
pub mod http;
mod kraken;
mod massive;
mod open;
pub mod vendor;
mod watch;

use super::{Event, Positions, Source};
use crate::gap::{Gap, State};
use crate::letter::{Letter, Stage};
use crate::stop::Stop;
use crate::{Error, Result};
use connection::Wire;
use crossbeam_channel::Receiver;
pub use fetch::Fetch;
use http::Http;
use market::calendar::Calendar;
use market::codec::feed::{Decode, Idle, Message};
use market::codec::json;
use market::{Record, UnixNanos};
pub use open::{decoder, examples, open};
use std::sync::Arc;
use std::time::{Duration, Instant};
use vendor::{Span, Vendor};
use watch::{Suspect, Watch};

/// Frames read and not yet worked on, at the most.
const QUEUE: usize = 4_096;
/// Frames handed over in one go.
const AT_ONCE: usize = 256;
/// How long a call waits for the first frame.
const WAIT: Duration = Duration::from_millis(50);
/// The cause of a gap that a person names: its ends are no records.
const ASKED: &str = "asked for";
/// How often silence is looked into.
const LOOK: Duration = Duration::from_millis(100);

/// How to follow a feed.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The vendor's side.
    pub vendor: Arc<dyn Vendor>,
    /// What its records are labelled with, as `alpaca.iex`.
    pub feed: String,
    /// Sessions: while the market is closed silence is none.
    pub calendar: Calendar,
    /// Silence of a symbol, in market seconds, that is looked into; 20 times its usual pause if that is longer.
    pub stall_s: f64,
    /// Market seconds in a second: 1, or a simulator's speed.
    pub speed: f64,
    /// Fetch what was missed.
    pub backfill: bool,
}

/// A live feed.
pub struct Live {
    settings: Settings,
    decoder: Box<dyn Decode>,
    http: Http,
    wires: Option<Receiver<Wire>>,
    /// Told to the reading thread: connect anew, for this reason.
    hang_up: connection::HangUp,
    /// Event time of the newest record.
    latest: Option<i64>,
    watch: Watch,
    watched: Instant,
    /// Waits for the first record after it.
    open: Option<Gap>,
    /// Since when the stream stands, or was looked into for an open gap; nothing while it is away.
    stands: Option<Instant>,
    gaps: u64,
    changed: bool,
    payload: Vec<u8>,
}

/// Part of a frame that waits until a gap is filled.
enum Later {
    Record(Record<String>),
    Unreadable(String, String),
}

impl Live {
    /// Connects on the first call of [`Source::next`].
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            decoder: settings.vendor.decoder(&settings.feed),
            http: Http::default(),
            watch: Watch::new(settings.calendar, settings.stall_s, settings.speed),
            watched: Instant::now(),
            settings,
            wires: None,
            hang_up: connection::HangUp::default(),
            latest: None,
            open: None,
            stands: None,
            gaps: 0,
            changed: false,
            payload: Vec::new(),
        }
    }

    fn name(&self) -> String {
        format!("live:{}", self.settings.feed)
    }

    /// Records may be missing from the newest one on.
    fn missed(&mut self, cause: &str, sink: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<()> {
        let Some(from) = self.latest else { return Ok(()) };
        if let Some(open) = &mut self.open {
            open.cause = format!("{}; {cause}", open.cause);
            return Ok(());
        }
        self.gaps += 1;
        let from = UnixNanos(from).to_string();
        let gap = Gap {
            id: format!("{}|{from}|{}", self.settings.feed, self.gaps),
            feed: self.settings.feed.clone(),
            symbols: self.settings.vendor.account().symbols.clone(),
            from,
            to: None,
            cause: cause.to_owned(),
            state: State::Open,
            proof: None,
            note: None,
        };
        tracing::warn!(cause, from = gap.from, "records may be missing: a gap in the ledger");
        sink(Event::Gap(&gap))?;
        self.open = Some(gap);
        Ok(())
    }

    /// A record has come after a gap: how far it reaches is known, and it can be fetched.
    fn fill(
        &mut self,
        to: UnixNanos,
        sink: &mut dyn FnMut(Event<'_>) -> Result<()>,
        stop: &Stop,
    ) -> Result<()> {
        let Some(mut gap) = self.open.take() else { return Ok(()) };
        gap.to = Some(to.to_string());
        if self.settings.backfill {
            let decoder = self.decoder.as_mut();
            match backfill::fill(self.settings.vendor.as_ref(), &self.http, &mut gap, decoder, sink, stop)? {
                Ok(fetched) => {
                    tracing::info!(fetched, from = gap.from, "the gap is fetched and counted: closed")
                }
                Err(reason) => {
                    tracing::warn!(reason, from = gap.from, "the gap stays open");
                    gap.note = Some(reason);
                }
            }
        } else {
            gap.note = Some("fetching what was missed is switched off".to_owned());
        }
        sink(Event::Gap(&gap))
    }

    fn frame(
        &mut self,
        text: &str,
        recv_ts: UnixNanos,
        stop: &Stop,
        sink: &mut dyn FnMut(Event<'_>) -> Result<()>,
    ) -> Result<()> {
        // The decoder is lent to its own frame. What comes while a gap is open waits for the frame's end: the gap is
        // filled first, and needs the decoder.
        let mut decoder = std::mem::replace(&mut self.decoder, Box::new(Idle));
        let (mut done, mut later) = (Ok(()), Vec::new());
        let read = decoder.frame(text, recv_ts, &mut |outcome, raw| {
            if done.is_err() || outcome == Ok(Message::Silent) {
                return;
            }
            done = match outcome {
                Ok(Message::Record(record)) if self.open.is_none() => self.record(&record, stop, sink),
                Ok(Message::Record(record)) => {
                    later.push(Later::Record(record.map(str::to_owned)));
                    Ok(())
                }
                Ok(Message::Missed(what)) => self.missed(&format!("a hole: {what}"), sink),
                Ok(Message::Silent) => Ok(()),
                Err(reason) if self.open.is_none() => self.unreadable("a message", reason, raw, sink),
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
                Later::Unreadable(reason, raw) => self.unreadable("a message", reason, &raw, sink)?,
            }
        }
        match read {
            Ok(()) => Ok(()),
            Err(reason) => self.unreadable("a frame", reason, text, sink),
        }
    }

    fn record(
        &mut self,
        record: &Record<&str>,
        stop: &Stop,
        sink: &mut dyn FnMut(Event<'_>) -> Result<()>,
    ) -> Result<()> {
        let ts = record.ts();
        if self.open.is_some() {
            self.fill(ts, sink, stop)?;
        }
        self.watch.hear(record.symbol(), ts);
        self.latest = Some(self.latest.map_or(ts.0, |latest| latest.max(ts.0)));
        self.changed = true;
        hand_over(record, &mut self.payload, sink)
    }

    /// What cannot be read may have been a record: it is kept, and a gap.
    fn unreadable(
        &mut self,
        what: &str,
        reason: String,
        raw: &str,
        sink: &mut dyn FnMut(Event<'_>) -> Result<()>,
    ) -> Result<()> {
        let cause = format!("{what} that cannot be read: {reason}");
        self.dead(reason, raw, sink)?;
        self.missed(&cause, sink)
    }

    fn dead(&self, reason: String, raw: &str, sink: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<()> {
        sink(Event::Dead(Letter {
            stage: Stage::Source,
            origin: self.describe(),
            reason,
            key: String::new(),
            kind: String::new(),
            raw: raw.as_bytes().to_vec(),
        }))
    }

    /// Looks into silence: why to connect anew. The vendor's history tells a stall from a quiet or halted symbol; where it
    /// cannot be asked, silence in the regular session counts as one.
    fn stalled(&mut self, stop: &Stop) -> Result<Option<String>> {
        if self.watched.elapsed() < LOOK {
            return Ok(None);
        }
        self.watched = Instant::now();
        for suspect in self.watch.suspects() {
            self.watch.excuse(Some(&suspect.symbol));
            let told = if self.settings.backfill {
                self.unheard(&suspect, stop)?
            } else {
                Err("it is not to be asked".to_owned())
            };
            let silence =
                format!("no record of {} for {:.0} s while connected", suspect.symbol, suspect.silent_s);
            match told {
                Ok(0) => tracing::debug!(silence, "history has none either: quiet or halted"),
                Ok(count) => return Ok(Some(format!("stall: {silence}, and history has {count}"))),
                Err(_) if !suspect.regular => {}
                Err(reason) => {
                    return Ok(Some(format!(
                        "stall: {silence}; whether history has any is not known: {reason}"
                    )));
                }
            }
        }
        Ok(None)
    }

    /// After a gap the stream stands and nothing comes: what history has of it is fetched all the same. The session may
    /// have ended in between.
    fn settle(&mut self, sink: &mut dyn FnMut(Event<'_>) -> Result<()>, stop: &Stop) -> Result<()> {
        // While the stream is away, more is being missed.
        let Some(stands) = self.stands else { return Ok(()) };
        let market_s = stands.elapsed().as_secs_f64() * self.settings.speed;
        let Some(gap) =
            self.open.as_ref().filter(|_| self.settings.backfill && market_s > self.settings.stall_s)
        else {
            return Ok(());
        };
        self.stands = Some(Instant::now());
        let from = gap.instant_from()?;
        // A simulator's time is known by its records alone.
        let now = match self.watch.now() {
            Some(now) if self.settings.speed != 1.0 => now,
            _ => crate::clock::now(),
        };
        let (vendor, decoder) = (self.settings.vendor.as_ref(), self.decoder.as_mut());
        match backfill::last(vendor, &self.http, (from, now), decoder, stop)? {
            Ok(Some(last)) if last > from => {
                self.latest = self.latest.max(Some(last.0));
                self.changed = true;
                self.fill(last, sink, stop)
            }
            Ok(_) => Ok(()),
            Err(reason) => {
                tracing::debug!(reason, "history does not tell of the open gap yet");
                Ok(())
            }
        }
    }

    /// How many records the vendor's history has since a symbol's last one.
    fn unheard(&self, suspect: &Suspect, stop: &Stop) -> Result<std::result::Result<usize, String>> {
        let (vendor, mut count) = (&self.settings.vendor, 0);
        for kind in &vendor.account().kinds {
            // Not the last record itself: some vendors' times are of milliseconds.
            let from = UnixNanos(suspect.since.0.saturating_add(1_000_000));
            let symbols = std::slice::from_ref(&suspect.symbol);
            let span = Span { kind: *kind, symbols, from, to: suspect.now };
            let read = vendor.history(&self.http, &span, stop, &mut |_, _| {
                count += 1;
                Ok(())
            })?;
            if let Err(reason) = read {
                return Ok(Err(reason));
            }
        }
        Ok(Ok(count))
    }
}

/// Hands a record over in canonical form.
fn hand_over(
    record: &Record<&str>,
    payload: &mut Vec<u8>,
    sink: &mut dyn FnMut(Event<'_>) -> Result<()>,
) -> Result<()> {
    payload.clear();
    json::encode(record, payload);
    sink(Event::Record { kind: record.kind(), symbol: record.symbol(), recv_ts: record.recv_ts(), payload })
}

impl Source for Live {
    /// The time since the last record of an earlier run is a gap.
    fn resume(&mut self, positions: &Positions) -> Result<u64> {
        let kept =
            positions.get(&self.name()).and_then(|bytes| std::str::from_utf8(bytes).ok()?.parse().ok());
        self.latest = kept;
        Ok(0)
    }

    fn next(&mut self, stop: &Stop, sink: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<bool> {
        if self.wires.is_none() {
            let (send, receive) = crossbeam_channel::bounded(QUEUE);
            connection::start(Arc::clone(&self.settings.vendor), self.hang_up.clone(), stop.clone(), send)?;
            self.wires = Some(receive);
            self.missed("not running", sink)?;
        }
        let Some(wires) = self.wires.clone() else { return Ok(false) };
        let mut wait = WAIT;
        for _ in 0..AT_ONCE {
            match wires.recv_timeout(wait) {
                Ok(Wire::Frame(text, recv_ts)) => self.frame(&text, recv_ts, stop, sink)?,
                Ok(Wire::Lost(cause)) => {
                    self.stands = None;
                    self.missed(&cause, sink)?;
                }
                Ok(Wire::Connected) => {
                    self.decoder.connected();
                    self.stands = Some(Instant::now());
                    self.watch.excuse(None);
                }
                Ok(Wire::Fatal(error)) => return Err(error),
                Err(crossbeam_channel::RecvTimeoutError::Timeout) => break,
                Err(crossbeam_channel::RecvTimeoutError::Disconnected) => {
                    return if stop.asked() {
                        Ok(true)
                    } else {
                        Err(Error::internal("the thread that reads the stream ended"))
                    };
                }
            }
            wait = Duration::ZERO;
        }
        if self.open.is_some() {
            // A connection that brings nothing after a gap is not made anew again and again: history goes on meanwhile.
            self.settle(sink, stop)?;
        } else if let Some(cause) = self.stalled(stop)? {
            self.hang_up.ask(&cause);
        }
        Ok(true)
    }

    fn positions(&mut self) -> Positions {
        let mut out = Positions::new();
        // While a gap is open the next run must find it again.
        if let (true, Some(ts), None) = (std::mem::take(&mut self.changed), self.latest, &self.open) {
            out.insert(self.name(), ts.to_string().into_bytes());
        }
        out
    }

    fn size(&self) -> Option<u64> {
        None
    }

    fn describe(&self) -> String {
        self.settings.vendor.describe()
    }
}
