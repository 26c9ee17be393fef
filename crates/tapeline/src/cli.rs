//! Arguments and exit codes. The only module that knows argv.
#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "the comments are help texts, where brackets mean optional"
)]

pub(crate) mod about;
mod archive;
pub(crate) mod ignored;
mod reading;
mod report;

use crate::command::config::options::ConfigVerb;
use crate::command::dead_letters::options::DeadLetters;
use crate::command::doctor::DoctorOptions;
use crate::command::forecast::options::Forecast;
use crate::command::messages::{LateOptions, NoticesOptions};
use crate::command::schema::SchemaOptions;
use crate::command::status::StatusOptions;
pub(crate) use archive::*;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use ports::Error;
use ports::error::Domain;
pub(crate) use reading::*;
pub(crate) use report::{ReportOptions, Reported};
use simulator::SimulatedVendor;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Exit code: invalid arguments or settings, as in clap.
const USAGE: u8 = 2;
/// Exit code: the sides that `verify` compared differ.
pub(crate) const DIFFERS: u8 = 3;
/// Exit code: a server was unreachable for longer than `--wait`.
const AWAY: u8 = 4;
/// Exit code: messages were lost before they could be read.
const LOST: u8 = 5;
/// Exit code: Ctrl-C ended the verb before its work was done, as shells report it.
pub(crate) const INTERRUPTED: u8 = 130;
/// Exit code: a bug in Tapeline.
pub(crate) const INTERNAL: u8 = 70;

/// Records markets: real trades and quotes through Apache Kafka into Apache Cassandra, each exactly once,
/// with proof
#[derive(Debug, Parser)]
#[command(
    name = "tapeline",
    version,
    long_version = about::version(),
    propagate_version = true,
    max_term_width = 120,
    after_help = "Exit codes: 0 done; 1 failed, incomplete source or invalid settings; 2 invalid arguments; 3 verify found a difference; \
                  4 a server was unreachable for longer than --wait; \
                  5 messages were lost before they could be read; 70 a fault of tapeline itself; \
                  130 ended by Ctrl-C before it was done.\n\
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

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Create topics, keyspace and tables; safe to repeat
    Init(ReportOptions),
    /// Read the source and publish to the topic
    Produce(Reported<ProduceOptions>),
    /// Read the topic and write to the store
    Consume(Reported<ConsumeOptions>),
    /// Produce and consume in one process; ends with a finite source
    Run(Reported<RunOptions>),
    /// Serve the dashboard and the REST API
    Serve(Reported<ServeOptions>),
    /// Count the records in the store by kind and symbol
    Count(CountOptions),
    /// List the symbols in the store, their feeds, and the span of time they fill
    Symbols(SymbolsOptions),
    /// Build bars from the topic's trades and quotes, into the bars topic and the bars table
    Aggregate(Reported<AggregateOptions>),
    /// Show trades, quotes, bars or readings of symbols or series in time order
    Query(QueryOptions),
    /// Show what each print contributed to a bar, and why
    Explain(Reported<ExplainOptions>),
    /// Draw bars, returns or correlations as SVG or PNG
    Plot(Reported<PlotOptions>),
    /// Forecast return, volatility and range, with intervals and scores against baselines
    #[command(subcommand)]
    Forecast(Forecast),
    /// Import a data vendor's own bars into the store
    Import(Reported<ImportOptions>),
    /// Archive the topic as Parquet in a folder or on S3
    Archive(Reported<ArchiveOptions>),
    /// Write the records of the archive to the store
    Restore(Reported<RestoreOptions>),
    /// Load the archive on S3 into Amazon Redshift
    #[command(subcommand)]
    Redshift(RedshiftVerb),
    /// Compare source, topic, store and archive, record by record
    Verify(VerifyOptions),
    /// Evaluate alert rules on the topic, and send alerts
    #[command(subcommand)]
    Alert(AlertVerb),
    /// Show what live feeds missed, and whether it was backfilled
    Gaps(GapsOptions),
    /// List, export and publish again what could not be stored
    #[command(subcommand)]
    DeadLetters(DeadLetters),
    /// Show records that came too late for their bars
    Late(LateOptions),
    /// Show trading halts and price bands
    Notices(NoticesOptions),
    /// Check source, topic and store link by link, and name what is broken
    Doctor(DoctorOptions),
    /// Show what a running process does: rates, lag, latency, retries, gaps
    Status(StatusOptions),
    /// Check and show the settings
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Backfill a span, or the ledger's open gaps, from the vendor's history
    Backfill(Reported<BackfillOptions>),
    /// Simulate a vendor's API from a tape, with optional faults; no account needed
    Simulate(Reported<SimulateOptions>),
    /// Play a bundled real session through the embedded engines; no server or account needed
    Demo(Reported<DemoOptions>),
    /// Print the JSON Schema of the messages
    Schema(SchemaOptions),
    /// Print a shell completion script
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man(ManOptions),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ManOptions {
    /// Write the manual pages of all verbs to this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// Verbs of `alert`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum AlertVerb {
    /// Evaluate the rules on the topic, and send alerts
    Run(Reported<AlertRunOptions>),
    /// Check and list the rules and channels of the configuration
    List(AlertListOptions),
    /// Check a channel and send it a test message
    Test(Reported<AlertTestOptions>),
    /// Show when a rule would have fired on stored records
    Replay(AlertReplayOptions),
    /// Show alerts that fired, and whether they were delivered
    History(AlertHistoryOptions),
    /// Acknowledge alerts: record who has seen them
    Ack(Reported<AlertAckOptions>),
    /// Record alerts without sending them for a while; without --for, list the silences
    Silence(Reported<AlertSilenceOptions>),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct AlertRunOptions {
    /// Exit once everything on the topic is evaluated and sent
    #[arg(long)]
    pub(crate) until_end: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct AlertListOptions {
    /// Output format: table or json
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
    /// Output format: table or json
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
    /// Output format: table or json
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct AlertAckOptions {
    /// Keys of alerts, or their first digits, as printed by `alert history`
    #[arg(value_name = "KEY", required_unless_present_any = ["rule", "symbol"], conflicts_with_all = ["rule", "symbol"])]
    pub(crate) keys: Vec<String>,
    /// All alerts of this rule
    #[arg(long, value_name = "NAME")]
    pub(crate) rule: Option<String>,
    /// All alerts of this symbol
    #[arg(long, value_name = "SYMBOL")]
    pub(crate) symbol: Option<String>,
    /// Your name [default: the user's login name]
    #[arg(long, value_name = "NAME")]
    pub(crate) by: Option<String>,
    /// Note
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) note: String,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct AlertSilenceOptions {
    /// Name of a rule
    #[arg(long, value_name = "NAME", default_value = "*")]
    pub(crate) rule: String,
    /// Symbol
    #[arg(long, value_name = "SYMBOL", default_value = "*")]
    pub(crate) symbol: String,
    /// Duration, for example 30m, 2h, 1d
    #[arg(long, value_name = "DURATION")]
    pub(crate) r#for: Option<String>,
    /// Reason
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) reason: String,
    /// Your name [default: the user's login name]
    #[arg(long, value_name = "NAME")]
    pub(crate) by: Option<String>,
    /// End the silence with this number
    #[arg(long, value_name = "ID", conflicts_with = "for")]
    pub(crate) end: Option<i64>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct VerifyOptions {
    /// Required for a live source: compares with the vendor's history of the span
    #[command(flatten)]
    pub(crate) span: Span,
    /// Show the first N differing records of each symbol, and their differing fields
    #[arg(long, value_name = "N")]
    pub(crate) show: Option<usize>,
    /// Write exactly the records that the store lacks or that differ, from the topic
    #[arg(long)]
    pub(crate) repair: bool,
    /// Output format: table or json
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
    /// Compare the archive too, and check each of its objects [default URL: archive.url]
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = "")]
    pub(crate) archive: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ProduceOptions {
    /// Publish the source from its beginning, even what was published before
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
    /// Address of the dashboard; port 0 chooses a free one [default: serve.listen, 127.0.0.1:8787]
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ConsumeOptions {
    /// Exit once the group has stored everything on the topic
    #[arg(long)]
    pub(crate) until_end: bool,
    /// Fixed consumer name, with which a restarted consumer gets its partitions back at once (Kafka static
    /// membership)
    #[arg(long, value_name = "NAME")]
    pub(crate) instance: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct GapsOptions {
    /// Only open gaps
    #[arg(long)]
    pub(crate) open: bool,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct BackfillOptions {
    /// Symbols to backfill [default: those of --symbols or of the source URL]
    pub(crate) symbols: Option<String>,
    #[command(flatten)]
    pub(crate) span: Span,
    /// Backfill the ledger's open gaps of this feed again
    #[arg(long)]
    pub(crate) open: bool,
}

/// Vendors by the names that the simulator uses.
fn vendors() -> impl TypedValueParser<Value = SimulatedVendor> {
    let words =
        SimulatedVendor::ALL.map(|vendor| PossibleValue::new(vendor.known().word).help(vendor.known().about));
    PossibleValuesParser::new(words).try_map(|word| word.parse::<SimulatedVendor>())
}

/// A number of seconds, or a duration with its unit.
fn seconds(text: &str) -> Result<Duration, String> {
    let duration = text.parse().map(Duration::from_secs);
    duration
        .or_else(|_| ports::duration::parse(text))
        .map_err(|_| "expected seconds, as 5, or a duration with a unit, as 500ms or 2m".to_owned())
}

/// Repetitions per second, or records: above 0.
fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "expected a number above 0".to_owned())
}

#[derive(Debug, Clone, Args)]
pub(crate) struct SimulateOptions {
    /// Vendor whose API to simulate
    #[arg(value_parser = vendors())]
    pub(crate) vendor: SimulatedVendor,
    /// Tape: a folder, or tape:DIR[?symbols=A,B&kinds=trades&dates=YYYYMMDD]
    #[arg(long, value_name = "DIR")]
    pub(crate) tape: String,
    /// Speed relative to real time, or max: as fast as clients read
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) speed: String,
    /// Maximum number of records per second
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) rate: Option<f64>,
    /// Address to listen on; port 0 chooses a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8900")]
    pub(crate) listen: String,
    /// Inject faults, reproducible by seed
    #[arg(long, value_name = "SEED")]
    pub(crate) faults: Option<u64>,
    /// Number of faults
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub(crate) fault_count: usize,
    /// Halt a symbol for a while: remove its trades from the tape and report the halt (Alpaca); repeatable
    #[arg(long, value_name = "SYMBOL,FROM,TO")]
    pub(crate) halt: Vec<simulator::Halt>,
    /// Maximum number of symbols per connection; Alpaca's free plan has 30
    #[arg(long, value_name = "N", default_value_t = usize::MAX, hide_default_value = true)]
    pub(crate) symbol_limit: usize,
    /// Accepted key and secret [default: any]
    #[arg(long, value_name = "KEY:SECRET")]
    pub(crate) keys: Option<String>,
    /// Maximum number of connections
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub(crate) connections: usize,
    /// Maximum number of messages per frame
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) frame: usize,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct CountOptions {
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct SymbolsOptions {
    /// Only symbols that contain this text, in any case
    #[arg(long, value_name = "TEXT")]
    pub(crate) search: Option<String>,
    /// List bars instead of records, with their intervals; reads the key of every bar
    #[arg(long)]
    pub(crate) bars: bool,
    /// How to print: table, json or csv
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct AggregateOptions {
    /// Exit once everything on the topic is in its bars, and make them final
    #[arg(long)]
    pub(crate) until_end: bool,
    /// Only rebuild, from the stored records, the bars of sessions that came late or moved to another partition (`tapeline gaps --open`)
    #[arg(long, conflicts_with = "until_end")]
    pub(crate) rebuild: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ImportOptions {
    /// Folder in Lean's layout: DIR/minute/spy/20131008_trade.zip, DIR/daily/spy.zip
    pub(crate) dir: PathBuf,
    /// Resolution of the bars: second, minute, hour or daily
    #[arg(long, value_name = "NAME")]
    pub(crate) resolution: String,
    /// Feed label of the imported bars
    #[arg(long, value_name = "NAME", default_value = "lean.vendor")]
    pub(crate) label: String,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct DemoOptions {
    /// Folder for the demo's files [default: tapeline-demo; tapeline-demo-iot with --iot]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Play recorded sensors instead of a trading session
    #[arg(long)]
    pub(crate) iot: bool,
    /// With --iot: play through this MQTT broker, as mqtt://127.0.0.1:1883 or mqtts://HOST, instead of a file; login and TLS
    /// are those of [source.mqtt]
    #[arg(long, value_name = "URL", requires = "iot")]
    pub(crate) mqtt: Option<String>,
    /// Serve the dashboard while the session plays and afterwards, until Ctrl-C
    #[arg(long)]
    pub(crate) serve: bool,
    #[command(flatten)]
    pub(crate) listen: ServeOptions,
    /// Trades, or readings, per second [default: 150000; 5000 with --serve; 500 with --iot; 25 with both]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) rate: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
    Csv,
    Parquet,
}

impl Verb {
    /// Whether it runs until stopped, and resumes where it stopped.
    pub(crate) const fn is_streaming(&self) -> bool {
        matches!(
            self,
            Self::Produce(_)
                | Self::Consume(_)
                | Self::Run(_)
                | Self::Aggregate(_)
                | Self::Serve(_)
                | Self::Alert(AlertVerb::Run(_))
                | Self::Forecast(Forecast::Run(_))
        )
    }
}

impl Verb {
    /// Whether its work has an end that Ctrl-C may cut off, given the URL of its source. The others run until they are
    /// stopped: that is their success.
    pub(crate) fn has_end(&self, source: &str) -> bool {
        let recorded = ["tape:", "frames:", "lines:"].iter().any(|scheme| source.starts_with(scheme))
            && !source.contains("follow=true");
        match self {
            Self::Produce(_) => recorded || source.contains("once=true"),
            Self::Run(options) => !options.serve && (recorded || source.contains("once=true")),
            Self::Consume(options) => options.until_end,
            Self::Aggregate(options) => options.until_end || options.rebuild,
            Self::Archive(options) => options.until_end,
            Self::Alert(AlertVerb::Run(options)) => options.until_end,
            Self::Forecast(Forecast::Run(options)) => options.until_end,
            Self::Demo(options) => !options.serve,
            Self::Serve(_) | Self::Simulate(_) => false,
            _ => true,
        }
    }
}

/// Success, or the exit code for messages lost before they could be read.
pub(crate) fn loss_code(telemetry: &ports::telemetry::Telemetry) -> ExitCode {
    match telemetry.get(&telemetry.lost_ranges) {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(LOST),
    }
}

/// Exits like clap: with a message about arguments and exit code 2.
pub(crate) fn usage(message: &str) -> ! {
    use clap::CommandFactory;
    Cli::command().error(clap::error::ErrorKind::ArgumentConflict, message).exit()
}

/// Prints an error and returns its exit code.
pub(crate) fn failed(error: &Error) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::from(match error.domain {
        Domain::Usage => USAGE,
        Domain::User | Domain::Stopped => 1,
        Domain::External => AWAY,
        Domain::Internal => INTERNAL,
    })
}
