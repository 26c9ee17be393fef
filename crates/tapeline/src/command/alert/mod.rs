//! `tapeline alert`: rules evaluated on the stream, and the messages they send.

mod ack;
mod history;
mod list;
mod replay;
mod run;
mod setup;
mod silence;
mod test;

pub(crate) use run::{Evaluation, Outcome};
pub(crate) use setup::{check, log, served};

use crate::cli::AlertVerb;
use crate::context::Context;
use ports::Result;
use std::process::ExitCode;

pub(crate) fn run(context: &Context, verb: &AlertVerb) -> Result<ExitCode> {
    match verb {
        AlertVerb::Run(options) => run::run(context, options),
        AlertVerb::List(options) => list::run(context, options),
        AlertVerb::Test(options) => test::run(context, options),
        AlertVerb::Replay(options) => replay::run(context, options),
        AlertVerb::History(options) => history::run(context, options),
        AlertVerb::Ack(options) => ack::run(context, options),
        AlertVerb::Silence(options) => silence::run(context, options),
    }
}
