//! The wheel of python/, which carries the program.

use crate::requirements;
use crate::shell::{output, run};
use crate::test::environment;
use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Records a symbol of a tape with the program of the wheel, not one that is installed elsewhere, and reads its bars.
const CHECK: &str = "
import subprocess, sys, tapeline
program = tapeline.program()
assert str(program).startswith(sys.prefix), program
market = tapeline.Client(topic='sqlite:check-topic.db', store='sqlite:check.db')
command = [program, 'run', '--quiet', '--symbols', 'AIG', '--source', 'tape:' + sys.argv[1], '--topic', market.topic, '--store', market.store]
subprocess.run(command, check=True)
bars = market.bars('AIG', '1m', '2013-10-08T09:30', '2013-10-08T16:00', tz='America/New_York')
assert bars.num_rows == 390, bars.num_rows
version = subprocess.run([program, '--version'], check=True, capture_output=True, text=True).stdout
print(version.splitlines()[0], bars.num_rows, 'bars read')
";

/// Builds the wheel into `target/wheels`, installs it into an environment of its own, and reads a recorded day through it.
/// `options` are maturin's, such as `--profile ci`.
pub(crate) fn wheel(options: &[&str]) -> Result<()> {
    requirements::provide(&requirements::BUILD)?;
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
    let version = output(
        Command::new(installed.join("bin/python"))
            .args(["-c", CHECK])
            .arg(fs::canonicalize("data/us-equities")?)
            .env_remove("TAPELINE_BIN")
            .env_remove("PYTHONPATH")
            .current_dir(&installed),
    )?;
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
