//! The protobuf wire format: a strict reader of fields, and a writer for the one request that hosts send.
//!
//! Strict: a varint that is too long, a field number of 0, a group, and a length beyond the end are errors. Fields of unknown
//! numbers are read over, as the format demands.

use std::fmt;

/// Why bytes are not a message, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("byte {at}: {what}")]
pub struct WireError {
    at: usize,
    what: String,
}

/// Something of a message with its place, for errors.
pub(super) type WireResult<T> = Result<T, WireError>;

/// The fields of a message, in the order they were written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a> {
    bytes: &'a [u8],
    next: usize,
    /// Where the message begins in the outermost one.
    base: usize,
}

/// One field.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    /// The number that names it.
    pub(super) number: u64,
    content: Content<'a>,
    /// Where it begins in the outermost message.
    at: usize,
}

#[derive(Debug, Clone, Copy)]
enum Content<'a> {
    Varint(u64),
    Fixed64(u64),
    /// Bytes, and where they begin in the outermost message.
    Bytes(&'a [u8], usize),
    Fixed32(u32),
}

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, next: 0, base: 0 }
    }

    fn error(&self, at: usize, what: impl fmt::Display) -> WireError {
        WireError { at: self.base + at, what: what.to_string() }
    }

    fn varint(&mut self, what: &str) -> WireResult<u64> {
        let start = self.next;
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let Some(byte) = self.bytes.get(self.next) else {
                return Err(self.error(start, format_args!("{what}: the message ends within a number")));
            };
            self.next += 1;
            // The tenth byte has room for one bit.
            if shift == 63 && *byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.error(start, format_args!("{what}: expected a number of at most 64 bits")))
    }

    fn take(&mut self, length: u64, start: usize) -> WireResult<&'a [u8]> {
        let left = self.bytes.len() - self.next;
        let length = usize::try_from(length).ok().filter(|length| *length <= left).ok_or_else(|| {
            self.error(start, format_args!("a field of {length} bytes, but only {left} are left"))
        })?;
        let taken = &self.bytes[self.next..self.next + length];
        self.next += length;
        Ok(taken)
    }

    fn field(&mut self) -> WireResult<Field<'a>> {
        let start = self.next;
        let tag = self.varint("tag")?;
        let number = tag >> 3;
        if number == 0 || number >= 1 << 29 {
            return Err(self.error(start, format_args!("field number {number}: expected 1 to 536870911")));
        }
        let content = match tag & 7 {
            0 => Content::Varint(self.varint("value")?),
            1 => {
                let bytes = self.take(8, start)?;
                Content::Fixed64(bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
            }
            2 => {
                let length = self.varint("length")?;
                let bytes = self.take(length, start)?;
                Content::Bytes(bytes, self.base + self.next - bytes.len())
            }
            5 => {
                let bytes = self.take(4, start)?;
                Content::Fixed32(bytes.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte)))
            }
            other => return Err(self.error(start, format_args!("wire type {other}: expected 0, 1, 2 or 5"))),
        };
        Ok(Field { number, content, at: self.base + start })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = WireResult<Field<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.bytes.len() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.next = self.bytes.len();
        }
        Some(field)
    }
}

impl<'a> Field<'a> {
    /// An error about this field.
    pub(super) fn error(&self, what: impl fmt::Display) -> WireError {
        WireError { at: self.at, what: format!("field {}: {what}", self.number) }
    }

    pub(super) fn u64(&self) -> WireResult<u64> {
        match self.content {
            Content::Varint(value) => Ok(value),
            _ => Err(self.error("expected a whole number")),
        }
    }

    /// A `uint32`; also a negative `int32`, which is written with 64 bits.
    pub(super) fn u32(&self) -> WireResult<u32> {
        let value = self.u64()?;
        let negative = value >= 0xffff_ffff_8000_0000;
        let low = (value & 0xffff_ffff) as u32;
        if negative || u64::from(low) == value {
            Ok(low)
        } else {
            Err(self.error(format_args!("{value}: expected a number of at most 32 bits")))
        }
    }

    pub(super) fn bool(&self) -> WireResult<bool> {
        match self.u64()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(self.error(format_args!("{other}: expected 0 or 1"))),
        }
    }

    pub(super) fn f32(&self) -> WireResult<f32> {
        match self.content {
            Content::Fixed32(bits) => Ok(f32::from_bits(bits)),
            _ => Err(self.error("expected a 32-bit float")),
        }
    }

    pub(super) fn f64(&self) -> WireResult<f64> {
        match self.content {
            Content::Fixed64(bits) => Ok(f64::from_bits(bits)),
            _ => Err(self.error("expected a 64-bit float")),
        }
    }

    pub(super) fn bytes(&self) -> WireResult<&'a [u8]> {
        match self.content {
            Content::Bytes(bytes, _) => Ok(bytes),
            _ => Err(self.error("expected bytes")),
        }
    }

    pub(super) fn text(&self) -> WireResult<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| self.error("not UTF-8"))
    }

    /// The fields of a nested message.
    pub(super) fn message(&self) -> WireResult<Fields<'a>> {
        match self.content {
            Content::Bytes(bytes, base) => Ok(Fields { bytes, next: 0, base }),
            _ => Err(self.error("expected a message")),
        }
    }
}

/// Writes a field that is a whole number.
pub(super) fn write_number(number: u64, value: u64, out: &mut Vec<u8>) {
    write_varint(number << 3, out);
    write_varint(value, out);
}

/// Writes a field of bytes, text or a nested message.
pub(super) fn write_bytes(number: u64, bytes: &[u8], out: &mut Vec<u8>) {
    write_varint(number << 3 | 2, out);
    write_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn write_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
