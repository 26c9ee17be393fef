//! What the benchmarks need beside the program itself: `bench ceiling …`, `bench latency …`. Run by `cargo xtask bench`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool for people")]

mod ceiling;
mod latency;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["ceiling", source, store, passes] => ceiling::run(source, store, passes.parse()?),
        ["latency", source, topic, store, rate, seconds] => {
            latency::run(source, topic, store, rate.parse()?, seconds.parse()?)
        }
        _ => bail!("bench latency SOURCE TOPIC STORE RATE SECONDS | bench ceiling SOURCE STORE PASSES"),
    }
}
