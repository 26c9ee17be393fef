//! The dashboard in a real browser.

use crate::shell::{install, program, run};
use crate::test::environment;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where Debian's package puts the browser.
const CHROMIUM: &str = "/usr/bin/chromium";

/// Drives `tapeline demo --serve` in Chromium; screenshots are written to `target/dashboard`.
pub(crate) fn test() -> Result<()> {
    let (chromium, python) = (chromium()?, environment("python-browser")?);
    let program = program()?;
    run(Command::new(python)
        .arg("crates/server/tests/browser/dashboard.py")
        .arg("--tapeline")
        .arg(program)
        .arg("--chromium")
        .arg(chromium)
        .arg("--out")
        .arg("target/dashboard"))
}

/// The browser; installed from Debian if it is missing.
fn chromium() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("CHROMIUM") {
        return Ok(PathBuf::from(path));
    }
    if !Path::new(CHROMIUM).exists() {
        println!("Chromium: 124 MB to download, 414 MB on disk");
        install(&["chromium", "fonts-dejavu-core"])
            .context("no Chromium: install it, or name its program in the environment variable CHROMIUM")?;
    }
    Ok(PathBuf::from(CHROMIUM))
}
