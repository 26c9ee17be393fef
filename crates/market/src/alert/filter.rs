//! Implausible prices: far outside a fresh quote, or isolated and far from the last price.

use super::span::TimeSpan;
use crate::interval::SECOND;
use serde::{Deserialize, Serialize};

/// When a price is implausible, in addition to the feed's condition policy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FilterSettings {
    /// A price this many percent from the last one is an outlier until confirmed; 0 disables the check.
    pub outlier_percent: f64,
    /// Number of consecutive prints at that price that confirm it.
    pub confirm: u32,
    /// A price this many percent of the mid price outside bid and ask (twice the spread if that is wider) is
    /// ignored; 0 disables the check.
    pub quote_band_percent: f64,
    /// Maximum age of a quote used for the comparison.
    pub quote_age: TimeSpan,
    /// A print dated this far after its receive time is ignored.
    pub future: TimeSpan,
}

impl Default for FilterSettings {
    fn default() -> Self {
        Self {
            outlier_percent: 0.5,
            confirm: 3,
            quote_band_percent: 0.5,
            quote_age: TimeSpan(5 * SECOND),
            future: TimeSpan(10 * SECOND),
        }
    }
}

/// The last quote.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Quoted {
    pub(super) ts: i64,
    pub(super) bid: f64,
    pub(super) ask: f64,
}

/// The last accepted price, and an outlier awaiting confirmation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Filter {
    pub(super) last: Option<f64>,
    outlier: f64,
    count: u32,
}

impl Filter {
    /// Whether a price is accepted.
    #[inline]
    pub(super) fn accepts(
        &mut self,
        price: f64,
        ts: i64,
        quote: Option<&Quoted>,
        settings: &FilterSettings,
    ) -> bool {
        if let Some(quote) = quote
            && settings.quote_band_percent > 0.0
            && (0..=settings.quote_age.0).contains(&ts.saturating_sub(quote.ts))
        {
            let mid = (quote.bid + quote.ask) / 2.0;
            let band = (mid * settings.quote_band_percent / 100.0).max(2.0 * (quote.ask - quote.bid));
            if price < quote.bid - band || price > quote.ask + band {
                return false;
            }
        }
        let near = |other: f64| ((price / other - 1.0) * 100.0).abs() <= settings.outlier_percent;
        if let Some(last) = self.last
            && settings.outlier_percent > 0.0
            && !near(last)
        {
            self.count = if self.count > 0 && near(self.outlier) { self.count + 1 } else { 1 };
            self.outlier = price;
            if self.count < settings.confirm {
                return false;
            }
        }
        self.last = Some(price);
        self.count = 0;
        true
    }

    pub(super) fn scale(&mut self, factor: f64) {
        self.last = self.last.map(|price| price * factor);
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(prices: &[f64]) -> Vec<usize> {
        let (mut filter, settings) = (Filter::default(), FilterSettings::default());
        (0..prices.len()).filter(|at| filter.accepts(prices[*at], 0, None, &settings)).collect()
    }

    #[test]
    fn outliers_wait_for_confirmation() {
        assert_eq!(accepted(&[165.4, 167.51, 165.41]), [0, 2]);
        assert_eq!(accepted(&[165.4, 167.51, 167.51, 165.41]), [0, 3]);
        assert_eq!(accepted(&[165.4, 167.51, 167.5, 167.6, 165.4]), [0, 3]);
        // Outliers in different places confirm nothing.
        assert_eq!(accepted(&[165.4, 167.51, 150.0, 167.51, 165.4]), [0, 4]);
        assert_eq!(accepted(&[100.0, 100.5, 101.0]), [0, 1, 2]);
    }

    #[test]
    fn fresh_quotes_bound_prices() {
        let settings = FilterSettings::default();
        let quote = Quoted { ts: 0, bid: 100.0, ask: 100.1 };
        for (price, ts, expected) in [
            (100.05, 0, true),
            (100.55, 0, true),
            (100.7, 0, false),
            (99.4, 0, false),
            (100.7, 6 * SECOND, true),
            (100.7, -1, true),
        ] {
            let mut filter = Filter::default();
            assert_eq!(filter.accepts(price, ts, Some(&quote), &settings), expected, "{price} {ts}");
        }
    }
}
