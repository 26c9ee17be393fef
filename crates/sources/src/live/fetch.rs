//! History on request: fetches spans, or the ledger's open gaps again, and ends; or reads a span once, to
//! compare.

use super::backfill::Past;
use super::vendor::HistoryError;
use super::{LiveSettings, backfill, hand_over_past};
use crate::http::Http;
use market::UnixNanos;
use market::codec::feed::Decode;
use ports::cancel::CancelToken;
use ports::gap::{Gap, GapState};
use ports::source::{Event, Positions, Source};
use ports::{Error, Result};
use std::collections::VecDeque;

/// Gaps to fetch.
pub struct Fetch {
    settings: LiveSettings,
    decoder: Box<dyn Decode>,
    http: Http,
    gaps: VecDeque<Gap>,
    /// Their state afterwards.
    pub done: Vec<Gap>,
}

impl Fetch {
    /// Fetches gaps from a ledger.
    #[must_use]
    pub fn new(settings: LiveSettings, gaps: Vec<Gap>) -> Self {
        let decoder = settings.vendor.decoder(&settings.feed);
        let http = Http::new(settings.vendor.account().mask());
        Self { settings, decoder, http, gaps: gaps.into(), done: Vec::new() }
    }

    /// Fetches a span, both ends included.
    #[must_use]
    pub fn span(settings: LiveSettings, from: UnixNanos, to: UnixNanos) -> Self {
        let gap = Gap {
            id: format!("{}|{from}|{to}|asked", settings.feed),
            feed: settings.feed.clone(),
            symbols: settings.vendor.account().symbols.clone(),
            from: from.to_string(),
            to: Some(to.to_string()),
            cause: backfill::REQUESTED.to_owned(),
            state: GapState::Open,
            proof: None,
            note: None,
            offsets: None,
        };
        Self::new(settings, vec![gap])
    }
}

impl Source for Fetch {
    fn resume(&mut self, _: &Positions) -> Result<u64> {
        Ok(0)
    }

    fn next(&mut self, stop: &CancelToken, sink: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<bool> {
        let Some(mut gap) = self.gaps.pop_front() else { return Ok(false) };
        let vendor = self.settings.vendor.as_ref();
        let (decoder, mut payload) = (self.decoder.as_mut(), Vec::new());
        let origin = format!("the history of {}", vendor.describe());
        let http = &self.http;
        let mut take = |past: Past<'_>| hand_over_past(past, &origin, http, &mut payload, sink);
        gap.note = match backfill::fill(vendor, http, &mut gap, decoder, &mut take, stop) {
            Ok(_) => None,
            Err(HistoryError::Unavailable(reason)) => Some(reason),
            Err(HistoryError::Failed(error)) => return Err(error),
        };
        sink(Event::Gap(&gap))?;
        self.done.push(gap);
        Ok(!self.gaps.is_empty())
    }

    fn positions(&mut self) -> Positions {
        Positions::new()
    }

    fn size(&self) -> Option<u64> {
        None
    }

    fn describe(&self) -> String {
        self.settings.vendor.describe()
    }
}

/// A span of the vendor's history, read once: what topic and store should contain.
pub struct History {
    settings: LiveSettings,
    span: (UnixNanos, UnixNanos),
}

impl History {
    /// Reads a span, and up to a second more at both ends.
    #[must_use]
    pub fn new(settings: LiveSettings, from: UnixNanos, to: UnixNanos) -> Self {
        Self { settings, span: (from, to) }
    }
}

impl Source for History {
    fn resume(&mut self, _: &Positions) -> Result<u64> {
        Ok(0)
    }

    fn next(&mut self, stop: &CancelToken, sink: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<bool> {
        let vendor = self.settings.vendor.as_ref();
        let (mut decoder, mut payload) = (vendor.decoder(&self.settings.feed), Vec::new());
        let origin = format!("the history of {}", vendor.describe());
        let http = Http::new(vendor.account().mask());
        let mut take = |past: Past<'_>| hand_over_past(past, &origin, &http, &mut payload, sink);
        backfill::all(vendor, &http, self.span, &mut *decoder, stop, &mut take).map_err(
            |error| match error {
                HistoryError::Unavailable(reason) => {
                    Error::user(format!("the history of {} is unavailable: {reason}", vendor.name()))
                        .hint("choose a span that the plan covers with --from and --to")
                }
                HistoryError::Failed(error) => error,
            },
        )?;
        Ok(false)
    }

    fn positions(&mut self) -> Positions {
        Positions::new()
    }

    fn size(&self) -> Option<u64> {
        None
    }

    fn describe(&self) -> String {
        format!("the history of {}", self.settings.vendor.describe())
    }
}
