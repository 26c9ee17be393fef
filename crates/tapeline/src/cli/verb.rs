//! The verbs and their options.

use super::alert::AlertVerb;
use super::archive::{ArchiveOptions, RedshiftVerb, RestoreOptions};
use super::format::Format;
use super::reading::{ExplainOptions, PlotOptions, QueryOptions, Span};
use super::report::{ReportOptions, Reported};
use crate::command::config::options::ConfigVerb;
use crate::command::dead_letters::options::DeadLetters;
use crate::command::doctor::DoctorOptions;
use crate::command::forecast::options::Forecast;
use crate::command::messages::{LateOptions, NoticesOptions};
use crate::command::schema::SchemaOptions;
use crate::command::status::StatusOptions;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use simulator::SimulatedVendor;
use std::path::PathBuf;

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

#[derive(Debug, Clone, Args)]
pub(crate) struct ManOptions {
    /// Write the manual pages of all verbs to this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
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
