//! How wrong a forecast was. Formulas: Hyndman and Athanasopoulos, *Forecasting: Principles and Practice*, section 5.8.

/// Mean absolute error, in the unit of the series. `None` unless both have the same length and are not empty.
#[must_use]
pub fn mae(actual: &[f64], forecast: &[f64]) -> Option<f64> {
    mean(actual, forecast, f64::abs)
}

/// Root mean squared error, in the unit of the series. `None` as for [`mae`].
#[must_use]
pub fn rmse(actual: &[f64], forecast: &[f64]) -> Option<f64> {
    mean(actual, forecast, |error| error * error).map(f64::sqrt)
}

/// Mean absolute scaled error: [`mae`] in units of the naive one-step error on `history`. Below 1 beats the naive
/// forecast. `None` as for [`mae`], or when the history is flat or shorter than two.
#[must_use]
pub fn mase(history: &[f64], actual: &[f64], forecast: &[f64]) -> Option<f64> {
    let naive = mae(history.get(1..)?, history.get(..history.len().checked_sub(1)?)?)?;
    (naive > 0.0).then_some(mae(actual, forecast)? / naive)
}

fn mean(actual: &[f64], forecast: &[f64], of: impl Fn(f64) -> f64) -> Option<f64> {
    if actual.is_empty() || actual.len() != forecast.len() {
        return None;
    }
    let total: f64 = actual.iter().zip(forecast).map(|(a, f)| of(a - f)).sum();
    Some(total / actual.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_follow_their_formulas() {
        assert_eq!(mae(&[1.0, 2.0], &[2.0, 4.0]), Some(1.5));
        assert_eq!(rmse(&[0.0, 0.0], &[3.0, 3.0]), Some(3.0));
        assert_eq!(mase(&[1.0, 3.0, 5.0], &[7.0], &[6.0]), Some(0.5));
        assert_eq!((mae(&[], &[]), mae(&[1.0], &[])), (None, None));
        assert_eq!((mase(&[2.0, 2.0], &[1.0], &[1.0]), mase(&[], &[1.0], &[1.0])), (None, None));
    }
}
