//! Parses a URL such as `poll:yahoo?symbols=SPY,AAPL&interval=1m`.

use super::request::word;
use super::settings::PollSettings;
use crate::settings::{Polled, SourceSection};
use market::UnixNanos;
use market::codec::poll::PollVendor;
use market::interval::Interval;
use ports::options;
use ports::secret::Secret;
use ports::{Error, Result};
use std::time::Duration;

const EXAMPLE: &str =
    "--source 'poll:yahoo?symbols=SPY,AAPL&interval=1m' (or alpaca, massive, alphavantage, twelvedata)";

/// The settings described by a URL; `None` if it is not a polled source.
pub fn open(source: &SourceSection) -> Option<Result<PollSettings>> {
    source.url.strip_prefix("poll:").map(|rest| settings(source, rest))
}

/// A vendor's address and key requirements.
struct VendorEntry<'c> {
    vendor: PollVendor,
    name: &'static str,
    limits: &'c Polled,
    rest: &'c str,
    key: &'c Secret,
    secret: &'c Secret,
    /// The variable that holds the key; empty if none is needed.
    variable: &'static str,
}

impl<'c> VendorEntry<'c> {
    /// A vendor fully described by its section of the settings.
    fn own(
        vendor: PollVendor,
        name: &'static str,
        of: &'c Polled,
        none: &'c Secret,
        variable: &'static str,
    ) -> Self {
        Self { vendor, name, limits: of, rest: &of.rest, key: &of.key, secret: none, variable }
    }
}

fn settings(source: &SourceSection, rest: &str) -> Result<PollSettings> {
    let (name, options) = options::split(rest);
    let wrong = |what: String| Error::usage(what).hint(EXAMPLE);
    let poll = &source.poll;
    let none = Secret::default();
    let own = |vendor, name, of, variable| VendorEntry::own(vendor, name, of, &none, variable);
    let of = match name {
        // Two vendors also have streams: their addresses and keys are in those sections.
        "alpaca" => VendorEntry {
            rest: &source.alpaca.rest,
            key: &source.alpaca.key,
            secret: &source.alpaca.secret,
            ..own(PollVendor::Alpaca, "alpaca", &poll.alpaca, "APCA_API_KEY_ID")
        },
        "massive" => VendorEntry {
            rest: &source.massive.rest,
            key: &source.massive.key,
            ..own(PollVendor::Massive, "massive", &poll.massive, "MASSIVE_API_KEY")
        },
        "alphavantage" => {
            own(PollVendor::AlphaVantage, "alphavantage", &poll.alphavantage, "ALPHAVANTAGE_API_KEY")
        }
        "twelvedata" => own(PollVendor::TwelveData, "twelvedata", &poll.twelvedata, "TWELVEDATA_API_KEY"),
        "yahoo" => own(PollVendor::Yahoo, "yahoo", &poll.yahoo, ""),
        other => return Err(wrong(format!("unknown vendor `{other}`"))),
    };
    let name = of.name;
    if !of.variable.is_empty() && of.key.reveal().is_empty() {
        return Err(Error::user(format!("no key for {name}")).hint(format!("export {}=...", of.variable)));
    }
    let mut out = PollSettings {
        connect_within: source.connect_within,
        vendor: of.vendor,
        name,
        rest: of.rest.to_owned(),
        key: of.key.clone(),
        secret: of.secret.clone(),
        feed: format!("{name}.bars"),
        symbols: Vec::new(),
        interval: Interval::M1,
        every: Duration::ZERO,
        from: None,
        to: None,
        once: false,
        per_minute: of.limits.per_minute,
        per_day: of.limits.per_day,
    };
    options.each(|option| {
        let value = option.value.as_str();
        let bad = |expected: &str| option.error(expected).hint(EXAMPLE);
        let time = || UnixNanos::parse(value).map(Some).map_err(|error| bad(&error.to_string()));
        match option.name.as_str() {
            "symbols" => out.symbols = option.list(),
            "interval" => out.interval = value.parse().map_err(|error: String| bad(&error))?,
            "label" if !value.is_empty() => value.clone_into(&mut out.feed),
            "from" => out.from = time()?,
            "to" => out.to = time()?,
            "every" => {
                let seconds = value.trim_end_matches('s').parse().ok().filter(|s| *s > 0);
                out.every = Duration::from_secs(seconds.ok_or_else(|| bad("a number of seconds above 0"))?);
            }
            "once" => out.once = value.parse().map_err(|_| bad("true or false"))?,
            _ => {
                return Err(bad(
                    "unknown option; expected symbols, interval, from, to, every, once or label",
                ));
            }
        }
        Ok(())
    })?;
    if out.symbols.is_empty() {
        return Err(wrong("no symbols given".to_owned()));
    }
    if out.from.zip(out.to).is_some_and(|(from, to)| from >= to) {
        return Err(wrong("source options `from` and `to`: the span is empty".to_owned()));
    }
    if word(of.vendor, out.interval).is_none() {
        return Err(wrong(format!("{name} has no bars of {}: expected 1m, 5m, 15m, 1h or 1d", out.interval)));
    }
    if out.every.is_zero() {
        // A bar is requested only when it can have changed.
        let nanos = out.interval.nanos().unwrap_or(i64::MAX);
        out.every = Duration::from_nanos(nanos.unsigned_abs()).min(Duration::from_secs(3_600));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_say_what_to_poll_or_what_is_wrong() {
        let read = |url: &str, key: &str| {
            open(&crate::settings::with(&[("url", url), ("poll.alphavantage.key", key)])).unwrap()
        };
        let settings =
            read("poll:alphavantage?symbols=SPY,IBM&interval=5m&once=true&from=2013-10-08", "k").unwrap();
        assert_eq!(settings.symbols, ["SPY", "IBM"]);
        assert_eq!((settings.per_minute, settings.per_day), (1, 25));
        assert_eq!(settings.every, Duration::from_secs(300));
        assert!(settings.once && settings.from.is_some() && settings.feed == "alphavantage.bars");
        for (url, part) in [
            ("poll:alphavantage?symbols=SPY", "no key for alphavantage"),
            ("poll:yahoo", "no symbols"),
            ("poll:nobody?symbols=SPY", "unknown vendor"),
            ("poll:yahoo?symbols=SPY&interval=1s", "no bars of 1s"),
            ("poll:yahoo?symbols=SPY&every=0", "above 0"),
            ("poll:yahoo?symbols=SPY&speed=1", "unknown"),
            ("poll:yahoo?symbols=SPY&from=2013-10-09&to=2013-10-08", "the span is empty"),
        ] {
            let error = read(url, "").unwrap_err().to_string();
            assert!(error.contains(part), "{url}: {error}");
        }
    }
}
