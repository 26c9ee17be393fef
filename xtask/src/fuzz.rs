//! Coverage-guided fuzzing of the decoders with libFuzzer. Stable Rust provides the counters; only `fuzz/` is
//! built with them.

use crate::shell::{cargo, run};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;
use std::process::Command;

/// All decoders: `fuzz/src/main.rs` uses these names, and `fuzz/seeds` has valid input for each.
const DECODERS: [&str; 14] = [
    "alpaca",
    "massive",
    "finnhub",
    "coinbase",
    "kraken",
    "binance",
    "json",
    "lean",
    "bars",
    "poll",
    "lines",
    "sparkplug",
    "avro",
    "parameters",
];

/// LLVM's edge counters and comparisons, which libFuzzer uses.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";

/// `[--seconds N] [DECODER …]`: duration for each; a finding is written to `target/fuzz/DECODER-…` and ends
/// the run.
pub(crate) fn fuzz(words: &[&str]) -> Result<()> {
    let (seconds, names) = match words {
        ["--seconds", seconds, names @ ..] => (seconds.parse::<u64>().context("--seconds")?, names),
        names => (600, names),
    };
    if let Some(unknown) = names.iter().find(|name| !DECODERS.contains(name)) {
        bail!("unknown decoder `{unknown}`; expected {}", DECODERS.join(", "));
    }
    // An explicit target restricts the counters to the fuzzed program: build scripts and macros are built
    // without them.
    let host = host()?;
    run(cargo(&["build", "--release", "--locked", "--manifest-path", "fuzz/Cargo.toml"])
        .args(["--target", &host, "--target-dir", "target/fuzz/build"])
        .env("RUSTFLAGS", COVERAGE))?;
    let program = Path::new("target/fuzz/build").join(host).join("release/fuzz");
    for name in if names.is_empty() { &DECODERS[..] } else { names } {
        let corpus = format!("target/fuzz/corpus/{name}");
        fs::create_dir_all(&corpus)?;
        run(Command::new(&program)
            .args([&corpus, &format!("fuzz/seeds/{name}")])
            .args([format!("-max_total_time={seconds}"), format!("-artifact_prefix=target/fuzz/{name}-")])
            .args(["-max_len=4096", "-timeout=10", "-print_final_stats=1", "-verbosity=0"])
            .env("TAPELINE_FUZZ", name))
        .with_context(|| format!("a finding in `{name}`: its bytes are in target/fuzz; make it a test"))?;
    }
    Ok(())
}

/// The target triple of this machine.
pub(crate) fn host() -> Result<String> {
    let version = crate::shell::output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV prints no host")?.to_owned())
}
