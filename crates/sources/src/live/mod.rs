//! A vendor's live stream. A separate thread reads the socket and only enqueues (`connection`); here frames
//! become records, and spans that may have been missed become gaps, which are backfilled from the vendor's
//! history (`backfill`).
//!
//! Vendors differ behind [`vendor::Vendor`] and `market::codec`, with one file each.

mod alpaca;
mod backfill;
mod binance;
mod coinbase;
mod connection;
mod deadline;
mod fetch;
mod finnhub;
mod frame;
mod kraken;
mod massive;
mod missing;
mod open;
mod received;
mod settings;
pub mod vendor;
mod watch;

use crate::http::Http;
use crate::unknown::UnknownMessages;
use backfill::Past;
use connection::Wire;
use crossbeam_channel::Receiver;
pub use fetch::{Fetch, History};
use market::Record;
use market::codec::feed::Decode;
use market::codec::json;
pub use open::{decoder, examples, open, schemes};
use ports::address::of_url;
use ports::cancel::CancelToken;
use ports::check::Chain;
use ports::dead_letter::{DeadLetter, Stage};
use ports::gap::Gap;
use ports::metrics::METRICS;
use ports::source::{Event, Positions, Source};
use ports::telemetry::Latency;
use ports::{Error, Result};
pub use settings::LiveSettings;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use watch::Watch;

/// Maximum number of frames read and not yet processed.
const QUEUE: usize = 4_096;
/// Maximum number of frames processed at once.
const AT_ONCE: usize = 256;
/// How long a call waits for the first frame.
const WAIT: Duration = Duration::from_millis(50);
/// How far, in nanoseconds, the clocks of vendor and machine may differ.
const CLOCKS: i64 = 60_000_000_000;
/// Number of records in a row that must differ by more before they are believed.
const IN_A_ROW: u32 = 3;
/// How often silence is checked.
const LOOK: Duration = Duration::from_millis(100);

/// A live feed.
pub struct Live {
    settings: LiveSettings,
    decoder: Box<dyn Decode>,
    http: Http,
    wires: Option<Receiver<Wire>>,
    /// Makes the reading thread reconnect, with the reason.
    hang_up: connection::HangUp,
    /// Event time of the newest record.
    latest: Option<i64>,
    /// Event time of each symbol's newest record in earlier runs.
    received_before: BTreeMap<String, i64>,
    watch: Watch,
    watched: Instant,
    /// Number of records in a row that are dated in the future.
    ahead: u32,
    /// Gap that waits for the first record after it.
    open: Option<Gap>,
    /// The last record of a stalled symbol, until it is reconnected.
    silent_since: Option<i64>,
    /// When the stream came up, or was last checked for an open gap; `None` while disconnected.
    stands: Option<Instant>,
    gaps: u64,
    changed: bool,
    lag: Latency,
    payload: Vec<u8>,
    unknown: UnknownMessages,
}

impl Live {
    /// Connects on the first call of [`Source::next`].
    #[must_use]
    pub fn new(settings: LiveSettings) -> Self {
        Self {
            decoder: settings.vendor.decoder(&settings.feed),
            http: Http::new(settings.vendor.account().mask()),
            unknown: UnknownMessages::new(&settings.feed),
            watch: Watch::new(settings.calendar, settings.stall_s, settings.speed)
                .expecting(&settings.vendor.account().symbols),
            watched: Instant::now(),
            settings,
            wires: None,
            hang_up: connection::HangUp::default(),
            latest: None,
            received_before: BTreeMap::new(),
            ahead: 0,
            open: None,
            silent_since: None,
            stands: None,
            gaps: 0,
            changed: false,
            lag: Latency::default(),
            payload: Vec::new(),
        }
    }
}

/// Feed label of the vendor's own bars, so that they are never confused with bars built from its trades.
pub(super) fn bars_of(feed: &str) -> String {
    format!("{feed}.bars")
}

/// Emits a record in canonical form.
fn hand_over(
    record: &Record<&str>,
    payload: &mut Vec<u8>,
    sink: &mut dyn FnMut(Event<'_>) -> Result<()>,
) -> Result<()> {
    payload.clear();
    json::encode(record, payload);
    sink(Event::Record { kind: record.kind(), symbol: record.symbol(), recv_ts: record.recv_ts(), payload })
}

/// Emits a record of history, or its dead letter.
fn hand_over_past(
    past: Past<'_>,
    origin: &str,
    http: &Http,
    payload: &mut Vec<u8>,
    sink: &mut dyn FnMut(Event<'_>) -> Result<()>,
) -> Result<()> {
    match past {
        Past::Record(record) => hand_over(record, payload, sink),
        Past::Refused(reason, raw) => sink(Event::Dead(DeadLetter {
            stage: Stage::Source,
            origin: origin.to_owned(),
            reason: http.displayed(reason),
            key: String::new(),
            kind: String::new(),
            raw: http.kept(raw),
            ..DeadLetter::default()
        })),
    }
}

impl Source for Live {
    /// The time since the last record of an earlier run is a gap.
    fn resume(&mut self, positions: &Positions) -> Result<u64> {
        let start = received::start(&self.settings.feed, self.settings.vendor.account(), positions);
        self.received_before = start.last;
        // No record is from the future: after such a time no gap would ever end.
        self.latest = start.from.map(|from| from.min(ports::clock::now().0.saturating_add(CLOCKS)));
        Ok(0)
    }

    fn next(&mut self, stop: &CancelToken, sink: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<bool> {
        if self.wires.is_none() {
            let (send, receive) = crossbeam_channel::bounded(QUEUE);
            let vendor = Arc::clone(&self.settings.vendor);
            let limit = self.settings.connect_within;
            connection::start(vendor, self.hang_up.clone(), stop.clone(), send, limit)?;
            self.wires = Some(receive);
            self.missed("not running", None, sink)?;
        }
        let Some(wires) = self.wires.clone() else { return Ok(false) };
        let (mut wait, mut drained, mut received) = (WAIT, false, false);
        for _ in 0..AT_ONCE {
            match wires.recv_timeout(wait) {
                Ok(Wire::Frame(text, recv_ts)) => {
                    received = true;
                    self.frame(&text, recv_ts, stop, sink)?;
                }
                Ok(Wire::Lost(cause)) => {
                    METRICS.set_feed(&self.settings.feed, false);
                    self.stands = None;
                    self.missed(&cause, None, sink)?;
                }
                Ok(Wire::Connected) => {
                    METRICS.set_feed(&self.settings.feed, true);
                    self.decoder.connected();
                    self.stands = Some(Instant::now());
                    self.watch.connected();
                }
                Ok(Wire::Permanent(error)) => return Err(error),
                Err(crossbeam_channel::RecvTimeoutError::Timeout) => {
                    drained = true;
                    break;
                }
                Err(crossbeam_channel::RecvTimeoutError::Disconnected) => {
                    return if stop.is_cancelled() {
                        Ok(true)
                    } else {
                        Err(Error::internal("the thread that reads the stream has ended"))
                    };
                }
            }
            wait = Duration::ZERO;
        }
        if received {
            METRICS.feed_received(&self.settings.feed);
        }
        if self.open.is_some() {
            // A connection that delivers nothing after a gap is not re-established again and again: history
            // advances meanwhile.
            self.settle(sink, stop)?;
        } else if drained && let Some(cause) = self.stalled(stop)? {
            // Only then: frames in the queue have arrived, but the watch has not seen them.
            self.hang_up.ask(&cause);
        }
        Ok(true)
    }

    fn positions(&mut self) -> Positions {
        // While a gap is open the next run must find it again.
        let newest = self.latest.filter(|_| std::mem::take(&mut self.changed) && self.open.is_none());
        let position = |until| {
            let mut last = self.received_before.clone();
            last.extend(self.watch.seen());
            received::position(&self.settings.feed, self.settings.vendor.account(), until, &last)
        };
        newest.map(position).into_iter().collect()
    }

    fn size(&self) -> Option<u64> {
        None
    }

    fn lag(&mut self, into: &mut Latency) {
        into.merge(&self.lag);
        self.lag.clear();
    }

    fn check(&self) -> Chain {
        let (mut chain, account) = (Chain::new(), self.settings.vendor.account());
        let mut urls = vec![self.settings.vendor.url()];
        // A simulator has both on one address.
        if self.settings.backfill && of_url(&account.rest) != of_url(&urls[0]) {
            urls.push(account.rest.clone());
        }
        for url in urls {
            if !chain.reach_url(&url, "[source]: stream and rest") {
                return chain;
            }
        }
        chain.ok("key", if account.key.is_empty() { "none needed" } else { "set; `run` tries it" });
        chain
    }

    fn describe(&self) -> String {
        self.settings.vendor.describe()
    }
}
