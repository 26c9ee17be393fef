//! The dashboard in a real browser.

use crate::requirements;
use crate::shell::{program, run};
use crate::test::environment;
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where Debian's package puts the browser.
const CHROMIUM: &str = "/usr/bin/chromium";

/// The scripts that drive a browser: the market's views, a restarted server, the view of readings, and the pages of `plot`.
const SCRIPTS: [&str; 4] = [
    "crates/server/tests/browser/dashboard.py",
    "crates/server/tests/browser/restart.py",
    "crates/server/tests/browser/readings.py",
    "crates/tapeline/tests/browser/plots.py",
];

/// Drives `tapeline demo --serve`, `--iot`, `tapeline serve` and pages of plots in Chromium; screenshots are written to `target/dashboard`.
pub(crate) fn test() -> Result<()> {
    requirements::provide(&requirements::DASHBOARD)?;
    let python = environment("python-browser")?;
    let chromium = std::env::var_os("CHROMIUM").map_or_else(|| PathBuf::from(CHROMIUM), PathBuf::from);
    let program = program()?;
    for script in SCRIPTS {
        run(Command::new(&python)
            .arg(Path::new(script))
            .arg("--tapeline")
            .arg(&program)
            .arg("--chromium")
            .arg(&chromium)
            .arg("--out")
            .arg("target/dashboard"))?;
    }
    Ok(())
}
