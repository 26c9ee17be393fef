//! Address, token and limits of the server.

use std::path::PathBuf;
use std::time::Duration;

/// How the server listens and what it allows.
#[derive(Clone)]
pub struct Settings {
    /// `HOST:PORT`; port 0 takes a free one.
    pub listen: String,
    /// What a client must present; required where `listen` is not a loopback address. Empty: none.
    pub token: String,
    /// How bars are made: intervals, and policy and calendar by feed.
    pub bars: market::bar::Settings,
    /// Folder of factor files for adjusted bars.
    pub factors: Option<PathBuf>,
    /// Limits.
    pub limits: Limits,
}

/// What one client, or all of them, may take.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Open connections.
    pub connections: usize,
    /// Open streams.
    pub streams: usize,
    /// Requests a second from one address, on average.
    pub requests_per_second: u32,
    /// Requests from one address at once.
    pub burst: u32,
    /// Store queries at a time.
    pub queries: usize,
    /// How long a query may take, waiting included.
    pub query_deadline: Duration,
    /// Rows of one reply.
    pub rows: usize,
    /// How long a client may take to send its request, or to read what was sent.
    pub io_timeout: Duration,
    /// Time between two frames of a stream.
    pub frame_every: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 2_000,
            streams: 1_500,
            requests_per_second: 100,
            burst: 300,
            queries: 4,
            query_deadline: Duration::from_secs(10),
            rows: 10_000,
            io_timeout: Duration::from_secs(15),
            frame_every: Duration::from_millis(100),
        }
    }
}

impl Settings {
    /// Loopback, no token, the default limits.
    #[must_use]
    pub fn new(listen: impl Into<String>, bars: market::bar::Settings) -> Self {
        Self { listen: listen.into(), token: String::new(), bars, factors: None, limits: Limits::default() }
    }

    /// The rules of a symbol on a feed: condition policy and calendar.
    pub(crate) fn rules(&self, feed: &str, symbol: &str) -> Option<&market::bar::Feed> {
        self.bars.rules(feed, symbol)
    }

    /// The calendar of a symbol on a feed.
    pub(crate) fn calendar(&self, feed: &str, symbol: &str) -> market::calendar::Calendar {
        self.rules(feed, symbol).map_or(market::calendar::Calendar::XNYS, |rules| rules.calendar)
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("listen", &self.listen)
            .field("token", &if self.token.is_empty() { "" } else { "***" })
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
