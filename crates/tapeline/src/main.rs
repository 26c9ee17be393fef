//! `tapeline`: records markets. Arguments and exit codes are in [`cli`]; each verb is a file of [`command`].
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is the program that talks to people")]

mod cli;
mod command;
mod context;
mod output;
mod progress;

/// librdkafka allocates in one thread what it frees in another, several times a message: the system's allocator makes
/// that the largest cost of producing (docs/adr/0006).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use clap::Parser;
use cli::{Cli, Verb};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let context = match context::Context::new(&cli.common) {
        Ok(context) => context,
        Err(error) => return cli::failed(&error),
    };
    let result = match &cli.verb {
        Verb::Init => command::init::run(&context),
        Verb::Produce(options) => command::flow::produce(&context, options),
        Verb::Consume(options) => command::flow::consume(&context, options),
        Verb::Run(options) => command::flow::run(&context, options),
        Verb::Count(options) => command::count::run(&context, options),
        Verb::Query(options) => command::query::run(&context, options),
        Verb::Verify => command::verify::run(&context),
        Verb::Demo(options) => command::demo::run(&context, options),
    };
    result.unwrap_or_else(|error| cli::failed(&error))
}
