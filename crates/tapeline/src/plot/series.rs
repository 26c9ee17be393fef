//! The bars of one symbol as candles in their slots, and its indicators' lines.

use crate::time_input::Zone;
use market::UnixNanos;
use market::bar::{Bar, Values};
use market::calendar::Calendar;
use market::indicator::{Indicator, Input};
use market::interval::Interval;
use std::collections::{BTreeMap, BTreeSet};

/// The bars of one symbol.
pub(crate) struct Series {
    pub(crate) title: String,
    pub(crate) calendar: Calendar,
    /// The zone of the labels.
    pub(crate) zone: Zone,
    pub(crate) bars: Vec<Bar>,
    pub(crate) indicators: Vec<Indicator>,
}

/// A bar at its position.
#[derive(Debug, Default)]
pub(super) struct Candle {
    pub(super) x: f64,
    /// Open, high, low, close.
    pub(super) ohlc: [f64; 4],
    pub(super) volume: f64,
    pub(super) restated: bool,
    pub(super) open: bool,
    pub(super) incomplete: bool,
}

pub(super) struct Layout {
    pub(super) candles: Vec<Candle>,
    /// Slots without a bar within a session: from, to.
    pub(super) gaps: Vec<(f64, f64)>,
    /// Slots before the open or after the close: from, to.
    pub(super) extended: Vec<(f64, f64)>,
}

/// The slots of the bars' starts, from left to right. Charts side by side share them.
#[derive(Default)]
pub(super) struct Slots {
    pub(super) of: BTreeMap<i64, f64>,
    /// Slots where a new session starts.
    pub(super) sessions: Vec<f64>,
    pub(super) width: f64,
}

/// Whether any part of a bar is in the regular session.
pub(crate) fn is_regular(bar: &Bar, day: &market::calendar::Day) -> bool {
    let end = bar.start.0.saturating_add(bar.interval.nanos().unwrap_or(0).max(1));
    day.is_session() && bar.start.0 < day.parts[2] && end > day.parts[1]
}

/// A longer run of empty slots is drawn as one break.
const WIDEST: i64 = 400;

/// Bars that are missing between two starts within the regular session of one day.
fn missing(calendar: Calendar, interval: Interval, before: UnixNanos, start: UnixNanos) -> i64 {
    let (Some(step), of, day) = (interval.nanos(), calendar.day(before), calendar.day(start)) else {
        return 0;
    };
    let within = of.start == day.start && of.is_regular(before.0) && of.is_regular(start.0);
    if within { (start.0 - before.0) / step - 1 } else { 0 }
}

impl Slots {
    /// Nights and holidays take no room, missing bars of a session do.
    pub(super) fn new(
        calendar: Calendar,
        interval: Interval,
        starts: impl Iterator<Item = UnixNanos>,
    ) -> Self {
        let starts: BTreeSet<i64> = starts.map(|start| start.0).collect();
        let mut slots = Self { width: 1.0, ..Self::default() };
        let mut last: Option<UnixNanos> = None;
        let mut x = 0.0;
        for start in starts.into_iter().map(UnixNanos) {
            if let Some(before) = last {
                x += 1.0;
                if calendar.day(before).start != calendar.day(start).start && interval.nanos().is_some() {
                    slots.sessions.push(x - 0.5);
                }
                x += missing(calendar, interval, before, start).clamp(0, WIDEST) as f64;
            }
            slots.of.insert(start.0, x);
            last = Some(start);
        }
        slots.width = x + 1.0;
        slots
    }

    /// Slots and when they start, for the labels.
    pub(super) fn starts(&self) -> Vec<(f64, UnixNanos)> {
        self.of.iter().map(|(start, x)| (*x, UnixNanos(*start))).collect()
    }
}

impl Series {
    pub(super) fn starts(&self) -> impl Iterator<Item = UnixNanos> {
        self.bars.iter().filter(|bar| matches!(bar.values, Values::Trades(_))).map(|bar| bar.start)
    }

    pub(super) fn interval(&self) -> Option<Interval> {
        self.bars.first().map(|bar| bar.interval)
    }

    /// Its own slots.
    pub(super) fn slots(&self) -> Slots {
        self.interval()
            .map_or_else(Slots::default, |interval| Slots::new(self.calendar, interval, self.starts()))
    }

    /// The candles in their slots.
    pub(super) fn layout(&self, slots: &Slots) -> Layout {
        let mut out = Layout { candles: Vec::new(), gaps: Vec::new(), extended: Vec::new() };
        let mut last: Option<(UnixNanos, f64)> = None;
        for bar in &self.bars {
            let Values::Trades(values) = &bar.values else { continue };
            let Some(x) = slots.of.get(&bar.start.0).copied() else { continue };
            let day = self.calendar.day(bar.start);
            if let Some((before, left)) = last {
                let missing = missing(self.calendar, bar.interval, before, bar.start);
                // Silence of less than a minute is normal.
                let long = missing.saturating_mul(bar.interval.nanos().unwrap_or(0)) >= market::time::MINUTE;
                if missing > 0 && long {
                    out.gaps.push((left + 0.5, x - 0.5));
                }
            }
            if !self.calendar.is_continuous() && !bar.interval.is_day() && !is_regular(bar, &day) {
                match out.extended.last_mut() {
                    Some((_, to)) if *to >= x - 0.5 => *to = x + 0.5,
                    _ => out.extended.push((x - 0.5, x + 0.5)),
                }
            }
            out.candles.push(Candle {
                x,
                ohlc: values.ohlc.map(market::Price::to_f64),
                volume: values.volume.to_f64(),
                restated: bar.revision > 0,
                open: !bar.is_final,
                incomplete: !bar.complete,
            });
            last = Some((bar.start, x));
        }
        out
    }

    /// Points of each indicator.
    pub(super) fn lines(&self, layout: &Layout) -> Vec<Lines> {
        let traded: Vec<&Bar> =
            self.bars.iter().filter(|bar| matches!(bar.values, Values::Trades(_))).collect();
        let mut out = Vec::new();
        for indicator in &self.indicators {
            let mut indicator = indicator.clone();
            let mut lines: Vec<Vec<(f64, f64)>> = Vec::new();
            for (bar, candle) in traded.iter().zip(&layout.candles) {
                let [_, high, low, close] = candle.ohlc;
                let vwap = match &bar.values {
                    Values::Trades(values) => values.vwap.map(market::Price::to_f64),
                    _ => None,
                };
                let session = self.calendar.day(bar.start).yyyymmdd;
                let vwap = vwap.unwrap_or((high + low + close) / 3.0);
                let input = Input { session, high, low, close, vwap, volume: candle.volume };
                for (index, value) in indicator.next(&input).into_iter().enumerate() {
                    if lines.len() <= index {
                        lines.push(Vec::new());
                    }
                    lines[index].push((candle.x, value));
                }
            }
            out.push((indicator.name().to_owned(), indicator.over_price(), lines));
        }
        out
    }
}

/// An indicator's name, whether it is drawn over the prices, and the points of each of its lines.
pub(super) type Lines = (String, bool, Vec<Vec<(f64, f64)>>);
