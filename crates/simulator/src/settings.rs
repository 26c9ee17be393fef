//! Whose API is played, and how.

use super::face::Face;
use super::{alpaca, alpha_vantage, binance, coinbase, finnhub, kraken, massive, twelve_data, yahoo};
use market::UnixNanos;

/// Whose API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Vendor {
    Alpaca,
    AlpacaCrypto,
    Massive,
    Finnhub,
    Coinbase,
    Kraken,
    Binance,
    AlphaVantage,
    TwelveData,
    Yahoo,
}

/// What people and clients know a vendor by.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// Its word on the command line.
    pub word: &'static str,
    /// What there is.
    pub about: &'static str,
    /// What it is called, and its section of the settings in capitals.
    pub name: &'static str,
    /// What a source's URL begins with.
    pub source: &'static str,
    /// Variables a client wants to be set.
    pub keys: &'static str,
}

const APCA: &str = "APCA_API_KEY_ID=any APCA_API_SECRET_KEY=any";

impl Vendor {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Alpaca,
        Self::AlpacaCrypto,
        Self::Massive,
        Self::Finnhub,
        Self::Coinbase,
        Self::Kraken,
        Self::Binance,
        Self::AlphaVantage,
        Self::TwelveData,
        Self::Yahoo,
    ];

    /// What it is known by.
    #[must_use]
    pub const fn known(self) -> Known {
        let (word, about, name, source, keys) = match self {
            Self::Alpaca => {
                ("alpaca", "Stocks: stream as JSON or MessagePack, and history", "Alpaca", "alpaca:sip", APCA)
            }
            Self::AlpacaCrypto => ("alpaca-crypto", "The same of crypto", "Alpaca", "alpaca:crypto", APCA),
            Self::Massive => (
                "massive",
                "Stocks (Polygon.io until 2025)",
                "Massive",
                "massive:stocks",
                "MASSIVE_API_KEY=any",
            ),
            Self::Finnhub => ("finnhub", "Trades without ids", "Finnhub", "finnhub:", "FINNHUB_API_KEY=any"),
            Self::Coinbase => ("coinbase", "Advanced Trade: counted messages", "Coinbase", "coinbase:", ""),
            Self::Kraken => ("kraken", "Websocket, version 2: numbered trades", "Kraken", "kraken:", ""),
            Self::Binance => ("binance", "Spot: numbered trades", "Binance", "binance:", ""),
            Self::AlphaVantage => (
                "alphavantage",
                "Bars over REST",
                "AlphaVantage",
                "poll:alphavantage",
                "ALPHAVANTAGE_API_KEY=any",
            ),
            Self::TwelveData => {
                ("twelvedata", "Bars over REST", "TwelveData", "poll:twelvedata", "TWELVEDATA_API_KEY=any")
            }
            Self::Yahoo => ("yahoo", "Bars over REST", "Yahoo", "poll:yahoo", ""),
        };
        Known { word, about, name, source, keys }
    }

    pub(super) fn face(self) -> Box<dyn Face> {
        match self {
            Self::Alpaca => Box::new(alpaca::Alpaca { crypto: false }),
            Self::AlpacaCrypto => Box::new(alpaca::Alpaca { crypto: true }),
            Self::Massive => Box::new(massive::Massive),
            Self::Finnhub => Box::new(finnhub::Finnhub),
            Self::Coinbase => Box::new(coinbase::Coinbase),
            Self::Kraken => Box::new(kraken::Kraken),
            Self::Binance => Box::new(binance::Binance),
            Self::AlphaVantage => Box::new(alpha_vantage::AlphaVantage),
            Self::TwelveData => Box::new(twelve_data::TwelveData),
            Self::Yahoo => Box::new(yahoo::Yahoo),
        }
    }
}

impl std::str::FromStr for Vendor {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|vendor| vendor.known().word == word);
        found.ok_or_else(|| format!("`{word}` is no vendor whose API can be simulated"))
    }
}

/// A symbol is not traded for a while, and its vendor says so.
#[derive(Debug, Clone)]
pub struct Halt {
    /// Which.
    pub symbol: String,
    /// From when on.
    pub from: UnixNanos,
    /// Until then.
    pub to: UnixNanos,
}

impl std::str::FromStr for Halt {
    type Err = String;

    /// As `IBM,2013-10-08T15:00:00Z,2013-10-08T15:30:00Z`.
    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(',').collect();
        let [symbol, from, to] = parts[..] else { return Err("it is SYMBOL,FROM,TO".to_owned()) };
        let time = |text: &str| UnixNanos::parse(text).map_err(|error| format!("{text}: {error}"));
        Ok(Self { symbol: symbol.to_owned(), from: time(from)?, to: time(to)? })
    }
}

/// How to play.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whose API.
    pub vendor: Vendor,
    /// Where to listen, as `127.0.0.1:8900`; port 0 takes a free one.
    pub listen: String,
    /// Times as fast as the tape; `None` as fast as clients read.
    pub speed: Option<f64>,
    /// Records a second at the most.
    pub rate: Option<f64>,
    /// Seed and number of faults.
    pub faults: Option<(u64, usize)>,
    /// Key and secret that are let in; any without.
    pub keys: Option<(String, String)>,
    /// Connections at a time.
    pub connections: usize,
    /// Symbols a connection may subscribe to, of each kind.
    pub symbols: usize,
    /// What is not traded for a while: those records are taken from the tape.
    pub halts: Vec<Halt>,
    /// Messages a frame at the most.
    pub frame: usize,
}
