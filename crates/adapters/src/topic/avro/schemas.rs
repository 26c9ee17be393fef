//! The schemas of the registry, each requested once.

use super::registry::{Registry, refused};
use market::Kind;
use market::codec::avro::{self, WriterSchema};
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
    known: Mutex<HashMap<(Kind, u32), Known>>,
}

#[derive(Clone)]
enum Known {
    Fits(Arc<WriterSchema>),
    /// Not a schema of the kind: schemas never change.
    Unfit(Arc<str>),
    /// Not in the registry, at that time.
    Missing(Instant),
}

impl Schemas {
    pub(super) fn new(registry: Registry, stop: CancelToken) -> Self {
        Self { registry, stop, known: Mutex::default() }
    }

    pub(super) fn url(&self) -> &str {
        self.registry.url()
    }

    /// Registers the schema of a topic's records.
    ///
    /// # Errors
    /// The registry cannot be reached, or refuses it.
    pub(super) fn register(&self, topic: &str, kind: Kind) -> Result<u32> {
        self.registry.register(&subject(topic), &schema_text(kind))
    }

    /// The same; waits for the registry.
    ///
    /// # Errors
    /// The registry refuses it, or the program is stopped.
    pub(super) fn wait_and_register(&self, topic: &str, kind: Kind) -> Result<u32> {
        self.wait("register the schema", || self.register(topic, kind))
    }

    /// Whether the registry answers.
    ///
    /// # Errors
    /// It cannot be reached, is no registry, or refuses the login.
    pub(super) fn reach(&self) -> Result<()> {
        self.registry.reach()
    }

    fn wait<T>(&self, doing: &str, request: impl FnMut() -> Result<T>) -> Result<T> {
        retry(&self.stop, Port::Topic, doing, request).map_err(|error| match error.retryable() {
            // It was waited for until the user stopped the program.
            true => Error::stopped(),
            false => error,
        })
    }

    /// The schema of an id, ready to read records of a kind by it, or why they cannot be read. Waits for the registry.
    ///
    /// # Errors
    /// The registry refuses the request, or the program is stopped.
    pub(super) fn writer(&self, kind: Kind, id: u32) -> Result<Result<Arc<WriterSchema>, String>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&(kind, id)).cloned();
        let missing = || Ok(Err(format!("schema {id} is not in the registry {}", self.url())));
        match known {
            Some(Known::Fits(writer)) => return Ok(Ok(writer)),
            Some(Known::Unfit(reason)) => return Ok(Err(reason.to_string())),
            Some(Known::Missing(at)) if at.elapsed() < BELIEVED => return missing(),
            Some(Known::Missing(_)) | None => {}
        }
        let found = self.wait("read a schema from the registry", || self.registry.schema(id))?;
        let known = match found.map(|schema| WriterSchema::of(kind, &schema)) {
            None => Known::Missing(Instant::now()),
            Some(Ok(writer)) => Known::Fits(Arc::new(writer)),
            Some(Err(reason)) => Known::Unfit(format!("schema {id}: {reason}").into()),
        };
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert((kind, id), known.clone());
        match known {
            Known::Fits(writer) => Ok(Ok(writer)),
            Known::Unfit(reason) => Ok(Err(reason.to_string())),
            Known::Missing(_) => missing(),
        }
    }

    /// Which topics' schemas are registered, for `doctor`.
    ///
    /// # Errors
    /// The registry cannot be reached, refuses the request, or lacks a schema.
    pub(super) fn check(&self, topics: &[(String, Kind)]) -> Result<String> {
        self.reach()?;
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
