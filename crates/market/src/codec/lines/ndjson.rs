//! A JSON object per line. Members of nested objects are named by their path: `{"a":{"b":1}}` has `a.b`.

use super::row::Field;
use crate::reading::ValueType;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Objects within objects at most.
const DEPTH: usize = 16;

/// Appends the members of an object, by name. Null members are absent; of a name that comes twice the last one counts.
///
/// # Errors
/// It is no JSON object, or is nested too deeply.
pub fn parse<'a>(line: &'a str, out: &mut Vec<Field<'a>>) -> Result<(), String> {
    object(line, "", DEPTH, out)
}

fn object<'a>(text: &'a str, path: &str, depth: usize, out: &mut Vec<Field<'a>>) -> Result<(), String> {
    let Members(members) =
        serde_json::from_str(text).map_err(|error| format!("expected a JSON object: {error}"))?;
    for (name, raw) in members {
        let name = if path.is_empty() { name } else { Cow::Owned(format!("{path}.{name}")) };
        let json = raw.get();
        let (text, class): (Cow<'a, str>, _) = match json.as_bytes().first() {
            Some(b'n') => continue,
            Some(b'{') if depth == 0 => return Err(format!("`{name}`: objects nested too deeply")),
            Some(b'{') => {
                object(json, &name, depth - 1, out)?;
                continue;
            }
            Some(b'"') => {
                let Text(text) = serde_json::from_str(json).map_err(|error| format!("`{name}`: {error}"))?;
                (text, Some(ValueType::Text))
            }
            Some(b't' | b'f') => (json.into(), Some(ValueType::Boolean)),
            Some(b'[') => (json.into(), Some(ValueType::Text)),
            _ => (json.into(), Some(ValueType::guess(json))),
        };
        out.push(Field { name, text, class });
    }
    Ok(())
}

/// A string, borrowed from the line unless it holds escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfText;
        impl<'de> Visitor<'de> for OfText {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(OfText)
    }
}

/// The members of an object, sorted by name, each once.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfObject;
        impl<'de> Visitor<'de> for OfObject {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Members<'de>, A::Error> {
                let mut members: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::new();
                while let Some(Text(name)) = object.next_key()? {
                    members.push((name, object.next_value()?));
                }
                members.sort_by(|(a, _), (b, _)| a.cmp(b));
                members.dedup_by(|later, kept| {
                    let is_same = later.0 == kept.0;
                    if is_same {
                        kept.1 = later.1;
                    }
                    is_same
                });
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(OfObject)
    }
}
