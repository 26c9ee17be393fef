//! Parses eight digits at a time (SWAR), without a branch per digit. The result equals that of
//! [`crate::fixed`]; a property test there keeps the two in agreement.

/// An ASCII zero in every byte.
const ZEROS: u64 = 0x3030_3030_3030_3030;

/// Converts eight digits at once, the first in the lowest byte: as pairs, as fours, as one.
#[inline]
pub(crate) fn eight(word: u64) -> Option<i64> {
    const HIGH: u64 = 0xf0f0_f0f0_f0f0_f0f0;
    // Digits are 0x30 to 0x39: adding six leaves the upper half of the byte unchanged.
    if (word & HIGH) | ((word.wrapping_add(0x0606_0606_0606_0606) & HIGH) >> 4) != 0x3333_3333_3333_3333 {
        return None;
    }
    let digits = word - ZEROS;
    let pairs = digits * 10 + (digits >> 8);
    let upper = (pairs & 0xff_0000_00ff).wrapping_mul(100 + (1_000_000 << 32));
    let lower = ((pairs >> 16) & 0xff_0000_00ff).wrapping_mul(1 + (10_000 << 32));
    Some((upper.wrapping_add(lower) >> 32) as i64)
}

/// The digits of most prices and sizes, at most eight bytes without a sign, and how many of them follow the
/// decimal point. No branch per digit: the length of a price is unpredictable, and a mispredicted branch
/// costs more than all else here. `None` for anything else.
#[inline]
pub(crate) fn short(text: &[u8]) -> Option<(u64, u32)> {
    const POINTS: u64 = 0x2e2e_2e2e_2e2e_2e2e;
    let length = text.len();
    let byte = |at: usize| u64::from(text[at]) << (8 * (length - 1 - at));
    // The last byte in the lowest position, zeros above the first.
    let bytes = match (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        // The two halves may overlap: the same bytes in the same place.
        (Some(first), Some(last)) if length <= 8 => {
            u64::from(u32::from_be_bytes(*first)) << (8 * (length - 4)) | u64::from(u32::from_be_bytes(*last))
        }
        (None, _) if length > 0 => byte(0) | byte(length / 2) | byte(length - 1),
        _ => return None,
    };
    let bytes = bytes | ZEROS.checked_shl(8 * length as u32).unwrap_or(0);
    // The lowest set bit belongs to the first decimal point.
    let other = bytes ^ POINTS;
    let point = other.wrapping_sub(0x0101_0101_0101_0101) & !other & 0x8080_8080_8080_8080;
    let (digits, places) = if point == 0 {
        (bytes, 0)
    } else if length > 1 {
        let places = point.trailing_zeros() / 8;
        let behind = (1 << (8 * places)) - 1;
        ((bytes & behind) | ((bytes >> 8) & !behind) | (0x30 << 56), places)
    } else {
        return None;
    };
    Some((eight(digits.swap_bytes())?.cast_unsigned(), places))
}
