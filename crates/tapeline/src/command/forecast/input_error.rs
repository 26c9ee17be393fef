//! Errors of the input, in words for people.

use super::options::BarInput;
use forecast::{ForecastError, Series, split};
use market::UnixNanos;
use ports::{Error, Result};

/// Refuses bars with a jump that looks like a split: models would take it for a move of the market. A jump that is left
/// in adjusted bars, or that is allowed, is a warning.
pub(super) fn check_splits(symbol: &str, series: &Series, input: &BarInput) -> Result<()> {
    let Err(error) = split::check(series.bars()) else { return Ok(()) };
    if input.allow_jumps || input.is_adjusted() {
        eprintln!("warning: {symbol}: {}; it is taken for a move of the market", describe(&error));
        return Ok(());
    }
    Err(failed(symbol, &error))
}

/// An error of the input, in words for people.
fn describe(error: &ForecastError) -> String {
    let times = match error {
        ForecastError::Split { last, found } => {
            let day = UnixNanos(last.start_ns).local("%Y-%m-%d", "UTC");
            let others = if *found > 1 { format!(", and {} times before", found - 1) } else { String::new() };
            return format!("the price jumps as in a split of {} on {day}{others}", shares(last.ratio));
        }
        ForecastError::NotFinite { start_ns, .. }
        | ForecastError::OutOfDomain { start_ns, .. }
        | ForecastError::Inconsistent { start_ns, .. } => vec![*start_ns],
        ForecastError::NotAscending { start_ns, previous_ns, .. } => vec![*start_ns, *previous_ns],
        _ => Vec::new(),
    };
    times.into_iter().fold(error.to_string(), |text, ns| {
        text.replace(&format!("{ns} ns"), &UnixNanos(ns).local("%Y-%m-%d %H:%M", "UTC"))
    })
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
pub(super) fn failed(symbol: &str, error: &ForecastError) -> Error {
    let hint = match error {
        ForecastError::TooShort { .. } => {
            "read a longer span (--from, --to), take a shorter --interval, or choose another --first-fit"
        }
        ForecastError::Halted { .. } => "end the span before the halt: --to TIME",
        ForecastError::NotFinite { .. }
        | ForecastError::OutOfDomain { .. }
        | ForecastError::Inconsistent { .. }
        | ForecastError::NotAscending { .. } => "correct the bar, or leave it out with --from and --to",
        ForecastError::Split { .. } => {
            "adjust the bars: --adjust all --factors DIR; or accept the jump as a move of the market: --allow-jumps"
        }
        ForecastError::File(_) => "train again: tapeline forecast train",
        _ => return Error::user(format!("{symbol}: {error}")),
    };
    Error::user(format!("{symbol}: {}", describe(error))).hint(hint)
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
