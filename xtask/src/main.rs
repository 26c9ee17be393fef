//! Project tasks: `cargo xtask <verb>`. Needs only cargo; other requirements are downloaded or named.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool for people")]

mod bench;
mod chaos;
mod checks;
mod circles;
mod dashboard;
mod deploy;
mod dist;
mod fuzz;
mod jdk;
mod python;
mod registry;
mod requirements;
mod shell;
mod stack;
mod test;
mod tidy;
mod words;

use anyhow::{Result, bail};
use std::process::ExitCode;

const HELP: &str = "cargo xtask
  test [WORD …]              all tests, or those with a word in their name, including those on real servers (which are
                             downloaded, started and stopped)
  test unit                  only tests that need no server
  test dashboard             only the dashboard, in Chromium (installed if it is missing)
  ci                         everything that CI runs: fmt, clippy, docs, deny, all tests, the demo
  bench [NAME …]             benchmarks against peers and ceiling; names: see bench/README.md
  budget [--program FILE] [--minutes N] [--rate N] [--limit MIB]
                             broker, produce, consume and serve within one memory limit (needs root); see bench/budget.py
  prove [DIR]                proof on real servers: every trade and quote of a tape folder, with kills; see docs/guarantee.md
  chaos [--faults N] [--seed S] [--minutes M] [--nodes 3] [--symbols A,B] [--only WORD,…]
                             faults against real servers under load: kills, pauses, restarts, lost topics; see docs/guarantee.md
  registry                   records as Avro, with a real schema registry (142 MB) and Confluent's client
  alert-kills [N]            kill -9 of alert run at N random moments (50), with a real mail server, SNS and a webhook
  soak [--minutes N] [--seed S]  the same for a time: an hour by default
  fuzz [--seconds N] [DECODER …]  fuzz all decoders, ten minutes each by default (libFuzzer; needs a C++ compiler)
  dist [--dev] [TARGET …]    release archives, a .deb, checksums and SBOM in target/dist (--dev: debug builds)
  python [OPTION …]          the Python wheel, with the program in it, in target/wheels (options are maturin's)
  deploy-render              render deploy/aws/user-data.sh into the CloudFormation templates
  deploy-test [CHECK …]      check deploy/ with official tools and emulators of AWS (installs about 900 MB; run dist first)
  stack up [--nodes 3] [--secure]   real Kafka and Cassandra on this machine; --secure: with TLS, passwords, access lists
  stack down|status|wipe [--secure] stop the servers; show them; stop them and delete their data

Programs of the operating system that are missing are named, then installed with apt-get; --no-install refuses, with any task.";

/// Refuses to install anything.
const NO_INSTALL: &str = "--no-install";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    std::env::set_current_dir(shell::root())?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if words.contains(&NO_INSTALL) {
        words.retain(|word| *word != NO_INSTALL);
        requirements::refuse_to_install();
    }
    match words[..] {
        ["test", "unit"] => test::unit(),
        ["test", "dashboard"] => dashboard::test(),
        ["test", ref words @ ..] => test::all(words),
        ["ci"] => checks::ci(),
        ["chaos", ref options @ ..] => chaos::run(&chaos::options::Options::chaos(options)?),
        ["soak", ref options @ ..] => chaos::run(&chaos::options::Options::soak(options)?),
        ["alert-kills"] => test::alert_kills("50"),
        ["alert-kills", kills] => test::alert_kills(kills),
        ["registry"] => registry::test(),
        ["tidy"] => tidy::check(),
        ["bench", ref arms @ ..] => bench::bench(arms),
        ["fuzz", ref words @ ..] => fuzz::fuzz(words),
        ["budget", ref options @ ..] => test::budget(options),
        ["prove", ref dir @ ..] => test::prove(dir),
        ["dist", ref targets @ ..] => dist::dist(targets),
        ["python", ref options @ ..] => python::wheel(options),
        ["deploy-render"] => deploy::render(),
        ["deploy-test", ref words @ ..] => deploy::test(words),
        ["stack", verb, ref options @ ..] => stack(verb, options),
        [] | ["help" | "--help" | "-h"] => {
            println!("{HELP}");
            Ok(())
        }
        _ => bail!("unknown: {}\n{HELP}", words.join(" ")),
    }
}

fn stack(verb: &str, options: &[&str]) -> Result<()> {
    let is_secure = options.contains(&"--secure");
    let rest: Vec<&str> = options.iter().copied().filter(|option| *option != "--secure").collect();
    let nodes = match (verb, &rest[..]) {
        ("up", ["--nodes", n]) => n.parse()?,
        (_, []) => 1,
        _ => bail!("unknown options of `stack {verb}`: {}\n{HELP}", rest.join(" ")),
    };
    match verb {
        "up" if is_secure => stack::secure(nodes)?.up(),
        "up" => stack::local(nodes)?.up(),
        "down" => stack::existing(is_secure)?.down(),
        "status" => stack::existing(is_secure)?.status(),
        "wipe" => stack::existing(is_secure)?.wipe(),
        _ => bail!("unknown: stack {verb}\n{HELP}"),
    }
}
