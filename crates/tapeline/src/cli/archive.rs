//! Options of `archive`, `restore` and `redshift`.

use super::reading::Span;
use super::report::Reported;
use clap::{Args, Subcommand};

/// Verbs of `archive`; without one it archives the topic.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ArchiveVerb {
    /// Merge small files that follow each other into larger ones
    Compact(Reported<CompactOptions>),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct CompactOptions {
    /// Archive: folder:DIR or s3://BUCKET[/PREFIX] [default: archive.url]
    #[arg(long, value_name = "URL", default_value = "", hide_default_value = true)]
    pub(crate) archive: String,
}

#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ArchiveOptions {
    #[command(subcommand)]
    pub(crate) verb: Option<ArchiveVerb>,
    /// Archive: folder:DIR or s3://BUCKET[/PREFIX] [default: archive.url]
    #[arg(long, value_name = "URL", default_value = "", hide_default_value = true)]
    pub(crate) archive: String,
    /// Stop when everything on the topic is archived
    #[arg(long)]
    pub(crate) until_end: bool,
}

/// Verbs of `redshift`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum RedshiftVerb {
    /// Print the statements that create schema and tables
    Ddl,
    /// Create what is missing, and load the files that are not loaded yet; safe to repeat
    Load(Reported<LoadOptions>),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct LoadOptions {
    /// Archive: s3://BUCKET[/PREFIX] [default: archive.url]
    #[arg(long, value_name = "URL", default_value = "", hide_default_value = true)]
    pub(crate) archive: String,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct RestoreOptions {
    /// Archive: folder:DIR or s3://BUCKET[/PREFIX] [default: archive.url]
    #[arg(long, value_name = "URL", default_value = "", hide_default_value = true)]
    pub(crate) archive: String,
    /// Only records of this span
    #[command(flatten)]
    pub(crate) span: Span,
}
