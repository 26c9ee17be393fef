//! Benchmarks, each on servers started for it.

use crate::requirements;
use crate::shell::{cargo, run};
use crate::stack::{self, Stack};
use crate::test;
use anyhow::{Result, bail};
use std::path::Path;
use std::process::Command;

/// Benchmarks on one node of each server.
const ON_ONE: [&str; 12] = [
    "topic",
    "store",
    "bars",
    "decode",
    "live",
    "latency",
    "embedded",
    "memory",
    "query",
    "readings",
    "outage",
    "consumers",
];
/// Those that are run on three nodes of each as well.
const ON_THREE: &str = "consumers";
/// The one on servers that accept TLS.
const ON_TLS: &str = "tls";

/// Runs the benchmarks with these names, or all.
pub(crate) fn bench(named: &[&str]) -> Result<()> {
    if let Some(unknown) = named.iter().find(|name| !ON_ONE.contains(name) && **name != ON_TLS) {
        bail!("unknown benchmark {unknown}; expected: {} {ON_TLS}", ON_ONE.join(" "));
    }
    let is_wanted = |name: &str| named.is_empty() || named.contains(&name);
    let python = test::python()?;
    run(&mut cargo(&["build", "--release", "-p", "tapeline", "-p", "bench"]))?;
    if is_wanted("readings") {
        requirements::provide(&[requirements::MOSQUITTO])?;
    }
    let on_one: Vec<&str> = ON_ONE.into_iter().filter(|name| is_wanted(name)).collect();
    if !on_one.is_empty() {
        test::with(stack::for_bench, |stack| measure(&python, stack, &on_one, 1))?;
    }
    if is_wanted(ON_THREE) {
        test::with(stack::for_bench_of_three, |stack| measure(&python, stack, &[ON_THREE], 3))?;
    }
    if is_wanted(ON_TLS) {
        test::with(stack::for_bench_of_tls, |stack| measure(&python, stack, &[ON_TLS], 1))?;
    }
    Ok(())
}

fn measure(python: &Path, stack: &Stack, names: &[&str], nodes: u8) -> Result<()> {
    let mut command = Command::new(python);
    command
        .arg("bench/run.py")
        .args(names)
        .env("BENCH_NODES", nodes.to_string())
        .env("BENCH_KAFKA", stack.kafka_address())
        .env("BENCH_CASSANDRA", stack.cassandra_address())
        .env("BENCH_KAFKA_PID", stack.pid("kafka")?)
        .env("BENCH_CASSANDRA_PID", stack.pid("cassandra")?)
        .env("BENCH_KAFKA_JARS", stack::jars("kafka")?)
        .env("BENCH_CERTIFICATES", stack.certificate_folder());
    if names.contains(&"store") && std::env::var("BENCH_PEERS").as_deref() != Ok("0") {
        command.env("BENCH_SPARK_JARS", stack::jars("spark")?);
    }
    run(&mut command)
}
