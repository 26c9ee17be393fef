//! Exact 256-bit sums of products of two decimals: price times size.

/// A signed 256-bit integer. A sum beyond its range saturates: no market reaches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Wide {
    high: i128,
    low: u128,
}

const LOW_HALF: u128 = u64::MAX as u128;

impl Wide {
    const MAX: Self = Self { high: i128::MAX, low: u128::MAX };
    const MIN: Self = Self { high: i128::MIN, low: 0 };

    /// The product of two numbers, which always fits.
    #[inline]
    pub(crate) fn product(a: i128, b: i128) -> Self {
        let (x, y) = (a.unsigned_abs(), b.unsigned_abs());
        let (x1, x0) = (x >> 64, x & LOW_HALF);
        let (y1, y0) = (y >> 64, y & LOW_HALF);
        // The upper halves are below 2^63, so the sum of the two middle products fits.
        let middle = x1 * y0 + x0 * y1;
        let (low, carry) = (x0 * y0).overflowing_add(middle << 64);
        let high = (x1 * y1 + (middle >> 64) + u128::from(carry)).cast_signed();
        let magnitude = Self { high, low };
        if (a < 0) == (b < 0) { magnitude } else { magnitude.negated() }
    }

    #[inline]
    const fn negated(self) -> Self {
        let (low, carry) = (!self.low).overflowing_add(1);
        Self { high: (!self.high).wrapping_add(carry as i128), low }
    }

    /// Adds another.
    #[inline]
    pub(crate) fn add(&mut self, other: Self) {
        let (low, carry) = self.low.overflowing_add(other.low);
        let sum = self.high.checked_add(other.high).and_then(|high| high.checked_add(i128::from(carry)));
        *self = match sum {
            Some(high) => Self { high, low },
            None if other.high < 0 => Self::MIN,
            None => Self::MAX,
        };
    }

    /// The quotient by a positive number, rounded half up; `None` if the divisor is not positive or the quotient does
    /// not fit.
    pub(crate) fn divided(mut self, by: i128) -> Option<i128> {
        let divisor = u128::try_from(by).ok().filter(|divisor| *divisor > 0)?;
        self.add(Self { high: 0, low: divisor / 2 });
        if self.high >= 0 {
            return i128::try_from(quotient(self.high.cast_unsigned(), self.low, divisor)?.0).ok();
        }
        let magnitude = self.negated();
        let (quotient, rest) = quotient(magnitude.high.cast_unsigned(), magnitude.low, divisor)?;
        // Rounded down: away from zero.
        i128::try_from(quotient).ok()?.checked_neg()?.checked_sub(i128::from(rest != 0))
    }
}

/// Quotient and remainder of `high * 2^128 + low` by a divisor; `None` if the quotient exceeds 128 bits. Long division
/// with two 64-bit digits: Knuth, *The Art of Computer Programming*, volume 2, 4.3.1, algorithm D.
fn quotient(high: u128, low: u128, divisor: u128) -> Option<(u128, u128)> {
    if high >= divisor {
        return None;
    }
    if high == 0 {
        return Some((low / divisor, low % divisor));
    }
    let shift = divisor.leading_zeros();
    let divisor = divisor << shift;
    let (d1, d0) = (divisor >> 64, divisor & LOW_HALF);
    let top = (high << shift) | low.checked_shr(128 - shift).unwrap_or(0);
    let low = low << shift;
    let digit = |top: u128, next: u128| {
        let (mut digit, mut rest) = (top / d1, top % d1);
        while digit > LOW_HALF || digit * d0 > ((rest << 64) | next) {
            digit -= 1;
            rest += d1;
            if rest > LOW_HALF {
                break;
            }
        }
        let rest = (top << 64).wrapping_add(next).wrapping_sub(digit.wrapping_mul(divisor));
        (digit, rest)
    };
    let (first, rest) = digit(top, low >> 64);
    let (second, rest) = digit(rest, low & LOW_HALF);
    Some(((first << 64) | second, rest >> shift))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn small(value: Wide) -> Option<i128> {
        let fits = value.high == value.low.cast_signed() >> 127;
        fits.then_some(value.low.cast_signed())
    }

    proptest! {
        #[test]
        fn agrees_with_128_bits_where_they_suffice(
            a in any::<i64>(), b in any::<i64>(), c in any::<i64>(), d in any::<i64>(), by in 1_i64..,
        ) {
            let product = |a: i64, b: i64| Wide::product(a.into(), b.into());
            let mut sum = product(a, b);
            sum.add(product(c, d));
            let expected = i128::from(a) * i128::from(b) + i128::from(c) * i128::from(d);
            prop_assert_eq!(small(sum), Some(expected));
            let by = i128::from(by);
            prop_assert_eq!(sum.divided(by), Some((expected + by / 2).div_euclid(by)));
        }

        #[test]
        fn a_product_divided_gives_its_factor(a in any::<i128>(), b in 1_i128.., rest in any::<i128>()) {
            prop_assume!(a > i128::MIN);
            let mut product = Wide::product(a, b);
            prop_assert_eq!(product.divided(b), Some(a));
            // Less than half the divisor more changes nothing.
            let rest = rest.rem_euclid(b) / 2;
            product.add(Wide { high: 0, low: rest.cast_unsigned().saturating_sub(1) });
            prop_assert_eq!(product.divided(b), Some(a));
        }
    }

    #[test]
    fn extremes_neither_panic_nor_wrap() {
        let largest = Wide::product(i128::MIN, i128::MIN);
        let mut sum = Wide::default();
        for _ in 0..5 {
            sum.add(largest);
        }
        assert_eq!(sum, Wide::MAX);
        sum.add(Wide::product(1, 1));
        assert_eq!(sum, Wide::MAX);
        let mut sum = Wide::MIN;
        sum.add(Wide::product(1, -1));
        assert_eq!(sum, Wide::MIN);
        assert_eq!(sum.divided(1), None);
        assert_eq!(largest.divided(0), None);
        assert_eq!(largest.divided(-3), None);
        assert_eq!(Wide::product(7, -1).divided(2), Some(-3));
        assert_eq!(Wide::product(7, 1).divided(2), Some(4));
    }
}
