//! Forecasts that cost nothing: what a model does not beat, it has not earned.
//! Definitions: Hyndman and Athanasopoulos, *Forecasting: Principles and Practice*, section 5.2.

/// The last value, `steps` times. Empty for an empty series.
#[must_use]
pub fn naive(series: &[f64], steps: usize) -> Vec<f64> {
    series.last().map_or_else(Vec::new, |last| vec![*last; steps])
}

/// The line through the first and the last value, continued. Empty for fewer than two values.
#[must_use]
pub fn drift(series: &[f64], steps: usize) -> Vec<f64> {
    let [first, .., last] = series else { return Vec::new() };
    let slope = (last - first) / (series.len() - 1) as f64;
    (1..=steps).map(|step| last + slope * step as f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn baselines_continue_the_series() {
        assert_eq!(naive(&[1.0, 5.0], 2), [5.0, 5.0]);
        assert_eq!(drift(&[1.0, 9.0, 5.0], 2), [7.0, 9.0]);
        assert_eq!((naive(&[], 2), drift(&[1.0], 2)), (vec![], vec![]));
    }
}
