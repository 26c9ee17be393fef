//! Benchmark programs besides Tapeline itself: `bench ceiling …`, `bench latency …`, `bench aggregate …`,
//! `bench query …`, `bench alerts …`. Run by `cargo xtask bench`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool for people")]

mod aggregate;
mod alerts;
mod ceiling;
mod decode;
mod latency;
mod query;

use anyhow::{Result, bail};

/// The same allocator as in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["ceiling", source, store, passes] => ceiling::run(source, store, passes.parse()?),
        ["latency", source, topic, store, rate, seconds] => {
            latency::run(source, topic, store, rate.parse()?, seconds.parse()?)
        }
        ["alerts", tapeline, topic, rate, seconds, symbols] => {
            alerts::run(tapeline, topic, rate.parse()?, seconds.parse()?, symbols.parse()?)
        }
        ["aggregate", "memory", source, passes] => aggregate::memory(source, passes.parse()?),
        ["aggregate", "symbols", source, count, passes] => {
            aggregate::symbols(source, count.parse()?, passes.parse()?)
        }
        ["aggregate", "read", topic] => aggregate::read(topic, false),
        ["aggregate", "make", topic] => aggregate::read(topic, true),
        ["decode", "frames", vendor, source, messages] => decode::print(vendor, source, messages.parse()?),
        ["decode", vendor, source, messages, passes] => {
            decode::run(vendor, source, messages.parse()?, passes.parse()?)
        }
        ["query", small, large, symbols, days, reads] => {
            query::run(small, large, symbols.parse()?, days.parse()?, reads.parse()?)
        }
        _ => bail!(
            "bench alerts TAPELINE TOPIC RATE SECONDS SYMBOLS | bench aggregate memory SOURCE PASSES | symbols SOURCE COUNT PASSES | read TOPIC | make TOPIC | bench decode VENDOR SOURCE MESSAGES PASSES | bench latency SOURCE TOPIC STORE RATE SECONDS | bench ceiling SOURCE STORE PASSES | bench query SMALL_STORE LARGE_STORE SYMBOLS DAYS READS"
        ),
    }
}
