//! The price axis of candles: outlying prints are marked, not scaled to.

use super::series::Candle;

/// Fewer candles are all drawn to scale.
const FEWEST: usize = 20;
/// Share of the candles that may lie beyond the axis, at either end; at least one.
const SHARE: usize = 100;
/// An axis that outliers stretch by less is left to them.
const STRETCH: f64 = 3.0;

/// Prices from the lower to the upper end of the axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct PriceRange {
    pub(super) low: f64,
    pub(super) high: f64,
}

impl PriceRange {
    /// The range of some candles; `None` without any. If the outermost hundredth of them stretches it more than threefold, it
    /// is half again as long as that of the others.
    pub(super) fn of(candles: &[Candle]) -> Option<Self> {
        let sorted = |price: usize| {
            let mut all: Vec<f64> =
                candles.iter().map(|candle| candle.ohlc[price]).filter(|price| price.is_finite()).collect();
            all.sort_by(f64::total_cmp);
            all
        };
        let (highs, lows) = (sorted(1), sorted(2));
        let (low, high) = (*lows.first()?, *highs.last()?);
        let all = Self { low, high };
        if candles.len() < FEWEST {
            return Some(all);
        }
        let left_out = (candles.len() / SHARE).max(1);
        let inner = Self { low: lows[left_out], high: highs[highs.len() - 1 - left_out] };
        let length = inner.high - inner.low;
        if length <= 0.0 || high - low <= STRETCH * length {
            return Some(all);
        }
        let room = length / 4.0;
        Some(Self { low: low.max(inner.low - room), high: high.min(inner.high + room) })
    }

    /// Whether a part of a candle is beyond it.
    pub(super) fn is_cut(&self, candle: &Candle) -> bool {
        candle.ohlc[1] > self.high || candle.ohlc[2] < self.low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candle(low: f64, high: f64) -> Candle {
        Candle { ohlc: [low, high, low, high], ..Candle::default() }
    }

    #[test]
    fn one_bad_print_does_not_flatten_the_others() {
        let mut candles: Vec<Candle> = (0..100)
            .map(|index| candle(100.0 + f64::from(index % 10), 101.0 + f64::from(index % 10)))
            .collect();
        assert_eq!(PriceRange::of(&candles), Some(PriceRange { low: 100.0, high: 110.0 }));
        candles[50] = candle(1.0, 105.0);
        let range = PriceRange::of(&candles).unwrap();
        assert_eq!(range, PriceRange { low: 97.5, high: 110.0 });
        assert_eq!(candles.iter().filter(|candle| range.is_cut(candle)).count(), 1);
        // A real move is no outlier.
        for (index, candle) in candles.iter_mut().enumerate() {
            *candle = self::candle(100.0 + index as f64, 101.0 + index as f64);
        }
        assert_eq!(PriceRange::of(&candles), Some(PriceRange { low: 100.0, high: 200.0 }));
        assert_eq!(PriceRange::of(&[]), None);
        let few = [candle(1.0, 2.0), candle(90.0, 100.0)];
        assert_eq!(PriceRange::of(&few), Some(PriceRange { low: 1.0, high: 100.0 }));
    }
}
