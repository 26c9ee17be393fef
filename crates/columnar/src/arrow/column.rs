//! The buffers of one column of a record batch.

use crate::columns::{OutputType as Type, OutputValue as Value};
use market::codec::json::conditions;

/// Values of one column.
pub(super) struct Buffers {
    of: Type,
    rows: usize,
    nulls: usize,
    /// One bit for each row: whether it has a value.
    validity: Vec<u8>,
    /// Numbers, the bits of flags, or the ends of texts or lists.
    fixed: Vec<u8>,
    /// The texts of a column, or of its lists.
    texts: Vec<u8>,
    /// Of lists: the ends of their elements, and how many there are.
    ends: Vec<u8>,
    elements: usize,
}

fn offset(length: usize) -> [u8; 4] {
    // A batch ends long before.
    i32::try_from(length).unwrap_or(i32::MAX).to_le_bytes()
}

/// Appends a bit to others.
fn push_bit(bits: &mut Vec<u8>, index: usize, bit: bool) {
    if index.is_multiple_of(8) {
        bits.push(0);
    }
    if let Some(last) = bits.last_mut() {
        *last |= u8::from(bit) << (index % 8);
    }
}

impl Buffers {
    pub(super) fn new(of: Type) -> Self {
        let buffers = Self {
            of,
            rows: 0,
            nulls: 0,
            validity: Vec::new(),
            fixed: Vec::new(),
            texts: Vec::new(),
            ends: Vec::new(),
            elements: 0,
        };
        buffers.cleared()
    }

    /// Without values; keeps its memory.
    pub(super) fn cleared(mut self) -> Self {
        self.rows = 0;
        self.nulls = 0;
        self.elements = 0;
        for buffer in [&mut self.validity, &mut self.fixed, &mut self.texts, &mut self.ends] {
            buffer.clear();
        }
        // Offsets begin with 0.
        if matches!(self.of, Type::Text | Type::Codes) {
            self.fixed.extend(offset(0));
        }
        if self.of == Type::Codes {
            self.ends.extend(offset(0));
        }
        self
    }

    /// Bytes of texts.
    pub(super) fn texts(&self) -> usize {
        self.texts.len()
    }

    /// Appends a value; returns false if it does not have the column's type.
    pub(super) fn push(&mut self, value: &Value<'_>) -> bool {
        match (self.of, value) {
            (Type::Time | Type::Start | Type::Nanos, Value::Time(time)) => {
                self.fixed.extend(time.0.to_le_bytes())
            }
            (Type::Integer | Type::Small, Value::Integer(number)) => self.fixed.extend(number.to_le_bytes()),
            (Type::Decimal | Type::Average, Value::Price(price)) => {
                self.fixed.extend(price.raw().to_le_bytes());
            }
            (Type::Decimal | Type::Average, Value::Size(size)) => self.fixed.extend(size.raw().to_le_bytes()),
            (Type::Flag, Value::Flag(flag)) => push_bit(&mut self.fixed, self.rows, *flag),
            (Type::Text, Value::Text(text)) => {
                self.texts.extend(text.as_bytes());
                self.fixed.extend(offset(self.texts.len()));
            }
            (Type::Codes, Value::Codes(codes)) => {
                for code in conditions(codes) {
                    self.texts.extend(code.as_bytes());
                    self.ends.extend(offset(self.texts.len()));
                    self.elements += 1;
                }
                self.fixed.extend(offset(self.elements));
            }
            (of, Value::Absent) => {
                match of {
                    Type::Time | Type::Start | Type::Nanos | Type::Integer | Type::Small => {
                        self.fixed.extend([0; 8]);
                    }
                    Type::Decimal | Type::Average => self.fixed.extend([0; 16]),
                    Type::Flag => push_bit(&mut self.fixed, self.rows, false),
                    Type::Text => self.fixed.extend(offset(self.texts.len())),
                    Type::Codes => self.fixed.extend(offset(self.elements)),
                }
                self.nulls += 1;
            }
            _ => return false,
        }
        push_bit(&mut self.validity, self.rows, !matches!(value, Value::Absent));
        self.rows += 1;
        true
    }

    /// Appends length and number of nulls, of the column and of the elements of its lists.
    pub(super) fn nodes(&self, rows: usize, out: &mut Vec<i64>) {
        out.extend([long(rows), long(self.nulls)]);
        if self.of == Type::Codes {
            out.extend([long(self.elements), 0]);
        }
    }

    /// The buffers in Arrow's order. Without nulls the bits that say so are left out.
    pub(super) fn bytes(&self) -> Vec<&[u8]> {
        let validity: &[u8] = if self.nulls == 0 { &[] } else { &self.validity };
        match self.of {
            Type::Text => vec![validity, &self.fixed, &self.texts],
            Type::Codes => vec![validity, &self.fixed, &[], &self.ends, &self.texts],
            _ => vec![validity, &self.fixed],
        }
    }
}

/// A length as Arrow writes it.
pub(super) fn long(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_and_offsets_are_arrows() {
        let mut flags = Buffers::new(Type::Flag);
        for index in 0..10 {
            assert!(flags.push(&if index == 3 { Value::Absent } else { Value::Flag(index % 2 == 0) }));
        }
        let expected: [&[u8]; 2] = [&[0b1111_0111, 0b11], &[0b0101_0101, 0b01]];
        assert_eq!(flags.bytes(), expected);
        let mut codes = Buffers::new(Type::Codes);
        for list in [r#"["@","TI"]"#, "[]", r#"["I"]"#] {
            assert!(codes.push(&Value::Codes(list)));
        }
        let ints =
            |numbers: &[i32]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
        let (lists, texts) = (ints(&[0, 2, 2, 3]), ints(&[0, 1, 3, 4]));
        let expected: [&[u8]; 5] = [&[], &lists, &[], &texts, b"@TII"];
        assert_eq!(codes.bytes(), expected);
        let mut nodes = Vec::new();
        codes.nodes(3, &mut nodes);
        assert_eq!(nodes, [3, 0, 3, 0]);
        assert!(!codes.push(&Value::Text("x")));
        let empty = ints(&[0]);
        let expected: [&[u8]; 5] = [&[], &empty, &[], &empty, &[]];
        assert_eq!(codes.cleared().bytes(), expected);
    }
}
