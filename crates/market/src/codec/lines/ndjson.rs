//! A JSON object per line. Members of nested objects are named by their path: `{"a":{"b":1}}` has `a.b`.

use super::Field;
use crate::reading::ValueType;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Objects within objects at most.
const DEPTH: usize = 16;

/// Appends the members of an object. Null members are absent; of a name that comes twice the last one counts.
///
/// # Errors
/// It is no JSON object, or is nested too deeply.
pub fn parse(line: &str, out: &mut Vec<Field<'_>>) -> Result<(), String> {
    object(line, "", DEPTH, out)
}

fn object(text: &str, path: &str, depth: usize, out: &mut Vec<Field<'_>>) -> Result<(), String> {
    let members: BTreeMap<String, &RawValue> =
        serde_json::from_str(text).map_err(|error| format!("expected a JSON object: {error}"))?;
    for (name, raw) in members {
        let name = if path.is_empty() { name } else { format!("{path}.{name}") };
        let json = raw.get();
        let (text, class): (String, _) = match json.as_bytes().first() {
            Some(b'n') => continue,
            Some(b'{') if depth == 0 => return Err(format!("`{name}`: objects nested too deeply")),
            Some(b'{') => {
                object(json, &name, depth - 1, out)?;
                continue;
            }
            Some(b'"') => {
                let text = serde_json::from_str(json).map_err(|error| format!("`{name}`: {error}"))?;
                (text, Some(ValueType::Text))
            }
            Some(b't' | b'f') => (json.to_owned(), Some(ValueType::Boolean)),
            Some(b'[') => (json.to_owned(), Some(ValueType::Text)),
            _ => (json.to_owned(), Some(ValueType::guess(json))),
        };
        out.push(Field { name: Cow::Owned(name), text: Cow::Owned(text), class });
    }
    Ok(())
}
