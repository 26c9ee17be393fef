//! `tapeline forecast`: trains models on bars, makes forecasts of a stream, and shows them with their scores.

mod fan;
mod history;
mod input;
mod list;
mod models;
pub(crate) mod options;
mod run;
mod score;
mod show;
mod train;

pub(crate) use fan::run as plot;
pub(crate) use run::{Forecasting, print};

use crate::context::Context;
use forecast::ForecastError;
use options::Forecast;
use ports::{Error, Result};
use std::process::ExitCode;

pub(crate) fn run(context: &Context, verb: &Forecast) -> Result<ExitCode> {
    match verb {
        Forecast::Train(options) => train::run(context, options),
        Forecast::Run(options) => run::run(context, options),
        Forecast::History(options) => history::run(context, options),
        Forecast::Score(options) => score::run(options),
        Forecast::Show(options) => show::run(context, options),
        Forecast::List(options) => list::run(options),
    }
}

/// Converts an input error, with the next command if there is one.
fn failed(symbol: &str, error: &ForecastError) -> Error {
    let hint = match error {
        ForecastError::TooShort { .. } => {
            "read a longer span (--from, --to), take a shorter --interval, or lower --first-fit"
        }
        ForecastError::Halted { .. } => "end the span before the halt: --to TIME",
        ForecastError::NotFinite { .. }
        | ForecastError::OutOfDomain { .. }
        | ForecastError::Inconsistent { .. }
        | ForecastError::NotAscending { .. } => "correct the bar, or leave it out with --from and --to",
        ForecastError::File(_) => "train again: tapeline forecast train",
        _ => return Error::user(format!("{symbol}: {error}")),
    };
    Error::user(format!("{symbol}: {error}")).hint(hint)
}
