//! Variance of one bar, estimated from its open, high, low and close. All results are variances of log returns
//! (dimensionless, per bar); their square root is a volatility.

use crate::Ohlcv;

/// Parkinson (1980): `ln(H/L)^2 / (4 ln 2)`. Assumes no drift.
#[must_use]
pub fn parkinson(bar: &Ohlcv) -> f64 {
    let range = (bar.high / bar.low).ln();
    range * range / (4.0 * std::f64::consts::LN_2)
}

/// Garman and Klass (1980): `ln(H/L)^2 / 2 - (2 ln 2 - 1) ln(C/O)^2`. Assumes no drift.
#[must_use]
pub fn garman_klass(bar: &Ohlcv) -> f64 {
    let range = (bar.high / bar.low).ln();
    let body = (bar.close / bar.open).ln();
    0.5 * range * range - (2.0 * std::f64::consts::LN_2 - 1.0) * body * body
}

/// Rogers and Satchell (1991): `ln(H/C) ln(H/O) + ln(L/C) ln(L/O)`. Allows a drift.
#[must_use]
pub fn rogers_satchell(bar: &Ohlcv) -> f64 {
    let up = (bar.high / bar.close).ln() * (bar.high / bar.open).ln();
    let down = (bar.low / bar.close).ln() * (bar.low / bar.open).ln();
    up + down
}

/// Variance from the previous close to this close: the squared gap return plus [`garman_klass`].
///
/// It estimates the same quantity as the squared close-to-close return with a fraction of the noise, which makes it
/// the better proxy to score volatility forecasts by (Patton, 2011).
#[must_use]
pub fn close_to_close(previous_close: f64, bar: &Ohlcv) -> f64 {
    let gap = (bar.open / previous_close).ln();
    gap * gap + garman_klass(bar)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follow_their_formulas() {
        let e = std::f64::consts::E;
        let bar = Ohlcv { start_ns: 0, open: 1.0, high: e, low: 1.0 / e, close: 1.0, volume: 0.0 };
        assert!((parkinson(&bar) - 4.0 / (4.0 * 2f64.ln())).abs() < 1e-12);
        assert!((garman_klass(&bar) - 2.0).abs() < 1e-12);
        assert!((rogers_satchell(&bar) - 2.0).abs() < 1e-12);
        assert!((close_to_close(e, &bar) - 3.0).abs() < 1e-12);
    }
}
