//! The dashboard in a real browser.

use crate::shell::{install, program, run};
use crate::test::environment;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where Debian's package puts the browser.
const CHROMIUM: &str = "/usr/bin/chromium";

/// The scripts that drive a browser: the market's views, and that of readings.
const SCRIPTS: [&str; 2] = ["dashboard.py", "readings.py"];

/// Drives `tapeline demo --serve`, and `--iot`, in Chromium; screenshots are written to `target/dashboard`.
pub(crate) fn test() -> Result<()> {
    let (chromium, python) = (chromium()?, environment("python-browser")?);
    let program = program()?;
    for script in SCRIPTS {
        run(Command::new(&python)
            .arg(Path::new("crates/server/tests/browser").join(script))
            .arg("--tapeline")
            .arg(&program)
            .arg("--chromium")
            .arg(&chromium)
            .arg("--out")
            .arg("target/dashboard"))?;
    }
    Ok(())
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
