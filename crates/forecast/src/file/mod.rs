//! Bundles as bytes: the safetensors layout, which Python's `safetensors` reads too.
//!
//! ```text
//! 8 bytes            length of the header, little-endian
//! header             JSON: name, type, shape and offsets of each tensor; "__metadata__" with format, version, the
//!                    bundle's origin and scores ("meta"), and a digest
//! the rest           values, little-endian, F64 before F32
//! ```
//! The digest (XXH3, 128 bits) covers the tensor table, the metadata and the values: it detects a truncated,
//! damaged or mixed-up file. It is not a signature.

mod container;
mod tensors;

use crate::bundle::{Bundle, Meta};
use crate::model::ModelKind;
use crate::walk_forward::ModelSet;
use crate::{ForecastError, Task};
use container::{Container, file};
use serde::{Deserialize, Serialize};

/// Everything in a bundle except its numbers.
#[derive(Serialize, Deserialize)]
struct Description {
    meta: Meta,
    tasks: Vec<Task>,
    kinds: Vec<ModelKind>,
}

/// Encodes a bundle. The same bundle gives the same bytes.
///
/// # Errors
/// [`ForecastError::File`] if a score cannot be written as JSON.
pub fn encode(bundle: &Bundle) -> Result<Vec<u8>, ForecastError> {
    let description = Description {
        meta: bundle.meta.clone(),
        tasks: bundle.models.tasks.clone(),
        kinds: bundle.models.kinds.clone(),
    };
    let text =
        serde_json::to_string(&description).map_err(|error| file(format!("write the metadata: {error}")))?;
    let mut container = Container::new(text);
    tensors::write(bundle, &mut container);
    container.encode()
}

/// Decodes a bundle.
///
/// # Errors
/// [`ForecastError::File`]: what was expected and what was found, for a truncated, damaged or foreign file or
/// another version.
pub fn decode(bytes: &[u8]) -> Result<Bundle, ForecastError> {
    let container = Container::decode(bytes)?;
    let description: Description = serde_json::from_str(container.meta())
        .map_err(|error| file(format!("unreadable metadata: {error}; train again with this version")))?;
    let names = crate::feature::names();
    if description.meta.features != names {
        return Err(file(format!(
            "expected the {} features of this version, found {} others: train again",
            names.len(),
            description.meta.features.len()
        )));
    }
    let models =
        tensors::read_models(&container, &description.tasks, &description.kinds, description.meta.window)?;
    let intervals = tensors::read_intervals(&container, &description.meta.scores)?;
    let models = ModelSet { tasks: description.tasks, kinds: description.kinds, models };
    Ok(Bundle { meta: description.meta, models, intervals })
}

/// Digest of an encoded bundle, as in its header.
///
/// # Errors
/// As [`decode`].
pub fn digest(bytes: &[u8]) -> Result<String, ForecastError> {
    Ok(Container::decode(bytes)?.digest().to_owned())
}
