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

impl Vendor {
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
    fn from_str(text: &str) -> std::result::Result<Self, String> {
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
