//! The only place that reads the clock. The domain never does.

use market::UnixNanos;
use std::time::SystemTime;

/// Now, UTC.
#[must_use]
pub fn now() -> UnixNanos {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixNanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
