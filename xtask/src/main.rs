//! Chores of the project: `cargo xtask <verb>`. Needs only cargo; what else it needs it fetches or names.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool for people")]

mod checks;
mod dashboard;
mod deploy;
mod dist;
mod fuzz;
mod shell;
mod stack;
mod test;
mod tidy;
mod words;

use anyhow::{Result, bail};
use std::process::ExitCode;

const HELP: &str = "cargo xtask
  test [WORD …]              every test, or those with a word in their name, real servers included (fetched, started
                             and stopped)
  test unit                  only what needs no server
  test dashboard             only the dashboard, in Chromium (installed if it is missing)
  ci                         fmt, clippy, docs, deny, every test, the demo: what CI runs
  bench [ARM …]              the benchmarks against peers and ceiling (store, topic, latency, embedded, memory)
  prove [DIR]                every trade and quote of a tape folder through real servers, with kills; see docs/guarantee.md
  fuzz [--seconds N] [DECODER …]  every decoder, ten minutes each by default (libFuzzer; needs a C++ compiler)
  dist [--dev] [TARGET …]    release archives, a .deb, checksums and SBOM in target/dist (--dev: of debug builds)
  deploy-render              put deploy/aws/user-data.sh into the CloudFormation templates
  deploy-test [CHECK …]      check deploy/ with official tools and emulators of AWS (installs about 900 MB; run dist first)
  stack up [--nodes 3] [--secure]   real Kafka and Cassandra on this machine; --secure: with TLS, passwords, access lists
  stack down|status|wipe [--secure] stop them; show them; stop them and delete their data";

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
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["test", "unit"] => test::unit(),
        ["test", "dashboard"] => dashboard::test(),
        ["test", ref words @ ..] => test::all(words),
        ["ci"] => checks::ci(),
        ["tidy"] => tidy::check(),
        ["bench", ref arms @ ..] => test::bench(arms),
        ["fuzz", ref words @ ..] => fuzz::fuzz(words),
        ["prove", ref dir @ ..] => test::prove(dir),
        ["dist", ref targets @ ..] => dist::dist(targets),
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
