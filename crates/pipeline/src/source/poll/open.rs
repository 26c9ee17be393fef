//! What a URL says: `poll:yahoo?symbols=SPY,AAPL&interval=1m`.

use super::Settings;
use super::request::word;
use crate::config::{Config, Polled, Secret};
use crate::{Error, Result};
use market::UnixNanos;
use market::codec::poll::Vendor;
use market::interval::Interval;
use std::time::Duration;

const EXAMPLE: &str =
    "--source 'poll:yahoo?symbols=SPY,AAPL&interval=1m' (or alpaca, massive, alphavantage, twelvedata)";

/// The settings that a URL stands for; nothing if it is of no polled source.
pub fn open(config: &Config) -> Option<Result<Settings>> {
    config.source.url.strip_prefix("poll:").map(|rest| settings(config, rest))
}

fn settings(config: &Config, rest: &str) -> Result<Settings> {
    let (name, options) = rest.split_once('?').unwrap_or((rest, ""));
    let wrong = |what: String| Error::user(what).hint(EXAMPLE);
    let (source, poll) = (&config.source, &config.source.poll);
    let none = Secret::default;
    // Two of them have streams as well: their addresses and keys are there.
    let known: (Vendor, &'static str, &Polled, &str, Secret, Secret, &str) = match name {
        "alpaca" => (
            Vendor::Alpaca,
            "alpaca",
            &poll.alpaca,
            &source.alpaca.rest,
            source.alpaca.key.clone(),
            source.alpaca.secret.clone(),
            "APCA_API_KEY_ID",
        ),
        "massive" => (
            Vendor::Massive,
            "massive",
            &poll.massive,
            &source.massive.rest,
            source.massive.key.clone(),
            none(),
            "MASSIVE_API_KEY",
        ),
        "alphavantage" => {
            let of = &poll.alphavantage;
            (
                Vendor::AlphaVantage,
                "alphavantage",
                of,
                &of.rest,
                of.key.clone(),
                none(),
                "ALPHAVANTAGE_API_KEY",
            )
        }
        "twelvedata" => {
            let of = &poll.twelvedata;
            (Vendor::TwelveData, "twelvedata", of, &of.rest, of.key.clone(), none(), "TWELVEDATA_API_KEY")
        }
        "yahoo" => (Vendor::Yahoo, "yahoo", &poll.yahoo, &poll.yahoo.rest, none(), none(), ""),
        other => return Err(wrong(format!("`{other}` is no vendor to poll"))),
    };
    let (vendor, name, limits, address, key, secret, variable) = known;
    if !variable.is_empty() && key.reveal().is_empty() {
        return Err(Error::user(format!("no key for {name}")).hint(format!("export {variable}=...")));
    }
    let mut out = Settings {
        vendor,
        name,
        rest: address.to_owned(),
        key,
        secret,
        feed: format!("{name}.bars"),
        symbols: Vec::new(),
        interval: Interval::M1,
        every: Duration::ZERO,
        from: None,
        to: None,
        once: false,
        per_minute: limits.per_minute,
        per_day: limits.per_day,
    };
    for option in options.split('&').filter(|option| !option.is_empty()) {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let bad = |want: &str| wrong(format!("source option `{option}`: {want}"));
        let time = || UnixNanos::parse(value).map(Some).map_err(|error| bad(&error.to_string()));
        match name {
            "symbols" => out.symbols = crate::engine::symbols(value),
            "interval" => out.interval = value.parse().map_err(|error: String| bad(&error))?,
            "label" if !value.is_empty() => value.clone_into(&mut out.feed),
            "from" => out.from = time()?,
            "to" => out.to = time()?,
            "every" => {
                let seconds = value.trim_end_matches('s').parse().ok().filter(|s| *s > 0);
                out.every = Duration::from_secs(seconds.ok_or_else(|| bad("a number of seconds above 0"))?);
            }
            "once" => out.once = value.parse().map_err(|_| bad("true or false"))?,
            _ => return Err(bad("unknown; known are symbols, interval, from, to, every, once, label")),
        }
    }
    if out.symbols.is_empty() {
        return Err(wrong("no symbols are named".to_owned()));
    }
    if word(vendor, out.interval).is_none() {
        return Err(wrong(format!("{name} has no bars of {}: 1m, 5m, 15m, 1h or 1d", out.interval)));
    }
    if out.every.is_zero() {
        // A bar is worth asking for when it can have changed.
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
            let flags = [
                ("source.url", Some(url.to_owned())),
                ("source.poll.alphavantage.key", Some(key.to_owned())),
            ];
            open(&crate::config::load(None, std::iter::empty(), &flags).unwrap()).unwrap()
        };
        let settings =
            read("poll:alphavantage?symbols=spy,IBM&interval=5m&once=true&from=2013-10-08", "k").unwrap();
        assert_eq!(settings.symbols, ["SPY", "IBM"]);
        assert_eq!((settings.per_minute, settings.per_day), (1, 25));
        assert_eq!(settings.every, Duration::from_secs(300));
        assert!(settings.once && settings.from.is_some() && settings.feed == "alphavantage.bars");
        for (url, part) in [
            ("poll:alphavantage?symbols=SPY", "no key for alphavantage"),
            ("poll:yahoo", "no symbols"),
            ("poll:nobody?symbols=SPY", "no vendor"),
            ("poll:yahoo?symbols=SPY&interval=1s", "no bars of 1s"),
            ("poll:yahoo?symbols=SPY&every=0", "above 0"),
            ("poll:yahoo?symbols=SPY&speed=1", "unknown"),
        ] {
            let error = read(url, "").unwrap_err().to_string();
            assert!(error.contains(part), "{url}: {error}");
        }
    }
}
