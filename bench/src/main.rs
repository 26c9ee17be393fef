//! What the benchmarks need beside the program itself: `bench ceiling …`. Run by `cargo xtask bench`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool for people")]

mod ceiling;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["ceiling", source, store, passes] => ceiling::run(source, store, passes.parse()?),
        _ => bail!("bench ceiling SOURCE STORE PASSES"),
    }
}
