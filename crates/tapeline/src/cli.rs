//! Arguments and exit codes. The only module that knows argv.
#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "the comments are help texts, where brackets mean optional"
)]

pub(crate) mod about;
mod alert;
mod archive;
mod common;
mod format;
pub(crate) mod ignored;
mod json;
mod reading;
mod report;
mod verb;
mod version;

pub(crate) use alert::*;
pub(crate) use archive::*;
use clap::Parser;
pub(crate) use common::Common;
pub(crate) use format::{Format, Shape};
use ports::Error;
use ports::error::Domain;
pub(crate) use reading::*;
pub(crate) use report::Reported;
use std::process::ExitCode;
pub(crate) use verb::*;

/// Exit code: invalid arguments or settings, as in clap.
const USAGE: u8 = 2;
/// Exit code: the sides that `verify` compared differ.
pub(crate) const DIFFERS: u8 = 3;
/// Exit code: a server was unreachable for longer than `--wait`.
const AWAY: u8 = 4;
/// Exit code: messages were lost before they could be read.
const LOST: u8 = 5;
/// Exit code: Ctrl-C ended the verb before its work was done, as shells report it.
pub(crate) const INTERRUPTED: u8 = 130;
/// Exit code: a bug in Tapeline.
pub(crate) const INTERNAL: u8 = 70;

/// Records markets: real trades and quotes through Apache Kafka into Apache Cassandra, each exactly once,
/// with proof
#[derive(Debug, Parser)]
#[command(
    name = "tapeline",
    version,
    long_version = version::version(),
    propagate_version = true,
    max_term_width = 120,
    after_help = "Exit codes: 0 done; 1 failed, incomplete source or invalid settings; 2 invalid arguments; 3 verify found a difference; \
                  4 a server was unreachable for longer than --wait; \
                  5 messages were lost before they could be read; 70 a fault of tapeline itself; \
                  130 ended by Ctrl-C before it was done.\n\
                  Start with: tapeline demo"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Success, or the exit code for messages lost before they could be read.
pub(crate) fn loss_code(telemetry: &ports::telemetry::Telemetry) -> ExitCode {
    match telemetry.get(&telemetry.lost_ranges) {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(LOST),
    }
}

/// Exits like clap: with a message about arguments and exit code 2.
pub(crate) fn usage(message: &str) -> ! {
    use clap::CommandFactory;
    Cli::command().error(clap::error::ErrorKind::ArgumentConflict, message).exit()
}

/// Prints an error and returns its exit code.
pub(crate) fn failed(error: &Error) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::from(match error.domain {
        Domain::Usage => USAGE,
        Domain::User | Domain::Stopped => 1,
        Domain::External => AWAY,
        Domain::Internal => INTERNAL,
    })
}
