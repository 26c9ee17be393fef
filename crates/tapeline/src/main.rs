//! `tapeline`: records markets. Arguments and exit codes are in [`cli`]; each verb is a file of [`command`].
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is the program that talks to people")]

#[macro_use]
mod print;
mod cli;
mod command;
mod context;
mod export;
mod fault;
mod memory;
mod output;
mod plot;
mod progress;
mod time_input;

use cli::{Cli, Verb};
use ports::error::Domain;
use std::process::ExitCode;

fn main() -> ExitCode {
    fault::end_on_panic();
    print::outcome(run(&cli::ignored::parse()))
}

fn run(cli: &Cli) -> ExitCode {
    // These verbs need no configuration.
    match &cli.verb {
        Verb::Completions { shell } => return cli::about::completions(*shell),
        Verb::Man(options) => return cli::about::man(options).unwrap_or_else(|error| cli::failed(&error)),
        Verb::Schema(options) => {
            return command::schema::run(options).unwrap_or_else(|error| cli::failed(&error));
        }
        _ => {}
    }
    output::set_quiet(cli.common.quiet);
    if cli.verb.reports_json() {
        print::reserve_for_json();
    }
    // The settings may be wrong: no context can be made of them.
    if let Verb::Config(verb) = &cli.verb {
        return command::config::run(&cli.common, verb).unwrap_or_else(|error| cli::failed(&error));
    }
    let context = match context::Context::new(&cli.common) {
        Ok(context) => context,
        Err(error) => return cli::failed(&error),
    };
    let result = match &cli.verb {
        Verb::Init(_) => command::init::run(&context),
        Verb::Produce(options) => command::flow::produce(&context, options),
        Verb::Consume(options) => command::flow::consume(&context, options),
        Verb::Run(options) => command::flow::run(&context, options),
        Verb::Count(options) => command::count::run(&context, options),
        Verb::Symbols(options) => command::symbols::run(&context, options),
        Verb::Aggregate(options) => command::aggregate::run(&context, options),
        Verb::Query(options) => command::query::run(&context, options),
        Verb::Explain(options) => command::explain::run(&context, options),
        Verb::Plot(options) => command::plot::run(&context, options),
        Verb::Forecast(verb) => command::forecast::run(&context, verb),
        Verb::Import(options) => command::import::run(&context, options),
        Verb::Archive(options) => command::archive::run(&context, options),
        Verb::Restore(options) => command::restore::run(&context, options),
        Verb::Redshift(verb) => command::redshift::run(&context, verb),
        Verb::Verify(options) => command::verify::run(&context, options),
        Verb::Backfill(options) => command::backfill::run(&context, options),
        Verb::Alert(verb) => command::alert::run(&context, verb),
        Verb::Gaps(options) => command::gaps::run(&context, options),
        Verb::DeadLetters(verb) => command::dead_letters::run(&context, verb),
        Verb::Late(options) => command::messages::late(&context, options),
        Verb::Notices(options) => command::messages::notices(&context, options),
        Verb::Doctor(options) => command::doctor::run(&context, options),
        Verb::Status(options) => command::status::run(&context, options),
        Verb::Config(verb) => command::config::run(&cli.common, verb),
        Verb::Simulate(options) => command::simulate::run(&context, options),
        Verb::Serve(options) => command::serve::run(&context, options),
        Verb::Demo(options) => command::demo::run(&context, options),
        Verb::Completions { .. } | Verb::Man(_) | Verb::Schema(_) => Ok(ExitCode::SUCCESS),
    };
    let code = match result {
        // Nothing was lost: it had only begun to start.
        Err(error) if error.domain == Domain::Stopped && cli.verb.is_streaming() => {
            output::note("stopped while starting; start again to resume");
            ExitCode::SUCCESS
        }
        result => result.unwrap_or_else(|error| cli::failed(&error)),
    };
    // `tapeline run … && tapeline verify …` must not continue as if all were done.
    let is_cut = context.is_interrupted() && cli.verb.has_end(&context.config.source.url);
    if is_cut && [ExitCode::SUCCESS, ExitCode::FAILURE].contains(&code) {
        return ExitCode::from(cli::INTERRUPTED);
    }
    code
}
