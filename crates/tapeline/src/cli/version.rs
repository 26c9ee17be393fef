//! `--version`.

use std::sync::OnceLock;

/// Multi-line version with build information.
pub(crate) fn version() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| {
        format!(
            "{}\n{}\nlibrdkafka {}\nSQLite {}\n{} {}",
            env!("CARGO_PKG_VERSION"),
            env!("TAPELINE_COMMIT"),
            adapters::topic::kafka::library_version(),
            adapters::topic::sqlite::library_version(),
            std::env::consts::OS,
            std::env::consts::ARCH,
        )
    })
}
