//! `tapeline forecast`: trains models on bars, makes forecasts of a stream, and shows them with their scores.

mod baseline;
mod fan;
mod history;
mod input;
mod input_error;
mod list;
mod models;
pub(crate) mod options;
mod run;
mod score;
mod show;
mod train;

pub(crate) use fan::run as plot;
pub(crate) use run::{Forecasting, json, print};

use crate::context::Context;
use options::Forecast;
use ports::Result;
use std::process::ExitCode;

pub(crate) fn run(context: &Context, verb: &Forecast) -> Result<ExitCode> {
    match verb {
        Forecast::Baseline(options) => baseline::run(context, options),
        Forecast::Train(options) => train::run(context, options),
        Forecast::Run(options) => run::run(context, options),
        Forecast::History(options) => history::run(context, options),
        Forecast::Score(options) => score::run(options),
        Forecast::Show(options) => show::run(context, options),
        Forecast::List(options) => list::run(options),
    }
}
