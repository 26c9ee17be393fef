//! Intervals as other programs write them. Also compiled into the fuzz targets, so it depends on `market` alone.

use market::interval::{Interval, SECOND};

/// TradingView's name of an interval: `1S`, `90S`, `5`, `60`, `1D`.
pub(crate) fn resolution(interval: &Interval) -> String {
    match interval.nanos() {
        None => "1D".to_owned(),
        Some(nanos) if nanos % (60 * SECOND) != 0 => format!("{}S", nanos / SECOND),
        Some(nanos) => (nanos / (60 * SECOND)).to_string(),
    }
}

/// The interval that TradingView calls `text`.
pub(crate) fn of_resolution(text: &str) -> Result<Interval, String> {
    let written = match text.trim_end_matches(|character: char| character.is_ascii_alphabetic()) {
        "" if text == "D" => "1d".to_owned(),
        digits if text.ends_with('S') => format!("{digits}s"),
        digits if text.ends_with('D') => format!("{digits}d"),
        digits => {
            let minutes: u32 = digits.parse().unwrap_or(0);
            if minutes > 60 && minutes.is_multiple_of(60) {
                format!("{}h", minutes / 60)
            } else {
                format!("{minutes}m")
            }
        }
    };
    written.parse::<Interval>().map_err(|error| format!("resolution: {error}"))
}

/// The interval that Alpaca calls `text`: `5Min`, `1Hour`, `1Day`, and their short forms.
pub(crate) fn of_timeframe(text: &str) -> Result<Interval, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let unit = match &text[digits..] {
        "Min" | "T" => "m",
        "Hour" | "H" => "h",
        "Day" | "D" => "d",
        other => return Err(format!("timeframe: expected Min, Hour or Day, found `{other}`")),
    };
    format!("{}{unit}", &text[..digits]).parse::<Interval>().map_err(|error| format!("timeframe: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeframes_are_intervals() {
        for (text, interval) in
            [("1Min", "1m"), ("15T", "15m"), ("1Hour", "1h"), ("1Day", "1d"), ("1D", "1d")]
        {
            assert_eq!(of_timeframe(text).unwrap().to_string(), interval);
        }
        for bad in ["", "Min", "1Week", "7Min", "0Min", "1Minute"] {
            assert!(of_timeframe(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn resolutions_are_intervals() {
        for (text, shown) in [
            ("1S", "1s"),
            ("90S", "90s"),
            ("1", "1m"),
            ("15", "15m"),
            ("60", "1h"),
            ("240", "4h"),
            ("D", "1d"),
        ] {
            let read = of_resolution(text).unwrap();
            assert_eq!(read.to_string(), shown);
            assert_eq!(of_resolution(&resolution(&read)).unwrap(), read);
        }
        for bad in ["", "x", "0", "7", "W"] {
            assert!(of_resolution(bad).is_err(), "{bad}");
        }
    }
}
