//! Splits that a series seems not to be adjusted for: between two bars the price jumps by a factor that splits have, far
//! beyond its usual jumps, and stays there. A crash can look the same: only people can tell.

pub use crate::error::SuspectedSplit;
use crate::{ForecastError, Ohlcv, Series};

/// Bars whose jumps are the usual ones.
const WINDOW: usize = 22;
/// Jumps are suspicious above this multiple of the largest usual one.
const MULTIPLE: f64 = 5.0;
/// Distance from the exact factor, as a share of it: the market moves on the day of a split as well.
const TOLERANCE: f64 = 0.05;

/// All of a series, in order.
#[must_use]
pub fn suspected(series: &Series) -> Vec<SuspectedSplit> {
    (1..series.len()).filter_map(|bar| suspected_at(series.bars(), bar)).collect()
}

/// Checks that `bars` can be trained on: a jump that is not the market's makes the volatility of its day, and of the weeks
/// that remember it, a hundred times too large.
///
/// # Errors
/// [`ForecastError::Split`] for the last suspected split.
pub fn check(bars: &[Ohlcv]) -> Result<(), ForecastError> {
    let found: Vec<SuspectedSplit> = (1..bars.len()).filter_map(|bar| suspected_at(bars, bar)).collect();
    match found.last() {
        Some(last) => Err(ForecastError::Split { last: *last, found: found.len() }),
        None => Ok(()),
    }
}

/// The one between bar `bar` and the bar before it.
#[must_use]
pub fn suspected_at(bars: &[Ohlcv], bar: usize) -> Option<SuspectedSplit> {
    if bar == 0 || bar >= bars.len() {
        return None;
    }
    let at_open = |at: usize| (bars[at - 1].close / bars[at].open).ln();
    let at_close = |at: usize| (bars[at - 1].close / bars[at].close).ln();
    // The first print of a session may still have the old price: then the bar contains the jump. Halves and less only, for
    // the market falls by a third within a bar more often.
    let contains_it = at_open(bar).abs() < 0.1 * at_close(bar).abs() && at_close(bar).abs() > 0.6;
    if contains_it { find(bars, bar, &at_close) } else { find(bars, bar, &at_open) }
}

/// The split at `bar` if `jump` of it looks like one.
fn find(bars: &[Ohlcv], bar: usize, jump: &dyn Fn(usize) -> f64) -> Option<SuspectedSplit> {
    let size = jump(bar).abs();
    let factor = size.exp();
    let exact =
        [1.5, factor.round().max(2.0)].into_iter().find(|exact| (factor / exact - 1.0).abs() <= TOLERANCE)?;
    let usual = (bar.saturating_sub(WINDOW).max(1)..bar).map(|at| jump(at).abs()).fold(0.0, f64::max);
    // A bad print comes back within its bar, or in the next one.
    let (before, after) = (&bars[bar.saturating_sub(2)..bar], &bars[bar..(bar + 2).min(bars.len())]);
    let is_between = |old: &Ohlcv, new: &Ohlcv| (old.close / new.close).ln() / jump(bar) > 0.5;
    let stays = before.iter().all(|old| after.iter().all(|new| is_between(old, new)));
    let ratio = if jump(bar) > 0.0 { exact } else { 1.0 / exact };
    (stays && size > MULTIPLE * usual).then_some(SuspectedSplit { bar, start_ns: bars[bar].start_ns, ratio })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Closes with a jump of 1 % between bars, then `factor` at bar 40.
    fn series(factor: f64) -> Series {
        let bar = |at: i64| {
            let level = if at < 40 { 100.0 } else { 100.0 / factor };
            let open = level * (1.0 + 0.01 * f64::from(u8::from(at % 2 == 0)));
            Ohlcv { start_ns: at, open, high: 1.02 * level, low: 0.98 * level, close: level, volume: 1.0 }
        };
        Series::new((0..80).map(bar).collect()).unwrap()
    }

    #[test]
    fn finds_splits_and_no_other_jumps() {
        for (factor, ratio) in [(7.0, 7.0), (2.02, 2.0), (1.5, 1.5), (0.1, 0.1), (50.0, 50.0)] {
            let found = suspected(&series(factor));
            assert_eq!(found.len(), 1, "{factor}: {found:?}");
            assert_eq!((found[0].bar, found[0].start_ns), (40, 40));
            assert!((found[0].ratio / ratio - 1.0).abs() < 1e-12, "{factor}: {found:?}");
        }
        for factor in [1.0, 1.1, 0.8, 1.3, 2.4] {
            assert_eq!(suspected(&series(factor)), [], "{factor}");
        }
    }

    /// The minute bars of AAPL around its split of 7:1 begin the session of 2014-06-09 like this.
    #[test]
    fn a_first_print_at_the_old_price_hides_no_split() {
        let mut bars = series(7.0).bars().to_vec();
        bars[40] = Ohlcv { open: 100.0, high: 100.0, ..bars[40] };
        let found = suspected(&Series::new(bars).unwrap());
        assert_eq!(found.iter().map(|split| (split.bar, split.ratio)).collect::<Vec<_>>(), [(40, 7.0)]);
    }

    #[test]
    fn a_bad_open_or_close_is_no_split() {
        let mut bars = series(1.0).bars().to_vec();
        bars[35] = Ohlcv { open: 50.0, low: 50.0, ..bars[35] };
        bars[70] = Ohlcv { close: 50.0, low: 50.0, ..bars[70] };
        assert_eq!(suspected(&Series::new(bars).unwrap()), []);
    }
}
