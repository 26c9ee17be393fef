//! Which API is simulated, and how.

use market::UnixNanos;

/// A vendor's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum SimulatedVendor {
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

/// The names of a vendor for people and clients.
#[derive(Debug, Clone, Copy)]
pub struct VendorNames {
    /// Its name on the command line.
    pub word: &'static str,
    /// Description.
    pub about: &'static str,
    /// Its display name, in capitals its section of the settings.
    pub name: &'static str,
    /// Prefix of its source URL.
    pub source: &'static str,
    /// Variables that a client needs.
    pub keys: &'static str,
}

const APCA: &str = "APCA_API_KEY_ID=any APCA_API_SECRET_KEY=any";

impl SimulatedVendor {
    /// All vendors.
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

    /// Its names.
    #[must_use]
    pub const fn known(self) -> VendorNames {
        let (word, about, name, source, keys) = match self {
            Self::Alpaca => {
                ("alpaca", "Stocks: stream as JSON or MessagePack, and history", "Alpaca", "alpaca:sip", APCA)
            }
            Self::AlpacaCrypto => ("alpaca-crypto", "The same for crypto", "Alpaca", "alpaca:crypto", APCA),
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
        VendorNames { word, about, name, source, keys }
    }
}

impl std::str::FromStr for SimulatedVendor {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|vendor| vendor.known().word == word);
        found.ok_or_else(|| format!("unknown vendor `{word}`"))
    }
}

/// A trading halt of a symbol, which its vendor reports.
#[derive(Debug, Clone)]
pub struct Halt {
    /// The symbol.
    pub symbol: String,
    /// Start, inclusive.
    pub from: UnixNanos,
    /// End, exclusive.
    pub to: UnixNanos,
}

impl std::str::FromStr for Halt {
    type Err = String;

    /// For example `IBM,2013-10-08T15:00:00Z,2013-10-08T15:30:00Z`.
    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(',').collect();
        let [symbol, from, to] = parts[..] else { return Err("expected SYMBOL,FROM,TO".to_owned()) };
        let time = |text: &str| UnixNanos::parse(text).map_err(|error| format!("{text}: {error}"));
        Ok(Self { symbol: symbol.to_owned(), from: time(from)?, to: time(to)? })
    }
}

/// Settings of a simulator.
#[derive(Debug, Clone)]
pub struct SimulatorSettings {
    /// The vendor's API.
    pub vendor: SimulatedVendor,
    /// Address to listen on, for example `127.0.0.1:8900`; port 0 chooses a free one.
    pub listen: String,
    /// Speed relative to the tape; `None`: as fast as clients read.
    pub speed: Option<f64>,
    /// Maximum number of records per second.
    pub rate: Option<f64>,
    /// Seed and number of faults.
    pub faults: Option<(u64, usize)>,
    /// Accepted key and secret; any if absent.
    pub keys: Option<(String, String)>,
    /// Maximum number of connections.
    pub connections: usize,
    /// Maximum number of symbols per connection, of each kind.
    pub symbols: usize,
    /// Halts: their records are removed from the tape.
    pub halts: Vec<Halt>,
    /// Maximum number of messages per frame.
    pub frame: usize,
}
