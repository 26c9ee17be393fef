//! Bar-to-bar returns, and the correlation between two symbols.

/// Log return, ln(next / last); `None` if a price is not above zero.
#[must_use]
pub fn log_return(last: f64, next: f64) -> Option<f64> {
    (last > 0.0 && next > 0.0).then(|| (next / last).ln())
}

/// Mean, standard deviation (n - 1), skewness and excess kurtosis (both of the population).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moments {
    /// Number of values.
    pub count: usize,
    /// Arithmetic mean.
    pub mean: f64,
    /// Standard deviation of the sample.
    pub deviation: f64,
    /// Third standardised moment; 0 for the normal distribution.
    pub skewness: f64,
    /// Fourth standardised moment minus 3; 0 for the normal distribution.
    pub kurtosis: f64,
}

/// Moments of at least two values that are not all equal.
#[must_use]
pub fn moments(values: &[f64]) -> Option<Moments> {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let central = |power: i32| values.iter().map(|value| (value - mean).powi(power)).sum::<f64>() / n;
    let variance = central(2);
    (values.len() > 1 && variance > 0.0).then(|| Moments {
        count: values.len(),
        mean,
        deviation: (variance * n / (n - 1.0)).sqrt(),
        skewness: central(3) / variance.powf(1.5),
        kurtosis: central(4) / (variance * variance) - 3.0,
    })
}

/// Log returns of two series over the same spans of time: from each time at which both have a price to the
/// next such time. A bar that only one of them has does not shorten the other's return. Both are in time
/// order; `same_session` decides whether a return between two times counts, so that overnight returns can be
/// excluded.
pub fn paired_returns(
    one: &[(i64, f64)],
    other: &[(i64, f64)],
    same_session: impl Fn(i64, i64) -> bool,
) -> Vec<(f64, f64)> {
    let mut rest = other.iter().peekable();
    let common = one.iter().filter_map(|(time, price)| {
        while rest.next_if(|(at, _)| at < time).is_some() {}
        rest.next_if(|(at, _)| at == time).map(|(_, its)| (*time, *price, *its))
    });
    let common: Vec<(i64, f64, f64)> = common.collect();
    let spans = common.windows(2).filter(|pair| same_session(pair[0].0, pair[1].0));
    spans
        .filter_map(|pair| Some((log_return(pair[0].1, pair[1].1)?, log_return(pair[0].2, pair[1].2)?)))
        .collect()
}

/// Pearson correlation of pairs; `None` for fewer than two or if one side does not vary.
#[must_use]
pub fn correlation(pairs: &[(f64, f64)]) -> Option<f64> {
    let n = pairs.len() as f64;
    let (mean_x, mean_y) =
        (pairs.iter().map(|p| p.0).sum::<f64>() / n, pairs.iter().map(|p| p.1).sum::<f64>() / n);
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (x, y) in pairs {
        let (x, y) = (x - mean_x, y - mean_y);
        xx += x * x;
        yy += y * y;
        xy += x * y;
    }
    (pairs.len() > 1 && xx > 0.0 && yy > 0.0).then(|| xy / (xx * yy).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_are_paired_over_equal_spans() {
        // The second has no bar at 2: its return from 1 to 3 is paired with the other's from 1 to 3, not with
        // that from 2 to 3.
        let one = [(1, 100.0), (2, 110.0), (3, 121.0), (4, 121.0), (10, 60.0)];
        let other = [(0, 1.0), (1, 50.0), (3, 60.5), (4, 60.5), (10, 121.0)];
        let pairs = paired_returns(&one, &other, |from, to| to - from < 5);
        let both = (1.21_f64).ln();
        assert_eq!(pairs.len(), 2);
        assert!((pairs[0].0 - both).abs() < 1e-15 && (pairs[0].1 - both).abs() < 1e-15, "{pairs:?}");
        assert_eq!(pairs[1], (0.0, 0.0));
        assert_eq!(paired_returns(&one, &[], |_, _| true), []);
    }

    #[test]
    fn known_values() {
        assert_eq!(log_return(0.0, 1.0), None);
        assert!((log_return(100.0, 110.0).unwrap() - 0.095_310_179_804_324_87).abs() < 1e-15);
        // scipy.stats of [1, 2, 3, 4, 10]
        let m = moments(&[1.0, 2.0, 3.0, 4.0, 10.0]).unwrap();
        assert_eq!((m.count, m.mean), (5, 4.0));
        assert!((m.deviation - 3.535_533_905_932_737_8).abs() < 1e-12);
        assert!((m.skewness - 1.138_419_957_660_617_6).abs() < 1e-12);
        assert!((m.kurtosis + 0.212).abs() < 1e-12);
        assert_eq!(moments(&[1.0, 1.0]), None);
        assert!((correlation(&[(1.0, 2.0), (2.0, 4.0), (3.0, 6.0)]).unwrap() - 1.0).abs() < 1e-15);
        assert!((correlation(&[(1.0, 3.0), (2.0, 2.0), (3.0, 1.0)]).unwrap() + 1.0).abs() < 1e-15);
        assert_eq!(correlation(&[(1.0, 1.0), (1.0, 2.0)]), None);
    }
}
