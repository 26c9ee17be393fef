//! Avro's binary encoding of single values.

use crate::codec::json::DecodeError;

/// Appends a number: zigzag, then seven bits a byte, the lowest first.
pub(super) fn push_long(value: i64, out: &mut Vec<u8>) {
    let mut left = (value << 1 ^ value >> 63).cast_unsigned();
    while left >= 0x80 {
        out.push(left.to_le_bytes()[0] | 0x80);
        left >>= 7;
    }
    out.push(left.to_le_bytes()[0]);
}

/// Appends bytes or a text behind their length.
pub(super) fn push_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    push_long(i64::try_from(bytes.len()).unwrap_or(i64::MAX), out);
    out.extend_from_slice(bytes);
}

/// Appends a decimal: its unscaled value as two's complement, big-endian, as short as it can be.
pub(super) fn push_decimal(raw: i128, out: &mut Vec<u8>) {
    let bytes = raw.to_be_bytes();
    let sign = if raw < 0 { 0xff } else { 0 };
    let is_needed = |at: &usize| bytes[*at] != sign || (bytes[*at + 1] ^ sign) & 0x80 != 0;
    let from = (0..bytes.len() - 1).find(is_needed).unwrap_or(bytes.len() - 1);
    push_bytes(&bytes[from..], out);
}

/// Reads values one after the other.
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn byte(&mut self) -> Result<u8, DecodeError> {
        let (first, rest) = self.0.split_first().ok_or_else(|| DecodeError("it is cut short".to_owned()))?;
        self.0 = rest;
        Ok(*first)
    }

    pub(super) fn long(&mut self) -> Result<i64, DecodeError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
        }
        Err(DecodeError("a number has more than 64 bits".to_owned()))
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.long()?;
        let found = usize::try_from(length).ok().and_then(|length| self.0.split_at_checked(length));
        let (bytes, rest) = found.ok_or_else(|| {
            DecodeError(format!("a length is {length}, but {} bytes are left", self.0.len()))
        })?;
        self.0 = rest;
        Ok(bytes)
    }

    /// So many bytes.
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let found = self.0.split_at_checked(length);
        let (bytes, rest) = found.ok_or_else(|| DecodeError("it is cut short".to_owned()))?;
        self.0 = rest;
        Ok(bytes)
    }

    /// The number of items in the next block of an array or a map, and where it is given their length in bytes.
    pub(super) fn block(&mut self) -> Result<(u64, Option<usize>), DecodeError> {
        let count = self.long()?;
        if count >= 0 {
            return Ok((count.unsigned_abs(), None));
        }
        let length = self.long()?;
        let length = usize::try_from(length).map_err(|_| DecodeError(format!("a length is {length}")))?;
        Ok((count.unsigned_abs(), Some(length)))
    }

    pub(super) fn text(&mut self) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.bytes()?).map_err(|error| DecodeError(format!("not UTF-8: {error}")))
    }

    /// An unscaled value.
    pub(super) fn decimal(&mut self) -> Result<i128, DecodeError> {
        let bytes = self.bytes()?;
        if bytes.len() > 16 {
            return Err(DecodeError(format!("a decimal of {} bytes: at most 16 can be read", bytes.len())));
        }
        let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
        let mut whole = [if negative { 0xff } else { 0 }; 16];
        whole[16 - bytes.len()..].copy_from_slice(bytes);
        Ok(i128::from_be_bytes(whole))
    }

    /// Calls `item` for each element of an array or a map, which comes in blocks.
    pub(super) fn blocks(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        loop {
            let (count, _) = self.block()?;
            if count == 0 {
                return Ok(());
            }
            for _ in 0..count {
                item(self)?;
            }
        }
    }
}
