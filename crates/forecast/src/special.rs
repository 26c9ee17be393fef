//! Distribution functions.

/// Two-sided p value of `statistic` under Student's t distribution: the regularised incomplete beta function by its
/// continued fraction (Abramowitz and Stegun, 26.7.1 and 26.5.8).
pub(crate) fn student_t_two_sided(statistic: f64, degrees: f64) -> f64 {
    if !statistic.is_finite() {
        return if statistic.is_nan() { f64::NAN } else { 0.0 };
    }
    incomplete_beta(degrees / 2.0, 0.5, degrees / (degrees + statistic * statistic))
}

fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p()).exp();
    if x < (a + 1.0) / (a + b + 2.0) {
        front * beta_fraction(a, b, x) / a
    } else {
        1.0 - front * beta_fraction(b, a, 1.0 - x) / b
    }
}

/// Lentz's method.
fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    let guard = |value: f64| if value.abs() < 1e-300 { 1e-300 } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / guard(1.0 - (a + b) * x / (a + 1.0));
    let mut result = d;
    for m in 1..500 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut change = 1.0;
        for term in [even, odd] {
            d = 1.0 / guard(1.0 + term * d);
            c = guard(1.0 + term / c);
            change = c * d;
            result *= change;
        }
        if (change - 1.0).abs() < 1e-15 {
            break;
        }
    }
    result
}

/// Natural logarithm of the gamma function for positive arguments: Stirling's series after shifting the argument.
fn ln_gamma(x: f64) -> f64 {
    let mut shifted = x;
    let mut correction = 0.0;
    while shifted < 10.0 {
        correction -= shifted.ln();
        shifted += 1.0;
    }
    let square = 1.0 / (shifted * shifted);
    let series = (1.0 / 12.0 - square * (1.0 / 360.0 - square * (1.0 / 1260.0 - square / 1680.0))) / shifted;
    correction + (shifted - 0.5) * shifted.ln() - shifted + 0.5 * std::f64::consts::TAU.ln() + series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agree_with_tables() {
        assert!((ln_gamma(0.5) - std::f64::consts::PI.sqrt().ln()).abs() < 1e-12);
        assert!((ln_gamma(11.0) - 3_628_800f64.ln()).abs() < 1e-12);
        // Critical values of the t table.
        for (statistic, degrees, p) in
            [(12.7062047, 1.0, 0.05), (2.2281389, 10.0, 0.05), (2.5758293, 1e9, 0.01)]
        {
            assert!((student_t_two_sided(statistic, degrees) - p).abs() < 1e-7, "{statistic} {degrees}");
        }
        assert_eq!(student_t_two_sided(0.0, 5.0), 1.0);
    }
}
