//! `--format json` of the verbs that do something: a report of what they did.

use super::{AlertVerb, ArchiveVerb, DeadLetters, Forecast, RedshiftVerb, Verb};
use crate::command::dead_letters::options::Shape;
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
    report: ReportOptions,
}

impl<T: Args> Deref for Reported<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.options
    }
}

impl Verb {
    /// Whether `--format json` was given. The verbs that print rows have formats of their own.
    pub(crate) fn reports_json(&self) -> bool {
        let report = match self {
            Self::Init(report) => report,
            Self::Produce(verb) => &verb.report,
            Self::Consume(verb) => &verb.report,
            Self::Run(verb) => &verb.report,
            Self::Serve(verb) => &verb.report,
            Self::Aggregate(verb) => &verb.report,
            Self::Explain(verb) => &verb.report,
            Self::Plot(verb) => &verb.report,
            Self::Import(verb) => &verb.report,
            Self::Archive(verb) => match &verb.verb {
                Some(ArchiveVerb::Compact(verb)) => &verb.report,
                None => &verb.report,
            },
            Self::Redshift(RedshiftVerb::Load(verb)) => &verb.report,
            Self::Restore(verb) => &verb.report,
            Self::Backfill(verb) => &verb.report,
            Self::Simulate(verb) => &verb.report,
            Self::Demo(verb) => &verb.report,
            Self::Alert(AlertVerb::Run(verb)) => &verb.report,
            Self::Alert(AlertVerb::Test(verb)) => &verb.report,
            Self::Alert(AlertVerb::Ack(verb)) => &verb.report,
            Self::Alert(AlertVerb::Silence(verb)) => &verb.report,
            Self::Forecast(Forecast::Train(verb)) => &verb.report,
            Self::Forecast(Forecast::Run(verb)) => &verb.report,
            Self::Forecast(Forecast::Show(verb)) => &verb.report,
            Self::Forecast(Forecast::Score(verb)) => &verb.report,
            Self::Forecast(Forecast::List(verb)) => &verb.report,
            Self::DeadLetters(DeadLetters::Redrive(verb)) => &verb.report,
            Self::DeadLetters(DeadLetters::Discard(verb)) => &verb.report,
            Self::DeadLetters(DeadLetters::Export(verb)) => &verb.report,
            _ => return false,
        };
        report.shape == Shape::Json
    }
}
