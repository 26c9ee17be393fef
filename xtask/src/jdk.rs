//! The JDK.

use anyhow::{Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A JDK 17, which Cassandra 5.0 asks for.
pub(crate) fn java() -> Result<PathBuf> {
    let mut places: Vec<PathBuf> = Vec::new();
    places.extend(std::env::var_os("JAVA_HOME").map(|home| Path::new(&home).join("bin/java")));
    places.push("java".into());
    if let Ok(folder) = fs::read_dir("/usr/lib/jvm") {
        places.extend(folder.flatten().map(|home| home.path().join("bin/java")));
    }
    let mut seen = Vec::new();
    for place in places {
        let Ok(output) = Command::new(&place).arg("-version").output() else { continue };
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let version = text.split('"').nth(1).unwrap_or("?").to_owned();
        if version.split('.').next() == Some("17") {
            return Ok(place);
        }
        seen.push(format!("{} is {version}", place.display()));
    }
    bail!("no JDK 17 found ({})", if seen.is_empty() { "no java at all".to_owned() } else { seen.join(", ") })
}
