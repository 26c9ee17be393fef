//! The folder of a demo: its settings and databases.

use ports::error::io;
use ports::{Error, Result};
use std::path::Path;
use tapeline::config::{self, Config};

#[derive(serde::Deserialize)]
struct Rules {
    rules: Vec<market::alert::RuleConfig>,
}

/// Writes the configuration for commands that are started in the folder. An existing file is kept.
pub(super) fn leave_settings(dir: &Path, rules: &str) -> Result<()> {
    let path = dir.join("tapeline.toml");
    if path.exists() {
        return Ok(());
    }
    let rules = rules.replace("[[rules]]", "[[alert.rules]]");
    let text = format!(
        "# Written by `tapeline demo`: commands started in this folder need no --topic and --store.\n\
         [topic]\nurl = \"sqlite:topic.db\"\n\n[store]\nurl = \"sqlite:market.db\"\n\n[alert]\nfile = \"alerts.db\"\neditable = true\n{rules}"
    );
    std::fs::write(&path, text).map_err(io("write", &path))
}

/// The configuration of a demo in a folder, with its alert rules.
pub(super) fn config(dir: &Path, rules: &str, source: &str) -> Result<Config> {
    let sqlite = |name: &str| format!("sqlite:{}", dir.join(name).display());
    let flags = [
        ("source.url", Some(source.to_owned())),
        ("topic.url", Some(sqlite("topic.db"))),
        ("store.url", Some(sqlite("market.db"))),
        ("alert.file", Some(dir.join("alerts.db").display().to_string())),
    ];
    let mut config = config::load(None, std::iter::empty(), &flags)?;
    config.alert.rules = toml::from_str::<Rules>(rules)
        .map_err(|error| Error::internal(format!("the demo's alert rules: {error}")))?
        .rules;
    config.alert.editable = true;
    Ok(config)
}

/// Removes the databases of an earlier demo.
pub(super) fn remove_old(dir: &Path) -> Result<()> {
    for name in ["topic.db", "market.db", "alerts.db"] {
        for suffix in ["", "-wal", "-shm"] {
            let path = dir.join(format!("{name}{suffix}"));
            if path.exists() {
                std::fs::remove_file(&path).map_err(io("remove", &path))?;
            }
        }
    }
    Ok(())
}
