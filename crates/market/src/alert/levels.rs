//! Reference levels of prices: VWAP of the session, moving averages, highs and lows of previous days.

use super::condition::AverageSpec;
use crate::indicator::{Ema, Sma};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Volume-weighted average price: sum of price times size, over the sum of sizes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Vwap {
    notional: f64,
    volume: f64,
}

impl Vwap {
    /// Adds a print, or subtracts it with a negative sign.
    #[inline]
    pub(super) fn add(&mut self, price: f64, size: f64, sign: f64) {
        self.notional += sign * price * size;
        self.volume += sign * size;
    }

    #[inline]
    pub(super) fn value(&self) -> Option<f64> {
        (self.volume > 0.0).then(|| self.notional / self.volume)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Kind {
    Sma(Sma),
    Ema(Ema),
}

/// Moving average of the closes of completed bars.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Average {
    pub(super) spec: AverageSpec,
    kind: Kind,
    /// Number of the bar of the last print, and its price.
    open: Option<(i64, f64)>,
    pub(super) level: Option<f64>,
}

impl Average {
    pub(super) fn new(spec: AverageSpec) -> Self {
        let kind = if spec.exponential { Kind::Ema(Ema::new(spec.n)) } else { Kind::Sma(Sma::new(spec.n)) };
        Self { spec, kind, open: None, level: None }
    }

    /// Adds a price. Bars without prints are skipped.
    #[inline]
    pub(super) fn observe(&mut self, ts: i64, price: f64) {
        let bar = ts.div_euclid(self.spec.interval);
        if let Some((open, close)) = self.open
            && open != bar
        {
            self.level = match &mut self.kind {
                Kind::Sma(sma) => sma.next(close),
                Kind::Ema(ema) => ema.next(close),
            };
        }
        self.open = Some((bar, price));
    }

    /// Scales the values it holds: a split.
    pub(super) fn scale(&mut self, factor: f64) {
        match &mut self.kind {
            Kind::Sma(sma) => sma.scale(factor),
            Kind::Ema(ema) => ema.scale(factor),
        }
        self.level = self.level.map(|level| level * factor);
        self.open = self.open.map(|(bar, close)| (bar, close * factor));
    }
}

/// Prices of a session day.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct DayRange {
    pub(super) yyyymmdd: u32,
    pub(super) high: f64,
    pub(super) low: f64,
    pub(super) close: f64,
}

/// The session days before today, oldest first, and today.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Days {
    past: VecDeque<DayRange>,
    /// Date of today, highest, lowest and last price; `None` for what was not seen.
    today: u32,
    range: Option<(f64, f64)>,
    close: Option<f64>,
    /// The regular session has opened.
    pub(super) opened: bool,
}

impl Days {
    /// Starts another day; keeps `keep` previous days.
    pub(super) fn roll(&mut self, yyyymmdd: u32, keep: usize) {
        if let (Some((high, low)), Some(close)) = (self.range, self.close) {
            self.add(DayRange { yyyymmdd: self.today, high, low, close }, keep);
        }
        self.today = yyyymmdd;
        self.range = None;
        self.close = None;
        self.opened = false;
    }

    /// A day known from elsewhere. An already known day is replaced.
    pub(super) fn add(&mut self, day: DayRange, keep: usize) {
        let at = self.past.partition_point(|known| known.yyyymmdd < day.yyyymmdd);
        match self.past.get_mut(at) {
            Some(known) if known.yyyymmdd == day.yyyymmdd => *known = day,
            _ => self.past.insert(at, day),
        }
        while self.past.len() > keep.max(1) {
            self.past.pop_front();
        }
    }

    /// Number of previous days it knows.
    pub(super) fn known(&self) -> usize {
        self.past.len()
    }

    pub(super) const fn today(&self) -> u32 {
        self.today
    }

    #[inline]
    pub(super) fn extreme(&mut self, price: f64) {
        let (high, low) = self.range.unwrap_or((price, price));
        self.range = Some((high.max(price), low.min(price)));
    }

    #[inline]
    pub(super) fn close(&mut self, price: f64) {
        self.close = Some(price);
    }

    /// The close of the previous day.
    pub(super) fn previous_close(&self) -> Option<f64> {
        self.before().next_back().map(|day| day.close)
    }

    fn before(&self) -> impl DoubleEndedIterator<Item = &DayRange> {
        self.past.iter().filter(|day| day.yyyymmdd < self.today)
    }

    /// Highest or lowest of the `n` previous days; `None` if fewer are known.
    pub(super) fn extreme_of(&self, n: usize, up: bool) -> Option<f64> {
        let mut days = 0;
        let pick = |sum: Option<f64>, day: &DayRange| {
            let price = if up { day.high } else { day.low };
            Some(sum.map_or(price, |sum| if up { sum.max(price) } else { sum.min(price) }))
        };
        let found = self.before().rev().take(n).inspect(|_| days += 1).fold(None, pick);
        found.filter(|_| days == n)
    }

    /// Scales the values it holds: a split.
    pub(super) fn scale(&mut self, factor: f64) {
        for day in &mut self.past {
            day.high *= factor;
            day.low *= factor;
            day.close *= factor;
        }
    }
}
