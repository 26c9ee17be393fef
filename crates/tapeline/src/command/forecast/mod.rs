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
pub(crate) use run::{Forecasting, json, print};

use crate::context::Context;
use forecast::{ForecastError, Series, split};
use market::UnixNanos;
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

/// Warns of jumps that look like splits: the models would learn from them as if the market had moved.
fn warn_of_splits(symbol: &str, series: &Series) {
    let found = split::suspected(series);
    let Some(last) = found.last() else { return };
    let day = UnixNanos(last.start_ns).local("%Y-%m-%d", "UTC");
    let others =
        if found.len() > 1 { format!(", and {} more before", found.len() - 1) } else { String::new() };
    eprintln!("warning: {symbol}: the price jumps as in a split of {} on {day}{others}", shares(last.ratio));
    eprintln!("hint: adjust the bars: --adjust all --factors DIR, or in the file");
}

/// New shares for old ones: `7:1`, `1:10`, `3:2`.
fn shares(ratio: f64) -> String {
    let written = |ratio: f64| {
        if ratio.fract() == 0.0 { (format!("{ratio}"), "1") } else { (format!("{}", 2.0 * ratio), "2") }
    };
    if ratio >= 1.0 {
        let (new, old) = written(ratio);
        format!("{new}:{old}")
    } else {
        let (old, new) = written((2.0 / ratio).round() / 2.0);
        format!("{new}:{old}")
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

#[cfg(test)]
mod tests {
    use super::shares;

    #[test]
    fn splits_are_written_as_new_shares_for_old_ones() {
        let found = [7.0, 1.5, 0.1, 1.0 / 1.5, 0.5].map(shares);
        assert_eq!(found, ["7:1", "3:2", "1:10", "2:3", "1:2"]);
    }
}
