//! Arguments and exit codes. Nothing else knows argv.
#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "the comments are help texts, where brackets mean optional"
)]

use crate::command::config::options::ConfigVerb;
use crate::command::dead_letters::options::DeadLetters;
use crate::command::doctor::DoctorOptions;
use crate::command::forecast::options::Forecast;
use crate::command::messages::{LateOptions, NoticesOptions};
use crate::command::status::StatusOptions;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use ports::Error;
use ports::error::Domain;
use simulator::Vendor;
use std::path::PathBuf;
use std::process::ExitCode;

/// Places that `verify` compared do not hold the same.
pub(crate) const DIFFERS: u8 = 3;
/// A server was away for longer than `--wait`.
const AWAY: u8 = 4;
/// Messages were lost before they could be read.
const LOST: u8 = 5;
/// A fault of ours.
const INTERNAL: u8 = 70;

/// Records markets: real trades and quotes through Apache Kafka into Apache Cassandra, each exactly once, proven.
#[derive(Debug, Parser)]
#[command(
    name = "tapeline",
    version,
    propagate_version = true,
    after_help = "Exit codes: 0 done; 1 failed; 2 wrong arguments; 3 verify found a difference; \
                  4 a server was away for longer than --wait; \
                  5 messages were lost before they could be read; 70 a fault of tapeline itself.\n\
                  Start with: tapeline demo"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Flags of every verb.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// Settings file [default: tapeline.toml, if there is one]
    #[arg(long, global = true, env = "TAPELINE_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where records come from: tape:DIR[?speed=max|N&symbols=A,B&kinds=trades,quotes&dates=YYYYMMDD], live from
    /// alpaca:iex|sip|delayed_sip, massive:stocks, finnhub:, coinbase:, kraken:, binance: (docs/sources.md), or a
    /// capture of a vendor's stream, a frame a line: frames:FILE?feed=alpaca.sip
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) source: Option<String>,
    /// Of the source (or of the folder to import), these symbols: short for symbols=A,B in its URL
    #[arg(long = "symbols", global = true, value_name = "A,B", id = "of_symbols")]
    pub(crate) symbols: Option<String>,
    /// Of the source, these records: short for kinds=trades,quotes in its URL
    #[arg(long = "kinds", global = true, value_name = "KINDS")]
    pub(crate) kinds: Option<String>,
    /// What they are streamed through: sqlite:FILE or kafka://HOST:PORT[,HOST:PORT]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) topic: Option<String>,
    /// Where they are kept: sqlite:FILE or cassandra://HOST[:PORT]/KEYSPACE
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) store: Option<String>,
    /// Consumer group
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) group: Option<String>,
    /// error, warn, info, debug, trace, or a filter as info,pipeline=debug
    #[arg(long, global = true, value_name = "LEVEL")]
    pub(crate) log: Option<String>,
    /// Seconds to wait for a server that is away when starting [default: 60; 5 for init, count, query, verify]
    #[arg(long, global = true, value_name = "SECONDS")]
    pub(crate) wait: Option<u64>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Create topics, keyspace and tables; safe to repeat
    Init,
    /// Read the source and publish to the topic
    Produce(ProduceOptions),
    /// Read the topic and write to the store
    Consume(ConsumeOptions),
    /// Produce and consume in one process; a finite source ends it
    Run(RunOptions),
    /// Serve the dashboard and the REST API
    Serve(ServeOptions),
    /// Count the records in the store by kind and symbol
    Count(CountOptions),
    /// Make bars of the topic's trades and quotes: to the bars topic and the bars table
    Aggregate(AggregateOptions),
    /// Show trades, quotes or bars of one symbol in time order
    Query(QueryOptions),
    /// Show which prints of a bar counted for what, and why not
    Explain(ExplainOptions),
    /// Draw bars, returns or correlations as SVG or PNG
    Plot(PlotOptions),
    /// Forecast return, volatility and range, with intervals and a record against baselines
    #[command(subcommand)]
    Forecast(Forecast),
    /// Take a data vendor's own bars into the store
    Import(ImportOptions),
    /// Compare source, topic and store, record by record
    Verify(VerifyOptions),
    /// Evaluate alert rules on the topic, and send what fires
    #[command(subcommand)]
    Alert(AlertVerb),
    /// Show what live feeds missed, and whether it was fetched
    Gaps(GapsOptions),
    /// List, export and publish again what could not be stored
    #[command(subcommand)]
    DeadLetters(DeadLetters),
    /// Show records that came too late for their bars
    Late(LateOptions),
    /// Show trading halts and price bands
    Notices(NoticesOptions),
    /// Fetch a span, or what is open in the ledger, from the vendor's history
    Backfill(BackfillOptions),
    /// Check source, topic and store link by link, and name what is broken
    Doctor(DoctorOptions),
    /// Show what a running process does: rates, lag, latency, retries, gaps
    Status(StatusOptions),
    /// Check and show the settings
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Play a tape as a vendor's API, misbehaviour included, for those without an account
    Simulate(SimulateOptions),
    /// Play a bundled real session through the embedded engines; needs no server and no account
    Demo(DemoOptions),
}

/// Verbs of `alert`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum AlertVerb {
    /// Evaluate the rules on the topic, and send what fires
    Run(AlertRunOptions),
    /// Check and list the rules and channels of the configuration
    List(AlertListOptions),
    /// Check a channel and send it a test message
    Test(AlertTestOptions),
    /// Show when a rule would have fired on stored records
    Replay(AlertReplayOptions),
    /// Show what fired and whether it was delivered
    History(AlertHistoryOptions),
    /// Record alerts without sending them for a time; without --for, list the silences
    Silence(AlertSilenceOptions),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct AlertRunOptions {
    /// End once everything on the topic is evaluated and sent
    #[arg(long)]
    pub(crate) until_end: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct AlertListOptions {
    /// How to print: table or json
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct AlertTestOptions {
    /// Name of the channel
    pub(crate) channel: String,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct AlertReplayOptions {
    /// Name of the rule
    pub(crate) rule: String,
    #[command(flatten)]
    pub(crate) span: Span,
    /// How to print: table or json
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct AlertHistoryOptions {
    /// Only alerts of this rule
    #[arg(long, value_name = "NAME")]
    pub(crate) rule: Option<String>,
    #[command(flatten)]
    pub(crate) span: Span,
    /// How to print: table or json
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct AlertSilenceOptions {
    /// Name of a rule
    #[arg(long, value_name = "NAME", default_value = "*")]
    pub(crate) rule: String,
    /// A symbol
    #[arg(long, value_name = "SYMBOL", default_value = "*")]
    pub(crate) symbol: String,
    /// How long, as 30m, 2h, 1d
    #[arg(long, value_name = "DURATION")]
    pub(crate) r#for: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) reason: String,
    /// End the silence of this number
    #[arg(long, value_name = "ID", conflicts_with = "for")]
    pub(crate) end: Option<i64>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct VerifyOptions {
    /// Required for a live source: the vendor's history of the span is read and compared
    #[command(flatten)]
    pub(crate) span: Span,
    /// Show the first N differing records of each symbol, and their differing fields
    #[arg(long, value_name = "N")]
    pub(crate) show: Option<usize>,
    /// Write the records that the store lacks or holds otherwise from the topic, and nothing else
    #[arg(long)]
    pub(crate) repair: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ProduceOptions {
    /// Publish the source from its beginning, whatever was published before
    #[arg(long)]
    pub(crate) replay: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct RunOptions {
    #[command(flatten)]
    pub(crate) produce: ProduceOptions,
    /// Serve the dashboard and the REST API as well
    #[arg(long)]
    pub(crate) serve: bool,
    #[command(flatten)]
    pub(crate) listen: ServeOptions,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ServeOptions {
    /// Address of the dashboard; port 0 takes a free one [default: serve.listen, 127.0.0.1:8787]
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ConsumeOptions {
    /// End once the group has stored everything that is on the topic
    #[arg(long)]
    pub(crate) until_end: bool,
    /// A fixed name, so that a restarted consumer gets its partitions back at once (Kafka static membership)
    #[arg(long, value_name = "NAME")]
    pub(crate) instance: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct GapsOptions {
    /// Only those that are open
    #[arg(long)]
    pub(crate) open: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct BackfillOptions {
    /// Whose records
    #[arg(value_delimiter = ',', required_unless_present = "open")]
    pub(crate) symbols: Vec<String>,
    #[command(flatten)]
    pub(crate) span: Span,
    /// The ledger's open gaps of this feed, once more
    #[arg(long)]
    pub(crate) open: bool,
}

/// Vendors by their words, as the simulator knows them.
fn vendors() -> impl TypedValueParser<Value = Vendor> {
    let words = Vendor::ALL.map(|vendor| PossibleValue::new(vendor.known().word).help(vendor.known().about));
    PossibleValuesParser::new(words).try_map(|word| word.parse::<Vendor>())
}

/// Times a second, or records: above 0.
fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "a number above 0 is wanted".to_owned())
}

#[derive(Debug, Clone, Args)]
pub(crate) struct SimulateOptions {
    /// Whose API to speak
    #[arg(value_parser = vendors())]
    pub(crate) vendor: Vendor,
    /// The tape: a folder, or tape:DIR[?symbols=A,B&kinds=trades&dates=YYYYMMDD]
    #[arg(long, value_name = "DIR")]
    pub(crate) tape: String,
    /// Times as fast as it happened, or max: as fast as clients read
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) speed: String,
    /// Records a second at the most
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) rate: Option<f64>,
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8900")]
    pub(crate) listen: String,
    /// Misbehave, the same for the same seed
    #[arg(long, value_name = "SEED")]
    pub(crate) faults: Option<u64>,
    /// How often
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub(crate) fault_count: usize,
    /// Take a symbol's trades from the tape for a while and say that it is halted (Alpaca); may be given again
    #[arg(long, value_name = "SYMBOL,FROM,TO")]
    pub(crate) halt: Vec<simulator::Halt>,
    /// Symbols a connection may subscribe to, as Alpaca's free plan 30
    #[arg(long, value_name = "N", default_value_t = usize::MAX, hide_default_value = true)]
    pub(crate) symbol_limit: usize,
    /// Key and secret to let in [default: any]
    #[arg(long, value_name = "KEY:SECRET")]
    pub(crate) keys: Option<String>,
    /// Connections at a time
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub(crate) connections: usize,
    /// Messages in a frame at the most
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) frame: usize,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct CountOptions {
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct AggregateOptions {
    /// End once everything on the topic is in its bars, and call them final
    #[arg(long)]
    pub(crate) until_end: bool,
}

/// What to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    #[value(alias = "trade")]
    Trades,
    #[value(alias = "quote")]
    Quotes,
    #[value(alias = "bar")]
    Bars,
    /// Bars of bid and ask
    QuoteBars,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct QueryOptions {
    /// What to show
    #[arg(value_enum)]
    pub(crate) what: What,
    /// The symbol, as SPY
    pub(crate) symbol: String,
    #[command(flatten)]
    pub(crate) span: Span,
    /// At most so many [default: 100 for a table, all for the others]
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
    /// Where to write parquet to [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) bars: BarOptions,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Span {
    /// From this event time, inclusive: 2013-10-08T13:30:00Z, 2013-10-08, 2013-10-08T09:30[America/New_York]
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// To this event time, exclusive
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
}

/// Which bars, and how.
#[derive(Debug, Clone, Args)]
pub(crate) struct BarOptions {
    /// Bars: how long, as 1s, 1m, 5m, 1h, 1d
    #[arg(long, value_name = "INTERVAL", default_value = "1m")]
    pub(crate) interval: market::interval::Interval,
    /// Bars: of this feed only
    #[arg(long, value_name = "NAME")]
    pub(crate) feed: Option<String>,
    /// Bars: made anew from the stored trades under another condition policy: sip, lean, all or official
    #[arg(long, value_name = "POLICY")]
    pub(crate) policy: Option<String>,
    /// Bars: adjusted for splits, or for splits and dividends: none, split or all
    #[arg(long, value_name = "WHAT", default_value = "none")]
    pub(crate) adjust: market::adjust::Adjust,
    /// Bars: folder of factor files, one SYMBOL.csv each, for --adjust
    #[arg(long, value_name = "DIR", env = "TAPELINE_FACTORS")]
    pub(crate) factors: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ExplainOptions {
    /// The symbol, as SPY
    pub(crate) symbol: String,
    /// A time within the bar: 2013-10-08T13:30:00Z
    pub(crate) time: String,
    /// How long the bar is
    #[arg(long, value_name = "INTERVAL", default_value = "1s")]
    pub(crate) interval: market::interval::Interval,
    /// Under this condition policy [default: the feed's, from the settings]
    #[arg(long, value_name = "POLICY")]
    pub(crate) policy: Option<String>,
    /// Show at most so many prints
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub(crate) limit: usize,
}

/// What to draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Drawing {
    /// Candles, volume and indicators
    Candles,
    /// Histogram of the returns from bar to bar
    Returns,
    /// Correlation of the returns, as a heat map
    Correlation,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct PlotOptions {
    /// One symbol or several: SPY or SPY,IBM
    #[arg(value_delimiter = ',', required = true)]
    pub(crate) symbols: Vec<String>,
    /// What to draw
    #[arg(long, value_enum, default_value_t = Drawing::Candles)]
    pub(crate) kind: Drawing,
    #[command(flatten)]
    pub(crate) span: Span,
    #[command(flatten)]
    pub(crate) bars: BarOptions,
    /// sma:20, ema:50, bollinger:20:2, vwap over the prices; rsi:14, macd:12:26:9, atr:14 below them
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) indicator: Vec<market::indicator::Indicator>,
    /// Where to: FILE.svg or FILE.png
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Width and height
    #[arg(long, value_name = "WxH", default_value = "1280x720")]
    pub(crate) size: String,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ImportOptions {
    /// Folder in the shape of Lean's data: DIR/minute/spy/20131008_trade.zip, DIR/daily/spy.zip
    pub(crate) dir: PathBuf,
    /// second, minute, hour or daily
    #[arg(long, value_name = "NAME")]
    pub(crate) resolution: String,
    /// The label the bars get
    #[arg(long, value_name = "NAME", default_value = "lean.vendor")]
    pub(crate) label: String,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct DemoOptions {
    /// The folder it leaves its files in
    #[arg(long, value_name = "DIR", default_value = "tapeline-demo")]
    pub(crate) dir: PathBuf,
    /// Serve the dashboard while the session plays, and until Ctrl-C
    #[arg(long)]
    pub(crate) serve: bool,
    #[command(flatten)]
    pub(crate) listen: ServeOptions,
    /// Trades per second [default: 150000; 5000 with --serve]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) rate: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
    Csv,
    /// Bars only
    Parquet,
}

/// Success, or that messages were lost before they could be read.
pub(crate) fn loss_code(telemetry: &ports::telemetry::Telemetry) -> ExitCode {
    match telemetry.get(&telemetry.lost_ranges) {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(LOST),
    }
}

/// Prints an error; its exit code.
pub(crate) fn failed(error: &Error) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::from(match error.domain {
        Domain::User => 1,
        Domain::External => AWAY,
        Domain::Internal => INTERNAL,
    })
}
