//! Detects symbols that have been silent for too long: candidates for a stall. A socket may be open and its
//! pings answered, yet nothing arrives; or one symbol of many may be lost. Silence alone proves nothing: a
//! symbol may be quiet or halted. So the watch only names suspects, and the vendor's history decides.

use market::UnixNanos;
use market::calendar::{Calendar, Phase};
use std::collections::HashMap;
use std::time::Instant;

/// A silence found to be quiet is checked again after twice the time, and so on up to this number of
/// doublings.
const DOUBLINGS: u32 = 5;

/// A silence longer than this multiple of a symbol's usual pause is suspicious.
const PAUSES: f64 = 20.0;

/// Trades from before a halt may be reported after it, those of other venues with a slightly later time.
const HALT_SLACK_NS: i64 = 10_000_000_000;

#[derive(Debug)]
struct SymbolState {
    ts: i64,
    at: Instant,
    /// The usual pause between its records, nanoseconds, smoothed.
    pause: f64,
    /// Checked since, when the market was closed.
    settled: bool,
    /// Start of the halt, as reported by the vendor.
    halted: Option<i64>,
    /// Whether the stream ever delivered it.
    seen: bool,
    /// Number of checks since: at growing intervals.
    looks: u32,
}

impl SymbolState {
    fn new(ts: i64, at: Instant) -> Self {
        Self { ts, at, pause: 0.0, settled: false, halted: None, seen: false, looks: 0 }
    }
}

/// When each symbol was last seen.
#[derive(Debug)]
pub(super) struct Watch {
    calendar: Calendar,
    /// Minimum silence in market seconds.
    allowed: f64,
    /// Market seconds per second.
    speed: f64,
    symbols: HashMap<String, SymbolState>,
    /// Subscribed, but not seen before the first record of any symbol.
    expected: Vec<String>,
    newest: Option<(i64, Instant)>,
}

/// A symbol that may have stalled.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Suspect {
    pub(super) symbol: String,
    /// Its last record.
    pub(super) since: UnixNanos,
    /// Current market time.
    pub(super) now: UnixNanos,
    pub(super) silent_s: f64,
    /// It was seen before, and the whole silence is in the regular session.
    pub(super) regular: bool,
}

impl Watch {
    pub(super) fn new(calendar: Calendar, allowed: f64, speed: f64) -> Self {
        Self { calendar, allowed, speed, symbols: HashMap::new(), expected: Vec::new(), newest: None }
    }

    /// Silence of these symbols counts from the first record of any.
    pub(super) fn expecting(mut self, symbols: &[String]) -> Self {
        self.expected = symbols.to_vec();
        self
    }

    pub(super) fn record_seen(&mut self, symbol: &str, ts: UnixNanos) {
        let at = Instant::now();
        for name in self.expected.drain(..) {
            self.symbols.insert(name, SymbolState::new(ts.0, at));
        }
        if self.newest.is_none_or(|(newest, _)| newest <= ts.0) {
            self.newest = Some((ts.0, at));
        }
        match self.symbols.get_mut(symbol) {
            Some(state) => {
                state.pause += ((ts.0 - state.ts).max(0) as f64 - state.pause) / 32.0;
                state.ts = state.ts.max(ts.0);
                state.at = at;
                (state.settled, state.seen, state.looks) = (false, true, 0);
                state.halted = state.halted.filter(|since| ts.0 <= since.saturating_add(HALT_SLACK_NS));
            }
            None => {
                self.symbols
                    .insert(symbol.to_owned(), SymbolState { seen: true, ..SymbolState::new(ts.0, at) });
            }
        }
    }

    /// Symbols that the stream delivered, and the time of the last record of each.
    pub(super) fn seen(&self) -> impl Iterator<Item = (String, i64)> {
        self.symbols.iter().filter(|(_, state)| state.seen).map(|(symbol, state)| (symbol.clone(), state.ts))
    }

    /// Time of a symbol's last record.
    pub(super) fn last(&self, symbol: &str) -> Option<UnixNanos> {
        self.symbols.get(symbol).map(|state| UnixNanos(state.ts))
    }

    /// Delivered by history: what is missing of the symbol is missing after it.
    pub(super) fn fetched(&mut self, symbol: &str, ts: UnixNanos) {
        if let Some(state) = self.symbols.get_mut(symbol) {
            state.ts = state.ts.max(ts.0);
        }
    }

    /// Silence is meaningless until trading resumes.
    pub(super) fn halt(&mut self, symbol: &str, ts: UnixNanos, halted: bool) {
        if let Some(state) = self.symbols.get_mut(symbol) {
            state.halted = halted.then_some(ts.0);
        }
        self.excuse(Some(symbol));
    }

    /// Silence starts over, and whether a halt has ended is unknown.
    pub(super) fn connected(&mut self) {
        self.symbols.values_mut().for_each(|state| state.halted = None);
        self.excuse(None);
    }

    /// Silence starts over: after a reconnect, or after a check.
    pub(super) fn excuse(&mut self, symbol: Option<&str>) {
        let at = Instant::now();
        let closed = self.now().is_none_or(|now| self.closed(now));
        let all = self.symbols.iter_mut().filter(|(name, _)| symbol.is_none_or(|symbol| symbol == *name));
        all.for_each(|(_, state)| {
            state.at = at;
            if symbol.is_some() {
                state.settled |= closed;
                state.looks = (state.looks + 1).min(DOUBLINGS);
            }
        });
    }

    pub(super) fn closed(&self, now: UnixNanos) -> bool {
        self.calendar.day(now).phase(now.0) == Phase::Closed
    }

    /// The market's time, from its newest record and the time since.
    pub(super) fn now(&self) -> Option<UnixNanos> {
        let (newest, at) = self.newest?;
        Some(UnixNanos(newest.saturating_add((at.elapsed().as_secs_f64() * self.speed * 1e9) as i64)))
    }

    /// Symbols silent for longer than usual, while the market is open.
    pub(super) fn suspects(&self) -> Vec<Suspect> {
        let Some(now) = self.now() else { return Vec::new() };
        let (day, closed) = (self.calendar.day(now), self.closed(now));
        let mut out: Vec<Suspect> = self
            .symbols
            .iter()
            // Once the market is closed each is checked one more time: it may have stalled before.
            .filter(|(_, state)| if closed { !state.settled } else { state.halted.is_none() })
            .filter_map(|(symbol, state)| {
                let silent_s = state.at.elapsed().as_secs_f64() * self.speed;
                let allowed = self.allowed.max(PAUSES * state.pause / 1e9) * f64::from(1 << state.looks);
                (silent_s > allowed).then(|| Suspect {
                    symbol: symbol.clone(),
                    since: UnixNanos(state.ts),
                    now,
                    silent_s,
                    regular: state.seen && day.is_regular(state.ts) && day.is_regular(now.0),
                })
            })
            .collect();
        out.sort_by(|a, b| a.symbol.cmp(&b.symbol));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_busy_symbol_is_suspected_and_a_quiet_one_or_a_closed_market_is_not() {
        let at =
            |text: &str, second: i64| UnixNanos(UnixNanos::parse(text).unwrap().0 + second * 1_000_000_000);
        // A thousand market seconds pass in ten milliseconds.
        let watch = |open: &str| {
            let mut watch = Watch::new(Calendar::XNYS, 60.0, 100_000.0);
            for n in 0..200 {
                watch.record_seen("BUSY", at(open, n));
            }
            // Once every ten minutes.
            for n in 0..40 {
                watch.record_seen("QUIET", at(open, 600 * (n - 39) + 199));
            }
            std::thread::sleep(Duration::from_millis(10));
            watch
        };
        let mut regular = watch("2013-10-08T17:00:00Z");
        let suspects = regular.suspects();
        let names: Vec<_> = suspects.iter().map(|s| (s.symbol.as_str(), s.regular)).collect();
        assert_eq!(names, [("BUSY", true)]);
        assert!(suspects[0].silent_s >= 1_000.0);
        let halt = at("2013-10-08T17:00:00Z", 210);
        regular.halt("BUSY", halt, true);
        assert_eq!(regular.suspects(), []);
        // A late report of an earlier trade does not end it; a much later trade does.
        for (second, suspected) in [(205, false), (215, false), (240, true)] {
            regular.record_seen("BUSY", at("2013-10-08T17:00:00Z", second));
            std::thread::sleep(Duration::from_millis(10));
            assert_eq!(regular.suspects().iter().any(|s| s.symbol == "BUSY"), suspected, "{second}");
        }
        regular.halt("BUSY", halt, true);
        regular.halt("BUSY", halt, false);
        std::thread::sleep(Duration::from_millis(10));
        // Records from history count as seen.
        regular.fetched("BUSY", at("2013-10-08T17:00:00Z", 250));
        assert_eq!(regular.suspects()[0].since, at("2013-10-08T17:00:00Z", 250));
        regular.excuse(Some("BUSY"));
        assert!(regular.suspects().iter().all(|suspect| suspect.silent_s < 1_000.0));
        assert_eq!(watch("2013-10-08T22:00:00Z").suspects().first().map(|s| s.regular), Some(false));
        // A symbol never seen is checked at growing intervals.
        let mut never =
            Watch::new(Calendar::XNYS, 60.0, 100_000.0).expecting(&["A".to_owned(), "B".to_owned()]);
        never.record_seen("A", at("2013-10-08T17:00:00Z", 0));
        for looks in 1..4 {
            std::thread::sleep(Duration::from_millis(10));
            never.record_seen("A", at("2013-10-08T17:00:00Z", 0));
            assert_eq!(never.suspects().iter().map(|s| s.symbol.as_str()).collect::<Vec<_>>(), ["B"]);
            never.excuse(Some("B"));
            assert_eq!(never.symbols["B"].looks, looks);
        }
        // Closed: one more check of each, and no more.
        let mut closed = watch("2013-10-09T02:00:00Z");
        assert_eq!(closed.suspects().first().map(|s| (s.symbol.as_str(), s.regular)), Some(("BUSY", false)));
        closed.excuse(Some("BUSY"));
        std::thread::sleep(Duration::from_millis(10));
        assert!(closed.suspects().iter().all(|s| s.symbol != "BUSY"));
    }
}
