//! The dashboard in a real browser.

use crate::shell::{cargo, run};
use crate::test::environment;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where Debian's package puts the browser.
const CHROMIUM: &str = "/usr/bin/chromium";

/// Drives `tapeline demo --serve` in Chromium; screenshots are written to `target/dashboard`.
pub(crate) fn test() -> Result<()> {
    let (chromium, python) = (chromium()?, environment("python-browser")?);
    run(&mut cargo(&["build", "--profile", "ci", "-p", "tapeline"]))?;
    let program = target().join("ci/tapeline");
    run(Command::new(python)
        .arg("crates/server/tests/browser/dashboard.py")
        .arg("--tapeline")
        .arg(program)
        .arg("--chromium")
        .arg(chromium)
        .arg("--out")
        .arg("target/dashboard"))
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from)
}

/// The browser; installed from Debian if it is missing.
fn chromium() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("CHROMIUM") {
        return Ok(PathBuf::from(path));
    }
    if !Path::new(CHROMIUM).exists() {
        println!(
            "installing chromium and fonts-dejavu-core with apt-get: 124 MB to download, 414 MB on disk"
        );
        let missing = "no Chromium: install it, or set the environment variable CHROMIUM to its path";
        run(Command::new("apt-get").args(["update", "-qq"])).context(missing)?;
        let packages = ["install", "-y", "-qq", "--no-install-recommends", "chromium", "fonts-dejavu-core"];
        run(Command::new("apt-get").args(packages).env("DEBIAN_FRONTEND", "noninteractive"))
            .context(missing)?;
    }
    Ok(PathBuf::from(CHROMIUM))
}
