//! The floating-point types a network runs in, and activations that the compiler turns into vector instructions.

use ndarray::NdFloat;

/// `f32` for speed, `f64` for gradient checks.
pub trait Real: NdFloat {
    /// Nearest value of this type.
    fn of(value: f64) -> Self;
    /// The value as `f64`, exact.
    fn get(self) -> f64;
    /// `e^self` to about one unit in the last place for -80..=80, clamped outside; no branch and no table, unlike the
    /// library's, so that loops over it vectorise.
    #[must_use]
    fn fast_exp(self) -> Self;
}

impl Real for f32 {
    fn of(value: f64) -> Self {
        value as Self
    }

    fn get(self) -> f64 {
        f64::from(self)
    }

    #[inline]
    fn fast_exp(self) -> Self {
        // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits of the mantissa.
        const ROUND: f32 = 12_582_912.0;
        let x = self.clamp(-80.0, 80.0);
        let shifted = x * std::f32::consts::LOG2_E + ROUND;
        let whole = shifted - ROUND;
        let rest = (x - whole * 0.693_359_4) + whole * 2.121_944_4e-4;
        let power = Self::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
        let terms = [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
        terms.into_iter().fold(1.0 / 720.0, |sum, term: f32| sum * rest + term) * power
    }
}

impl Real for f64 {
    fn of(value: f64) -> Self {
        value
    }

    fn get(self) -> f64 {
        self
    }

    #[inline]
    fn fast_exp(self) -> Self {
        const ROUND: f64 = 6_755_399_441_055_744.0;
        let x = self.clamp(-80.0, 80.0);
        let shifted = x * std::f64::consts::LOG2_E + ROUND;
        let whole = shifted - ROUND;
        let rest = (x - whole * 0.693_147_180_369_123_8) - whole * 1.908_214_929_270_587_7e-10;
        let power = Self::from_bits((shifted.to_bits() << 52).wrapping_add(1023 << 52));
        let mut sum = 1.0;
        for degree in (1..=13).rev() {
            sum = sum * rest / f64::from(degree) + 1.0;
        }
        sum * power
    }
}

/// Replaces each value by its logistic sigmoid.
pub(crate) fn sigmoid<F: Real>(values: &mut [F]) {
    for value in values {
        *value = F::one() / (F::one() + (-*value).fast_exp());
    }
}

/// Replaces each value by its hyperbolic tangent.
pub(crate) fn tanh<F: Real>(values: &mut [F]) {
    let two = F::one() + F::one();
    for value in values {
        *value = two / (F::one() + (-two * *value).fast_exp()) - F::one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activations_agree_with_the_library() {
        for step in -2000..=2000 {
            let x = f64::from(step) * 0.02;
            assert!((x.fast_exp() / x.exp() - 1.0).abs() < 1e-15 * 4.0, "{x}");
            let single = x as f32;
            assert!((f64::from(single.fast_exp()) / f64::from(single).exp() - 1.0).abs() < 4e-7, "{x}");
            let mut pair = [x, x];
            sigmoid(&mut pair[..1]);
            tanh(&mut pair[1..]);
            assert!((pair[0] - 1.0 / (1.0 + (-x).exp())).abs() < 1e-15, "{x}");
            assert!((pair[1] - x.tanh()).abs() < 1e-15, "{x}");
        }
        assert!(1e9f32.fast_exp().is_finite() && (-1e9f32).fast_exp() > 0.0);
    }
}
