//! Exact decimals: a price or a size is an `i128` count of 1e-18 (its raw value), below 1e20 in magnitude.
//!
//! This range covers what markets send: sizes of meme coins (1e15 units), prices with 18 decimals. Digits are
//! parsed as digits, never through a float. A number that does not fit is an error, never a rounding. For the
//! reasons and measurements see `docs/adr`, "Prices and sizes are 128-bit fixed point".

use crate::swar;
use std::fmt;

/// Number of decimal places.
pub const SCALE: u32 = 18;
/// The raw value of one.
pub const ONE: i128 = 1_000_000_000_000_000_000;
/// The largest raw value: 38 digits, the capacity of SQL's `decimal(38,18)` and Parquet's 128-bit decimals.
pub const MAX: i128 = 10_i128.pow(38) - 1;

/// Powers of ten that fit 64 bits.
const POWERS: [u64; 20] = {
    let mut powers = [1; 20];
    let mut at = 1;
    while at < 20 {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// Why a text is not a valid number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FixedError {
    /// No digits at all.
    #[error("empty number")]
    Empty,
    /// A byte that is not a digit, a sign or a decimal point.
    #[error("not a decimal number")]
    NotANumber,
    /// More than 18 decimal places that are not zero.
    #[error("more than 18 decimal places")]
    TooFine,
    /// Beyond [`MAX`].
    #[error("does not fit: 1e20 or beyond")]
    TooLarge,
}

/// Parses `[-]digits[.digits]` into a raw value.
///
/// # Errors
/// [`FixedError`] if the text is not such a number or does not fit exactly.
#[inline]
pub fn parse(text: &[u8]) -> Result<i128, FixedError> {
    parse_scaled(text, SCALE)
}

/// Parses a decimal multiplied by `10^scale`, `scale` at most 18: `parse_scaled(b"1674100", 14)` gives the
/// raw value of a price in ten-thousandths, `parse_scaled(b"1.5", 6)` milliseconds in nanoseconds.
///
/// # Errors
/// Like [`parse`].
#[inline]
pub fn parse_scaled(text: &[u8], scale: u32) -> Result<i128, FixedError> {
    match swar::short(text) {
        Some((value, places)) if places <= scale => Ok(widened(value, scale - places)),
        _ => parse_long(text, scale),
    }
}

/// `value * 10^power` as one widening multiplication; `power` is at most 18.
#[inline]
fn widened(value: u64, power: u32) -> i128 {
    (u128::from(value) * u128::from(POWERS[power as usize])).cast_signed()
}

fn parse_long(text: &[u8], scale: u32) -> Result<i128, FixedError> {
    let (negative, digits) = match text.first() {
        None => return Err(FixedError::Empty),
        Some(b'-') => (true, &text[1..]),
        Some(_) => (false, text),
    };
    if digits.is_empty() || digits == b"." {
        return Err(FixedError::NotANumber);
    }
    // Nineteen digits fit 64 bits, so that the common case needs no check per digit.
    let checked = digits.len() > 19;
    let (mut short, mut long) = (0_u64, 0_u128);
    let mut places: Option<u32> = None;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            if let Some(seen) = places.as_mut() {
                if *seen == scale {
                    if digit != 0 {
                        return Err(FixedError::TooFine);
                    }
                    continue;
                }
                *seen += 1;
            }
            if checked {
                let longer = long.checked_mul(10).and_then(|value| value.checked_add(u128::from(digit)));
                long = longer.ok_or(FixedError::TooLarge)?;
            } else {
                short = short * 10 + u64::from(digit);
            }
        } else if byte == b'.' && places.is_none() {
            places = Some(0);
        } else {
            return Err(FixedError::NotANumber);
        }
    }
    let missing = scale - places.unwrap_or(0);
    let value = if checked { long } else { u128::from(short) };
    let value = value.checked_mul(u128::from(POWERS[missing as usize])).ok_or(FixedError::TooLarge)?;
    let value = i128::try_from(value).ok().filter(|value| *value <= MAX).ok_or(FixedError::TooLarge)?;
    Ok(if negative { -value } else { value })
}

/// Like [`parse`], and also accepts numbers with an exponent, exactly: `1.5e-3`, `2E+16`.
///
/// # Errors
/// Like [`parse`].
pub fn parse_number(text: &[u8]) -> Result<i128, FixedError> {
    match text.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        None => parse(text),
        Some(at) => {
            let digits = std::str::from_utf8(&text[..at]).map_err(|_| FixedError::NotANumber)?;
            let exponent = std::str::from_utf8(&text[at + 1..]).map_err(|_| FixedError::NotANumber)?;
            parse(without_exponent(digits, exponent)?.as_bytes())
        }
    }
}

/// Rewrites `1.5`, `-3` as `0.0015`. Rarely needed, so it may allocate.
fn without_exponent(digits: &str, exponent: &str) -> Result<String, FixedError> {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |rest| ("-", rest));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{whole}{part}");
    let exponent: i32 = exponent.parse().map_err(|_| FixedError::NotANumber)?;
    if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(FixedError::NotANumber);
    }
    if all.bytes().all(|byte| byte == b'0') {
        return Ok("0".to_owned());
    }
    if exponent.unsigned_abs() > 400 {
        return Err(if exponent > 0 { FixedError::TooLarge } else { FixedError::TooFine });
    }
    let point = whole.len() as i32 + exponent;
    let padded = match point {
        ..=0 => format!("0.{}{all}", "0".repeat(point.unsigned_abs() as usize)),
        _ if point as usize >= all.len() => format!("{all}{}", "0".repeat(point as usize - all.len())),
        _ => format!("{}.{}", &all[..point as usize], &all[point as usize..]),
    };
    // Leading zeros would count as digits.
    let trimmed = padded.trim_start_matches('0');
    Ok(format!("{sign}{}{trimmed}", if trimmed.starts_with('.') { "0" } else { "" }))
}

/// Whole units and raw fraction of a magnitude.
#[inline]
const fn split(magnitude: u128) -> (u128, u64) {
    let one = ONE.unsigned_abs();
    let whole = magnitude / one;
    (whole, (magnitude - whole * one) as u64)
}

/// A fraction of 18 digits without its trailing zeros, and how many digits are left.
#[inline]
fn trimmed(mut part: u64) -> (u64, u32) {
    let mut places = SCALE;
    // Most prices are whole cents: remove the zeros in large steps first.
    for step in [16, 8, 4, 2, 1] {
        if part.is_multiple_of(POWERS[step as usize]) && places > step {
            part /= POWERS[step as usize];
            places -= step;
        }
    }
    (part, places)
}

/// Writes a raw value as the shortest exact decimal: `167.41`, `100`, `-0.5`.
#[inline]
pub fn write(value: i128, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    let (whole, part) = split(value.unsigned_abs());
    match u64::try_from(whole) {
        Ok(whole) => out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes()),
        Err(_) => out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes()),
    }
    if part != 0 {
        let (mut part, places) = trimmed(part);
        let mut digits = [b'.'; 1 + SCALE as usize];
        for digit in digits[1..=places as usize].iter_mut().rev() {
            *digit = b'0' + (part % 10) as u8;
            part /= 10;
        }
        out.extend_from_slice(&digits[..=places as usize]);
    }
}

/// The same number as (unscaled value, decimal places) without trailing zeros: the parts of a SQL `decimal`.
#[must_use]
#[inline]
pub fn to_unscaled(value: i128) -> (i128, u32) {
    let (whole, part) = split(value.unsigned_abs());
    let (unscaled, places) = if part == 0 {
        (whole, 0)
    } else {
        let (part, places) = trimmed(part);
        (whole * u128::from(POWERS[places as usize]) + u128::from(part), places)
    };
    let unscaled = unscaled.cast_signed();
    (if value < 0 { -unscaled } else { unscaled }, places)
}

/// The inverse of [`to_unscaled`].
///
/// # Errors
/// [`FixedError`] if the number does not fit exactly.
pub fn from_unscaled(mut unscaled: i128, mut scale: i32) -> Result<i128, FixedError> {
    while scale > SCALE as i32 && unscaled != 0 {
        if unscaled % 10 != 0 {
            return Err(FixedError::TooFine);
        }
        unscaled /= 10;
        scale -= 1;
    }
    while scale < SCALE as i32 && unscaled != 0 {
        unscaled = unscaled.checked_mul(10).ok_or(FixedError::TooLarge)?;
        scale += 1;
    }
    if (-MAX..=MAX).contains(&unscaled) { Ok(unscaled) } else { Err(FixedError::TooLarge) }
}

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(i128);

        impl $name {
            /// Zero.
            pub const ZERO: Self = Self(0);

            /// From a raw value: a count of 1e-18.
            #[must_use]
            pub const fn from_raw(value: i128) -> Self {
                Self(value)
            }

            /// The raw value: a count of 1e-18.
            #[must_use]
            #[inline]
            pub const fn raw(self) -> i128 {
                self.0
            }

            /// From a whole number of units.
            #[must_use]
            pub const fn from_whole(value: i64) -> Self {
                Self(value as i128 * ONE)
            }

            /// From a count of billionths (1e-9).
            #[must_use]
            pub const fn from_billionths(value: i64) -> Self {
                Self(value as i128 * 1_000_000_000)
            }

            /// Parses the digits of a decimal.
            ///
            /// # Errors
            /// [`FixedError`] if it is not a decimal or does not fit exactly.
            #[inline]
            pub fn parse(text: &[u8]) -> Result<Self, FixedError> {
                parse(text).map(Self)
            }

            /// The nearest double, for display, plots and models only.
            #[must_use]
            pub fn to_f64(self) -> f64 {
                // Both parts of most prices are exact doubles, so the quotient is the nearest one.
                let (unscaled, places) = to_unscaled(self.0);
                unscaled as f64 / POWERS[places as usize] as f64
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut digits = Vec::with_capacity(40);
                write(self.0, &mut digits);
                f.pad(&String::from_utf8_lossy(&digits))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}

quantity! {
    /// Price of one unit of the instrument, in the instrument's currency.
    Price
}
quantity! {
    /// Amount traded or offered: shares, contracts or coins.
    Size
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(value: i128) -> String {
        Price::from_raw(value).to_string()
    }

    #[test]
    fn reads_digits_exactly() {
        let cases: &[(&str, Result<i128, FixedError>)] = &[
            ("167.41", Ok(167_410_000_000_000_000_000)),
            ("100", Ok(100 * ONE)),
            ("0.000000000000000001", Ok(1)),
            ("0.00000000123456", Ok(1_234_560_000)),
            ("-0.5", Ok(-ONE / 2)),
            (".5", Ok(ONE / 2)),
            ("5.", Ok(5 * ONE)),
            ("1.00000000000000000000000", Ok(ONE)),
            ("1000000000000000", Ok(ONE * 1_000_000_000_000_000)),
            ("123456789.123456789012345678", Ok(123_456_789_123_456_789_012_345_678)),
            ("99999999999999999999.999999999999999999", Ok(MAX)),
            ("100000000000000000000", Err(FixedError::TooLarge)),
            ("99999999999999999999999999999999999999999", Err(FixedError::TooLarge)),
            ("0.0000000000000000001", Err(FixedError::TooFine)),
            ("", Err(FixedError::Empty)),
            ("-", Err(FixedError::NotANumber)),
            (".", Err(FixedError::NotANumber)),
            ("1.2.3", Err(FixedError::NotANumber)),
            ("1e5", Err(FixedError::NotANumber)),
            ("+1", Err(FixedError::NotANumber)),
            (" 1", Err(FixedError::NotANumber)),
            ("NaN", Err(FixedError::NotANumber)),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text.as_bytes()), *expected, "{text:?}");
        }
    }

    #[test]
    fn reads_scaled_integers() {
        assert_eq!(parse_scaled(b"1674100", 14), Ok(167_410_000_000_000_000_000));
        assert_eq!(parse_scaled(b"1", 14), Ok(ONE / 10_000));
        assert_eq!(parse_scaled(b"1000000000000000000000000", 14), Err(FixedError::TooLarge));
        assert_eq!(parse_scaled(b"14400464.123456", 6), Ok(14_400_464_123_456));
    }

    #[test]
    fn exponents_are_exact() {
        for (text, digits) in [
            ("1.234e-05", "0.00001234"),
            ("1e-05", "0.00001"),
            ("2e+16", "20000000000000000"),
            ("1E-7", "0.0000001"),
            ("-2.5e1", "-25"),
            ("1e-18", "0.000000000000000001"),
            ("0e999", "0"),
            ("-0.0001e4", "-1"),
            ("7", "7"),
        ] {
            assert_eq!(parse_number(text.as_bytes()), parse(digits.as_bytes()), "{text}");
        }
        for (text, error) in [
            ("1e-19", FixedError::TooFine),
            ("1e99", FixedError::TooLarge),
            ("1e20", FixedError::TooLarge),
            ("1e2147483647", FixedError::TooLarge),
            ("1e-2147483648", FixedError::TooFine),
            ("1e99999999999", FixedError::NotANumber),
            ("1e", FixedError::NotANumber),
            ("e1", FixedError::NotANumber),
            ("1e1.5", FixedError::NotANumber),
        ] {
            assert_eq!(parse_number(text.as_bytes()), Err(error), "{text}");
        }
    }

    #[test]
    fn doubles_are_the_nearest() {
        for text in ["167.41", "0.1", "-37.63", "0.00000000123456", "105944.2", "19500000000", "0"] {
            assert_eq!(Price::parse(text.as_bytes()).unwrap().to_f64(), text.parse::<f64>().unwrap());
        }
    }

    fn raw() -> impl Strategy<Value = i128> {
        let any = (-MAX..=MAX).boxed();
        let round =
            (-1_000_000_000_i128..1_000_000_000, 0_u32..28).prop_map(|(n, power)| n * 10_i128.pow(power));
        prop_oneof![any, round, any_i64()]
    }

    fn any_i64() -> impl Strategy<Value = i128> {
        proptest::num::i64::ANY.prop_map(i128::from)
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(value in raw()) {
            prop_assert_eq!(parse(shown(value).as_bytes()), Ok(value));
            let (unscaled, scale) = to_unscaled(value);
            prop_assert_eq!(from_unscaled(unscaled, scale as i32), Ok(value));
            prop_assert!(unscaled % 10 != 0 || scale == 0);
        }

        #[test]
        fn short_numbers_are_read_as_any_other(text in "[0-9.]{0,9}|.{0,8}", scale in 0_u32..=18) {
            let long = parse_long(text.as_bytes(), scale);
            match swar::short(text.as_bytes()) {
                Some((value, places)) if places <= scale => {
                    prop_assert_eq!(long, Ok(widened(value, scale - places)));
                }
                _ => {
                    // Signs, and zeros beyond the last decimal place, are left to the slow path.
                    let places = text.split_once('.').map_or(0, |(_, places)| places.len());
                    let left = text.len() > 8 || text.starts_with('-') || places > scale as usize;
                    prop_assert!(left || long.is_err(), "{:?}", long);
                }
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..50)) {
            for value in [parse(&bytes), parse_number(&bytes)].into_iter().flatten() {
                prop_assert_eq!(parse(shown(value).as_bytes()), Ok(value));
            }
        }
    }
}
