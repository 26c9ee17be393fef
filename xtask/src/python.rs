//! The wheel of python/, which carries the program.

use crate::shell::{output, run};
use crate::test::environment;
use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Builds the wheel into `target/wheels`, installs it into an environment of its own, and runs a command through it.
/// `options` are maturin's, such as `--profile ci`.
pub(crate) fn wheel(options: &[&str]) -> Result<()> {
    let python = environment("python-client")?;
    let out = fs::canonicalize(".")?.join("target/wheels");
    if out.exists() {
        // Only one wheel: which of several would be the one that was built?
        fs::remove_dir_all(&out).context("remove the wheels of an earlier build")?;
    }
    let profile: &[&str] = if options.contains(&"--profile") { &[] } else { &["--release"] };
    run(Command::new(&python)
        .args(["-m", "maturin", "build", "--locked", "--out"])
        .arg(&out)
        .args(profile)
        .args(options)
        .env("PATH", path(&python)?)
        .current_dir("python"))?;
    let wheel = fs::read_dir(&out)?.flatten().next().context("maturin left no wheel")?.path();
    let installed = out.with_file_name("wheel-check");
    output(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&installed))?;
    output(Command::new(installed.join("bin/pip")).args(["install", "-q"]).arg(&wheel))?;
    // The program of the wheel, not one that is installed elsewhere.
    let check = "import subprocess, sys, tapeline; program = tapeline.program(); assert str(program).startswith(sys.prefix), program; \
                 print(subprocess.run([program, '--version'], check=True, capture_output=True, text=True).stdout)";
    let version =
        output(Command::new(installed.join("bin/python")).args(["-c", check]).env_remove("TAPELINE_BIN"))?;
    let megabytes = fs::metadata(&wheel)?.len() as f64 / 1e6;
    println!("{} ({megabytes:.1} MB): {}", wheel.display(), version.trim());
    Ok(())
}

/// `PATH` with the environment's programs first.
fn path(python: &std::path::Path) -> Result<std::ffi::OsString> {
    let own = python.parent().map(PathBuf::from).into_iter();
    let rest = std::env::var_os("PATH").unwrap_or_default();
    Ok(std::env::join_paths(own.chain(std::env::split_paths(&rest)))?)
}
