//! Arguments of `tapeline config`.

use crate::cli::Shape;
use clap::{Args, Subcommand};

/// Verbs of `config`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ConfigVerb {
    /// Check file, environment and flags, and report all errors at once; connects to nothing
    Check(CheckOptions),
    /// Show the values in effect and where each comes from; secrets are masked
    Show(ShowOptions),
    /// Print the JSON Schema of the configuration file, for editors
    Schema,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct CheckOptions {
    /// How to print
    #[arg(long, value_enum, default_value_t = Shape::Table)]
    pub(crate) format: Shape,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ShowOptions {
    /// Only values that are not the default
    #[arg(long)]
    pub(crate) changed: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t = Shape::Table)]
    pub(crate) format: Shape,
}
