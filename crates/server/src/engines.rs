//! What the server reads.

use crate::probe::Probe;
use crate::proof::Verify;
use ports::alert_log::AlertLog;
use ports::store::Store;
use ports::telemetry::Telemetry;
use ports::topic::{Names, Topics};
use std::sync::Arc;

/// What the server reads.
#[derive(Clone)]
pub struct Engines {
    /// Topic engine.
    pub topics: Arc<dyn Topics>,
    /// Names of the topics.
    pub names: Names,
    /// Store engine.
    pub store: Arc<dyn Store>,
    /// Counters of the run loops in this process, if any run here.
    pub telemetry: Option<Arc<Telemetry>>,
    /// Compares source, topic and store.
    pub verify: Option<Verify>,
    /// What `/metrics` and `/ready` tell, if they are served here.
    pub probe: Option<Arc<dyn Probe>>,
    /// The alerts that the configured rules fired; `None` without rules.
    pub alerts: Option<Arc<dyn AlertLog>>,
}
