//! Arguments and exit codes. Nothing else knows argv.
#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "the comments are help texts, where brackets mean optional"
)]

use clap::{Args, Parser, Subcommand, ValueEnum};
use pipeline::Error;
use pipeline::error::Domain;
use std::path::PathBuf;
use std::process::ExitCode;

/// Places that `verify` compared do not hold the same.
pub(crate) const DIFFERS: u8 = 3;
/// A server was away for longer than `--wait`.
const AWAY: u8 = 4;
/// A fault of ours.
const INTERNAL: u8 = 70;

/// Records markets: real trades and quotes through Apache Kafka into Apache Cassandra, each exactly once, proven.
#[derive(Debug, Parser)]
#[command(
    name = "tapeline",
    version,
    propagate_version = true,
    after_help = "Exit codes: 0 done; 1 failed; 2 wrong arguments; 3 verify found a difference; \
                  4 a server was away for longer than --wait; 70 a fault of tapeline itself.\n\
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
    /// Where records come from: tape:DIR[?speed=max|N&symbols=A,B&kinds=trades,quotes&dates=YYYYMMDD]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) source: Option<String>,
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
    Run(ProduceOptions),
    /// Count the records in the store by kind and symbol
    Count(CountOptions),
    /// Show records of one symbol in time order
    Query(QueryOptions),
    /// Compare source, topic and store, record by record
    Verify,
    /// Play a bundled real session through the embedded engines; needs no server and no account
    Demo(DemoOptions),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ProduceOptions {
    /// Publish the source from its beginning, whatever was published before
    #[arg(long)]
    pub(crate) replay: bool,
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
pub(crate) struct CountOptions {
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct QueryOptions {
    /// trades or quotes
    pub(crate) kind: market::Kind,
    /// The symbol, as SPY
    pub(crate) symbol: String,
    /// From this event time, inclusive: 2013-10-08T13:30:00Z, 2013-10-08, 2013-10-08T09:30[America/New_York]
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// To this event time, exclusive
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
    /// At most so many [default: 100 for a table, all for json and csv]
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct DemoOptions {
    /// The folder it leaves its files in
    #[arg(long, value_name = "DIR", default_value = "tapeline-demo")]
    pub(crate) dir: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
    Csv,
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
