//! `cargo xtask chaos` and `soak`: faults against real Kafka and Cassandra under load, in an order that a seed decides.
//!
//! A round plays a tape into fresh topics and a fresh keyspace while its faults happen one after the other; then source,
//! topic and store are compared by `tapeline verify` and by independent clients, and bars with those of an undisturbed
//! run. A fault that destroys messages has a round of its own: what it destroys must be reported.

mod cut;
mod faults;
pub(crate) mod options;
mod plan;
mod program;
mod report;
mod round;

use crate::shell::{cargo, run as start};
use crate::stack;
use anyhow::{Context, Result, bail};
use options::Options;
use plan::Plan;
use program::Place;
use report::Report;
use round::{FEW, Ground};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

/// The tape in the repository: 654,140 trades of four symbols.
const TAPE: &str = "data/us-equities";
/// A program to test instead of building one.
const TAPELINE: &str = "TAPELINE";

/// Runs the faults and prints the table.
///
/// # Errors
/// Something was lost, doubled or hidden, or the servers do not start.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut plan = Plan::new(options.seed, &options.only);
    if plan.is_empty() {
        bail!("no fault has one of these words in its name: {}", options.only.join(", "));
    }
    requirements(&plan)?;
    let tapeline = program()?;
    let python = crate::test::python()?;
    stack::for_chaos(options.nodes)?.wipe()?;
    let stack = stack::for_chaos(options.nodes)?;
    stack.up()?;
    let logs = PathBuf::from("target/chaos");
    let _ = fs::remove_dir_all(&logs);
    fs::create_dir_all(&logs).context("create target/chaos")?;
    program::build_clock(&logs)?;
    let place = Place {
        tapeline,
        kafka: stack.kafka_address(),
        cassandra: stack.cassandra_address(),
        name: "chaos".to_owned(),
        symbols: options.symbols.clone(),
        tape: fs::canonicalize(TAPE).with_context(|| format!("find {TAPE}"))?,
        logs: fs::canonicalize(logs)?,
        replication: options.nodes,
        clock: None,
    };
    let mut report = Report::default();
    let ran = rounds(
        options,
        &mut plan,
        Ground { stack: &stack, python: &python, place, bars: BTreeMap::new() },
        &mut report,
    );
    report.print();
    // The servers of a failed run stay, to be looked at.
    ran.with_context(|| {
        "the servers are still up; their data: target/stack/chaos; logs: target/chaos".to_owned()
    })?;
    stack.wipe()?;
    if !report.holds() {
        bail!(
            "something was lost, doubled, hidden, or ended by itself; logs: target/chaos, seed {}",
            options.seed
        );
    }
    println!("nothing was lost, doubled or hidden");
    Ok(())
}

/// What the planned faults need, before anything is built or started.
fn requirements(plan: &Plan) -> Result<()> {
    if plan.has("cut off") && Command::new("nft").arg("--version").output().is_err() {
        bail!("the fault `cut off` needs nftables: apt-get install nftables, or leave it out with --only");
    }
    Ok(())
}

fn rounds(options: &Options, plan: &mut Plan, mut ground: Ground<'_>, report: &mut Report) -> Result<()> {
    let start = Instant::now();
    // Bars of the tape without faults, by the same program.
    let place = Place { name: "chaos_calm".to_owned(), ..ground.place.clone() };
    for words in [vec!["init"], vec!["run", "--source", &place.source("max")]] {
        place.must(&words)?;
    }
    for symbols in [options.symbols.as_str(), FEW] {
        let place = Place { symbols: symbols.to_owned(), ..place.clone() };
        let calm = ground.bars_of(&place)?;
        ground.bars.insert(place.symbols, calm);
    }
    faults::admin(&ground.python.to_path_buf(), &place, &["drop"])?;
    for number in 0.. {
        let left = options.faults.saturating_sub(report.faults());
        if left == 0 || options.limit.is_some_and(|limit| start.elapsed() >= limit) {
            break;
        }
        let round = plan.next(left);
        let names: Vec<String> = round.iter().map(|step| step.fault.name()).collect();
        println!("round {number} ({:.0} s): {}", start.elapsed().as_secs_f64(), names.join(", "));
        let outcome = ground.play(number, &round)?;
        report.add(number, outcome);
    }
    Ok(())
}

/// The program under test: `$TAPELINE`, or a release build.
fn program() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(TAPELINE) {
        return fs::canonicalize(&path).with_context(|| format!("{TAPELINE}={}", path.display()));
    }
    start(&mut cargo(&["build", "--release", "-p", "tapeline"]))?;
    fs::canonicalize("target/release/tapeline").context("find the program")
}
