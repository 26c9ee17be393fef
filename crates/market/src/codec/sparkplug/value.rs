//! Values of Sparkplug's data types as values of readings: each has one text, and nothing is rounded.

use super::payload::RawValue;
use crate::reading::ValueType;
use std::fmt::Write;

/// Longest text of a value, bytes: an array of numbers is several times as long as its bytes.
const LONGEST: usize = 256 * 1_024;

/// What a value or an element of an array is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Element {
    /// Two's complement with this number of bits.
    Signed(u32),
    Unsigned(u32),
    Float,
    Double,
    Boolean,
    Text,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    One(Element),
    Array(Element),
    /// Bytes and files.
    Bytes,
    /// Tables and property sets: no single value.
    Composite,
    Template,
}

/// Name and shape of every data type, by its code.
const TYPES: [(&str, Shape); 35] = {
    use Element::{Boolean, Double, Float, Signed, Text, Unsigned};
    use Shape::{Array, Bytes, Composite, One, Template};
    [
        ("Unknown", Composite),
        ("Int8", One(Signed(8))),
        ("Int16", One(Signed(16))),
        ("Int32", One(Signed(32))),
        ("Int64", One(Signed(64))),
        ("UInt8", One(Unsigned(8))),
        ("UInt16", One(Unsigned(16))),
        ("UInt32", One(Unsigned(32))),
        ("UInt64", One(Unsigned(64))),
        ("Float", One(Float)),
        ("Double", One(Double)),
        ("Boolean", One(Boolean)),
        ("String", One(Text)),
        ("DateTime", One(Unsigned(64))),
        ("Text", One(Text)),
        ("UUID", One(Text)),
        ("DataSet", Composite),
        ("Bytes", Bytes),
        ("File", Bytes),
        ("Template", Template),
        ("PropertySet", Composite),
        ("PropertySetList", Composite),
        ("Int8Array", Array(Signed(8))),
        ("Int16Array", Array(Signed(16))),
        ("Int32Array", Array(Signed(32))),
        ("Int64Array", Array(Signed(64))),
        ("UInt8Array", Array(Unsigned(8))),
        ("UInt16Array", Array(Unsigned(16))),
        ("UInt32Array", Array(Unsigned(32))),
        ("UInt64Array", Array(Unsigned(64))),
        ("FloatArray", Array(Float)),
        ("DoubleArray", Array(Double)),
        ("BooleanArray", Array(Boolean)),
        ("StringArray", Array(Text)),
        ("DateTimeArray", Array(Unsigned(64))),
    ]
};

impl RawValue<'_> {
    const fn field(&self) -> &'static str {
        match self {
            Self::Int(_) => "int_value",
            Self::Long(_) => "long_value",
            Self::Float(_) => "float_value",
            Self::Double(_) => "double_value",
            Self::Boolean(_) => "boolean_value",
            Self::Text(_) => "string_value",
            Self::Bytes(_) => "bytes_value",
            Self::DataSet => "dataset_value",
            Self::Template(_) => "template_value",
            Self::Extension => "extension_value",
        }
    }
}

/// Type and canonical text of a value; `code` is its data type, if the message or a birth names one.
///
/// # Errors
/// The value is not of the data type, or no reading can hold it.
pub(super) fn reading_value(raw: &RawValue<'_>, code: Option<u32>) -> Result<(ValueType, String), String> {
    let (class, text) = match code.filter(|code| *code != 0) {
        None => untyped(raw)?,
        Some(code) => {
            let known = usize::try_from(code).ok().and_then(|code| TYPES.get(code));
            let (name, shape) = known.ok_or_else(|| format!("data type {code}: expected 1 to 34"))?;
            typed(raw, *shape).map_err(|what| format!("data type {name}: {what}"))?
        }
    };
    if text.len() > LONGEST {
        return Err(format!("a value of {} bytes as text, expected at most {LONGEST}", text.len()));
    }
    let text = class.canonical(&text).map_err(|error| error.to_string())?;
    Ok((class, text))
}

/// A value without a data type: the field implies the type, except whether an integer is signed and what bytes hold.
fn untyped(raw: &RawValue<'_>) -> Result<(ValueType, String), String> {
    match raw {
        RawValue::Float(_) => one(raw, Element::Float),
        RawValue::Double(_) => one(raw, Element::Double),
        RawValue::Boolean(_) => one(raw, Element::Boolean),
        RawValue::Text(_) => one(raw, Element::Text),
        RawValue::DataSet | RawValue::Extension => Err(format!("{}: not a single value", raw.field())),
        RawValue::Int(_) | RawValue::Long(_) | RawValue::Bytes(_) | RawValue::Template(_) => {
            Err(format!("{} without a data type, and no birth has named one", raw.field()))
        }
    }
}

fn typed(raw: &RawValue<'_>, shape: Shape) -> Result<(ValueType, String), String> {
    match (shape, raw) {
        (Shape::One(element), raw) => one(raw, element),
        (Shape::Array(element), RawValue::Bytes(bytes)) => Ok((ValueType::Text, array(bytes, element)?)),
        (Shape::Bytes, RawValue::Bytes(bytes)) => Ok((ValueType::Text, hex(bytes))),
        (Shape::Composite, _) => Err("not a single value".to_owned()),
        (Shape::Array(_) | Shape::Bytes, raw) => Err(format!("expected bytes_value, found {}", raw.field())),
        (Shape::Template, raw) => Err(format!("expected template_value, found {}", raw.field())),
    }
}

fn one(raw: &RawValue<'_>, element: Element) -> Result<(ValueType, String), String> {
    let found = |expected: &str| Err(format!("expected {expected}, found {}", raw.field()));
    match (element, raw) {
        (Element::Signed(bits), RawValue::Int(value)) if bits <= 32 => signed((*value).into(), 32, bits),
        (Element::Signed(bits), RawValue::Long(value)) => signed(*value, 64, bits),
        (Element::Unsigned(bits), RawValue::Int(value)) => unsigned((*value).into(), bits),
        (Element::Unsigned(bits), RawValue::Long(value)) => unsigned(*value, bits),
        (Element::Float, RawValue::Float(value)) => Ok((ValueType::Float, format!("{value:?}"))),
        (Element::Double, RawValue::Double(value)) => Ok((ValueType::Float, format!("{value:?}"))),
        (Element::Boolean, RawValue::Boolean(value)) => Ok((ValueType::Boolean, value.to_string())),
        (Element::Text, RawValue::Text(value)) => Ok((ValueType::Text, (*value).to_owned())),
        (Element::Signed(64), _) => found("long_value"),
        (Element::Signed(_) | Element::Unsigned(_), _) => found("int_value or long_value"),
        (Element::Float, _) => found("float_value"),
        (Element::Double, _) => found("double_value"),
        (Element::Boolean, _) => found("boolean_value"),
        (Element::Text, _) => found("string_value"),
    }
}

/// Two's complement of `bits`, carried in `width` bits: some encoders fill the bits above with the sign, others with zeros.
fn signed(value: u64, width: u32, bits: u32) -> Result<(ValueType, String), String> {
    let wide = sign_extended(value, width);
    let narrow = if bits < width && value < 1 << bits { sign_extended(value, bits) } else { wide };
    let half = 1_i128 << (bits - 1);
    if (-half..half).contains(&narrow.into()) {
        Ok((ValueType::Integer, narrow.to_string()))
    } else {
        Err(format!("{wide} has more than {bits} bits"))
    }
}

fn sign_extended(value: u64, bits: u32) -> i64 {
    (value << (64 - bits)) as i64 >> (64 - bits)
}

fn unsigned(value: u64, bits: u32) -> Result<(ValueType, String), String> {
    if bits == 64 || value < 1 << bits {
        Ok((ValueType::Integer, value.to_string()))
    } else {
        Err(format!("{value} has more than {bits} bits"))
    }
}

/// An array as `[1,2,3]`.
fn array(bytes: &[u8], element: Element) -> Result<String, String> {
    let mut out = Array::default();
    match element {
        Element::Signed(bits) => {
            numbers(bytes, bits, |value| out.push(format_args!("{}", sign_extended(value, bits))))?;
        }
        Element::Unsigned(bits) => numbers(bytes, bits, |value| out.push(format_args!("{value}")))?,
        Element::Float => {
            numbers(bytes, 32, |value| out.push(format_args!("{:?}", f32::from_bits(value as u32))))?;
        }
        Element::Double => numbers(bytes, 64, |value| out.push(format_args!("{:?}", f64::from_bits(value))))?,
        Element::Boolean => booleans(bytes, &mut out)?,
        Element::Text => texts(bytes, &mut out)?,
    }
    Ok(out.text + if out.any { "]" } else { "[]" })
}

#[derive(Default)]
struct Array {
    text: String,
    any: bool,
}

impl Array {
    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        self.text.push(if self.any { ',' } else { '[' });
        self.any = true;
        // Writing to a string cannot fail.
        let _ = self.text.write_fmt(element);
    }
}

/// Packed numbers, least significant byte first.
fn numbers(bytes: &[u8], bits: u32, mut push: impl FnMut(u64)) -> Result<(), String> {
    let size = (bits / 8) as usize;
    let elements = bytes.chunks_exact(size);
    if !elements.remainder().is_empty() {
        return Err(format!("{} bytes, expected a multiple of {size}", bytes.len()));
    }
    for element in elements {
        push(element.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)));
    }
    Ok(())
}

/// Their number in four bytes, then a bit for each, the most significant of a byte first.
fn booleans(bytes: &[u8], out: &mut Array) -> Result<(), String> {
    let (count, packed) = bytes.split_at_checked(4).ok_or("expected the number of elements in 4 bytes")?;
    let count = count.iter().rev().fold(0_usize, |value, byte| value << 8 | usize::from(*byte));
    if packed.len() != count.div_ceil(8) {
        return Err(format!("{count} elements in {} bytes", packed.len()));
    }
    for index in 0..count {
        let is_set = packed[index / 8] >> (7 - index % 8) & 1 == 1;
        out.push(format_args!("{is_set}"));
    }
    Ok(())
}

/// Texts, each with a zero behind it.
fn texts(bytes: &[u8], out: &mut Array) -> Result<(), String> {
    let Some((last, rest)) = bytes.split_last() else { return Ok(()) };
    if *last != 0 {
        return Err("expected a zero behind each text".to_owned());
    }
    for text in rest.split(|byte| *byte == 0) {
        let text = std::str::from_utf8(text).map_err(|_| "not UTF-8".to_owned())?;
        // One text, one array: commas and brackets within would be read as others.
        if text.contains([',', '[', ']']) {
            return Err(format!("text {text:?}: commas and brackets are not supported in an array"));
        }
        out.push(format_args!("{text}"));
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(raw: &RawValue<'_>, code: u32) -> Result<String, String> {
        reading_value(raw, Some(code)).map(|(class, text)| format!("{} {text}", class.name()))
    }

    #[test]
    fn every_data_type_has_a_value() {
        use RawValue::{Boolean, Bytes, Double, Float, Int, Long, Text};
        for (raw, code, expected) in [
            (Int(0xff), 1, "integer -1"),
            (Int(0xffff_ff80), 1, "integer -128"),
            (Int(0x8000), 2, "integer -32768"),
            (Int(0xffff_ffff), 3, "integer -1"),
            (Long(0xffff_ffff), 3, "integer -1"),
            (Long(u64::MAX), 4, "integer -1"),
            (Int(255), 5, "integer 255"),
            (Int(65_535), 6, "integer 65535"),
            (Long(4_294_967_295), 7, "integer 4294967295"),
            (Long(u64::MAX), 8, "integer 18446744073709551615"),
            (Float(0.1), 9, "float 0.1"),
            (Float(16_777_216.0), 9, "float 16777216.0"),
            (Double(1e300), 10, "float 1e300"),
            (Boolean(true), 11, "boolean true"),
            (Text("on"), 12, "text on"),
            (Long(1_767_571_200_000), 13, "integer 1767571200000"),
            (Text("a b"), 14, "text a b"),
            (Text("u"), 15, "text u"),
            (Bytes(&[0, 0xaf]), 17, "text 00af"),
            (Bytes(&[]), 18, "text "),
            (Bytes(&[0xff, 1]), 22, "text [-1,1]"),
            (Bytes(&[0, 0x80]), 23, "text [-32768]"),
            (Bytes(&[1, 0, 0, 0]), 24, "text [1]"),
            (Bytes(&[0xff; 8]), 25, "text [-1]"),
            (Bytes(&[0xff, 0]), 26, "text [255,0]"),
            (Bytes(&[0xff, 0xff]), 27, "text [65535]"),
            (Bytes(&[1, 0, 0, 0]), 28, "text [1]"),
            (Bytes(&[0xff; 8]), 29, "text [18446744073709551615]"),
            (Bytes(&[0, 0, 0xac, 0x41]), 30, "text [21.5]"),
            (Bytes(&[0, 0, 0, 0, 0, 0, 0xf0, 0x3f]), 31, "text [1.0]"),
            (Bytes(&[3, 0, 0, 0, 0b1010_0000]), 32, "text [true,false,true]"),
            (Bytes(b"a\0\0b c\0"), 33, "text [a,,b c]"),
            (Bytes(&[]), 34, "text []"),
        ] {
            assert_eq!(value(&raw, code).as_deref(), Ok(expected), "{raw:?} {code}");
        }
    }

    #[test]
    fn what_is_not_of_its_type_is_refused() {
        use RawValue::{Bytes, DataSet, Float, Int, Long, Text};
        for (raw, code, part) in [
            (Int(0x100), 1, "256 has more than 8 bits"),
            (Int(0xffff_ff7f), 1, "-129 has more than 8 bits"),
            (Int(1), 4, "Int64: expected long_value, found int_value"),
            (Int(256), 5, "256 has more than 8 bits"),
            (Long(1 << 32), 7, "more than 32 bits"),
            (Float(f32::NAN), 9, "expected a finite 64-bit float"),
            (Int(1), 9, "Float: expected float_value, found int_value"),
            (Text("say \"x\""), 12, "quotation marks"),
            (DataSet, 16, "DataSet: not a single value"),
            (Int(1), 19, "expected template_value"),
            (Bytes(&[1]), 23, "1 bytes, expected a multiple of 2"),
            (Bytes(&[9, 0, 0, 0, 1]), 32, "9 elements in 1 bytes"),
            (Bytes(&[0xff; 4]), 32, "4294967295 elements in 0 bytes"),
            (Bytes(b"a"), 33, "a zero behind each text"),
            (Bytes(b"a,b\0"), 33, "commas and brackets"),
            (Int(1), 35, "data type 35: expected 1 to 34"),
            (Int(1), 0, "int_value without a data type"),
        ] {
            let error = value(&raw, code).unwrap_err();
            assert!(error.contains(part), "{raw:?} {code}: {error}");
        }
        let long = "x".repeat(LONGEST + 1);
        assert!(value(&Text(&long), 12).unwrap_err().contains("expected at most"));
        assert_eq!(reading_value(&Float(0.5), None), Ok((ValueType::Float, "0.5".to_owned())));
    }
}
