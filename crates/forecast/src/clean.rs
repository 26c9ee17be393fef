//! Bad prints: wicks that no nearby trade supports.
//!
//! Consolidated tapes carry prints far from the market (late, mistyped, cancelled after the bar was made). One of them
//! makes a bar's range and variance tens of times too large, as a target and as an input. A wick that reaches beyond the
//! body of the bar by more than four times the median range of the last 22 bars (and twice their mean) is cut to that
//! length. Open, close and volume stay.

use crate::{ForecastError, Ohlcv, Series};

/// Bars the usual range is measured on.
const WINDOW: usize = 22;

/// Minimum number of bars before a wick can be judged.
const MIN_BARS: usize = 5;

/// Cuts the bad prints of `series`; also returns the indices of the bars that were cut. Each bar is judged by earlier
/// ones only.
///
/// # Errors
/// None for a valid series; the result is validated like any other.
pub fn cut_bad_prints(series: &Series) -> Result<(Series, Vec<usize>), ForecastError> {
    let mut bars: Vec<Ohlcv> = Vec::with_capacity(series.len());
    let mut ranges: Vec<f64> = Vec::with_capacity(series.len());
    let mut cut = Vec::new();
    for (index, bar) in series.bars().iter().enumerate() {
        let mut bar = *bar;
        let limit = limit(&ranges[index.saturating_sub(WINDOW)..]);
        if let Some(limit) = limit {
            let high = bar.open.max(bar.close) * limit.exp();
            let low = bar.open.min(bar.close) * (-limit).exp();
            if bar.high > high || bar.low < low {
                cut.push(index);
            }
            bar.high = bar.high.min(high);
            bar.low = bar.low.max(low);
        }
        ranges.push((bar.high / bar.low).ln());
        bars.push(bar);
    }
    Ok((Series::new(bars)?, cut))
}

/// Longest credible wick in log units; `None` while too little is known, or if most bars did not move.
fn limit(recent: &[f64]) -> Option<f64> {
    if recent.len() < MIN_BARS {
        return None;
    }
    let mut values = [0.0; WINDOW];
    let sorted = &mut values[..recent.len()];
    sorted.copy_from_slice(recent);
    sorted.sort_unstable_by(f64::total_cmp);
    let median = sorted[sorted.len() / 2];
    let mean = sorted.iter().sum::<f64>() / sorted.len() as f64;
    (median > 0.0).then_some((4.0 * median).max(2.0 * mean))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(start_ns: i64, high: f64) -> Ohlcv {
        Ohlcv { start_ns, open: 100.0, high, low: 99.0, close: 100.0, volume: 1.0 }
    }

    #[test]
    fn cuts_a_bad_print_and_nothing_else() {
        let mut bars: Vec<Ohlcv> = (0..60).map(|at| bar(at, 101.0)).collect();
        bars[30].high = 180.0;
        bars[31].high = 104.0;
        let (clean, cut) = cut_bad_prints(&Series::new(bars.clone()).unwrap()).unwrap();
        assert_eq!(cut, [30]);
        let limit = 4.0 * (101.0f64 / 99.0).ln();
        assert!((clean.bars()[30].high - 100.0 * limit.exp()).abs() < 1e-9);
        assert_eq!(clean.bars()[31], bars[31]);
        assert_eq!(clean.bars()[30].close, 100.0);
    }

    #[test]
    fn leaves_bars_alone_that_follow_bars_without_movement() {
        let still = |at| Ohlcv { high: 100.0, low: 100.0, ..bar(at, 0.0) };
        let mut bars: Vec<Ohlcv> = (0..30).map(still).collect();
        bars.push(bar(30, 150.0));
        let series = Series::new(bars).unwrap();
        assert_eq!(cut_bad_prints(&series).unwrap(), (series, vec![]));
    }
}
