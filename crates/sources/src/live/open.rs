//! Parses the URL of a live source, such as `alpaca:iex?symbols=SPY,AAPL&kinds=trades,quotes`.

use super::settings::LiveSettings;
use super::vendor::{Account, Vendor};
use super::{alpaca, binance, coinbase, finnhub, kraken, massive};
use crate::settings as config;
use market::Kind;
use market::calendar::Calendar;
use market::codec::feed::Decode;
use ports::options::{self, Options};
use ports::secret::Secret;
use ports::{Error, Result};
use std::sync::Arc;

/// Static description of a vendor.
struct Entry {
    scheme: &'static str,
    feeds: &'static [&'static str],
    example: &'static str,
    kinds: &'static [Kind],
    /// Whether its stream has bars and price bands too.
    extras: bool,
    calendar: Calendar,
    account: fn(&config::SourceSection) -> &config::AccountSection,
    /// The environment variables to set, and where to get the key.
    key: Option<&'static str>,
    /// Whether a secret belongs to the key.
    secret: bool,
    vendor: fn(Account) -> Arc<dyn Vendor>,
}

const TRADES: &[Kind] = &[Kind::TRADE];
const BOTH: &[Kind] = &[Kind::TRADE, Kind::QUOTE];

const VENDORS: [Entry; 6] = [
    Entry {
        scheme: "alpaca",
        feeds: &["iex", "sip", "delayed_sip", "test", "crypto"],
        example: "alpaca:iex?symbols=SPY,AAPL&kinds=trades,quotes",
        kinds: BOTH,
        extras: true,
        calendar: Calendar::XNYS,
        account: |source| &source.alpaca,
        key: Some(
            "export APCA_API_KEY_ID=... APCA_API_SECRET_KEY=... (a free account at alpaca.markets has them)",
        ),
        secret: true,
        vendor: |account| Arc::new(alpaca::Alpaca(account)),
    },
    Entry {
        scheme: "massive",
        feeds: &["stocks"],
        example: "massive:stocks?symbols=SPY,AAPL&kinds=trades,quotes",
        kinds: BOTH,
        extras: true,
        calendar: Calendar::XNYS,
        account: |source| &source.massive,
        key: Some("export MASSIVE_API_KEY=... (an account at massive.com has it)"),
        secret: false,
        vendor: |account| Arc::new(massive::Massive(account)),
    },
    Entry {
        scheme: "finnhub",
        feeds: &[""],
        example: "finnhub:?symbols=AAPL,BINANCE:BTCUSDT",
        kinds: TRADES,
        extras: false,
        calendar: Calendar::XNYS,
        account: |source| &source.finnhub,
        key: Some("export FINNHUB_API_KEY=... (a free account at finnhub.io has it)"),
        secret: false,
        vendor: |account| Arc::new(finnhub::Finnhub(account)),
    },
    Entry {
        scheme: "coinbase",
        feeds: &[""],
        example: "coinbase:?symbols=BTC-USD,ETH-USD",
        kinds: TRADES,
        extras: false,
        calendar: Calendar::ALWAYS,
        account: |source| &source.coinbase,
        key: None,
        secret: false,
        vendor: |account| Arc::new(coinbase::Coinbase(account)),
    },
    Entry {
        scheme: "kraken",
        feeds: &[""],
        example: "kraken:?symbols=BTC/USD,ETH/USD",
        kinds: TRADES,
        extras: false,
        calendar: Calendar::ALWAYS,
        account: |source| &source.kraken,
        key: None,
        secret: false,
        vendor: |account| Arc::new(kraken::Kraken(account)),
    },
    Entry {
        scheme: "binance",
        feeds: &[""],
        example: "binance:?symbols=BTCUSDT,ETHUSDT",
        kinds: TRADES,
        extras: false,
        calendar: Calendar::ALWAYS,
        account: |source| &source.binance,
        key: None,
        secret: false,
        vendor: |account| Arc::new(binance::Binance(account)),
    },
];

/// The settings described by a URL; `None` if it is not a live source.
pub fn open(source: &config::SourceSection) -> Option<Result<LiveSettings>> {
    let (scheme, rest) = source.url.split_once(':')?;
    let entry = VENDORS.iter().find(|entry| entry.scheme == scheme)?;
    Some(settings(entry, source, rest))
}

/// The decoder for the frames of a feed, for example `alpaca.sip`; `None` if its vendor is unknown.
#[must_use]
pub fn decoder(label: &str) -> Option<Box<dyn Decode>> {
    let entry = VENDORS.iter().find(|entry| label.starts_with(entry.scheme))?;
    let account = Account {
        stream: String::new(),
        rest: String::new(),
        key: Secret::default(),
        secret: Secret::default(),
        feed: String::new(),
        symbols: Vec::new(),
        kinds: Vec::new(),
        bars: false,
        bands: false,
    };
    Some((entry.vendor)(account).decoder(label))
}

/// The scheme of each vendor, which its feeds' names begin with.
pub fn schemes() -> impl Iterator<Item = &'static str> {
    VENDORS.iter().map(|entry| entry.scheme)
}

/// An example URL of each vendor.
pub fn examples() -> impl Iterator<Item = &'static str> {
    VENDORS.iter().map(|entry| entry.example)
}

fn settings(entry: &Entry, source: &config::SourceSection, rest: &str) -> Result<LiveSettings> {
    let (feed, options): (_, Options<'_>) = options::split(rest);
    let example = format!("--source '{}'", entry.example);
    let wrong = |what: String| Error::usage(what).hint(example.clone());
    if !entry.feeds.contains(&feed) {
        let feeds =
            if entry.feeds == [""] { "it has a single, unnamed feed".into() } else { entry.feeds.join(", ") };
        return Err(wrong(format!("unknown feed `{feed}` of {}: {feeds}", entry.scheme)));
    }
    let endpoint = (entry.account)(source);
    let mut account = Account {
        stream: endpoint.stream.clone(),
        rest: endpoint.rest.clone(),
        key: endpoint.key.clone(),
        secret: endpoint.secret.clone(),
        feed: feed.to_owned(),
        symbols: Vec::new(),
        kinds: TRADES.to_vec(),
        bars: false,
        bands: false,
    };
    let dot = if feed.is_empty() { "" } else { "." };
    let (mut label, mut speed) = (format!("{}{dot}{feed}", entry.scheme), 1.0);
    options.each(|option| {
        let value = option.value.as_str();
        let bad = |expected: &str| option.error(expected).hint(example.clone());
        match option.name.as_str() {
            "symbols" => account.symbols = option.list(),
            "kinds" => {
                let mut kinds = Vec::new();
                for word in value.split(',').map(str::trim) {
                    match word {
                        "bars" if entry.extras && feed != "test" => account.bars = true,
                        "lulds" if entry.extras && !["test", "crypto"].contains(&feed) => {
                            account.bands = true
                        }
                        _ => kinds.push(word.parse().map_err(|why: String| bad(&why))?),
                    }
                }
                account.kinds = kinds;
                if let Some(kind) = account.kinds.iter().find(|kind| !entry.kinds.contains(kind)) {
                    return Err(bad(&format!("{} has no {}", entry.scheme, kind.plural())));
                }
            }
            "label" if !value.is_empty() => value.clone_into(&mut label),
            "speed" => {
                speed = match value.trim_end_matches('x').parse() {
                    Ok(number) if f64::is_finite(number) && number > 0.0 => number,
                    _ => return Err(bad("expected a number above 0; for simulators only")),
                }
            }
            _ => return Err(bad("unknown option; expected symbols, kinds, label or speed")),
        }
        Ok(())
    })?;
    if account.symbols.is_empty() {
        return Err(wrong("no symbols given".to_owned()));
    }
    if let Some(hint) = entry.key
        && (account.key.reveal().is_empty() || (entry.secret && account.secret.reveal().is_empty()))
    {
        let name = format!("{}{}", entry.scheme[..1].to_ascii_uppercase(), &entry.scheme[1..]);
        return Err(Error::user(format!("no key for {name}")).hint(hint));
    }
    Ok(LiveSettings {
        vendor: (entry.vendor)(account),
        feed: label,
        calendar: if feed == "crypto" { Calendar::ALWAYS } else { entry.calendar },
        stall_s: source.stall.as_secs_f64(),
        speed,
        backfill: source.backfill,
        connect_within: source.connect_within,
    })
}
