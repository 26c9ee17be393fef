//! Input: a validated series of bars.

use crate::ForecastError;

/// Number of bars without price movement at the end of a series from which it counts as halted.
const HALTED_BARS: usize = 22;

/// One bar: prices in any positive unit, volume in any non-negative one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ohlcv {
    /// Start in nanoseconds. Time-of-day features read it as local time of the exchange: pass the Unix time plus the
    /// UTC offset where the session matters.
    pub start_ns: i64,
    /// First price.
    pub open: f64,
    /// Highest price.
    pub high: f64,
    /// Lowest price.
    pub low: f64,
    /// Last price.
    pub close: f64,
    /// Traded volume; zero is allowed.
    pub volume: f64,
}

/// Bars of one symbol and one interval in ascending order of time, all values finite and consistent.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    bars: Vec<Ohlcv>,
}

impl Series {
    /// Validates `bars`.
    ///
    /// # Errors
    /// The first bar that has a non-finite value, a price that is not positive, a negative volume, an open or close
    /// outside low..high, or a start not after its predecessor's.
    pub fn new(bars: Vec<Ohlcv>) -> Result<Self, ForecastError> {
        for (index, bar) in bars.iter().enumerate() {
            check_values(index, bar)?;
            let previous_ns = index.checked_sub(1).map(|before| bars[before].start_ns);
            if let Some(previous_ns) = previous_ns.filter(|previous| *previous >= bar.start_ns) {
                return Err(ForecastError::NotAscending { bar: index, start_ns: bar.start_ns, previous_ns });
            }
        }
        Ok(Self { bars })
    }

    /// The bars, ascending.
    #[must_use]
    pub fn bars(&self) -> &[Ohlcv] {
        &self.bars
    }

    /// Number of bars.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bars.len()
    }

    /// Whether there are no bars.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bars.is_empty()
    }

    /// The first `count` bars (all of them if there are fewer).
    #[must_use]
    pub fn prefix(&self, count: usize) -> Self {
        Self { bars: self.bars[..count.min(self.bars.len())].to_vec() }
    }

    /// Checks that the series moves: overall, and in its last 22 bars.
    ///
    /// # Errors
    /// [`ForecastError::Constant`] or [`ForecastError::Halted`].
    pub fn check_movement(&self) -> Result<(), ForecastError> {
        let Some(last) = self.bars.last() else { return Ok(()) };
        let price = last.close;
        let still = self.bars.iter().rev().take_while(|bar| bar.low == price && bar.high == price).count();
        if still == self.bars.len() && still > 1 {
            return Err(ForecastError::Constant { bars: still, price });
        }
        if still >= HALTED_BARS {
            return Err(ForecastError::Halted { bars: still, price });
        }
        Ok(())
    }
}

fn check_values(index: usize, bar: &Ohlcv) -> Result<(), ForecastError> {
    let start_ns = bar.start_ns;
    let prices = [("open", bar.open), ("high", bar.high), ("low", bar.low), ("close", bar.close)];
    for (field, value) in prices.into_iter().chain([("volume", bar.volume)]) {
        if !value.is_finite() {
            return Err(ForecastError::NotFinite { bar: index, start_ns, field, value });
        }
    }
    for (field, value) in prices {
        if value <= 0.0 {
            return Err(ForecastError::OutOfDomain {
                bar: index,
                start_ns,
                field,
                expected: "positive",
                value,
            });
        }
    }
    if bar.volume < 0.0 {
        let value = bar.volume;
        let expected = "non-negative";
        return Err(ForecastError::OutOfDomain { bar: index, start_ns, field: "volume", expected, value });
    }
    let Ohlcv { open, high, low, close, .. } = *bar;
    if low > open.min(close) || high < open.max(close) {
        return Err(ForecastError::Inconsistent { bar: index, start_ns, open, high, low, close });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(start_ns: i64, price: f64) -> Ohlcv {
        Ohlcv { start_ns, open: price, high: price, low: price, close: price, volume: 1.0 }
    }

    #[test]
    fn names_the_bar_and_the_field_that_is_wrong() {
        let nan = Series::new(vec![flat(1, 1.0), Ohlcv { volume: f64::NAN, ..flat(2, 1.0) }]).unwrap_err();
        assert_eq!(nan.to_string(), "bar 1 (start 2 ns): expected a finite volume, found NaN");
        let zero = Series::new(vec![flat(1, 0.0)]).unwrap_err();
        assert_eq!(zero.to_string(), "bar 0 (start 1 ns): expected a positive open, found 0");
        let order = Series::new(vec![flat(2, 1.0), flat(2, 1.0)]).unwrap_err();
        assert_eq!(order, ForecastError::NotAscending { bar: 1, start_ns: 2, previous_ns: 2 });
        let outside = Series::new(vec![Ohlcv { close: 2.0, ..flat(1, 1.0) }]).unwrap_err();
        assert!(matches!(outside, ForecastError::Inconsistent { close: 2.0, .. }));
        let negative = Series::new(vec![Ohlcv { volume: -1.0, ..flat(1, 1.0) }]).unwrap_err();
        assert!(matches!(negative, ForecastError::OutOfDomain { field: "volume", .. }));
    }

    #[test]
    fn tells_constant_from_halted() {
        let constant = Series::new((0..50).map(|at| flat(at, 5.0)).collect()).unwrap();
        assert_eq!(constant.check_movement(), Err(ForecastError::Constant { bars: 50, price: 5.0 }));
        let halted = (0..50).map(|at| flat(at, if at < 20 { 4.0 } else { 5.0 })).collect();
        let halted = Series::new(halted).unwrap();
        assert_eq!(halted.check_movement(), Err(ForecastError::Halted { bars: 30, price: 5.0 }));
        assert_eq!(halted.prefix(30).check_movement(), Ok(()));
    }
}
