//! Streaming indicators: one bar in, at most one value out. Values before the first are `None`, not zero.
//!
//! Seeding follows TA-Lib: an EMA starts with the simple mean of its first `n` values, Wilder's averages
//! (RSI, ATR) with the simple mean of the first `n` changes or ranges. They are plain 64-bit floats:
//! indicators are estimates, not money.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::str::FromStr;

/// Simple moving average of the last `n` values.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sma {
    n: usize,
    window: VecDeque<f64>,
}

impl Sma {
    /// Over `n` values.
    #[must_use]
    pub fn new(n: usize) -> Self {
        Self { n: n.max(1), window: VecDeque::new() }
    }

    /// The mean once there are `n` values. Summed again each time: a running sum would drift.
    pub fn next(&mut self, value: f64) -> Option<f64> {
        push(&mut self.window, value, self.n);
        (self.window.len() == self.n).then(|| self.window.iter().sum::<f64>() / self.n as f64)
    }

    /// Scales the values it holds, as after a split.
    pub fn scale(&mut self, factor: f64) {
        self.window.iter_mut().for_each(|value| *value *= factor);
    }
}

fn push(window: &mut VecDeque<f64>, value: f64, n: usize) {
    if window.len() == n {
        window.pop_front();
    }
    window.push_back(value);
}

/// Exponential average with a given weight, seeded with the simple mean of the first `n` values.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Smooth {
    n: usize,
    weight: f64,
    seen: usize,
    sum: f64,
    value: f64,
}

impl Smooth {
    fn new(n: usize, weight: f64) -> Self {
        Self { n: n.max(1), weight, seen: 0, sum: 0.0, value: 0.0 }
    }

    fn next(&mut self, value: f64) -> Option<f64> {
        self.seen += 1;
        if self.seen <= self.n {
            self.sum += value;
            self.value = self.sum / self.n as f64;
        } else {
            self.value += (value - self.value) * self.weight;
        }
        (self.seen >= self.n).then_some(self.value)
    }
}

/// Exponential moving average: weight 2 / (n + 1).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ema(Smooth);

impl Ema {
    /// Over `n` values.
    #[must_use]
    pub fn new(n: usize) -> Self {
        Self(Smooth::new(n, 2.0 / (n as f64 + 1.0)))
    }

    /// The average from the `n`-th value on.
    pub fn next(&mut self, value: f64) -> Option<f64> {
        self.0.next(value)
    }

    /// Scales the average it holds, as after a split.
    pub fn scale(&mut self, factor: f64) {
        self.0.sum *= factor;
        self.0.value *= factor;
    }
}

fn wilder(n: usize) -> Smooth {
    Smooth::new(n, 1.0 / n.max(1) as f64)
}

/// Relative strength index, Wilder 1978: 100 * gains / (gains + losses), both smoothed over `n`.
#[derive(Debug, Clone)]
pub struct Rsi {
    last: Option<f64>,
    gain: Smooth,
    loss: Smooth,
}

impl Rsi {
    /// Over `n` changes.
    #[must_use]
    pub fn new(n: usize) -> Self {
        Self { last: None, gain: wilder(n), loss: wilder(n) }
    }

    /// 0 to 100; 0 if nothing moved, as in TA-Lib.
    pub fn next(&mut self, close: f64) -> Option<f64> {
        let change = close - self.last.replace(close)?;
        let (gain, loss) = (self.gain.next(change.max(0.0)), self.loss.next((-change).max(0.0)));
        let (gain, loss) = (gain?, loss?);
        Some(if gain + loss == 0.0 { 0.0 } else { 100.0 * gain / (gain + loss) })
    }
}

/// Moving average convergence/divergence: fast EMA minus slow EMA, and the EMA of the difference.
#[derive(Debug, Clone)]
pub struct Macd {
    skip: usize,
    fast: Ema,
    slow: Ema,
    signal: Ema,
}

impl Macd {
    /// Usually 12, 26, 9. As in TA-Lib, the shorter of the first two periods is the fast one, whatever their order.
    #[must_use]
    pub fn new(fast: usize, slow: usize, signal: usize) -> Self {
        let (fast, slow) = (fast.min(slow), fast.max(slow));
        Self {
            skip: slow.saturating_sub(fast),
            fast: Ema::new(fast),
            slow: Ema::new(slow),
            signal: Ema::new(signal),
        }
    }

    /// MACD, signal and their difference, once all three exist. Both EMAs begin at the same value, as in TA-Lib.
    pub fn next(&mut self, close: f64) -> Option<[f64; 3]> {
        let slow = self.slow.next(close);
        let fast = if self.skip > 0 {
            self.skip -= 1;
            None
        } else {
            self.fast.next(close)
        };
        let macd = fast? - slow?;
        let signal = self.signal.next(macd)?;
        Some([macd, signal, macd - signal])
    }
}

/// Bollinger bands: mean of the last `n`, and `width` population standard deviations to each side.
#[derive(Debug, Clone)]
pub struct Bollinger {
    n: usize,
    width: f64,
    window: VecDeque<f64>,
}

impl Bollinger {
    /// Usually 20 and 2.
    #[must_use]
    pub fn new(n: usize, width: f64) -> Self {
        Self { n: n.max(1), width, window: VecDeque::new() }
    }

    /// Upper, middle, lower.
    pub fn next(&mut self, close: f64) -> Option<[f64; 3]> {
        push(&mut self.window, close, self.n);
        if self.window.len() < self.n {
            return None;
        }
        let n = self.n as f64;
        let mean = self.window.iter().sum::<f64>() / n;
        let variance = self.window.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n;
        let band = self.width * variance.sqrt();
        Some([mean + band, mean, mean - band])
    }
}

/// Average true range, Wilder 1978.
#[derive(Debug, Clone)]
pub struct Atr {
    last: Option<f64>,
    range: Smooth,
}

impl Atr {
    /// Over `n` ranges.
    #[must_use]
    pub fn new(n: usize) -> Self {
        Self { last: None, range: wilder(n) }
    }

    /// In the unit of the prices.
    pub fn next(&mut self, high: f64, low: f64, close: f64) -> Option<f64> {
        let last = self.last.replace(close)?;
        self.range.next((high - low).max((high - last).abs()).max((low - last).abs()))
    }
}

/// Volume-weighted average price since the session began.
#[derive(Debug, Clone, Default)]
pub struct SessionVwap {
    session: Option<u32>,
    notional: f64,
    volume: f64,
}

impl SessionVwap {
    /// `session` is its date; a new one starts over. `price` is the bar's VWAP, or its typical price.
    pub fn next(&mut self, session: u32, price: f64, volume: f64) -> Option<f64> {
        if self.session != Some(session) {
            *self = Self { session: Some(session), ..Self::default() };
        }
        self.notional += price * volume;
        self.volume += volume;
        (self.volume > 0.0).then(|| self.notional / self.volume)
    }
}

/// Input of an indicator from one bar.
#[derive(Debug, Clone, Copy)]
pub struct Input {
    /// The session's date.
    pub session: u32,
    /// Highest price.
    pub high: f64,
    /// Lowest price.
    pub low: f64,
    /// Last price.
    pub close: f64,
    /// The bar's own VWAP.
    pub vwap: f64,
    /// Units traded.
    pub volume: f64,
}

#[derive(Debug, Clone)]
enum Kind {
    Sma(Sma),
    Ema(Ema),
    Rsi(Rsi),
    Macd(Macd),
    Bollinger(Bollinger),
    Atr(Atr),
    Vwap(SessionVwap),
}

/// Any indicator, by name: `sma:20`, `ema:50`, `rsi:14`, `macd:12:26:9`, `bollinger:20:2`, `atr:14`, `vwap`.
#[derive(Debug, Clone)]
pub struct Indicator {
    name: String,
    kind: Kind,
}

impl Indicator {
    /// Its specification with defaults filled in.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is drawn over the prices; the others have their own scale.
    #[must_use]
    pub const fn over_price(&self) -> bool {
        matches!(self.kind, Kind::Sma(_) | Kind::Ema(_) | Kind::Bollinger(_) | Kind::Vwap(_))
    }

    /// Its values after this bar: one, or three for MACD and Bollinger; none while it is seeding.
    pub fn next(&mut self, bar: &Input) -> Vec<f64> {
        let one = |value: Option<f64>| value.into_iter().collect();
        match &mut self.kind {
            Kind::Sma(sma) => one(sma.next(bar.close)),
            Kind::Ema(ema) => one(ema.next(bar.close)),
            Kind::Rsi(rsi) => one(rsi.next(bar.close)),
            Kind::Atr(atr) => one(atr.next(bar.high, bar.low, bar.close)),
            Kind::Vwap(vwap) => one(vwap.next(bar.session, bar.vwap, bar.volume)),
            Kind::Macd(macd) => macd.next(bar.close).into_iter().flatten().collect(),
            Kind::Bollinger(bands) => bands.next(bar.close).into_iter().flatten().collect(),
        }
    }
}

impl FromStr for Indicator {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fail = || {
            format!(
                "unknown indicator `{text}`; expected sma:20, ema:50, rsi:14, macd:12:26:9, bollinger:20:2, atr:14 or vwap"
            )
        };
        let mut parts = text.trim().split(':');
        let word = parts.next().unwrap_or_default().to_ascii_lowercase();
        let numbers = parts
            .map(|part| part.parse::<f64>().ok().filter(|n| *n > 0.0 && *n <= 10_000.0))
            .collect::<Option<Vec<f64>>>()
            .ok_or_else(fail)?;
        let most = match word.as_str() {
            "macd" => 3,
            "bollinger" => 2,
            "vwap" => 0,
            _ => 1,
        };
        if numbers.len() > most {
            return Err(fail());
        }
        let n = |index: usize, default: f64| numbers.get(index).copied().unwrap_or(default);
        let whole = |index: usize, default: f64| n(index, default) as usize;
        let (name, kind) = match word.as_str() {
            "sma" => (format!("sma:{}", whole(0, 20.0)), Kind::Sma(Sma::new(whole(0, 20.0)))),
            "ema" => (format!("ema:{}", whole(0, 20.0)), Kind::Ema(Ema::new(whole(0, 20.0)))),
            "rsi" => (format!("rsi:{}", whole(0, 14.0)), Kind::Rsi(Rsi::new(whole(0, 14.0)))),
            "atr" => (format!("atr:{}", whole(0, 14.0)), Kind::Atr(Atr::new(whole(0, 14.0)))),
            "macd" => {
                let (fast, slow, signal) = (whole(0, 12.0), whole(1, 26.0), whole(2, 9.0));
                (format!("macd:{fast}:{slow}:{signal}"), Kind::Macd(Macd::new(fast, slow, signal)))
            }
            "bollinger" => {
                let (count, width) = (whole(0, 20.0), n(1, 2.0));
                (format!("bollinger:{count}:{width}"), Kind::Bollinger(Bollinger::new(count, width)))
            }
            "vwap" => ("vwap".to_owned(), Kind::Vwap(SessionVwap::default())),
            _ => return Err(fail()),
        };
        Ok(Self { name, kind })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Real daily bars of SPY and TA-Lib's results for them; see golden/README.md.
    const GOLDEN: &str = include_str!("../tests/golden/indicators.csv");

    #[test]
    fn values_equal_ta_libs() {
        let mut lines = GOLDEN.lines();
        let header: Vec<&str> = lines.next().unwrap().split(',').collect();
        let mut ours: Vec<Indicator> =
            ["sma:20", "ema:20", "rsi:14", "macd:12:26:9", "bollinger:20:2", "atr:14"]
                .iter()
                .map(|name| name.parse().unwrap())
                .collect();
        let mut compared = 0;
        for line in lines {
            let cells: Vec<&str> = line.split(',').collect();
            let cell = |index: usize| cells[index].parse::<f64>();
            let (high, low, close) = (cell(1).unwrap(), cell(2).unwrap(), cell(3).unwrap());
            let input = Input { session: 0, high, low, close, vwap: close, volume: 1.0 };
            let mut column = 4;
            for indicator in &mut ours {
                let width = if matches!(indicator.kind, Kind::Macd(_) | Kind::Bollinger(_)) { 3 } else { 1 };
                let values = indicator.next(&input);
                for index in 0..width {
                    let theirs = cell(column + index).ok();
                    let mine = values.get(index).copied();
                    assert_eq!(mine.is_some(), theirs.is_some(), "{} {}", cells[0], header[column + index]);
                    if let (Some(mine), Some(theirs)) = (mine, theirs) {
                        assert!(
                            (mine - theirs).abs() <= 1e-9,
                            "{} {}: {mine} {theirs}",
                            cells[0],
                            header[column + index]
                        );
                        compared += 1;
                    }
                }
                column += width;
            }
        }
        assert!(compared > 50_000, "{compared}");
    }

    /// TA-Lib exchanges the periods if fast is longer than slow; see golden/README.md.
    #[test]
    fn macd_of_any_periods_equals_ta_libs() {
        let golden = include_str!("../tests/golden/macd_periods.csv");
        let mut macds: Vec<(String, Macd)> = Vec::new();
        let mut compared = 0;
        for line in golden.lines().skip(1) {
            let cells: Vec<&str> = line.split(',').collect();
            let periods = cells[..3].join(":");
            if macds.last().is_none_or(|(last, _)| *last != periods) {
                let period = |index: usize| cells[index].parse().unwrap();
                macds.push((periods.clone(), Macd::new(period(0), period(1), period(2))));
            }
            let ours = macds.last_mut().unwrap().1.next(cells[4].parse().unwrap());
            for (index, text) in cells[5..].iter().enumerate() {
                let theirs = text.parse::<f64>().ok();
                let mine = ours.map(|values| values[index]);
                assert_eq!(mine.is_some(), theirs.is_some(), "macd:{periods} day {}", cells[3]);
                if let Some((mine, theirs)) = mine.zip(theirs) {
                    assert!(
                        (mine - theirs).abs() <= 1e-9,
                        "macd:{periods} day {}: {mine} {theirs}",
                        cells[3]
                    );
                    compared += 1;
                }
            }
        }
        assert_eq!((macds.len(), compared > 3_000), (5, true), "{compared}");
    }

    #[test]
    fn names_and_the_sessions_vwap() {
        for (text, name) in [
            ("SMA", "sma:20"),
            ("macd", "macd:12:26:9"),
            ("bollinger:10", "bollinger:10:2"),
            ("vwap", "vwap"),
        ] {
            assert_eq!(text.parse::<Indicator>().unwrap().name(), name);
        }
        for bad in ["", "sma:0", "sma:x", "sma:1:2", "vwap:1", "kdj"] {
            assert!(bad.parse::<Indicator>().is_err(), "{bad}");
        }
        let mut vwap = SessionVwap::default();
        assert_eq!(vwap.next(1, 10.0, 0.0), None);
        assert_eq!(vwap.next(1, 10.0, 100.0), Some(10.0));
        assert_eq!(vwap.next(1, 12.0, 300.0), Some(11.5));
        assert_eq!(vwap.next(2, 20.0, 1.0), Some(20.0));
    }
}
