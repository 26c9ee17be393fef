//! The payload of a message, as Sparkplug B 3.0 defines it: its metrics, borrowed from the bytes.

use super::protobuf::{Field, Fields, WireError, WireResult};

/// Metrics of one message, those of nested templates included.
const MOST_METRICS: usize = 1 << 16;
/// Templates within templates.
const DEEPEST: usize = 8;

/// What a message carries.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Payload<'a> {
    /// When it was sent, milliseconds since 1970.
    pub timestamp: Option<u64>,
    /// Number of the message among those of its edge node, 0 to 255 and then 0 again.
    pub seq: Option<u64>,
    /// Its metrics.
    pub metrics: Vec<Metric<'a>>,
}

/// One metric: its definition in a birth, else its value.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Metric<'a> {
    /// Its name; messages between births may leave it out.
    pub name: Option<&'a str>,
    /// The number that stands for the name until the next birth.
    pub alias: Option<u64>,
    /// When the value was sampled, milliseconds since 1970.
    pub timestamp: Option<u64>,
    /// Code of its data type; messages between births may leave it out.
    pub datatype: Option<u32>,
    /// Whether the value was kept while the node was offline.
    pub is_historical: bool,
    /// Whether the device does not want the value to be stored.
    pub is_transient: bool,
    /// Whether there is no value.
    pub is_null: bool,
    /// The value as sent.
    pub value: Option<RawValue<'a>>,
    /// The property `Quality`: 0 bad, 192 good, 500 stale.
    pub quality: Option<u64>,
    /// The property `engUnit`.
    pub unit: Option<&'a str>,
}

/// A value before its data type is known.
#[derive(Debug, Clone, PartialEq)]
pub enum RawValue<'a> {
    /// `int_value`: signed types as two's complement.
    Int(u32),
    /// `long_value`: signed types as two's complement.
    Long(u64),
    /// `float_value`.
    Float(f32),
    /// `double_value`.
    Double(f64),
    /// `boolean_value`.
    Boolean(bool),
    /// `string_value`.
    Text(&'a str),
    /// `bytes_value`: bytes, a file or an array.
    Bytes(&'a [u8]),
    /// `dataset_value`: a table.
    DataSet,
    /// `template_value`.
    Template(Template<'a>),
    /// `extension_value`: anything.
    Extension,
}

/// A value that has members of its own.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Template<'a> {
    /// Whether it declares a type and holds no values.
    pub is_definition: bool,
    /// Its members.
    pub metrics: Vec<Metric<'a>>,
}

impl<'a> Payload<'a> {
    /// Reads a payload.
    ///
    /// # Errors
    /// Malformed payload: what was expected, and at which byte.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, WireError> {
        let (mut payload, mut left) = (Self::default(), MOST_METRICS);
        for field in Fields::new(bytes) {
            let field = field?;
            match field.number {
                1 => payload.timestamp = Some(field.u64()?),
                2 => payload.metrics.push(metric(&field, &mut left, 0)?),
                3 => payload.seq = Some(field.u64()?),
                4 => _ = field.text()?,
                5 => _ = field.bytes()?,
                _ => {}
            }
        }
        Ok(payload)
    }

    /// The number that a node's birth and death have in common.
    #[must_use]
    pub fn birth_death_seq(&self) -> Option<u64> {
        let metric = self.metrics.iter().find(|metric| metric.name == Some("bdSeq"))?;
        match metric.value {
            Some(RawValue::Int(value)) => Some(value.into()),
            Some(RawValue::Long(value)) => Some(value),
            _ => None,
        }
    }
}

fn metric<'a>(field: &Field<'a>, left: &mut usize, depth: usize) -> WireResult<Metric<'a>> {
    *left = left
        .checked_sub(1)
        .ok_or_else(|| field.error(format_args!("expected at most {MOST_METRICS} metrics")))?;
    let mut metric = Metric::default();
    for field in field.message()? {
        let field = field?;
        match field.number {
            1 => metric.name = Some(field.text()?),
            2 => metric.alias = Some(field.u64()?),
            3 => metric.timestamp = Some(field.u64()?),
            4 => metric.datatype = Some(field.u32()?),
            5 => metric.is_historical = field.bool()?,
            6 => metric.is_transient = field.bool()?,
            7 => metric.is_null = field.bool()?,
            8 => _ = field.message()?,
            9 => (metric.quality, metric.unit) = properties(&field)?,
            10 => metric.value = Some(RawValue::Int(field.u32()?)),
            11 => metric.value = Some(RawValue::Long(field.u64()?)),
            12 => metric.value = Some(RawValue::Float(field.f32()?)),
            13 => metric.value = Some(RawValue::Double(field.f64()?)),
            14 => metric.value = Some(RawValue::Boolean(field.bool()?)),
            15 => metric.value = Some(RawValue::Text(field.text()?)),
            16 => metric.value = Some(RawValue::Bytes(field.bytes()?)),
            17 => {
                field.message()?;
                metric.value = Some(RawValue::DataSet);
            }
            18 => metric.value = Some(RawValue::Template(template(&field, left, depth)?)),
            19 => {
                field.message()?;
                metric.value = Some(RawValue::Extension);
            }
            _ => {}
        }
    }
    Ok(metric)
}

fn template<'a>(field: &Field<'a>, left: &mut usize, depth: usize) -> WireResult<Template<'a>> {
    if depth == DEEPEST {
        return Err(field.error(format_args!("expected at most {DEEPEST} templates within each other")));
    }
    let mut template = Template::default();
    for field in field.message()? {
        let field = field?;
        match field.number {
            2 => template.metrics.push(metric(&field, left, depth + 1)?),
            5 => template.is_definition = field.bool()?,
            _ => {}
        }
    }
    Ok(template)
}

/// Quality and unit among the properties of a metric: keys and values are two lists in one order.
fn properties<'a>(field: &Field<'a>) -> WireResult<(Option<u64>, Option<&'a str>)> {
    let (mut keys, mut values) = (Vec::new(), Vec::new());
    for field in field.message()? {
        let field = field?;
        match field.number {
            1 => keys.push(field.text()?),
            2 => values.push(property(&field)?),
            _ => {}
        }
    }
    if keys.len() != values.len() {
        let (keys, values) = (keys.len(), values.len());
        return Err(field.error(format_args!("{keys} names of properties, but {values} values")));
    }
    let find = |name: &str| keys.iter().position(|key| key.eq_ignore_ascii_case(name)).map(|at| values[at]);
    let quality = find("quality").and_then(|value| value.0);
    let unit = find("engUnit").and_then(|value| value.1);
    Ok((quality, unit))
}

/// A property's whole number or text, if it is one.
fn property<'a>(field: &Field<'a>) -> WireResult<(Option<u64>, Option<&'a str>)> {
    let mut value = (None, None);
    for field in field.message()? {
        let field = field?;
        match field.number {
            3 => value.0 = Some(field.u32()?.into()),
            4 => value.0 = Some(field.u64()?),
            8 => value.1 = Some(field.text()?),
            _ => {}
        }
    }
    Ok(value)
}
