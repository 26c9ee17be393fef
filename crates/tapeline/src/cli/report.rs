//! `--format json` of the verbs that do something: a report of what they did.

use super::format::Shape;
use clap::Args;
use std::ops::Deref;

/// How a verb reports what it did.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct ReportOptions {
    /// How to report: table, or json for an object per line on standard output, and everything else on standard error
    #[arg(long = "format", value_enum, default_value_t = Shape::Table, value_name = "FORMAT", id = "report_format")]
    shape: Shape,
}

/// The options of a verb, and how it reports.
#[derive(Debug, Clone, Args)]
pub(crate) struct Reported<T: Args> {
    #[command(flatten)]
    options: T,
    #[command(flatten)]
    pub(super) report: ReportOptions,
}

impl<T: Args> Deref for Reported<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.options
    }
}

impl ReportOptions {
    /// Whether the report is JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.shape == Shape::Json
    }
}
