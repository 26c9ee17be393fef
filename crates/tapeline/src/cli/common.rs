//! Flags of every verb.

use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// Flags of every verb.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Common {
    /// Configuration file [default: tapeline.toml, if there is one]
    #[arg(long, global = true, env = "TAPELINE_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Source: tape:DIR[?speed=max|N&symbols=A,B&kinds=trades,quotes&dates=YYYYMMDD]; live
    /// alpaca:iex|sip|delayed_sip, massive:stocks, finnhub:, coinbase:, kraken: or binance:
    /// (docs/sources.md); a capture of a vendor's stream with one frame per line,
    /// frames:FILE?feed=alpaca.sip; or sensor readings, lines:FILE?format=influx|ndjson|csv or
    /// mqtt://HOST[:PORT]/FILTER?format=..., mqtts: for TLS (docs/readings.md)
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) source: Option<String>,
    /// Only these symbols (same as symbols=A,B in the source URL); a comma within a symbol is written \,
    #[arg(long = "symbols", global = true, value_name = "A,B", id = "of_symbols")]
    pub(crate) symbols: Option<String>,
    /// Only these kinds of records (same as kinds=trades,quotes in the source URL)
    #[arg(long = "kinds", global = true, value_name = "KINDS")]
    pub(crate) kinds: Option<String>,
    /// Topic: sqlite:FILE or kafka://HOST:PORT[,HOST:PORT]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) topic: Option<String>,
    /// Store: sqlite:FILE or cassandra://HOST[:PORT]/KEYSPACE
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) store: Option<String>,
    /// Consumer group
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) group: Option<String>,
    /// Log level: error, warn, info, debug or trace; or a filter such as info,pipeline=debug
    #[arg(long, global = true, value_name = "LEVEL", conflicts_with_all = ["quiet", "verbose"])]
    pub(crate) log: Option<String>,
    /// Print results and errors only: no progress, no summary, no notes
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Log more: -v for info, -vv for debug
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Colours in the log: auto (on a terminal, unless NO_COLOR is set), always or never
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: clap::ColorChoice,
    /// How long to wait for an unreachable server when starting, as 5 (seconds), 500ms or 2m [default: 60; 5 for commands that
    /// only read]
    #[arg(long, global = true, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) wait: Option<Duration>,
}

/// A number of seconds, or a duration with its unit.
fn seconds(text: &str) -> Result<Duration, String> {
    let duration = text.parse().map(Duration::from_secs);
    duration
        .or_else(|_| ports::duration::parse(text))
        .map_err(|_| "expected seconds, as 5, or a duration with a unit, as 500ms or 2m".to_owned())
}
