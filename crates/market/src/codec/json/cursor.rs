//! The values of canonical JSON: what is read is in the one form in which it is written, or it is not read.

/// Why some bytes are not a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(pub String);

/// Appends a number.
pub(super) fn push_int(value: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

#[inline(always)]
fn eight(digits: &[u8; 8]) -> Option<i64> {
    crate::swar::eight(u64::from_le_bytes(*digits))
}

/// Walks the canonical form; the first mismatch ends it.
pub(super) struct Cursor<'a>(pub(super) &'a str);

// Forced inlining: only with a known length does comparing a literal compile to a few instructions instead of
// a call.
impl<'a> Cursor<'a> {
    #[inline(always)]
    pub(super) fn skip(&mut self, literal: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(literal)?;
        Some(())
    }

    #[inline(always)]
    pub(super) fn take(&mut self, length: usize) -> Option<&'a str> {
        let (head, tail) = self.0.split_at_checked(length)?;
        self.0 = tail;
        Some(head)
    }

    /// Reads up to the closing quote and consumes it.
    #[inline(always)]
    pub(super) fn text(&mut self) -> Option<&'a str> {
        let mut end = 0;
        let bytes = self.0.as_bytes();
        loop {
            match *bytes.get(end)? {
                b'"' => break,
                b'\\' | 0..=0x1f => return None,
                _ => end += 1,
            }
        }
        let text = self.take(end)?;
        self.0 = &self.0[1..];
        Some(text)
    }

    #[inline(always)]
    pub(super) fn int(&mut self) -> Option<i64> {
        let bytes = self.0.as_bytes();
        let negative = bytes.first() == Some(&b'-');
        let start = usize::from(negative);
        let mut end = start;
        let mut value: i64 = 0;
        // Times have nineteen digits.
        if let Some(([first, second], _)) = bytes
            .get(start..)
            .map(|rest| rest.as_chunks::<8>())
            .and_then(|(all, _)| all.split_first_chunk::<2>())
            && let (Some(first), Some(second)) = (eight(first), eight(second))
        {
            value = first * 100_000_000 + second;
            end += 16;
        }
        let digit = |at: usize| bytes.get(at).map(|b| b.wrapping_sub(b'0')).filter(|d| *d < 10);
        // Eighteen digits always fit.
        while let Some(digit) = digit(end).filter(|_| end < start + 18) {
            value = value * 10 + i64::from(digit);
            end += 1;
        }
        while let Some(digit) = digit(end) {
            value = value.checked_mul(10)?.checked_add(i64::from(digit))?;
            end += 1;
        }
        // Each number has one representation: not empty, no leading zero, no minus zero.
        if end == start || (bytes[start] == b'0' && (end > start + 1 || negative)) {
            return None;
        }
        self.0 = &self.0[end..];
        Some(if negative { -value } else { value })
    }

    #[inline(always)]
    pub(super) fn number(&mut self) -> Option<i128> {
        crate::fixed::parse(self.text()?.as_bytes()).ok()
    }

    #[inline]
    pub(super) fn conditions(&mut self) -> Option<&'a str> {
        let whole = self.0;
        self.skip("[")?;
        if self.skip("]").is_none() {
            loop {
                self.skip("\"")?;
                self.text()?;
                if self.skip(",").is_none() {
                    break;
                }
            }
            self.skip("]")?;
        }
        Some(&whole[..whole.len() - self.0.len()])
    }

    /// An object of strings with names in byte order, each once.
    pub(super) fn tags(&mut self) -> Option<&'a str> {
        let whole = self.0;
        self.skip("{")?;
        let mut last = "";
        loop {
            self.skip("\"")?;
            let name = self.text().filter(|name| *name > last)?;
            last = name;
            self.skip(":\"")?;
            self.text()?;
            if self.skip(",").is_none() {
                break;
            }
        }
        self.skip("}")?;
        Some(&whole[..whole.len() - self.0.len()])
    }

    pub(super) fn present(&mut self) -> Option<&'a str> {
        self.text().filter(|text| !text.is_empty())
    }
}
