//! Named tensors and a text in one file.

use crate::ForecastError;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use xxhash_rust::xxh3::Xxh3;

const FORMAT: &str = "tapeline-forecast";
const VERSION: &str = "2";
const LONGEST_HEADER: usize = 64 << 20;

/// Values of one tensor.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Values {
    F64(Vec<f64>),
    F32(Vec<f32>),
}

/// Tensors by name and the bundle's description.
#[derive(Debug)]
pub(crate) struct Container {
    meta: String,
    digest: String,
    tensors: BTreeMap<String, (Vec<usize>, Values)>,
}

impl Container {
    pub(crate) const fn new(meta: String) -> Self {
        Self { meta, digest: String::new(), tensors: BTreeMap::new() }
    }

    pub(crate) fn put(&mut self, name: String, shape: &[usize], values: Values) {
        self.tensors.insert(name, (shape.to_vec(), values));
    }

    pub(crate) fn meta(&self) -> &str {
        &self.meta
    }

    pub(crate) fn digest(&self) -> &str {
        &self.digest
    }

    /// Values of a tensor of `count` numbers (any number if `None`).
    pub(crate) fn doubles(&self, name: &str, count: Option<usize>) -> Result<&[f64], ForecastError> {
        match self.tensors.get(name) {
            Some((_, Values::F64(values))) if count.is_none_or(|count| count == values.len()) => Ok(values),
            Some((shape, _)) => {
                let expected = count.map_or_else(|| "F64".to_owned(), |count| format!("{count} F64 values"));
                Err(file(format!("tensor `{name}`: expected {expected}, found shape {shape:?}")))
            }
            None => Err(file(format!("tensor `{name}` is missing"))),
        }
    }

    /// Shape and values of a single-precision tensor of two dimensions.
    pub(crate) fn matrix(&self, name: &str) -> Result<((usize, usize), &[f32]), ForecastError> {
        match self.tensors.get(name) {
            Some((shape, Values::F32(values))) if shape.len() == 2 => Ok(((shape[0], shape[1]), values)),
            Some((shape, _)) => {
                Err(file(format!("tensor `{name}`: expected an F32 matrix, found shape {shape:?}")))
            }
            None => Err(file(format!("tensor `{name}` is missing"))),
        }
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>, ForecastError> {
        let mut data = Vec::new();
        let mut table = Map::new();
        let doubles_first = |values: &Values| usize::from(matches!(values, Values::F32(_)));
        let mut ordered: Vec<_> = self.tensors.iter().collect();
        ordered.sort_by_key(|(_, (_, values))| doubles_first(values));
        for (name, (shape, values)) in ordered {
            let start = data.len();
            let dtype = match values {
                Values::F64(values) => {
                    data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
                    "F64"
                }
                Values::F32(values) => {
                    data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
                    "F32"
                }
            };
            let entry = json!({ "dtype": dtype, "shape": shape, "data_offsets": [start, data.len()] });
            table.insert(name.clone(), entry);
        }
        let metadata = json!({
            "format": FORMAT,
            "version": VERSION,
            "meta": self.meta,
            "digest": digest(&table, &self.meta, &data),
        });
        let mut all = table;
        all.insert("__metadata__".to_owned(), metadata);
        let mut header = Value::Object(all).to_string();
        // Values start at a multiple of eight bytes.
        header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        Ok(bytes)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, ForecastError> {
        let (mut table, data) = split(bytes)?;
        let Some(metadata) = table.remove("__metadata__") else {
            return Err(file(format!(
                "expected format `{FORMAT}`, found a safetensors file without metadata"
            )));
        };
        let text = |name: &str| metadata.get(name).and_then(Value::as_str).unwrap_or_default();
        if text("format") != FORMAT {
            return Err(file(format!("expected format `{FORMAT}`, found `{}`", text("format"))));
        }
        if text("version") != VERSION {
            return Err(file(format!(
                "expected version {VERSION}, found `{}`: train again",
                text("version")
            )));
        }
        let (meta, expected) = (text("meta").to_owned(), text("digest").to_owned());
        let found = digest(&table, &meta, data);
        if found != expected {
            return Err(file(format!(
                "expected digest {expected}, found {found}: the file is truncated or damaged"
            )));
        }
        let mut tensors = BTreeMap::new();
        for (name, entry) in table {
            let tensor = read_tensor(&entry, data)
                .ok_or_else(|| file(format!("tensor `{name}`: bad entry {entry}")))?;
            tensors.insert(name, tensor);
        }
        Ok(Self { meta, digest: expected, tensors })
    }
}

/// Header and values of a file.
fn split(bytes: &[u8]) -> Result<(Map<String, Value>, &[u8]), ForecastError> {
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
        return Err(file(format!("expected at least 8 bytes, found {}: the file is truncated", bytes.len())));
    };
    let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
    if length > LONGEST_HEADER {
        return Err(file("the first 8 bytes are not a header length: not a model file".to_owned()));
    }
    let Some((header, data)) = rest.split_at_checked(length) else {
        return Err(file(format!(
            "expected a header of {length} bytes, found {}: the file is truncated",
            rest.len()
        )));
    };
    match serde_json::from_slice(header) {
        Ok(Value::Object(table)) => Ok((table, data)),
        Ok(_) => Err(file("the header is not a JSON object: not a model file".to_owned())),
        Err(error) => Err(file(format!("the header is not JSON ({error}): not a model file"))),
    }
}

fn read_tensor(entry: &Value, data: &[u8]) -> Option<(Vec<usize>, Values)> {
    let number = |value: &Value| usize::try_from(value.as_u64()?).ok();
    let shape: Vec<usize> = entry.get("shape")?.as_array()?.iter().map(number).collect::<Option<_>>()?;
    let offsets = entry.get("data_offsets")?.as_array()?;
    let bytes = data.get(number(offsets.first()?)?..number(offsets.get(1)?)?)?;
    let values = match entry.get("dtype")?.as_str()? {
        "F64" => {
            Values::F64(bytes.as_chunks::<8>().0.iter().map(|chunk| f64::from_le_bytes(*chunk)).collect())
        }
        "F32" => {
            Values::F32(bytes.as_chunks::<4>().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect())
        }
        _ => return None,
    };
    let count = match &values {
        Values::F64(values) => values.len(),
        Values::F32(values) => values.len(),
    };
    let expected = shape.iter().try_fold(1usize, |product, size| product.checked_mul(*size))?;
    (count == expected).then_some((shape, values))
}

fn digest(table: &Map<String, Value>, meta: &str, data: &[u8]) -> String {
    // Sorted here: the order of a JSON map depends on features that other crates enable.
    let sorted: BTreeMap<&String, String> =
        table.iter().map(|(name, entry)| (name, entry_text(entry))).collect();
    let mut hasher = Xxh3::new();
    for (name, entry) in sorted {
        hasher.update(name.as_bytes());
        hasher.update(entry.as_bytes());
    }
    hasher.update(meta.as_bytes());
    hasher.update(data);
    format!("{:032x}", hasher.digest128())
}

fn entry_text(entry: &Value) -> String {
    let part = |name: &str| entry.get(name).map(Value::to_string).unwrap_or_default();
    format!("\n{}{}{}\n", part("dtype"), part("shape"), part("data_offsets"))
}

/// A file that cannot be read, and why.
pub(super) fn file(text: String) -> ForecastError {
    ForecastError::File(text)
}
