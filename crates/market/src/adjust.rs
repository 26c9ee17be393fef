//! Split and dividend adjustment, applied when bars are read: stored bars stay unadjusted.
//!
//! Factor files as in Lean's data: each line gives the last date (inclusive) to which its factors apply:
//! `20140606,0.9011818,0.03571430,645.57` = date, price factor (dividends), split factor, reference price.

use crate::bar::{Bar, Values};
use crate::fixed::{self, ONE};
use crate::wide::Wide;
use crate::{Price, Size};
use std::str::FromStr;

/// What to adjust for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Adjust {
    /// No adjustment.
    #[default]
    None,
    /// Splits: prices times the split factor, volume divided by it.
    Split,
    /// Splits and dividends: prices times both factors.
    All,
}

impl FromStr for Adjust {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" | "raw" => Ok(Self::None),
            "split" => Ok(Self::Split),
            "all" => Ok(Self::All),
            other => Err(format!("expected none, split or all, found `{other}`")),
        }
    }
}

/// The factors of one symbol, by date.
#[derive(Debug, Clone, Default)]
pub struct Factors {
    /// Last date of validity, price factor, split factor; ascending.
    rows: Vec<(u32, i128, i128)>,
}

impl Factors {
    /// Parses a factor file.
    ///
    /// # Errors
    /// The invalid line, and why.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut rows = Vec::new();
        // Without the byte order mark of spreadsheets.
        let text = text.trim_start_matches('\u{feff}');
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let fail = |what: &str| format!("line {}: {what}: `{line}`", number + 1);
            let mut fields = line.trim().split(',');
            let date =
                fields.next().and_then(|field| field.parse().ok()).ok_or_else(|| fail("expected a date"))?;
            let mut factor = |what: &str| {
                let field = fields.next().ok_or_else(|| fail(what))?;
                fixed::parse(field.as_bytes()).ok().filter(|factor| *factor > 0).ok_or_else(|| fail(what))
            };
            rows.push((date, factor("expected a price factor")?, factor("expected a split factor")?));
        }
        if rows.is_empty() {
            return Err("the file has no factors".to_owned());
        }
        rows.sort_unstable();
        Ok(Self { rows })
    }

    /// Price factor and split factor of a date, raw values; 1 after the last.
    #[must_use]
    pub fn on(&self, yyyymmdd: u32) -> (i128, i128) {
        let row = self.rows.partition_point(|(date, ..)| *date < yyyymmdd);
        self.rows.get(row).map_or((ONE, ONE), |(_, price, split)| (*price, *split))
    }

    /// A bar adjusted to today's shares.
    pub fn apply(&self, bar: &mut Bar, adjust: Adjust, yyyymmdd: u32) {
        let (price, split) = self.on(yyyymmdd);
        let factor = match adjust {
            Adjust::None => return,
            Adjust::Split => split,
            Adjust::All => ratio(price, split, ONE),
        };
        let scale = |value: &mut Price| *value = Price::from_raw(ratio(value.raw(), factor, ONE));
        let shares = |value: &mut Size| *value = Size::from_raw(ratio(value.raw(), ONE, split));
        match &mut bar.values {
            Values::Trades(trades) => {
                trades.ohlc.iter_mut().for_each(scale);
                trades.vwap.iter_mut().for_each(scale);
                shares(&mut trades.volume);
            }
            Values::Quotes(quotes) => {
                for (ohlc, size) in [&mut quotes.bid, &mut quotes.ask].into_iter().flatten() {
                    ohlc.iter_mut().for_each(scale);
                    shares(size);
                }
            }
            // A reading has no shares.
            Values::Readings(_) | Values::Empty => {}
        }
    }
}

/// `value * by / over`, rounded half up; saturates at the largest number.
fn ratio(value: i128, by: i128, over: i128) -> i128 {
    Wide::product(value, by).divided(over).unwrap_or(fixed::MAX).clamp(-fixed::MAX, fixed::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AAPL: &str = "20120808,0.8613657,0.03571430,619.86\n20140606,0.9011818,0.03571430,645.57\n20200828,0.98,0.25,499.23\n20501231,1,1,0";

    /// The exact products to 40 digits, computed with Python's decimal: a factor truncated to nine decimals
    /// misses them.
    #[test]
    fn adjusted_prices_are_exact() {
        let factors = Factors::parse(AAPL).unwrap();
        for (adjust, as_traded, adjusted) in [
            (Adjust::All, "645.57", "20.7777202620133518"),
            (Adjust::All, "649.9", "20.917081646115026"),
            (Adjust::All, "0.0001", "0.000003218507715974"),
            (Adjust::Split, "645.57", "23.056080651"),
        ] {
            let price = Price::parse(as_traded.as_bytes()).unwrap();
            let mut bar = Bar {
                kind: crate::Kind::TRADE,
                symbol: "AAPL".into(),
                feed: "f".into(),
                interval: crate::interval::Interval::D1,
                start: crate::UnixNanos(0),
                values: Values::Trades(crate::bar::TradeValues {
                    ohlc: [price; 4],
                    volume: Size::from_whole(7),
                    vwap: Some(price),
                    trades: 1,
                }),
                late: 0,
                revision: 0,
                is_final: true,
                complete: true,
            };
            factors.apply(&mut bar, adjust, 20140606);
            let Values::Trades(values) = &bar.values else { panic!() };
            let shown = values.ohlc.iter().chain(&values.vwap).map(Price::to_string);
            assert!(
                shown.clone().all(|text| text == adjusted),
                "{as_traded} {adjust:?}: {:?}",
                shown.collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn factors_hold_up_to_their_date() {
        let factors = Factors::parse(AAPL).unwrap();
        assert_eq!(factors.on(20140606), (ONE / 10_000_000 * 9_011_818, ONE / 10_000_000 * 357_143));
        assert_eq!(factors.on(20140609), (ONE / 100 * 98, ONE / 4));
        assert_eq!(factors.on(20200828).1, ONE / 4);
        assert_eq!(factors.on(20200831).1, ONE);
        assert_eq!(factors.on(20990101), (ONE, ONE));
        for (bad, part) in [
            ("", "no factors"),
            ("x,1,1", "line 1: expected a date"),
            ("20140606,1", "expected a split factor"),
            ("20140606,0,1", "expected a price factor"),
        ] {
            assert!(Factors::parse(bad).unwrap_err().contains(part), "{bad}");
        }
    }
}
