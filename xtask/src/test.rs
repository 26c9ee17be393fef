//! Tests, benchmarks and the proof, with the servers they need.

use crate::requirements;
use crate::shell::{cargo, output, run};
use crate::stack::{self, Stack};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs the tests of a kind of records that is one file: by themselves, because its feature would add it to all others.
/// On Cassandra only if they are named: that is one more large program to build.
fn example_kind(cassandra: &str, is_named: bool) -> Result<()> {
    let options =
        ["test", "--profile", "ci", "--workspace", "--features", "tapeline/example-kind", "--no-fail-fast"];
    let own = ["--test", "example_kind", "--test", "kinds"];
    let contract = ["--test", "contract", "--", "--include-ignored", "example_kind::"];
    run(&mut cargo(&[&options[..], &own].concat()))?;
    if !is_named {
        return Ok(());
    }
    run(cargo(&[&options[..], &contract].concat()).env("TAPELINE_TEST_CASSANDRA", cassandra))
}

/// Tests that need no server.
pub(crate) fn unit() -> Result<()> {
    requirements::provide(&requirements::BUILD)?;
    run(&mut cargo(&["test", "--workspace"]))
}

/// Runs every test, or those with one of these words in their name. Optimised, but without options that only
/// make linking slower.
pub(crate) fn all(words: &[&str]) -> Result<()> {
    requirements::provide(&requirements::TESTS)?;
    let (python, coinbase) = (python()?, environment("python-coinbase")?);
    let client = environment("python-client")?;
    // Two days of tape are not in the repository: one test reads them where they are.
    let tape = crate::shell::root().join("../shared/data/us-equities");
    let skip: &[&str] = if tape.is_dir() { &[] } else { &["--skip", "two_days_of_trades"] };
    if !skip.is_empty() {
        println!("no {}: the alert oracle runs on one day instead of two", tape.display());
    }
    let tests = |stack: &Stack, guarded: &Stack, kafka_pid: &str| {
        let options = ["test", "--profile", "ci", "--workspace", "--no-fail-fast", "--", "--include-ignored"];
        let all = run(cargo(&[&options, words, skip].concat())
            .env("TAPELINE_TEST_KAFKA", stack.kafka_address())
            .env("TAPELINE_TEST_KAFKA_PID", kafka_pid)
            .env("TAPELINE_TEST_CASSANDRA", stack.cassandra_address())
            .env("TAPELINE_TEST_GUARDED_KAFKA", guarded.kafka_address())
            .env("TAPELINE_TEST_GUARDED_CASSANDRA", guarded.cassandra_address())
            .env("TAPELINE_TEST_CERTIFICATES", guarded.certificate_folder())
            .env("TAPELINE_TAPE", &tape)
            .env("TAPELINE_TEST_PYTHON", &python)
            .env("TAPELINE_TEST_PYTHON_COINBASE", &coinbase)
            .env("TAPELINE_TEST_PYTHON_CLIENT", &client));
        if words.is_empty() || words.contains(&"example_kind") {
            all.and(example_kind(&stack.cassandra_address(), !words.is_empty()))
        } else {
            all
        }
    };
    with_stack(|stack| with(stack::guarded, |guarded| tests(stack, guarded, &stack.pid("kafka")?)))
}

/// Kills `alert run` at random moments and reports what arrived at real servers.
pub(crate) fn alert_kills(kills: &str) -> Result<()> {
    let count: u64 = kills.parse().with_context(|| format!("expected a number of kills, found `{kills}`"))?;
    anyhow::ensure!((1..=10_000).contains(&count), "expected 1 to 10,000 kills, found {count}");
    let python = python()?;
    let test = "kills_lose_no_alert_message";
    let options =
        ["test", "--profile", "ci", "--workspace", "--test", "cli", "--", test, "--include-ignored"];
    run(cargo(&[&options[..], &["--nocapture"]].concat())
        .env("TAPELINE_TEST_KILLS", kills)
        .env("TAPELINE_TEST_PYTHON", &python))
}

pub(crate) fn with_stack<T>(f: impl FnOnce(&Stack) -> Result<T>) -> Result<T> {
    with(|| stack::for_tests(1), f)
}

/// Starts fresh servers, and stops them whatever happens.
pub(crate) fn with<T>(make: fn() -> Result<Stack>, f: impl FnOnce(&Stack) -> Result<T>) -> Result<T> {
    make()?.wipe()?;
    let stack = make()?;
    // If one does not come up, those before it run.
    let result = stack.up().and_then(|()| f(&stack));
    stack.down()?;
    result
}

/// A Python with the clients that the tests use, at the versions in `xtask/python.txt`.
pub(crate) fn python() -> Result<PathBuf> {
    environment("python")
}

/// One of the Pythons: the clients' requirements conflict.
pub(crate) fn environment(name: &str) -> Result<PathBuf> {
    let dir = fs::canonicalize(".")?.join("target").join(name);
    let (python, done) = (dir.join("bin/python"), dir.join(".complete"));
    let list = format!("xtask/{name}.txt");
    let wanted = fs::read_to_string(&list).with_context(|| format!("read {list}"))?;
    if fs::read_to_string(&done).is_ok_and(|have| have == wanted) {
        return Ok(python);
    }
    println!("installing Python clients for the tests into target/{name}");
    requirements::provide(&[requirements::VENV])?;
    output(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&dir))?;
    output(Command::new(&python).args(["-m", "pip", "install", "-q", "-r", &list]))?;
    fs::write(done, wanted)?;
    Ok(python)
}

/// Proves a whole tape folder on real servers: twice, and with kills.
pub(crate) fn prove(dir: &[&str]) -> Result<()> {
    let dir = dir.first().copied().unwrap_or("../shared/data/us-equities");
    anyhow::ensure!(Path::new(dir).is_dir(), "no folder {dir}: cargo xtask prove DIR");
    let python = python()?;
    run(&mut cargo(&["build", "--release", "-p", "tapeline"]))?;
    with_stack(|stack| {
        run(Command::new(&python)
            .args(["bench/prove.py", dir])
            .env("BENCH_KAFKA_PID", stack.pid("kafka")?)
            .env("BENCH_CASSANDRA_PID", stack.pid("cassandra")?)
            .env("BENCH_KAFKA", stack.kafka_address())
            .env("BENCH_CASSANDRA", stack.cassandra_address()))
    })
}

/// Measures whether broker and pipeline fit a machine of 1 GiB. `--program FILE` instead of a release build; the other
/// options are those of `bench/budget.py`.
pub(crate) fn budget(options: &[&str]) -> Result<()> {
    let python = python()?;
    let (program, rest) = match options {
        ["--program", program, rest @ ..] => (PathBuf::from(program), rest),
        rest => {
            run(&mut cargo(&["build", "--release", "-p", "tapeline"]))?;
            (fs::canonicalize(".")?.join("target/release/tapeline"), rest)
        }
    };
    let tape = match std::env::var("BENCH_TAPE") {
        Ok(tape) => PathBuf::from(tape),
        Err(_) => fs::canonicalize("data/us-equities")?,
    };
    with(stack::for_budget, |stack| {
        run(Command::new(&python)
            .arg("bench/budget.py")
            .args([&program, &tape])
            .args(rest)
            .env("BENCH_JAVA", crate::jdk::java()?)
            .env("BENCH_KAFKA_JARS", stack::jars("kafka")?)
            .env("BENCH_CASSANDRA", stack.cassandra_address()))
    })
}
