//! The ids and layouts of schemas, each asked of the registry once.

use super::registry::{Registry, refused};
use market::Kind;
use market::codec::avro::{self, Layout};
use ports::cancel::{CancelToken, retry};
use ports::metrics::Port;
use ports::{Error, Result};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long it is believed that the registry lacks an id: a flood of damaged messages is not a flood of requests.
const BELIEVED: Duration = Duration::from_secs(10);

/// Schemas that are known.
pub(super) struct Schemas {
    registry: Registry,
    stop: CancelToken,
    layouts: Mutex<HashMap<(Kind, u32), Known>>,
}

#[derive(Clone)]
enum Known {
    Layout(Arc<Layout>),
    /// Not a schema of the kind: schemas never change.
    Unfit(Arc<str>),
    /// Not in the registry, at that time.
    Missing(Instant),
}

impl Schemas {
    pub(super) fn new(registry: Registry, stop: CancelToken) -> Self {
        Self { registry, stop, layouts: Mutex::default() }
    }

    pub(super) fn url(&self) -> &str {
        self.registry.url()
    }

    /// Registers the schema of a topic's records; waits for the registry.
    ///
    /// # Errors
    /// The registry refuses it, or the program is stopped.
    pub(super) fn register(&self, topic: &str, kind: Kind) -> Result<u32> {
        let subject = subject(topic);
        let text = schema_text(kind);
        retry(&self.stop, Port::Topic, "register the schema", || self.registry.register(&subject, &text))
    }

    /// The layout of the records of a kind under a schema id, or why they cannot be read. Waits for the registry.
    ///
    /// # Errors
    /// The registry refuses the request, or the program is stopped.
    pub(super) fn layout(&self, kind: Kind, id: u32) -> Result<Result<Arc<Layout>, String>> {
        let known = self.layouts.lock().unwrap_or_else(PoisonError::into_inner).get(&(kind, id)).cloned();
        let missing = || Ok(Err(format!("schema {id} is not in the registry {}", self.url())));
        match known {
            Some(Known::Layout(layout)) => return Ok(Ok(layout)),
            Some(Known::Unfit(reason)) => return Ok(Err(reason.to_string())),
            Some(Known::Missing(at)) if at.elapsed() < BELIEVED => return missing(),
            Some(Known::Missing(_)) | None => {}
        }
        let found =
            retry(&self.stop, Port::Topic, "read a schema from the registry", || self.registry.schema(id))?;
        let known = match found.map(|schema| Layout::of(kind, &schema)) {
            None => Known::Missing(Instant::now()),
            Some(Ok(layout)) => Known::Layout(Arc::new(layout)),
            Some(Err(reason)) => Known::Unfit(format!("schema {id}: {reason}").into()),
        };
        self.layouts.lock().unwrap_or_else(PoisonError::into_inner).insert((kind, id), known.clone());
        match known {
            Known::Layout(layout) => Ok(Ok(layout)),
            Known::Unfit(reason) => Ok(Err(reason.to_string())),
            Known::Missing(_) => missing(),
        }
    }

    /// Which topics' schemas are registered, for `doctor`.
    ///
    /// # Errors
    /// The registry cannot be reached, refuses the request, or lacks a schema.
    pub(super) fn check(&self, topics: &[(String, Kind)]) -> Result<String> {
        let mut ids = Vec::new();
        for (topic, kind) in topics {
            match self.registry.find(&subject(topic), &schema_text(*kind))? {
                Some(id) => ids.push(format!("{} {id}", subject(topic))),
                None => return Err(missing_subject(self.url(), topic)),
            }
        }
        Ok(ids.join(", "))
    }
}

fn missing_subject(url: &str, topic: &str) -> Error {
    refused(url, &format!("the schema of {} is not registered", subject(topic))).hint("tapeline init")
}

/// The name under which a topic's schema is registered: of its values.
pub(super) fn subject(topic: &str) -> String {
    format!("{topic}-value")
}

/// The text of a kind's schema.
pub(super) fn schema_text(kind: Kind) -> String {
    avro::schema(kind).to_string()
}
