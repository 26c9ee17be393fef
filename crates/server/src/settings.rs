//! Address, token and limits of the server.

use std::path::PathBuf;
use std::time::Duration;

/// Listening address and limits of the server.
#[derive(Clone)]
pub struct ServerSettings {
    /// `HOST:PORT`; port 0 chooses a free one.
    pub listen: String,
    /// Token that clients must present; required if `listen` is not a loopback address. Empty: none.
    pub token: String,
    /// How bars are built: intervals, and policy and calendar by feed.
    pub bars: market::bar::AggregatorSettings,
    /// Folder of factor files for adjusted bars.
    pub factors: Option<PathBuf>,
    /// Consumer groups whose lag is shown: those of the consumer and of the aggregator.
    pub groups: Vec<String>,
    /// Time zone in which the page first shows readings: an IANA name.
    pub zone: String,
    /// The alert rules of the configuration, and whether others can be added.
    pub alerts: AlertRules,
    /// Limits.
    pub limits: Limits,
}

/// What the configuration says about alert rules.
#[derive(Debug, Clone, Default)]
pub struct AlertRules {
    /// The rules of the configuration.
    pub configured: Vec<market::alert::RuleConfig>,
    /// Names of the channels.
    pub channels: Vec<String>,
    /// Whether rules can be added and removed here.
    pub is_editable: bool,
}

/// Limits of one client, or of all.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Open connections.
    pub connections: usize,
    /// Open streams.
    pub streams: usize,
    /// Requests per second from one address, on average.
    pub requests_per_second: u32,
    /// Requests from one address at once.
    pub burst: u32,
    /// Concurrent store queries.
    pub queries: usize,
    /// Maximum duration of a query, including waiting.
    pub query_deadline: Duration,
    /// Rows of one reply.
    pub rows: usize,
    /// How long a client may take to send its request, or to read a response.
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

impl ServerSettings {
    /// Loopback, no token, the default limits.
    #[must_use]
    pub fn new(listen: impl Into<String>, bars: market::bar::AggregatorSettings) -> Self {
        Self {
            listen: listen.into(),
            token: String::new(),
            bars,
            factors: None,
            groups: Vec::new(),
            zone: "UTC".to_owned(),
            alerts: AlertRules::default(),
            limits: Limits::default(),
        }
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

impl std::fmt::Debug for ServerSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("listen", &self.listen)
            .field("token", &if self.token.is_empty() { "" } else { "***" })
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
