//! CI checks, the fastest to fail first.

use crate::shell::{cargo, output, program, run};
use crate::{requirements, test, tidy};
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Pinned, because it is built from source.
const DENY: &str = "0.20.2";

pub(crate) fn ci() -> Result<()> {
    requirements::provide(&requirements::TESTS)?;
    tidy::check()?;
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    // The fuzz targets are outside the workspace: their lock file must follow the dependencies of `market`.
    output(&mut cargo(&[
        "metadata",
        "--locked",
        "--format-version",
        "1",
        "--manifest-path",
        "fuzz/Cargo.toml",
    ]))?;
    run(&mut cargo(&["clippy", "--profile", "ci", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    run(cargo(&["doc", "--profile", "ci", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))?;
    // The demo first: it builds what the tests use.
    run(Command::new(program()?).args(["demo", "--dir", "target/demo"]))?;
    // Building cargo-deny takes minutes, in which the tests mostly wait for servers.
    let dependencies = std::thread::spawn(dependencies);
    test::all(&[])?;
    dependencies.join().map_err(|_| anyhow::anyhow!("the check of dependencies panicked"))?
}

/// Bans, licences and sources of the dependencies.
fn dependencies() -> Result<()> {
    run(Command::new(deny()?).args(["check", "bans", "licenses", "sources"]))
}

/// cargo-deny in `target/tools`, built once.
fn deny() -> Result<PathBuf> {
    let program = Path::new("target/tools/bin/cargo-deny").to_owned();
    let have = output(Command::new(&program).arg("--version")).unwrap_or_default();
    if !have.contains(DENY) {
        let install = ["install", "cargo-deny", "--locked", "--version", DENY, "--root", "target/tools"];
        run(Command::new("nice").args(["-n", "19", "cargo"]).args(install))?;
    }
    Ok(program)
}
