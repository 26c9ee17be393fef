//! Arguments of `tapeline dead-letters`.

use crate::cli::{Reported, Shape};
use clap::{Args, Subcommand, ValueEnum};
use ports::dead_letter::log::Number;
use std::path::PathBuf;

/// Verbs of `dead-letters`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum DeadLetters {
    /// List the open dead letters, oldest first
    List(ListOptions),
    /// Show a dead letter with its headers and its message
    Show(ShowOptions),
    /// Publish the messages again, after what they failed on was corrected, and mark the dead letters as redriven
    Redrive(Reported<RedriveOptions>),
    /// Mark dead letters as not needed, without publishing anything
    Discard(Reported<DiscardOptions>),
    /// Write the open dead letters with their messages as NDJSON
    Export(Reported<ExportOptions>),
}

/// Where a dead letter was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StageName {
    /// Reading the source
    Source,
    /// Decoding a message
    Decode,
    /// Writing to the store
    Store,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Filter {
    /// Only dead letters of this stage
    #[arg(long, value_enum)]
    pub(crate) stage: Option<StageName>,
    /// Only dead letters whose reason contains this text
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ListOptions {
    /// Include redriven and discarded ones
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) filter: Filter,
    /// Maximum number of dead letters, the newest [default: 100 as a table, all as JSON]
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Shape::Table)]
    pub(crate) format: Shape,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ShowOptions {
    /// Number of the dead letter, as listed
    pub(crate) number: Number,
    /// Write only the message, byte for byte
    #[arg(long, conflicts_with = "format")]
    pub(crate) raw: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t = Shape::Table)]
    pub(crate) format: Shape,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Selection {
    /// Numbers of the dead letters, as listed
    #[arg(required_unless_present = "all", value_name = "NUMBER")]
    pub(crate) numbers: Vec<Number>,
    /// All open dead letters
    #[arg(long, conflicts_with = "numbers")]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) filter: Filter,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct RedriveOptions {
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// Publish the content of this file instead of the dead letter's message
    #[arg(long, value_name = "FILE", conflicts_with = "all")]
    pub(crate) payload: Option<PathBuf>,
    /// Publish only the dead letters in this file, which `export` wrote and somebody corrected, with the messages in it
    #[arg(long, value_name = "FILE", conflicts_with = "payload")]
    pub(crate) corrections: Option<PathBuf>,
    /// Publish as this kind of record in the current schema, instead of with the message's own headers
    #[arg(long = "as", value_name = "KIND", value_parser = ["trade", "quote", "bar"])]
    pub(crate) kind: Option<String>,
    /// Print what would be published, and publish nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct DiscardOptions {
    #[command(flatten)]
    pub(crate) selection: Selection,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ExportOptions {
    /// Include redriven and discarded ones
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) filter: Filter,
    /// Output file [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}
