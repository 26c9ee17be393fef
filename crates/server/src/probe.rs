//! What a process reports about itself.

use ports::Result;
use serde_json::Value;

/// What a process reports about itself.
pub trait Probe: Send + Sync {
    /// All metrics in Prometheus's text format.
    ///
    /// # Errors
    /// They cannot be encoded.
    fn metrics(&self) -> Result<String>;

    /// Whether every port's last check succeeded, and what each found.
    fn ready(&self) -> (bool, Value);
}
