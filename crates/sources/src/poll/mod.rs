//! Polls a vendor's bars over REST within the limits of the plan. New and changed bars are emitted; a change
//! increments the revision.
//!
//! | file | contents |
//! |---|---|
//! | `open` | parsing of URLs: `poll:yahoo?symbols=SPY&interval=1m` |
//! | `request` | requests to each vendor |
//! | `budget` | limits per minute and per day |
//!
//! Replies are read by `market::codec::poll`.

mod budget;
mod open;
mod request;
mod settings;
#[cfg(test)]
mod tests;

use crate::http::Http;
use crate::mask::Mask;
use budget::{Budget, Wait};
use market::UnixNanos;
use market::bar::{Bar, Values};
use market::codec::poll::{NextPage, PendingRequest, Refused, read};
use market::interval::SECOND;
pub use open::open;
use ports::cancel::CancelToken;
use ports::check::Chain;
use ports::dead_letter::{DeadLetter, Stage};
use ports::source::{Event, Positions, Source};
use ports::{Error, Result, clock};
use request::Request;
pub use settings::PollSettings;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Age after which a bar is considered final.
const SETTLED: i64 = 900 * SECOND;
/// Number of bars remembered per symbol: a change of an older one counts as a new bar.
const REMEMBERED: usize = 20_000;
/// Number of times in a row that an unreadable reply is requested again.
const UNREADABLE: u32 = 3;
/// Maximum duration of a call when nothing is due.
const WAIT: Duration = Duration::from_millis(100);

#[derive(Debug, Clone)]
struct Watched {
    name: String,
    due: Instant,
    /// Bars emitted so far, by start, with their numbers and revision.
    emitted: BTreeMap<i64, (Values, u32, bool)>,
    /// End of the part of a long span requested so far, while more remains.
    reached: Option<UnixNanos>,
    /// The next page of a span, and the span.
    page: Option<(Request, UnixNanos, UnixNanos)>,
    /// Consecutive retryable failures.
    failures: u32,
    /// The vendor does not know the symbol.
    refused: bool,
    done: bool,
}

/// The source.
pub struct PolledSource {
    settings: PollSettings,
    http: Http,
    budget: Budget,
    symbols: Vec<Watched>,
    /// Whether the exhausted daily limit was logged.
    exhausted: Option<i64>,
    changed: bool,
    /// The time of the first request, until there is a reply.
    waiting_since: Option<Instant>,
}

impl PolledSource {
    /// Sends requests from the first call of [`Source::next`] on.
    #[must_use]
    pub fn new(settings: PollSettings) -> Self {
        let now = Instant::now();
        let watched = |name: &String| Watched {
            name: name.clone(),
            due: now,
            emitted: BTreeMap::new(),
            reached: None,
            page: None,
            failures: 0,
            refused: false,
            done: false,
        };
        Self {
            symbols: settings.symbols.iter().map(watched).collect(),
            budget: Budget::new(settings.per_minute, settings.per_day),
            http: Http::new(Mask::new([&settings.key, &settings.secret])),
            exhausted: None,
            changed: false,
            waiting_since: Some(now),
            settings,
        }
    }

    fn position(&self) -> String {
        format!("budget:{}", self.settings.name)
    }

    /// Returns whether a request is allowed now; otherwise waits a little, and logs if the daily limit is
    /// used up.
    fn may_ask(&mut self, stop: &CancelToken) -> Result<bool> {
        let today = clock::now().epoch_day();
        match self.budget.take(Instant::now(), today) {
            Ok(()) => {
                self.changed = true;
                Ok(true)
            }
            Err(Wait::Minute(wait)) => {
                stop.sleep(wait.min(WAIT));
                Ok(false)
            }
            Err(Wait::Day) if self.settings.once => Err(Error::user(format!(
                "the {} requests a day to {} are used up",
                self.settings.per_day, self.settings.name
            ))
            .hint("polling resumes at midnight UTC; a larger plan: source.poll.VENDOR.per_day")),
            Err(Wait::Day) => {
                if self.exhausted.replace(today) != Some(today) {
                    let (vendor, per_day) = (self.settings.name, self.settings.per_day);
                    tracing::warn!(
                        vendor,
                        per_day,
                        "the day's requests are used up; waiting for midnight UTC"
                    );
                }
                stop.sleep(WAIT);
                Ok(false)
            }
        }
    }

    /// Requests a symbol's bars. Returns false if it must be requested again, or more of the span remains.
    fn ask(&mut self, index: usize, sink: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<bool> {
        let now = clock::now();
        let day = self.settings.interval.is_day();
        let span = if day { 31 } else { 1 } * 24 * 3_600 * SECOND;
        let watched = &mut self.symbols[index];
        // Bars may change until they are final: each is requested once more after that.
        let length = self.settings.interval.nanos().unwrap_or(24 * 3_600 * SECOND);
        let every = i64::try_from(self.settings.every.as_nanos()).unwrap_or(i64::MAX);
        let settling =
            now.0.saturating_sub(SETTLED).saturating_sub(length).saturating_sub(every.saturating_mul(2));
        let newest = watched.emitted.keys().next_back().map(|start| UnixNanos(settling.min(*start)));
        let newest = newest.max(self.settings.from);
        let (request, from, to) = watched.page.take().unwrap_or_else(|| {
            let from = watched.reached.or(newest).unwrap_or(UnixNanos(now.0 - span));
            let to = self.settings.to.unwrap_or(now);
            (request::request(&self.settings, &watched.name, (from, to), now), from, to)
        });
        let (name, feed) = (watched.name.clone(), self.settings.feed.clone());
        let pending = PendingRequest {
            symbol: &name,
            feed: &feed,
            interval: self.settings.interval,
            settled: UnixNanos(now.0.saturating_sub(SETTLED)),
        };
        let query: Vec<(&str, &str)> = request.query.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let headers: Vec<(&str, &str)> = request.headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let what = |reason: &str| format!("{name} of {}: {reason}", request.url);
        let (body, code) = match self.http.once(&request.url, &query, &headers) {
            Ok((code @ (200..=299 | 400..=404 | 422), _, body)) => (body, code),
            Ok((429, ..)) => return Ok(self.throttled(index, &what("HTTP 429"))),
            Ok((code, ..)) => return self.failed(index, &what(&format!("HTTP {code}"))),
            Err(reason) => return self.failed(index, &what(&reason)),
        };
        let mut reply = match read(self.settings.vendor, &body, &pending) {
            Ok(reply) => reply,
            Err(Refused::Later(reason)) if body.trim_start().starts_with('<') && code != 404 => {
                return self.failed(index, &what(&reason));
            }
            Err(Refused::Later(reason)) if code != 404 => return Ok(self.throttled(index, &what(&reason))),
            Err(Refused::Symbol(reason)) => return self.refuse(index, &what(&reason)),
            Err(Refused::Later(_) | Refused::Unreadable(_)) if code == 404 => {
                return self.refuse(index, &what("HTTP 404"));
            }
            Err(Refused::Later(reason) | Refused::Never(reason)) => return Err(self.never(&what(&reason))),
            Err(Refused::Unreadable(reason)) => {
                let start: String = body.chars().take(200).collect();
                let reason = what(&format!("unreadable reply: {reason}: {start}"));
                // A reply that was cut off, or a proxy's words: the next one may be whole.
                if self.symbols[index].failures < UNREADABLE {
                    return self.failed(index, &reason);
                }
                return Err(self.never(&reason));
            }
        };
        for (reason, raw) in std::mem::take(&mut reply.wrong) {
            let dead_letter = DeadLetter {
                stage: Stage::Source,
                origin: request.url.clone(),
                reason: self.http.displayed(&reason),
                key: pending.symbol.to_owned(),
                kind: "bar".to_owned(),
                raw: self.http.kept(&raw),
                ..DeadLetter::default()
            };
            sink(Event::Dead(dead_letter))?;
        }
        // A vendor without span parameters returns more.
        reply.bars.retain(|bar| from <= bar.start && bar.start <= to);
        let next = match reply.next.take().map(|next| self.next_page(&request, next)).transpose() {
            Ok(next) => next,
            Err(reason) => return Err(self.never(&what(&reason))),
        };
        if next.as_ref() == Some(&request) {
            return Err(self.never(&what("the next page is this page again")));
        }
        let watched = &mut self.symbols[index];
        watched.failures = 0;
        self.waiting_since = None;
        reply.bars.iter_mut().try_for_each(|bar| watched.emit(bar, sink))?;
        if let Some(next) = next {
            watched.page = Some((next, from, to));
            return Ok(false);
        }
        watched.reached = (request.until < to).then_some(request.until);
        Ok(watched.reached.is_none())
    }

    /// The request for the next page.
    fn next_page(&self, request: &Request, next: NextPage) -> std::result::Result<Request, String> {
        let mut request = request.clone();
        match next {
            NextPage::Token(token) => {
                request.query.retain(|(name, _)| *name != "page_token");
                request.query.push(("page_token", token));
            }
            NextPage::Url(url) => {
                // The key goes to the host in our settings and to no other.
                let path = url.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
                let (_, path) = path.ok_or_else(|| format!("invalid next_url {url}"))?;
                request.url = format!("{}/{path}", self.settings.rest.trim_end_matches('/'));
                request.query.clear();
            }
        }
        Ok(request)
    }

    fn never(&self, reason: &str) -> Error {
        Error::user(self.http.displayed(reason)).hint("check key, symbol and plan: docs/sources.md, polling")
    }

    /// The minute's requests are used up, whoever made them.
    fn throttled(&mut self, index: usize, reason: &str) -> bool {
        tracing::warn!("{}; retrying in a minute", self.http.displayed(reason));
        self.budget.exhaust(Instant::now());
        self.symbols[index].page = None;
        false
    }

    /// Retryable failures: retried after 1 s, 2 s, 4 s, up to a minute.
    fn failed(&mut self, index: usize, reason: &str) -> Result<bool> {
        let waited = self.waiting_since.map(|since| since.elapsed());
        if let (Some(waited), Some(limit)) = (waited, self.settings.connect_within)
            && waited >= limit
        {
            return Err(Error::external(self.http.displayed(reason))
                .hint("is the address right and reachable? without --wait, tapeline retries indefinitely"));
        }
        let watched = &mut self.symbols[index];
        let wait = Duration::from_secs(1 << watched.failures.min(6)).min(Duration::from_secs(60));
        watched.failures += 1;
        watched.page = None;
        watched.due = Instant::now() + wait;
        tracing::warn!("{}; retrying in {} s", self.http.displayed(reason), wait.as_secs());
        Ok(false)
    }

    /// An unknown symbol does not end the others.
    fn refuse(&mut self, index: usize, reason: &str) -> Result<bool> {
        let watched = &mut self.symbols[index];
        watched.refused = true;
        watched.done = true;
        if self.symbols.iter().all(|watched| watched.refused) {
            return Err(self.never(reason));
        }
        tracing::warn!("{}; the other symbols go on without it", self.http.displayed(reason));
        Ok(false)
    }
}

impl Watched {
    /// Emits a bar if it is new, or has changed since it was emitted.
    fn emit(&mut self, bar: &mut Bar, sink: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<()> {
        if let Some((values, revision, is_final)) = self.emitted.get(&bar.start.0) {
            let same = *values == bar.values;
            if same && *is_final == bar.is_final {
                return Ok(());
            }
            bar.revision = revision + u32::from(!same);
        }
        self.emitted.insert(bar.start.0, (bar.values.clone(), bar.revision, bar.is_final));
        if self.emitted.len() > REMEMBERED {
            self.emitted.pop_first();
        }
        sink(Event::Bar(bar))
    }
}

impl Source for PolledSource {
    fn resume(&mut self, positions: &Positions) -> Result<u64> {
        if let Some(text) = positions.get(&self.position()).and_then(|bytes| std::str::from_utf8(bytes).ok())
        {
            self.budget.restore(text);
        }
        Ok(0)
    }

    fn next(&mut self, stop: &CancelToken, sink: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<bool> {
        let now = Instant::now();
        let due = (0..self.symbols.len()).find(|n| !self.symbols[*n].done && self.symbols[*n].due <= now);
        let Some(index) = due else {
            let over = self.symbols.iter().all(|watched| watched.done);
            if !over {
                stop.sleep(WAIT);
            }
            return Ok(!over);
        };
        if self.may_ask(stop)? && self.ask(index, sink)? {
            let (every, once) = (self.settings.every, self.settings.once);
            let watched = &mut self.symbols[index];
            (watched.due, watched.done) = (now + every, once);
        }
        Ok(true)
    }

    fn positions(&mut self) -> Positions {
        let changed = std::mem::take(&mut self.changed);
        changed.then(|| (self.position(), self.budget.kept().into_bytes())).into_iter().collect()
    }

    fn size(&self) -> Option<u64> {
        None
    }

    fn check(&self) -> Chain {
        let mut chain = Chain::new();
        chain.reach_url(&self.settings.rest, "[source.poll]: rest");
        chain
    }

    fn describe(&self) -> String {
        format!("{} for {}", self.settings.rest, self.settings.symbols.join(","))
    }
}
